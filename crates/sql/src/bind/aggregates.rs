//! `sum` and `avg` with PostgreSQL's result types, for one-shot queries; maintained views have their own accumulators.
//!
//! `sum` of `smallint` and `integer` is `bigint`, of `bigint` and `numeric` is `numeric`; `avg` of all of these is `numeric`. Floating
//! point stays what it is, but for `avg(real)`, which is `double precision`. Sums are exact but for floating point, and an overflow is
//! an error.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type};
use datafusion_common::utils::SingleRowListArrayBuilder;
use datafusion_common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::expr::AggregateFunctionParams;
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use refrain_types::SqlState;

use super::errors::no_function;
use crate::error::SqlError;
use crate::types::NUMERIC_PRECISION;

/// Digits after the point of an average, at least.
const AVERAGE_SCALE: i8 = 16;

/// `sum` or `avg`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExactAggregate {
    average: bool,
    signature: Signature,
}

impl ExactAggregate {
    pub(crate) fn sum() -> Self {
        Self { average: false, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub(crate) fn avg() -> Self {
        Self { average: true, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for ExactAggregate {
    fn name(&self) -> &'static str {
        if self.average { "avg" } else { "sum" }
    }

    /// With the casts in the argument, which DataFusion leaves out: `sum(x)` and `sum(x::real)` are two columns.
    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        let AggregateFunctionParams { args, distinct, filter, .. } = params;
        let args = args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let distinct = if *distinct { "DISTINCT " } else { "" };
        let filter = filter.as_ref().map(|f| format!(" FILTER (WHERE {f})")).unwrap_or_default();
        Ok(format!("{}({distinct}{args}){filter}", self.name()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [of] = types else { return plan_err!("function {}() takes one argument", self.name()) };
        let coerced = match of {
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64 => of.clone(),
            DataType::Decimal128(..) => of.clone(),
            DataType::Int8 | DataType::UInt8 => DataType::Int16,
            DataType::UInt16 => DataType::Int32,
            DataType::UInt32 | DataType::UInt64 => DataType::Int64,
            DataType::Null => DataType::Float64,
            other => return Err(no_function(self.name(), std::slice::from_ref(other)).into()),
        };
        Ok(vec![coerced])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [of] = types else { return plan_err!("function {}() takes one argument", self.name()) };
        Ok(match (self.average, of) {
            (false, DataType::Int16 | DataType::Int32) => DataType::Int64,
            (false, DataType::Int64) => DataType::Decimal128(NUMERIC_PRECISION, 0),
            (false, DataType::Float32) => DataType::Float32,
            (_, DataType::Float32 | DataType::Float64) => DataType::Float64,
            (false, DataType::Decimal128(_, scale)) => DataType::Decimal128(NUMERIC_PRECISION, *scale),
            (true, DataType::Decimal128(_, scale)) => DataType::Decimal128(NUMERIC_PRECISION, (*scale).max(AVERAGE_SCALE)),
            (true, DataType::Int16 | DataType::Int32 | DataType::Int64) => DataType::Decimal128(NUMERIC_PRECISION, AVERAGE_SCALE),
            (_, other) => return plan_err!("function {}({other}) does not exist", self.name()),
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let of = args.expr_fields[0].data_type().clone();
        let result = args.return_field.data_type().clone();
        let total = if of.is_floating() { Total::Float(0.0) } else { Total::Exact(0) };
        let running = Running { average: self.average, of, result, total, count: 0 };
        Ok(if args.is_distinct { Box::new(Distinct { running, values: HashSet::new() }) } else { Box::new(running) })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let of = args.input_fields[0].data_type();
        if args.is_distinct {
            return Ok(vec![Arc::new(Field::new_list("values", Field::new_list_field(of.clone(), true), true))]);
        }
        let total = if of.is_floating() { DataType::Float64 } else { DataType::Decimal128(NUMERIC_PRECISION, scale(of)) };
        Ok(vec![Arc::new(Field::new("total", total, false)), Arc::new(Field::new("count", DataType::Int64, false))])
    }
}

/// Sum so far: of integers and decimals as their digits, of floating point as it is.
#[derive(Clone, Copy, Debug)]
enum Total {
    Exact(i128),
    Float(f64),
}

#[derive(Debug)]
struct Running {
    average: bool,
    of: DataType,
    result: DataType,
    total: Total,
    /// Values that are not NULL.
    count: i64,
}

impl Running {
    /// Adds the values, `sign` times.
    fn add(&mut self, values: &ArrayRef, sign: i8) -> Result<()> {
        let there = i64::try_from(values.len() - values.null_count()).expect("a batch has fewer rows");
        self.count += i64::from(sign) * there;
        match &mut self.total {
            Total::Exact(total) if matches!(self.of, DataType::Decimal128(..)) => {
                for value in values.as_primitive::<Decimal128Type>().iter().flatten() {
                    *total = checked(total.checked_add(i128::from(sign) * value))?;
                }
            }
            Total::Exact(total) => {
                let values = cast(values, &DataType::Int64)?;
                let sum = values.as_primitive::<Int64Type>().iter().flatten().map(i128::from).sum::<i128>();
                *total = checked(total.checked_add(i128::from(sign) * sum))?;
            }
            Total::Float(total) => {
                let values = cast(values, &DataType::Float64)?;
                *total += f64::from(sign) * values.as_primitive::<Float64Type>().iter().flatten().sum::<f64>();
            }
        }
        Ok(())
    }

    fn exact(&self, total: i128) -> Result<ScalarValue> {
        let value = if self.average {
            let scale_up = u32::try_from(scale(&self.result) - scale(&self.of)).expect("an average has no smaller scale");
            let scaled = checked(total.checked_mul(10_i128.pow(scale_up)))?;
            divide_rounded(scaled, i128::from(self.count))
        } else {
            total
        };
        Ok(match &self.result {
            DataType::Int64 => ScalarValue::Int64(Some(i64::try_from(value).map_err(|_| out_of_range("bigint"))?)),
            DataType::Decimal128(precision, scale) => ScalarValue::Decimal128(Some(value), *precision, *scale),
            other => return exec_err!("{other} is not the type of an exact sum"),
        })
    }
}

impl Accumulator for Running {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        matches!(self.total, Total::Exact(_))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return ScalarValue::try_from(&self.result);
        }
        match self.total {
            Total::Exact(total) => self.exact(total),
            Total::Float(total) => {
                #[expect(clippy::cast_precision_loss, reason = "a count of rows is far below 2^53")]
                let value = if self.average { total / self.count as f64 } else { total };
                ScalarValue::Float64(Some(value)).cast_to(&self.result)
            }
        }
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let total = match self.total {
            Total::Exact(total) => ScalarValue::Decimal128(Some(total), NUMERIC_PRECISION, scale(&self.of)),
            Total::Float(total) => ScalarValue::Float64(Some(total)),
        };
        Ok(vec![total, ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.count += states[1].as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        match &mut self.total {
            Total::Exact(total) => {
                for other in states[0].as_primitive::<Decimal128Type>().iter().flatten() {
                    *total = checked(total.checked_add(other))?;
                }
            }
            Total::Float(total) => *total += states[0].as_primitive::<Float64Type>().iter().flatten().sum::<f64>(),
        }
        Ok(())
    }
}

/// The same over each value once.
#[derive(Debug)]
struct Distinct {
    running: Running,
    values: HashSet<ScalarValue>,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for i in 0..values[0].len() {
            if values[0].is_valid(i) {
                self.values.insert(ScalarValue::try_from_array(&values[0], i)?);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut running = Running {
            of: self.running.of.clone(),
            result: self.running.result.clone(),
            total: if self.running.of.is_floating() { Total::Float(0.0) } else { Total::Exact(0) },
            ..self.running
        };
        if !self.values.is_empty() {
            running.add(&ScalarValue::iter_to_array(self.values.iter().cloned())?, 1)?;
        }
        running.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<ScalarValue>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = if self.values.is_empty() {
            arrow::array::new_empty_array(&self.running.of)
        } else {
            ScalarValue::iter_to_array(self.values.iter().cloned())?
        };
        Ok(vec![SingleRowListArrayBuilder::new(values).build_list_scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|values| self.update_batch(&[values]))
    }
}

fn scale(data_type: &DataType) -> i8 {
    if let DataType::Decimal128(_, scale) = data_type { *scale } else { 0 }
}

/// Half away from zero, as PostgreSQL rounds `numeric`.
fn divide_rounded(dividend: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    if rest.unsigned_abs() * 2 >= divisor.unsigned_abs() { quotient + dividend.signum() } else { quotient }
}

fn checked(value: Option<i128>) -> Result<i128> {
    value.filter(|v| v.unsigned_abs() < 10_u128.pow(38)).ok_or_else(|| out_of_range("numeric"))
}

fn out_of_range(name: &str) -> DataFusionError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range")).into()
}
