//! Operators that PostgreSQL defines otherwise than DataFusion.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, Result};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion_sql::sqlparser::ast::BinaryOperator;

use super::functions::interval_scale::{Scaling, scaled};
use crate::error::{SqlError, code};
use crate::types::type_name;

/// Refuses comparisons that PostgreSQL has no operator for, and does arithmetic of dates in days.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator as B;
        let (Ok(left), Ok(right)) = (raw.left.get_type(schema), raw.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(raw));
        };
        match raw.op {
            B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq if differ(&raw.left, &left, &raw.right, &right) => {
                return Err(no_operator(&left, &raw.op, &right));
            }
            B::Plus | B::Minus | B::Multiply | B::Divide | B::Modulo => {
                if let Some(planned) = date_arithmetic(&raw, &left, &right) {
                    return Ok(PlannerResult::Planned(planned));
                }
                let is_text = |e: &Expr, t: &DataType| is_text(t) && !is_literal(e);
                if is_text(&raw.left, &left) || is_text(&raw.right, &right) {
                    return Err(no_operator(&left, &raw.op, &right));
                }
            }
            _ => {}
        }
        Ok(PlannerResult::Original(raw))
    }
}

fn no_operator(left: &DataType, op: &BinaryOperator, right: &DataType) -> datafusion_common::DataFusionError {
    let message = format!("operator does not exist: {} {op} {}", type_name(left), type_name(right));
    SqlError::new(code::UNDEFINED_FUNCTION, message)
        .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
        .into()
}

/// Refuses a UNION of columns that PostgreSQL would not match.
pub(super) fn check_unions(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Union(union) = node {
            for pair in union.inputs.windows(2) {
                check_union(&pair[0], &pair[1])?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(|_| ())
}

fn check_union(left: &LogicalPlan, right: &LogicalPlan) -> Result<()> {
    for at in 0..left.schema().fields().len().min(right.schema().fields().len()) {
        let types = [left, right].map(|side| side.schema().field(at).data_type());
        if differ(&output(left, at), types[0], &output(right, at), types[1]) {
            let message = format!("UNION types {} and {} cannot be matched", type_name(types[0]), type_name(types[1]));
            return Err(SqlError::new(code::DATATYPE_MISMATCH, message).into());
        }
    }
    Ok(())
}

/// Gives a subquery of `= ANY (…)` or `> ALL (…)` a name of its own where its column has the name of one that it is compared with: DataFusion
/// tells the two sides apart by nothing else.
pub(super) fn name_compared(plan: LogicalPlan) -> Result<LogicalPlan> {
    let named = plan.transform_up_with_subqueries(|plan| {
        plan.map_expressions(|expr| {
            expr.transform_up(|expr| {
                let Expr::SetComparison(mut comparison) = expr else { return Ok(Transformed::no(expr)) };
                let rows = LogicalPlan::clone(&comparison.subquery.subquery);
                let other = Column::from(rows.schema().qualified_field(0));
                if !comparison.expr.column_refs().contains(&other) {
                    return Ok(Transformed::no(Expr::SetComparison(comparison)));
                }
                comparison.subquery.subquery = Arc::new(LogicalPlanBuilder::new(rows).alias(COMPARED)?.build()?);
                Ok(Transformed::yes(Expr::SetComparison(comparison)))
            })
        })
    });
    named.map(|t| t.data)
}

/// The name of a subquery that a value is compared with.
const COMPARED: &str = "__refrain_compared";

/// The expression of an output column, where the plan shows it; a string in it has no type yet.
fn output(plan: &LogicalPlan, at: usize) -> Expr {
    match plan {
        LogicalPlan::Projection(projection) => projection.expr[at].clone().unalias(),
        other => Expr::from(other.schema().qualified_field(at)),
    }
}

/// Whether two sides cannot be compared in PostgreSQL although DataFusion would cast one of them. A string literal has no type yet.
fn differ(left_expr: &Expr, left: &DataType, right_expr: &Expr, right: &DataType) -> bool {
    let class = |t: &DataType| match t {
        t if is_text(t) => Some(1),
        t if t.is_numeric() => Some(2),
        DataType::Boolean => Some(3),
        DataType::Date32 | DataType::Timestamp(..) => Some(4),
        DataType::Time64(_) => Some(5),
        _ => None,
    };
    let open = |e: &Expr, t: &DataType| t.is_null() || (is_text(t) && is_literal(e));
    if open(left_expr, left) || open(right_expr, right) {
        return false;
    }
    matches!((class(left), class(right)), (Some(l), Some(r)) if l != r)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..) | Expr::Placeholder(_))
}

/// `date + integer`, `integer + date`, `date - integer` are dates; `date - date` is a number of days; a date and an interval are a timestamp.
/// An interval may be multiplied and divided.
fn date_arithmetic(raw: &RawBinaryExpr, left: &DataType, right: &DataType) -> Option<Expr> {
    let days = |e: &Expr| cast(e.clone(), DataType::Int32);
    let integer = |t: &DataType| matches!(t, DataType::Int16 | DataType::Int32);
    let date = |e: Expr| cast(e, DataType::Date32);
    let midnight = |e: &Expr| cast(e.clone(), DataType::Timestamp(TimeUnit::Microsecond, None));
    match (&raw.op, left, right) {
        (BinaryOperator::Plus, DataType::Date32, r) if integer(r) => Some(date(days(&raw.left) + days(&raw.right))),
        (BinaryOperator::Plus, l, DataType::Date32) if integer(l) => Some(date(days(&raw.left) + days(&raw.right))),
        (BinaryOperator::Minus, DataType::Date32, r) if integer(r) => Some(date(days(&raw.left) - days(&raw.right))),
        (BinaryOperator::Minus, DataType::Date32, DataType::Date32) => Some(days(&raw.left) - days(&raw.right)),
        (BinaryOperator::Plus, DataType::Date32, DataType::Interval(_)) => Some(midnight(&raw.left) + raw.right.clone()),
        (BinaryOperator::Plus, DataType::Interval(_), DataType::Date32) => Some(raw.left.clone() + midnight(&raw.right)),
        (BinaryOperator::Multiply, DataType::Interval(_), n) if n.is_numeric() => {
            Some(scaled(raw.left.clone(), Scaling::Multiplied, raw.right.clone()))
        }
        (BinaryOperator::Multiply, n, DataType::Interval(_)) if n.is_numeric() => {
            Some(scaled(raw.right.clone(), Scaling::Multiplied, raw.left.clone()))
        }
        (BinaryOperator::Divide, DataType::Interval(_), n) if n.is_numeric() => {
            Some(scaled(raw.left.clone(), Scaling::Divided, raw.right.clone()))
        }
        (BinaryOperator::Minus, DataType::Date32, DataType::Interval(_)) => Some(midnight(&raw.left) - raw.right.clone()),
        _ => None,
    }
}
