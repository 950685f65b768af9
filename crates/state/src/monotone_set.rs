//! The rows of a set recursion that only ever grows: a set and nothing else. No weights, no iterations.
//!
//! Rows stand in the order in which they arrived, so what is still to be released are simply the last ones, and what changed since the
//! last capture too.

use std::sync::Arc;

use crate::arrangement::row_key;
use crate::capture::Capture;
use crate::chain::KeyChain;
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;
use crate::memory::Memory;
use crate::rows::Rows;

const BLOCK: usize = 32;

/// See the module.
#[derive(Debug)]
pub struct MonotoneSet {
    words: usize,
    rows: Rows,
    index: HashIndex,
    chain: Option<KeyChain>,
    released: usize,
    captured: Option<usize>,
}

impl MonotoneSet {
    /// An empty set of rows of `words` words; with `key`, released rows are found by key.
    #[must_use]
    pub fn new(words: usize, key: Option<KeyOf>) -> Self {
        let index = HashIndex::new(words == 1);
        Self { words, rows: Rows::new(words), index, chain: key.map(KeyChain::new), released: 0, captured: None }
    }

    /// Its rows in this memory, as far as there is room.
    #[must_use]
    pub fn within(mut self, memory: &Arc<Memory>) -> Self {
        self.rows = self.rows.within(Some(memory));
        self
    }

    /// Words of one row.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of rows that are still to be released.
    #[must_use]
    pub fn unreleased(&self) -> usize {
        self.len() - self.released
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.rows.size_bytes() + self.index.size_bytes() + self.chain.as_ref().map_or(0, KeyChain::size_bytes)
    }

    /// Takes in packed rows; those that were there already change nothing.
    pub fn arrive(&mut self, rows: &[u64]) {
        for rows in rows.chunks(BLOCK * self.words) {
            self.index.reserve(rows.len() / self.words);
            if rows.len() > self.words {
                for row in rows.chunks_exact(self.words) {
                    self.index.prefetch(row_key(row));
                }
            }
            for row in rows.chunks_exact(self.words) {
                let id = u32::try_from(self.index.len()).expect("a loop of one worker holds fewer than 2^32 rows");
                assert!(id != NO_ROW, "a loop of one worker holds fewer than 2^32 rows");
                let all = &self.rows;
                let (_, inserted) = self.index.find_or_insert(row_key(row), id, |other| all.get(other) == row);
                if inserted {
                    self.rows.push(row);
                }
            }
        }
    }

    /// Releases up to `limit` rows, at least one if there is one, and gives them out, packed: they are new to the set.
    pub fn release(&mut self, limit: usize) -> &[u64] {
        let rows = self.rows.slice_from(self.released);
        let rows = &rows[..rows.len().min(limit * self.words)];
        self.released += rows.len() / self.words;
        rows
    }

    /// Calls `found` with each released row of `key`. Needs a key.
    ///
    /// # Panics
    /// When the set was made without a key.
    pub fn matches(&mut self, key: &[u64], mut found: impl FnMut(&[u64])) {
        if self.released == 0 {
            return;
        }
        let chain = self.chain.as_mut().expect("the set was made with a key");
        chain.follow(&self.rows, self.words, self.released);
        let mut id = chain.first(key, &self.rows);
        while id != NO_ROW {
            found(self.rows.get(id));
            id = chain.next(id);
        }
    }

    /// The rows that came since the last capture, or all when `full` or when nothing was captured yet; and those of all rows that
    /// are not released yet.
    pub fn capture(&mut self, full: bool) -> (Capture, Capture) {
        let start = self.captured.filter(|_| !full);
        let (rows, len, released) = (self.rows.share(), self.len(), self.released);
        let captured = |from: usize, full: bool| {
            let rows = rows.clone();
            Capture::later(full, move |pieces| {
                for id in from..len {
                    pieces.push(rows.get(id as u32), None, 1);
                }
            })
        };
        let both = (captured(start.unwrap_or(0), start.is_none()), captured(released, true));
        self.captured = Some(len);
        both
    }

    /// Puts back all captured rows; `unreleased` are those of them that were not released.
    pub fn restore(&mut self, all: &[u64], unreleased: &[u64]) {
        let mut later = Self::new(self.words, None);
        later.arrive(unreleased);
        for row in all.chunks_exact(self.words) {
            if later.index.find(row_key(row), |other| later.rows.get(other) == row).is_none() {
                self.arrive(row);
            }
        }
        self.released = self.len();
        self.arrive(unreleased);
        self.captured = Some(self.len());
    }
}

#[cfg(test)]
mod tests;
