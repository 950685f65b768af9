//! Rows that an operator remembers, each with a weight, found by row and by key.
//!
//! Rows are packed words, numbered in the order in which they came. Two indexes are derived from them: by row, so that
//! a change finds the row whose weight it alters, and by key, a chain through the rows of equal key. Neither is there before it is
//! needed: while nothing is taken back, an equal row is simply another entry, and rows are needed by key when they are asked for.
//!
//! Rows of weight 0 stay until more than half of the rows are dead; then [`Arrangement::compact`] rebuilds everything. Ids are
//! valid until then.

use std::ops::Range;
use std::sync::Arc;

use refrain_types::{Iteration, Weight};

use crate::capture::{Capture, ChangeNotes, Iterations};
use crate::chain::KeyChain;
use crate::hash::hash_words;
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;
use crate::memory::Memory;
use crate::rows::{Rows, RowsById};

mod weights;
use weights::Weights;

/// How many probes are in flight at once.
pub(crate) const BLOCK: usize = 32;

/// See the module.
#[derive(Debug)]
pub struct Arrangement {
    words: usize,
    rows: Rows,
    weights: Weights,
    dead: usize,
    by_row: ByRow,
    key: Option<KeyChain>,
    changes: Option<ChangeNotes>,
}

/// What is one entry of an arrangement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// A row: a change of it changes its weight.
    OfRows,
    /// A change: rows are only ever inserted.
    OfChanges,
    /// A change, until one takes a row back; from then on a row. For who adds up the entries of a row, as a join does.
    OfChangesUntilTakenBack,
}

/// The index by row.
#[derive(Debug)]
enum ByRow {
    Index(HashIndex),
    Never,
    WhenTakenBack,
}

impl ByRow {
    fn new(entries: Entries, words: usize) -> Self {
        match entries {
            Entries::OfRows => Self::Index(HashIndex::new(words == 1)),
            Entries::OfChanges => Self::Never,
            Entries::OfChangesUntilTakenBack => Self::WhenTakenBack,
        }
    }

    fn index(&self) -> Option<&HashIndex> {
        if let Self::Index(index) = self { Some(index) } else { None }
    }
}

/// What a change did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The row's id.
    pub id: u32,
    /// Its weight before.
    pub before: Weight,
    /// Its weight after.
    pub after: Weight,
}

/// The weight of a row left the range of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightOverflow;

impl Arrangement {
    /// An arrangement of rows of `words` words. With `key`, rows are found by key.
    #[must_use]
    pub fn new(words: usize, entries: Entries, key: Option<KeyOf>) -> Self {
        Self {
            words,
            rows: Rows::new(words),
            weights: Weights::default(),
            dead: 0,
            by_row: ByRow::new(entries, words),
            key: key.map(KeyChain::new),
            changes: None,
        }
    }

    /// Its rows in this memory, as far as there is room.
    #[must_use]
    pub fn within(mut self, memory: &Arc<Memory>) -> Self {
        self.rows = self.rows.within(Some(memory));
        self
    }

