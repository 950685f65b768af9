//! Sums equal rows of a list of deltas.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use refrain_state::{Arrangement, Entries, RowLayout};
use refrain_types::errors::Errors;
use refrain_types::{Delta, ErrorRow, Weight};

/// Rows per consolidated delta.
const CHUNK_ROWS: usize = 64 * 1024;

/// The same Z-set with each row once and no weight 0, in the order in which the rows first appear, and with each error once, in a
/// delta of their own. Iterations are left out.
///
/// # Panics
/// When a weight overflows.
pub fn consolidate(physical: &SchemaRef, deltas: &[Arc<Delta>]) -> Vec<Delta> {
    let layout = RowLayout::of_schema(physical);
    let words = layout.words();
    let mut sums = Arrangement::new(words, Entries::OfRows, None);
    let mut packed = Vec::new();
    for delta in deltas {
        packed.clear();
        layout.pack_batch(&delta.rows, &mut packed);
        for (i, row) in packed.chunks_exact(words).enumerate() {
            sums.add(row, delta.weight(i)).expect("the weights of a row fit 64 bits");
        }
    }
    let mut consolidated = Vec::new();
    let (mut rows, mut weights) = (Vec::new(), Vec::new());
    for (_, row, weight) in sums.iter() {
        rows.extend_from_slice(row);
        weights.push(weight);
        if weights.len() == CHUNK_ROWS {
            consolidated.push(chunk(&layout, physical, &rows, std::mem::take(&mut weights)));
            rows.clear();
        }
    }
    if !weights.is_empty() {
        consolidated.push(chunk(&layout, physical, &rows, weights));
    }
    let errors = sum_errors(deltas);
    if !errors.is_empty() {
        consolidated.push(Delta::of_errors(Arc::clone(physical), errors));
    }
    consolidated
}

fn sum_errors(deltas: &[Arc<Delta>]) -> Errors {
    let mut sums: BTreeMap<&ErrorRow, Weight> = BTreeMap::new();
    for (error, weight) in deltas.iter().flat_map(|d| &d.errors) {
        *sums.entry(error).or_default() += weight;
    }
    sums.into_iter().filter(|(_, weight)| *weight != 0).map(|(error, weight)| (error.clone(), weight)).collect()
}

fn chunk(layout: &RowLayout, physical: &SchemaRef, rows: &[u64], weights: Vec<Weight>) -> Delta {
    let batch = layout.unpack(rows, physical);
    if weights.iter().all(|w| *w == 1) { Delta::insertions(batch) } else { Delta::weighted(batch, weights) }
}
