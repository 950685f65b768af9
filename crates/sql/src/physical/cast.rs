//! `CAST` as PostgreSQL does it: fractions are rounded, not cut; text is read and written in PostgreSQL's form; errors have its words.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Float32Type, Float64Type, IntervalMonthDayNanoType, IntervalUnit, Schema,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::CastExpr;

use super::bytes::{read_bytes, write_bytes};
use super::interval::read_intervals;
use crate::iso;
use crate::types::type_name;

/// A cast to one of the types for which PostgreSQL's rules are not Arrow's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PostgresCast {
    cast: CastExpr,
}

impl PostgresCast {
    pub(super) fn new(cast: CastExpr) -> Self {
        Self { cast }
    }

    /// Whether casts to this type need more than Arrow's.
    pub(super) fn differs(to: &DataType) -> bool {
        to.is_numeric()
            || matches!(
                to,
                DataType::Utf8
                    | DataType::Binary
                    | DataType::Boolean
                    | DataType::Date32
                    | DataType::Time64(_)
                    | DataType::Timestamp(..)
                    | DataType::Interval(IntervalUnit::MonthDayNano)
            )
    }
}

impl fmt::Display for PostgresCast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAST({} AS {})", self.cast.expr(), type_name(self.cast.cast_type()))
    }
}

impl PhysicalExpr for PostgresCast {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let to = self.cast.cast_type();
        Ok(match self.cast.expr().evaluate(batch)? {
            ColumnarValue::Array(values) => ColumnarValue::Array(cast_array(&values, to)?),
            ColumnarValue::Scalar(value) => {
                let converted = cast_array(&value.to_array()?, to)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&converted, 0)?)
            }
        })
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.cast.return_field(input_schema)
    }

    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.cast.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.cast.nullable(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![self.cast.expr()]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let target = Arc::clone(self.cast.target_field());
        let cast = if self.cast.has_explicit_metadata() || self.cast.has_explicit_nullability() {
            CastExpr::new_with_target_field(Arc::clone(&children[0]), target, Some(self.cast.cast_options().clone()))
        } else {
            CastExpr::new(Arc::clone(&children[0]), target.data_type().clone(), Some(self.cast.cast_options().clone()))
        };
        Ok(Arc::new(Self::new(cast)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAST(")?;
        self.cast.expr().fmt_sql(f)?;
        write!(f, " AS {})", type_name(self.cast.cast_type()))
    }
}

fn cast_array(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let from = values.data_type();
    if from == to {
        return Ok(Arc::clone(values));
    }
    match (from, to) {
        (DataType::Utf8, DataType::Boolean) => read_booleans(values),
        (DataType::Utf8, DataType::Binary) => read_bytes(values),
        (DataType::Binary, DataType::Utf8) => Ok(write_bytes(values)),
        (DataType::Utf8, DataType::Interval(IntervalUnit::MonthDayNano)) => read_intervals(values),
        (DataType::Utf8, _) => read(values, to),
        (DataType::Float32 | DataType::Float64, DataType::Utf8) => write_floats(values),
        (
            DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Utf8,
        ) => Ok(write_times(values)),
        (DataType::Float32 | DataType::Float64, to) if to.is_integer() => in_range(&round_floats(values)?, to),
        (DataType::Decimal128(precision, scale), to) if *scale > 0 && to.is_integer() => {
            // One digit more, for 9.5 becomes 10.
            let whole = DataType::Decimal128((*precision + 1).min(38), 0);
            in_range(&cast_with_options(values, &whole, &STRICT)?, to)
        }
        (DataType::Decimal128(..), DataType::Float32 | DataType::Float64) => decimals_to_floats(values, to),
        (from, to) if from.is_numeric() && to.is_numeric() => in_range(values, to),
        _ => Ok(cast_with_options(values, to, &STRICT)?),
    }
}

const STRICT: CastOptions<'static> = CastOptions { safe: false, format_options: datafusion_common::format::DEFAULT_FORMAT_OPTIONS };
const NULL_IF_BAD: CastOptions<'static> =
    CastOptions { safe: true, format_options: datafusion_common::format::DEFAULT_FORMAT_OPTIONS };

/// The first value that became NULL although it was none.
fn first_failure(before: &ArrayRef, after: &ArrayRef) -> Option<usize> {
    (after.null_count() > before.null_count()).then(|| (0..before.len()).find(|i| before.is_valid(*i) && after.is_null(*i)))?
}

fn in_range(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let converted = cast_with_options(values, to, &NULL_IF_BAD)?;
    if first_failure(values, &converted).is_none() {
        return Ok(converted);
    }
    let message = match to {
        DataType::Decimal128(..) => "numeric field overflow".to_owned(),
        other => format!("{} out of range", type_name(other)),
    };
    Err(DataFusionError::Execution(message))
}

/// Text to a value, with PostgreSQL's error for text that is none.
fn read(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let strings = values.as_string::<i32>();
    let untrimmed = strings.iter().flatten().any(|s| s.starts_with(char::is_whitespace) || s.ends_with(char::is_whitespace));
    let trimmed: ArrayRef = if untrimmed {
        Arc::new(strings.iter().map(|s| s.map(str::trim)).collect::<arrow::array::StringArray>())
    } else {
        Arc::clone(values)
    };
    let converted = cast_with_options(&trimmed, to, &NULL_IF_BAD)?;
    let Some(bad) = first_failure(&trimmed, &converted) else { return Ok(converted) };
    let (text, name) = (strings.value(bad), type_name(to));
    let digits = text.trim().trim_start_matches(['+', '-']);
    let message = if to.is_integer() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        format!("value \"{text}\" is out of range for type {name}")
    } else if is_temporal(to) && looks_like_a_date_or_time(text) {
        format!("date/time field value out of range: \"{text}\"")
    } else {
        format!("invalid input syntax for type {name}: \"{text}\"")
    };
    Err(DataFusionError::Execution(message))
}

fn is_temporal(to: &DataType) -> bool {
    matches!(to, DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..))
}

