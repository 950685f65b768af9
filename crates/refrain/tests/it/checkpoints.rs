//! What checkpoints leave in a store.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use refrain::inspect::inspect;
use refrain::{Engine, Session, display};
use refrain_checkpoint::faults::{Effect, FaultyStore, Gate, Operation};

use crate::outage::grows;
use crate::rows::{memory, rows, run};

const CHECKPOINTS: i64 = 60;
/// A part of so many rows, in segments each more than twice as large as what comes after it, is not in more of them.
const SEGMENTS_MAX: u64 = 12;

/// Views of the kinds that note their changes in different ways; one has an error now and then.
const VIEWS: [(&str, &str); 6] = [
    (
        "chain",
        "WITH RECURSIVE t(a, b) AS (SELECT a, b FROM edge UNION SELECT t.a, e.b FROM t JOIN edge e ON e.a = t.b) SELECT * FROM t",
    ),
    (
        "bag",
        "WITH RECURSIVE t(a, n) AS \
         (SELECT a, 1 FROM edge UNION ALL SELECT e.b, n + 1 FROM t JOIN edge e ON e.a = t.a WHERE n < 5) SELECT * FROM t",
    ),
    (
        "best",
        "WITH RECURSIVE t(a, c) USING KEY (a, min(c)) AS \
         (SELECT 1, 0 UNION SELECT e.b, t.c + e.c FROM t JOIN edge e ON e.a = t.a) SELECT * FROM t",
    ),
    ("sums", "SELECT a % 10 AS k, sum(b) AS s, max(b) AS m FROM edge GROUP BY 1"),
    ("pairs", "SELECT x.a, y.b FROM edge x JOIN edge y ON x.b = y.a"),
    ("quotients", "SELECT 100 / (a - 5000) AS q FROM edge"),
];

/// Sorted rows, or the code of the error.
async fn answer(session: &Session, query: &str) -> Vec<String> {
    match session.query(query).await {
        Ok(batches) => {
            let mut rows = batches.iter().flat_map(display::rows).map(|row| format!("{row:?}")).collect::<Vec<_>>();
            rows.sort();
            rows
        }
        Err(error) => vec![error.code().to_owned()],
    }
}

/// Each view is what its query says when it is asked by itself.
async fn check(session: &Session) {
    for (name, query) in VIEWS {
        assert_eq!(answer(session, &format!("SELECT * FROM {name}")).await, answer(session, query).await, "{name}");
    }
}

/// After many checkpoints of small changes a store has few segments, with few rows that are taken back again, and is what it was.
#[tokio::test]
async fn segments_stay_few_and_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().display().to_string();
    let engine = Engine::builder().store(url.clone()).open().await.unwrap();
    let s = engine.session();
    run(&s, "CREATE TABLE edge (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL)").await;
    let numbers = "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 2000)";
    run(&s, &format!("INSERT INTO edge {numbers} SELECT i, i + 1, 1 FROM g WHERE i % 20 <> 0")).await;
    for (name, query) in VIEWS {
        run(&s, &format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await;
    }
    for number in 0..CHECKPOINTS {
        let a = 1 + number * 31 % 1990;
        run(&s, &format!("DELETE FROM edge WHERE a = {a}; INSERT INTO edge VALUES ({a}, {}, {})", a + 2, number % 3)).await;
        // In every third checkpoint there is an error.
        run(&s, if number % 3 == 0 { "INSERT INTO edge VALUES (5000, 1, 1)" } else { "DELETE FROM edge WHERE a = 5000" }).await;
        for (name, _) in VIEWS {
            let _ = answer(&s, &format!("SELECT * FROM {name}")).await;
        }
        s.checkpoint().await.unwrap();
    }
    check(&s).await;
    let report = inspect(&url).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let newest = &report.checkpoints[0];
    assert!(newest.operators.len() >= 6, "{:?}", newest.operators);
    for operator in &newest.operators {
        assert!(operator.size.objects <= SEGMENTS_MAX, "{operator:?}");
        assert!(operator.size.rows < 2 * operator.bases.rows + 500, "{operator:?}");
    }
    for relation in &newest.relations {
        assert!(relation.result.objects <= 2 * SEGMENTS_MAX, "{relation:?}");
    }
    drop((s, engine));
    let s = Engine::builder().store(url).workers(2).open().await.unwrap().session();
    check(&s).await;
    run(&s, "DELETE FROM edge WHERE a % 7 = 0; INSERT INTO edge VALUES (20, 21, 1), (40, 41, 2)").await;
    check(&s).await;
}

