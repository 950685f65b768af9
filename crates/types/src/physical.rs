//! The fixed-width form in which values travel and are stored.
//!
//! A column whose type has a fixed width keeps it. Every other column (text, bytes, lists, structs, …) becomes a column of
//! `UInt32` codes into the engine's dictionary; code 0 is NULL, so that a coded column needs no validity bitmap. Equal values have
//! equal codes, so rows can be hashed, compared, joined and exchanged without looking at the values.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// The code of NULL in a coded column.
pub const NULL_CODE: u32 = 0;

/// Bits that a value of this type takes, or `None` if the column is coded.
#[must_use]
pub fn fixed_width_bits(data_type: &DataType) -> Option<u32> {
    use DataType as D;
    Some(match data_type {
        D::Boolean => 1,
        D::Int8 | D::UInt8 => 8,
        D::Int16 | D::UInt16 => 16,
        D::Int32 | D::UInt32 | D::Float32 | D::Date32 | D::Time32(_) => 32,
        D::Int64 | D::UInt64 | D::Float64 | D::Date64 | D::Time64(_) | D::Timestamp(_, _) | D::Duration(_) => 64,
        D::Decimal128(_, _) | D::Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => 128,
        _ => return None,
    })
}

/// Whether columns of this type are codes into the dictionary.
#[must_use]
pub fn is_coded(data_type: &DataType) -> bool {
    fixed_width_bits(data_type).is_none()
}

/// The type in which a column of `logical` travels.
#[must_use]
pub fn physical_type(logical: &DataType) -> DataType {
    if is_coded(logical) { DataType::UInt32 } else { logical.clone() }
}

/// The schema in which rows of `logical` travel: coded columns become `UInt32`, never null.
#[must_use]
pub fn physical_schema(logical: &Schema) -> SchemaRef {
    let fields = logical.fields().iter().map(|f| {
        if is_coded(f.data_type()) {
            Arc::new(Field::new(f.name(), DataType::UInt32, false))
        } else {
            Arc::new(Field::new(f.name(), f.data_type().clone(), f.is_nullable()))
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
