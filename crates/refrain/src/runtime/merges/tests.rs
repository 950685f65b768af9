use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::FutureExt;
use refrain_checkpoint::{Mode, Store};
use refrain_types::{Delta, Weight};

use super::*;
use crate::environment::SystemEnvironment;
use crate::runtime::segments::{Rows, Segments, source};
use crate::spill::TemporaryFiles;

struct Part {
    store: Store,
    dictionary: Arc<Dictionary>,
    schema: SchemaRef,
    merges: Merges,
    memory: Arc<Memory>,
    segments: Vec<SegmentRef>,
}

impl Part {
    async fn new() -> Self {
        let opened = Store::open("memory://", SystemEnvironment::shared(), Mode::Write).await.unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let (dictionary, merges) = (Dictionary::new(), Merges::default());
        let memory = Memory::unlimited();
        Self { store: opened.store, dictionary, schema, merges, memory, segments: Vec::new() }
    }

    /// A checkpoint to which these numbers are new, each by a weight.
    async fn checkpoint(&mut self, numbers: std::ops::Range<i64>, weight: Weight) -> Attempt {
        let attempt = self.store.begin();
        let column = Arc::new(Int64Array::from_iter_values(numbers.clone())) as ArrayRef;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), vec![column]).unwrap();
        let weights = numbers.map(|_| weight).collect();
        let delta = if weight == 1 { Delta::insertions(rows) } else { Delta::weighted(rows, weights) };
        let rows: Rows = vec![(None, Arc::new(delta))];
        let target = Target { attempt: &attempt, dictionary: &self.dictionary, merges: &self.merges };
        let writing = Writing { target, schema: &self.schema, used_by: "the test" };
        let before = Segments { rows: std::mem::take(&mut self.segments), errors: Vec::new() };
        self.segments = writing.extend(before, source(rows)).await.unwrap().rows;
        attempt
    }

    fn names(&self) -> BTreeSet<String> {
        self.segments.iter().map(|segment| segment.name.clone()).collect()
    }

    /// The checkpoint is committed, and what it has asked for is done.
    async fn merge(&self) -> usize {
        let requests = self.merges.after_checkpoint(true, &self.names());
        let count = requests.len();
        self.merges.run(requests, || Some(self.store.begin()), (&self.dictionary, &self.memory)).await;
        count
    }

    /// The numbers with their weights, which are what they were before whatever has been merged.
    async fn numbers(&self) -> Vec<(i64, Weight)> {
        let reading = Reading::of(&self.store, &self.dictionary);
        let mut sums = std::collections::BTreeMap::<i64, Weight>::new();
        for (_, delta) in reading.rows(&self.schema, &self.segments, "the test").await.unwrap() {
            let values = delta.rows.column(0).as_primitive::<Int64Type>();
            (0..delta.num_rows()).for_each(|i| *sums.entry(values.value(i)).or_default() += delta.weight(i));
        }
        sums.into_iter().filter(|(_, weight)| *weight != 0).collect()
    }
}

