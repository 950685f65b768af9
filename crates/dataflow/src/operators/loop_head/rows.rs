//! The rows of a loop, whatever its kind: one face over the three stores.

use refrain_plan::LoopKind;
use refrain_state::set_history::ITERATION_MAX;
use refrain_state::{BagCalendar, KeyOf, MonotoneSet, RowChange, SetHistory, WeightOverflow};
use refrain_types::{Iteration, Weight};

use crate::operators::stage::Packed;
use crate::part::Part;

pub(super) enum LoopRows {
    Set(SetHistory),
    Monotone(MonotoneSet),
    Bag(BagCalendar),
}

/// What was released: rows for the body, with the iteration at which they are emitted, and rows that leave the loop.
#[derive(Default)]
pub(super) struct Released {
    pub emitted: Packed,
    pub leaving: Packed,
}

impl LoopRows {
    pub fn new(kind: LoopKind, words: usize, key: Option<KeyOf>) -> Self {
        match kind {
            LoopKind::Set => Self::Set(SetHistory::new(words, key)),
            LoopKind::MonotoneSet => Self::Monotone(MonotoneSet::new(words, key)),
            LoopKind::Bag => Self::Bag(BagCalendar::new(words, key)),
        }
    }

    /// Whether iterations have to be released in order.
    pub fn keeps_order(&self) -> bool {
        !matches!(self, Self::Monotone(_))
    }

    /// Takes in derivations at their iterations.
    pub fn arrive(&mut self, rows: &Packed) -> Result<(), WeightOverflow> {
        match self {
            Self::Set(set) => set.arrive(&rows.rows, &rows.iterations, &rows.weights),
            Self::Monotone(set) => {
                set.arrive(&rows.rows);
                Ok(())
            }
            Self::Bag(bag) => bag.arrive(&rows.rows, &rows.iterations, &rows.weights),
        }
    }

    /// Rows that are applied and still to be released.
    pub fn frontier_rows(&self) -> usize {
        match self {
            Self::Set(set) => set.calendar().len(),
            Self::Monotone(set) => set.unreleased(),
            Self::Bag(bag) => bag.pending(),
        }
    }

    /// The lowest iteration at which something is to be released.
    pub fn lowest(&self) -> Option<Iteration> {
        match self {
            Self::Set(set) => set.calendar().lowest(),
            Self::Monotone(set) => (set.unreleased() > 0).then_some(0),
            Self::Bag(bag) => bag.lowest(),
        }
    }

    /// Releases up to `limit` rows of the lowest iteration. `emitted` is replaced, `leaving` is added to. `None` means that nothing
    /// is left; the flag is raised when a weight overflowed.
    pub fn release(&mut self, limit: usize, ids: &mut Vec<u32>, out: &mut Released, overflow: &mut bool) -> Option<Iteration> {
        out.emitted.clear();
        match self {
            Self::Set(set) => {
                let iteration = set.take_lowest(limit, ids)?;
                for id in ids.iter() {
                    release_row(set, iteration, *id, out);
                }
                Some(iteration)
            }
            Self::Monotone(set) => {
                let rows = set.release(limit);
                if rows.is_empty() {
                    return None;
                }
                out.emitted.rows.extend_from_slice(rows);
                out.leaving.rows.extend_from_slice(rows);
                let count = out.emitted.rows.len() / set.words();
                out.emitted.iterations.resize(count, 0);
                out.emitted.weights.resize(count, 1);
                let leaving = out.leaving.len() + count;
                out.leaving.iterations.resize(leaving, 0);
                out.leaving.weights.resize(leaving, 1);
                Some(0)
            }
            Self::Bag(bag) => {
                let iteration = bag.take_lowest(limit, ids)?;
                for id in ids.iter() {
                    match bag.release(iteration, *id) {
                        Ok(0) => {}
                        Ok(weight) => {
                            out.emitted.push(bag.row(*id), iteration, weight);
                            out.leaving.push(bag.row(*id), 0, weight);
                        }
                        Err(WeightOverflow) => *overflow = true,
                    }
                }
                Some(iteration)
            }
        }
    }

