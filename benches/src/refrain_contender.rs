//! Refrain through its library, in memory: tables, one materialized view, rows handed over as Arrow batches.
//!
//! This is the one file of the benches that knows the engine. A load ends when a SELECT on the view has answered, which waits until
//! the view has settled; the rows themselves are read after the clock has stopped.

use std::time::Duration;

use arrow::array::RecordBatch;
use refrain::{Engine, Session};

use crate::Failure;
use crate::case::{Case, Node, Tables};
use crate::checksum::Trail;
use crate::clock::Stopwatch;
use crate::data::recursion::{Families, Program, Roads};
use crate::data::{Change, Reach, Sides, TRANSACTION_ROWS};
use crate::measurement::{Finish, Latency, Measurement};
use crate::memory;
use crate::reader::Reader;
use crate::sql::{self, CHAIN, CLOSURE, CLOSURE_NONLINEAR, COMPONENTS, POINTS_TO, SAME_GENERATION, SHORTEST};

/// All pairs of a node and one it leads to.
pub(crate) fn closure<N: Node>(case: &Case, edges: Vec<(N, N)>) -> Result<Measurement, Failure> {
    let batch = sql::pairs(["source", "target"], &edges);
    drop(edges);
    let table = format!("edges (source {type} NOT NULL, target {type} NOT NULL)", type = N::TYPE);
    load(case, &[&table], CLOSURE, vec![("edges", batch)])
}

/// The nodes that node 0 leads to, and itself.
pub(crate) fn chain(case: &Case, edges: Vec<(i32, i32)>) -> Result<Measurement, Failure> {
    let batch = sql::pairs(["source", "target"], &edges);
    drop(edges);
    load(case, &["edges (source INT NOT NULL, target INT NOT NULL)"], CHAIN, vec![("edges", batch)])
}

/// A join on the keys.
pub(crate) fn join(case: &Case, sides: Sides) -> Result<Measurement, Failure> {
    let rows_fed = sides.left.len() + sides.right.len();
    let (lefts, rights) = (transactions("lefts", &sides.left), transactions("rights", &sides.right));
    let batches = lefts.into_iter().zip(rights).flat_map(|(left, right)| [left, right]).collect();
    drop(sides);
    let tables = ["lefts (key INT NOT NULL, value INT NOT NULL)", "rights (key INT NOT NULL, value INT NOT NULL)"];
    let query = "SELECT lefts.key, lefts.value AS l, rights.value AS r FROM lefts JOIN rights ON lefts.key = rights.key";
    Ok(load(case, &tables, query, batches)?.with_rows_fed(rows_fed))
}

/// Count and sum by key.
pub(crate) fn group_by(case: &Case, events: Vec<(i32, i32)>) -> Result<Measurement, Failure> {
    let rows_fed = events.len();
    let batches = transactions("events", &events);
    drop(events);
    let query = "SELECT key, count(*) AS count, sum(value) AS sum FROM events GROUP BY key";
    Ok(load(case, &["events (key INT NOT NULL, value INT NOT NULL)"], query, batches)?.with_rows_fed(rows_fed))
}

/// "Reachable from 100 packages": the first load, then every change from the call of `insert` or `delete` until the epoch's
/// settled changes are in the hands of a subscriber.
pub(crate) fn reach(case: &Case, work: Reach) -> Result<Measurement, Failure> {
    const QUERY: &str = "\
        WITH RECURSIVE reached(source, package) AS (
            SELECT package, package FROM sources
            UNION
            SELECT reached.source, edges.target FROM reached JOIN edges ON edges.source = reached.package
        ) SELECT source, package FROM reached";
    let sources: Vec<(String, String)> = work.sources.iter().map(|source| (source.clone(), String::new())).collect();
    let sources = sql::pairs(["package", "unused"], &sources).project(&[0])?;
    let edges = sql::pairs(["source", "target"], &work.edges);
    runtime()?.block_on(async {
        let tables = ["sources (package TEXT NOT NULL)", "edges (source TEXT NOT NULL, target TEXT NOT NULL)"];
        let session = open(case, &tables, QUERY).await?;
        memory::forget_peak();
        let clock = Stopwatch::start();
        session.insert("sources", sources).await?;
        session.insert("edges", edges).await?;
        session.query("SELECT count(*) FROM answer").await?;
        let loaded = clock.elapsed();
        let mut reader = Reader::of(&session, "answer").await?;
        for change in &work.warm_up {
            time(&mut reader, &session, change).await?;
        }
        let mut times = Vec::with_capacity(work.changes.len());
        for change in &work.changes {
            times.push(time(&mut reader, &session, change).await?);
        }
        let finish = Finish::after(loaded);
        Ok(finish.with_answer(reader.answer()?).with_latency(Latency::of(times)))
    })
}

