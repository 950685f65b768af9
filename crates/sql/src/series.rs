//! `generate_series(first, last [, step])` in FROM: rows that are counted, not read.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{
    DataType, Field, IntervalMonthDayNano, IntervalUnit, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;

use crate::bind::errors::from_datafusion;
use crate::error::{Result, SqlError, code};
use crate::table_function::no_such_function;

/// What it is called.
pub(crate) const GENERATE_SERIES: &str = "generate_series";

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// A series: a table of one column that has the function's name.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    steps: Steps,
    schema: SchemaRef,
}

#[derive(Clone, Copy, Debug)]
enum Steps {
    /// An argument is NULL.
    None,
    /// From the first to the last, both of them there where they can be.
    Numbers { first: i64, last: i64, step: i64 },
    /// Microseconds since 1970.
    Times { first: i64, last: i64, step: IntervalMonthDayNano },
}

impl Series {
    /// The series of some arguments, whose values are known.
    pub fn of(arguments: &[Expr], values: &[ScalarValue]) -> Result<Self> {
        let types = arguments.iter().zip(values).map(|(argument, value)| match argument {
            // A text without a type is what the others are.
            Expr::Literal(ScalarValue::Utf8(_), _) => DataType::Null,
            _ => value.data_type(),
        });
        let types = types.collect::<Vec<_>>();
        let data_type = match types.as_slice() {
            [first, last] | [first, last, _] if is_number(first) && is_number(last) => {
                let is_big = types.contains(&DataType::Int64);
                if is_big { DataType::Int64 } else { DataType::Int32 }
            }
            [first, last, DataType::Interval(_) | DataType::Null] if is_time(first) && is_time(last) => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            _ => return Err(no_such_function(GENERATE_SERIES, &types, &[])),
        };
        let schema = Arc::new(Schema::new(vec![Field::new(GENERATE_SERIES, data_type.clone(), false)]));
        if values.iter().any(ScalarValue::is_null) {
            return Ok(Self { steps: Steps::None, schema });
        }
        let number = |value: &ScalarValue| match value.cast_to(&DataType::Int64).map_err(from_datafusion)? {
            ScalarValue::Int64(Some(number)) => Ok(number),
            _ => Err(no_such_function(GENERATE_SERIES, &types, &[])),
        };
        let zero = || Err(SqlError::new(code::INVALID_PARAMETER_VALUE, "step size cannot equal zero"));
        let steps = if data_type.is_integer() {
            let step = values.get(2).map_or(Ok(1), number)?;
            if step == 0 {
                return zero();
            }
            Steps::Numbers { first: number(&values[0])?, last: number(&values[1])?, step }
        } else {
            let time = |value: &ScalarValue| match value.cast_to(&data_type).map_err(from_datafusion)? {
                ScalarValue::TimestampMicrosecond(Some(micros), _) => Ok(micros),
                _ => Err(no_such_function(GENERATE_SERIES, &types, &[])),
            };
            let interval = DataType::Interval(IntervalUnit::MonthDayNano);
            let ScalarValue::IntervalMonthDayNano(Some(step)) = values[2].cast_to(&interval).map_err(from_datafusion)? else {
                return Err(no_such_function(GENERATE_SERIES, &types, &[]));
            };
            if sign(step) == 0 {
                return zero();
            }
            Steps::Times { first: time(&values[0])?, last: time(&values[1])?, step }
        };
        Ok(Self { steps, schema })
    }

    /// Its one column.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Its rows, a batch at a time, in their order.
    pub fn batches(&self) -> impl Iterator<Item = RecordBatch> + Send + use<> {
        let (schema, mut values) = (Arc::clone(&self.schema), self.steps.values());
        std::iter::from_fn(move || {
            let some = values.by_ref().take(BATCH_ROWS).collect::<Vec<_>>();
            let column: ArrayRef = match schema.field(0).data_type() {
                DataType::Int32 => {
                    // What is beyond the type has ended the series.
                    Arc::new(Int32Array::from_iter_values(some.iter().map_while(|value| i32::try_from(*value).ok())))
                }
                DataType::Int64 => Arc::new(Int64Array::from(some)),
                _ => Arc::new(TimestampMicrosecondArray::from(some)),
            };
            (!column.is_empty())
                .then(|| RecordBatch::try_new(Arc::clone(&schema), vec![column]).expect("the column is of its type"))
        })
    }
}

impl Steps {
    fn values(self) -> Box<dyn Iterator<Item = i64> + Send> {
        match self {
            Self::None => Box::new(std::iter::empty()),
            Self::Numbers { first, last, step } => {
                let next = move |value: &i64| value.checked_add(step);
                let is_in = move |value: &i64| if step > 0 { *value <= last } else { *value >= last };
                Box::new(std::iter::successors(Some(first), next).take_while(is_in))
            }
            Self::Times { first, last, step } => {
                let next = move |value: &i64| after(*value, step);
                let is_in = move |value: &i64| if sign(step) > 0 { *value <= last } else { *value >= last };
                Box::new(std::iter::successors(Some(first), next).take_while(is_in))
            }
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Null)
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, None) | DataType::Null)
}

/// Which way an interval goes, as PostgreSQL compares it with none: a month is 30 days, a day 24 hours.
fn sign(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    (days * 86_400_000_000_000 + i128::from(interval.nanoseconds)).signum()
}

/// A time and an interval later. A month that is too short ends with its last day.
fn after(micros: i64, interval: IntervalMonthDayNano) -> Option<i64> {
    let (time, step) = (TimestampMicrosecondArray::new_scalar(micros), IntervalMonthDayNanoArray::new_scalar(interval));
    Some(numeric::add(&time, &step).ok()?.as_primitive::<TimestampMicrosecondType>().value(0))
}
