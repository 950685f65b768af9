//! What PostgreSQL would say: error texts of Arrow and DataFusion in PostgreSQL's words, with its SQLSTATE.

use arrow::error::ArrowError;
use datafusion_common::DataFusionError;
use refrain_types::SqlState;

/// `invalid_datetime_format`
const INVALID_DATETIME_FORMAT: SqlState = SqlState(*b"22007");

/// Rows on which an expression fails, in their order, with SQLSTATE and message.
pub(super) type Failed = Vec<(usize, (SqlState, String))>;

/// SQLSTATE and message of an expression that failed.
#[must_use]
pub fn evaluation_error(error: &DataFusionError) -> (SqlState, String) {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => arrow_error(error),
        DataFusionError::Execution(text) | DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => of_text(text),
        DataFusionError::Internal(text) => (SqlState::INTERNAL_ERROR, first_paragraph(text).to_owned()),
        other => of_text(&other.to_string()),
    }
}

/// SQLSTATE and message of a kernel that failed.
#[must_use]
pub fn arrow_error(error: &ArrowError) -> (SqlState, String) {
    match error {
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ExternalError(source) => match source.downcast_ref::<DataFusionError>() {
            Some(error) => evaluation_error(error),
            None => of_text(&source.to_string()),
        },
        ArrowError::ArithmeticOverflow(text)
        | ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text) => of_text(text),
        other => of_text(&other.to_string()),
    }
}

/// `division by zero`
pub(super) fn division_by_zero() -> (SqlState, String) {
    (SqlState::DIVISION_BY_ZERO, "division by zero".to_owned())
}

