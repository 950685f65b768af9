use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int32Type, Int64Type, IntervalUnit, TimeUnit};
use proptest::prelude::*;

use super::*;
use crate::{Dictionary, decode_column, encode_column};

const NUMERIC: DataType = DataType::Decimal128(38, 16);

/// The result of one group over these values with weights, as a logical column of one row.
fn aggregate(function: Function, values: &ArrayRef, result: &DataType, weights: &[i64]) -> Result<ArrayRef, Failure> {
    let dictionary = Dictionary::new();
    let aggregator = Aggregator::new(function, Some(values.data_type()), result, &dictionary).unwrap();
    let mut groups = [aggregator.accumulator()];
    let physical = encode_column(&dictionary, values);
    aggregator.update_groups(&mut groups, &vec![0; values.len()], Some(&physical), |row| weights[row]);
    let cell = aggregator.result(&groups[0])?;
    // Cell by cell comes to the same.
    let mut one = aggregator.accumulator();
    for (row, value) in cells(&physical, values.data_type()).into_iter().enumerate() {
        aggregator.update(&mut one, value, weights[row]);
    }
    assert_eq!(aggregator.result(&one), Ok(cell));
    Ok(decode_column(&dictionary, &aggregator.column([cell].into_iter()), result))
}

fn once(function: Function, values: ArrayRef, result: &DataType) -> Result<ArrayRef, Failure> {
    aggregate(function, &values, result, &vec![1; values.len()])
}

fn message(result: Result<ArrayRef, Failure>) -> String {
    result.expect_err("the result does not fit").1
}

fn numeric(result: Result<ArrayRef, Failure>) -> String {
    let column = result.unwrap();
    let column = column.as_primitive::<Decimal128Type>();
    if column.is_null(0) { "null".to_owned() } else { column.value_as_string(0) }
}

#[test]
fn sums_have_the_types_of_postgresql() {
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(i32::MAX), None, Some(i32::MAX)]));
    let sum = once(Function::Sum, ints.clone(), &DataType::Int64).unwrap();
    assert_eq!(sum.as_primitive::<Int64Type>().value(0), 2 * i64::from(i32::MAX));
    let bigints: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX, -5]));
    assert_eq!(numeric(once(Function::Sum, bigints.clone(), &DataType::Decimal128(38, 0))), "18446744073709551609");
    assert_eq!(message(once(Function::Sum, bigints, &DataType::Int64)), "bigint out of range");
    let decimals: ArrayRef =
        Arc::new(Decimal128Array::from(vec![Some(150), None, Some(-25)]).with_precision_and_scale(10, 2).unwrap());
    assert_eq!(numeric(once(Function::Sum, decimals.clone(), &DataType::Decimal128(38, 2))), "1.25");
    assert_eq!(numeric(once(Function::Avg, decimals, &NUMERIC)), "0.6250000000000000");
    let counted = once(Function::Count, ints, &DataType::Int64).unwrap();
    assert_eq!(counted.as_primitive::<Int64Type>().value(0), 2);
}

#[test]
fn averages_round_half_away_from_zero() {
    let thirds: ArrayRef = Arc::new(Int32Array::from(vec![1, 0, 1]));
    assert_eq!(numeric(once(Function::Avg, thirds, &NUMERIC)), "0.6666666666666667");
    let halves: ArrayRef = Arc::new(Int32Array::from(vec![-1, 0]));
    assert_eq!(numeric(once(Function::Avg, halves.clone(), &DataType::Decimal128(38, 0))), "-1");
    assert_eq!(numeric(once(Function::Avg, halves, &NUMERIC)), "-0.5000000000000000");
}

/// Sums that need more than 128 bits on their way to a quotient.
#[test]
fn wide_averages() {
    let large = 10i128.pow(37) + 1;
    let values: ArrayRef = Arc::new(Decimal128Array::from(vec![large, large, large + 1]).with_precision_and_scale(38, 0).unwrap());
    assert_eq!(
        numeric(once(Function::Avg, values.clone(), &DataType::Decimal128(38, 0))),
        "10000000000000000000000000000000000001"
    );
    assert_eq!(
        numeric(aggregate(Function::Avg, &values, &DataType::Decimal128(38, 0), &[1, 1, i64::MAX])),
        (large + 1).to_string()
    );
    assert_eq!(message(once(Function::Avg, values, &NUMERIC)), "numeric field overflow");
}

