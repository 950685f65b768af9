//! `5 NOT IN (SELECT …)`: where the value is no column, it becomes NOT EXISTS.
//!
//! DataFusion makes a join of NOT IN, which knows what a NULL means, with the comparison as its condition. If the comparison is of a
//! constant, it is a condition on the subquery alone: it is pushed into the subquery, where it takes the NULLs away before they count.
//!
//! # Known limitation
//! Only conjuncts of a WHERE are seen. Elsewhere unknown is not the same as false.

use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, Result as DataFusionResult};
use datafusion_expr::expr::{Exists, InSubquery};
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, Subquery};

/// Rewrites every NOT IN of a value that is no column.
pub(super) fn of_constants(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = &node else { return Ok(Transformed::no(node)) };
        let conjuncts = split_conjunction(&filter.predicate);
        if !conjuncts.iter().any(|conjunct| of_constant(conjunct).is_some()) {
            return Ok(Transformed::no(node));
        }
        let conjuncts = conjuncts.into_iter().map(|conjunct| match of_constant(conjunct) {
            Some(not_in) => not_exists(not_in),
            None => Ok(conjunct.clone()),
        });
        let predicate = conjunction(conjuncts.collect::<DataFusionResult<Vec<_>>>()?).expect("a filter has a condition");
        Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, Arc::clone(&filter.input))?)))
    })?;
    Ok(rewritten.data)
}

fn of_constant(conjunct: &Expr) -> Option<&InSubquery> {
    match conjunct {
        Expr::InSubquery(not_in) if not_in.negated && not_in.expr.column_refs().is_empty() && !not_in.expr.contains_outer() => {
            Some(not_in)
        }
        _ => None,
    }
}

/// That no row of the subquery is the value, or may be it.
fn not_exists(not_in: &InSubquery) -> DataFusionResult<Expr> {
    let Subquery { subquery, outer_ref_columns, spans } = &not_in.subquery;
    let value = not_in.expr.as_ref();
    let of_row = Expr::Column(Column::from(subquery.schema().qualified_field(0)));
    let may_be = of_row.clone().eq(value.clone()).or(of_row.is_null()).or(value.clone().is_null());
    let rows = LogicalPlanBuilder::from(subquery.as_ref().clone()).filter(may_be)?.build()?;
    let subquery = Subquery { subquery: Arc::new(rows), outer_ref_columns: outer_ref_columns.clone(), spans: spans.clone() };
    Ok(Expr::Exists(Exists { subquery, negated: true }))
}