/// `integer out of range` and the like.
pub(super) fn out_of_range(type_name: &str) -> (SqlState, String) {
    (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{type_name} out of range"))
}

fn of_text(text: &str) -> (SqlState, String) {
    let text = first_paragraph(text);
    if text.eq_ignore_ascii_case("divide by zero") || text.eq_ignore_ascii_case("division by zero") {
        return division_by_zero();
    }
    overflow(text).or_else(|| cast(text)).or_else(|| datetime(text)).unwrap_or_else(|| (code_of_words(text), text.to_owned()))
}

/// Without a backtrace, and without the kinds of error that wrappers put in front.
fn first_paragraph(text: &str) -> &str {
    const PREFIXES: [&str; 9] = [
        "Execution error: ",
        "Arrow error: ",
        "External error: ",
        "Cast error: ",
        "Parser error: ",
        "Compute error: ",
        "Arithmetic overflow: ",
        "Invalid argument error: ",
        "Error during planning: ",
    ];
    let mut text = text.split("\n\nbacktrace:").next().unwrap_or(text).trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    match text {
        "Divide by zero error" => "division by zero",
        "Scalar subquery returned more than one row" => "more than one row returned by a subquery used as an expression",
        other => other,
    }
}

/// Arithmetic that left its type: `Overflow happened on: 2147483647 + 1`. The type is the one whose bounds the result crosses, as the
/// operands are within them.
fn overflow(text: &str) -> Option<(SqlState, String)> {
    let operation = text.strip_prefix("Overflow happened on: ")?;
    let words = operation.split_whitespace().collect::<Vec<_>>();
    let number = |word: &str| word.parse::<i128>().ok();
    let result = match words[..] {
        ["-", value] => number(value).and_then(i128::checked_neg),
        [left, operator, right] => number(left).zip(number(right)).and_then(|(left, right)| match operator {
            "+" => left.checked_add(right),
            "-" => left.checked_sub(right),
            "*" => left.checked_mul(right),
            "/" => left.checked_div(right),
            _ => None,
        }),
        _ => None,
    };
    Some(match result {
        Some(result) if i32::try_from(result).is_ok() => out_of_range("smallint"),
        Some(result) if i64::try_from(result).is_ok() => out_of_range("integer"),
        Some(result) if result.unsigned_abs() <= 1 << 126 => out_of_range("bigint"),
        _ => (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format".to_owned()),
    })
}

/// Casts: of text that is no value of the type, and of values that do not fit.
fn cast(text: &str) -> Option<(SqlState, String)> {
    if let Some(rest) = text.strip_prefix("Cannot cast string '").or_else(|| text.strip_prefix("Cannot cast value '")) {
        let (value, data_type) = rest.rsplit_once("' to value of ")?;
        return Some(invalid_text(value, postgres_type(data_type.trim_end_matches(" type"))));
    }
    if let Some(rest) = text.strip_prefix("can't parse the string value ") {
        return Some(invalid_text(rest.strip_suffix(" to decimal")?, "numeric"));
    }
    if let Some(rest) = text.strip_prefix("Can't cast value ") {
        return Some(out_of_range(postgres_type(rest.rsplit_once(" to type ")?.1)));
    }
    if let Some(rest) = text.strip_prefix("value of ") {
        return Some(out_of_range(postgres_type(rest.rsplit_once(" is out of range ")?.1)));
    }
    let numeric = (text.starts_with("Cannot cast to Decimal") || text.starts_with("Cannot cast to \"Decimal"))
        || (text.contains(" to store in a Decimal"))
        || text.starts_with("parse decimal overflow");
    numeric.then(|| (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow".to_owned()))
}

fn invalid_text(value: &str, type_name: &str) -> (SqlState, String) {
    match type_name {
        "date" | "timestamp" | "timestamp with time zone" | "time" | "interval" => invalid_datetime(value, type_name),
        "smallint" | "integer" | "bigint" if is_whole_number(value) => {
            (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{value}\" is out of range for type {type_name}"))
        }
        "real" | "double precision" if value.trim().parse::<f64>().is_ok() => {
            (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("\"{value}\" is out of range for type {type_name}"))
        }
        _ => (SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {type_name}: \"{value}\"")),
    }
}

fn is_whole_number(value: &str) -> bool {
    let digits = value.trim().trim_start_matches(['-', '+']);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Texts of the parsers of dates and times.
fn datetime(text: &str) -> Option<(SqlState, String)> {
    if let Some(rest) = text.strip_prefix("Error parsing timestamp from '") {
        return Some(invalid_datetime(rest.rsplit_once("': ")?.0, "timestamp"));
    }
    if let Some(rest) = text.strip_prefix("Failed to parse '") {
        return Some(invalid_datetime(rest.strip_suffix("' as time")?, "time"));
    }
    if let Some(rest) = text.strip_prefix("Failed to parse ") {
        return Some(invalid_datetime(rest.strip_suffix(" as interval amount")?, "interval"));
    }
    if let Some(rest) = text.strip_prefix("Invalid input syntax for type interval: \"") {
        return Some(invalid_datetime(rest.rsplit_once('"')?.0, "interval"));
    }
    if text.starts_with("Overflow converting ") || text.contains("Timestamp out of range") {
        return Some((SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range".to_owned()));
    }
    if text.starts_with("Cannot cast Date64 value ") || text.starts_with("Date arithmetic overflow") {
        return Some((SqlState::DATETIME_FIELD_OVERFLOW, "date out of range".to_owned()));
    }
    None
}

/// Text that looks like a date or time has a field out of range; any other is not one at all.
fn invalid_datetime(value: &str, type_name: &str) -> (SqlState, String) {
    let numbers = |text: &str, separator: char, count: usize| {
        let parts = text.split(separator).map(|part| part.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit()));
        text.split(separator).count() == count && parts.into_iter().all(str::is_empty) && !text.split(separator).any(str::is_empty)
    };
    let first = value.split([' ', 'T']).next().unwrap_or(value);
    let looks_like_one = match type_name {
        "time" => numbers(first, ':', 3) || numbers(first, ':', 2),
        "interval" => false,
        _ => numbers(first, '-', 3),
    };
    if looks_like_one {
        (SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{value}\""))
    } else {
        (INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {type_name}: \"{value}\""))
    }
}

/// PostgreSQL's name of a type, from the way Arrow prints it.
fn postgres_type(arrow: &str) -> &'static str {
    match arrow.split('(').next().unwrap_or(arrow) {
        "Boolean" => "boolean",
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" | "UInt64" => "bigint",
        "Float16" | "Float32" => "real",
        "Float64" => "double precision",
        "Date32" | "Date64" => "date",
        "Time32" | "Time64" => "time",
        "Interval" | "Duration" => "interval",
        "Timestamp" if arrow.contains("Some(") || arrow.contains('"') => "timestamp with time zone",
        "Timestamp" => "timestamp",
        name if name.starts_with("Decimal") => "numeric",
        _ => "value",
    }
}

/// The code of a message that is in PostgreSQL's words already.
fn code_of_words(text: &str) -> SqlState {
    if text.contains("date/time field value out of range")
        || text.contains("date out of range")
        || text.contains("timestamp out of range")
        || text.contains("interval out of range")
    {
        SqlState::DATETIME_FIELD_OVERFLOW
    } else if text.contains("out of range") || text.contains("numeric field overflow") || text.contains("overflows numeric format")
    {
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    } else if ["date", "time", "interval"].iter().any(|name| text.starts_with(&format!("invalid input syntax for type {name}"))) {
        INVALID_DATETIME_FORMAT
    } else if text.starts_with("invalid input syntax for ") {
        SqlState::INVALID_TEXT_REPRESENTATION
    } else if text.contains("division by zero") {
        SqlState::DIVISION_BY_ZERO
    } else if text.starts_with("more than one row returned by a subquery") {
        SqlState::CARDINALITY_VIOLATION
    } else {
        SqlState::DATA_EXCEPTION
    }
}

#[cfg(test)]
mod tests;
