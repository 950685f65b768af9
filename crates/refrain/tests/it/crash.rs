//! Processes that are killed with SIGKILL at every step at which something becomes durable, and opened again: what was acknowledged is there,
//! the statements in flight wholly or not at all, and views, in mid-recursion or not, are what their tables say.
//!
//! The process is this test binary once more, with the test [`the_process_that_is_killed`] alone. `REFRAIN_CRASH_CYCLES` says how many
//! processes are killed, `REFRAIN_CRASH_SEED` where.

mod model;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::{Model, SESSIONS};
use refrain::inspect::inspect;
use refrain::{Engine, Session};
use refrain_checkpoint::faults::{Effect, FaultyStore, Gate, Operation};
use refrain_checkpoint::local::LocalStore;

use crate::rows::{rows, run};

/// When a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The operation is asked for; it never happens.
    Before,
    /// It has been done, and nobody has heard of it.
    After,
}

/// Every step at which something becomes durable or is read back. Nothing else outlives a process: one that is killed between two steps leaves
/// what it leaves when it is killed after the first.
const STEPS: [(Operation, &str, Moment); 20] = [
    (Operation::Put, "input/", Moment::Before),
    (Operation::Put, "input/", Moment::After),
    (Operation::Put, "segment/", Moment::Before),
    (Operation::Put, "segment/", Moment::After),
    (Operation::Put, "loop/", Moment::Before),
    (Operation::Put, "loop/", Moment::After),
    (Operation::Put, "manifest/", Moment::Before),
    (Operation::Put, "manifest/", Moment::After),
    (Operation::Delete, "input/", Moment::Before),
    (Operation::Delete, "input/", Moment::After),
    (Operation::Delete, "segment/", Moment::Before),
    (Operation::Delete, "segment/", Moment::After),
    (Operation::Delete, "loop/", Moment::Before),
    (Operation::Delete, "loop/", Moment::After),
    (Operation::Delete, "manifest/", Moment::Before),
    (Operation::Delete, "manifest/", Moment::After),
    (Operation::Get, "input/", Moment::Before),
    (Operation::Get, "segment/", Moment::Before),
    (Operation::Get, "loop/", Moment::Before),
    (Operation::Get, "manifest/", Moment::Before),
];

/// Each step this often, unless `REFRAIN_CRASH_CYCLES` says otherwise.
const ROUNDS: usize = 3;
/// With so many rounds each step is sure to have killed a process; some, as reading the log of a loop back, are not met each time.
const ROUNDS_SURE: usize = 50;
/// A process is killed at the first of such steps, or at a later one.
const NTH_MAX: usize = 6;
/// Statements of each session in a process that is not killed.
const STATEMENTS: usize = 8;
/// After so many it is shown how far it is.
const CYCLES_SHOWN: usize = 100;
/// A process that takes longer hangs.
const PROCESS_MAX: Duration = Duration::from_secs(120);

/// Loops over tables, over a loop, mutual, keyed, and an aggregate.
const VIEWS: [(&str, &str); 6] = [
    (
        "reach",
        "WITH RECURSIVE r(a, b) AS (SELECT a, b FROM edge UNION SELECT r.a, e.b FROM r JOIN edge e ON r.b = e.a) SELECT a, b FROM r",
    ),
    ("chain", "WITH RECURSIVE c(n) AS (SELECT 0 UNION SELECT l.b FROM c JOIN link l ON l.a = c.n) SELECT n FROM c"),
    (
        "fed",
        "WITH RECURSIVE f(n) AS (SELECT 0 UNION ALL SELECT f.n + 1 FROM f JOIN reach r ON r.a = f.n AND r.b = 1 WHERE f.n < 30) SELECT n FROM f",
    ),
    (
        "parity",
        "WITH MUTUALLY RECURSIVE even (n int) AS (SELECT 0 UNION SELECT l.b FROM odd o JOIN link l ON l.a = o.n), \
         odd (n int) AS (SELECT l.b FROM even e JOIN link l ON l.a = e.n) SELECT n FROM even",
    ),
    (
        "hops",
        "WITH RECURSIVE h(n, d) USING KEY (n, min(d)) AS (SELECT 0, 0 UNION SELECT l.b, h.d + 1 FROM h JOIN link l ON l.a = h.n) \
         SELECT n, d FROM h",
    ),
    ("degree", "SELECT a, count(*) AS n FROM edge GROUP BY a"),
];