    /// Calls `found` with the rows of `key` that the body has seen, their iterations and weights.
    pub fn matches(&mut self, key: &[u64], mut found: impl FnMut(&[u64], Iteration, Weight)) {
        match self {
            Self::Set(set) => set.matches(key, |row, iteration| found(row, iteration, 1)),
            Self::Monotone(set) => set.matches(key, |row| found(row, 0, 1)),
            Self::Bag(bag) => bag.matches(key, |row, weight| found(row, 0, weight)),
        }
    }

    /// The parts of its state.
    pub fn capture(&mut self, full: bool) -> [(Part, refrain_state::Captured); 2] {
        match self {
            Self::Set(set) => {
                let (derivations, emissions) = set.capture(full);
                [(Part::Derivations, derivations), (Part::Emissions, emissions)]
            }
            Self::Monotone(set) => {
                let (rows, frontier) = set.capture(full);
                [(Part::Rows, rows), (Part::Frontier, frontier)]
            }
            Self::Bag(bag) => {
                let (rows, frontier) = bag.capture(full);
                [(Part::Rows, rows), (Part::Frontier, frontier)]
            }
        }
    }

    /// Puts back what was captured; `part` gives the packed rows of a part.
    pub fn restore(&mut self, part: &mut dyn FnMut(Part) -> Vec<Packed>) -> Result<(), WeightOverflow> {
        match self {
            Self::Set(set) => {
                for (is_derivations, name) in [(true, Part::Derivations), (false, Part::Emissions)] {
                    for rows in part(name) {
                        set.restore(is_derivations, &rows.rows, &rows.iterations, &rows.weights)?;
                    }
                }
                set.restored();
            }
            Self::Monotone(set) => {
                let all = |rows: Vec<Packed>| rows.into_iter().flat_map(|p| p.rows).collect::<Vec<_>>();
                let (rows, frontier) = (all(part(Part::Rows)), all(part(Part::Frontier)));
                set.restore(&rows, &frontier);
            }
            Self::Bag(bag) => {
                for rows in part(Part::Rows) {
                    bag.restore(&rows.rows, &rows.weights)?;
                }
                bag.list_changes();
                for rows in part(Part::Frontier) {
                    bag.arrive(&rows.rows, &rows.iterations, &rows.weights)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets dead rows, where nothing is to be released.
    pub fn compact(&mut self) {
        match self {
            Self::Set(set) => set.compact(),
            Self::Monotone(_) => {}
            Self::Bag(bag) => bag.compact(),
        }
    }
}

#[inline]
fn release_row(set: &mut SetHistory, iteration: Iteration, id: u32, out: &mut Released) {
    match set.release(iteration, id) {
        RowChange::None => {}
        RowChange::Appears(at) => {
            out.emitted.push(set.row(id), at, 1);
            out.leaving.push(set.row(id), 0, 1);
        }
        RowChange::Disappears(at) => {
            out.emitted.push(set.row(id), at, -1);
            out.leaving.push(set.row(id), 0, -1);
        }
        RowChange::Moves { from, to } => {
            out.emitted.push(set.row(id), from, -1);
            out.emitted.push(set.row(id), to, 1);
        }
    }
}

/// Once round: every row is one iteration on. Rows that have gone round too often are dropped; the number of their derivations is
/// returned.
pub(super) fn once_round(rows: &mut Packed, words: usize) -> Weight {
    if rows.iterations.iter().all(|i| *i < ITERATION_MAX) {
        rows.iterations.iter_mut().for_each(|i| *i += 1);
        return 0;
    }
    let mut kept = Packed::default();
    let mut dropped = 0;
    for i in 0..rows.len() {
        if rows.iterations[i] < ITERATION_MAX {
            kept.push(&rows.rows[i * words..(i + 1) * words], rows.iterations[i] + 1, rows.weights[i]);
        } else {
            dropped += rows.weights[i];
        }
    }
    *rows = kept;
    dropped
}
