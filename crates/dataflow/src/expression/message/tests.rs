use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Float64Array, Int16Array, Int32Array, Int64Array, StringArray};
use arrow::compute::kernels::numeric::{add, div, mul, neg, rem, sub};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::*;

fn cast_error(value: impl Array + 'static, to: &DataType) -> String {
    let array: ArrayRef = Arc::new(value);
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let error = cast_with_options(&array, to, &options).expect_err("the cast fails");
    let (code, message) = arrow_error(&error);
    format!("{code} {message}")
}

fn text_error(value: &str, to: &DataType) -> String {
    cast_error(StringArray::from(vec![value]), to)
}

fn said<T: std::fmt::Debug>(result: Result<T, ArrowError>) -> String {
    let (code, message) = arrow_error(&result.expect_err("the kernel fails"));
    format!("{code} {message}")
}

#[test]
fn arithmetic_names_the_type_that_was_left() {
    let (least, one) = (Int32Array::from(vec![i32::MIN]), Int32Array::from(vec![1]));
    assert_eq!(said(sub(&least, &one)), "22003 integer out of range");
    assert_eq!(said(neg(&least)), "22003 integer out of range");
    assert_eq!(said(div(&least, &Int32Array::from(vec![-1]))), "22003 integer out of range");
    let (greatest, two) = (Int64Array::from(vec![i64::MAX]), Int64Array::from(vec![2]));
    assert_eq!(said(mul(&greatest, &two)), "22003 bigint out of range");
    assert_eq!(said(neg(&Int64Array::from(vec![i64::MIN]))), "22003 bigint out of range");
    let small = Int16Array::from(vec![i16::MAX]);
    assert_eq!(said(add(&small, &small)), "22003 smallint out of range");
    assert_eq!(said(mul(&Int64Array::from(vec![i64::MIN]), &Int64Array::from(vec![i64::MIN]))), "22003 bigint out of range");
    let wide = Decimal128Array::from(vec![10i128.pow(37)]).with_precision_and_scale(38, 0).unwrap();
    assert_eq!(said(mul(&wide, &wide)), "22003 value overflows numeric format");
    assert_eq!(said(div(&one, &Int32Array::from(vec![0]))), "22012 division by zero");
    assert_eq!(said(rem(&greatest, &Int64Array::from(vec![0]))), "22012 division by zero");
}

#[test]
fn casts_of_text() {
    assert_eq!(text_error("abc", &DataType::Int32), "22P02 invalid input syntax for type integer: \"abc\"");
    assert_eq!(text_error("it's' 'x", &DataType::Int64), "22P02 invalid input syntax for type bigint: \"it's' 'x\"");
    assert_eq!(text_error("40000", &DataType::Int16), "22003 value \"40000\" is out of range for type smallint");
    assert_eq!(text_error("x", &DataType::Float64), "22P02 invalid input syntax for type double precision: \"x\"");
    assert_eq!(text_error("maybe", &DataType::Boolean), "22P02 invalid input syntax for type boolean: \"maybe\"");
    assert_eq!(text_error("1,5", &DataType::Decimal128(10, 2)), "22P02 invalid input syntax for type numeric: \"1,5\"");
    assert_eq!(text_error("soon", &DataType::Date32), "22007 invalid input syntax for type date: \"soon\"");
    assert_eq!(text_error("2024-13-01", &DataType::Date32), "22008 date/time field value out of range: \"2024-13-01\"");
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    assert_eq!(text_error("soon", &timestamp), "22007 invalid input syntax for type timestamp: \"soon\"");
    let late = text_error("2024-02-30 10:00:00", &timestamp);
    assert_eq!(late, "22008 date/time field value out of range: \"2024-02-30 10:00:00\"");
    assert_eq!(text_error("soon", &DataType::Time64(TimeUnit::Microsecond)), "22007 invalid input syntax for type time: \"soon\"");
    assert_eq!(
        text_error("25:00:00", &DataType::Time64(TimeUnit::Microsecond)),
        "22008 date/time field value out of range: \"25:00:00\""
    );
    let interval = text_error("a while", &DataType::Interval(IntervalUnit::MonthDayNano));
    assert!(interval.starts_with("22007 invalid input syntax for type interval: "), "{interval}");
}

#[test]
fn casts_of_numbers() {
    assert_eq!(cast_error(Int64Array::from(vec![1 << 40]), &DataType::Int32), "22003 integer out of range");
    assert_eq!(cast_error(Float64Array::from(vec![1e300]), &DataType::Int64), "22003 bigint out of range");
    assert_eq!(cast_error(Float64Array::from(vec![1e300]), &DataType::Decimal128(10, 2)), "22003 numeric field overflow");
    assert_eq!(cast_error(Int64Array::from(vec![100_000]), &DataType::Decimal128(5, 2)), "22003 numeric field overflow");
    let decimal = Decimal128Array::from(vec![10i128.pow(30)]).with_precision_and_scale(38, 2).unwrap();
    assert_eq!(cast_error(decimal.clone(), &DataType::Int64), "22003 bigint out of range");
    assert_eq!(cast_error(decimal, &DataType::Decimal128(10, 2)), "22003 numeric field overflow");
}

#[test]
fn wrappers_and_words_of_postgresql_are_seen_through() {
    let wrapped = DataFusionError::Context(
        "while evaluating".to_owned(),
        Box::new(DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None)),
    );
    assert_eq!(evaluation_error(&wrapped), (SqlState::DIVISION_BY_ZERO, "division by zero".to_owned()));
    let external = ArrowError::ExternalError(Box::new(DataFusionError::Execution("integer out of range".to_owned())));
    assert_eq!(arrow_error(&external), (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range".to_owned()));
    let said = |text: &str| evaluation_error(&DataFusionError::Execution(text.to_owned()));
    assert_eq!(said("Arrow error: Divide by zero error").0, SqlState::DIVISION_BY_ZERO);
    assert_eq!(said("invalid input syntax for type uuid: \"x\"").0, SqlState::INVALID_TEXT_REPRESENTATION);
    assert_eq!(said("date out of range").0, SqlState::DATETIME_FIELD_OVERFLOW);
    assert_eq!(
        said("negative substring length not allowed"),
        (SqlState::DATA_EXCEPTION, "negative substring length not allowed".to_owned())
    );
}
