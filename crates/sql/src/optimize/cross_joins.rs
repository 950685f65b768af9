//! DataFusion's rule that puts the inner joins of a FROM list into an order without cross joins, where it is right.
//!
//! It takes joins apart into pairs of keys and forgets of which of them NULL meets NULL: after it, `IS NOT DISTINCT FROM` between two tables
//! is `=` as soon as a third is joined. So a plan with such a join is left as it is; conditions become keys of its joins all the same.

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{NullEquality, Result as DataFusionResult};
use datafusion_expr::LogicalPlan;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::{OptimizerConfig, OptimizerRule};

/// The name of DataFusion's rule.
pub(super) const NAME: &str = "eliminate_cross_join";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct CrossJoins(EliminateCrossJoin);

impl OptimizerRule for CrossJoins {
    fn name(&self) -> &str {
        NAME
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        let nulls_meet =
            plan.exists(|node| Ok(matches!(node, LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull)))?;
        if nulls_meet { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}
