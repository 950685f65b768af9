//! How long it takes to find rows by a key in many, with an index and by a scan: one process, one run, one worker.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use clap::Parser;
use refrain::{Engine, Session};

use crate::Failure;
use crate::clock::Stopwatch;
use crate::random::Random;

/// Rows of one transaction.
const TRANSACTION_ROWS: usize = 100_000;
/// Scans of which the median is told.
const SCANS: usize = 9;

/// How long it takes to find rows by a key.
#[derive(Debug, Parser)]
#[command(name = "lookup")]
struct Arguments {
    /// Rows of the table; the view has a fifth of them.
    #[arg(long, default_value_t = 5_000_000)]
    rows: usize,
    /// How many keys are looked for.
    #[arg(long, default_value_t = 2_000)]
    lookups: usize,
    /// `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Reads the arguments and prints a table.
pub(crate) fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&arguments))
}

async fn measure(Arguments { rows, lookups, .. }: &Arguments) -> Result<(), Failure> {
    let session = Engine::builder().open().await?.session();
    session.execute("CREATE TABLE part (id BIGINT NOT NULL, kind INT NOT NULL, name TEXT NOT NULL)").await?;
    let kinds = rows / 5;
    session
        .execute("CREATE MATERIALIZED VIEW kinds AS SELECT kind, count(*) AS parts, min(name) AS name FROM part GROUP BY kind")
        .await?;
    for from in (0..*rows).step_by(TRANSACTION_ROWS) {
        session.insert("part", parts(from..(from + TRANSACTION_ROWS).min(*rows), kinds)?).await?;
    }
    session.query("SELECT count(*) FROM kinds").await?;
    session.execute_script("CREATE INDEX ON part (id); CREATE INDEX ON part (name); CREATE INDEX ON kinds (kind)").await?;
    println!("| {rows} rows | p50 | p99 | first | a scan | times faster |\n|---|---|---|---|---|---|");
    for round in ["", ", a hundredth of the rows changed"] {
        if !round.is_empty() {
            session.execute(&format!("UPDATE part SET kind = kind + 1 WHERE id < {}", rows / 100)).await?;
            session.query("SELECT count(*) FROM kinds").await?;
        }
        let mut random = Random::with_seed(1);
        let ids = (0..*lookups).map(|_| random.below(*rows)).collect::<Vec<_>>();
        let of_id = |column: &str, id: usize| format!("SELECT * FROM part WHERE {column} = {id}");
        let of_name = |column: &str, id: usize| format!("SELECT * FROM part WHERE {column} = 'part {id}'");
        let of_kind = |column: &str, id: usize| format!("SELECT * FROM kinds WHERE {column} = {}", id % kinds);
        told(&session, &format!("table by integer{round}"), &ids, [&|id| of_id("id", id), &|id| of_id("id + 0", id)]).await?;
        told(&session, &format!("table by text{round}"), &ids, [&|id| of_name("name", id), &|id| of_name("name || ''", id)])
            .await?;
        told(&session, &format!("view by integer{round}"), &ids, [&|id| of_kind("kind", id), &|id| of_kind("kind + 0", id)])
            .await?;
    }
    Ok(())
}

/// Prints a line: what is found by an index, and by a scan.
async fn told(
    session: &Session,
    what: &str,
    ids: &[usize],
    [found, scanned]: [&dyn Fn(usize) -> String; 2],
) -> Result<(), Failure> {
    let mut times = Vec::with_capacity(ids.len());
    for id in ids {
        times.push(timed(session, &found(*id)).await?);
    }
    let first = times[0];
    let mut scans = Vec::new();
    for id in &ids[..SCANS.min(ids.len())] {
        scans.push(timed(session, &scanned(*id)).await?);
    }
    times.sort_unstable_by(f64::total_cmp);
    scans.sort_unstable_by(f64::total_cmp);
    let (p50, p99, scan) = (times[times.len() / 2], times[times.len() * 99 / 100], scans[scans.len() / 2]);
    println!("| {what} | {p50:.2} ms | {p99:.2} ms | {first:.0} ms | {scan:.0} ms | {:.0} |", scan / p50);
    Ok(())
}

/// Milliseconds of a query.
async fn timed(session: &Session, query: &str) -> Result<f64, Failure> {
    let clock = Stopwatch::start();
    let rows = session.query(query).await?;
    let milliseconds = clock.elapsed().as_secs_f64() * 1e3;
    if rows.iter().all(|batch| batch.num_rows() == 0) {
        return Err(format!("{query} finds nothing").into());
    }
    Ok(milliseconds)
}

fn parts(ids: std::ops::Range<usize>, kinds: usize) -> Result<RecordBatch, Failure> {
    let numbers = ids.clone().map(i64::try_from).collect::<Result<Vec<_>, _>>()?;
    let of_kinds = ids.clone().map(|id| i32::try_from(id % kinds)).collect::<Result<Vec<_>, _>>()?;
    let names = ids.map(|id| format!("part {id}"));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(numbers)) as ArrayRef, false),
        ("kind", Arc::new(Int32Array::from(of_kinds)), false),
        ("name", Arc::new(StringArray::from_iter_values(names)), false),
    ])?)
}
