//! Sums equal rows of a list of deltas, or brings them together.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use refrain_dataflow::parcel::worker_of;
use refrain_state::{Arrangement, Entries, RowLayout, hash_words};
use refrain_types::errors::Errors;
use refrain_types::{Delta, ErrorRow, Iteration, Weight};

/// Rows per consolidated delta.
const CHUNK_ROWS: usize = 64 * 1024;
/// Fewer rows than this are consolidated as a whole.
const MANY_ROWS: usize = 4096;

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

/// The same Z-set, in which no chunk takes out what another holds. Rows of which nothing is taken stay in their chunks, neither copied nor
/// summed where a chunk has no others: of a large table a few rows may have been deleted. Neither errors nor iterations.
pub fn without_taken_out(physical: &SchemaRef, chunks: &[Arc<Delta>]) -> Vec<Arc<Delta>> {
    if !chunks.iter().any(|chunk| takes_out(chunk)) {
        return chunks.to_vec();
    }
    let all = || consolidate(physical, chunks).into_iter().map(Arc::new).collect();
    let rows = chunks.iter().map(|chunk| chunk.num_rows()).sum::<usize>();
    if rows < MANY_ROWS {
        return all();
    }
    let layout = RowLayout::of_schema(physical);
    let mut packed = Vec::new();
    let mut taken_out = HashSet::new();
    for chunk in chunks.iter().filter(|chunk| takes_out(chunk)) {
        let negative = (0..chunk.num_rows()).filter(|row| chunk.weight(*row) < 0);
        packed.clear();
        layout.pack_batch(&chunk.rows, &mut packed);
        let row = |row: usize| &packed[row * layout.words()..(row + 1) * layout.words()];
        taken_out.extend(negative.map(|at| hash_words(row(at))));
    }
    if taken_out.len() > rows / 4 {
        return all();
    }
    let maybe = Sieve::of(&taken_out);
    let (mut untouched, mut touched) = (Vec::new(), Vec::new());
    for chunk in chunks {
        packed.clear();
        layout.pack_batch(&chunk.rows, &mut packed);
        let mut rows = packed.chunks_exact(layout.words()).map(hash_words);
        let is_touched = BooleanBuffer::collect_bool(chunk.num_rows(), |_| {
            let hash = rows.next().expect("as many are packed as there are");
            maybe.holds(hash) && taken_out.contains(&hash)
        });
        if is_touched.count_set_bits() == 0 {
            untouched.push(Arc::clone(chunk));
        } else {
            untouched.push(Arc::new(filtered(chunk, !&is_touched)));
            touched.push(Arc::new(filtered(chunk, is_touched)));
        }
    }
    untouched.retain(|chunk| chunk.num_rows() > 0);
    untouched.extend(consolidate(physical, &touched).into_iter().map(Arc::new));
    untouched
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

/// Some rows of a chunk.
fn filtered(chunk: &Delta, is_kept: BooleanBuffer) -> Delta {
    let weights = chunk.weights.as_ref().map(|weights| is_kept.set_indices().map(|row| weights[row]).collect());
    let rows = filter_record_batch(&chunk.rows, &BooleanArray::new(is_kept, None)).expect("there is a bit for each row");
    Delta { weights, ..Delta::insertions(rows) }
}

/// Bits by which most hashes are known not to be in a set: a few bits for each that is.
struct Sieve {
    bits: Vec<u64>,
    shift: u32,
}

impl Sieve {
    fn of(hashes: &HashSet<u64>) -> Self {
        let bits = (hashes.len() * 16).next_power_of_two().max(64);
        let mut sieve = Self { bits: vec![0; bits / 64], shift: 64 - bits.trailing_zeros() };
        for hash in hashes {
            let at = hash >> sieve.shift;
            sieve.bits[at as usize / 64] |= 1 << (at % 64);
        }
        sieve
    }

    fn holds(&self, hash: u64) -> bool {
        let at = hash >> self.shift;
        self.bits[at as usize / 64] & 1 << (at % 64) != 0
    }
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
