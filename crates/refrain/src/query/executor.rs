//! DataFusion's execution of an optimized logical plan.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionConfig;

use super::execution_error;
use crate::error::Result;

/// Executes plans.
pub(crate) struct Executor {
    state: SessionState,
    partitions: usize,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl Executor {
    /// Executes on this many threads of the caller's runtime.
    pub fn new(partitions: usize) -> Self {
        let mut config = SessionConfig::new().with_target_partitions(partitions);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        // It takes amiss that an expression may be NULL in the one of DataFusion's plans and not in the other. Here any column may.
        config.options_mut().execution.skip_physical_aggregate_schema_check = true;
        Self { state: SessionStateBuilder::new().with_config(config).build(), partitions }
    }

    /// How many partitions a table should have.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// The rows of a plan that is optimized.
    pub async fn execute(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>> {
        let physical = self.physical(plan).await?;
        collect(physical, self.state.task_ctx()).await.map_err(execution_error)
    }

    /// DataFusion's plan of a plan that is optimized.
    pub async fn physical(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let physical = self.state.query_planner().create_physical_plan(plan, &self.state).await.map_err(execution_error)?;
        let finished = physical.transform_up(|node| {
            Ok(match finish(&node)? {
                Some(finished) => Transformed::yes(finished),
                None => Transformed::no(node),
            })
        });
        Ok(finished.map_err(execution_error)?.data)
    }
}

/// PostgreSQL's arithmetic and casts in a node's expressions.
///
/// # Known limitation
/// Expressions in other nodes (join conditions, sort keys, arguments of aggregates) keep DataFusion's; the binder puts what matters
/// into projections.
fn finish(node: &Arc<dyn ExecutionPlan>) -> datafusion::error::Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(filter) = node.downcast_ref::<FilterExec>() {
        let predicate = refrain_sql::finish_query_predicate(filter.predicate());
        return Ok(Some(Arc::new(FilterExecBuilder::from(filter).with_predicate(predicate).build()?)));
    }
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        let finished = projection
            .expr()
            .iter()
            .map(|e| ProjectionExpr { expr: refrain_sql::finish_query_expr(Arc::clone(&e.expr)), alias: e.alias.clone() });
        let finished = finished.collect::<Vec<_>>();
        return Ok(Some(Arc::new(ProjectionExec::try_new(finished, Arc::clone(projection.input()))?)));
    }
    Ok(None)
}
