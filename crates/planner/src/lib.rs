//! An optimized logical plan to a stream plan: which operators, which loops, which exchanges, and what is proven about rows.
//!
//! The path: [`plan_view`] → `lower` (the one match over the logical plan) → `join`, `aggregate`, `recursion` for what is more than one
//! line → `builder`, which shares equal nodes, fuses row functions into the operators before them, and drops what nobody reads. What
//! cannot be maintained is refused here, with the offending expression and what to do instead.
//!
//! Columns of a node are the columns of the logical node, by position; names do not matter. A logical node without columns
//! (`SELECT count(*) FROM t` reads none) has one column of constants, so that its rows can be counted.
//!
//! Deliberately not here: the order of joins (it is DataFusion's, from the text), and how operators run.
#![warn(missing_docs)]

mod aggregate;
mod arguments;
mod builder;
mod constant;
mod expression;
mod fold;
mod fuse;
mod join;
mod lower;
mod mutual;
mod outer_join;
mod place;
mod recursion;
mod refuse;
mod temporal;
#[cfg(test)]
mod tests;
mod top_k;
mod uncounted;
mod unnest;
mod window;

use arrow::datatypes::SchemaRef;
use datafusion_expr::LogicalPlan;
use refrain_plan::StreamPlan;
use refrain_sql::{Result, SqlError};
use refrain_types::{RelationId, SqlState};

/// What the planner asks about the world.
pub struct PlannerContext<'a> {
    /// Whether rows of a relation are never retracted.
    pub append_only: &'a dyn Fn(RelationId) -> bool,
    /// The relation that tells the time, with its column; `None` where there is none.
    pub clock: Option<(RelationId, SchemaRef)>,
}

/// Plans a view from the plan that [`refrain_sql::optimize_view`] gives.
///
/// # Errors
/// `0A000` for what cannot be maintained. Broken invariants of the result (`XX000`) are bugs.
pub fn plan_view(plan: &LogicalPlan, context: &PlannerContext<'_>) -> Result<StreamPlan> {
    let mut lowering = lower::Lowering::new(context);
    let root = lowering.top(plan)?;
    let plan = uncounted::mark(place::place(fuse::finish(lowering.builder.into_plan(root))));
    refrain_plan::validate(&plan).map_err(|broken| SqlError::new(SqlState::INTERNAL_ERROR, broken))?;
    Ok(plan)
}
