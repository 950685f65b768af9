//! An index of rows by key: chains through rows of equal key, built when it is first asked for.
//!
//! Rows are needed by key only when the other side of a join changes. As long as it does not, no such index is kept; from the first
//! change on it follows the rows.

use crate::arrangement::{BLOCK, row_key};
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;
use crate::paged::Paged;
use crate::rows::RowsById;

/// See the module.
#[derive(Debug)]
pub struct KeyChain {
    of: KeyOf,
    heads: HashIndex,
    next: Paged<u32>,
    scratch: Vec<u64>,
}

impl KeyChain {
    /// An index that holds no row yet.
    #[must_use]
    pub fn new(of: KeyOf) -> Self {
        Self { heads: HashIndex::new(of.is_exact()), next: Paged::default(), scratch: vec![0; BLOCK * of.words()], of }
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.heads.size_bytes() + self.next.size_bytes()
    }

    /// Number of rows that were taken in.
    #[must_use]
    pub fn followed(&self) -> usize {
        self.next.len()
    }

    /// Takes in the rows that came since the last call, so that the first `count` of the rows are in it, each of `words` words.
    pub fn follow(&mut self, rows: &impl RowsById, words: usize, count: usize) {
        if self.next.len() == count {
            return;
        }
        for slice in rows.slices_from(self.next.len()) {
            let left = (count - self.next.len()) * words;
            self.follow_slice(rows, &slice[..slice.len().min(left)], words);
        }
    }

    fn follow_slice(&mut self, rows: &impl RowsById, new: &[u64], words: usize) {
        let key_words = self.of.words();
        for block in new.chunks(BLOCK * words) {
            self.heads.reserve(block.len() / words);
            for (row, key) in block.chunks_exact(words).zip(self.scratch.chunks_exact_mut(key_words)) {
                self.of.extract(row, key);
                self.heads.prefetch(row_key(key));
            }
            for key in self.scratch.chunks_exact(key_words).take(block.len() / words) {
                let (of, id) = (&self.of, u32::try_from(self.next.len()).expect("ids fit 32 bits"));
                let before = self.heads.put_first(row_key(key), id, |other| of.has_key(rows.row(other), key));
                self.next.push(before.unwrap_or(NO_ROW));
            }
        }
    }

    /// Starts to fetch the slot of `key`.
    #[inline]
    pub fn prefetch(&self, key: &[u64]) {
        self.heads.prefetch(row_key(key));
    }

    /// The last row of this key that was taken in, [`NO_ROW`] if there is none.
    #[must_use]
    pub fn first(&self, key: &[u64], rows: &impl RowsById) -> u32 {
        self.heads.find(row_key(key), |other| self.of.has_key(rows.row(other), key)).unwrap_or(NO_ROW)
    }

    /// The row before `id` in its chain.
    #[inline]
    #[must_use]
    pub fn next(&self, id: u32) -> u32 {
        self.next[id as usize]
    }

    /// How a row's key is found.
    #[must_use]
    pub fn of(&self) -> &KeyOf {
        &self.of
    }

    /// Forgets the rows: ids have changed.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.next.clear();
    }
}
