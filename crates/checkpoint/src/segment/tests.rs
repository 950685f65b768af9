use std::sync::Arc;

use arrow::array::{AsArray, DictionaryArray, Int64Array, ListArray, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt32Type};
use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;

fn dictionary(values: &[&str], keys: Vec<Option<u32>>) -> DictionaryArray<UInt32Type> {
    DictionaryArray::new(UInt32Array::from(keys), Arc::new(StringArray::from(values.to_vec())))
}

fn batch(values: &[&str], keys: Vec<Option<u32>>, weights: Vec<i64>) -> RecordBatch {
    let text = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    let schema = Arc::new(Schema::new(vec![
        Field::new("name", text, true),
        Field::new("list", DataType::List(item), true),
        Field::new(WEIGHT_COLUMN, DataType::Int64, false),
    ]));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(weights.iter().map(|w| Some(vec![Some(*w), None])));
    RecordBatch::try_new(schema, vec![Arc::new(dictionary(values, keys)), Arc::new(lists), Arc::new(Int64Array::from(weights))])
        .unwrap()
}

fn bucket() -> Bucket {
    Bucket::new(Arc::new(InMemory::new()), Path::from("root"))
}

fn batches() -> Vec<RecordBatch> {
    // Each batch has a dictionary of its own, and a slice starts in the middle of its arrays.
    let first = batch(&["a", "b"], vec![Some(1), Some(0), None], vec![1, -2, 3]);
    let second = batch(&["c", "d", "a"], vec![Some(2), Some(0), Some(1)], vec![4, 5, 6]).slice(1, 2);
    vec![first.clone(), second, first.slice(0, 0)]
}

#[tokio::test]
async fn rows_come_back_with_a_dictionary_for_each_batch() {
    let bucket = bucket();
    for kind in [SegmentKind::State, SegmentKind::LoopLog] {
        let name = segment_name(kind, UniqueId(7));
        let written = write(&bucket, name, true, EncodedSegment::of(kind, &batches()).unwrap()).await.unwrap();
        assert_eq!((written.rows, written.full, written.kind()), (5, true, kind));
        let found = read(&bucket, &written, "a test").await.unwrap();
        assert_eq!(found.len(), 3);
        for (found, expected) in found.iter().zip(&batches()) {
            assert_eq!(found, expected);
        }
        let names = found[1].column(0).as_dictionary::<UInt32Type>().downcast_dict::<StringArray>().unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), [Some("c"), Some("d")]);
    }
}

#[tokio::test]
async fn many_rows_are_written_off_the_thread() {
    let numbers = Int64Array::from_iter_values(0..100_000);
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let rows = RecordBatch::try_new(schema, vec![Arc::new(numbers)]).unwrap();
    assert!(rows.get_array_memory_size() > DECODE_INLINE_BYTES_MAX);
    let bucket = bucket();
    let written = write(
        &bucket,
        "segment/n.arrow".into(),
        false,
        EncodedSegment::of(SegmentKind::State, std::slice::from_ref(&rows)).unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(read(&bucket, &written, "a test").await.unwrap(), [rows]);
}

#[tokio::test]
async fn a_whole_segment_that_is_not_the_one_named_is_refused() {
    let bucket = bucket();
    let written =
        write(&bucket, "segment/a.arrow".into(), true, EncodedSegment::of(SegmentKind::State, &batches()).unwrap()).await.unwrap();
    let wrong_crc = SegmentRef { crc32: written.crc32 ^ 1, ..written.clone() };
    let wrong_rows = SegmentRef { rows: 6, ..written.clone() };
    let wrong_bytes = SegmentRef { bytes: 6, ..written.clone() };
    for wrong in [wrong_crc, wrong_rows, wrong_bytes] {
        let error = read(&bucket, &wrong, "operator 3").await.unwrap_err();
        assert!(matches!(&error, Error::Damaged { used_by, .. } if used_by == "operator 3"), "{error}");
    }
    let absent = SegmentRef { name: "segment/b.arrow".into(), ..written };
    let error = read(&bucket, &absent, "operator 3").await.unwrap_err();
    assert_eq!(error.to_string(), "object \"segment/b.arrow\" of operator 3 is missing");
}
