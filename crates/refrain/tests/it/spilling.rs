//! Loop logs and rows of operators that have no room in memory: they go to temporary files, into checkpoints and back, and nothing is lost
//! where these are full. What a checkpoint or a view has taken is free again when it is gone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use refrain::{Engine, Session};
use refrain_checkpoint::faults::{Effect, FaultyStore, Gate, Operation};

use crate::outage::{grows, number};
use crate::rows::{error, rows, run};

/// In each of so many lanes every number is to be had, and is derived from the one before in one way: a row that is lost is missed for ever.
const LANES: usize = 2_000;

/// Counts for ever. What its rows derive goes through a second join, so it is under way when the loop is held.
pub(crate) const VIEW: &str = "CREATE MATERIALIZED VIEW numbers AS WITH RECURSIVE t(n, lane) AS (SELECT 1::bigint, a FROM pair \
     UNION SELECT t.n + 1, y.a FROM t JOIN pair x ON x.a = t.lane JOIN pair y ON y.b = x.b) SELECT n, lane FROM t";

/// Tries of what depends on where the loop stands.
pub(crate) const TRIES: usize = 200;

const ITERATION: &str = "SELECT max(iteration) FROM refrain.loops";

/// What the logs of loops take.
pub(crate) const OF_LOGS: &[&str] = &["loop logs", "temporary files"];
pub(crate) const OF_VIEWS: &[&str] = &["rows", "loop logs", "temporary files"];

/// What memory is taken for now.
pub(crate) async fn in_use(session: &Session) -> Vec<String> {
    rows(session, "SELECT used_for FROM refrain.memory WHERE used_bytes > 0").await
}

/// Files in this folder that the process has open, with or without a name, where the system tells.
fn open_files(folder: &Path) -> usize {
    let Ok(files) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let folder = folder.canonicalize().expect("the folder is there");
    // A file may be closed in between.
    let targets = files.filter_map(|file| std::fs::read_link(file.expect("files can be listed").path()).ok());
    targets.filter(|target| target.starts_with(&folder)).count()
}

