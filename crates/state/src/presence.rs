//! The rows of a `DISTINCT` in a loop: which iterations derive each row, and at which it is there.
//!
//! Derivations are applied at once, whatever their order, and a row is there at an iteration if its running weight is positive then.
//! Nearly always that is from some iteration on. Where what derives a row is taken back at another iteration than it came at, the
//! row may come and go; what was said of such rows is listed apart.
//!
//! What is said of a row follows from its derivations, so only they are captured.

use std::collections::BTreeMap;
use std::sync::Arc;

use refrain_types::{Iteration, Weight};

use crate::arrangement::{BLOCK, WeightOverflow, row_key};
use crate::capture::{Block, Capture, ChangeNotes, Iterations};
use crate::derivations::Derivations;
use crate::index::HashIndex;
use crate::memory::Memory;
use crate::rows::Rows;
use crate::set_history::NEVER;

/// In place of an iteration: what was said of the row is listed apart.
const COMES_AND_GOES: Iteration = NEVER - 1;

/// What is remembered of a row beside its derivations.
#[derive(Clone, Copy, Debug)]
struct State {
    /// From which iteration on the row was said to be there.
    said: Iteration,
    /// It has changed since something was said.
    touched: bool,
}

/// See the module.
#[derive(Debug)]
pub struct PresenceHistory {
    words: usize,
    rows: Rows,
    derivations: Derivations<State>,
    index: HashIndex,
    touched: Vec<u32>,
    /// What was said of rows that come and go: 1 where they come, −1 where they go.
    turns: BTreeMap<u32, Vec<(Iteration, Weight)>>,
    derived: Option<ChangeNotes>,
    /// How many derivations have to come at least before more than half of the rows can be dead.
    alive_for: usize,
}

impl PresenceHistory {
    /// An empty history of rows of `words` words.
    #[must_use]
    pub fn new(words: usize) -> Self {
        Self {
            words,
            rows: Rows::new(words),
            derivations: Derivations::new(),
            index: HashIndex::new(words == 1),
            touched: Vec::new(),
            turns: BTreeMap::new(),
            derived: None,
            alive_for: 0,
        }
    }

    /// Its rows in this memory, as far as there is room.
    #[must_use]
    pub fn within(mut self, memory: &Arc<Memory>) -> Self {
        self.rows = self.rows.within(Some(memory));
        self
    }

