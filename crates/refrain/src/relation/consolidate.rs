//! Sums equal rows of a list of deltas.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use refrain_state::{Arrangement, Entries, RowLayout};
use refrain_types::errors::Errors;
use refrain_types::{Delta, ErrorRow, Iteration, Weight};

/// Rows per consolidated delta.
const CHUNK_ROWS: usize = 64 * 1024;

/// The same Z-set with each row once and no weight 0, in the order in which the rows first appear, and with each error once, in a
/// delta of their own. Iterations are left out.
///
/// # Panics
/// When a weight overflows.
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
    let (mut packed, mut full) = (Vec::new(), Vec::new());
    for delta in deltas {
        packed.clear();
        layout.pack_batch(&delta.rows, &mut packed);
        for (i, row) in packed.chunks_exact(words).enumerate() {
            full.clear();
            full.extend_from_slice(row);
            full.extend(by_iteration.then(|| u64::from(delta.iteration(i))));
            sums.add(&full, delta.weight(i)).expect("the weights of a row fit 64 bits");
        }
    }
    let rows = sums.iter().map(|(_, full, weight)| (&full[..words], full.get(words).map(|word| *word as Iteration), weight));
    let rows = rows.collect::<Vec<_>>();
    let mut consolidated = rows.chunks(CHUNK_ROWS).map(|rows| chunk(&layout, physical, rows)).collect::<Vec<_>>();
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

fn chunk(layout: &RowLayout, physical: &SchemaRef, rows: &[(&[u64], Option<Iteration>, Weight)]) -> Delta {
    let packed = rows.iter().flat_map(|(row, ..)| *row).copied().collect::<Vec<_>>();
    let batch = layout.unpack(&packed, physical);
    let weights = rows.iter().map(|(.., weight)| *weight).collect::<Vec<_>>();
    let mut delta = if weights.iter().all(|w| *w == 1) { Delta::insertions(batch) } else { Delta::weighted(batch, weights) };
    delta.iterations = rows.iter().map(|(_, iteration, _)| *iteration).collect::<Option<Vec<_>>>().map(Into::into);
    delta
}
