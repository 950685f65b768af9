//! Errors in PostgreSQL's words.

use refrain::ErrorKind;

use crate::rows::{error, memory, rows, run};

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

#[tokio::test]
async fn errors_of_views_can_be_asked_for() {
    const ERRORS: &str = "SELECT view, code, message, rows FROM refrain.errors";
    let session = memory().await;
    run(&session, "CREATE TABLE t (a INT, b TEXT); INSERT INTO t VALUES (0, '1'), (0, '1'), (2, 'x'), (3, '3')").await;
    run(&session, "CREATE MATERIALIZED VIEW divided AS SELECT 6 / a AS c FROM t").await;
    run(
        &session,
        "CREATE MATERIALIZED VIEW cast_to AS SELECT b::int AS c FROM t; CREATE MATERIALIZED VIEW fine AS SELECT a FROM t",
    )
    .await;
    // Whoever reads a view waits until it is settled.
    let _ = error(&session, "SELECT * FROM divided").await;
    let _ = error(&session, "SELECT * FROM cast_to").await;
    let wanted = ["cast_to|22P02|invalid input syntax for type integer: \"x\"|1", "divided|22012|division by zero|2"];
    assert_eq!(rows(&session, ERRORS).await, wanted);
    run(&session, "DELETE FROM t WHERE b = 'x' OR a = 0").await;
    assert_eq!(rows(&session, "SELECT c FROM divided UNION ALL SELECT c FROM cast_to").await, ["2", "3"]);
    assert!(rows(&session, ERRORS).await.is_empty());
}
