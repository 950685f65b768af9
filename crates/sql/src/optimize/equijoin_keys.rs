//! DataFusion's rule that makes keys of a join's equalities, where it is right.
//!
//! NULL meets NULL in all keys of a join or in none. A condition that comes to a join of the first kind later, an `=` of a WHERE, would
//! become one of its keys, and NULL would equal NULL in it. So such a join has the keys that it has; further equalities are its condition.
//!
//! An equality of which a condition asks whether it is true, as `= ANY` does, is one, too: rows for which it is unknown do not meet either way.

use datafusion_common::tree_node::Transformed;
use datafusion_common::{NullEquality, Result as DataFusionResult, ScalarValue};
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimizer::ApplyOrder;
use datafusion_optimizer::{OptimizerConfig, OptimizerRule};

/// The name of DataFusion's rule.
pub(super) const NAME: &str = "extract_equijoin_predicate";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct EquijoinKeys(ExtractEquijoinPredicate);

impl OptimizerRule for EquijoinKeys {
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
        let LogicalPlan::Join(mut join) = plan else { return Ok(Transformed::no(plan)) };
        if join.null_equality == NullEquality::NullEqualsNull {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let asked = join.filter.as_ref().map_or(Vec::new(), split_conjunction);
        let asks = asked.iter().any(|condition| is_asked(condition).is_some());
        if asks {
            join.filter = conjunction(asked.into_iter().map(|condition| is_asked(condition).unwrap_or(condition).clone()));
        }
        let mut rewritten = self.0.rewrite(LogicalPlan::Join(join), config)?;
        rewritten.transformed |= asks;
        Ok(rewritten)
    }
}

/// The condition of which another asks whether it is true.
fn is_asked(condition: &Expr) -> Option<&Expr> {
    let is_true = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
    match condition {
        Expr::IsTrue(asked) => Some(asked),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::IsNotDistinctFrom, right }) if is_true(right) => Some(left),
        _ => None,
    }
}
