//! The log of a loop comes from the store after the engine is open: nothing else waits for it, and no checkpoint goes without it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use refrain::{Engine, EngineBuilder, Session};
use refrain_checkpoint::faults::{Effect, FaultyStore, Gate, Operation};

use crate::outage::grows;
use crate::rows::{rows, run};
use crate::spilling::{OF_VIEWS, TRIES, VIEW, check, comes_free, create, goes_on};

const LOGGED: &str = "SELECT sum(log_rows) FROM refrain.loops";

fn builder(store: &FaultyStore, temporary: &Path, workers: usize) -> EngineBuilder {
    let builder = Engine::builder().object_store(Arc::new(store.clone())).workers(workers).temporary_folder(temporary);
    builder.setting("loop_memory_limit", "0")
}

async fn open(store: &FaultyStore, temporary: &Path, workers: usize) -> (Engine, Session) {
    let engine = builder(store, temporary, workers).open().await.expect("the store opens");
    let session = engine.session();
    run(&session, "SET reads = 'eager'").await;
    (engine, session)
}

/// A store with a recursion that was caught with a log of at least 500 rows, and how far its numbers reached.
async fn store_with_a_log(temporary: &Path) -> (FaultyStore, i64) {
    let store = FaultyStore::new(Arc::new(InMemory::new()));
    let (_engine, s) = open(&store, temporary, 2).await;
    create(&s).await;
    run(&s, "CREATE TABLE t (a INT); CREATE MATERIALIZED VIEW total AS SELECT sum(a) AS s FROM t; INSERT INTO t VALUES (1)").await;
    for _ in 0..TRIES {
        let reached = check(&s).await;
        if s.checkpoint().await.expect("the checkpoint commits").loop_log_rows > 500 {
            return (store, reached);
        }
    }
    panic!("a checkpoint catches the loop with rows under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_open_before_the_logs_of_its_loops_are_there() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (store, reached) = store_with_a_log(folder.path()).await;
    let gate = Gate::default();
    store.inject(Operation::Get, "loop/", Effect::Delay(gate.clone()));
    let (engine, s) = open(&store, folder.path(), 2).await;
    gate.arrival().await;
    assert!(check(&s).await >= reached);
    let logged = rows(&s, LOGGED).await[0].parse::<i64>().expect("a number");
    assert!(logged > 500, "{logged} rows");
    let asker = s.clone();
    let checkpoint = tokio::spawn(async move { asker.checkpoint().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let checkpoints = "SELECT id, status, started, duration_ms, reason FROM refrain.checkpoints";
    let waiting = "NULL|waiting|NULL|NULL|it waits for the log of view \"numbers\"";
    assert_eq!(rows(&s, checkpoints).await, [waiting], "none begins without the log");
    run(&s, "SET reads = 'strict'; INSERT INTO t VALUES (2); CREATE MATERIALIZED VIEW twice AS SELECT s * 2 AS s FROM total").await;
    assert_eq!(rows(&s, "SELECT total.s, twice.s FROM total, twice").await, ["3|6"]);
    run(&s, "SET reads = 'eager'").await;
    let before = check(&s).await;
    assert_eq!(rows(&s, checkpoints).await, [waiting], "none begins without the log");
    assert!(!checkpoint.is_finished());
    gate.open();
    checkpoint.await.expect("it ends").expect("the checkpoint commits");
    assert_eq!(rows(&s, "SELECT status FROM refrain.checkpoints").await, ["committed"]);
    goes_on(&s, before).await;
    drop((engine, s));
    let (_engine, s) = open(&store, folder.path(), 1).await;
    goes_on(&s, before).await;
    assert_eq!(rows(&s, "SELECT total.s, twice.s FROM total, twice").await, ["3|6"]);
}

/// What is still in the store has not come to rest: the recursion ends when its log is there, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_read_waits_for_the_log_of_a_recursion_that_ends() {
    const LAST: i64 = 300;
    let (folder, store) = (tempfile::tempdir().expect("a folder can be made"), FaultyStore::new(Arc::new(InMemory::new())));
    let (engine, s) = open(&store, folder.path(), 2).await;
    create(&s).await;
    run(&s, "DROP MATERIALIZED VIEW numbers").await;
    let ends = VIEW.replace(") SELECT n, lane", &format!(" WHERE t.n < {LAST}) SELECT n, lane"));
    for round in 0.. {
        assert!(round < TRIES, "no checkpoint catches the recursion in its middle");
        run(&s, &ends).await;
        s.checkpoint().await.expect("the checkpoint commits");
        let objects = store.list(None).try_collect::<Vec<_>>().await.expect("memory does not fail");
        if objects.iter().any(|object| object.location.as_ref().contains("loop/")) {
            break;
        }
        run(&s, "DROP MATERIALIZED VIEW numbers").await;
    }
    drop((engine, s));
    for workers in [1, 2] {
        let gate = Gate::default();
        store.inject(Operation::Get, "loop/", Effect::Delay(gate.clone()));
        let s = builder(&store, folder.path(), workers).open().await.expect("the store opens").session();
        gate.arrival().await;
        let reader = s.clone();
        let read = tokio::spawn(async move { rows(&reader, "SELECT count(*), sum(n) FROM numbers").await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!read.is_finished(), "rows of the recursion are in the store");
        gate.open();
        assert_eq!(read.await.expect("it ends"), [format!("{}|{}", 2_000 * LAST, 2_000 * LAST * (LAST + 1) / 2)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_may_be_dropped_before_its_log_is_there() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (store, _) = store_with_a_log(folder.path()).await;
    let gate = Gate::default();
    store.inject(Operation::Get, "loop/", Effect::Delay(gate.clone()));
    let (_engine, s) = open(&store, folder.path(), 2).await;
    gate.arrival().await;
    run(&s, "DROP MATERIALIZED VIEW numbers").await;
    s.checkpoint().await.expect("there is nothing to wait for");
    gate.open();
    comes_free(&s, folder.path(), OF_VIEWS).await;
    run(&s, VIEW).await;
    goes_on(&s, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_come_is_asked_for_again() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (store, reached) = store_with_a_log(folder.path()).await;
    store.inject(Operation::Get, "loop/", Effect::FailBefore);
    let (_engine, s) = open(&store, folder.path(), 1).await;
    goes_on(&s, reached).await;
    assert_eq!(store.pending(), 0);
}

/// Waits for the engine to end, and says why it did.
async fn ended(session: &Session) -> String {
    for _ in 0..TRIES {
        if let Err(error) = session.execute("SELECT count(*) FROM t").await {
            return error.to_string();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the engine does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_damaged_ends_the_engine_and_is_named() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (store, reached) = store_with_a_log(folder.path()).await;
    for effect in [Effect::ShortRead(100), Effect::BitFlip(9_999)] {
        store.inject(Operation::Get, "loop/", effect.clone());
        // It may be too late for the opening to fail.
        let error = match builder(&store, folder.path(), 2).open().await {
            Ok(engine) => ended(&engine.session()).await,
            Err(error) => error.to_string(),
        };
        assert!(error.contains("\"loop/") && error.contains("(loop t) of view \"numbers\""), "{effect:?}: {error}");
    }
    let (_engine, s) = open(&store, folder.path(), 2).await;
    goes_on(&s, reached).await;
}

/// Rows that wait in a loop are read at opening, and logs are not.
#[tokio::test(flavor = "multi_thread")]
async fn how_far_an_opening_is_counts_what_it_reads() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (store, _) = store_with_a_log(folder.path()).await;
    let (engine, s) = open(&store, folder.path(), 1).await;
    run(&s, "CREATE TABLE start (n BIGINT) WITH (append_only = true); INSERT INTO start VALUES (1)").await;
    run(
        &s,
        "CREATE MATERIALIZED VIEW up AS WITH RECURSIVE t(n) AS (SELECT n FROM start UNION SELECT n + 1 FROM t) SELECT n FROM t",
    )
    .await;
    grows(&s, "SELECT max(n) FROM up", 10).await;
    run(&s, "CHECKPOINT").await;
    drop((engine, s));
    let last = Arc::new(Mutex::new((0, 0)));
    let seen = Arc::clone(&last);
    let builder = builder(&store, folder.path(), 2).on_recovery(move |p| *seen.lock().unwrap() = (p.bytes, p.bytes_total));
    let _engine = builder.open().await.expect("the store opens");
    let (read, all) = *last.lock().unwrap();
    assert!(read > 0 && read == all, "{read} bytes of {all}");
}
