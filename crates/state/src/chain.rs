//! An index by key over the rows of a loop: chains through rows of equal key, built when it is first asked for.
//!
//! A loop needs its own rows by key only when the other side of its join changes. As long as it does not, no such index is kept;
//! from the first change on it follows the rows.

use crate::arrangement::{row_key, words_of};
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;

/// See the module.
#[derive(Debug)]
pub struct KeyChain {
    of: KeyOf,
    heads: HashIndex,
    next: Vec<u32>,
    scratch: Vec<u64>,
}

impl KeyChain {
    /// An index that holds no row yet.
    #[must_use]
    pub fn new(of: KeyOf) -> Self {
        Self { heads: HashIndex::new(of.is_exact()), next: Vec::new(), scratch: vec![0; of.words()], of }
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.heads.size_bytes() + self.next.capacity() * 4
    }

    /// Takes in the rows that came since the last call. `rows` are all rows, packed.
    pub fn follow(&mut self, rows: &[u64], words: usize) {
        let count = rows.len() / words;
        self.heads.reserve(count - self.next.len());
        self.next.reserve(count - self.next.len());
        for id in self.next.len()..count {
            let id = u32::try_from(id).expect("ids fit 32 bits");
            self.of.extract(&rows[words_of(id, words)], &mut self.scratch);
            let (of, wanted) = (&self.of, &self.scratch);
            let before = self.heads.put_first(row_key(wanted), id, |other| of.has_key(&rows[words_of(other, words)], wanted));
            self.next.push(before.unwrap_or(NO_ROW));
        }
    }

    /// The last row of this key that was taken in, [`NO_ROW`] if there is none.
    #[must_use]
    pub fn first(&self, key: &[u64], rows: &[u64], words: usize) -> u32 {
        self.heads.find(row_key(key), |other| self.of.has_key(&rows[words_of(other, words)], key)).unwrap_or(NO_ROW)
    }

    /// The row before `id` in its chain.
    #[inline]
    #[must_use]
    pub fn next(&self, id: u32) -> u32 {
        self.next[id as usize]
    }

    /// Forgets the rows: ids have changed.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.next.clear();
    }
}