    /// Number of entries, dead ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights.len() == 0
    }

    /// Number of entries whose weight is not 0.
    #[must_use]
    pub fn live(&self) -> usize {
        self.weights.len() - self.dead
    }

    /// Words of one row.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words
    }

    /// The packed row.
    #[inline]
    #[must_use]
    pub fn row(&self, id: u32) -> &[u64] {
        self.rows.get(id)
    }

    /// The row's weight.
    #[inline]
    #[must_use]
    pub fn weight(&self, id: u32) -> Weight {
        self.weights.get(id)
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let indexes = self.by_row.index().map_or(0, HashIndex::size_bytes) + self.key.as_ref().map_or(0, KeyChain::size_bytes);
        self.rows.size_bytes() + self.weights.size_bytes() + indexes
    }

    /// Makes room for `additional` more entries and starts to fetch the slots of `rows` (packed, one after the other).
    pub fn prepare(&mut self, rows: &[u64]) {
        if let ByRow::Index(index) = &mut self.by_row {
            index.reserve(rows.len() / self.words);
            for row in rows.chunks_exact(self.words).take(BLOCK) {
                index.prefetch(row_key(row));
            }
        }
    }

    /// Adds `weight` to the weight of `row`.
    ///
    /// # Errors
    /// When the weight overflows; nothing has changed then.
    #[inline]
    pub fn add(&mut self, row: &[u64], weight: Weight) -> Result<Changed, WeightOverflow> {
        let (id, inserted) = self.find_or_append(row, weight);
        let (before, after) = if inserted {
            (0, weight)
        } else {
            let before = self.weights.get(id);
            let after = before.checked_add(weight).ok_or(WeightOverflow)?;
            self.set_weight(id, after, weight);
            match (before == 0, after == 0) {
                (true, false) => self.dead -= 1,
                (false, true) => self.dead += 1,
                _ => {}
            }
            (before, after)
        };
        Ok(Changed { id, before, after })
    }

    /// Adds `row` unless it has an entry, whatever its weight. Returns whether it had none. Needs the index by row.
    #[inline]
    pub fn add_once(&mut self, row: &[u64]) -> bool {
        self.find_or_append(row, 1).1
    }

    #[inline]
    fn set_weight(&mut self, id: u32, weight: Weight, change: Weight) {
        if let Some(changes) = &mut self.changes {
            changes.push(id, 0, change);
        }
        self.weights.set(id, weight);
    }

    /// The id of a row, which is appended with this weight unless it has an entry; the flag tells whether it was.
    #[inline]
    fn find_or_append(&mut self, row: &[u64], weight: Weight) -> (u32, bool) {
        debug_assert_eq!(row.len(), self.words, "a row has the width of its store");
        let id = u32::try_from(self.weights.len()).expect("an arrangement of one worker holds fewer than 2^32 rows");
        assert!(id != NO_ROW, "an arrangement of one worker holds fewer than 2^32 rows");
        if weight <= 0 && matches!(self.by_row, ByRow::WhenTakenBack) {
            self.index_rows();
        }
        let (id, inserted) = match &mut self.by_row {
            ByRow::Never | ByRow::WhenTakenBack => (id, true),
            ByRow::Index(index) => {
                index.reserve(1);
                let rows = &self.rows;
                index.find_or_insert(row_key(row), id, |other| rows.get(other) == row)
            }
        };
        if inserted {
            self.rows.push(row);
            self.weights.push(weight);
            if let Some(changes) = self.changes.as_mut().filter(|_| weight != 0) {
                changes.push(id, 0, weight);
            }
            self.dead += usize::from(weight == 0);
        }
        (id, inserted)
    }

    /// Makes the index by row. Of equal rows the first takes all of the weight, unless that overflows: then they stay apart, which is
    /// as right.
    #[cold]
    fn index_rows(&mut self) {
        let mut index = HashIndex::new(self.words == 1);
        let none = self.rows.none_yet();
        let (rows, words) = (std::mem::replace(&mut self.rows, none), self.words);
        let mut ids = 0..;
        for block in rows.slices_from(0).flat_map(|slice| slice.chunks(BLOCK * words)) {
            index.reserve(block.len() / words);
            for row in block.chunks_exact(words) {
                index.prefetch(row_key(row));
            }
            for (row, id) in block.chunks_exact(words).zip(&mut ids) {
                let (one, inserted) = index.find_or_insert(row_key(row), id, |other| rows.get(other) == row);
                let weight = self.weights.get(id);
                if !inserted && let (Some(sum), Some(back)) = (self.weights.get(one).checked_add(weight), weight.checked_neg()) {
                    self.set_weight(one, sum, weight);
                    self.set_weight(id, 0, back);
                    self.dead += 1;
                }
            }
        }
        self.rows = rows;
        self.by_row = ByRow::Index(index);
    }

    /// The id of `row`, if it has an entry. Needs the index by row.
    ///
    /// # Panics
    /// When there is none.
    #[inline]
    #[must_use]
    pub fn find(&self, row: &[u64]) -> Option<u32> {
        let index = self.by_row.index().expect("the arrangement has an index by row");
        index.find(row_key(row), |other| self.row(other) == row)
    }

    /// Takes the rows that came since the last call into the index by key.
    #[inline]
    pub fn index_keys(&mut self) {
        if let Some(chain) = &mut self.key {
            chain.follow(&self.rows, self.words, self.weights.len());
        }
    }

    /// Starts to fetch the slot of `key`.
    #[inline]
    pub fn prefetch_key(&self, key: &[u64]) {
        if let Some(chain) = &self.key {
            chain.prefetch(key);
        }
    }

    /// The entries of `key` whose weight is not 0. Needs the index by key, which has to have all rows: [`Self::index_keys`].
    ///
    /// # Panics
    /// When there is none.
    #[inline]
    pub fn matches<'a>(&'a self, key: &[u64]) -> Matches<'a> {
        let chain = self.key.as_ref().expect("the arrangement was made with an index by key");
        debug_assert_eq!(chain.followed(), self.len(), "the index by key has all rows");
        Matches { arrangement: self, chain, id: chain.first(key, &self.rows) }
    }

    /// The entries whose weight is not 0, by id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u64], Weight)> + '_ {
        let ids = 0..u32::try_from(self.weights.len()).expect("ids fit 32 bits");
        ids.map(|id| (id, self.row(id), self.weights.get(id))).filter(|(_, _, weight)| *weight != 0)
    }

    /// Rebuilds the store without dead rows when they are more than half of it. Ids change.
    pub fn compact(&mut self) {
        if self.dead < 4096 || self.dead * 2 < self.len() || self.changes.as_ref().is_some_and(|c| !c.may_renumber()) {
            return;
        }
        let entries = if self.by_row.index().is_some() { Entries::OfRows } else { Entries::OfChanges };
        let mut fresh = Self::new(self.words, entries, self.key.take().map(|chain| chain.of().clone()));
        fresh.rows = self.rows.none_yet();
        for (_, row, weight) in self.iter() {
            fresh.add(row, weight).expect("the weight was there before");
        }
        fresh.changes = self.changes.take().map(|changes| changes.renumbered(self.rows.share()));
        *self = fresh;
    }

    /// What changed since the last capture, or everything when `full` or when changes were not listed. From now on they are.
    pub fn capture(&mut self, full: bool) -> Capture {
        let changes = ChangeNotes::take(&mut self.changes, &self.rows, full);
        let all = |all: &mut ChangeNotes| self.iter().for_each(|(id, _, weight)| all.push(id, 0, weight));
        changes.unwrap_or_else(|| ChangeNotes::of_all(&self.rows, all)).into_capture(self.rows.share(), Iterations::None)
    }

    /// All rows as they are now, at an iteration. It does not matter to captures of changes.
    #[must_use]
    pub fn capture_at(&self, iteration: Iteration) -> Capture {
        Capture::of_rows(&self.rows, |each| self.iter().for_each(|(id, _, weight)| each(id, iteration, weight)))
    }

    /// Changes are noted from now on, where the store is still empty.
    pub fn note_everything(&mut self) {
        self.changes = Some(ChangeNotes::of_everything(&self.rows));
    }

    /// From now on changes are listed, as after a capture: the state was just restored from one.
    pub fn list_changes(&mut self) {
        self.changes = Some(ChangeNotes::from_now_on(&self.rows));
    }
}

/// Entries of one key.
#[derive(Debug)]
pub struct Matches<'a> {
    arrangement: &'a Arrangement,
    chain: &'a KeyChain,
    id: u32,
}

impl<'a> Iterator for Matches<'a> {
    type Item = (u32, &'a [u64], Weight);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.id != NO_ROW {
            let id = self.id;
            self.id = self.chain.next(id);
            self.arrangement.rows.prefetch(self.id);
            let weight = self.arrangement.weights.get(id);
            if weight != 0 {
                return Some((id, self.arrangement.row(id), weight));
            }
        }
        None
    }
}

/// The key under which a packed row stands in an index: itself if it is one word, else its hash.
#[inline]
#[must_use]
pub fn row_key(row: &[u64]) -> u64 {
    if let [word] = row { *word } else { hash_words(row) }
}

#[inline]
pub(crate) fn words_of(id: u32, words: usize) -> Range<usize> {
    let start = id as usize * words;
    start..start + words
}

#[cfg(test)]
mod tests;
