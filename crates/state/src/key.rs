//! How the key of a packed row is found.

use crate::layout::{Repack, RowLayout};

/// Takes the key columns out of packed rows.
#[derive(Clone, Debug)]
pub struct KeyOf {
    repack: Repack,
    words: usize,
}

impl KeyOf {
    /// The key `columns` of rows of `layout`, in a layout of their own, `key`.
    #[must_use]
    pub fn new(layout: &RowLayout, columns: &[usize], key: &RowLayout) -> Self {
        Self { repack: Repack::new(layout, columns, key), words: key.words() }
    }

    /// Words of a key.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words
    }

    /// Whether a key is one word, which then is the whole key.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.words == 1
    }

    /// Writes the key of `row` to `key`.
    #[inline]
    pub fn extract(&self, row: &[u64], key: &mut [u64]) {
        self.repack.apply(row, key);
    }

    /// Whether `row` has this key.
    #[inline]
    #[must_use]
    pub fn has_key(&self, row: &[u64], key: &[u64]) -> bool {
        // Wide keys only; a stack buffer would have to know their width, and they are rare enough.
        let mut own = [0u64; 8];
        if self.words <= own.len() {
            self.repack.apply(row, &mut own[..self.words]);
            own[..self.words] == *key
        } else {
            let mut own = vec![0; self.words];
            self.repack.apply(row, &mut own);
            own == *key
        }
    }
}
