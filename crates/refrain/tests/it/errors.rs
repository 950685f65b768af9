//! Errors in PostgreSQL's words.

use refrain::ErrorKind;

use crate::rows::{error, memory, run};

#[tokio::test]
async fn names_that_do_not_exist() {
    let s = memory().await;
    let e = error(&s, "SELECT * FROM nowhere").await;
    assert_eq!((e.code(), e.message()), ("42P01", "relation \"nowhere\" does not exist"));
    run(&s, "CREATE TABLE t (a INT)").await;
    assert_eq!(error(&s, "SELECT b FROM t").await.message(), "column \"b\" does not exist");
    assert_eq!(error(&s, "CREATE TABLE t (a INT)").await.code(), "42P07");
    assert_eq!(error(&s, "DROP TABLE u").await.message(), "table \"u\" does not exist");
    assert_eq!(error(&s, "SELEC 1").await.code(), "42601");
    assert_eq!(error(&s, "VACUUM").await.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn arithmetic_fails_as_in_postgresql() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (0), (2147483647)").await;
    let e = error(&s, "SELECT 1 / a FROM t").await;
    assert_eq!((e.code(), e.message()), ("22012", "division by zero"));
    let e = error(&s, "SELECT a + 1 FROM t").await;
    assert_eq!((e.code(), e.message()), ("22003", "integer out of range"));
}

#[tokio::test]
async fn what_others_depend_on_is_not_dropped() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT); CREATE VIEW v AS SELECT a FROM t").await;
    let e = error(&s, "DROP TABLE t").await;
    assert_eq!((e.code(), e.detail()), ("2BP01", Some("view v depends on table t")));
    assert_eq!(run(&s, "DROP TABLE t CASCADE").await, "DROP TABLE");
    assert_eq!(s.take_notices()[0].message, "drop cascades to view v");
    assert_eq!(error(&s, "SELECT * FROM v").await.code(), "42P01");
    assert_eq!(run(&s, "DROP TABLE IF EXISTS t").await, "DROP TABLE");
    assert_eq!(s.take_notices()[0].message, "table \"t\" does not exist, skipping");
}
