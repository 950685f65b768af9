//! `EXPLAIN ANALYZE`: a stream plan with the rows that its operators gave, the time that they took and the memory that they hold, for a query that is run once or a view that is maintained.

use std::sync::atomic::Ordering;

use datafusion::sql::sqlparser::ast;
use refrain_dataflow::{Control, NodeGauge};
use refrain_plan::{LoopHead, Measured, NodeId, Operator, StreamPlan, Variable, explain_with};
use refrain_sql::statement::Analyze;

use super::show::texts;
use crate::database::Database;
use crate::error::{Error, Result};
use crate::planning;
use crate::query::read_settled;
use crate::session::{Outcome, Session};

/// Counts by iteration that are written, at the beginning and at the end; those between are left out.
const FIRST: usize = 12;
const LAST: usize = 3;

/// Explains what a query or a view has done.
pub(super) async fn analyze(session: &Session, what: &Analyze) -> Result<Outcome> {
    let lines = match what {
        Analyze::Query(query) => analyze_query(session, query).await?,
        Analyze::View(name) => analyze_view(session, name)?,
    };
    Ok(texts(&[("QUERY PLAN", lines)]))
}

async fn analyze_query(session: &Session, query: &ast::Query) -> Result<Vec<String>> {
    let shared = session.shared();
    let database = shared.database();
    let bound = refrain_sql::bind_query(&database.catalog, query)?;
    let plan = planning::maintained(&database, bound.plan).map_err(|refused| {
        Error::unsupported("EXPLAIN ANALYZE of a query that can only be read once is not supported").with_detail(refused.message())
    })?;
    let plan = std::sync::Arc::new(plan);
    let reading = read_settled(shared, &database.sources(&plan)?, session).await?;
    reading.check_errors()?;
    let started = shared.environment.monotonic();
    let inputs = reading.relations.iter().map(|(id, (_, snapshot))| (*id, snapshot.chunks.clone()));
    let once = shared.runtime.run_once(plan, inputs.collect()).await?;
    let took = shared.environment.monotonic().saturating_sub(started);
    let errors = once.rows.iter().flat_map(|delta| delta.errors.iter().cloned()).collect::<Vec<_>>();
    if let Some(error) = Error::of_rows("the query", &errors) {
        return Err(error);
    }
    let mut lines = lines(&once.control);
    lines.push(format!("Execution Time: {:.3} ms", took.as_secs_f64() * 1e3));
    Ok(lines)
}

fn analyze_view(session: &Session, name: &str) -> Result<Vec<String>> {
    let shared = session.shared();
    let database = shared.database();
    let entry = database.catalog.relation(name)?;
    match shared.runtime.control(Database::dataflow(entry.id)) {
        Some(control) => Ok(lines(&control)),
        None => Err(Error::statement("42809", format!("\"{name}\" is not a materialized view"))),
    }
}

/// A plan with what its dataflow has done so far.
fn lines(control: &Control) -> Vec<String> {
    explain_with(&control.plan, &|node| measured(control, node)).lines().map(str::to_owned).collect()
}

fn measured(control: &Control, id: NodeId) -> Measured {
    let node = control.plan.node(id);
    match &node.operator {
        // A union gives what its inputs give, and the start of a body what its head says.
        Operator::Union | Operator::LoopBody => Measured::default(),
        Operator::LoopHead(LoopHead { id: of, .. }) | Operator::Variable(Variable { id: of, .. }) => {
            Measured { beside: beside(&control.nodes[id]), below: laps(control, &control.plan, *of) }
        }
        _ => Measured { beside: beside(&control.nodes[id]), below: None },
    }
}

/// ` (rows=3 time=0.010 ms memory=4 kB)`, without what there is none of.
fn beside(gauge: &NodeGauge) -> String {
    let rows = gauge.rows.load(Ordering::Relaxed);
    let time = match gauge.busy_nanos.load(Ordering::Relaxed) {
        0 => String::new(),
        nanos => format!(" time={:.3} ms", nanos as f64 / 1e6),
    };
    let memory = match gauge.state_bytes() {
        0 => String::new(),
        bytes => format!(" memory={} kB", bytes.div_ceil(1024)),
    };
    format!(" (rows={rows}{time}{memory})")
}

/// What went round in a loop, by iteration.
fn laps(control: &Control, plan: &StreamPlan, id: refrain_types::LoopId) -> Option<String> {
    let number = plan.loops().iter().position(|(other, _)| *other == id)?;
    let gauge = &control.loops[number];
    let counts = gauge.released.counts().collect::<Vec<_>>();
    let released = counts.iter().map(|(.., rows)| rows).sum::<u64>();
    let text = |(first, last, rows): &(u32, u32, u64)| match first == last {
        true => format!("{first}: {rows}"),
        false => format!("{first}–{last}: {rows}"),
    };
    let mut texts = counts.iter().map(text).collect::<Vec<_>>();
    if texts.len() > FIRST + LAST {
        texts.splice(FIRST..texts.len() - LAST, ["…".to_owned()]);
    }
    let derived = match gauge.derived.load(Ordering::Relaxed) {
        0 => String::new(),
        derived => format!(", {derived} derived"),
    };
    Some(format!("went round: {released} rows{derived}; by iteration {}", texts.join(", ")))
}