/// What a process is told.
#[derive(Debug)]
struct Orders {
    step: usize,
    nth: usize,
    workers: usize,
    /// Of each session, the statements that are carried out already.
    done: [usize; SESSIONS],
}

impl Orders {
    fn write(&self) -> String {
        let done = self.done.map(|n| n.to_string()).join(" ");
        format!("{} {} {} {done}", self.step, self.nth, self.workers)
    }

    fn read(text: &str) -> Self {
        let numbers = text.split(' ').map(|number| number.parse().expect("orders are numbers")).collect::<Vec<usize>>();
        let [step, nth, workers, done @ ..] = &numbers[..] else { panic!("orders are incomplete") };
        Self { step: *step, nth: *nth, workers: *workers, done: done.try_into().expect("each session has a number") }
    }
}

/// Not a test where nobody gives orders.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_is_killed() {
    let (Ok(folder), Ok(orders)) = (std::env::var("REFRAIN_CRASH_FOLDER"), std::env::var("REFRAIN_CRASH_ORDERS")) else { return };
    let work = work(Path::new(&folder), Orders::read(&orders));
    tokio::time::timeout(PROCESS_MAX, work).await.expect("the process does not hang");
}

async fn work(folder: &Path, orders: Orders) {
    let store = FaultyStore::new(Arc::new(LocalStore::open(folder, true).expect("the folder opens")));
    let (operation, name, moment) = STEPS[orders.step];
    for _ in 1..orders.nth {
        store.inject(operation, name, Effect::Nothing);
    }
    let gate = Gate::default();
    let held = gate.clone();
    store.inject(operation, name, if moment == Moment::Before { Effect::Delay(held) } else { Effect::DelayAnswer(held) });
    tokio::spawn(async move {
        gate.arrival().await;
        let killed = Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
        panic!("the process lives on: {killed:?}");
    });
    let engine = Engine::builder().object_store(Arc::new(store)).workers(orders.workers).open().await.expect("the store opens");
    let replay = if orders.nth.is_multiple_of(2) { "capture" } else { "commit" };
    run(&engine.session(), &format!("SET checkpoint_replay = '{replay}'; SET checkpoint_interval_ms = 5")).await;
    let sessions = (0..SESSIONS).map(|number| {
        let (session, first) = (engine.session(), orders.done[number]);
        tokio::spawn(async move {
            for statement in first..first + STATEMENTS {
                run(&session, &Model::statement(number, statement)).await;
                println!("@{number}");
            }
        })
    });
    for session in sessions.collect::<Vec<_>>() {
        session.await.expect("statements succeed");
    }
    run(&engine.session(), "CHECKPOINT").await;
    engine.close().await.expect("nothing is lost");
    println!("@done");
}

