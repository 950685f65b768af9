//! A list of immutable deltas that together are a Z-set, kept short: small chunks are merged, retractions that outweigh the live
//! rows are consolidated away.

use std::sync::Arc;

use refrain_types::{Delta, Epoch};

/// A chunk with fewer rows is merged with its neighbours when many have gathered.
const SMALL_ROWS: usize = 8 * 1024;
/// How many small chunks gather before they are merged: a row is moved about eight times before its chunk is no longer small.
const SMALL_CHUNKS_MAX: usize = 1024;
/// And how many rows at most are merged at once, or a few more: a loop waits for it.
const MERGED_ROWS: usize = 8 * SMALL_ROWS;
/// Fewer retracted rows than this are not worth a consolidation.
const RETRACTED_ROWS_MIN: u64 = 4096;

/// Chunks in the order of their epochs. They carry neither iterations nor errors.
#[derive(Debug, Default)]
pub struct Chunks {
    /// Chunks with the last epoch that is in them.
    list: Vec<(Epoch, Arc<Delta>)>,
    /// The last epoch of merged or consolidated chunks: what is older cannot be told apart by chunk any more.
    merged: Epoch,
    inserted: u64,
    retracted: u64,
    /// Small chunks at the end of the list, and their rows.
    small: usize,
    small_rows: usize,
}

impl Chunks {
    /// Adds a chunk of this epoch.
    pub fn push(&mut self, epoch: Epoch, delta: &Arc<Delta>) {
        self.push_as_it_is(epoch, delta);
        if let Some(small) = self.to_merge() {
            let merged = Delta::concat(&small);
            self.replace_small(&small, merged);
        }
    }

    /// Adds a chunk of this epoch. Somebody merges small ones later.
    pub fn push_as_it_is(&mut self, epoch: Epoch, delta: &Arc<Delta>) {
        if delta.num_rows() == 0 {
            return;
        }
        let retracted = delta.weights.as_ref().map_or(0, |w| w.iter().filter(|w| **w < 0).count() as u64);
        self.retracted += retracted;
        self.inserted += delta.num_rows() as u64 - retracted;
        let is_small = delta.num_rows() < SMALL_ROWS;
        (self.small, self.small_rows) = if is_small { (self.small + 1, self.small_rows + delta.num_rows()) } else { (0, 0) };
        let bare = delta.errors.is_empty() && delta.iterations.is_none();
        let chunk =
            if bare { Arc::clone(delta) } else { Arc::new(Delta { errors: Vec::new(), iterations: None, ..Delta::clone(delta) }) };
        self.list.push((epoch, chunk));
    }

    /// The small chunks at the end, if there are so many that they are to be merged.
    pub fn to_merge(&self) -> Option<Vec<Arc<Delta>>> {
        let wanted = self.small >= SMALL_CHUNKS_MAX || self.small_rows >= MERGED_ROWS;
        wanted.then(|| self.list[self.list.len() - self.small..].iter().map(|(_, chunk)| Arc::clone(chunk)).collect())
    }

    /// Puts what chunks have been merged to in their place, if they are still the first small ones at the end.
    pub fn replace_small(&mut self, chunks: &[Arc<Delta>], merged: Delta) {
        let first = self.list.len() - self.small;
        let is_there = self.small >= chunks.len() && self.list[first..].iter().zip(chunks).all(|((_, a), b)| Arc::ptr_eq(a, b));
        if !is_there || chunks.is_empty() {
            return;
        }
        let last = first + chunks.len() - 1;
        let epoch = self.list[last].0;
        self.merged = self.merged.max(epoch);
        let is_small = merged.num_rows() < SMALL_ROWS;
        self.small -= chunks.len() - usize::from(is_small);
        self.small_rows -= if is_small { 0 } else { merged.num_rows() };
        self.list.splice(first..=last, [(epoch, Arc::new(merged))]);
    }

    /// Whether more is retracted than live, so that consolidation would at least halve the list.
    pub fn wants_consolidation(&self) -> bool {
        self.retracted >= RETRACTED_ROWS_MIN && self.retracted > self.inserted.saturating_sub(self.retracted)
    }

    #[cfg(test)]
    /// Whether some row is retracted by a later chunk, so that rows cannot be read chunk by chunk.
    pub fn has_retractions(&self) -> bool {
        self.retracted > 0
    }

    /// Replaces the first `length` chunks by `consolidated`, which is the same Z-set.
    pub fn replace_first(&mut self, length: usize, consolidated: Vec<Delta>) {
        let Some((epoch, _)) = length.checked_sub(1).map(|last| self.list[last].clone()) else { return };
        let tail = self.list.split_off(length);
        *self = Self { merged: self.merged.max(epoch), ..Self::default() };
        let head = consolidated.into_iter().map(|d| (epoch, Arc::new(d)));
        for (epoch, chunk) in head.chain(tail) {
            self.push(epoch, &chunk);
        }
    }

    /// Whether these are still the first chunks.
    pub fn begins_with(&self, chunks: &[Arc<Delta>]) -> bool {
        self.list.len() >= chunks.len() && self.list.iter().zip(chunks).all(|((_, a), b)| Arc::ptr_eq(a, b))
    }

    /// All chunks.
    pub fn all(&self) -> Vec<Arc<Delta>> {
        self.list.iter().map(|(_, chunk)| Arc::clone(chunk)).collect()
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Up to which epoch chunks are merged, and the chunks of what is older or of up to `epoch`, whichever is more. What they hold
    /// beyond `epoch` has to be taken away from them.
    pub fn up_to(&self, epoch: Epoch) -> (Epoch, Vec<Arc<Delta>>) {
        let end = self.list.partition_point(|(e, _)| *e <= epoch.max(self.merged));
        (self.merged, self.list[..end].iter().map(|(_, chunk)| Arc::clone(chunk)).collect())
    }
}

#[cfg(test)]
mod tests;
