//! SHOW, SET, EXPLAIN, system tables, scripts.

use refrain::Outcome;

use crate::rows::{error, memory, rows, rows_in_order, run};

#[tokio::test]
async fn relations_and_columns_are_shown() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT NOT NULL, b VARCHAR(5)); CREATE VIEW v AS SELECT b FROM t").await;
    assert_eq!(rows(&s, "SHOW TABLES").await, ["t|no"]);
    assert_eq!(rows(&s, "SHOW VIEWS").await, ["v|view"]);
    assert_eq!(rows_in_order(&s, "SHOW COLUMNS FROM t").await, ["a|integer|not null|", "b|character varying(5)||"]);
    assert_eq!(rows(&s, "SELECT count(*) FROM refrain.loops").await, ["0"]);
    assert_eq!(rows(&s, "SELECT count(*) FROM refrain.checkpoints").await, ["0"]);
}

#[tokio::test]
async fn settings_are_set_shown_and_reset() {
    let s = memory().await;
    run(&s, "SET statement_timeout = '90s'").await;
    assert_eq!(rows(&s, "SHOW statement_timeout").await, ["90s"]);
    run(&s, "RESET ALL").await;
    assert_eq!(rows(&s, "SHOW statement_timeout").await, ["0"]);
    run(&s, "SET checkpoint_hold_max_ms = 50").await;
    assert_eq!(rows(&s, "SHOW checkpoint_hold_max_ms").await, ["50"]);
    assert_eq!(error(&s, "SET reads = 'sometimes'").await.code(), "22023");
    assert_eq!(error(&s, "SHOW nothing").await.message(), "unrecognized configuration parameter \"nothing\"");
}

#[tokio::test]
async fn queries_without_tables_and_scripts() {
    let s = memory().await;
    let mut outcomes = s.execute_script("SELECT 1 AS one; CREATE TABLE t (a INT); INSERT INTO t VALUES (5)").await.unwrap();
    assert_eq!(outcomes.len(), 3);
    assert!(matches!(outcomes.remove(0), Outcome::Rows { schema, .. } if schema.field(0).name() == "one"));
    assert_eq!(rows_in_order(&s, "VALUES (1, 'a'), (2, 'b')").await, ["1|a", "2|b"]);
    assert_eq!(rows(&s, "SELECT (SELECT a FROM t) + 1").await, ["6"]);
    assert_eq!(rows_in_order(&s, "SELECT a, row_number() OVER (ORDER BY a) FROM t").await, ["5|1"]);
    assert_eq!(error(&s, "SELECT 1; SELECT 2").await.code(), "42601");
}
