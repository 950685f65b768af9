//! A checkpoint in the middle of a deletion: an edge that feeds a cycle from outside goes, the retraction is partly round the loop when
//! the checkpoint catches it, and any number of workers ends it from there.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use refrain::inspect::inspect;
use refrain::{Engine, Session};

use crate::rows::{rows, run};

/// Rounds in which no checkpoint caught the deletion, after which something must be wrong.
const ROUNDS_MAX: usize = 200;

/// What is lit from the node 0, by labels: a cycle of the nodes from 1 on, and an edge from 0 that feeds it.
struct Fed {
    length: i32,
    labels: i32,
    workers: usize,
    /// The view `lit`, over the tables `label` and `edge`.
    view: &'static str,
}

/// Many rows go round a short cycle. They are divided by their label: each worker has a loop of its own, with more rows than it releases
/// in one go.
fn wide(workers: usize) -> Fed {
    let view = "WITH RECURSIVE r(l, n) AS (SELECT l, 0 FROM label UNION SELECT r.l, e.b FROM r JOIN edge e ON e.a = r.n) SELECT l, n FROM r";
    Fed { length: 3, labels: 40_000 * i32::try_from(workers).expect("a few"), workers, view }
}

/// One row goes round a long cycle, from worker to worker.
fn long(workers: usize) -> Fed {
    let view = "WITH RECURSIVE r(n) AS (SELECT 0 UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r";
    Fed { length: 8_000, labels: 1, workers, view }
}

async fn open(folder: &tempfile::TempDir, workers: usize) -> Session {
    let engine = Engine::builder().store(folder.path().display().to_string()).workers(workers).open().await;
    engine.expect("the store opens").session()
}

fn columns<const N: usize>(columns: [(&str, Vec<i32>); N]) -> RecordBatch {
    let columns = columns.map(|(name, values)| (name, Arc::new(Int32Array::from(values)) as ArrayRef));
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

impl Fed {
    async fn build(&self, session: &Session) {
        let create = format!("CREATE MATERIALIZED VIEW lit AS {}", self.view);
        run(session, &format!("CREATE TABLE label (l int); CREATE TABLE edge (a int, b int); {create}")).await;
        session.insert("label", columns([("l", (0..self.labels).collect())])).await.expect("rows of the table");
        let cycle = (1..=self.length).map(|node| (node, node % self.length + 1));
        let (a, b) = cycle.chain([(0, 1)]).unzip();
        session.insert("edge", columns([("a", a), ("b", b)])).await.expect("rows of the table");
        self.check(session, "fed").await;
    }

    /// While the edge from 0 is there, every node is lit by every label; without it only 0 is.
    async fn check(&self, session: &Session, what: &str) {
        let (length, labels) = (i64::from(self.length), i64::from(self.labels));
        let expected = match what {
            "fed" => format!("{}|{length}|{}", labels * (length + 1), labels * length * (length + 1) / 2),
            _ => format!("{labels}|0|0"),
        };
        assert_eq!(rows(session, "SELECT count(*), max(n), sum(n) FROM lit").await, [expected], "{what}");
    }

    /// Deletes the edge that feeds the cycle and takes a checkpoint when that is under way, again and again, until one has caught it: some
    /// iterations of the deletion are done and some are not.
    async fn catch_deletion(&self, folder: &tempfile::TempDir, session: &Session) {
        for _ in 0..ROUNDS_MAX {
            run(session, "DELETE FROM edge WHERE a = 0").await;
            self.under_way(session).await;
            session.checkpoint().await.expect("the checkpoint commits");
            let report = inspect(&folder.path().display().to_string()).await.expect("the store can be read");
            let checkpoint = &report.checkpoints[0];
            let lit = checkpoint.relations.iter().find(|relation| relation.name == "lit").expect("the checkpoint holds the view");
            if lit.epoch < checkpoint.epoch && self.is_middle(checkpoint.loops[0].iteration) {
                return;
            }
            self.check(session, "cut off").await;
            run(session, "INSERT INTO edge VALUES (0, 1)").await;
            self.check(session, "fed").await;
        }
        panic!("in {ROUNDS_MAX} rounds no checkpoint was in the middle of a deletion");
    }

    /// Whether a deletion that has come to this iteration has released rows of the cycle. One that has not begun shows the iteration in
    /// which the cycle was closed, which is beyond.
    fn is_middle(&self, iteration: u32) -> bool {
        (1..=self.length.unsigned_abs()).contains(&iteration)
    }

    /// Waits until the deletion is in its middle, or over.
    async fn under_way(&self, session: &Session) {
        let reader = session.clone();
        let over = tokio::spawn(async move { rows(&reader, "SELECT count(*) FROM lit").await });
        while !over.is_finished() {
            let iteration = rows(session, "SELECT iteration FROM refrain.loops").await;
            if self.is_middle(iteration[0].parse().expect("an iteration is a number")) {
                break;
            }
        }
        over.abort();
        // The engine ends with its last session.
        let _ = over.await;
    }

    /// A checkpoint of so many workers is restored by others; none takes a further one, so each begins in the middle.
    async fn survives(&self) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let session = open(&folder, self.workers).await;
        self.build(&session).await;
        self.catch_deletion(&folder, &session).await;
        drop(session);
        for restored in [1, 2, 4, 8] {
            let session = open(&folder, restored).await;
            self.check(&session, "cut off").await;
            assert_eq!(rows(&session, "SELECT DISTINCT n FROM lit").await, ["0"], "from {} workers to {restored}", self.workers);
        }
        let session = open(&folder, self.workers).await;
        run(&session, "INSERT INTO edge VALUES (0, 1)").await;
        self.check(&session, "fed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_restored_from_the_middle_of_a_wide_iteration() {
    for workers in [1, 4] {
        wide(workers).survives().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_restored_from_the_middle_of_its_way_round_a_long_cycle() {
    for workers in [1, 4] {
        long(workers).survives().await;
    }
}
