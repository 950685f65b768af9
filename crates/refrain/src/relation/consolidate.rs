//! Sums equal rows of a list of deltas, or brings them together.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use refrain_dataflow::parcel::worker_of;
use refrain_state::{Arrangement, Entries, RowLayout, hash_words};
use refrain_types::errors::Errors;
use refrain_types::{Delta, ErrorRow, Iteration, Weight};

/// Rows per consolidated delta.
const CHUNK_ROWS: usize = 64 * 1024;

/// Whether a delta takes rows out.
pub fn takes_out(delta: &Delta) -> bool {
    delta.weights.as_ref().is_some_and(|weights| weights.iter().any(|weight| *weight < 0))
}

/// The same Z-set with each row once and no weight 0, in the order in which the rows first appear, and with each error once, in a
/// delta of their own. Weights of a row that do not add up to one stay apart. Iterations are left out.
pub fn consolidate(physical: &SchemaRef, deltas: &[Arc<Delta>]) -> Vec<Delta> {
    sum(physical, deltas, false)
}

/// Likewise, with each row once at an iteration.
pub fn consolidate_by_iteration(physical: &SchemaRef, deltas: &[Arc<Delta>]) -> Vec<Delta> {
    sum(physical, deltas, deltas.iter().any(|delta| delta.iterations.is_some()))
}

fn sum(physical: &SchemaRef, deltas: &[Arc<Delta>], by_iteration: bool) -> Vec<Delta> {
    let layout = RowLayout::of_schema(physical);
    let words = layout.words();
    // The iteration is one more word behind the packed row.
    let mut sums = Arrangement::new(words + usize::from(by_iteration), Entries::OfRows, None);
    let mut apart = Vec::new();
    let (mut packed, mut full) = (Vec::new(), Vec::new());
    for delta in deltas {
        packed.clear();
        layout.pack_batch(&delta.rows, &mut packed);
        for (i, row) in packed.chunks_exact(words).enumerate() {
            full.clear();
            full.extend_from_slice(row);
            full.extend(by_iteration.then(|| u64::from(delta.iteration(i))));
            if sums.add(&full, delta.weight(i)).is_err() {
                apart.push((full.clone(), delta.weight(i)));
            }
        }
    }
    let mut consolidated = Vec::new();
    let mut chunk = Packed::default();
    let apart = apart.iter().map(|(full, weight)| (full.as_slice(), *weight));
    for (full, weight) in sums.iter().map(|(_, full, weight)| (full, weight)).chain(apart) {
        chunk.rows.extend_from_slice(&full[..words]);
        chunk.iterations.extend(full.get(words).map(|word| *word as Iteration));
        chunk.weights.push(weight);
        if chunk.weights.len() == CHUNK_ROWS {
            consolidated.push(std::mem::take(&mut chunk).into_delta(&layout, physical));
        }
    }
    if !chunk.weights.is_empty() {
        consolidated.push(chunk.into_delta(&layout, physical));
    }
    let errors = sum_errors(deltas);
    if !errors.is_empty() {
        consolidated.push(Delta::of_errors(Arc::clone(physical), errors));
    }
    consolidated
}

/// The rows of a delta in so many shares, equal ones in the same. Errors are left out.
pub fn deal(physical: &SchemaRef, delta: &Delta, shares: usize) -> Vec<Delta> {
    let layout = RowLayout::of_schema(physical);
    let mut packed = Vec::new();
    layout.pack_batch(&delta.rows, &mut packed);
    let mut dealt = (0..shares).map(|_| Packed::default()).collect::<Vec<_>>();
    for (i, row) in packed.chunks_exact(layout.words()).enumerate() {
        // Hashed once more: the rows of a share are to differ in all bits of their hashes, since an index places them by these.
        let share = &mut dealt[worker_of(hash_words(&[hash_words(row)]), shares)];
        share.rows.extend_from_slice(row);
        share.weights.push(delta.weight(i));
        share.iterations.extend(delta.iterations.is_some().then(|| delta.iteration(i)));
    }
    dealt.into_iter().map(|share| share.into_delta(&layout, physical)).collect()
}

/// Packed rows of a delta.
#[derive(Default)]
struct Packed {
    rows: Vec<u64>,
    /// One per row, or empty.
    iterations: Vec<Iteration>,
    weights: Vec<Weight>,
}

impl Packed {
    fn into_delta(self, layout: &RowLayout, physical: &SchemaRef) -> Delta {
        let batch = layout.unpack(&self.rows, physical);
        let is_insertions = self.weights.iter().all(|w| *w == 1);
        let mut delta = if is_insertions { Delta::insertions(batch) } else { Delta::weighted(batch, self.weights) };
        delta.iterations = (!self.iterations.is_empty()).then(|| self.iterations.into());
        delta
    }
}

fn sum_errors(deltas: &[Arc<Delta>]) -> Errors {
    let mut sums: BTreeMap<&ErrorRow, Weight> = BTreeMap::new();
    for (error, weight) in deltas.iter().flat_map(|d| &d.errors) {
        *sums.entry(error).or_default() += weight;
    }
    sums.into_iter().filter(|(_, weight)| *weight != 0).map(|(error, weight)| (error.clone(), weight)).collect()
}
