//! DataFusion's rule that makes keys of a join's equalities, where it is right.
//!
//! NULL meets NULL in all keys of a join or in none. A condition that comes to a join of the first kind later, an `=` of a WHERE, would
//! become one of its keys, and NULL would equal NULL in it. So such a join has the keys that it has; further equalities are its condition.

use datafusion_common::tree_node::Transformed;
use datafusion_common::{NullEquality, Result as DataFusionResult};
use datafusion_expr::LogicalPlan;
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
        match &plan {
            LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => Ok(Transformed::no(plan)),
            _ => self.0.rewrite(plan, config),
        }
    }
}
