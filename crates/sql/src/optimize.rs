//! Which rules of DataFusion run over a bound plan, and why the others do not.
//!
//! A maintained view and a one-shot query get different lists: a view is lowered by our planner, which has its own DISTINCT and cannot
//! have a LIMIT pushed around; a query is executed by DataFusion, which wants all of its rules. Both get the same analysis: types are
//! coerced, and constants are folded with PostgreSQL's arithmetic before any rule of DataFusion folds them with its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result as DataFusionResult};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility, cast};
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::optimizer::{Optimizer, OptimizerRule};
use datafusion_optimizer::{
    OptimizerContext, common_subexpr_eliminate, decorrelate_lateral_join, decorrelate_predicate_subquery,
    eliminate_duplicated_expr, eliminate_filter, eliminate_group_by_constant, eliminate_join, eliminate_limit,
    eliminate_outer_join, filter_null_join_keys, optimize_projections, optimize_unions, propagate_empty_relation,
    rewrite_set_comparison, scalar_subquery_to_join, simplify_expressions,
};

use crate::bind::context::OPTIONS;
use crate::bind::errors::from_datafusion;
use crate::bind::functions::{FUNCTIONS, is_now};
use crate::error::{Result, SqlError};

mod constants;
mod cross_joins;
mod distinct_on;
mod equijoin_keys;
mod grouping_sets;
mod nested_in;
mod not_in;
mod push_down;
mod restrict;
pub(crate) mod scalar_subqueries;
mod subquery_columns;
#[cfg(test)]
mod tests;

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// Passes over the rules; a plan that does not change any more ends them earlier.
const PASSES_MAX: usize = 8;

/// Optimizes the plan of a maintained view, with all rules.
///
/// # Errors
/// As [`Rules::optimize_view`].
pub fn optimize_view(plan: LogicalPlan) -> Result<LogicalPlan> {
    Rules::default().optimize_view(plan)
}

/// Optimizes the plan of a one-shot query, with all rules.
///
/// # Errors
/// As [`Rules::optimize_query`].
pub fn optimize_query(plan: LogicalPlan) -> Result<LogicalPlan> {
    Rules::default().optimize_query(plan)
}

/// Turns the subqueries of conditions into joins and does nothing else.
///
/// # Errors
/// When a rule of DataFusion fails.
pub(crate) fn decorrelate(plan: LogicalPlan) -> Result<LogicalPlan> {
    let context = OptimizerContext::new_with_config_options(Arc::new(OPTIONS.clone())).with_max_passes(1);
    let rules = Optimizer::with_rules(vec![
        Arc::new(rewrite_set_comparison::RewriteSetComparison::new()),
        Arc::new(decorrelate_predicate_subquery::DecorrelatePredicateSubquery::new()),
        Arc::new(decorrelate_lateral_join::DecorrelateLateralJoin::new()),
    ]);
    rules.optimize(plan, &context, |_, _| {}).map_err(from_datafusion)
}

/// The rules that run: all of them, but for those that are switched off. That is for tests, which see so that a rule makes plans better and
/// no result other.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    off: BTreeSet<String>,
}

impl Rules {
    /// The names of the rules for maintained views, in their order.
    #[must_use]
    pub fn names() -> Vec<String> {
        let names = view_rules().iter().map(|rule| rule.name().to_owned()).collect::<Vec<_>>();
        names.into_iter().chain([restrict::NAME.to_owned()]).collect()
    }

