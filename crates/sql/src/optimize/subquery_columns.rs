//! EXISTS, IN and ANY that are more than conditions: in output columns, arguments and groups. What they answer becomes a column of the input.
//!
//! DataFusion does that for conditions alone: it joins the subquery, and the join has a column that tells whether a row meets something. So a
//! condition is made of the expression, and taken off again with what DataFusion has made of it.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Result as DataFusionResult, internal_datafusion_err};
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::{Aggregate, Expr, Filter, LogicalPlan, Projection};
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion_optimizer::{Optimizer, OptimizerContext};

/// Makes columns of them.
pub(super) fn as_columns(plan: LogicalPlan, context: OptimizerContext) -> DataFusionResult<LogicalPlan> {
    // One context for all, so that no two columns have one name.
    let columns = Columns { context: context.with_max_passes(1), rules: rules() };
    let rewritten = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Projection(projection) if projection.expr.iter().any(asks) => columns.projection(projection),
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.iter().chain(&aggregate.aggr_expr).any(asks) => {
            columns.aggregate(aggregate)
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(rewritten.data)
}

fn rules() -> Optimizer {
    Optimizer::with_rules(vec![Arc::new(RewriteSetComparison::new()), Arc::new(DecorrelatePredicateSubquery::new())])
}

fn asks(expr: &Expr) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)))).unwrap_or(false)
}

struct Columns {
    context: OptimizerContext,
    rules: Optimizer,
}

impl Columns {
    fn projection(&self, projection: &Projection) -> DataFusionResult<Transformed<LogicalPlan>> {
        let mut input = Arc::clone(&projection.input);
        let names = NamePreserver::new_for_projection();
        let exprs = projection.expr.iter().map(|expr| {
            let name = names.save(expr);
            Ok(name.restore(self.column(&mut input, expr.clone())?))
        });
        let exprs = exprs.collect::<DataFusionResult<Vec<_>>>()?;
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, input)?)))
    }

    fn aggregate(&self, aggregate: &Aggregate) -> DataFusionResult<Transformed<LogicalPlan>> {
        let mut input = Arc::clone(&aggregate.input);
        let names = NamePreserver::new_for_projection();
        let groups = aggregate.group_expr.iter().map(|group| {
            let name = names.save(group);
            Ok(name.restore(self.column(&mut input, group.clone())?))
        });
        let groups = groups.collect::<DataFusionResult<Vec<_>>>()?;
        let calls = aggregate.aggr_expr.iter().map(|call| {
            let name = names.save(call);
            let call = call.clone().transform_up(|part| {
                let Expr::AggregateFunction(AggregateFunction { func, mut params }) = part else {
                    return Ok(Transformed::no(part));
                };
                params.args = params.args.into_iter().map(|arg| self.column(&mut input, arg)).collect::<DataFusionResult<_>>()?;
                params.filter = match params.filter {
                    Some(filter) => Some(Box::new(self.column(&mut input, *filter)?)),
                    None => None,
                };
                Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })))
            })?;
            Ok(name.restore(call.data))
        });
        let calls = calls.collect::<DataFusionResult<Vec<_>>>()?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(input, groups, calls)?)))
    }

    /// An expression that asks nothing any more, over an input that has the answers.
    fn column(&self, input: &mut Arc<LogicalPlan>, expr: Expr) -> DataFusionResult<Expr> {
        if !asks(&expr) {
            return Ok(expr);
        }
        let condition = Filter::try_new(expr.is_not_null(), Arc::clone(input))?;
        let mut plan = self.rules.optimize(LogicalPlan::Filter(condition), &self.context, |_, _| {})?;
        loop {
            plan = match plan {
                LogicalPlan::Filter(Filter { predicate: Expr::IsNotNull(answered), input: joined, .. }) => {
                    *input = joined;
                    return Ok(*answered);
                }
                LogicalPlan::Projection(projection) => Arc::unwrap_or_clone(projection.input),
                _ => return Err(internal_datafusion_err!("a condition is a filter, also when its subqueries are joins")),
            };
        }
    }
}
