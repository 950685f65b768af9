//! The rows of a set recursion under change: which iterations derive each row, and at which iteration it is emitted.
//!
//! Arriving derivations are applied at once, whatever their order, and the calendar remembers which rows are touched at which
//! iteration. A row belongs to the set from the first iteration whose running weight is positive. Releasing an iteration compares,
//! for each row touched there, that first iteration with the one at which the row is emitted, and says what differs; where the two
//! still differ later, the row is touched again. The model of these rules is in the property test, which compares with
//! recomputation.
//!
//! The emitted iteration stands beside a row's derivations.
//!
//! Invariant: where first deriving and emitted iteration of a row differ, the calendar holds the row at the earlier of the two or
//! before. So the calendar need not be stored: [`SetHistory::restore`] finds it again.

use std::sync::Arc;

use refrain_types::{Iteration, Weight};

use crate::arrangement::{WeightOverflow, row_key};
use crate::calendar::Calendar;
use crate::capture::{Block, Capture, ChangeNotes, Iterations};
use crate::chain::KeyChain;
use crate::derivations::Derivations;
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;
use crate::memory::Memory;
use crate::rows::Rows;

/// No iteration.
pub const NEVER: Iteration = Iteration::MAX;

/// The highest iteration that a row may have.
pub const ITERATION_MAX: Iteration = Iteration::MAX - 2;

const BLOCK: usize = 32;

/// What is remembered of a row beside its derivations.
#[derive(Clone, Copy, Debug)]
struct State {
    emitted: Iteration,
    /// The iteration at which the calendar already holds the row, plus 1.
    mark: u32,
}

/// What the release of a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// It is emitted where it should be.
    None,
    /// It belongs to the set, from this iteration on.
    Appears(Iteration),
    /// It was emitted at this iteration and is not any more.
    Disappears(Iteration),
    /// It stays in the set, from an earlier iteration on.
    Moves {
        /// Emitted so far.
        from: Iteration,
        /// Emitted now.
        to: Iteration,
    },
}

/// See the module.
#[derive(Debug)]
pub struct SetHistory {
    words: usize,
    rows: Rows,
    derivations: Derivations<State>,
    index: HashIndex,
    chain: Option<KeyChain>,
    calendar: Calendar,
    live: usize,
    derived: Option<ChangeNotes>,
    emissions: Option<ChangeNotes>,
}

impl SetHistory {
    /// An empty history of rows of `words` words; with `key`, emitted rows are found by key.
    #[must_use]
    pub fn new(words: usize, key: Option<KeyOf>) -> Self {
        Self {
            words,
            rows: Rows::new(words),
            derivations: Derivations::new(),
            index: HashIndex::new(words == 1),
            chain: key.map(KeyChain::new),
            calendar: Calendar::default(),
            live: 0,
            derived: None,
            emissions: None,
        }
    }

    /// Its rows and its calendar in this memory, as far as there is room.
    #[must_use]
    pub fn within(mut self, memory: &Arc<Memory>) -> Self {
        self.rows = self.rows.within(Some(memory));
        self.calendar = self.calendar.within(memory);
        self
    }

    /// Number of rows that are emitted.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// The calendar.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The packed row.
    #[inline]
    #[must_use]
    pub fn row(&self, id: u32) -> &[u64] {
        self.rows.get(id)
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.rows.size_bytes()
            + self.derivations.size_bytes()
            + self.index.size_bytes()
            + self.chain.as_ref().map_or(0, KeyChain::size_bytes)
            + self.calendar.size_bytes()
    }

    /// Applies derivations: packed rows with one iteration and one weight each.
    ///
    /// # Errors
    /// When a weight overflows; that derivation is left out, the others are applied.
    pub fn arrive(&mut self, rows: &[u64], iterations: &[Iteration], weights: &[Weight]) -> Result<(), WeightOverflow> {
        debug_assert_eq!(rows.len(), iterations.len() * self.words, "one iteration per row");
        debug_assert_eq!(iterations.len(), weights.len(), "one weight per row");
        let mut result = Ok(());
        let mut ids = [0u32; BLOCK];
        let blocks = rows.chunks(BLOCK * self.words).zip(iterations.chunks(BLOCK)).zip(weights.chunks(BLOCK));
        for ((rows, iterations), weights) in blocks {
            self.index.reserve(iterations.len());
            if iterations.len() > 1 {
                for row in rows.chunks_exact(self.words) {
                    self.index.prefetch(row_key(row));
                }
            }
            for (row, id) in rows.chunks_exact(self.words).zip(&mut ids) {
                *id = self.intern(row);
                self.derivations.prefetch(*id);
            }
            for id in &ids[..iterations.len()] {
                self.derivations.prefetch_further(*id);
            }
            result = result.and(self.derive(&ids[..iterations.len()], iterations, weights));
        }
        result
    }