    /// All of these but one.
    ///
    /// # Panics
    /// When there is no such rule: to run without it would show nothing.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        assert!(Self::names().iter().any(|rule| rule == name), "there is no optimizer rule \"{name}\"");
        self.off.insert(name.to_owned());
        self
    }

    /// Optimizes the plan of a maintained view.
    ///
    /// # Errors
    /// When types cannot be coerced, a constant expression fails, or the view holds something whose value changes by itself.
    pub fn optimize_view(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let context = OptimizerContext::new_with_config_options(Arc::new(OPTIONS.clone()))
            .without_query_execution_start_time()
            .with_max_passes(u8::try_from(PASSES_MAX).expect("a small number"));
        let bound = Arc::clone(plan.schema());
        let plan = crate::temporal::as_filters(analyze(plan)?).map_err(from_datafusion)?;
        refuse_unstable(&plan)?;
        let plan = subquery_columns::as_columns(plan, columns_context())
            .and_then(grouping_sets::as_unions)
            .and_then(scalar_subqueries::as_joins)
            .map_err(from_datafusion)?;
        let plan = self.run(view_rules(), plan, &context)?;
        keep_types(plan, &bound)
    }

    /// Optimizes the plan of a one-shot query, with all of DataFusion's rules.
    ///
    /// # Errors
    /// When types cannot be coerced or a constant expression fails.
    pub fn optimize_query(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let context = OptimizerContext::new_with_config_options(Arc::new(OPTIONS.clone()));
        let bound = Arc::clone(plan.schema());
        let plan = subquery_columns::as_columns(analyze(plan)?, columns_context())
            .and_then(distinct_on::by_number)
            .map_err(from_datafusion)?;
        let mut rules = Optimizer::new().rules;
        // It nests `sum` in `sum`, whose result has another type in PostgreSQL.
        rules.retain(|rule| rule.name() != "single_distinct_aggregation_to_group_by");
        for rule in &mut rules {
            match rule.name() {
                cross_joins::NAME => *rule = Arc::new(cross_joins::CrossJoins::default()),
                equijoin_keys::NAME => *rule = Arc::new(equijoin_keys::EquijoinKeys::default()),
                push_down::NAME => *rule = Arc::new(push_down::PushDown::default()),
                _ => {}
            }
        }
        let plan = self.run(rules, plan, &context)?;
        keep_types(plan, &bound)
    }

    /// Runs the rules, and again where a condition has moved into a recursion: it goes on from there, perhaps into another one.
    fn run(&self, mut rules: Vec<Rule>, plan: LogicalPlan, context: &OptimizerContext) -> Result<LogicalPlan> {
        rules.retain(|rule| !self.off.contains(rule.name()));
        let rules = Optimizer::with_rules(rules);
        let run = |plan| rules.optimize(plan, context, |_, _| {}).map_err(from_datafusion);
        let mut plan = run(plan)?;
        let restrictions_max = if self.off.contains(restrict::NAME) { 0 } else { PASSES_MAX };
        for _ in 0..restrictions_max {
            let Some(restricted) = restrict::restrict(&plan).map_err(from_datafusion)? else { break };
            plan = run(restricted)?;
        }
        Ok(plan)
    }
}

/// Coerces types: operands, arguments and the branches of unions get the types that they have in common. Doing it twice changes nothing.
///
/// # Errors
/// When types cannot be coerced.
pub(crate) fn coerce(plan: LogicalPlan) -> Result<LogicalPlan> {
    Analyzer::new().execute_and_check(plan, &OPTIONS, |_, _| {}).map_err(from_datafusion)
}

fn columns_context() -> OptimizerContext {
    OptimizerContext::new_with_config_options(Arc::new(OPTIONS.clone())).without_query_execution_start_time()
}

/// Coerces types, folds constants, and asks of IN and NOT IN what the rules will understand.
fn analyze(plan: LogicalPlan) -> Result<LogicalPlan> {
    constants::fold(coerce(plan)?).and_then(not_in::of_constants).and_then(nested_in::as_any).map_err(from_datafusion)
}