/// Digits in the form of a date that no calendar has, or of a time that no clock shows.
fn looks_like_a_date_or_time(text: &str) -> bool {
    let is_number =
        |part: &str| part.starts_with(|c: char| c.is_ascii_digit()) && part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if (2..=3).contains(&text.trim().split(':').count()) && text.trim().split(':').all(is_number) {
        return true;
    }
    let date = text.trim().split([' ', 'T']).next().unwrap_or_default();
    let parts = date.split('-').collect::<Vec<_>>();
    parts.len() == 3 && parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

fn read_booleans(values: &ArrayRef) -> Result<ArrayRef> {
    let read = values.as_string::<i32>().iter().map(|s| s.map(boolean).transpose());
    Ok(Arc::new(read.collect::<Result<BooleanArray>>()?))
}

/// Any prefix of PostgreSQL's words that says which one it is.
fn boolean(text: &str) -> Result<bool> {
    let word = text.trim().to_ascii_lowercase();
    let starts = |whole: &str, at_least: usize| word.len() >= at_least && whole.starts_with(&word);
    if word == "1" || starts("true", 1) || starts("yes", 1) || word == "on" {
        Ok(true)
    } else if word == "0" || starts("false", 1) || starts("no", 1) || starts("off", 2) {
        Ok(false)
    } else {
        Err(DataFusionError::Execution(format!("invalid input syntax for type boolean: \"{text}\"")))
    }
}

/// The nearest floating point number. Arrow divides by a power of ten, which is not always the nearest.
fn decimals_to_floats(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let decimals = values.as_primitive::<Decimal128Type>();
    let scale = decimals.scale();
    let doubles =
        decimals.iter().map(|v| v.map(|v| format!("{v}e{}", -i32::from(scale)).parse::<f64>().expect("digits are a number")));
    let doubles: ArrayRef = Arc::new(doubles.collect::<Float64Array>());
    Ok(cast(&doubles, to)?)
}

/// Half to even, as PostgreSQL rounds floating point.
fn round_floats(values: &ArrayRef) -> Result<ArrayRef> {
    let doubles = cast(values, &DataType::Float64)?;
    Ok(Arc::new(doubles.as_primitive::<Float64Type>().iter().map(|v| v.map(f64::round_ties_even)).collect::<Float64Array>()))
}

fn write_floats(values: &ArrayRef) -> Result<ArrayRef> {
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * 8);
    for i in 0..values.len() {
        if values.is_null(i) {
            out.append_null();
        } else if let Some(single) = values.as_primitive_opt::<Float32Type>() {
            out.append_value(shortest(f64::from(single.value(i)), &format!("{:e}", single.value(i))));
        } else {
            let value = values.as_primitive::<Float64Type>().value(i);
            out.append_value(shortest(value, &format!("{value:e}")));
        }
    }
    Ok(Arc::new(out.finish()))
}

/// The shortest digits that read back as the value, in PostgreSQL's form; `scientific` holds them.
fn shortest(value: f64, scientific: &str) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent = exponent.parse::<i32>().unwrap_or(0);
    if (-4..15).contains(&exponent) {
        return plain(digits, exponent);
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Digits with the point where the exponent says.
fn plain(digits: &str, exponent: i32) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |d| ("-", d));
    let mut all = digits.replace('.', "");
    let point = exponent + 1;
    if point <= 0 {
        let zeros = usize::try_from(-point).expect("the exponent is small");
        return format!("{sign}0.{}{all}", "0".repeat(zeros));
    }
    let point = usize::try_from(point).expect("it is positive");
    while all.len() < point {
        all.push('0');
    }
    let (whole, fraction) = all.split_at(point);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Dates, times, timestamps and intervals as text.
fn write_times(values: &ArrayRef) -> ArrayRef {
    let is_zoned = matches!(values.data_type(), DataType::Timestamp(_, Some(_)));
    let text = |i: usize| match values.data_type() {
        DataType::Date32 => iso::date(values.as_primitive::<Date32Type>().value(i).into()),
        DataType::Time64(_) => iso::time(values.as_primitive::<Time64MicrosecondType>().value(i) * 1_000),
        DataType::Timestamp(..) => iso::timestamp(values.as_primitive::<TimestampMicrosecondType>().value(i), 1_000_000, is_zoned),
        _ => {
            let parts = values.as_primitive::<IntervalMonthDayNanoType>().value(i);
            iso::interval(parts.months, parts.days, parts.nanoseconds.into())
        }
    };
    Arc::new((0..values.len()).map(|i| values.is_valid(i).then(|| text(i))).collect::<StringArray>())
}
