//! The types of a recursive query's columns: those of its non-recursive term, or an error.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};

use crate::bind::errors::from_datafusion;
use crate::error::{Result, SqlError, code};
use crate::types::{NUMERIC_PRECISION, NUMERIC_SCALE, type_name};

/// The columns after the recursive term is known: nullable where it makes NULLs, and numeric without a stated scale where both terms are
/// numeric and their scales differ.
pub(super) fn widened(name: &str, variable: &SchemaRef, step: &Schema) -> Result<SchemaRef> {
    if variable.fields().len() != step.fields().len() {
        return Err(SqlError::syntax("each UNION query must have the same number of columns"));
    }
    let fields = variable.fields().iter().zip(step.fields()).enumerate().map(|(i, (base, step))| {
        let data_type = column_type(name, i + 1, base.data_type(), step.data_type())?;
        Ok(Field::new(base.name(), data_type, base.is_nullable() || step.is_nullable()))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// PostgreSQL lets the recursive term be cast to the other's type where that is the type of their union.
fn column_type(name: &str, position: usize, base: &DataType, step: &DataType) -> Result<DataType> {
    if base == step {
        return Ok(base.clone());
    }
    if let (DataType::Decimal128(_, base_scale), DataType::Decimal128(..)) = (base, step) {
        return Ok(DataType::Decimal128(NUMERIC_PRECISION, (*base_scale).max(NUMERIC_SCALE)));
    }
    let Some((base_rank, step_rank)) = rank(base).zip(rank(step)).filter(|(b, s)| b.0 == s.0) else {
        let message = format!("UNION types {} and {} cannot be matched", type_name(base), type_name(step));
        return Err(SqlError::new(code::DATATYPE_MISMATCH, message));
    };
    if base_rank >= step_rank {
        return Ok(base.clone());
    }
    let message = format!(
        "recursive query \"{name}\" column {position} has type {} in non-recursive term but type {} overall",
        type_name(base),
        type_name(step)
    );
    Err(SqlError::new(code::DATATYPE_MISMATCH, message).with_hint("Cast the output of the non-recursive term to the correct type."))
}

/// Whether a value of one type is taken for the other: the same, or of one category.
pub(super) fn are_alike(given: &DataType, wanted: &DataType) -> bool {
    given == wanted || rank(given).zip(rank(wanted)).is_some_and(|(a, b)| a.0 == b.0)
}

/// The type of two constants, where one of their types can be taken for the other.
pub(super) fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    if !are_alike(a, b) {
        return None;
    }
    Some(if rank(a) >= rank(b) { a.clone() } else { b.clone() })
}

/// Types of one category, the lower ones castable to the higher without being asked.
fn rank(data_type: &DataType) -> Option<(u8, u8)> {
    Some(match data_type {
        DataType::Int16 => (0, 0),
        DataType::Int32 => (0, 1),
        DataType::Int64 => (0, 2),
        DataType::Decimal128(..) => (0, 3),
        DataType::Float32 => (0, 4),
        DataType::Float64 => (0, 5),
        DataType::Date32 => (1, 0),
        DataType::Timestamp(_, None) => (1, 1),
        DataType::Timestamp(_, Some(_)) => (1, 2),
        _ => return None,
    })
}

/// Casts the columns of a plan to those of the recursive query, where they differ.
pub(super) fn cast_columns(plan: LogicalPlan, variable: &SchemaRef) -> Result<LogicalPlan> {
    let same = plan.schema().fields().iter().zip(variable.fields()).all(|(from, to)| from.data_type() == to.data_type());
    if same {
        return Ok(plan);
    }
    let columns = plan.schema().iter().zip(variable.fields()).map(|((qualifier, field), to)| {
        let column = Expr::from((qualifier, field));
        if field.data_type() == to.data_type() { column } else { cast(column, to.data_type().clone()).alias(to.name()) }
    });
    let columns = columns.collect::<Vec<_>>();
    LogicalPlanBuilder::new(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}