/// Whoever bound the query knows the types of its columns already, and relations were made of them: they stay as they are, even if a rule
/// of DataFusion can tell a narrower one.
fn keep_types(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let same = plan.schema().fields().iter().zip(schema.fields()).all(|(is, was)| is.data_type() == was.data_type());
    if same {
        return Ok(plan);
    }
    let columns = plan.schema().iter().zip(schema.fields()).map(|((qualifier, is), was)| {
        let column = Expr::from((qualifier, is));
        if is.data_type() == was.data_type() { column } else { cast(column, was.data_type().clone()).alias(is.name()) }
    });
    let columns = columns.collect::<Vec<_>>();
    LogicalPlanBuilder::new(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// The rules for maintained views, in DataFusion's order. Left out are
/// - `ReplaceDistinctWithAggregate`: DISTINCT is an operator of ours, cheaper than an aggregate;
/// - `SingleDistinctToGroupBy`: it nests `sum` in `sum`, whose result has another type in PostgreSQL;
/// - `PushDownLimit`: a limit without an order would be two picks, maintained apart;
/// - `UnionsToFilter`: it merges branches that the planner shares anyway;
/// - `ExtractLeafExpressions`, `PushDownLeafProjections`: they serve files of nested columns.
fn view_rules() -> Vec<Rule> {
    vec![
        // `= ANY (…)` becomes EXISTS, which decorrelation knows.
        Arc::new(rewrite_set_comparison::RewriteSetComparison::new()),
        // One n-ary union instead of nested ones.
        Arc::new(optimize_unions::OptimizeUnions::new()),
        Arc::new(simplify_expressions::SimplifyExpressions::new()),
        Arc::new(eliminate_join::EliminateJoin::new()),
        // Subqueries become joins: what is left of them is refused by the planner.
        Arc::new(decorrelate_predicate_subquery::DecorrelatePredicateSubquery::new()),
        Arc::new(scalar_subquery_to_join::ScalarSubqueryToJoin::new()),
        Arc::new(decorrelate_lateral_join::DecorrelateLateralJoin::new()),
        // Equalities become join keys.
        Arc::new(equijoin_keys::EquijoinKeys::default()),
        Arc::new(eliminate_duplicated_expr::EliminateDuplicatedExpr::new()),
        Arc::new(eliminate_filter::EliminateFilter::new()),
        Arc::new(cross_joins::CrossJoins::default()),
        Arc::new(eliminate_limit::EliminateLimit::new()),
        Arc::new(propagate_empty_relation::PropagateEmptyRelation::new()),
        // Rows with a NULL key meet nothing: they need not be remembered.
        Arc::new(filter_null_join_keys::FilterNullJoinKeys::default()),
        Arc::new(eliminate_outer_join::EliminateOuterJoin::new()),
        Arc::new(push_down::PushDown::default()),
        Arc::new(eliminate_group_by_constant::EliminateGroupByConstant::new()),
        Arc::new(common_subexpr_eliminate::CommonSubexprEliminate::new()),
        // Last: what the others no longer need is not read.
        Arc::new(optimize_projections::OptimizeProjections::new()),
    ]
}

/// A retraction computes what the insertion computed, so a maintained view must not hold an expression that does not.
pub(crate) fn refuse_unstable(plan: &LogicalPlan) -> Result<()> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found = found.take().or_else(|| unstable(expr));
                Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })
    })
    .and_then(|_: TreeNodeRecursion| DataFusionResult::Ok(()))
    .map_err(from_datafusion)?;
    found.map_or(Ok(()), Err)
}

fn unstable(expr: &Expr) -> Option<SqlError> {
    let (name, volatility) = match expr {
        Expr::ScalarFunction(call) => (call.func.name(), call.func.signature().volatility),
        Expr::AggregateFunction(call) => (call.func.name(), call.func.signature().volatility),
        Expr::WindowFunction(call) => (call.fun.name(), call.fun.signature().volatility),
        _ => return None,
    };
    // What is stable of DataFusion's depends on settings that do not change.
    let is_stable = volatility == Volatility::Stable && !FUNCTIONS.has(name);
    if is_stable || is_now(name) {
        return Some(
            SqlError::unsupported(format!("function {name}() is not supported in a materialized view"))
                .with_detail("Its value changes by itself, without a change of the view's input.")
                .with_hint("A condition in WHERE may compare it with a column: at > now() - INTERVAL '1 day'. Months and years go to the other side."),
        );
    }
    (volatility == Volatility::Volatile).then(|| {
        SqlError::unsupported(format!("volatile function {name}() is not supported in a materialized view"))
            .with_detail("Each evaluation gives another value, so a row could not be retracted.")
            .with_hint("Compute the value when the row is inserted.")
    })
}