    /// Number of rows, those that nothing derives any more too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.derivations.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.rows.size_bytes() + self.derivations.size_bytes() + self.index.size_bytes()
    }

    #[inline]
    fn row(&self, id: u32) -> &[u64] {
        self.rows.get(id)
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
            self.index.reserve(weights.len());
            if iterations.len() > 1 {
                for row in rows.chunks_exact(self.words) {
                    self.index.prefetch(row_key(row));
                }
            }
            for (row, id) in rows.chunks_exact(self.words).zip(&mut ids) {
                *id = self.intern(row);
                self.derivations.prefetch(*id);
            }
            result = result.and(self.derive(&ids[..iterations.len()], iterations, weights));
        }
        result
    }

    /// The id of a row; room for it in the index is reserved.
    #[inline]
    fn intern(&mut self, row: &[u64]) -> u32 {
        let id = self.derivations.next_id();
        let rows = &self.rows;
        let (id, inserted) = self.index.find_or_insert(row_key(row), id, |other| rows.get(other) == row);
        if inserted {
            self.rows.push(row);
            self.derivations.push(State { said: NEVER, touched: false });
        }
        id
    }

    /// Applies a block of derivations of rows that there are.
    #[inline]
    fn derive(&mut self, ids: &[u32], iterations: &[Iteration], weights: &[Weight]) -> Result<(), WeightOverflow> {
        self.alive_for = self.alive_for.saturating_sub(ids.len());
        let block = Block::apply((ids, iterations, weights), |id, iteration, weight| {
            self.derivations.add(id, iteration, weight)?;
            if !std::mem::replace(&mut self.derivations.beside_mut(id).touched, true) {
                self.touched.push(id);
            }
            Ok(())
        });
        if let Some(changes) = &mut self.derived {
            changes.push_block(&block);
        }
        block.result()
    }

    /// Calls `change` with what differs, in the rows that have changed, from what was said of them before: the row, the iteration, and
    /// the weight.
    pub fn speak(&mut self, mut change: impl FnMut(&[u64], Iteration, Weight)) {
        let mut touched = std::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            let first = self.derivations.first_where_none_is_negative(id);
            let State { said, touched } = self.derivations.beside_mut(id);
            *touched = false;
            let (before, Some(now)) = (*said, first.filter(|_| *said != COMES_AND_GOES)) else {
                self.speak_of_turns(id, &mut change);
                continue;
            };
            if before != now {
                *said = now;
                for (iteration, weight) in [(before, -1), (now, 1)].into_iter().filter(|(iteration, _)| *iteration != NEVER) {
                    change(self.row(id), iteration, weight);
                }
            }
        }
        self.touched = touched;
    }

    #[cold]
    fn speak_of_turns(&mut self, id: u32, change: &mut impl FnMut(&[u64], Iteration, Weight)) {
        let before = match self.derivations.beside(id).said {
            COMES_AND_GOES => self.turns.remove(&id).expect("what comes and goes is listed"),
            NEVER => Vec::new(),
            first => vec![(first, 1)],
        };
        let now = self.derivations.turns(id);
        for (iteration, weight) in before.iter().filter(|turn| !now.contains(turn)) {
            change(self.row(id), *iteration, -weight);
        }
        for (iteration, weight) in now.iter().filter(|turn| !before.contains(turn)) {
            change(self.row(id), *iteration, *weight);
        }
        self.derivations.beside_mut(id).said = match now.as_slice() {
            [] => NEVER,
            [(first, _)] => *first,
            _ => COMES_AND_GOES,
        };
        if now.len() > 1 {
            self.turns.insert(id, now);
        }
    }

    /// Forgets rows that nothing derives when they are more than half and nothing refers to ids.
    pub fn compact(&mut self) {
        if self.derivations.len() < 8192
            || self.alive_for > 0
            || self.derived.as_ref().is_some_and(|changes| !changes.may_renumber())
        {
            return;
        }
        let live = self.derivations.ids().filter(|id| !self.derivations.is_underived(*id)).collect::<Vec<_>>();
        if live.len() * 2 > self.derivations.len() {
            self.alive_for = live.len() - self.derivations.len() / 2;
            return;
        }
        let mut fresh = Self::new(self.words);
        fresh.rows = self.rows.none_yet();
        for id in live {
            fresh.index.reserve(1);
            let copy = fresh.intern(self.row(id));
            for (iteration, weight) in self.derivations.of(id) {
                fresh.derivations.add(copy, iteration, weight).expect("each derivation is added once");
            }
            *fresh.derivations.beside_mut(copy) = *self.derivations.beside(id);
            fresh.turns.extend(self.turns.remove(&id).map(|turns| (copy, turns)));
        }
        fresh.derived = self.derived.take().map(|changes| changes.renumbered(self.rows.share()));
        *self = fresh;
    }

    /// The derivations by row and iteration: what changed since the last capture, or everything when `full` or when changes were not
    /// listed. From now on they are.
    pub fn capture(&mut self, full: bool) -> Capture {
        let changes = ChangeNotes::take(&mut self.derived, &self.rows, full);
        let all = |all: &mut ChangeNotes| self.derivations.each(|id, iteration, weight| all.push(id, iteration, weight));
        changes.unwrap_or_else(|| ChangeNotes::of_all(&self.rows, all)).into_capture(self.rows.share(), Iterations::Noted)
    }

    /// Changes are noted from now on, where the store is still empty.
    pub fn note_everything(&mut self) {
        self.derived = Some(ChangeNotes::of_everything(&self.rows));
    }

    /// From now on changes are listed, as after a capture: the state was just restored from one.
    pub fn list_changes(&mut self) {
        self.derived = Some(ChangeNotes::from_now_on(&self.rows));
    }
}

#[cfg(test)]
mod tests;
