use arrow::array::{
    BooleanArray, Decimal256Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray,
    ListArray, NullArray, StringViewArray, StructArray,
};
use arrow::datatypes::{Int8Type, Int32Type, i256};
use proptest::prelude::*;

use super::*;

/// Encodes, decodes, and does so for slices too.
fn round_trip(column: ArrayRef) {
    let dictionary = Dictionary::new();
    for offset in 0..=column.len() {
        let slice = column.slice(offset, column.len() - offset);
        let physical = encode_column(&dictionary, &slice);
        assert_eq!(physical.data_type(), &refrain_types::physical::physical_type(slice.data_type()));
        assert_eq!(&decode_column(&dictionary, &physical, slice.data_type()), &slice);
        if is_coded(slice.data_type()) {
            let nulls = slice.logical_nulls();
            for (row, code) in physical.as_primitive::<UInt32Type>().values().iter().enumerate() {
                assert_eq!(*code == 0, nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)));
            }
        }
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("c", slice.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(schema.clone(), vec![slice]).unwrap();
        let physical = encode_batch(&dictionary, &batch);
        assert_eq!(decode_batch(&dictionary, &physical, &schema), batch);
        let disk = decode_batch_for_disk(&dictionary, &physical, &schema);
        assert_eq!(disk.schema(), disk_schema(&schema));
        let restored = encode_batch(&Dictionary::new(), &disk);
        assert_eq!(restored.num_rows(), batch.num_rows());
        assert_eq!(encode_batch(&dictionary, &disk), physical);
    }
}

#[test]
fn every_kind_of_column_round_trips() {
    let text = vec![Some("a"), None, Some(""), Some("Grüße"), Some("a"), Some("a longer text that no view keeps inline")];
    round_trip(Arc::new(StringArray::from(text.clone())));
    round_trip(Arc::new(LargeStringArray::from(text.clone())));
    round_trip(Arc::new(StringViewArray::from(text.clone())));
    round_trip(Arc::new(text.iter().copied().collect::<DictionaryArray<Int8Type>>()));
    let bytes = text.iter().map(|t| t.map(str::as_bytes)).collect::<Vec<_>>();
    round_trip(Arc::new(BinaryArray::from(bytes.clone())));
    round_trip(cast(&BinaryArray::from(bytes.clone()), &DataType::LargeBinary).unwrap());
    round_trip(cast(&BinaryArray::from(bytes), &DataType::BinaryView).unwrap());
    round_trip(Arc::new(Int32Array::from(vec![Some(1), None, Some(-3)])));
    round_trip(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])));
    round_trip(Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN), Some(-0.0), Some(f64::INFINITY)])));
    round_trip(Arc::new(NullArray::new(3)));
    round_trip(Arc::new(
        Decimal256Array::from(vec![Some(i256::from(5)), None, Some(i256::MIN)]).with_precision_and_scale(76, 3).unwrap(),
    ));
    let fixed = vec![Some(vec![1u8, 2]), None, Some(vec![0, 0])];
    round_trip(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed.into_iter(), 2).unwrap()));
    let lists = vec![Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(1), None])];
    round_trip(Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)));
    let fields = vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), None, Some(1)])),
        Arc::new(StringArray::from(vec![Some("p"), Some("q"), None])),
    ];
    round_trip(Arc::new(StructArray::new(fields.into(), columns, Some(NullBuffer::from(vec![true, true, false])))));
}

#[test]
fn a_dictionary_of_numbers_round_trips() {
    let keys = arrow::array::Int8Array::from(vec![Some(1), None, Some(0), Some(1)]);
    let array = DictionaryArray::<Int8Type>::new(keys, Arc::new(Int64Array::from(vec![Some(7), Some(8)])));
    let dictionary = Dictionary::new();
    let array: ArrayRef = Arc::new(array);
    let physical = encode_column(&dictionary, &array);
    assert_eq!(physical.as_primitive::<UInt32Type>().values().to_vec(), [2, 0, 1, 2]);
    let decoded = decode_column(&dictionary, &physical, array.data_type());
    assert_eq!(&cast(&decoded, &DataType::Int64).unwrap(), &cast(&array, &DataType::Int64).unwrap());
}

#[test]
fn a_dictionary_array_may_hold_null_among_its_values() {
    let keys = arrow::array::Int8Array::from(vec![Some(0), Some(1), None]);
    let array: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(keys, Arc::new(StringArray::from(vec![None, Some("x")]))));
    let codes = encode_column(&Dictionary::new(), &array);
    assert_eq!(codes.as_primitive::<UInt32Type>().values().to_vec(), [0, 1, 0]);
}

#[test]
fn text_has_one_code_however_it_arrives() {
    let dictionary = Dictionary::new();
    let columns: [ArrayRef; 4] = [
        Arc::new(StringArray::from(vec!["x", "y"])),
        Arc::new(StringViewArray::from(vec!["x", "y"])),
        Arc::new(vec!["x", "y"].into_iter().collect::<DictionaryArray<Int32Type>>()),
        Arc::new(BinaryArray::from(vec!["x".as_bytes(), "y".as_bytes()])),
    ];
    for column in columns {
        assert_eq!(encode_column(&dictionary, &column).as_primitive::<UInt32Type>().values().to_vec(), [1, 2]);
    }
}

#[test]
fn disk_batches_hold_only_the_values_used() {
    let dictionary = Dictionary::new();
    for i in 0..100 {
        let _ = dictionary.intern(format!("unused {i}").as_bytes());
    }
    let schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Utf8, true)]));
    let batch =
        RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from(vec![Some("b"), None, Some("a"), Some("b")]))]);
    let disk = decode_batch_for_disk(&dictionary, &encode_batch(&dictionary, &batch.unwrap()), &schema);
    let column = disk.column(0).as_dictionary::<UInt32Type>();
    assert_eq!(column.values().as_string::<i32>(), &StringArray::from(vec!["b", "a"]));
}

#[test]
fn there_is_one_nan_and_one_zero() {
    let other = f64::from_bits(f64::NAN.to_bits() | 1 | 1 << 63);
    let column: ArrayRef = Arc::new(Float64Array::from(vec![Some(other), None, Some(-0.0), Some(1.0)]));
    let physical = encode_column(&Dictionary::new(), &column);
    let bits = |a: &ArrayRef| a.as_primitive::<Float64Type>().iter().map(|v| v.map(f64::to_bits)).collect::<Vec<_>>();
    assert_eq!(bits(&physical), [Some(f64::NAN.to_bits()), None, Some((-0.0f64).to_bits()), Some(1f64.to_bits())]);
    assert_eq!(bits(&canonicalise_zeros(&physical)), [Some(f64::NAN.to_bits()), None, Some(0), Some(1f64.to_bits())]);
    let narrow: ArrayRef = Arc::new(Float32Array::from(vec![f32::from_bits(f32::NAN.to_bits() | 1), -0.0]));
    let narrow = canonicalise_zeros(&canonicalise_nans(&narrow));
    assert_eq!(
        narrow.as_primitive::<Float32Type>().values().iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
        [f32::NAN.to_bits(), 0]
    );
}

proptest! {
    #[test]
    fn text_round_trips(values in prop::collection::vec(prop::option::of(".{0,12}"), 0..60)) {
        round_trip(Arc::new(StringArray::from(values.clone())));
        round_trip(Arc::new(values.iter().map(Option::as_deref).collect::<DictionaryArray<Int8Type>>()));
    }
}