#[test]
fn overflow_heals() {
    let dictionary = Dictionary::new();
    let result = DataType::Decimal128(38, 0);
    let aggregator = Aggregator::new(Function::Sum, Some(&result), &result, &dictionary).unwrap();
    let mut group = aggregator.accumulator();
    let large = Cell(Some((10i128.pow(38) - 1) as u128));
    aggregator.update(&mut group, large, i64::MAX);
    assert_eq!(aggregator.result(&group).unwrap_err().1, "numeric field overflow");
    aggregator.update(&mut group, large, -(i64::MAX - 1));
    assert_eq!(aggregator.result(&group), Ok(large));
}

#[test]
fn floats_are_summed_exactly() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1e308, 1.0, -1e308]));
    assert_eq!(once(Function::Sum, values.clone(), &DataType::Float64).unwrap().as_primitive::<Float64Type>().value(0), 1.0);
    let average = once(Function::Avg, values, &DataType::Float64).unwrap();
    assert_eq!(average.as_primitive::<Float64Type>().value(0), 1.0 / 3.0);
    let reals: ArrayRef = Arc::new(Float32Array::from(vec![0.1, 0.2]));
    let sum = once(Function::Sum, reals.clone(), &DataType::Float32).unwrap();
    assert_eq!(sum.as_primitive::<arrow::datatypes::Float32Type>().value(0), (f64::from(0.1f32) + f64::from(0.2f32)) as f32);
    let too_large: ArrayRef = Arc::new(Float64Array::from(vec![f64::MAX, f64::MAX]));
    assert_eq!(message(once(Function::Sum, too_large, &DataType::Float64)), "value out of range: overflow");
}

#[test]
fn nothing_is_null_but_counts() {
    for (function, result) in [(Function::Sum, DataType::Int64), (Function::Avg, NUMERIC), (Function::Min, DataType::Int32)] {
        let none: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(1)]));
        assert!(aggregate(function, &none, &result, &[1, 0]).unwrap().is_null(0), "{function:?}");
    }
    let dictionary = Dictionary::new();
    let stars = Aggregator::new(Function::Count, None, &DataType::Int64, &dictionary).unwrap();
    let mut group = stars.accumulator();
    stars.update(&mut group, Cell::NULL, 3);
    stars.update_groups(std::slice::from_mut(&mut group), &[0, 0], None, |_| -1);
    assert_eq!(stars.result(&group), Ok(Cell(Some(1))));
}

#[test]
fn text_is_ordered_by_its_bytes() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("pear"), Some("apple"), None, Some("zebra"), Some("Äpfel")]));
    let least = aggregate(Function::Min, &text, &DataType::Utf8, &[1, 1, 1, 1, 1]).unwrap();
    assert_eq!(least.as_string::<i32>().value(0), "apple");
    let least = aggregate(Function::Min, &text, &DataType::Utf8, &[1, 0, 1, 1, 1]).unwrap();
    assert_eq!(least.as_string::<i32>().value(0), "pear");
    let greatest = once(Function::Max, text, &DataType::Utf8).unwrap();
    assert_eq!(greatest.as_string::<i32>().value(0), "Äpfel");
}

#[test]
fn floats_are_ordered_with_nan_last() {
    let floats = vec![0.5, f64::NAN, f64::NEG_INFINITY, -1e-300, -2.0];
    let values: ArrayRef = Arc::new(Float64Array::from(floats));
    let greatest = once(Function::Max, values.clone(), &DataType::Float64).unwrap();
    assert!(greatest.as_primitive::<Float64Type>().value(0).is_nan());
    let least = once(Function::Min, values.clone(), &DataType::Float64).unwrap();
    assert_eq!(least.as_primitive::<Float64Type>().value(0), f64::NEG_INFINITY);
    let greatest = aggregate(Function::Max, &values, &DataType::Float64, &[0, 0, 1, 1, 1]).unwrap();
    assert_eq!(greatest.as_primitive::<Float64Type>().value(0), -1e-300);
}

#[test]
fn other_types_keep_their_form() {
    let values: ArrayRef = Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![-5, 7]));
    let result = DataType::Timestamp(TimeUnit::Microsecond, None);
    assert_eq!(&once(Function::Min, values.clone(), &result).unwrap(), &values.slice(0, 1));
    let values: ArrayRef = Arc::new(arrow::array::BooleanArray::from(vec![Some(true), None, Some(false)]));
    assert_eq!(&once(Function::Max, values.clone(), &DataType::Boolean).unwrap(), &values.slice(0, 1));
    let values: ArrayRef = Arc::new(Decimal128Array::from(vec![-1, -2]).with_precision_and_scale(5, 1).unwrap());
    assert_eq!(&once(Function::Min, values.clone(), &DataType::Decimal128(5, 1)).unwrap(), &values.slice(1, 1));
}

