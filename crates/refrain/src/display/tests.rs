use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array,
    IntervalMonthDayNanoArray, ListArray, NullArray, RecordBatch, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, IntervalMonthDayNano};

use super::{column, rows};

fn texts(array: impl arrow::array::Array + 'static) -> Vec<String> {
    column(&(Arc::new(array) as ArrayRef)).into_iter().map(|v| v.unwrap_or_else(|| "NULL".into())).collect()
}

#[test]
fn rows_are_texts_and_nulls() {
    let batch = RecordBatch::try_from_iter([
        ("a", Arc::new(Int64Array::from(vec![Some(-1), None])) as ArrayRef),
        ("b", Arc::new(StringArray::from(vec![None, Some("")])) as ArrayRef),
        ("c", Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef),
        ("d", Arc::new(NullArray::new(2)) as ArrayRef),
    ])
    .unwrap();
    let text = |t: &str| Some(t.to_owned());
    assert_eq!(rows(&batch), [[text("-1"), None, text("t"), None], [None, text(""), text("f"), None]]);
}

/// Each printed by PostgreSQL 15 from the same literal.
#[test]
fn floats_print_shortest() {
    let doubles = [
        (0.1 + 0.2, "0.30000000000000004"),
        (100.0, "100"),
        (1e14, "100000000000000"),
        (1e15, "1e+15"),
        (1.5e300, "1.5e+300"),
        (123_456.789, "123456.789"),
        (0.0001, "0.0001"),
        (0.000_012_5, "1.25e-05"),
        (0.0, "0"),
        (-0.0, "-0"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-Infinity"),
        (-2.5, "-2.5"),
    ];
    for (value, text) in doubles {
        assert_eq!(texts(Float64Array::from(vec![value])), [text]);
    }
    assert_eq!(texts(Float32Array::from(vec![1e5, 1e6, 0.1, 1.0 / 3.0])), ["100000", "1e+06", "0.1", "0.33333334"]);
}

#[test]
fn decimals_keep_their_scale() {
    let decimals = Decimal128Array::from(vec![12_300, -5, 0]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(texts(decimals), ["123.00", "-0.05", "0.00"]);
}

#[test]
fn dates_and_times_are_iso() {
    assert_eq!(
        texts(Date32Array::from(vec![0, 19_723, -1, -719_163])),
        ["1970-01-01", "2024-01-01", "1969-12-31", "0001-12-31 BC"]
    );
    assert_eq!(texts(Time64MicrosecondArray::from(vec![0, 3_661_500_000])), ["00:00:00", "01:01:01.5"]);
    let micros = vec![0, 1_704_067_200_123_456, -1];
    let expected = ["1970-01-01 00:00:00", "2024-01-01 00:00:00.123456", "1969-12-31 23:59:59.999999"];
    assert_eq!(texts(TimestampMicrosecondArray::from(micros)), expected);
    assert_eq!(texts(TimestampNanosecondArray::from(vec![1_000_000_000]).with_timezone("UTC")), ["1970-01-01 00:00:01+00"]);
}

#[test]
fn intervals_have_signed_parts() {
    let intervals = vec![
        IntervalMonthDayNano::new(14, 3, 14_706_000_000_000),
        IntervalMonthDayNano::new(0, -1, 3_600_000_000_000),
        IntervalMonthDayNano::new(0, 0, 0),
        IntervalMonthDayNano::new(-12, 0, -1_500_000_000),
    ];
    let expected = ["1 year 2 mons 3 days 04:05:06", "-1 days +01:00:00", "00:00:00", "-1 years -00:00:01.5"];
    assert_eq!(texts(IntervalMonthDayNanoArray::from(intervals)), expected);
}

#[test]
fn nested_values_quote_what_would_mislead() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None, Some(3)]), None]);
    assert_eq!(texts(list), ["{1,NULL,3}", "NULL"]);
    let words = StringArray::from(vec!["a b", "null", "", "x\"y", "plain"]);
    let items: ArrayRef = Arc::new(words.clone());
    assert_eq!(super::list(&items), r#"{"a b","null","","x\"y",plain}"#);
    let record = StructArray::from(vec![(Arc::new(Field::new("a", DataType::Utf8, true)), items)]);
    assert_eq!(texts(record)[..4], [r#"("a b")"#, "(null)", r#"("")"#, r#"("x""y")"#]);
    assert_eq!(texts(BinaryArray::from(vec![&[0u8, 255][..]])), ["\\x00ff"]);
}