    #[inline]
    fn intern(&mut self, row: &[u64]) -> u32 {
        let id = self.derivations.next_id();
        let rows = &self.rows;
        let (id, inserted) = self.index.find_or_insert(row_key(row), id, |other| rows.get(other) == row);
        if inserted {
            self.rows.push(row);
            self.derivations.push(State { emitted: NEVER, mark: 0 });
        }
        id
    }

    /// Applies a block of derivations of rows that there are.
    #[inline]
    fn derive(&mut self, ids: &[u32], iterations: &[Iteration], weights: &[Weight]) -> Result<(), WeightOverflow> {
        let block = Block::apply((ids, iterations, weights), |id, iteration, weight| {
            self.derivations.add(id, iteration, weight)?;
            self.touch(iteration, id);
            Ok(())
        });
        if let Some(changes) = &mut self.derived {
            changes.push_block(&block);
        }
        block.result()
    }

    #[inline]
    fn touch(&mut self, iteration: Iteration, id: u32) {
        let mark = &mut self.derivations.beside_mut(id).mark;
        if *mark != iteration + 1 {
            *mark = iteration + 1;
            self.calendar.touch(iteration, id);
        }
    }

    /// Takes up to `limit` rows of the lowest iteration out of the calendar. Each must then be given to [`Self::release`].
    pub fn take_lowest(&mut self, limit: usize, ids: &mut Vec<u32>) -> Option<Iteration> {
        let iteration = self.calendar.take_lowest(limit, ids)?;
        for id in ids.iter() {
            let mark = &mut self.derivations.beside_mut(*id).mark;
            if *mark == iteration + 1 {
                *mark = 0;
            }
            self.derivations.prefetch_further(*id);
        }
        Some(iteration)
    }

    /// Compares where a row should be emitted with where it is, and makes it so as far as `iteration`.
    #[inline]
    pub fn release(&mut self, iteration: Iteration, id: u32) -> RowChange {
        let first = self.derivations.first(id);
        let emitted = self.derivations.beside(id).emitted;
        if first == emitted {
            return RowChange::None;
        }
        if emitted <= iteration {
            self.emit(id, NEVER);
            if first != NEVER {
                self.touch(first, id);
            }
            self.live -= 1;
            return RowChange::Disappears(emitted);
        }
        if first <= iteration {
            self.emit(id, first);
            if emitted == NEVER {
                self.live += 1;
                return RowChange::Appears(first);
            }
            return RowChange::Moves { from: emitted, to: first };
        }
        self.touch(first.min(emitted), id);
        RowChange::None
    }

    #[inline]
    fn emit(&mut self, id: u32, at: Iteration) {
        let before = std::mem::replace(&mut self.derivations.beside_mut(id).emitted, at);
        if let Some(changes) = &mut self.emissions {
            for (iteration, weight) in [(before, -1), (at, 1)].into_iter().filter(|(iteration, _)| *iteration != NEVER) {
                changes.push(id, iteration, weight);
            }
        }
    }

    /// Calls `found` with each emitted row of `key` and the iteration at which it is emitted. Needs a key.
    ///
    /// # Panics
    /// When the history was made without a key.
    pub fn matches(&mut self, key: &[u64], mut found: impl FnMut(&[u64], Iteration)) {
        let chain = self.chain.as_mut().expect("the history was made with a key");
        chain.follow(&self.rows, self.words, self.derivations.len());
        let mut id = chain.first(key, &self.rows);
        while id != NO_ROW {
            let emitted = self.derivations.beside(id).emitted;
            if emitted != NEVER {
                found(self.rows.get(id), emitted);
            }
            id = chain.next(id);
        }
    }

