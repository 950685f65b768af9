//! Sums equal rows of a list of deltas.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::UInt64Array;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use refrain_types::{Delta, Weight};

/// Rows per consolidated delta.
const CHUNK_ROWS: usize = 64 * 1024;

/// The same Z-set with each row once and no weight 0, in the order in which the rows first appear. Errors and iterations are left
/// out.
///
/// # Panics
/// When a weight overflows.
pub fn consolidate(physical: &SchemaRef, deltas: &[Arc<Delta>]) -> Vec<Delta> {
    let rows = concat_batches(physical, deltas.iter().map(|d| &d.rows)).expect("deltas of one relation have one schema");
    let weights = deltas.iter().flat_map(|d| (0..d.num_rows()).map(|i| d.weight(i))).collect::<Vec<_>>();
    let (first, sums) = sum_by_row(physical, &rows, &weights);
    let mut consolidated = Vec::new();
    for (indices, sums) in first.chunks(CHUNK_ROWS).zip(sums.chunks(CHUNK_ROWS)) {
        let taken = take_record_batch(&rows, &UInt64Array::from(indices.to_vec())).expect("the indices lie in the batch");
        let all_one = sums.iter().all(|w| *w == 1);
        consolidated.push(if all_one { Delta::insertions(taken) } else { Delta::weighted(taken, sums.to_vec()) });
    }
    consolidated
}

/// Index of the first of each group of equal rows, and the sum of their weights where it is not 0.
fn sum_by_row(physical: &Schema, rows: &arrow::array::RecordBatch, weights: &[Weight]) -> (Vec<u64>, Vec<Weight>) {
    let fields = physical.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
    let converter = RowConverter::new(fields).expect("physical types can be compared");
    let bytes = converter.convert_columns(rows.columns()).expect("the columns have the schema's types");
    let mut groups = HashMap::with_capacity(rows.num_rows());
    let mut sums: Vec<(u64, Weight)> = Vec::new();
    for (i, weight) in weights.iter().enumerate() {
        let group = *groups.entry(bytes.row(i)).or_insert_with(|| {
            sums.push((i as u64, 0));
            sums.len() - 1
        });
        let sum: &mut Weight = &mut sums[group].1;
        *sum = sum.checked_add(*weight).expect("the weights of a row fit 64 bits");
    }
    sums.into_iter().filter(|(_, w)| *w != 0).unzip()
}
