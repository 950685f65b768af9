//! Rows that are found by an index are those that a scan finds, whatever has changed meanwhile.

use proptest::collection::vec;
use proptest::prelude::*;
use refrain::Engine;

use crate::rows::{error, rows, rows_in_order, run};

/// A statement that changes the table, and whether the rows are looked up after it.
fn statements() -> impl Strategy<Value = Vec<(String, bool)>> {
    let (a, b) = (0..5, 0..4);
    let statement = prop_oneof![
        (a.clone(), b.clone(), 1..4)
            .prop_map(|(a, b, n)| format!("INSERT INTO t SELECT {a}, 'text {b}', n FROM generate_series(1, {n}) AS g(n)")),
        Just("INSERT INTO t VALUES (NULL, NULL, NULL)".to_owned()),
        (a.clone(), b.clone()).prop_map(|(a, b)| format!("DELETE FROM t WHERE a = {a} AND b = 'text {b}'")),
        (a.clone(), a).prop_map(|(from, to)| format!("UPDATE t SET a = {to} WHERE a = {from}")),
        b.prop_map(|b| format!("UPDATE t SET b = NULL WHERE b = 'text {b}'")),
        Just("BEGIN".to_owned()),
        Just("COMMIT".to_owned()),
    ];
    vec((statement, any::<bool>()), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_found_is_what_a_scan_finds(statements in statements()) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let engine = Engine::builder().open().await.unwrap();
            let s = engine.session();
            run(&s, "CREATE TABLE t (a INT, b TEXT, c INT); CREATE MATERIALIZED VIEW v AS SELECT a, b, count(*) AS n FROM t GROUP BY a, b").await;
            run(&s, "CREATE INDEX ON t (a); CREATE INDEX ON t (b, a); CREATE INDEX ON v (b)").await;
            for (statement, is_looked_up) in &statements {
                let _ = s.execute(statement).await;
                if !is_looked_up {
                    continue;
                }
                for a in 0..5 {
                    // What is added to is in no index.
                    let found = rows(&s, &format!("SELECT * FROM t WHERE a = {a}")).await;
                    assert_eq!(found, rows(&s, &format!("SELECT * FROM t WHERE a + 0 = {a}")).await);
                    for b in 0..4 {
                        let found = rows(&s, &format!("SELECT * FROM t WHERE a = {a} AND b = 'text {b}'")).await;
                        assert_eq!(found, rows(&s, &format!("SELECT * FROM t WHERE a + 0 = {a} AND b || '' = 'text {b}'")).await);
                    }
                }
                let in_block = s.execute("SAVEPOINT here").await.is_ok();
                for b in 0..4 {
                    if !in_block {
                        let found = rows(&s, &format!("SELECT * FROM v WHERE b = 'text {b}'")).await;
                        assert_eq!(found, rows(&s, &format!("SELECT * FROM v WHERE b || '' = 'text {b}'")).await);
                    }
                }
            }
        });
    }
}

#[tokio::test]
async fn indexes_are_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || Engine::builder().store(folder.path().display().to_string()).open().await.unwrap();
    let engine = open().await;
    let s = engine.session();
    run(&s, "CREATE TABLE t (a INT, b TEXT); CREATE INDEX i ON t (b); CREATE INDEX gone ON t (a); DROP INDEX gone").await;
    run(&s, "INSERT INTO t SELECT n, 'text ' || n FROM generate_series(1, 100) AS g(n)").await;
    drop((s, engine));
    for checkpoint in [true, false] {
        let engine = open().await;
        let s = engine.session();
        assert_eq!(rows(&s, "SHOW INDEXES FROM t").await, ["i|CREATE INDEX i ON t (b)"]);
        assert_eq!(rows(&s, "SELECT a FROM t WHERE b = 'text 7'").await, ["7"]);
        assert_eq!(error(&s, "DROP INDEX gone").await.code(), "42704");
        if checkpoint {
            run(&s, "CHECKPOINT").await;
        }
    }
}

#[tokio::test]
async fn what_is_found_by_an_index_is_explained() {
    let engine = Engine::builder().open().await.unwrap();
    let s = engine.session();
    run(&s, "CREATE TABLE t (a INT PRIMARY KEY, b TEXT, c INT); CREATE INDEX ON t (b); CREATE INDEX ON t (c, b)").await;
    let found_by = async |query: &str| {
        let lines = rows_in_order(&s, &format!("EXPLAIN {query}")).await;
        lines
            .iter()
            .filter_map(|line| line.strip_prefix("Read once, rows of \"t\" are found by "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(found_by("SELECT b FROM t WHERE a = 5").await, ["(a)"]);
    assert_eq!(found_by("SELECT * FROM t WHERE 'x' = b AND c > 5").await, ["(b)"]);
    assert_eq!(found_by("SELECT * FROM t WHERE b = 'x' AND c = 5 AND a > 1").await, ["(c, b)"]);
    assert_eq!(found_by("SELECT (SELECT max(c) FROM t WHERE b = 'y') FROM t WHERE a = 5").await.len(), 2);
    assert!(found_by("SELECT * FROM t WHERE a > 5 OR b = 'x'").await.is_empty());
    assert!(found_by("SELECT * FROM t").await.is_empty());
}
