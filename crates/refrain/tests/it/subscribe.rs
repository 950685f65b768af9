//! SUBSCRIBE.

use crate::rows::{memory, next, run};

#[tokio::test]
async fn a_table_tells_its_rows_and_then_its_changes() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (1, 'x')").await;
    let mut events = s.subscribe("t").await.unwrap();
    assert_eq!(next(&mut events).await, ["+1 1|x"]);
    run(&s, "UPDATE t SET b = 'y'").await;
    assert_eq!(next(&mut events).await, ["+1 1|y", "-1 1|x"]);
    run(&s, "CREATE TABLE other (a INT); INSERT INTO other VALUES (1); DELETE FROM t").await;
    assert_eq!(next(&mut events).await, ["-1 1|y"]);
}

#[tokio::test]
async fn options_leave_out_the_rows_and_report_progress() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1)").await;
    let mut events = s.subscribe("SUBSCRIBE t WITH (SNAPSHOT = false, PROGRESS = true)").await.unwrap();
    assert_eq!(next(&mut events).await, ["progress"]);
    run(&s, "INSERT INTO t VALUES (2)").await;
    assert_eq!(next(&mut events).await, ["+1 2"]);
    assert_eq!(next(&mut events).await, ["progress"]);
    assert_eq!(s.subscribe("nowhere").await.unwrap_err().code(), "42P01");
}

#[tokio::test]
async fn a_query_is_followed_like_a_view() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT, b INT); INSERT INTO t VALUES (1, 10)").await;
    let mut events = s.subscribe("(SELECT b FROM t)").await.unwrap();
    assert_eq!(next(&mut events).await, ["+1 10"]);
    run(&s, "INSERT INTO t VALUES (2, 20)").await;
    assert_eq!(next(&mut events).await, ["+1 20"]);
}