/// Waits until no memory is taken for any of these, and no temporary file is open.
pub(crate) async fn comes_free(session: &Session, temporary: &Path, uses: &[&str]) {
    let mut left = Vec::new();
    for _ in 0..1_000 {
        left = in_use(session).await;
        left.retain(|used_for| uses.contains(&used_for.as_str()));
        if left.is_empty() && open_files(temporary) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("memory is taken for {left:?}, and {} temporary files are open", open_files(temporary));
}

async fn open(folder: &Path, workers: usize) -> (Engine, Session) {
    let store = folder.join("store").display().to_string();
    let temporary = folder.join("temporary");
    std::fs::create_dir_all(&temporary).expect("a folder can be made");
    let engine = Engine::builder().store(store).workers(workers).temporary_folder(temporary).open().await.expect("the store opens");
    let session = engine.session();
    run(&session, "SET reads = 'eager'; SET loop_memory_limit = 0").await;
    (engine, session)
}

/// The state of a closure, a join and a `DISTINCT` does not fit memory; nor does what comes back from a checkpoint.
#[tokio::test(flavor = "multi_thread")]
async fn rows_go_through_temporary_files() {
    const NODES: i64 = 500;
    const CLOSURE: &str = "WITH RECURSIVE c(a, b) AS (SELECT a, b FROM edge UNION SELECT c.a, e.b FROM c JOIN edge e ON e.a = c.b)";
    const USED: &str = "SELECT used_bytes FROM refrain.memory WHERE used_for = ";
    let folder = tempfile::tempdir().expect("a folder can be made");
    let open = async |workers, files: &str| {
        let store = folder.path().join("store").display().to_string();
        let limited =
            Engine::builder().store(store).workers(workers).setting("memory_limit", "0").setting("temp_file_limit", files);
        limited.open().await.expect("the store opens").session()
    };
    let used =
        async |session: &Session, what: &str| rows(session, &format!("{USED}'{what}'")).await[0].parse::<i64>().expect("a number");
    // A chain, cut in two at `cut`.
    let check = async |session: &Session, cut: i64| {
        let pairs = |nodes: i64| nodes * (nodes - 1) / 2;
        let wanted = pairs(cut) + pairs(NODES - cut);
        let ends = NODES - i64::from(cut > 0) - i64::from(cut < NODES);
        assert_eq!(rows(session, "SELECT count(*), min(b - a) FROM closure").await, [format!("{wanted}|1")]);
        assert_eq!(rows(session, "SELECT count(*) FROM ends").await, [ends.to_string()]);
    };
    let edges = (1..NODES).map(|a| format!("({a}, {})", a + 1)).collect::<Vec<_>>().join(", ");
    let mut s = open(1, "-1").await;
    run(&s, "CREATE TABLE edge (a BIGINT NOT NULL, b BIGINT NOT NULL)").await;
    run(&s, &format!("INSERT INTO edge VALUES {edges}")).await;
    run(&s, &format!("CREATE MATERIALIZED VIEW closure AS {CLOSURE} SELECT a, b FROM c")).await;
    run(&s, "CREATE MATERIALIZED VIEW ends AS SELECT DISTINCT l.b FROM closure l JOIN closure r ON r.b = l.a AND r.a = l.a - 1 UNION SELECT b FROM closure").await;
    check(&s, NODES).await;
    assert_eq!(used(&s, "rows").await, 0);
    assert!(used(&s, "temporary files").await > NODES * NODES / 2 * 16);
    run(&s, "CHECKPOINT").await;
    for (workers, cut) in [(2, 100), (1, 499)] {
        drop(s);
        s = open(workers, "-1").await;
        check(&s, NODES).await;
        run(&s, &format!("DELETE FROM edge WHERE a = {cut}")).await;
        check(&s, cut).await;
        run(&s, &format!("INSERT INTO edge VALUES ({cut}, {})", cut + 1)).await;
        check(&s, NODES).await;
        assert_eq!(used(&s, "rows").await, 0);
        run(&s, "CHECKPOINT").await;
    }
    // Where files are full, rows stay in memory.
    drop(s);
    s = open(2, "300kB").await;
    check(&s, NODES).await;
    let in_memory = used(&s, "rows").await;
    assert!(in_memory > 1 << 20, "{in_memory} bytes");
    let error = "SELECT error FROM refrain.memory WHERE used_for = 'rows'";
    assert_eq!(rows(&s, error).await, ["temporary file size exceeds \"temp_file_limit\" (300kB)"]);
    run(&s, "DELETE FROM edge WHERE a = 250").await;
    check(&s, 250).await;
}

#[tokio::test]
async fn what_is_set_from_the_start_is_checked() {
    let refused = async |name: &str, value: &str| Engine::builder().setting(name, value).open().await.expect_err("it is refused");
    assert_eq!(refused("memory_limt", "1GB").await.code(), "42704");
    assert_eq!(refused("memory_limit", "much").await.code(), "22023");
    assert_eq!(refused("reads", "eager").await.message(), "parameter \"reads\" is set by each session");
    let engine = Engine::builder().setting("memory_limit", "1GB").open().await.expect("it opens");
    assert_eq!(rows(&engine.session(), "SHOW memory_limit").await, ["1GB"]);
}

pub(crate) async fn create(session: &Session) {
    let pairs = (0..LANES).map(|a| format!("({a}, {})", LANES - a)).collect::<Vec<_>>().join(", ");
    run(session, &format!("CREATE TABLE pair (a INT NOT NULL, b INT NOT NULL); INSERT INTO pair VALUES {pairs}; {VIEW}")).await;
}

/// The numbers up to some number are there, each in every lane; the last ones may be on their way, and at first all.
pub(crate) async fn check(session: &Session) -> i64 {
    let holes = "SELECT count(*) FROM (SELECT n, count(*) AS lanes FROM numbers GROUP BY n) AS by_number \
                 WHERE lanes <> 2000 AND n < (SELECT max(n) FROM numbers)";
    assert_eq!(rows(session, holes).await, ["0"]);
    let [row] = &rows(session, "SELECT coalesce(max(n), 0), count(*) - count(DISTINCT n * 2000 + lane) FROM numbers").await[..]
    else {
        panic!("one row")
    };
    let (reached, twice) = row.split_once('|').expect("two columns");
    assert_eq!(twice, "0");
    reached.parse().expect("a number")
}

/// Waits until the rows that were under way have been missed, if they were.
pub(crate) async fn goes_on(session: &Session, from: i64) {
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
    comes_free(&s, &folder.path().join("temporary"), OF_LOGS).await;
    run(&s, "CHECKPOINT").await;
    engine.close().await.expect("nothing is lost");
    drop((engine, s));
    let (_engine, s) = open(folder.path(), 1).await;
    goes_on(&s, reached).await;
    assert_eq!(error(&s, "SET temp_file_limit = 'all'").await.code(), "22023");
}

/// Once while a checkpoint holds it, with its log in temporary files, and once right after it was restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_is_dropped_gives_back_what_it_took() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = FaultyStore::new(Arc::new(InMemory::new()));
    let open = async || {
        let builder = Engine::builder().object_store(Arc::new(store.clone())).workers(2).temporary_folder(folder.path());
        let builder = builder.setting("loop_memory_limit", "0").setting("checkpoint_hold_max_ms", "600000");
        builder.open().await.expect("the store opens").session()
    };
    let s = open().await;
    create(&s).await;
    let mut held = None;
    for _ in 0..TRIES {
        let gate = Gate::default();
        store.inject(Operation::Put, "manifest/", Effect::Delay(gate.clone()));
        let asker = s.clone();
        let checkpoint = tokio::spawn(async move { run(&asker, "CHECKPOINT").await });
        gate.arrival().await;
        if in_use(&s).await == ["rows", "temporary files"] {
            held = Some((gate, checkpoint));
            break;
        }
        gate.open();
        checkpoint.await.expect("the checkpoint commits");
        let reached = number(&s, ITERATION).await;
        grows(&s, ITERATION, reached).await;
    }
    let (gate, checkpoint) = held.expect("a checkpoint holds the loop with rows under way");
    run(&s, "DROP MATERIALIZED VIEW numbers").await;
    comes_free(&s, folder.path(), OF_VIEWS).await;
    gate.open();
    checkpoint.await.expect("the checkpoint commits");

    run(&s, VIEW).await;
    let mut tries = 0..TRIES;
    while s.checkpoint().await.expect("the checkpoint commits").loop_log_rows == 0 {
        tries.next().expect("a checkpoint catches the loop with rows under way");
    }
    drop(s);
    let s = open().await;
    run(&s, "DROP MATERIALIZED VIEW numbers").await;
    comes_free(&s, folder.path(), OF_VIEWS).await;
}

