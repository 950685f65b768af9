//! Stores that fail, are slow, or are gone for a while: queries go on, nothing acknowledged is lost, nothing is there twice. What a
//! checkpoint that fails has taken is given back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use refrain::{Engine, ErrorKind, Session};
use refrain_checkpoint::faults::{Effect, FaultyStore, Gate, Operation};
use tokio::runtime::Handle;

use crate::rows::{error, rows, run};
use crate::spilling::{OF_LOGS, comes_free, in_use};

/// Recurs for ever.
const NUMBERS: &str =
    "CREATE MATERIALIZED VIEW nat AS WITH RECURSIVE t(n) AS (SELECT 1::BIGINT UNION ALL SELECT n + 1 FROM t) SELECT n FROM t";

/// A thousand rows go round for ever and leave nothing behind. They keep no iterations: of a loop that is held all of them are in its log.
const CAROUSEL: &str = "CREATE TABLE rider (n BIGINT) WITH (append_only = true); \
    INSERT INTO rider SELECT n FROM generate_series(1, 1000) AS n; \
    CREATE MATERIALIZED VIEW carousel AS WITH MUTUALLY RECURSIVE t (n BIGINT) AS (SELECT n FROM rider UNION ALL SELECT n + 1 FROM t) \
    SELECT n FROM t WHERE n < 0";

/// Rows that went round.
const ROUNDS: &str = "SELECT max(rows) FROM refrain.operators WHERE view = 'carousel'";

fn store() -> FaultyStore {
    FaultyStore::new(Arc::new(InMemory::new()))
}

async fn open(store: &FaultyStore) -> (Engine, Session) {
    let engine = Engine::builder().object_store(Arc::new(store.clone())).workers(2).open().await.expect("the store opens");
    let session = engine.session();
    (engine, session)
}

/// An engine with the carousel, one worker, and its temporary files in this folder.
async fn carousel(store: &FaultyStore, folder: &Path) -> (Engine, Session) {
    let builder = Engine::builder().object_store(Arc::new(store.clone())).temporary_folder(folder);
    let engine = builder.open().await.expect("the store opens");
    let session = engine.session();
    run(&session, CAROUSEL).await;
    (engine, session)
}

pub(crate) async fn number(session: &Session, query: &str) -> i64 {
    rows(session, query).await[0].parse().unwrap_or(0)
}

