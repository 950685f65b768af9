//! One-shot queries over tables and views: recursion, one epoch for everything, errors beside the data, eager reads.

use crate::rows::{error, memory, rows, rows_in_order, run};

#[tokio::test]
async fn a_recursion_runs_once() {
    let s = memory().await;
    run(&s, "CREATE TABLE edges (a INT, b INT); INSERT INTO edges VALUES (1, 2), (2, 3), (3, 1), (3, 4)").await;
    let closure = "WITH RECURSIVE r(a, b) AS (SELECT a, b FROM edges UNION SELECT r.a, e.b FROM r JOIN edges e ON e.a = r.b) ";
    assert_eq!(rows(&s, &format!("{closure} SELECT b FROM r WHERE a = 1")).await, ["1", "2", "3", "4"]);
    // Windows and limits stand outside the recursion, so DataFusion does them.
    let ranked = format!("{closure} SELECT a, count(*) AS n, rank() OVER (ORDER BY a) FROM r GROUP BY a ORDER BY a LIMIT 2");
    assert_eq!(rows_in_order(&s, &ranked).await, ["1|4|1", "2|4|2"]);
    let numbers = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT sum(n), count(*) FROM t";
    assert_eq!(rows(&s, numbers).await, ["55|10"]);
}

#[tokio::test]
async fn views_and_tables_are_read_at_one_epoch() {
    let s = memory().await;
    run(
        &s,
        "CREATE TABLE t (a INT);
         CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n FROM t;
         CREATE MATERIALIZED VIEW doubled AS SELECT n * 2 AS n FROM total",
    )
    .await;
    let writer = s.clone();
    let writing = tokio::spawn(async move {
        for i in 0..200 {
            run(&writer, &format!("INSERT INTO t VALUES ({i})")).await;
        }
    });
    let mut last = 0;
    while !writing.is_finished() {
        let read = rows(&s, "SELECT (SELECT count(*) FROM t), total.n, doubled.n FROM total, doubled").await;
        let numbers = read[0].split('|').map(|n| n.parse::<i64>().unwrap()).collect::<Vec<_>>();
        assert_eq!(numbers, [numbers[0], numbers[0], numbers[0] * 2]);
        assert!(numbers[0] >= last, "what was read once is not taken back");
        last = numbers[0];
    }
    writing.await.unwrap();
    assert_eq!(rows(&s, "SELECT n FROM doubled").await, ["400"]);
}

#[tokio::test]
async fn an_error_beside_the_data_is_reported_until_its_cause_is_gone() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT); CREATE MATERIALIZED VIEW v AS SELECT 10 / a AS q FROM t; INSERT INTO t VALUES (5), (0)").await;
    let e = error(&s, "SELECT * FROM v").await;
    assert_eq!((e.code(), e.message()), ("22012", "division by zero"));
    run(&s, "DELETE FROM t WHERE a = 0").await;
    assert_eq!(rows(&s, "SELECT * FROM v").await, ["2"]);
}

#[tokio::test]
async fn an_eager_read_does_not_wait() {
    let s = memory().await;
    run(
        &s,
        "CREATE MATERIALIZED VIEW nat AS
             WITH RECURSIVE t(n) AS (SELECT 1::BIGINT UNION ALL SELECT n + 1 FROM t) SELECT n FROM t;
         SET reads = 'eager'",
    )
    .await;
    for _ in 0..3 {
        let read = rows(&s, "SELECT count(*), count(DISTINCT n), coalesce(max(n), 0) FROM nat").await;
        let numbers = read[0].split('|').map(|n| n.parse::<i64>().unwrap()).collect::<Vec<_>>();
        assert!(numbers.iter().all(|n| *n == numbers[0]), "{numbers:?}");
    }
    assert_eq!(s.take_notices()[0].message, "\"nat\" is read before it has settled");
    run(&s, "DROP MATERIALIZED VIEW nat").await;
}