#[tokio::test]
async fn many_segments_become_one_beside_the_checkpoints() {
    let mut part = Part::new().await;
    let mut attempts = Vec::new();
    for number in 0..8 {
        attempts.push(part.checkpoint(number..number + 1, 1).await);
    }
    assert_eq!(part.segments.len(), 8, "a checkpoint merges nothing itself");
    // One is merged at a time; what others ask for meanwhile they ask for again.
    let requests = part.merges.after_checkpoint(true, &part.names());
    assert_eq!(requests.len(), 1);
    attempts.push(part.checkpoint(8..9, 1).await);
    assert!(part.merges.after_checkpoint(true, &part.names()).is_empty());
    part.merges.run(requests, || Some(part.store.begin()), (&part.dictionary, &part.memory)).await;
    attempts.push(part.checkpoint(9..10, 1).await);
    assert_eq!(part.segments.iter().map(|s| (s.rows, s.full)).collect::<Vec<_>>(), [(8, true), (1, false), (1, false)]);
    assert_eq!(part.numbers().await, (0..10).map(|n| (n, 1)).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_taken_back_is_gone_once_it_is_merged() {
    let mut part = Part::new().await;
    let mut attempts = Vec::new();
    for number in 0..4 {
        attempts.push(part.checkpoint(number..number + 2, 1).await);
        attempts.push(part.checkpoint(number..number + 2, -1).await);
    }
    assert_eq!(part.merge().await, 1);
    attempts.push(part.checkpoint(7..8, 1).await);
    assert_eq!(part.segments.iter().map(|s| (s.rows, s.full)).collect::<Vec<_>>(), [(1, true)]);
    assert_eq!(part.numbers().await, [(7, 1)]);
}

#[tokio::test]
async fn what_has_no_room_in_memory_is_merged_a_share_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut part = Part::new().await;
    part.memory = Memory::limited(0, 0, Arc::new(TemporaryFiles::new(folder.path().to_owned(), u64::MAX)));
    let mut attempts = vec![part.checkpoint(0..1000, 1).await];
    assert!(
        part.segments.len() > 4 && part.segments[1..].iter().all(|segment| segment.continues && segment.full),
        "{:?}",
        part.segments
    );
    for number in 0..7 {
        attempts.push(part.checkpoint(number * 200..number * 200 + 100, -1).await);
    }
    let numbers = part.numbers().await;
    assert_eq!(part.merge().await, 1);
    let before = part.segments.len();
    attempts.push(part.checkpoint(5000..5001, 1).await);
    let [run @ .., last] = part.segments.as_slice() else { panic!("there are segments") };
    assert!(run.len() > 4 && run.len() < before && run[1..].iter().all(|segment| segment.continues), "{run:?}");
    assert!(!run[0].continues && !last.continues && !last.full && run.iter().all(|segment| segment.full));
    assert_eq!(run.iter().map(|segment| segment.rows).sum::<u64>(), numbers.len() as u64);
    assert_eq!(part.numbers().await, numbers.into_iter().chain([(5000, 1)]).collect::<Vec<_>>());
    assert_eq!(part.memory.used(Use::Rows), 0);
}

#[tokio::test]
async fn what_an_aborted_checkpoint_asks_for_is_forgotten() {
    let mut part = Part::new().await;
    for number in 0..8 {
        drop(part.checkpoint(number..number + 1, 1).await);
    }
    assert!(part.merges.after_checkpoint(false, &part.names()).is_empty());
    assert_eq!(part.merge().await, 0);
}

#[tokio::test]
async fn what_fails_is_asked_for_again() {
    let mut part = Part::new().await;
    let mut attempts = Vec::new();
    for number in 0..8 {
        attempts.push(part.checkpoint(number..number + 1, 1).await);
    }
    let requests = part.merges.after_checkpoint(true, &part.names());
    let failed = part.merges.run(requests, || panic!("the engine has stopped"), (&part.dictionary, &part.memory));
    assert!(std::panic::AssertUnwindSafe(failed).catch_unwind().await.is_err());
    attempts.push(part.checkpoint(8..9, 1).await);
    assert_eq!(part.merge().await, 1);
    attempts.push(part.checkpoint(9..10, 1).await);
    assert_eq!(part.segments.iter().map(|s| s.rows).collect::<Vec<_>>(), [9, 1]);
}

#[tokio::test]
async fn what_no_checkpoint_needs_any_more_is_garbage() {
    let mut part = Part::new().await;
    let mut attempts = Vec::new();
    for number in 0..8 {
        attempts.push(part.checkpoint(number..number + 1, 1).await);
    }
    assert_eq!(part.merge().await, 1);
    // The view is made anew, from nothing.
    part.segments.clear();
    attempts.push(part.checkpoint(0..1, 1).await);
    assert!(part.merges.after_checkpoint(true, &part.names()).is_empty());
    assert!(part.merges.state().merged.is_empty());
    assert_eq!(part.segments.len(), 1);
}

#[test]
fn each_segment_is_more_than_twice_as_large_as_what_comes_after_it() {
    let segment = |rows: u64| SegmentRef { name: rows.to_string(), rows, bytes: 0, crc32: 0, full: false, continues: false };
    let from = |rows: &[u64]| merged_from(&rows.iter().map(|rows| segment(*rows)).collect::<Vec<_>>());
    assert_eq!(from(&[]), 0);
    assert_eq!(from(&[1; 7]), 7, "a few are left alone");
    assert_eq!(from(&[1; 8]), 0);
    assert_eq!(from(&[1000, 1, 1, 1, 1, 1, 1, 1]), 1);
    assert_eq!(from(&[10_000, 1000, 300, 90, 25, 8, 3, 1]), 8, "nothing is");
    assert_eq!(from(&[10_000, 1000, 300, 90, 25, 8, 3, 2]), 4);
    // What was written at once counts as one, however many segments it is.
    let mut segments = [100, 100, 100, 100, 100, 100, 100, 100, 9].map(segment);
    segments[1..8].iter_mut().for_each(|segment| segment.continues = true);
    assert_eq!(merged_from(&segments), 9);
    let more = [9, 9, 9, 9, 9, 9, 9].map(segment);
    assert_eq!(merged_from(&[&segments[..], &more[..2]].concat()), 11);
    assert_eq!(merged_from(&[&segments[..], &more].concat()), 8);
}