/// Checkpoints are taken as often as can be, and the engine lives no longer than until two of them have what it has just done.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_ends_again_and_again_soon_after_its_replay_has_begun_gets_on() {
    const LIVES: usize = 10;
    const COMMITTED: &str = "SELECT count(*) FROM refrain.checkpoints WHERE status = 'committed'";
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (engine, s) = open(folder.path(), 1).await;
    create(&s).await;
    run(&s, "CHECKPOINT").await;
    drop((engine, s));
    let mut reached = -1;
    for life in 0..LIVES {
        let (engine, s) = open(folder.path(), 1 + life % 2).await;
        run(&s, "SET checkpoint_interval_ms = 1").await;
        let restored = number(&s, ITERATION).await;
        assert!(restored > reached, "life {life} begins in iteration {restored}, the one before it in {reached}");
        reached = restored;
        // Workers may be an iteration apart.
        grows(&s, ITERATION, restored + 3).await;
        let committed = number(&s, COMMITTED).await;
        // One may have been under way.
        grows(&s, COMMITTED, committed + 1).await;
        drop((engine, s));
    }
    let (_engine, s) = open(folder.path(), 2).await;
    assert!(number(&s, ITERATION).await > reached);
    let reached = check(&s).await;
    goes_on(&s, reached).await;
}
