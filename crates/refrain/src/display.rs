//! Values as text, the way PostgreSQL prints them: the one place that says so, for the shell, the sqllogictest driver and who embeds.
//!
//! In go logical Arrow arrays of a result, out come texts, `None` for NULL. Types that PostgreSQL lacks print as Arrow prints them.

mod number;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{self as dt, DataType, IntervalUnit, TimeUnit};
use arrow::temporal_conversions as scale;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use refrain_sql::iso;

/// The rows of a batch as text, `None` for NULL.
#[must_use]
pub fn rows(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let columns = batch.columns().iter().map(column).collect::<Vec<_>>();
    let mut columns = columns.into_iter().map(Vec::into_iter).collect::<Vec<_>>();
    let next = |column: &mut std::vec::IntoIter<Option<String>>| column.next().expect("columns of a batch are equally long");
    (0..batch.num_rows()).map(|_| columns.iter_mut().map(next).collect()).collect()
}

/// The values of a column as text, `None` for NULL.
#[must_use]
pub fn column(array: &ArrayRef) -> Vec<Option<String>> {
    (0..array.len()).map(|i| value(array, i)).collect()
}

/// One value as text, `None` for NULL.
///
/// # Panics
/// When the array is shorter.
#[must_use]
pub fn value(array: &dyn Array, i: usize) -> Option<String> {
    if array.is_null(i) || array.data_type() == &DataType::Null {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => if array.as_boolean().value(i) { "t" } else { "f" }.to_owned(),
        DataType::Float32 => number::float4(array.as_primitive::<dt::Float32Type>().value(i)),
        DataType::Float64 => number::float8(array.as_primitive::<dt::Float64Type>().value(i)),
        DataType::Utf8 => array.as_string::<i32>().value(i).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(i).to_owned(),
        DataType::Utf8View => array.as_string_view().value(i).to_owned(),
        DataType::Binary => hex(array.as_binary::<i32>().value(i)),
        DataType::LargeBinary => hex(array.as_binary::<i64>().value(i)),
        DataType::BinaryView => hex(array.as_binary_view().value(i)),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(i)),
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(_, _) => {
            moment(array, i)
        }
        DataType::Duration(_) | DataType::Interval(_) => span(array, i),
        DataType::List(_) => list(&array.as_list::<i32>().value(i)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(i)),
        DataType::FixedSizeList(_, _) => list(&array.as_fixed_size_list().value(i)),
        DataType::Struct(_) => record(array, i),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            return value(dictionary.values(), dictionary.normalized_keys()[i]);
        }
        // Integers and decimals print alike in both; the rest PostgreSQL does not have.
        _ => arrow_text(array, i),
    })
}

fn arrow_text(array: &dyn Array, i: usize) -> String {
    match ArrayFormatter::try_new(array, &FormatOptions::default()) {
        Ok(formatter) => formatter.value(i).to_string(),
        Err(error) => format!("<{error}>"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Dates, times and timestamps.
fn moment(array: &dyn Array, i: usize) -> String {
    use dt::{TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType};
    match array.data_type() {
        DataType::Date32 => iso::date(i64::from(array.as_primitive::<dt::Date32Type>().value(i))),
        DataType::Date64 => iso::date(array.as_primitive::<dt::Date64Type>().value(i).div_euclid(scale::MILLISECONDS_IN_DAY)),
        DataType::Time32(TimeUnit::Second) => {
            nanos_of_day(array.as_primitive::<dt::Time32SecondType>().value(i), scale::NANOSECONDS)
        }
        DataType::Time32(_) => nanos_of_day(array.as_primitive::<dt::Time32MillisecondType>().value(i), 1_000_000),
        DataType::Time64(TimeUnit::Microsecond) => nanos_of_day(array.as_primitive::<dt::Time64MicrosecondType>().value(i), 1_000),
        DataType::Time64(_) => nanos_of_day(array.as_primitive::<dt::Time64NanosecondType>().value(i), 1),
        DataType::Timestamp(unit, zone) => {
            let (value, per_second) = match unit {
                TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(i), 1),
                TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(i), scale::MILLISECONDS),
                TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(i), scale::MICROSECONDS),
                TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().value(i), scale::NANOSECONDS),
            };
            iso::timestamp(value, per_second, zone.is_some())
        }
        other => unreachable!("{other} is neither date nor time"),
    }
}

fn nanos_of_day(value: impl Into<i64>, nanos: i64) -> String {
    iso::time(value.into() * nanos)
}

/// Intervals; a duration prints as one.
fn span(array: &dyn Array, i: usize) -> String {
    use dt::{DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType};
    let nanos = |value: i64, nanos: i128| iso::interval(0, 0, i128::from(value) * nanos);
    match array.data_type() {
        DataType::Duration(TimeUnit::Second) => nanos(array.as_primitive::<DurationSecondType>().value(i), 1_000_000_000),
        DataType::Duration(TimeUnit::Millisecond) => nanos(array.as_primitive::<DurationMillisecondType>().value(i), 1_000_000),
        DataType::Duration(TimeUnit::Microsecond) => nanos(array.as_primitive::<DurationMicrosecondType>().value(i), 1_000),
        DataType::Duration(TimeUnit::Nanosecond) => nanos(array.as_primitive::<DurationNanosecondType>().value(i), 1),
        DataType::Interval(IntervalUnit::YearMonth) => {
            iso::interval(array.as_primitive::<dt::IntervalYearMonthType>().value(i), 0, 0)
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let parts = array.as_primitive::<dt::IntervalDayTimeType>().value(i);
            iso::interval(0, parts.days, i128::from(parts.milliseconds) * 1_000_000)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let parts = array.as_primitive::<dt::IntervalMonthDayNanoType>().value(i);
            iso::interval(parts.months, parts.days, i128::from(parts.nanoseconds))
        }
        other => unreachable!("{other} is no span of time"),
    }
}

/// `{1,NULL,"two words"}`
fn list(items: &ArrayRef) -> String {
    let texts = column(items).into_iter().map(|item| match item {
        None => "NULL".to_owned(),
        // A list in a list is not quoted.
        Some(text) if items.data_type().is_nested() && !matches!(items.data_type(), DataType::Struct(_)) => text,
        Some(text) if text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(needs_quotes_in_list) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Some(text) => text,
    });
    format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
}

fn needs_quotes_in_list(c: char) -> bool {
    c.is_whitespace() || matches!(c, '{' | '}' | ',' | '"' | '\\')
}

fn record(array: &dyn Array, i: usize) -> String {
    row(array.as_struct().columns(), i)
}

/// A row as PostgreSQL prints a record: `(1,,"two words")`.
pub(crate) fn row(columns: &[ArrayRef], i: usize) -> String {
    let texts = columns.iter().map(|column| match value(column, i) {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains(needs_quotes_in_record) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
        }
        Some(text) => text,
    });
    format!("({})", texts.collect::<Vec<_>>().join(","))
}

fn needs_quotes_in_record(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | ',' | '"' | '\\')
}

#[cfg(test)]
mod tests;
