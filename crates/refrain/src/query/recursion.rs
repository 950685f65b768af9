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
struct Recursion<'a> {
    /// Equal for copies of one, different for different ones.
    id: (usize, Option<usize>),
    name: &'a str,
    schema: &'a SchemaRef,
}

impl<'a> Recursion<'a> {
    /// The node of a plan's root, if it is one.
    fn of(plan: &'a LogicalPlan) -> Option<Self> {
        if let Some(node) = RecursionNode::of(plan) {
            return Some(Self { id: (node.id, None), name: &node.name, schema: node.variable() });
        }
        let node = MutualNode::of(plan)?;
        let binding = &node.block.bindings[node.index];
        Some(Self { id: (node.block.id, Some(node.index)), name: &binding.name, schema: &binding.schema })
    }
}

/// Replaces the recursions of a plan by scans of their results. A recursion inside another one's body is part of that one's dataflow.
pub(super) async fn run_recursions(
    shared: &Arc<Shared>,
    database: &Database,
    plan: LogicalPlan,
    reading: &Reading,
) -> Result<LogicalPlan> {
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
    if nodes.is_empty() {
        return Ok(plan);
    }
    let mut results = BTreeMap::new();
    for (id, node) in nodes {
        results.insert(id, run(shared, database, &node, reading).await?);
    }
    let replaced = plan.transform_down_with_subqueries(|node| {
        let Some(recursion) = Recursion::of(&node) else { return Ok(Transformed::no(node)) };
        let Some(result) = results.get(&recursion.id) else { return Ok(Transformed::no(node)) };
        let name = TableReference::bare(recursion.name);
        let scan = LogicalPlanBuilder::scan(name, provider_as_source(Arc::clone(result)), None)?;
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
