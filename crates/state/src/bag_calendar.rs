//! The rows of a bag recursion (`UNION ALL`): how often each iteration derives each row.
//!
//! The loop is linear, so released weights are all that later changes of the other side need. What is still to be released is added up
//! by row and iteration, lowest iteration first, so that a retraction catches up with what it retracts and both vanish.
//!
//! Rows are told apart by their iterations, or they could keep themselves alive: a bag is not the only one that its recursion maps to
//! itself where rows can derive themselves round a cycle, and only the one that begins with the base is the right one.
//!
//! Layout: the iteration is one more word behind the packed row.

use std::sync::Arc;

use refrain_types::{Iteration, Weight};

use crate::arrangement::{WeightOverflow, row_key};
use crate::calendar::Calendar;
use crate::capture::{Capture, ChangeNotes, Iterations};
use crate::chain::KeyChain;
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;
use crate::memory::Memory;
use crate::rows::Rows;

#[derive(Clone, Copy, Debug)]
struct Entry {
    released: Weight,
    pending: Weight,
    /// Whether the calendar holds it.
    touched: bool,
}

/// See the module.
#[derive(Debug)]
pub struct BagCalendar {
    /// Words of a row, and one.
    words: usize,
    rows: Rows,
    entries: Vec<Entry>,
    index: HashIndex,
    /// `None`: no join asks for released rows, so they are forgotten.
    chain: Option<KeyChain>,
    calendar: Calendar,
    pending: usize,
    live: usize,
    changes: Option<ChangeNotes>,
    scratch: Vec<u64>,
}

impl BagCalendar {
    /// An empty bag of rows of `words` words; with `key`, released rows are kept and found by key.
    #[must_use]
    pub fn new(words: usize, key: Option<KeyOf>) -> Self {
        Self {
            words: words + 1,
            rows: Rows::new(words + 1),
            entries: Vec::new(),
            index: HashIndex::new(false),
            chain: key.map(KeyChain::new),
            calendar: Calendar::default(),
            pending: 0,
            live: 0,
            changes: None,
            scratch: Vec::new(),
        }
    }

    /// Its rows and its calendar in this memory, as far as there is room.
    #[must_use]
    pub fn within(mut self, memory: &Arc<Memory>) -> Self {
        self.rows = self.rows.within(Some(memory));
        self.calendar = self.calendar.within(memory);
        self
    }

    /// Number of rows that are still to be released.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Number of entries with a weight: rows with an iteration.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// The lowest iteration at which something is to be released.
    #[must_use]
    pub fn lowest(&self) -> Option<Iteration> {
        if self.pending == 0 { None } else { self.calendar.lowest() }
    }

    /// The packed row.
    #[inline]
    #[must_use]
    pub fn row(&self, id: u32) -> &[u64] {
        &self.rows.get(id)[..self.words - 1]
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.rows.size_bytes()
            + self.entries.capacity() * size_of::<Entry>()
            + self.index.size_bytes()
            + self.chain.as_ref().map_or(0, KeyChain::size_bytes)
            + self.calendar.size_bytes()
    }

    /// Adds derivations: packed rows with one iteration and one weight each.
    ///
    /// # Errors
    /// When a weight overflows; that derivation is left out, the others are applied.
    pub fn arrive(&mut self, rows: &[u64], iterations: &[Iteration], weights: &[Weight]) -> Result<(), WeightOverflow> {
        if self.pending == 0 && self.chain.is_none() {
            self.forget();
        }
        let mut result = Ok(());
        for ((row, iteration), weight) in rows.chunks_exact(self.words - 1).zip(iterations).zip(weights) {
            let id = self.intern(row, *iteration);
            let entry = &mut self.entries[id as usize];
            let Some(pending) = entry.pending.checked_add(*weight) else {
                result = Err(WeightOverflow);
                continue;
            };
            self.pending = self.pending + usize::from(pending != 0) - usize::from(entry.pending != 0);
            entry.pending = pending;
            if !std::mem::replace(&mut entry.touched, true) {
                self.calendar.touch(*iteration, id);
            }
        }
        result
    }

    fn intern(&mut self, row: &[u64], iteration: Iteration) -> u32 {
        let id = u32::try_from(self.entries.len()).expect("a loop of one worker holds fewer than 2^32 rows");
        assert!(id != NO_ROW, "a loop of one worker holds fewer than 2^32 rows");
        self.scratch.clear();
        self.scratch.extend_from_slice(row);
        self.scratch.push(u64::from(iteration));
        self.index.reserve(1);
        let (rows, full) = (&self.rows, self.scratch.as_slice());
        let (id, inserted) = self.index.find_or_insert(row_key(full), id, |other| rows.get(other) == full);
        if inserted {
            self.rows.push(full);
            self.entries.push(Entry { released: 0, pending: 0, touched: false });
        }
        id
    }

    fn forget(&mut self) {
        self.rows.clear();
        self.entries.clear();
        self.index.clear();
        self.calendar.clear();
        self.live = 0;
    }

