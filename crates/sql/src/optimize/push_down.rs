//! DataFusion's rule that pushes conditions down, which must not push any into a recursion, nor below an aggregate that has a row even of
//! nothing: that row would be there although the condition does not hold, one over no columns, such as that a subquery's value is NULL.
//!
//! Those over its columns the rule keeps above it. Those over none, such as a condition that was found to be NULL, it pushes into all inputs.
//! Then copies of one recursion, which are one loop, are no longer equal, and what was asked of one would hold for the others.

use datafusion_common::Result as DataFusionResult;
use datafusion_common::tree_node::Transformed;
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Expr, Filter, LogicalPlan};
use datafusion_optimizer::optimizer::ApplyOrder;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::{OptimizerConfig, OptimizerRule};

use crate::temporal::TemporalNode;

/// The name of DataFusion's rule.
pub(super) const NAME: &str = "push_down_filter";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PushDown(PushDownFilter);

impl OptimizerRule for PushDown {
    fn name(&self) -> &str {
        NAME
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else { return self.0.rewrite(plan, config) };
        let nested = matches!(*filter.input, LogicalPlan::Filter(_));
        let filter = merged(filter)?;
        let is_recursion = matches!(*filter.input, LogicalPlan::Extension(_)) && TemporalNode::of(&filter.input).is_none();
        if is_recursion || is_never_empty(&filter.input) {
            return Ok(Transformed::new_transformed(LogicalPlan::Filter(filter), nested));
        }
        let mut rewritten = self.0.rewrite(LogicalPlan::Filter(filter), config)?;
        rewritten.transformed |= nested;
        Ok(rewritten)
    }
}

/// Whether a plan is an aggregate that has a row of no rows.
fn is_never_empty(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Aggregate(aggregate) = plan else { return false };
    aggregate.group_expr.is_empty() || matches!(aggregate.group_expr[0], Expr::GroupingSet(_))
}

/// One filter for those that stand one above the other, the lowest one's conditions first. The rule would go on below them at once.
fn merged(mut filter: Filter) -> DataFusionResult<Filter> {
    while let LogicalPlan::Filter(below) = filter.input.as_ref() {
        let mut conditions = split_conjunction(&below.predicate);
        conditions.extend(split_conjunction(&filter.predicate));
        let mut each_once = Vec::with_capacity(conditions.len());
        for condition in conditions {
            if !each_once.contains(condition) {
                each_once.push(condition.clone());
            }
        }
        let all = conjunction(each_once).unwrap_or_else(|| filter.predicate.clone());
        filter = Filter::try_new(all, below.input.clone())?;
    }
    Ok(filter)
}
