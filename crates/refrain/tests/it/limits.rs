//! Statements that are ended from outside, and those that come to an end although something else does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use futures::StreamExt;
use refrain::{Engine, Session};

use crate::outage::grows;
use crate::rows::{error, memory, rows, run};
use crate::spilling::{OF_VIEWS, comes_free};

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

/// A recursion without an end that is given up, as a statement or as a view, leaves nothing behind, and shows nothing of what it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_recursion_that_is_given_up_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::builder().workers(2).temporary_folder(folder.path()).open().await.unwrap();
    let s = engine.session();
    run(&s, "SET statement_timeout = 100").await;
    let query = "WITH RECURSIVE t(n) AS (SELECT 1::BIGINT UNION SELECT n + 1 FROM t) SELECT max(n) FROM t";
    assert_eq!(error(&s, query).await.code(), "57014");
    comes_free(&s, folder.path(), OF_VIEWS).await;
    assert_eq!(rows(&s, "SELECT count(*) FROM refrain.loops").await, ["0"]);
    run(&s, "SET statement_timeout = 0").await;
    run(&s, NATURALS).await;
    let subscriber = s.clone();
    let subscribed = tokio::spawn(async move { subscriber.subscribe("SUBSCRIBE nat").await.map(drop) });
    grows(&s, "SELECT max(iteration) FROM refrain.loops", 1_000).await;
    run(&s, "DROP MATERIALIZED VIEW nat").await;
    let ended = subscribed.await.unwrap().expect_err("no row had settled");
    assert_eq!(ended.code(), "42P01");
    comes_free(&s, folder.path(), OF_VIEWS).await;
    assert_eq!(rows(&s, "SELECT count(*) FROM refrain.loops").await, ["0"]);
}

/// Rows of `label` that come and go at once; each lights so many nodes, and node 0.
const LABELS: i32 = 10;
const NODES: i64 = 1_500;

/// Replaces all labels by others, again and again without a pause. `acknowledged` is how often they have come.
async fn write_without_end(session: Session, acknowledged: Arc<AtomicI32>) {
    let labels = |round: i32| {
        let labels = Arc::new(Int32Array::from_iter_values(round * LABELS..(round + 1) * LABELS)) as ArrayRef;
        RecordBatch::try_from_iter([("l", labels)]).expect("one column")
    };
    for round in 0.. {
        session.insert("label", labels(round)).await.expect("rows of the table");
        acknowledged.store(round + 1, Ordering::Release);
        if round > 0 {
            session.delete("label", labels(round - 1)).await.expect("rows of the table");
        }
    }
}

/// A recursion that takes longer than the next change needs to come settles all the same: by itself now and then, and for each read at
/// the epoch of that read.
#[tokio::test(flavor = "multi_thread")]
async fn a_recursive_view_settles_while_its_input_never_rests() {
    const LIT: &str = "WITH RECURSIVE r(l, n) AS \
         (SELECT l, 0 FROM label UNION SELECT r.l, e.b FROM r JOIN edge e ON e.a = r.n) SELECT l, n FROM r";
    const NUMBERS: &str = "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 1500)";
    let engine = Engine::builder().workers(1).open().await.unwrap();
    let s = engine.session();
    run(&s, "SET admit_after_ms = 1; SET statement_timeout = '20s'").await;
    run(&s, "CREATE TABLE label (l INT); CREATE TABLE edge (a INT, b INT)").await;
    run(&s, &format!("INSERT INTO edge {NUMBERS} SELECT i - 1, i FROM g")).await;
    run(&s, &format!("CREATE MATERIALIZED VIEW lit AS {LIT}")).await;
    let mut events = s.subscribe("SUBSCRIBE lit WITH (PROGRESS = true)").await.unwrap();
    let acknowledged = Arc::new(AtomicI32::new(0));
    let writing = tokio::spawn(write_without_end(engine.session(), Arc::clone(&acknowledged)));

    // At every epoch there are the labels of one round, or of two.
    let (mut lit, mut epochs) = (0, Vec::new());
    while epochs.len() < 4 {
        let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await.expect("the view settles");
        let event = event.expect("the stream goes on").expect("no error");
        lit += event.weights.iter().sum::<i64>();
        if event.progress {
            assert!(epochs.last().is_none_or(|last| *last < event.epoch), "{epochs:?}, then {}", event.epoch);
            assert!([0, 1, 2].map(|rounds| rounds * i64::from(LABELS) * (NODES + 1)).contains(&lit), "{lit} rows");
            epochs.push(event.epoch);
        }
    }
    drop(events);

    let read = "SELECT (SELECT count(*) FROM label), (SELECT max(l) FROM label), count(*), max(l), sum(n) FROM lit";
    for _ in 0..10 {
        let before = acknowledged.load(Ordering::Acquire);
        let read = rows(&s, read).await;
        let numbers = read[0].split('|').map(|n| n.parse::<i64>().unwrap()).collect::<Vec<_>>();
        let [labels, newest, ..] = numbers[..] else { panic!("{numbers:?}") };
        assert_eq!(numbers[2..], [labels * (NODES + 1), newest, labels * NODES * (NODES + 1) / 2], "{numbers:?}");
        assert!(newest >= i64::from(before * LABELS - 1), "what was acknowledged before is there");
        while acknowledged.load(Ordering::Acquire) < before + 2 {
            assert!(!writing.is_finished(), "the input never rests");
            tokio::task::yield_now().await;
        }
    }
    writing.abort();
}