    /// Takes up to `limit` rows of the lowest iteration out of the calendar. Each must then be given to [`Self::release`].
    pub fn take_lowest(&mut self, limit: usize, ids: &mut Vec<u32>) -> Option<Iteration> {
        self.calendar.take_lowest(limit, ids)
    }

    /// Releases a row: the weight that is new, 0 if there is nothing to release.
    ///
    /// # Errors
    /// When the row's released weight overflows; the row stays as it was.
    #[inline]
    pub fn release(&mut self, id: u32) -> Result<Weight, WeightOverflow> {
        let keep = self.chain.is_some();
        let entry = &mut self.entries[id as usize];
        entry.touched = false;
        if entry.pending == 0 {
            return Ok(0);
        }
        let weight = std::mem::take(&mut entry.pending);
        self.pending -= 1;
        if keep {
            let before = entry.released;
            entry.released = before.checked_add(weight).ok_or(WeightOverflow)?;
            self.live = self.live + usize::from(entry.released != 0) - usize::from(before != 0);
            if let Some(changes) = &mut self.changes {
                changes.push(id, 0, weight);
            }
        }
        Ok(weight)
    }

    /// Calls `found` with each released row of `key`, the iteration that derives it, and its weight, which is not 0.
    ///
    /// # Panics
    /// When the bag was made without a key.
    pub fn matches(&mut self, key: &[u64], mut found: impl FnMut(&[u64], Iteration, Weight)) {
        let chain = self.chain.as_mut().expect("the bag was made with a key");
        chain.follow(&self.rows, self.words, self.entries.len());
        let mut id = chain.first(key, &self.rows);
        while id != NO_ROW {
            let released = self.entries[id as usize].released;
            if released != 0 {
                let full = self.rows.get(id);
                found(&full[..self.words - 1], iteration_of(full), released);
            }
            id = chain.next(id);
        }
    }

    /// Forgets rows of weight 0 when they are more than half and nothing refers to ids.
    pub fn compact(&mut self) {
        let dead = self.entries.len() - self.live;
        if self.pending > 0
            || dead < 4096
            || dead * 2 < self.entries.len()
            || self.changes.as_ref().is_some_and(|c| !c.may_renumber())
        {
            return;
        }
        let mut fresh = Self::new(self.words - 1, None);
        fresh.rows = self.rows.none_yet();
        // What it holds has cancelled out, and ids change.
        fresh.calendar = std::mem::take(&mut self.calendar);
        fresh.calendar.clear();
        fresh.chain = self.chain.take();
        if let Some(chain) = &mut fresh.chain {
            chain.clear();
        }
        for (id, entry) in (0u32..).zip(&self.entries).filter(|(_, e)| e.released != 0) {
            let full = self.rows.get(id);
            let copy = fresh.intern(&full[..self.words - 1], iteration_of(full));
            fresh.entries[copy as usize].released = entry.released;
        }
        fresh.live = self.live;
        fresh.changes = self.changes.take().map(|changes| changes.renumbered(self.rows.share()));
        *self = fresh;
    }

    /// The released rows: what changed since the last capture, or all when `full` or when changes were not listed; and the rows
    /// that are still to be released. All with their iterations.
    pub fn capture(&mut self, full: bool) -> (Capture, Capture) {
        let released = ChangeNotes::take(&mut self.changes, &self.rows, full);
        let all_released = |all: &mut ChangeNotes| {
            let released = (0u32..).zip(&self.entries).map(|(id, entry)| (id, entry.released));
            released.filter(|(_, weight)| *weight != 0).for_each(|(id, weight)| all.push(id, 0, weight));
        };
        let all_pending = |all: &mut ChangeNotes| {
            let pending = self.calendar.ids().map(|id| (id, self.entries[id as usize].pending));
            pending.filter(|(_, weight)| *weight != 0).for_each(|(id, weight)| all.push(id, 0, weight));
        };
        let rows = self.rows.share();
        let released = released.unwrap_or_else(|| ChangeNotes::of_all(&self.rows, all_released));
        let pending = ChangeNotes::of_all(&self.rows, all_pending);
        (released.into_capture(rows.clone(), Iterations::LastWord), pending.into_capture(rows, Iterations::LastWord))
    }

    /// Adds captured released rows; pending ones are given to [`Self::arrive`] afterwards.
    ///
    /// # Errors
    /// When a weight overflows: the state is not one that was captured.
    pub fn restore(&mut self, rows: &[u64], iterations: &[Iteration], weights: &[Weight]) -> Result<(), WeightOverflow> {
        for ((row, iteration), weight) in rows.chunks_exact(self.words - 1).zip(iterations).zip(weights) {
            let id = self.intern(row, *iteration);
            let released = &mut self.entries[id as usize].released;
            let before = *released;
            *released = before.checked_add(*weight).ok_or(WeightOverflow)?;
            let after = *released;
            self.live = self.live + usize::from(after != 0) - usize::from(before != 0);
        }
        Ok(())
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

fn iteration_of(full: &[u64]) -> Iteration {
    full.last().map_or(0, |word| Iteration::try_from(*word).expect("the word was an iteration"))
}

#[cfg(test)]
mod tests;
