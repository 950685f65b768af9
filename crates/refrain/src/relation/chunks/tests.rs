use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;

use super::*;

fn chunk(from: i64, rows: usize) -> Arc<Delta> {
    let column = Int64Array::from_iter_values((from..).take(rows));
    Arc::new(Delta::insertions(RecordBatch::try_from_iter([("n", Arc::new(column) as ArrayRef)]).unwrap()))
}

/// Chunks of so many rows, over and over, until there are as many rows as that; returns the rows of each chunk in the list.
fn gather(sizes: &[usize], total: usize) -> Vec<usize> {
    let (mut chunks, mut rows) = (Chunks::default(), 0);
    for size in sizes.iter().cycle() {
        if rows >= total {
            break;
        }
        chunks.push(Epoch(1), &chunk(i64::try_from(rows).unwrap(), *size));
        rows += size;
    }
    lengths(&chunks, rows)
}

/// The rows of each chunk, which are numbered from 0 to this.
fn lengths(chunks: &Chunks, rows: usize) -> Vec<usize> {
    let all = chunks.all();
    let numbers = all.iter().flat_map(|c| c.rows.column(0).as_primitive::<Int64Type>().values().to_vec());
    assert!(numbers.eq(0..i64::try_from(rows).unwrap()));
    all.iter().map(|c| c.num_rows()).collect()
}

#[test]
fn few_chunks_are_left_and_not_many_rows_are_merged_at_once() {
    for sizes in [&[1][..], &[100], &[3_856], &[SMALL_ROWS - 1], &[SMALL_ROWS], &[1, 5_000, 20_000, 7]] {
        let total = 300_000;
        let lengths = gather(sizes, total);
        let longest = lengths.iter().max().copied().unwrap_or_default();
        assert!(longest < MERGED_ROWS + SMALL_ROWS, "{sizes:?}: {longest} rows");
        assert!(lengths.len() <= SMALL_CHUNKS_MAX + total / SMALL_ROWS, "{sizes:?}: {} chunks", lengths.len());
    }
}

#[test]
fn chunks_that_come_while_others_are_merged_stay() {
    let (mut chunks, mut rows) = (Chunks::default(), 0);
    let mut come = |chunks: &mut Chunks, size: usize| {
        chunks.push_as_it_is(Epoch(1), &chunk(i64::try_from(rows).unwrap(), size));
        rows += size;
    };
    for size in [SMALL_ROWS, 3_000, 5_000, 7_000].repeat(10).into_iter().chain([3_000; 30]) {
        come(&mut chunks, size);
    }
    let small = chunks.to_merge().expect("many small chunks");
    assert_eq!(small.len(), 33);
    come(&mut chunks, 5);
    chunks.replace_small(&small, Delta::concat(&small));
    assert_eq!(lengths(&chunks, 222_000 + 10 * SMALL_ROWS + 5 + 18_000)[37..], [105_000, 5]);
    // They are gone: what they were merged to has come already.
    chunks.replace_small(&small, Delta::concat(&small));
    assert_eq!(chunks.len(), 39);
    assert!(chunks.to_merge().is_none(), "one small chunk is left");
    for _ in 0..SMALL_CHUNKS_MAX - 1 {
        come(&mut chunks, 1);
    }
    let small = chunks.to_merge().expect("as many small chunks as there may be");
    chunks.replace_small(&small, Delta::concat(&small));
    assert_eq!(chunks.all()[38].num_rows(), SMALL_CHUNKS_MAX + 4);
    assert!(chunks.to_merge().is_none(), "what they were merged to is small as well");
}
