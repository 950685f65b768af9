//! Statements that are ended from outside.

use crate::rows::{error, memory, rows, run};

const NATURALS: &str = "CREATE MATERIALIZED VIEW nat AS
    WITH RECURSIVE t(n) AS (SELECT 1::BIGINT UNION ALL SELECT n + 1 FROM t) SELECT n FROM t";

#[tokio::test]
async fn a_cancelled_session_goes_on() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)").await;
    s.cancel();
    assert_eq!(rows(&s, "SELECT count(*) FROM t").await, ["2"]);
}

#[tokio::test]
async fn a_wait_ends_with_the_timeout_or_with_a_cancel() {
    let s = memory().await;
    run(&s, NATURALS).await;
    run(&s, "SET statement_timeout = 20").await;
    let e = error(&s, "SELECT max(n) FROM nat").await;
    assert_eq!((e.code(), e.message()), ("57014", "canceling statement due to statement timeout"));
    run(&s, "RESET statement_timeout").await;
    let waiting = s.clone();
    let wait = tokio::spawn(async move { error(&waiting, "SELECT max(n) FROM nat").await });
    while !wait.is_finished() {
        s.cancel();
        tokio::task::yield_now().await;
    }
    assert_eq!(wait.await.unwrap().message(), "canceling statement due to user request");
    // Tables and other statements are not affected.
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1)").await;
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1"]);
    run(&s, "DROP MATERIALIZED VIEW nat").await;
}
