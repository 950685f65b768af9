//! The functions that `SEARCH` and `CYCLE` are made of: records of columns, and lists of such records.
//!
//! A record is a struct with the fields `f1`, `f2`, …; a path a list of records. Records are compared as PostgreSQL compares them: NULL
//! equals NULL, −0 equals 0, NaN equals NaN.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StructArray, UInt64Array, make_comparator};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, concat, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float32Type, Float64Type, Int64Type};

use datafusion_common::{Result, exec_err};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// What a function does. All but the first two take what the row has so far before the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PathFunction {
    /// Columns to a path of one record.
    Start,
    /// Columns to a record with 0 in front.
    FirstLevel,
    /// A path and columns to the path with one more record.
    Extended,
    /// A record and columns to a record with one more in front.
    NextLevel,
    /// A path and columns to whether the path holds a record of them.
    Holds,
}

impl PathFunction {
    /// The function as an expression names it. Nobody can call it by its name.
    pub(crate) fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Path { function: self, signature: Signature::variadic_any(Volatility::Immutable) }))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Path {
    function: PathFunction,
    signature: Signature,
}

impl ScalarUDFImpl for Path {
    fn name(&self) -> &'static str {
        match self.function {
            PathFunction::Start => "path",
            PathFunction::FirstLevel => "level",
            PathFunction::Extended => "path_with",
            PathFunction::NextLevel => "next_level",
            PathFunction::Holds => "path_holds",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match self.function {
            PathFunction::Start => DataType::List(item(record_fields(types))),
            PathFunction::FirstLevel => DataType::Struct(level_fields(types)),
            PathFunction::Extended => DataType::List(item(record_fields(&types[1..]))),
            PathFunction::NextLevel => DataType::Struct(level_fields(&types[1..])),
            PathFunction::Holds => DataType::Boolean,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = args.arg_fields.iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let result: ArrayRef = match (self.function, arrays.as_slice()) {
            (PathFunction::Start, columns) => {
                let records = record(columns, rows)?;
                let one_each = OffsetBuffer::from_lengths(std::iter::repeat_n(1, rows));
                Arc::new(ListArray::try_new(item(records.fields().clone()), one_each, Arc::new(records), None)?)
            }
            (PathFunction::FirstLevel, columns) => Arc::new(level(Int64Array::from(vec![0; rows]), columns, rows)?),
            (PathFunction::Extended, [path, columns @ ..]) => Arc::new(extended(path.as_list(), record(columns, rows)?)?),
            (PathFunction::NextLevel, [before, columns @ ..]) => {
                let Some(levels) = before.as_struct_opt().and_then(|r| r.column(0).as_primitive_opt::<Int64Type>()) else {
                    return exec_err!("the first column of a level is its number");
                };
                Arc::new(level(levels.unary(|n| n + 1), columns, rows)?)
            }
            (PathFunction::Holds, [path, columns @ ..]) => Arc::new(holds(path.as_list(), &record(columns, rows)?)?),
            _ => return exec_err!("{} needs what the row has so far", self.name()),
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn item(fields: Fields) -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields), true))
}

fn record_fields(types: &[DataType]) -> Fields {
    types.iter().enumerate().map(|(i, data_type)| Field::new(format!("f{}", i + 1), data_type.clone(), true)).collect()
}

fn level_fields(types: &[DataType]) -> Fields {
    record_fields(&[&[DataType::Int64], types].concat())
}

fn record(columns: &[ArrayRef], rows: usize) -> Result<StructArray> {
    let types = columns.iter().map(|column| column.data_type().clone()).collect::<Vec<_>>();
    Ok(StructArray::try_new_with_length(record_fields(&types), columns.to_vec(), None, rows)?)
}

fn level(numbers: Int64Array, columns: &[ArrayRef], rows: usize) -> Result<StructArray> {
    record(&[&[Arc::new(numbers) as ArrayRef], columns].concat(), rows)
}

/// Each path with its row's record behind it.
fn extended(paths: &ListArray, records: StructArray) -> Result<ListArray> {
    let before = paths.values().len();
    let all = concat(&[paths.values().as_ref(), &records])?;
    let mut places = Vec::with_capacity(before + records.len());
    let mut lengths = Vec::with_capacity(paths.len());
    for (row, range) in paths.value_offsets().windows(2).enumerate() {
        let (start, end) = if paths.is_null(row) { (0, 0) } else { (range[0] as u64, range[1] as u64) };
        places.extend(start..end);
        places.push((before + row) as u64);
        lengths.push((end - start) as usize + 1);
    }
    let values = take(&all, &UInt64Array::from(places), None)?;
    Ok(ListArray::try_new(item(records.fields().clone()), OffsetBuffer::from_lengths(lengths), values, None)?)
}

/// Whether each path holds its row's record.
fn holds(paths: &ListArray, records: &StructArray) -> Result<BooleanArray> {
    let of_paths = paths.values().as_struct();
    let columns = of_paths.columns().iter().zip(records.columns());
    let equal = columns.map(|(a, b)| make_comparator(&without_negative_zero(a), &without_negative_zero(b), SortOptions::default()));
    let equal = equal.collect::<std::result::Result<Vec<_>, _>>()?;
    let found = paths.value_offsets().windows(2).enumerate().map(|(row, range)| {
        let is_it = |at: usize| equal.iter().all(|compare| compare(at, row) == Ordering::Equal);
        paths.is_valid(row) && (range[0] as usize..range[1] as usize).any(is_it)
    });
    Ok(found.map(Some).collect())
}

fn without_negative_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| v + 0.0)),
        DataType::Float64 => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| v + 0.0)),
        _ => Arc::clone(column),
    }
}

#[cfg(test)]
mod tests;
