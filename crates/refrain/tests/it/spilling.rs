//! Loop logs that have no room in memory: they go to temporary files, into checkpoints and back, and nothing is lost where these are full.

use std::time::Duration;

use refrain::{Engine, Session};

use crate::rows::{error, rows, run};

/// In each of so many lanes every number is to be had, and is derived from the one before in one way: a row that is lost is missed for ever.
const LANES: usize = 2_000;

/// Counts for ever. What its rows derive goes through a second join, so it is under way when the loop is held.
const VIEW: &str = "CREATE MATERIALIZED VIEW numbers AS WITH RECURSIVE t(n, lane) AS (SELECT 1::bigint, a FROM pair \
     UNION SELECT t.n + 1, y.a FROM t JOIN pair x ON x.a = t.lane JOIN pair y ON y.b = x.b) SELECT n, lane FROM t";

/// Tries of what depends on where the loop stands.
const TRIES: usize = 200;

async fn open(folder: &std::path::Path, workers: usize) -> (Engine, Session) {
    let store = folder.join("store").display().to_string();
    let temporary = folder.join("temporary");
    std::fs::create_dir_all(&temporary).expect("a folder can be made");
    let engine = Engine::builder().store(store).workers(workers).temporary_folder(temporary).open().await.expect("the store opens");
    let session = engine.session();
    run(&session, "SET reads = 'eager'; SET loop_memory_limit = 0").await;
    (engine, session)
}

async fn create(session: &Session) {
    let pairs = (0..LANES).map(|a| format!("({a}, {})", LANES - a)).collect::<Vec<_>>().join(", ");
    run(session, &format!("CREATE TABLE pair (a INT NOT NULL, b INT NOT NULL); INSERT INTO pair VALUES {pairs}; {VIEW}")).await;
}

/// The numbers up to some number are there, each in every lane; the last ones may be on their way.
async fn check(session: &Session) -> i64 {
    let holes = "SELECT count(*) FROM (SELECT n, count(*) AS lanes FROM numbers GROUP BY n) AS by_number \
                 WHERE lanes <> 2000 AND n < (SELECT max(n) FROM numbers)";
    assert_eq!(rows(session, holes).await, ["0"]);
    let [row] = &rows(session, "SELECT max(n), count(*) - count(DISTINCT n * 2000 + lane) FROM numbers").await[..] else {
        panic!("one row")
    };
    let (reached, twice) = row.split_once('|').expect("two columns");
    assert_eq!(twice, "0");
    reached.parse().expect("there are numbers")
}

/// Waits until the rows that were under way have been missed, if they were.
async fn goes_on(session: &Session, from: i64) {
    for _ in 0..TRIES {
        if check(session).await > from + 3 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the loop does not go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn loop_logs_go_through_temporary_files() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (engine, s) = open(folder.path(), 1).await;
    create(&s).await;
    let mut reached = 0;
    let mut engines = (engine, s);
    for workers in [2, 1, 3] {
        let s = &engines.1;
        let mut logged = 0;
        for _ in 0..TRIES {
            // At least so far comes who goes on from the checkpoint.
            let before = check(s).await;
            assert!(before >= reached);
            reached = before;
            run(s, "CHECKPOINT").await;
            let last = "SELECT loop_log_rows FROM refrain.checkpoints WHERE status = 'committed' ORDER BY id DESC LIMIT 1";
            logged = rows(s, last).await[0].parse::<i64>().expect("a number");
            if logged > 500 {
                break;
            }
        }
        assert!(logged > 500, "a checkpoint catches the loop with rows under way, not {logged}");
        engines.0.close().await.expect("nothing is lost");
        drop(engines);
        engines = open(folder.path(), workers).await;
        goes_on(&engines.1, reached).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_files_that_are_full_abort_the_checkpoint_alone() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (engine, s) = open(folder.path(), 2).await;
    create(&s).await;
    run(&s, "SET temp_file_limit = '1kB'").await;
    let aborted = "SELECT reason FROM refrain.checkpoints WHERE status = 'aborted'";
    let mut failed = None;
    for _ in 0..TRIES {
        if let Err(error) = s.execute("CHECKPOINT").await {
            failed = Some(error);
            break;
        }
    }
    let failed = failed.expect("a checkpoint catches the loop with rows under way");
    assert_eq!(failed.message(), "checkpoint aborted: an upload failed: temporary file size exceeds \"temp_file_limit\" (1kB)");
    assert!(rows(&s, aborted).await[0].ends_with("temporary file size exceeds \"temp_file_limit\" (1kB)"));
    let reached = check(&s).await;
    run(&s, "SET temp_file_limit = -1").await;
    goes_on(&s, reached).await;
    run(&s, "CHECKPOINT").await;
    engine.close().await.expect("nothing is lost");
    drop((engine, s));
    let (_engine, s) = open(folder.path(), 1).await;
    goes_on(&s, reached).await;
    assert_eq!(error(&s, "SET temp_file_limit = 'all'").await.code(), "22023");
}
