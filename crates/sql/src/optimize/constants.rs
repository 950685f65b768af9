//! Constants folded with PostgreSQL's arithmetic.
//!
//! DataFusion folds constants with arithmetic that wraps. So what could overflow is folded here before: an operation on constants becomes
//! its value, or the statement fails, as PostgreSQL's does, in a branch of CASE too. Only where a constant decides (`false AND …`,
//! `CASE WHEN true …`) the rest is left alone.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion_physical_expr::create_physical_expr;

use crate::physical::finish_physical_expr;
use crate::types::type_name;

/// Folds the constants of a plan.
pub(super) fn fold(plan: LogicalPlan) -> Result<LogicalPlan> {
    let folded = plan.transform_up_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_down_up(guard, fold_one)?.update_data(|e| name.restore(e)))
        })
    });
    folded.map(|t| t.data)
}

/// Does not go into what PostgreSQL would not: where a constant decides before.
fn guard(expr: Expr) -> Result<Transformed<Expr>> {
    let literal = |e: &Expr| matches!(e, Expr::Literal(..));
    let decided = match &expr {
        Expr::Case(case) => case.expr.as_deref().is_some_and(literal) || case.when_then_expr.iter().any(|(when, _)| literal(when)),
        Expr::ScalarFunction(call) => call.func.short_circuits() && call.args.first().is_some_and(literal),
        Expr::BinaryExpr(BinaryExpr { left, op, .. }) => matches!(op, Operator::And | Operator::Or) && literal(left),
        _ => false,
    };
    Ok(if decided { Transformed::new(expr, false, TreeNodeRecursion::Jump) } else { Transformed::no(expr) })
}

fn fold_one(expr: Expr) -> Result<Transformed<Expr>> {
    if !is_constant_operation(&expr) {
        return Ok(Transformed::no(expr));
    }
    let value = evaluate(&expr).map_err(|e| in_range(e, &expr))?;
    Ok(Transformed::yes(Expr::Literal(value, None)))
}

fn is_constant_operation(expr: &Expr) -> bool {
    let literal = |e: &Expr| matches!(e, Expr::Literal(..));
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let arithmetic =
                matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo);
            arithmetic && literal(left) && literal(right)
        }
        Expr::Cast(Cast { expr, .. }) | Expr::Negative(expr) => literal(expr),
        _ => false,
    }
}

/// Arrow does not say which type overflowed.
fn in_range(error: DataFusionError, expr: &Expr) -> DataFusionError {
    match (error.find_root(), expr.get_type(&DFSchema::empty())) {
        (DataFusionError::ArrowError(overflow, _), Ok(data_type)) if matches!(**overflow, ArrowError::ArithmeticOverflow(_)) => {
            DataFusionError::Execution(format!("{} out of range", type_name(&data_type)))
        }
        _ => error,
    }
}

/// The value of an expression without columns.
fn evaluate(expr: &Expr) -> Result<ScalarValue> {
    let physical = create_physical_expr(expr, &DFSchema::empty(), &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
    let physical = finish_physical_expr(physical);
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row = RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &options)?;
    match physical.evaluate(&one_row)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0),
    }
}
