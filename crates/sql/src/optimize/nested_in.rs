//! `x IN (SELECT …)` where unknown is not the same as false: under OR, NOT or CASE. It becomes `x = ANY (SELECT …)`, of which DataFusion makes two
//! questions with EXISTS: is there an equal row, and is there one of which that is not known. Of IN it would make one, to which the answer is
//! yes or no.
//!
//! As a conjunct of a condition IN stays what it is, and NOT IN too: the joins that they become are cheaper.

use std::sync::Arc;

use datafusion_common::Result as DataFusionResult;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::expr::{InSubquery, SetComparison, SetQuantifier};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Expr, Filter, LogicalPlan, Operator};

/// Rewrites every IN that is not a conjunct of a condition.
pub(super) fn as_any(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = &node else {
            let names = NamePreserver::new(&node);
            return node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(within(expr)?.update_data(|expr| name.restore(expr)))
            });
        };
        let mut changed = false;
        let conjuncts = split_conjunction(&filter.predicate).into_iter().map(|conjunct| {
            if matches!(conjunct, Expr::InSubquery(_)) {
                return Ok(conjunct.clone());
            }
            let conjunct = within(conjunct.clone())?;
            changed |= conjunct.transformed;
            Ok(conjunct.data)
        });
        let conjuncts = conjuncts.collect::<DataFusionResult<Vec<_>>>()?;
        if !changed {
            return Ok(Transformed::no(node));
        }
        let predicate = conjunction(conjuncts).expect("a filter has a condition");
        Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, Arc::clone(&filter.input))?)))
    })?;
    Ok(rewritten.data)
}

fn within(expr: Expr) -> DataFusionResult<Transformed<Expr>> {
    expr.transform_up(|expr| {
        let Expr::InSubquery(InSubquery { expr, subquery, negated }) = expr else { return Ok(Transformed::no(expr)) };
        let any = Expr::SetComparison(SetComparison { expr, subquery, op: Operator::Eq, quantifier: SetQuantifier::Any });
        Ok(Transformed::yes(if negated { !any } else { any }))
    })
}
