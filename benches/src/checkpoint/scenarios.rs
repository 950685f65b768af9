//! The child: one scenario with a store in a folder of its own.

use std::path::Path;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use refrain::{Engine, Session};
use std::sync::Arc;

use super::{Arguments, Case, Measurement, Mode, Scenario, Taken};
use crate::Failure;
use crate::arguments::Size;
use crate::clock::Stopwatch;
use crate::data::{self, Input};
use crate::memory;
use crate::report::median;
use crate::sql::{self, CLOSURE};

/// Where the rows begin that go round: those below stay.
const MOVING: i64 = 1_000_000_000_000;
/// Rows of one transaction.
const TRANSACTION_ROWS: i64 = 1_000_000;
/// Checkpoints of which pauses are told.
const PAUSES: usize = 200;
/// Seldom, since to ask takes a processor from those who are measured.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A store in a folder that is removed afterwards.
struct Place(std::path::PathBuf);

impl Place {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(format!("refrain-checkpoint-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    async fn open(&self, workers: usize) -> Result<Session, Failure> {
        Ok(Engine::builder().store(self.0.display().to_string()).workers(workers).open().await?.session())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs one case.
pub(super) fn measure(case: Case, arguments: &Arguments) -> Result<Measurement, Failure> {
    let place = Place::new(&arguments.folder)?;
    let scaled = |full: usize| (full * arguments.percent / 100).max(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match case.scenario {
            Scenario::Closures => closures(case, &place, scaled(10)).await,
            Scenario::Endless => endless(case, &place, Duration::from_millis(scaled(30_000) as u64)).await,
            Scenario::Failing => failing(case, &place, scaled(1_000)).await,
            Scenario::InFlight => in_flight(case, &place, scaled(20)).await,
            Scenario::PauseByState => pause_by_state(case, &place, scaled(PAUSES)).await,
            Scenario::PauseByDepth => pause_by_depth(case, &place, scaled(PAUSES)).await,
            Scenario::Bytes => bytes(case, &place, i64::try_from(scaled(10_000_000))?).await,
            Scenario::LoopLog => loop_log(case, &place, i64::try_from(scaled(1_000))?).await,
            Scenario::RecoverLog => recover_log(case, &place, i64::try_from(scaled(case.size))?).await,
            Scenario::RecoverIntegers => {
                let edges = data::random_edges(scaled(4_000), scaled(8_000));
                recover(case, &place, "INT", sql::pairs(["source", "target"], &edges)).await
            }
            Scenario::RecoverText => {
                let input = Input { size: Size::Full, debian_graph: arguments.debian_graph.clone() };
                let edges = sql::pairs(["source", "target"], &input.debian_graph()?);
                recover(case, &place, "TEXT", edges).await
            }
        }
    })
}

/// Begins to take checkpoints.
async fn begin(session: &Session, mode: Mode) -> Result<(), Failure> {
    let Some((replay, interval)) = replay_and_interval(mode) else { return Ok(()) };
    session.execute(&format!("SET checkpoint_replay = '{replay}'")).await?;
    session.execute(&format!("SET checkpoint_interval_ms = {interval}")).await?;
    Ok(())
}

fn replay_and_interval(mode: Mode) -> Option<(&'static str, u64)> {
    match mode {
        Mode::Off => None,
        Mode::Commit1s => Some(("commit", 1_000)),
        Mode::Capture1s => Some(("capture", 1_000)),
        Mode::Commit100ms => Some(("commit", 100)),
        Mode::Capture100ms => Some(("capture", 100)),
    }
}

async fn number(session: &Session, query: &str) -> Result<i64, Failure> {
    let answer = session.query(query).await?;
    Ok(answer.first().ok_or("a query without rows")?.column(0).as_primitive::<Int64Type>().value(0))
}

/// The checkpoints that have committed, in their order.
async fn taken(session: &Session) -> Result<Vec<Taken>, Failure> {
    with_status(session, "committed").await
}

async fn with_status(session: &Session, status: &str) -> Result<Vec<Taken>, Failure> {
    let columns = "pause_us, duration_ms, bytes, loop_log_rows";
    let query = format!("SELECT {columns} FROM refrain.checkpoints WHERE status = '{status}' ORDER BY id");
    let mut taken = Vec::new();
    for batch in session.query(&query).await? {
        let column = |number: usize| batch.column(number).as_primitive::<Int64Type>();
        taken.extend((0..batch.num_rows()).map(|row| Taken {
            pause_us: column(0).value(row),
            duration_ms: column(1).value(row),
            bytes: column(2).value(row),
            loop_log_rows: column(3).value(row),
        }));
    }
    Ok(taken)
}

/// The closure of a dense graph, made and dropped again and again.
async fn closures(case: Case, place: &Place, times: usize) -> Result<Measurement, Failure> {
    let session = place.open(case.workers).await?;
    session.execute("CREATE TABLE edges (source INT NOT NULL, target INT NOT NULL)").await?;
    session.insert("edges", sql::pairs(["source", "target"], &data::random_edges(2_000, 20_000))).await?;
    let once = async || -> Result<i64, Failure> {
        session.execute(&format!("CREATE MATERIALIZED VIEW answer AS {CLOSURE}")).await?;
        let rows = number(&session, "SELECT count(*) FROM answer").await?;
        session.execute("DROP MATERIALIZED VIEW answer").await?;
        Ok(rows)
    };
    once().await?;
    begin(&session, case.mode).await?;
    let clock = Stopwatch::start();
    let mut work = 0;
    for _ in 0..times {
        work += once().await?;
    }
    let seconds = clock.elapsed().as_secs_f64();
    Ok(Measurement { seconds, other_seconds: None, work, checkpoints: taken(&session).await?, peak_bytes: 0 })
}

/// An engine with a loop that has one row in each iteration.
async fn counting(case: Case, place: &Place) -> Result<Session, Failure> {
    let session = place.open(case.workers).await?;
    session.execute("SET reads = 'eager'").await?;
    let query = "WITH RECURSIVE t(n) AS (SELECT 1::BIGINT UNION ALL SELECT n + 1 FROM t) SELECT n FROM t";
    session.execute(&format!("CREATE MATERIALIZED VIEW answer AS {query}")).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(session)
}

/// Such a loop for some time.
async fn endless(case: Case, place: &Place, time: Duration) -> Result<Measurement, Failure> {
    let session = counting(case, place).await?;
    begin(&session, case.mode).await?;
    let clock = Stopwatch::start();
    let before = number(&session, "SELECT max(iteration) FROM refrain.loops").await?;
    tokio::time::sleep(time).await;
    let work = number(&session, "SELECT max(iteration) FROM refrain.loops").await? - before;
    let seconds = clock.elapsed().as_secs_f64();
    Ok(Measurement { seconds, other_seconds: None, work, checkpoints: taken(&session).await?, peak_bytes: 0 })
}

async fn fill(session: &Session, rows: i64, moving: i64) -> Result<(), Failure> {
    session.execute("CREATE TABLE base (n BIGINT NOT NULL)").await?;
    let mut from = 0;
    while from < rows {
        let to = rows.min(from + TRANSACTION_ROWS);
        session.insert("base", numbers(from..to)).await?;
        from = to;
    }
    session.insert("base", numbers(MOVING..MOVING + moving)).await?;
    Ok(())
}

fn numbers(values: std::ops::Range<i64>) -> RecordBatch {
    let column = Arc::new(Int64Array::from_iter_values(values)) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([("n", column, false)]).expect("one column")
}

/// An engine with a loop that never ends, in which so many rows go round and none stays.
async fn carousel(case: Case, place: &Place, rows: i64) -> Result<Session, Failure> {
    let session = place.open(case.workers).await?;
    fill(&session, rows, 0).await?;
    session.execute("SET reads = 'eager'").await?;
    let query =
        "WITH MUTUALLY RECURSIVE t (n BIGINT) AS (SELECT n FROM base UNION ALL SELECT n + 1 FROM t) SELECT n FROM t WHERE n < 0";
    session.execute(&format!("CREATE MATERIALIZED VIEW answer AS {query}")).await?;
    while number(&session, "SELECT max(iteration) FROM refrain.loops").await? < 10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(session)
}

/// A carousel while one checkpoint after the other fails, since a file is in the place of the folder of loop logs, or without any.
async fn failing(case: Case, place: &Place, checkpoints: usize) -> Result<Measurement, Failure> {
    let session = carousel(case, place, 1_000).await?;
    session.execute("CHECKPOINT").await?;
    std::fs::rename(place.0.join("loop"), place.0.join("loop.away"))?;
    std::fs::write(place.0.join("loop"), "")?;
    memory::forget_peak();
    begin(&session, case.mode).await?;
    let clock = Stopwatch::start();
    let before = number(&session, "SELECT max(iteration) FROM refrain.loops").await?;
    tokio::time::sleep(Duration::from_millis(100) * u32::try_from(checkpoints)?).await;
    let work = number(&session, "SELECT max(iteration) FROM refrain.loops").await? - before;
    let seconds = clock.elapsed().as_secs_f64();
    let failed = with_status(&session, "aborted").await?;
    if taken(&session).await?.len() != 1 || failed.is_empty() != (case.mode == Mode::Off) {
        return Err(format!("{} checkpoints have failed", failed.len()).into());
    }
    Ok(Measurement { seconds, other_seconds: None, work, checkpoints: failed, peak_bytes: memory::peak_bytes() })
}

/// Checkpoints of a carousel with many rows, and of a view without recursion that has been given as many since the one before.
async fn in_flight(case: Case, place: &Place, checkpoints: usize) -> Result<Measurement, Failure> {
    let rows = i64::try_from(case.size)?;
    let session = carousel(case, place, rows).await?;
    let timed = async || -> Result<f64, Failure> {
        let clock = Stopwatch::start();
        session.execute("CHECKPOINT").await?;
        Ok(clock.elapsed().as_secs_f64())
    };
    timed().await?;
    let mut times = Vec::with_capacity(checkpoints);
    for _ in 0..checkpoints {
        times.push(timed().await?);
    }
    let caught = taken(&session).await?.split_off(1);
    session.execute("DROP MATERIALIZED VIEW answer").await?;

    session.execute("CREATE TABLE given (n BIGINT NOT NULL)").await?;
    session.execute("CREATE MATERIALIZED VIEW answer AS SELECT DISTINCT n FROM given").await?;
    timed().await?;
    let mut beside = Vec::with_capacity(checkpoints);
    for round in 0..i64::try_from(checkpoints)? {
        session.insert("given", numbers(round * rows..(round + 1) * rows)).await?;
        session.execute("SET reads = 'strict'").await?;
        number(&session, "SELECT count(*) FROM answer").await?;
        beside.push(timed().await?);
    }
    let seconds = median(times).unwrap_or(0.0);
    Ok(Measurement { seconds, other_seconds: median(beside), work: rows, checkpoints: caught, peak_bytes: 0 })
}

/// A loop that never ends over a set of many rows that stand still.
async fn pause_by_state(case: Case, place: &Place, checkpoints: usize) -> Result<Measurement, Failure> {
    let session = place.open(case.workers).await?;
    fill(&session, i64::try_from(case.size)?, 1).await?;
    session.execute("SET reads = 'eager'").await?;
    let query =
        format!("WITH RECURSIVE t(n) AS (SELECT n FROM base UNION SELECT n + 1 FROM t WHERE n >= {MOVING}) SELECT n FROM t");
    session.execute(&format!("CREATE MATERIALIZED VIEW answer AS {query}")).await?;
    while number(&session, "SELECT max(iteration) FROM refrain.loops").await? < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begin(&session, case.mode).await?;
    let clock = Stopwatch::start();
    while taken(&session).await?.len() < checkpoints {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let work = number(&session, "SELECT max(iteration) FROM refrain.loops").await?;
    let seconds = clock.elapsed().as_secs_f64();
    Ok(Measurement { seconds, other_seconds: None, work, checkpoints: taken(&session).await?, peak_bytes: 0 })
}

/// A million rows, so many iterations deep, over and over.
async fn pause_by_depth(case: Case, place: &Place, checkpoints: usize) -> Result<Measurement, Failure> {
    const ROWS: usize = 1_000_000;
    let session = place.open(case.workers).await?;
    let depth = i64::try_from(case.size).unwrap_or(i64::MAX);
    let moving = i64::try_from((ROWS / case.size).max(1))?;
    fill(&session, 0, moving).await?;
    session.execute("SET reads = 'eager'").await?;
    // Each row goes up by the number of rows.
    let last = depth.saturating_sub(1).checked_mul(moving).and_then(|d| d.checked_add(MOVING)).unwrap_or(i64::MAX);
    let query =
        format!("WITH RECURSIVE t(n) AS (SELECT n FROM base UNION SELECT n + {moving} FROM t WHERE n < {last}) SELECT n FROM t");
    begin(&session, case.mode).await?;
    let clock = Stopwatch::start();
    let stopped = |taken: Vec<Taken>| taken.into_iter().filter(|c| c.pause_us > 0).collect::<Vec<_>>();
    loop {
        session.execute(&format!("CREATE MATERIALIZED VIEW answer AS {query}")).await?;
        if depth == i64::MAX {
            while stopped(taken(&session).await?).len() < checkpoints {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        } else {
            session.execute("SET reads = 'strict'").await?;
            session.query("SELECT count(*) FROM answer").await?;
        }
        session.execute("DROP MATERIALIZED VIEW answer").await?;
        let checkpoints_taken = stopped(taken(&session).await?);
        if checkpoints_taken.len() >= checkpoints || clock.elapsed() > Duration::from_secs(120) {
            let seconds = clock.elapsed().as_secs_f64();
            return Ok(Measurement { seconds, other_seconds: None, work: depth, checkpoints: checkpoints_taken, peak_bytes: 0 });
        }
    }
}

/// A base, a hundred checkpoints of nothing, and one of a thousandth of the rows.
async fn bytes(case: Case, place: &Place, rows: i64) -> Result<Measurement, Failure> {
    let session = place.open(case.workers).await?;
    fill(&session, rows, 0).await?;
    session
        .execute(&format!(
            "CREATE MATERIALIZED VIEW answer AS WITH RECURSIVE t(n) AS (SELECT n FROM base UNION SELECT n + 1 FROM t WHERE n >= {MOVING}) \
             SELECT n FROM t"
        ))
        .await?;
    session.query("SELECT count(*) FROM answer").await?;
    let clock = Stopwatch::start();
    for _ in 0..=100 {
        session.execute("CHECKPOINT").await?;
    }
    let changed = rows / 2_000;
    session.delete("base", numbers(0..changed)).await?;
    session.insert("base", numbers(rows..rows + changed)).await?;
    session.query("SELECT count(*) FROM answer").await?;
    session.execute("CHECKPOINT").await?;
    let seconds = clock.elapsed().as_secs_f64();
    Ok(Measurement { seconds, other_seconds: None, work: rows, checkpoints: taken(&session).await?, peak_bytes: 0 })
}

/// Rows of a loop before its long lap.
const ROWS_BEFORE: i64 = 250_000;

/// A loop with one long lap: each of its rows derives a row for each of `second`, by a join that is not the loop head's, so that all are under
/// way when the loop is held.
async fn begin_lap(session: &Session) -> Result<(), Failure> {
    let query = "WITH RECURSIVE t(n, k) AS (SELECT n, 0 FROM base UNION SELECT s.n, 1 FROM t JOIN first f ON f.k = t.k \
                 JOIN second s ON s.j = f.j) SELECT n, k FROM t";
    session.execute(&format!("CREATE MATERIALIZED VIEW answer AS {query}")).await?;
    Ok(())
}

/// The tables of such a loop.
async fn prepare_lap(session: &Session, fan: i64) -> Result<(), Failure> {
    fill(session, ROWS_BEFORE, 0).await?;
    session.execute("CREATE TABLE first (k INT NOT NULL, j INT NOT NULL)").await?;
    session.execute("CREATE TABLE second (j INT NOT NULL, n BIGINT NOT NULL)").await?;
    session.execute("INSERT INTO first VALUES (0, 0)").await?;
    let seconds = (0..fan).map(|n| format!("(0, {n})")).collect::<Vec<_>>();
    session.execute(&format!("INSERT INTO second VALUES {}", seconds.join(", "))).await?;
    Ok(())
}

/// Takes a checkpoint in the middle of the lap.
async fn catch_lap(session: &Session) -> Result<(), Failure> {
    while number(session, "SELECT coalesce(max(rows), 0) FROM refrain.operators WHERE kind = 'Loop'").await? == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    session.execute("CHECKPOINT").await?;
    Ok(())
}

async fn end_of_lap(session: &Session, fan: i64) -> Result<i64, Failure> {
    let rows = number(session, "SELECT count(*) FROM answer").await?;
    if rows == ROWS_BEFORE + fan { Ok(rows) } else { Err(format!("{rows} rows instead of {}", ROWS_BEFORE + fan).into()) }
}

/// A long lap in the middle of which there is one checkpoint or none.
async fn loop_log(case: Case, place: &Place, fan: i64) -> Result<Measurement, Failure> {
    let session = place.open(case.workers).await?;
    // Changes of state are noted with and without a checkpoint.
    session.execute_script(&format!("SET loop_memory_limit = '{}MB'; SET checkpoint_interval_ms = 3600000", case.size)).await?;
    prepare_lap(&session, fan).await?;
    memory::forget_peak();
    let clock = Stopwatch::start();
    begin_lap(&session).await?;
    if let Some((replay, _)) = replay_and_interval(case.mode) {
        session.execute(&format!("SET checkpoint_replay = '{replay}'")).await?;
        catch_lap(&session).await?;
    }
    let work = end_of_lap(&session, fan).await?;
    let seconds = clock.elapsed().as_secs_f64();
    let peak_bytes = memory::peak_bytes();
    Ok(Measurement { seconds, other_seconds: None, work, checkpoints: taken(&session).await?, peak_bytes })
}

/// A lap of so many rows, from the checkpoint in its middle.
async fn recover_log(case: Case, place: &Place, rows: i64) -> Result<Measurement, Failure> {
    let fan = rows / ROWS_BEFORE;
    let session = place.open(case.workers).await?;
    // The loop is held until the store is opened again.
    session.execute("SET checkpoint_hold_max_ms = 600000").await?;
    prepare_lap(&session, fan).await?;
    begin_lap(&session).await?;
    catch_lap(&session).await?;
    let mut checkpoints = taken(&session).await?;
    drop(session);
    let clock = Stopwatch::start();
    let session = place.open(case.workers).await?;
    session.execute("SET reads = 'eager'").await?;
    let work = number(&session, "SELECT count(*) FROM answer").await?;
    let seconds = clock.elapsed().as_secs_f64();
    session.execute("SET checkpoint_replay = 'capture'").await?;
    session.execute("CHECKPOINT").await?;
    checkpoints.extend(taken(&session).await?);
    session.execute("SET reads = 'strict'").await?;
    end_of_lap(&session, fan).await?;
    let ended = clock.elapsed().as_secs_f64();
    Ok(Measurement { seconds, other_seconds: Some(ended), work, checkpoints, peak_bytes: 0 })
}

/// A closure from its checkpoint, and computed anew from the same tables.
async fn recover(case: Case, place: &Place, r#type: &str, edges: RecordBatch) -> Result<Measurement, Failure> {
    let session = place.open(case.workers).await?;
    session.execute(&format!("CREATE TABLE edges (source {type} NOT NULL, target {type} NOT NULL)")).await?;
    session.insert("edges", edges).await?;
    let clock = Stopwatch::start();
    session.execute(&format!("CREATE MATERIALIZED VIEW answer AS {CLOSURE}")).await?;
    let work = number(&session, "SELECT count(*) FROM answer").await?;
    let anew = clock.elapsed().as_secs_f64();
    session.execute("CHECKPOINT").await?;
    let checkpoints = taken(&session).await?;
    drop(session);
    let clock = Stopwatch::start();
    let session = place.open(case.workers).await?;
    let again = number(&session, "SELECT count(*) FROM answer").await?;
    let seconds = clock.elapsed().as_secs_f64();
    if again != work {
        return Err(format!("{again} rows were recovered of {work}").into());
    }
    Ok(Measurement { seconds, other_seconds: Some(anew), work, checkpoints, peak_bytes: 0 })
}
