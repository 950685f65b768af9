//! What contenders must agree on: the number of rows, and a sum over a fixed hash of each row's values.
//!
//! The hash sees integers and text only, never the ids that a contender gives them. A sum does not depend on the order of rows and
//! is linear in their weights, so changes can be added up as they come.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Number and checksum of rows, or of changes to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) rows: i64,
    pub(crate) checksum: u64,
}

impl Answer {
    /// Adds a row with its weight.
    pub(crate) fn add(&mut self, row: RowHash, weight: i64) {
        self.rows += weight;
        self.checksum = self.checksum.wrapping_add(row.finish().wrapping_mul(weight.cast_unsigned()));
    }
}

/// The answers of one contender after each of a series of changes, in one figure.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trail(u64);

impl Trail {
    /// Adds the answer after the next change.
    pub(crate) fn add(&mut self, answer: Answer) {
        let mut row = RowHash(self.0);
        row.integer(answer.rows);
        row.word(answer.checksum);
        self.0 = row.0;
    }

    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

/// An answer that several workers add to.
#[derive(Debug, Default)]
pub(crate) struct SharedAnswer {
    rows: AtomicI64,
    checksum: AtomicU64,
}

impl SharedAnswer {
    pub(crate) fn add(&self, part: Answer) {
        self.rows.fetch_add(part.rows, Ordering::Relaxed);
        self.checksum.fetch_add(part.checksum, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Answer {
        Answer { rows: self.rows.load(Ordering::Relaxed), checksum: self.checksum.load(Ordering::Relaxed) }
    }
}

/// A value that has a place in a row's hash.
pub(crate) trait Hashed {
    fn hash_into(&self, row: &mut RowHash);
}

/// The hash of one row, column after column.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowHash(u64);

impl RowHash {
    /// A row of two columns, the most frequent kind here.
    pub(crate) fn of_pair(left: &(impl Hashed + ?Sized), right: &(impl Hashed + ?Sized)) -> Self {
        let mut row = Self::default();
        left.hash_into(&mut row);
        right.hash_into(&mut row);
        row
    }

    pub(crate) fn integer(&mut self, value: i64) {
        self.word(value.cast_unsigned());
    }

    /// Eight bytes at a time, and the length, so that neighbouring columns cannot trade bytes.
    pub(crate) fn text(&mut self, value: &str) {
        let (words, rest) = value.as_bytes().as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last) ^ ((value.len() as u64) << 56));
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^ (hash >> 31)
    }
}

impl Hashed for i32 {
    fn hash_into(&self, row: &mut RowHash) {
        row.integer(i64::from(*self));
    }
}

impl Hashed for u32 {
    fn hash_into(&self, row: &mut RowHash) {
        row.integer(i64::from(*self));
    }
}

impl Hashed for i64 {
    fn hash_into(&self, row: &mut RowHash) {
        row.integer(*self);
    }
}

impl Hashed for str {
    fn hash_into(&self, row: &mut RowHash) {
        row.text(self);
    }
}

impl Hashed for String {
    fn hash_into(&self, row: &mut RowHash) {
        row.text(self);
    }
}

#[cfg(test)]
mod tests;
