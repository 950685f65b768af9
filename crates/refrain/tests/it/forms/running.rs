//! What the table says of recursions that run, the same of each of our forms.

use refrain::inspect::inspect;
use refrain::{Engine, Session};

use super::FORMS;
use crate::rows::{error, rows, run};

/// What is shown here, as the README names it, in its order.
pub(super) const SHOWN: [&str; 4] = [
    "kept up to date under inserts and deletes",
    "a checkpoint in the middle of it, from which it goes on",
    "without an end it stops nothing else, and ends when its cause goes",
    "a row that fails is an error of the view until its cause goes",
];

/// In the order of [`FORMS`]: what can be reached in `edge` from the rows of `seed`.
const REACHED: [&str; FORMS.len()] = [
    "WITH RECURSIVE r(n) AS (SELECT n FROM seed UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
    "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT n FROM seed UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
    "WITH MUTUALLY RECURSIVE r (n bigint) AS (SELECT n FROM seed UNION SELECT e.b FROM r JOIN edge e ON e.a = r.n) SELECT n FROM r",
];

/// Every number from those of `seed` on.
const ENDLESS: [&str; FORMS.len()] = [
    "WITH RECURSIVE r(n) AS (SELECT n FROM seed UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
    "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT n FROM seed UNION SELECT n + 1 FROM r) SELECT n FROM r",
    "WITH MUTUALLY RECURSIVE r (n bigint) AS (SELECT n FROM seed UNION SELECT n + 1 FROM r) SELECT n FROM r",
];

/// Of 2, a division by zero; of 1 one more number; of others nothing.
const FAILING: [&str; FORMS.len()] = [
    "WITH RECURSIVE r(n) AS (SELECT n FROM seed UNION SELECT 10 / (n - 2) FROM r WHERE n BETWEEN 1 AND 2) SELECT n FROM r",
    "WITH RECURSIVE r(n) USING KEY (n) AS (SELECT n FROM seed UNION SELECT 10 / (n - 2) FROM r WHERE n BETWEEN 1 AND 2) SELECT n FROM r",
    "WITH MUTUALLY RECURSIVE r (n bigint) AS (
     SELECT n FROM seed UNION SELECT 10 / (n - 2) FROM r WHERE n BETWEEN 1 AND 2) SELECT n FROM r",
];

async fn open(folder: &tempfile::TempDir, workers: usize) -> Session {
    let engine = Engine::builder().store(folder.path().display().to_string()).workers(workers).open().await;
    engine.expect("the store opens").session()
}

async fn with_view(folder: &tempfile::TempDir, sql: &str) -> Session {
    let session = open(folder, 1).await;
    run(&session, "CREATE TABLE seed (n bigint); CREATE TABLE edge (a bigint, b bigint)").await;
    run(&session, &format!("CREATE MATERIALIZED VIEW v AS {sql}")).await;
    session
}

/// Waits until the view's loop has come to an iteration; returns where it is.
async fn reaches(session: &Session, iteration: u64) -> u64 {
    loop {
        let now = rows(session, "SELECT max(iteration) FROM refrain.loops WHERE view = 'v'").await;
        let now = now[0].parse().expect("an iteration is a number");
        if now >= iteration {
            return now;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_is_kept_up_to_date() {
    for (sql, form) in REACHED.iter().zip(FORMS) {
        let s = with_view(&tempfile::tempdir().unwrap(), sql).await;
        for (change, expected) in [
            ("INSERT INTO edge VALUES (1, 2), (2, 3), (3, 1), (3, 4)", ""),
            ("INSERT INTO seed VALUES (1)", "1 2 3 4"),
            ("DELETE FROM edge WHERE a = 2", "1 2"),
            ("INSERT INTO seed VALUES (3)", "1 2 3 4"),
            ("INSERT INTO edge VALUES (2, 3)", "1 2 3 4"),
            ("DELETE FROM seed WHERE n = 1", "1 2 3 4"),
            ("UPDATE edge SET a = 9 WHERE b = 1", "3 4"),
            ("DELETE FROM seed", ""),
        ] {
            run(&s, change).await;
            assert_eq!(rows(&s, "SELECT n FROM v").await.join(" "), expected, "{form}: {change}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_runs_without_an_end_and_goes_on_from_a_checkpoint_in_the_middle() {
    for (sql, form) in ENDLESS.iter().zip(FORMS) {
        let folder = tempfile::tempdir().unwrap();
        let s = with_view(&folder, sql).await;
        run(&s, "CREATE TABLE other (n bigint); CREATE MATERIALIZED VIEW others AS SELECT count(*) FROM other").await;
        run(&s, "INSERT INTO seed VALUES (1)").await;
        let before = reaches(&s, 1_000).await;
        run(&s, "INSERT INTO other VALUES (5)").await;
        assert_eq!(rows(&s, "SELECT * FROM others").await, ["1"], "{form}");
        s.checkpoint().await.expect("the checkpoint commits");
        drop(s);

        let report = inspect(&folder.path().display().to_string()).await.expect("the store can be read");
        let captured = u64::from(report.checkpoints[0].loops[0].iteration);
        assert!(captured >= before, "{form}: captured in iteration {captured}, after {before}");
        let s = open(&folder, 2).await;
        // The first that is seen of it: it has not begun anew, and has each number once.
        run(&s, "SET reads = 'eager'").await;
        let numbers = rows(&s, "SELECT count(*), count(DISTINCT n), max(n) FROM v").await;
        run(&s, "SET reads = 'strict'").await;
        let numbers = numbers[0].split('|').map(|n| n.parse::<u64>().expect("a number")).collect::<Vec<_>>();
        assert!(numbers[0] >= captured && numbers.iter().all(|n| *n == numbers[0]), "{form}: {numbers:?}");
        reaches(&s, captured + 1).await;
        run(&s, "INSERT INTO other VALUES (6); DELETE FROM seed").await;
        assert_eq!(rows(&s, "SELECT * FROM others").await, ["2"], "{form}");
        assert_eq!(rows(&s, "SELECT n FROM v").await, [""; 0], "{form}: its cause is gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_heals_when_the_row_that_fails_goes() {
    for (sql, form) in FAILING.iter().zip(FORMS) {
        let s = with_view(&tempfile::tempdir().unwrap(), sql).await;
        run(&s, "INSERT INTO seed VALUES (1), (7)").await;
        assert_eq!(rows(&s, "SELECT n FROM v").await, ["-10", "1", "7"], "{form}");
        run(&s, "INSERT INTO seed VALUES (2)").await;
        assert_eq!(error(&s, "SELECT n FROM v").await.code(), "22012", "{form}");
        run(&s, "DELETE FROM seed WHERE n = 2").await;
        assert_eq!(rows(&s, "SELECT n FROM v").await, ["-10", "1", "7"], "{form}");
    }
}
