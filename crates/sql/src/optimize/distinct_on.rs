//! `DISTINCT ON` in a query that is read once: rows are numbered in the order of the query, and of each group the first is kept. (DataFusion's
//! rule needs a registry of functions, which an optimizer that stands by itself does not have.)

use std::sync::Arc;

use datafusion_common::Result as DataFusionResult;
use datafusion_common::tree_node::Transformed;
use datafusion_expr::expr::WindowFunction;
use datafusion_expr::{
    Distinct, DistinctOn, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition, lit,
};

use crate::bind::functions::FUNCTIONS;

/// Numbers the rows under every `DISTINCT ON`.
pub(super) fn by_number(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Distinct(Distinct::On(on)) => Ok(Transformed::yes(firsts(on)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn firsts(on: DistinctOn) -> DataFusionResult<LogicalPlan> {
    let row_number = Arc::clone(FUNCTIONS.window.get("row_number").expect("it is one of DataFusion's functions"));
    let number = Expr::from(WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number), Vec::new()));
    let order = on.sort_expr.unwrap_or_default();
    let number = number.partition_by(on.on_expr).order_by(order.clone()).build()?;
    let numbered = LogicalPlanBuilder::from(Arc::unwrap_or_clone(on.input)).window(vec![number])?;
    let place = numbered.schema().columns().pop().map(Expr::Column).expect("a window has added a column");
    let first = numbered.filter(place.eq(lit(1i64)))?;
    let sorted = if order.is_empty() { first } else { first.sort(order)? };
    sorted.project(on.select_expr)?.build()
}