/// Waits until a query gives more than this.
pub(crate) async fn grows(session: &Session, query: &str, from: i64) -> i64 {
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

/// The loop is held while the put of its log waits, and goes on when that of the manifest has failed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_checkpoint_took_is_free_again_when_it_is_aborted() {
    let (folder, store) = (tempfile::tempdir().unwrap(), store());
    let (engine, s) = carousel(&store, folder.path()).await;
    run(&s, "SET checkpoint_hold_max_ms = 600000").await;
    for (limit, used_for, log) in [("0", "temporary files", "1000|f|t"), ("-1", "loop logs", "1000|t|f")] {
        run(&s, &format!("SET loop_memory_limit = {limit}")).await;
        let gate = Gate::default();
        store.inject(Operation::Put, "loop/", Effect::Delay(gate.clone()));
        store.inject(Operation::Put, "manifest/", Effect::FailBefore);
        let asker = s.clone();
        let checkpoint = tokio::spawn(async move { error(&asker, "CHECKPOINT").await });
        gate.arrival().await;
        assert_eq!(rows(&s, "SELECT log_rows, log_bytes > 0, spilled_bytes > 0 FROM refrain.loops").await, [log]);
        assert_eq!(in_use(&s).await, [used_for]);
        gate.open();
        assert_eq!(checkpoint.await.unwrap().code(), "58030");
        comes_free(&s, folder.path(), OF_LOGS).await;
        let rounds = number(&s, ROUNDS).await;
        grows(&s, ROUNDS, rounds).await;
    }
    run(&s, "CHECKPOINT").await;
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_checkpoints_that_fail_leave_nothing_behind() {
    const ABORTS: usize = 1_000;
    /// What is there at one time and not at another: the objects of a checkpoint, the task that collects garbage.
    const SPARE: usize = 8;
    let (folder, objects, fails) = (tempfile::tempdir().unwrap(), Arc::new(InMemory::new()), Arc::new(AtomicBool::new(false)));
    let (is_failing, puts) = (Arc::clone(&fails), AtomicUsize::new(0));
    // Each manifest fails, and some of the objects before it.
    let store = FaultyStore::deciding(objects.clone(), move |operation, name| {
        let fails = operation == Operation::Put
            && is_failing.load(Ordering::Relaxed)
            && (name.contains("manifest/") || puts.fetch_add(1, Ordering::Relaxed).is_multiple_of(3));
        if fails { Effect::FailBefore } else { Effect::Nothing }
    });
    let (engine, s) = carousel(&store, folder.path()).await;
    run(&s, "SET loop_memory_limit = 0").await;
    let there = async || (objects.list(None).count().await, Handle::current().metrics().num_alive_tasks());
    for _ in 0..2 {
        s.checkpoint().await.expect("the store is there");
    }
    let before = there().await;

    fails.store(true, Ordering::Relaxed);
    for _ in 0..ABORTS {
        let aborted = s.checkpoint().await.expect_err("the manifest cannot be written");
        assert!(aborted.message().starts_with("checkpoint aborted: "), "{aborted}");
    }
    comes_free(&s, folder.path(), OF_LOGS).await;
    let rounds = number(&s, ROUNDS).await;
    grows(&s, ROUNDS, rounds).await;
    let remembered = number(&s, "SELECT count(*) FROM refrain.checkpoints").await;
    assert!(remembered <= 1_000, "{remembered} checkpoints are remembered");

    fails.store(false, Ordering::Relaxed);
    let mut now = before;
    for _ in 0..100 {
        s.checkpoint().await.expect("the store is there again");
        now = there().await;
        if now.0 <= before.0 + SPARE && now.1 <= before.1 + SPARE {
            break;
        }
    }
    assert!(now.0 <= before.0 + SPARE, "{} objects are in the store, before it were {}", now.0, before.0);
    assert!(now.1 <= before.1 + SPARE, "{} tasks are alive, before it were {}", now.1, before.1);
    engine.close().await.unwrap();
}

/// A lap that goes on for long is one that a checkpoint waits for. When its view is dropped there is nothing left to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_says_which_view_it_waits_for() {
    const WIDE: &str = "CREATE TABLE many (n BIGINT); INSERT INTO many SELECT n FROM generate_series(1, 30000) AS n; \
        CREATE MATERIALIZED VIEW wide AS WITH RECURSIVE t(n) AS \
        (SELECT 0::BIGINT UNION SELECT a.n + b.n FROM t, many a, many b WHERE t.n = 0) SELECT n FROM t";
    const RUNNING: &str = "SELECT reason FROM refrain.checkpoints WHERE status = 'running'";
    let (engine, s) = open(&store()).await;
    run(&s, "SET reads = 'eager'; SET checkpoint_timeout_ms = 600000").await;
    run(&s, WIDE).await;
    grows(&s, "SELECT max(rows) FROM refrain.operators WHERE view = 'wide'", 1_000_000).await;
    let asker = s.clone();
    let checkpoint = tokio::spawn(async move { asker.checkpoint().await });
    grows(&s, "SELECT count(*) FROM refrain.checkpoints WHERE status = 'running'", 0).await;
    assert_eq!(rows(&s, RUNNING).await, ["it waits for view \"wide\""]);
    run(&s, "DROP MATERIALIZED VIEW wide").await;
    checkpoint.await.unwrap().expect("the checkpoint commits");
    engine.close().await.unwrap();
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
    let awaited = "it waits for statements that wait for the store";
    assert_eq!(rows(&s, "SELECT reason FROM refrain.checkpoints WHERE status = 'running'").await, [awaited]);
    let reason = "checkpoint aborted: it took longer than checkpoint_timeout_ms; it waited for statements that wait for the store";
    assert_eq!(checkpoint.await.unwrap().message(), reason);
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

/// What is dropped, altered or created between the capture of the catalog and the commit is in the checkpoint as it was then.
#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_changes_while_a_checkpoint_is_written() {
    let store = store();
    let (engine, s) = open(&store).await;
    run(&s, "CREATE TABLE t (a INT); CREATE TABLE gone (a INT); INSERT INTO t VALUES (1); INSERT INTO gone VALUES (2)").await;
    run(&s, "CREATE MATERIALIZED VIEW sums AS SELECT sum(a) AS a FROM gone; CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await;
    run(&s, NUMBERS).await;
    assert_eq!(rows(&s, "SELECT a FROM sums UNION ALL SELECT a FROM v").await, ["1", "2"]);
    let gate = Gate::default();
    store.inject(Operation::Put, "segment/", Effect::Delay(gate.clone()));
    let asker = s.clone();
    let checkpoint = tokio::spawn(async move { run(&asker, "CHECKPOINT").await });
    gate.arrival().await;
    let uploads = "SELECT count(*) FROM refrain.checkpoints WHERE status = 'running' AND reason LIKE 'it waits for % upload%'";
    grows(&s, uploads, 0).await;
    run(&s, "DROP TABLE gone CASCADE; DROP MATERIALIZED VIEW v; CREATE TABLE gone (b TEXT); INSERT INTO gone VALUES ('x')").await;
    gate.open();
    checkpoint.await.unwrap();
    drop((engine, s));
    let (engine, s) = open(&store).await;
    assert_eq!(rows(&s, "SELECT b FROM gone").await, ["x"]);
    assert_eq!(rows(&s, "SELECT a FROM t").await, ["1"]);
    assert_eq!(error(&s, "SELECT * FROM v").await.code(), "42P01");
    run(&s, "CREATE MATERIALIZED VIEW v AS SELECT b FROM gone; CHECKPOINT").await;
    assert_eq!(rows(&s, "SELECT b FROM v").await, ["x"]);
    engine.close().await.unwrap();
}