/// How far each node is from node 0. Where the table is changeable, every change of a weight follows: a delete and an insert, until
/// what comes of both is in the hands of a subscriber.
pub(crate) fn shortest(case: &Case, roads: &Roads) -> Result<Measurement, Failure> {
    let edges = sql::weighted(&roads.edges);
    runtime()?.block_on(async {
        let session = open(case, &["edges (source INT NOT NULL, target INT NOT NULL, weight INT NOT NULL)"], SHORTEST).await?;
        memory::forget_peak();
        let clock = Stopwatch::start();
        session.insert("edges", edges).await?;
        session.query("SELECT count(*) FROM answer").await?;
        let finish = Finish::after(clock.elapsed());
        if case.tables == Tables::AppendOnly {
            return Ok(finish.with_answer(sql::answer(&session.query("SELECT * FROM answer").await?)?));
        }
        let mut reader = Reader::of(&session, "answer").await?;
        let (mut times, mut trail) = (Vec::with_capacity(roads.changes.len()), Trail::default());
        let answer = reader.answer()?;
        for change in &roads.changes {
            let [before, after] = change.edges().map(|edge| sql::weighted(&[edge]));
            let clock = Stopwatch::start();
            session.delete("edges", before).await?;
            session.insert("edges", after).await?;
            reader.read_on(2).await?;
            times.push(clock.elapsed());
            trail.add(reader.answer()?);
        }
        Ok(finish.with_answer(answer).with_latency(Latency::of(times.split_off(Roads::WARM_UP))).with_trail(trail))
    })
}

/// The least node of each node's component.
pub(crate) fn components(case: &Case, edges: Vec<(i32, i32)>) -> Result<Measurement, Failure> {
    recursion(case, COMPONENTS, vec![("edges", ["source", "target"], edges)])
}

/// All pairs of a node and one it leads to, by a recursion that names itself twice.
pub(crate) fn closure_nonlinear(case: &Case, edges: Vec<(i32, i32)>) -> Result<Measurement, Failure> {
    recursion(case, CLOSURE_NONLINEAR, vec![("edges", ["source", "target"], edges)])
}

/// Which objects each variable may hold.
pub(crate) fn points_to(case: &Case, program: Program) -> Result<Measurement, Failure> {
    let Program { allocations, assignments, loads, stores } = program;
    let tables = vec![
        ("allocations", ["pointer", "object"], allocations),
        ("assignments", ["target", "source"], assignments),
        ("loads", ["target", "pointer"], loads),
        ("stores", ["pointer", "source"], stores),
    ];
    recursion(case, POINTS_TO, tables)
}

/// Who is of one generation.
pub(crate) fn same_generation(case: &Case, families: Families) -> Result<Measurement, Failure> {
    let Families { parents, marriages } = families;
    recursion(case, SAME_GENERATION, vec![("parents", ["child", "parent"], parents), ("marriages", ["a", "b"], marriages)])
}

/// Name, names of the columns, rows.
type PairTable<'a> = (&'a str, [&'a str; 2], Vec<(i32, i32)>);

/// A query over tables of two integers.
fn recursion(case: &Case, query: &str, tables: Vec<PairTable>) -> Result<Measurement, Failure> {
    let definitions = tables.iter().map(|(table, [a, b], _)| format!("{table} ({a} INT NOT NULL, {b} INT NOT NULL)"));
    let definitions = definitions.collect::<Vec<_>>();
    let batches = tables.into_iter().map(|(table, names, rows)| (table, sql::pairs(names, &rows))).collect();
    load(case, &definitions.iter().map(String::as_str).collect::<Vec<_>>(), query, batches)
}

/// Hands over one change and waits until the epoch that holds it is complete.
async fn time(reader: &mut Reader, session: &Session, change: &Change) -> Result<Duration, Failure> {
    let batch = sql::pairs(["source", "target"], std::slice::from_ref(&change.edge));
    let clock = Stopwatch::start();
    if change.insert {
        session.insert("edges", batch).await?;
    } else {
        session.delete("edges", batch).await?;
    }
    reader.read_on(1).await?;
    Ok(clock.elapsed())
}

fn load(case: &Case, tables: &[&str], query: &str, batches: Vec<(&str, RecordBatch)>) -> Result<Measurement, Failure> {
    runtime()?.block_on(async {
        let session = open(case, tables, query).await?;
        memory::forget_peak();
        let clock = Stopwatch::start();
        for (table, batch) in batches {
            session.insert(table, batch).await?;
        }
        session.query("SELECT count(*) FROM answer").await?;
        let finish = Finish::after(clock.elapsed());
        Ok(finish.with_answer(sql::answer(&session.query("SELECT * FROM answer").await?)?))
    })
}

/// An engine in memory with the tables, still empty, and the view `answer` on them.
async fn open(case: &Case, tables: &[&str], query: &str) -> Result<Session, Failure> {
    let session = Engine::builder().workers(case.workers).open().await?.session();
    let options = if case.tables == Tables::AppendOnly { "WITH (append_only = true)" } else { "" };
    for table in tables {
        session.execute(&format!("CREATE TABLE {table} {options}")).await?;
    }
    session.execute(&format!("CREATE MATERIALIZED VIEW answer AS {query}")).await?;
    Ok(session)
}

fn transactions<'a>(table: &'a str, rows: &[(i32, i32)]) -> Vec<(&'a str, RecordBatch)> {
    rows.chunks(TRANSACTION_ROWS).map(|rows| (table, sql::pairs(["key", "value"], rows))).collect()
}

/// The runtime that `#[tokio::main]` gives a program.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests;
