//! Physical expressions that fail where PostgreSQL's fail.
//!
//! DataFusion's arithmetic wraps, its division of floating point makes infinities, its casts cut where PostgreSQL rounds. After
//! `create_physical_expr`, both maintained views and one-shot queries pass their expressions through [`finish_physical_expr`].
//! Errors carry PostgreSQL's words, as [`DataFusionError::Execution`](datafusion_common::DataFusionError::Execution) or as Arrow's own.

mod arithmetic;
mod bytes;
mod cast;
mod interval;
mod logic;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::Operator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, NegativeExpr};

use arithmetic::{Division, Negation};
use cast::PostgresCast;
pub use interval::interval;
use logic::{Guarded, Logic, guards_first};

/// The same expression with PostgreSQL's arithmetic and casts. Doing it twice changes nothing.
///
/// # Panics
/// When an expression refuses its own children, which is a bug of that expression.
#[must_use]
pub fn finish_physical_expr(expr: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    finish(expr, Guarded::Functions)
}

/// The same for a condition that keeps rows, whose parts may be evaluated in any order: those that cannot fail go first.
///
/// # Panics
/// As [`finish_physical_expr`].
#[must_use]
pub fn finish_predicate(condition: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    finish(guards_first(condition), Guarded::Functions)
}

/// The same for the expressions of a one-shot query, whose batches fail as a whole.
///
/// # Panics
/// When an expression refuses its own children, which is a bug of that expression.
#[must_use]
pub fn finish_query_expr(expr: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    finish(expr, Guarded::Arithmetic)
}

/// [`finish_predicate`] for a one-shot query.
///
/// # Panics
/// As [`finish_physical_expr`].
#[must_use]
pub fn finish_query_predicate(condition: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    finish(guards_first(condition), Guarded::Arithmetic)
}

fn finish(expr: Arc<dyn PhysicalExpr>, guarded: Guarded) -> Arc<dyn PhysicalExpr> {
    let finished = expr.transform_up(|expr| {
        Ok(match finish_one(&expr, guarded) {
            Some(finished) => Transformed::yes(finished),
            None => Transformed::no(expr),
        })
    });
    finished.expect("an expression takes its own children back").data
}

fn finish_one(expr: &Arc<dyn PhysicalExpr>, guarded: Guarded) -> Option<Arc<dyn PhysicalExpr>> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::Plus | Operator::Minus | Operator::Multiply => Some(Arc::new(binary.clone().with_fail_on_overflow(true))),
            Operator::Divide | Operator::Modulo => Some(Arc::new(Division::new(binary.clone()))),
            _ => Logic::of(binary, guarded).map(|logic| Arc::new(logic) as Arc<dyn PhysicalExpr>),
        };
    }
    if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
        return Some(Arc::new(Negation::new(Arc::clone(negative.arg()))));
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return PostgresCast::differs(cast.cast_type()).then(|| Arc::new(PostgresCast::new(cast.clone())) as Arc<dyn PhysicalExpr>);
    }
    None
}
