//! Packed rows of one width by id, in the order in which they came.
//!
//! Layout: chunks. A full chunk is sealed and never changes again, so whoever captures the rows shares it, and a store that grows moves
//! no row twice. Where it finds no room in memory it is put elsewhere, and read from there.

use std::sync::Arc;

use arrow::buffer::ScalarBuffer;

use crate::memory::{self, Memory};
use crate::prefetch;

mod open;

use open::Open;

/// Words of a chunk at most: it is copied once, when it is sealed.
const CHUNK_WORDS_MAX: usize = if cfg!(test) { 64 } else { 1 << 15 };

/// See the module.
#[derive(Debug)]
pub struct Rows {
    words: usize,
    /// Rows of a chunk, as a power of 2.
    chunk_rows_log2: u32,
    sealed: Vec<ScalarBuffer<u64>>,
    open: Open,
    /// Where sealed chunks count; `None` is without a limit.
    memory: Option<Arc<Memory>>,
    /// Bytes of sealed chunks that are in memory.
    sealed_bytes: usize,
}

/// Rows found by id, whoever has them.
pub trait RowsById {
    /// The packed row.
    fn row(&self, id: u32) -> &[u64];

    /// The rows from the one with this id on, packed, in slices.
    fn slices_from(&self, first: usize) -> impl Iterator<Item = &[u64]>;
}

impl Rows {
    /// None yet, of `words` words each.
    #[must_use]
    pub fn new(words: usize) -> Self {
        let chunk_rows_log2 = (CHUNK_WORDS_MAX / words.max(1)).max(1).ilog2();
        Self { words, chunk_rows_log2, sealed: Vec::new(), open: Open::default(), memory: None, sealed_bytes: 0 }
    }

    /// In this memory, as far as there is room.
    #[must_use]
    pub fn within(mut self, memory: Option<&Arc<Memory>>) -> Self {
        self.memory = memory.cloned();
        self
    }

    /// Where they count.
    #[must_use]
    pub(crate) fn memory(&self) -> Option<&Arc<Memory>> {
        self.memory.as_ref()
    }

    /// None yet, as wide as these and in the same memory.
    #[must_use]
    pub fn none_yet(&self) -> Self {
        Self::new(self.words).within(self.memory.as_ref())
    }

    /// Words of one row.
    #[inline]
    #[must_use]
    pub fn words(&self) -> usize {
        self.words
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.sealed_bytes + self.open.capacity() * size_of::<u64>()
    }

    fn chunk_words(&self) -> usize {
        self.words << self.chunk_rows_log2
    }

    /// Appends a row.
    #[inline]
    pub fn push(&mut self, row: &[u64]) {
        debug_assert_eq!(row.len(), self.words, "a row has the width of its store");
        self.open.append(row, self.chunk_words());
        if self.open.len() == self.chunk_words() {
            self.seal();
        }
    }

    #[cold]
    fn seal(&mut self) {
        let (chunk, bytes) = memory::seal(self.memory.as_ref(), self.open.as_slice());
        self.sealed.push(chunk);
        self.sealed_bytes += bytes;
        self.open.clear();
    }

    #[inline]
    fn chunk_of(&self, id: u32) -> (&[u64], usize) {
        let chunk = match self.sealed.get((id >> self.chunk_rows_log2) as usize) {
            Some(sealed) => sealed,
            None => self.open.as_slice(),
        };
        (chunk, (id as usize & ((1 << self.chunk_rows_log2) - 1)) * self.words)
    }

    /// The packed row.
    #[inline]
    #[must_use]
    pub fn get(&self, id: u32) -> &[u64] {
        let (chunk, start) = self.chunk_of(id);
        &chunk[start..start + self.words]
    }

    /// Starts to fetch a row; an id without one is ignored.
    #[inline]
    pub fn prefetch(&self, id: u32) {
        let (chunk, start) = self.chunk_of(id);
        prefetch::read(chunk, start);
    }

    /// The rows from the one with this id on that stand in one piece, packed.
    #[inline]
    #[must_use]
    pub fn slice_from(&self, first: usize) -> &[u64] {
        let (chunk, start) = self.chunk_of(u32::try_from(first).expect("ids fit 32 bits"));
        &chunk[start..]
    }

    /// Forgets the rows.
    pub fn clear(&mut self) {
        self.sealed.clear();
        self.sealed_bytes = 0;
        self.open.clear();
    }

    /// The rows as they are now.
    #[must_use]
    pub fn share(&self) -> SharedRows {
        let open = (!self.open.is_empty()).then(|| self.open.share());
        let chunks = self.sealed.iter().cloned().chain(open).collect();
        SharedRows { words: self.words, chunk_rows_log2: self.chunk_rows_log2, chunks }
    }
}

impl RowsById for Rows {
    #[inline]
    fn row(&self, id: u32) -> &[u64] {
        self.get(id)
    }

    fn slices_from(&self, first: usize) -> impl Iterator<Item = &[u64]> {
        let chunk = first >> self.chunk_rows_log2;
        let later = self.sealed.iter().skip(chunk + 1).map(|chunk| &**chunk);
        let open = (chunk < self.sealed.len()).then_some(self.open.as_slice());
        std::iter::once(self.slice_from(first)).chain(later).chain(open).filter(|slice| !slice.is_empty())
    }
}

/// Packed rows of so many words, one after the other.
impl RowsById for (&[u64], usize) {
    #[inline]
    fn row(&self, id: u32) -> &[u64] {
        let start = id as usize * self.1;
        &self.0[start..start + self.1]
    }

    fn slices_from(&self, first: usize) -> impl Iterator<Item = &[u64]> {
        std::iter::once(&self.0[first * self.1..])
    }
}

/// Rows of a store as they were at one time.
#[derive(Clone, Debug)]
pub struct SharedRows {
    words: usize,
    chunk_rows_log2: u32,
    chunks: Vec<ScalarBuffer<u64>>,
}

impl SharedRows {
    /// The packed row.
    #[inline]
    #[must_use]
    pub fn get(&self, id: u32) -> &[u64] {
        let chunk = &self.chunks[(id >> self.chunk_rows_log2) as usize];
        let start = (id as usize & ((1 << self.chunk_rows_log2) - 1)) * self.words;
        &chunk[start..start + self.words]
    }
}

#[cfg(test)]
mod tests;