#[test]
fn what_is_not_defined_is_refused() {
    let dictionary = Dictionary::new();
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let refuse = |function, argument: &DataType, result: &DataType| {
        assert!(Aggregator::new(function, Some(argument), result, &dictionary).is_err(), "{function:?} of {argument}");
    };
    refuse(Function::Min, &interval, &interval);
    refuse(Function::Sum, &DataType::Utf8, &DataType::Utf8);
    refuse(Function::Sum, &DataType::Date32, &DataType::Int64);
    refuse(Function::Min, &DataType::Int32, &DataType::Int64);
    refuse(Function::Avg, &DataType::Int32, &DataType::Float64);
    assert!(Aggregator::new(Function::Count, Some(&interval), &DataType::Int64, &dictionary).is_ok());
}

proptest! {
    /// Whatever comes and goes, the result is that of the bag that is left.
    #[test]
    fn results_are_those_of_the_bag(
        changes in prop::collection::vec((prop::option::of(-20i32..20), 1i64..4), 0..30),
        taken in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        seed: u64,
    ) {
        // Each removal takes away, at some time, one occurrence of a value that comes at some time.
        let mut bag = changes.iter().flat_map(|(value, weight)| vec![*value; *weight as usize]).collect::<Vec<_>>();
        let mut all = changes.clone();
        for index in taken {
            if !bag.is_empty() {
                all.push((bag.swap_remove(index.index(bag.len())), -1));
            }
        }
        all.sort_by_key(|(value, weight)| crate::hash_words(&[seed, value.unwrap_or(99) as u64, *weight as u64]));
        let values: ArrayRef = Arc::new(all.iter().map(|(value, _)| *value).collect::<Int32Array>());
        let weights = all.iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
        let left = bag.iter().filter_map(|value| *value).collect::<Vec<_>>();

        let count = aggregate(Function::Count, &values, &DataType::Int64, &weights).unwrap();
        prop_assert_eq!(count.as_primitive::<Int64Type>().value(0), left.len() as i64);
        let sum = aggregate(Function::Sum, &values, &DataType::Int64, &weights).unwrap();
        let sum = sum.as_primitive::<Int64Type>().iter().next().unwrap();
        prop_assert_eq!(sum, (!left.is_empty()).then(|| left.iter().map(|v| i64::from(*v)).sum()));
        for (function, expected) in [(Function::Min, left.iter().min()), (Function::Max, left.iter().max())] {
            let found = aggregate(function, &values, &DataType::Int32, &weights).unwrap();
            prop_assert_eq!(found.as_primitive::<Int32Type>().iter().next().unwrap(), expected.copied());
        }
        let average = aggregate(Function::Avg, &values, &NUMERIC, &weights).unwrap();
        let average = average.as_primitive::<Decimal128Type>().iter().next().unwrap();
        prop_assert_eq!(average.is_some(), !left.is_empty());
        if let Some(average) = average {
            let exact = left.iter().map(|v| f64::from(*v)).sum::<f64>() / left.len() as f64;
            prop_assert!((average as f64 / 1e16 - exact).abs() < 1e-12);
        }
        // Text of the same values, padded so that it is ordered as the numbers are.
        let text: ArrayRef = Arc::new(all.iter().map(|(value, _)| value.map(|v| format!("{:03}", v + 100))).collect::<StringArray>());
        let least = aggregate(Function::Min, &text, &DataType::Utf8, &weights).unwrap();
        let least = least.as_string::<i32>().iter().next().unwrap().map(str::to_owned);
        prop_assert_eq!(least, left.iter().min().map(|v| format!("{:03}", v + 100)));
    }

    #[test]
    fn cells_round_trip(values in prop::collection::vec(prop::option::of(any::<i64>()), 0..20)) {
        let columns: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(values.clone())),
            Arc::new(values.iter().map(|v| v.map(|v| v as f64)).collect::<Float64Array>()),
            Arc::new(values.iter().map(|v| v.map(|v| i128::from(v) << 60)).collect::<Decimal128Array>()),
        ];
        for column in columns {
            let round = cell_column(cells(&column, column.data_type()).into_iter(), column.data_type());
            prop_assert_eq!(&round, &column);
        }
        let codes: ArrayRef = Arc::new(arrow::array::UInt32Array::from(vec![0, 5, 0, 7]));
        prop_assert_eq!(&cell_column(cells(&codes, &DataType::Utf8).into_iter(), &DataType::Utf8), &codes);
    }
}