    /// Forgets rows that nothing derives and that are not emitted, when they are more than half and nothing refers to ids.
    pub fn compact(&mut self) {
        let dead = self.derivations.len() - self.live;
        let is_renumbered = |changes: &Option<ChangeNotes>| changes.as_ref().is_some_and(|c| !c.may_renumber());
        if dead < 4096
            || dead * 2 < self.derivations.len()
            || !self.calendar.is_empty()
            || is_renumbered(&self.derived)
            || is_renumbered(&self.emissions)
        {
            return;
        }
        let mut fresh = Self::new(self.words, None);
        fresh.rows = self.rows.none_yet();
        fresh.calendar = std::mem::take(&mut self.calendar);
        fresh.chain = self.chain.take();
        if let Some(chain) = &mut fresh.chain {
            chain.clear();
        }
        for id in self.derivations.ids() {
            let emitted = self.derivations.beside(id).emitted;
            if emitted == NEVER && self.derivations.is_underived(id) {
                continue;
            }
            fresh.index.reserve(1);
            let copy = fresh.intern(self.row(id));
            for (iteration, weight) in self.derivations.of(id) {
                fresh.derivations.add(copy, iteration, weight).expect("each derivation is added once");
            }
            fresh.derivations.beside_mut(copy).emitted = emitted;
        }
        fresh.live = self.live;
        fresh.derived = self.derived.take().map(|changes| changes.renumbered(self.rows.share()));
        fresh.emissions = self.emissions.take().map(|changes| changes.renumbered(self.rows.share()));
        *self = fresh;
    }

    /// The two Z-sets by row and iteration, derivations and emissions: what changed since the last capture, or everything when
    /// `full` or when changes were not listed. From now on they are.
    pub fn capture(&mut self, full: bool) -> (Capture, Capture) {
        let [derived, emissions] =
            [&mut self.derived, &mut self.emissions].map(|changes| ChangeNotes::take(changes, &self.rows, full));
        let all_derived = |all: &mut ChangeNotes| self.derivations.each(|id, iteration, weight| all.push(id, iteration, weight));
        let all_emitted = |all: &mut ChangeNotes| {
            let emitted = self.derivations.ids().map(|id| (id, self.derivations.beside(id).emitted));
            emitted.filter(|(_, iteration)| *iteration != NEVER).for_each(|(id, iteration)| all.push(id, iteration, 1));
        };
        let derived = derived.unwrap_or_else(|| ChangeNotes::of_all(&self.rows, all_derived));
        let emissions = emissions.unwrap_or_else(|| ChangeNotes::of_all(&self.rows, all_emitted));
        let rows = self.rows.share();
        (derived.into_capture(rows.clone(), Iterations::Noted), emissions.into_capture(rows, Iterations::Noted))
    }

    /// Changes are noted from now on, where the store is still empty.
    pub fn note_everything(&mut self) {
        self.derived = Some(ChangeNotes::of_everything(&self.rows));
        self.emissions = Some(ChangeNotes::of_everything(&self.rows));
    }

    /// Adds captured derivations and emissions to an empty history; call [`Self::restored`] after the last.
    ///
    /// # Errors
    /// When weights overflow: the state is not one that was captured.
    pub fn restore(
        &mut self,
        derivations: bool,
        rows: &[u64],
        iterations: &[Iteration],
        weights: &[Weight],
    ) -> Result<(), WeightOverflow> {
        if derivations {
            for ((row, iteration), weight) in rows.chunks_exact(self.words).zip(iterations).zip(weights) {
                self.index.reserve(1);
                let id = self.intern(row);
                self.derivations.add(id, *iteration, *weight)?;
            }
            return Ok(());
        }
        // In any order, so these are sums: how often the row is emitted, and at which iteration, as `NEVER` is 0 − 1.
        for ((row, iteration), weight) in rows.chunks_exact(self.words).zip(iterations).zip(weights) {
            self.index.reserve(1);
            let id = self.intern(row);
            let State { emitted, mark } = self.derivations.beside_mut(id);
            *mark = mark.wrapping_add(*weight as u32);
            *emitted = emitted.wrapping_add(iteration.wrapping_add(1).wrapping_mul(*weight as u32));
        }
        Ok(())
    }

    /// All parts are back: finds the calendar again, and lists changes from now on.
    ///
    /// # Errors
    /// When a row is emitted at two iterations: the state is not one that was captured.
    pub fn restored(&mut self) -> Result<(), WeightOverflow> {
        for id in self.derivations.ids() {
            let times = std::mem::take(&mut self.derivations.beside_mut(id).mark);
            let (first, emitted) = (self.derivations.first(id), self.derivations.beside(id).emitted);
            if times != u32::from(emitted != NEVER) {
                return Err(WeightOverflow);
            }
            self.live += usize::from(emitted != NEVER);
            if first != emitted {
                self.touch(first.min(emitted), id);
            }
        }
        self.derived = Some(ChangeNotes::from_now_on(&self.rows));
        self.emissions = Some(ChangeNotes::from_now_on(&self.rows));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
