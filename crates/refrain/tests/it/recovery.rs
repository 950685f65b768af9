//! Engines that are opened again.

use refrain::{Engine, ErrorKind, Session};

use crate::rows::{error, rows, run};

async fn open(folder: &tempfile::TempDir) -> (Engine, Session) {
    let engine = Engine::builder().store(folder.path().display().to_string()).open().await.expect("the store opens");
    let session = engine.session();
    (engine, session)
}

#[tokio::test]
async fn what_was_acknowledged_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, s) = open(&folder).await;
    run(&s, "CREATE TABLE t (a INT, b TEXT, c NUMERIC(10,2)); INSERT INTO t VALUES (1, 'x', 1.5), (2, NULL, NULL), (3, 'z', 0)")
        .await;
    run(&s, "CREATE TABLE gone (a INT); DROP TABLE gone; CREATE VIEW v AS SELECT b FROM t WHERE a < 3").await;
    run(&s, "UPDATE t SET b = 'y' WHERE a = 2; DELETE FROM t WHERE a = 3").await;
    let before = rows(&s, "SELECT * FROM t").await;
    drop((engine, s));

    for _ in 0..2 {
        let (engine, s) = open(&folder).await;
        assert_eq!(rows(&s, "SELECT * FROM t").await, before);
        assert_eq!(rows(&s, "SELECT * FROM v").await, ["x", "y"]);
        assert_eq!(error(&s, "SELECT * FROM gone").await.code(), "42P01");
        engine.close().await.unwrap();
        assert_eq!(error(&s, "SELECT * FROM t").await.code(), "57P01");
    }
}

#[tokio::test]
async fn statements_at_the_same_time_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let (_, s) = open(&folder).await;
    run(&s, "CREATE TABLE t (a INT)").await;
    let inserts = (0..20).map(|i| {
        let s = s.clone();
        tokio::spawn(async move { run(&s, &format!("INSERT INTO t VALUES ({i})")).await })
    });
    for insert in inserts.collect::<Vec<_>>() {
        assert_eq!(insert.await.unwrap(), "INSERT 0 1");
    }
    assert_eq!(rows(&s, "SELECT count(*), sum(a) FROM t").await, ["20|190"]);
    drop(s);
    let (_engine, s) = open(&folder).await;
    assert_eq!(rows(&s, "SELECT count(*), sum(a) FROM t").await, ["20|190"]);
}

#[tokio::test]
async fn the_engine_that_was_taken_over_writes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (_first, zombie) = open(&folder).await;
    run(&zombie, "CREATE TABLE t (a INT)").await;
    let (_second, s) = open(&folder).await;
    run(&s, "INSERT INTO t VALUES (1)").await;
    assert_eq!(error(&zombie, "INSERT INTO t VALUES (2)").await.kind(), ErrorKind::Fenced);
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1"]);
}
