//! Stores that fail, are slow, or are gone for a while: queries go on, nothing acknowledged is lost, nothing is there twice.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use refrain::{Engine, ErrorKind, Session};
use refrain_checkpoint::faults::{Effect, FaultyStore, Gate, Operation};

use crate::rows::{error, rows, run};

/// Recurs for ever.
const NUMBERS: &str =
    "CREATE MATERIALIZED VIEW nat AS WITH RECURSIVE t(n) AS (SELECT 1::BIGINT UNION ALL SELECT n + 1 FROM t) SELECT n FROM t";

fn store() -> FaultyStore {
    FaultyStore::new(Arc::new(InMemory::new()))
}

async fn open(store: &FaultyStore) -> (Engine, Session) {
    let engine = Engine::builder().object_store(Arc::new(store.clone())).workers(2).open().await.expect("the store opens");
    let session = engine.session();
    (engine, session)
}

async fn number(session: &Session, query: &str) -> i64 {
    rows(session, query).await[0].parse().unwrap_or(0)
}

/// Waits until a query gives more than this.
async fn grows(session: &Session, query: &str, from: i64) -> i64 {
    for _ in 0..1_000 {
        let now = number(session, query).await;
        if now > from {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{query} does not exceed {from}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_for_a_while_stops_no_query_and_loses_nothing() {
    const REACHED: &str = "SELECT max(n) FROM nat";
    const COMMITTED: &str = "SELECT count(*) FROM refrain.checkpoints WHERE status = 'committed'";
    const ABORTED: &str = "SELECT count(*) FROM refrain.checkpoints WHERE status = 'aborted' AND reason LIKE '%injected fault%'";
    let store = store();
    let (engine, s) = open(&store).await;
    run(&s, "CREATE TABLE t (a INT); CREATE MATERIALIZED VIEW v AS SELECT sum(a) AS s FROM t; INSERT INTO t VALUES (1)").await;
    run(&s, NUMBERS).await;
    run(&s, "SET reads = 'eager'; SET store_wait_ms = 200; SET checkpoint_interval_ms = 20").await;
    grows(&s, COMMITTED, 0).await;

    store.set_down(true);
    let unknown = error(&s, "INSERT INTO t VALUES (10)").await;
    assert_eq!((unknown.code(), unknown.kind()), ("40003", ErrorKind::Io));
    assert!(unknown.message().starts_with("the store has not answered for 0."), "{unknown}");
    assert!(unknown.detail().unwrap().starts_with("The statement takes effect as soon as"), "{unknown:?}");
    for refused in ["DELETE FROM t", "CREATE TABLE u (a INT)"] {
        let refused = error(&s, refused).await;
        assert_eq!((refused.code(), refused.detail()), ("58030", Some("The statement has changed nothing.")));
    }
    assert_eq!(rows(&s, "SELECT s FROM v").await, ["1"]);
    grows(&s, ABORTED, 1).await;
    let reached = number(&s, REACHED).await;
    grows(&s, REACHED, reached).await;

    store.set_down(false);
    let committed = number(&s, COMMITTED).await;
    grows(&s, COMMITTED, committed).await;
    run(&s, "INSERT INTO t VALUES (100)").await;
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1", "10", "100"]);
    let reached = number(&s, REACHED).await;
    run(&s, "CHECKPOINT").await;
    engine.close().await.unwrap();
    drop((engine, s));

    let (_engine, s) = open(&store).await;
    run(&s, "SET reads = 'eager'").await;
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1", "10", "100"]);
    assert!(number(&s, REACHED).await >= reached, "the recursion goes on from the checkpoint");
    assert_eq!(rows(&s, "SELECT count(*) - count(DISTINCT n), max(n) - count(*) FROM nat").await, ["0|0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_fails_is_carried_by_the_next() {
    let store = store();
    let (engine, s) = open(&store).await;
    run(
        &s,
        "CREATE TABLE edges (a INT, b INT); CREATE MATERIALIZED VIEW c AS WITH RECURSIVE r AS (SELECT a, b FROM edges UNION \
             SELECT r.a, e.b FROM r JOIN edges e ON e.a = r.b) SELECT a, b FROM r",
    )
    .await;
    for (i, object) in ["segment/", "manifest/", "segment/", "manifest/"].into_iter().enumerate() {
        run(&s, &format!("INSERT INTO edges VALUES ({i}, {i} + 1)")).await;
        rows(&s, "SELECT count(*) FROM c").await;
        store.inject(Operation::Put, object, Effect::FailBefore);
        let failed = error(&s, "CHECKPOINT").await;
        assert_eq!(failed.code(), "58030");
        assert!(failed.message().starts_with("checkpoint aborted: "), "{failed}");
        assert_eq!(store.pending(), 0);
        if i % 2 == 1 {
            run(&s, "CHECKPOINT").await;
        }
    }
    let status = "SELECT status, reason LIKE '%could not write object%', id IS NULL FROM refrain.checkpoints";
    let failed = "aborted|t|t";
    assert_eq!(rows(&s, status).await, [failed, failed, failed, failed, "committed|NULL|f", "committed|NULL|f"]);
    engine.close().await.unwrap();
    drop((engine, s));
    let (_engine, s) = open(&store).await;
    assert_eq!(rows(&s, "SELECT count(*) FROM c").await, ["10"]);
}

/// The put of the input log hangs, so tables cannot be captured. The loop goes on all the same, and the checkpoint times out.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_holds_no_loop() {
    let store = store();
    let (engine, s) = open(&store).await;
    run(&s, "CREATE TABLE t (a INT)").await;
    run(&s, NUMBERS).await;
    run(&s, "SET reads = 'eager'; SET checkpoint_timeout_ms = 1500; SET checkpoint_hold_max_ms = 20; SET store_wait_ms = 60000")
        .await;
    let gate = Gate::default();
    store.inject(Operation::Put, "input/", Effect::Delay(gate.clone()));
    let writer = s.clone();
    let insert = tokio::spawn(async move { run(&writer, "INSERT INTO t VALUES (1)").await });
    gate.arrival().await;
    let asker = s.clone();
    let checkpoint = tokio::spawn(async move { error(&asker, "CHECKPOINT").await });
    grows(&s, "SELECT count(*) FROM refrain.checkpoints WHERE status = 'running'", 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let reached = number(&s, "SELECT max(n) FROM nat").await;
    grows(&s, "SELECT max(n) FROM nat", reached).await;
    assert_eq!(number(&s, "SELECT count(*) FROM refrain.checkpoints WHERE status = 'running'").await, 1, "it is still under way");
    assert_eq!(checkpoint.await.unwrap().message(), "checkpoint aborted: it took longer than checkpoint_timeout_ms");
    gate.open();
    assert_eq!(insert.await.unwrap(), "INSERT 0 1");
    run(&s, "CHECKPOINT").await;
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_closed_while_its_store_is_gone() {
    let store = store();
    let (engine, s) = open(&store).await;
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1); SET store_wait_ms = 100").await;
    store.set_down(true);
    assert_eq!(error(&s, "INSERT INTO t VALUES (2)").await.code(), "40003");
    let lost = engine.close().await.unwrap_err();
    assert_eq!(lost.code(), "58030");
    assert!(lost.detail().unwrap().starts_with("Whether the statements that wait for it take effect"), "{lost:?}");
    drop((engine, s));
    store.set_down(false);
    let (_engine, s) = open(&store).await;
    let there = rows(&s, "SELECT * FROM t").await;
    assert!(there == ["1"] || there == ["1", "2"], "{there:?}");
}