/// Runs a process; which statements it acknowledged, by their sessions, and whether it was killed.
fn run_process(folder: &Path, orders: &Orders) -> (Vec<usize>, bool) {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its binary"));
    command.args(["crash::the_process_that_is_killed", "--exact", "--nocapture"]);
    command.env("REFRAIN_CRASH_FOLDER", folder).env("REFRAIN_CRASH_ORDERS", orders.write()).stdin(Stdio::null());
    let output = command.output().expect("the process starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let marks = out.lines().filter_map(|line| line.strip_prefix('@')).collect::<Vec<_>>();
    let killed = output.status.signal() == Some(9);
    assert!(killed || marks.last() == Some(&"done"), "{orders:?}: {:?}\n{out}\n{err}", output.status);
    (marks.iter().filter_map(|mark| mark.parse().ok()).collect(), killed)
}

async fn open(folder: &Path, workers: usize) -> (Engine, Session) {
    let store = folder.display().to_string();
    let engine = Engine::builder().store(store).workers(workers).open().await.expect("the store opens");
    let session = engine.session();
    (engine, session)
}

/// Compares what is there with what may be there; what it is.
async fn check(session: &Session, models: &mut Model, acknowledged: &[usize], orders: &Orders) {
    for number in 0..SESSIONS {
        let certain = acknowledged.iter().filter(|of| **of == number).count();
        models.advance(number, certain);
        let found = Model::found(session, number).await;
        if found != models.state(number) {
            models.advance(number, 1);
            assert_eq!(
                found,
                models.state(number),
                "{orders:?}: session {number}, neither with nor without the statement in flight"
            );
        }
    }
    for (view, query) in VIEWS {
        assert_eq!(rows(session, &format!("SELECT * FROM {view}")).await, rows(session, query).await, "{orders:?}: {view}");
    }
    let reach = rows(session, "SELECT * FROM reach").await;
    assert_eq!(reach.into_iter().collect::<BTreeSet<_>>(), models.reach(), "{orders:?}: reach");
    if models.has_numbers() {
        run(session, "SET reads = 'eager'").await;
        let prefix = "SELECT count(*) - count(DISTINCT n), coalesce(max(n), 0) - count(*) FROM nat";
        assert_eq!(rows(session, prefix).await, ["0|0"], "{orders:?}: the numbers up to some number, each once");
        run(session, "SET reads = 'strict'").await;
    }
}

fn setting(name: &str, default: usize) -> usize {
    let value = std::env::var(name).ok();
    value.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not \"{text}\"")))
}

/// After two more checkpoints the store is whole and has no object that is not needed.
async fn nothing_is_left_behind(folder: &Path) {
    let (engine, session) = open(folder, 1).await;
    for a in 0..2 {
        run(&session, &format!("INSERT INTO edge VALUES ({a}, -1)")).await;
        session.checkpoint().await.expect("the checkpoint commits");
    }
    engine.close().await.expect("nothing is lost");
    drop((engine, session));
    // Garbage is collected when a store is opened, too.
    open(folder, 1).await.0.close().await.expect("nothing is lost");
    let report = inspect(&folder.display().to_string()).await.expect("the store can be read");
    assert_eq!((report.problems, report.unreferenced.objects), (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_at_any_step_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (engine, session) = open(folder.path(), 1).await;
    run(&session, "CREATE TABLE edge (a int, b int); CREATE TABLE link (a int, b int)").await;
    for (view, query) in VIEWS {
        run(&session, &format!("CREATE MATERIALIZED VIEW {view} AS {query}")).await;
    }
    engine.close().await.expect("nothing is lost");
    drop((engine, session));

    let (cycles, seed) = (setting("REFRAIN_CRASH_CYCLES", ROUNDS * STEPS.len()), setting("REFRAIN_CRASH_SEED", 1));
    let (mut model, mut struck) = (Model::default(), [0; STEPS.len()]);
    for cycle in 0..cycles {
        let random = model::mix(seed, cycle);
        let (step, workers) = (cycle % STEPS.len(), 1 + random / NTH_MAX % 3);
        // Little is read back.
        let nth = if STEPS[step].0 == Operation::Get { 1 } else { 1 + random % NTH_MAX };
        let orders = Orders { step, nth, workers, done: model.done() };
        let (acknowledged, killed) = run_process(folder.path(), &orders);
        struck[orders.step] += usize::from(killed);
        let (engine, session) = open(folder.path(), 1 + cycle % 2).await;
        check(&session, &mut model, &acknowledged, &orders).await;
        engine.close().await.expect("nothing is lost");
        if (cycle + 1).is_multiple_of(CYCLES_SHOWN) || cycle + 1 == cycles {
            println!("{} processes, {} of them killed, by step: {struck:?}", cycle + 1, struck.iter().sum::<usize>());
        }
    }
    nothing_is_left_behind(folder.path()).await;
    let killed = struck.iter().sum::<usize>();
    assert!(2 * killed >= cycles, "most processes are killed");
    for (step, struck) in STEPS.iter().zip(struck) {
        assert!(struck > 0 || cycles < ROUNDS_SURE * STEPS.len(), "no process was killed at {step:?}");
    }
}
