//! Logical expressions to physical ones over a node's columns, and moving columns about in them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use refrain_plan::{Projected, RowFunction, Step};
use refrain_sql::bind::errors::from_datafusion;
use refrain_sql::{Result, finish_physical_expr, finish_predicate};

use crate::refuse;

/// The physical form of an expression over the columns of a plan.
pub(crate) fn physical(expr: &Expr, input: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(finish_physical_expr(unfinished(expr, input)?))
}

/// The physical form of a condition that keeps rows.
pub(crate) fn predicate(expr: &Expr, input: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(finish_predicate(&unfinished(expr, input)?))
}

fn unfinished(expr: &Expr, input: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    refuse::expression(expr)?;
    create_physical_expr(expr, input, &ExecutionProps::new(), &PhysicalPlanningContext::default()).map_err(from_datafusion)
}

/// One output column: an input column where the expression is one, else computed.
pub(crate) fn projected(expr: &Expr, input: &DFSchema, field: &Field) -> Result<Projected> {
    let expr = without_alias(expr);
    if let Expr::Column(column) = expr {
        let at = input.index_of_column(column).map_err(from_datafusion)?;
        return Ok(Projected::Column(at, Arc::new(field.clone())));
    }
    let computed = physical(expr, input)?;
    let schema = input.as_arrow();
    let nullable = field.is_nullable() || computed.nullable(schema).map_err(from_datafusion)?;
    let data_type = computed.data_type(schema).map_err(from_datafusion)?;
    let field = Arc::new(Field::new(field.name(), field.data_type().clone(), nullable));
    Ok(Projected::Computed(as_type(computed, &data_type, field.data_type()), field))
}

pub(crate) fn without_alias(mut expr: &Expr) -> &Expr {
    while let Expr::Alias(alias) = expr {
        expr = &alias.expr;
    }
    expr
}

fn as_type(expr: Arc<dyn PhysicalExpr>, from: &DataType, to: &DataType) -> Arc<dyn PhysicalExpr> {
    if from == to { expr } else { finish_physical_expr(Arc::new(CastExpr::new(expr, to.clone(), None))) }
}

/// A column of a node.
pub(crate) fn column(schema: &Schema, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(schema.field(at).name(), at))
}

/// Puts other columns in the place of an expression's columns.
pub(crate) fn move_columns(expr: &Arc<dyn PhysicalExpr>, to: &dyn Fn(usize) -> usize) -> Arc<dyn PhysicalExpr> {
    let moved = Arc::clone(expr).transform_up(|e| match e.downcast_ref::<Column>() {
        Some(column) if to(column.index()) != column.index() => {
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), to(column.index()))) as Arc<dyn PhysicalExpr>))
        }
        _ => Ok(Transformed::no(e)),
    });
    moved.expect("an expression takes columns in the place of columns").data
}

/// Turns -0.0 into 0.0 in the given columns, where they are floating point, so that equal values are equal rows.
pub(crate) fn without_negative_zero(schema: &Schema, columns: &[usize]) -> RowFunction {
    if columns.iter().all(|c| !schema.field(*c).data_type().is_floating()) {
        return RowFunction::default();
    }
    let project = schema.fields().iter().enumerate().map(|(i, field)| {
        if columns.contains(&i) && field.data_type().is_floating() {
            Projected::Computed(plus_zero(column(schema, i), field.data_type()), Arc::clone(field))
        } else {
            Projected::Column(i, Arc::clone(field))
        }
    });
    RowFunction { steps: vec![Step::Project(project.collect())] }
}

/// `x + 0.0` is `x`, but for -0.0.
pub(crate) fn plus_zero(expr: Arc<dyn PhysicalExpr>, data_type: &DataType) -> Arc<dyn PhysicalExpr> {
    let zero = ScalarValue::new_zero(data_type).expect("floating point has a zero");
    let sum = BinaryExpr::new(expr, Operator::Plus, Arc::new(Literal::new(zero)));
    finish_physical_expr(Arc::new(sum))
}

/// A field for a column that the planner adds.
pub(crate) fn field(name: &str, data_type: DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new(name, data_type, nullable))
}
