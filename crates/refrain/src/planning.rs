//! From a bound query to what runs it: a stream plan for what is maintained, an optimized logical plan for what is read once.

use datafusion::logical_expr::LogicalPlan;
use refrain_plan::StreamPlan;
use refrain_planner::{PlannerContext, plan_view};
use refrain_types::RelationId;

use crate::database::Database;
use crate::error::Result;

/// The stream plan of a query that is kept up to date.
pub(crate) fn maintained(database: &Database, plan: LogicalPlan) -> Result<StreamPlan> {
    let optimized = database.rules.optimize_view(plan)?;
    stream_plan(database, &optimized)
}

/// The stream plan of a query that is optimized already.
pub(crate) fn stream_plan(database: &Database, optimized: &LogicalPlan) -> Result<StreamPlan> {
    let append_only = |id: RelationId| database.relations.get(&id).is_some_and(|r| r.append_only);
    let clock = database.catalog.clock().map(|clock| (clock.id, clock.schema()));
    Ok(plan_view(optimized, &PlannerContext { append_only: &append_only, clock })?)
}

/// The plan of a query that is read once.
pub(crate) fn one_shot(database: &Database, plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(database.rules.optimize_query(plan)?)
}

/// A stream plan as text.
pub(crate) fn explain(plan: &StreamPlan) -> String {
    refrain_plan::explain(plan)
}
