//! Recursions of a one-shot query: each runs as a temporary dataflow over what was read, and becomes a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use refrain_sql::{MutualNode, RecursionNode};
use refrain_types::Delta;

use super::{Reading, execution_error, scan};
use crate::database::Database;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::planning;
use crate::relation::Snapshot;

/// A recursive query, or a binding of a recursion of several, in a plan.
pub(super) struct Recursion<'a> {
    /// Equal for copies of one, different for different ones.
    id: (usize, Option<usize>),
    /// The number that stands for its rows, whatever it begins with: that of its first copy, or that of the binding.
    pub number: usize,
    /// Whether it is a copy that begins with fewer rows.
    pub restricted: bool,
    name: &'a str,
    schema: &'a SchemaRef,
}

impl<'a> Recursion<'a> {
    /// The node of a plan's root, if it is one.
    pub fn of(plan: &'a LogicalPlan) -> Option<Self> {
        if let Some(node) = RecursionNode::of(plan) {
            let (number, restricted) = (node.original, node.id != node.original);
            return Some(Self { id: (node.id, None), number, restricted, name: &node.name, schema: node.variable() });
        }
        let node = MutualNode::of(plan)?;
        let binding = &node.block.bindings[node.index];
        let (id, schema) = ((node.block.id, Some(node.index)), &binding.schema);
        Some(Self { id, number: binding.id, restricted: false, name: &binding.name, schema })
    }
}

/// A recursion that has run.
pub(super) struct Ran {
    /// Its node.
    pub node: LogicalPlan,
    /// Its rows.
    pub result: Arc<dyn TableProvider>,
}

/// Replaces the recursions of a plan by scans of their results. A recursion inside another one's body is part of that one's dataflow.
pub(super) async fn run_recursions(
    shared: &Arc<Shared>,
    database: &Database,
    plan: LogicalPlan,
    reading: &Reading,
) -> Result<(LogicalPlan, Vec<Ran>)> {
    let mut nodes = BTreeMap::new();
    let found = plan.apply_with_subqueries(|node| {
        Ok(match Recursion::of(node) {
            Some(recursion) => {
                nodes.insert(recursion.id, node.clone());
                TreeNodeRecursion::Jump
            }
            None => TreeNodeRecursion::Continue,
        })
    });
    found.map_err(execution_error)?;
    let mut results = BTreeMap::new();
    for (id, node) in nodes {
        let result = run(shared, database, &node, reading).await?;
        results.insert(id, Ran { node, result });
    }
    let plan = with_results(plan, |recursion| results.get(&recursion.id).map(|ran| Arc::clone(&ran.result)))?;
    Ok((plan, results.into_values().collect()))
}

/// Replaces recursions whose rows are known by scans of them.
pub(super) fn with_results(
    plan: LogicalPlan,
    known: impl Fn(&Recursion<'_>) -> Option<Arc<dyn TableProvider>>,
) -> Result<LogicalPlan> {
    let replaced = plan.transform_down_with_subqueries(|node| {
        let Some(recursion) = Recursion::of(&node) else { return Ok(Transformed::no(node)) };
        let Some(result) = known(&recursion) else { return Ok(Transformed::no(node)) };
        let name = TableReference::bare(recursion.name);
        let scan = LogicalPlanBuilder::scan(name, provider_as_source(result), None)?;
        let columns = scan.schema().columns().into_iter().zip(node.schema().iter());
        let columns = columns.map(|(from, (qualifier, to))| Expr::Column(from).alias_qualified(qualifier.cloned(), to.name()));
        let columns = columns.collect::<Vec<_>>();
        Ok(Transformed::new(scan.project(columns)?.build()?, true, TreeNodeRecursion::Jump))
    });
    Ok(replaced.map_err(execution_error)?.data)
}

async fn run(shared: &Arc<Shared>, database: &Database, node: &LogicalPlan, reading: &Reading) -> Result<Arc<dyn TableProvider>> {
    let recursion = Recursion::of(node).expect("only recursions are run");
    let plan = Arc::new(planning::stream_plan(database, node)?);
    let input = |id| {
        let (_, snapshot) = reading.relations.get(&id).expect("what a recursion reads was read");
        (id, snapshot.chunks.clone())
    };
    let inputs = plan.sources().map(|(_, id)| input(id)).collect();
    let deltas = shared.runtime.run_once(Arc::clone(&plan), inputs).await?.rows;
    let errors = deltas.iter().flat_map(|d| d.errors.iter().cloned()).collect::<Vec<_>>();
    if let Some(error) = Error::of_rows(recursion.name, &errors) {
        return Err(error);
    }
    let chunks = deltas.into_iter().map(|d| Arc::new(Delta { errors: Vec::new(), ..Delta::clone(&d) })).collect();
    let snapshot = Snapshot { epoch: reading.epoch, chunks, errors: Vec::new() };
    Ok(Arc::new(scan::SnapshotTable::new(shared, recursion.schema, &snapshot)))
}
