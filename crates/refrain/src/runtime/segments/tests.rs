use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use refrain_checkpoint::Mode;

use super::*;
use crate::environment::SystemEnvironment;

#[tokio::test]
async fn many_pieces_become_several_segments_and_come_back() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let piece = |from: i64| {
        let column = Arc::new(Int64Array::from_iter_values(from..from + 50)) as ArrayRef;
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        Piece::from(Arc::new(Delta::insertions(rows)))
    };
    let opened = Store::open("memory://", SystemEnvironment::shared(), Mode::Write).await.unwrap();
    let (attempt, dictionary) = (opened.store.begin(), Dictionary::new());
    let target = Target { attempt: &attempt, dictionary: &dictionary, merges: &Merges::default() };
    let writing = Writing { target, schema: &schema, used_by: "the test" };
    let pieces = (0..10).map(|i| piece(i * 50)).collect::<Vec<_>>();
    let rows: Source = Box::new(|each| {
        pieces.into_iter().for_each(|piece| each(None, piece));
        Ok(())
    });
    let segments = writing.write(SegmentKind::LoopLog, (true, true), rows).await.unwrap().rows;
    assert_eq!(segments.iter().map(|s| s.continues).collect::<Vec<_>>(), [false, true, true, true, true]);
    // Three pieces are more than a kilobyte.
    assert_eq!(segments.iter().map(|s| s.rows).collect::<Vec<_>>(), [100; 5]);
    let reading = Reading::of(&opened.store, &dictionary);
    let back = reading.rows(&schema, &segments, "the test").await.unwrap();
    let values = back.iter().flat_map(|(_, delta)| delta.rows.column(0).as_primitive::<Int64Type>().values().to_vec());
    assert_eq!(values.collect::<Vec<_>>(), (0..500).collect::<Vec<_>>());
    assert!(writing.write(SegmentKind::LoopLog, (true, true), source(Rows::new())).await.unwrap().rows.is_empty());
    // One delta that is too large for a segment is cut.
    let column = Arc::new(Int64Array::from_iter_values(0..500)) as ArrayRef;
    let delta = Arc::new(Delta::insertions(RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap()));
    let segments = writing.write(SegmentKind::State, (true, true), source(vec![(None, delta)])).await.unwrap().rows;
    assert_eq!(segments.iter().map(|s| s.rows).collect::<Vec<_>>(), [125, 128, 128, 119]);
}

#[tokio::test]
async fn text_is_as_long_as_it_is_on_disk() {
    let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, false)]));
    let opened = Store::open("memory://", SystemEnvironment::shared(), Mode::Write).await.unwrap();
    let (attempt, dictionary) = (opened.store.begin(), Dictionary::new());
    let target = Target { attempt: &attempt, dictionary: &dictionary, merges: &Merges::default() };
    let writing = Writing { target, schema: &schema, used_by: "the test" };
    let texts = (0..10).map(|i| format!("{i}").repeat(if i == 5 { 2000 } else { 300 })).collect::<Vec<_>>();
    let column = Arc::new(StringArray::from_iter_values(&texts)) as ArrayRef;
    let rows = encode_batch(&dictionary, &RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap());
    let segments = writing.write(SegmentKind::State, (true, true), source(vec![(None, Arc::new(Delta::insertions(rows)))])).await;
    // Three have room in a kilobyte; one has not even alone. What is too much is halved.
    assert_eq!(segments.unwrap().rows.iter().map(|s| s.rows).collect::<Vec<_>>(), [2, 3, 1, 1, 3]);
}

#[tokio::test]
async fn a_text_is_once_in_a_segment_however_many_pieces_have_it() {
    let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, false)]));
    let opened = Store::open("memory://", SystemEnvironment::shared(), Mode::Write).await.unwrap();
    let (attempt, dictionary) = (opened.store.begin(), Dictionary::new());
    let target = Target { attempt: &attempt, dictionary: &dictionary, merges: &Merges::default() };
    let writing = Writing { target, schema: &schema, used_by: "the test" };
    let column = Arc::new(StringArray::from(vec!["a long text, which is said again and again"; 10])) as ArrayRef;
    let rows = encode_batch(&dictionary, &RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap());
    let piece = Arc::new(Delta::weighted(rows, vec![2; 10]));
    let mut many = vec![(Some(Epoch(3)), Arc::clone(&piece)); 6];
    many.push((Some(Epoch(4)), piece));
    let segments = writing.write(SegmentKind::State, (true, true), source(many)).await.unwrap().rows;
    let batches = opened.store.read_segment(&segments[0], "the test").await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [60, 10]);
    let back = Reading::of(&opened.store, &dictionary).rows(&schema, &segments, "the test").await.unwrap();
    let weights = back.iter().map(|(epoch, delta)| (epoch.0, delta.num_rows(), delta.weight(0)));
    assert_eq!(weights.collect::<Vec<_>>(), [(3, 60, 2), (4, 10, 2)]);
}