/// A checkpoint writes what has changed since the one before: nothing, where nothing has.
#[tokio::test]
async fn what_has_not_changed_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().display().to_string();
    let s = Engine::builder().store(url.clone()).open().await.unwrap().session();
    run(&s, "CREATE TABLE edge (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL)").await;
    run(&s, "INSERT INTO edge SELECT i, i + 1, 1 FROM generate_series(1, 6000) AS g(i) WHERE i % 20 <> 0 AND i <> 5000").await;
    for (name, query) in VIEWS {
        run(&s, &format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await;
        answer(&s, &format!("SELECT * FROM {name}")).await;
    }
    let base = s.checkpoint().await.unwrap();
    for _ in 0..3 {
        let idle = s.checkpoint().await.unwrap();
        assert_eq!((idle.bytes, idle.loop_log_rows), (0, 0));
    }
    run(&s, "INSERT INTO edge VALUES (7000, 7001, 1)").await;
    check(&s).await;
    let changed = s.checkpoint().await.unwrap();
    assert!(changed.bytes > 0 && changed.bytes * 10 < base.bytes, "{} of {} bytes", changed.bytes, base.bytes);
    let report = inspect(&url).await.unwrap();
    assert!(report.checkpoints.iter().flat_map(|c| &c.loops).all(|l| l.log.objects == 0));
}

#[tokio::test]
async fn a_loop_tells_how_often_it_went_round_and_how_long_it_took_to_hold() {
    let s = memory().await;
    run(
        &s,
        "CREATE MATERIALIZED VIEW nat AS WITH RECURSIVE t(n) AS (SELECT 1::BIGINT UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
    )
    .await;
    let before = grows(&s, "SELECT laps FROM refrain.loops", 1_000).await;
    assert_eq!(rows(&s, "SELECT hold_us FROM refrain.loops").await, ["0"]);
    s.checkpoint().await.unwrap();
    assert_eq!(rows(&s, "SELECT hold_us > 0 FROM refrain.loops").await, ["t"]);
    grows(&s, "SELECT laps FROM refrain.loops", before + 1_000).await;
}

/// Which part of a checkpoint takes long can be seen: an upload that waits, or the put of the manifest.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_each_part_took_is_told() {
    const PAUSE: Duration = Duration::from_millis(30);
    let store = FaultyStore::new(Arc::new(InMemory::new()));
    let engine = Engine::builder().object_store(Arc::new(store.clone())).open().await.unwrap();
    let s = engine.session();
    run(&s, "CREATE TABLE t (a INT)").await;
    for (n, object) in ["segment/", "manifest/"].into_iter().enumerate() {
        run(&s, &format!("INSERT INTO t VALUES ({n})")).await;
        let gate = Gate::default();
        store.inject(Operation::Put, object, Effect::Delay(gate.clone()));
        let asker = s.clone();
        let checkpoint = tokio::spawn(async move { asker.checkpoint().await });
        gate.arrival().await;
        tokio::time::sleep(PAUSE).await;
        gate.open();
        let taken = checkpoint.await.unwrap().unwrap();
        let waited = [taken.upload_ms, taken.commit_ms][n];
        assert!(waited >= 30, "{object}: {taken:?}");
        let parts = taken.capture_ms + taken.upload_ms + taken.commit_ms;
        assert!(parts <= taken.duration_ms && taken.duration_ms <= parts + 2, "{taken:?}");
    }
    let told = "SELECT count(*) FROM refrain.checkpoints WHERE upload_ms >= 30 OR commit_ms >= 30";
    assert_eq!(rows(&s, told).await, ["2"]);
}
