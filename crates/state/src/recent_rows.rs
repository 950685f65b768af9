//! The rows that came lately, as many as fit a core's own cache: a filter that drops most repetitions before they cost anything.
//!
//! Each row has one place, by its hash, and takes it from the row that was there. So a row that is said to be there has come before, and one
//! that has come before may be forgotten.

use crate::hash::hash_words;

/// Places; a power of two.
const PLACES: usize = 1 << 14;

/// See the module.
#[derive(Debug)]
pub struct RecentRows {
    words: usize,
    rows: Vec<u64>,
}

impl RecentRows {
    /// None yet, of rows of `words` words.
    #[must_use]
    pub fn new(words: usize) -> Self {
        // A free place holds a row whose place is another.
        let zeros = vec![0; words];
        let own = place(&zeros);
        let mut other = zeros.clone();
        while place(&other) == own {
            other[0] += 1;
        }
        let mut rows = zeros.repeat(PLACES);
        rows[own * words..(own + 1) * words].copy_from_slice(&other);
        Self { words, rows }
    }

    /// Takes a row in. Whether it may be new: if not, it came before.
    #[inline]
    pub fn insert(&mut self, row: &[u64]) -> bool {
        debug_assert_eq!(row.len(), self.words, "rows are of one width");
        let at = place(row) * self.words;
        let there = &mut self.rows[at..at + row.len()];
        if let ([there], [row]) = (&mut *there, row) {
            return std::mem::replace(there, *row) != *row;
        }
        if there == row {
            return false;
        }
        there.copy_from_slice(row);
        true
    }
}

#[inline]
fn place(row: &[u64]) -> usize {
    hash_words(row) as usize & (PLACES - 1)
}

#[cfg(test)]
mod tests;
