//! The rows of a loop, whatever its kind: one face over the five stores.

use std::sync::Arc;

use arrow::datatypes::Schema;
use refrain_plan::{KeyWinner, LoopKey, LoopKind};
use refrain_state::set_history::ITERATION_MAX;
use refrain_state::{
    BagCalendar, Dictionary, KeyOf, KeyedChange, KeyedHistory, MonotoneKeyed, MonotoneSet, OrderBy, RowChange, RowLayout, RowOrder,
    SetHistory, WeightOverflow, Winner,
};
use refrain_types::{Iteration, Weight};

use crate::operators::Context;
use crate::operators::stage::Packed;
use crate::part::{Part, Size};

#[expect(clippy::large_enum_variant, reason = "a loop has one of them")]
pub(super) enum LoopRows {
    Set(SetHistory),
    Monotone(MonotoneSet),
    Bag(BagCalendar),
    Keyed(Box<KeyedHistory>),
    MonotoneKeyed(Box<MonotoneKeyed>),
}

/// What was released: rows for the body, with the iteration at which they are emitted, and rows that leave the loop.
#[derive(Default)]
pub(super) struct Released {
    pub emitted: Packed,
    pub leaving: Packed,
    /// Whether rows that a better one replaces are emitted, too, with the weight −1: what failed of them is to be taken back.
    pub replaced: bool,
    /// Rows of the last iteration that there is, with the iteration at which they are emitted: they do not go on.
    pub over: Packed,
}

impl Released {
    /// Nothing yet.
    pub fn new(replaced: bool) -> Self {
        Self { replaced, ..Self::default() }
    }
}

impl LoopRows {
    /// Rows of the loop variable; `key` is that of the fused join.
    pub fn new(kind: &LoopKind, variable: &Schema, key: Option<KeyOf>, context: &Context) -> Self {
        let (memory, dictionary) = (context.memory(), context.dictionary());
        let words = RowLayout::of_schema(variable).words();
        match kind {
            LoopKind::Set => Self::Set(SetHistory::new(words, key).within(memory)),
            LoopKind::MonotoneSet => Self::Monotone(MonotoneSet::new(words, key).within(memory)),
            LoopKind::Bag => Self::Bag(BagCalendar::new(words, key).within(memory)),
            LoopKind::Keyed(of) => {
                let winner = if of.winner == KeyWinner::Latest { Winner::Latest } else { Winner::First };
                let (of, order) = key_and_order(of, variable, dictionary);
                Self::Keyed(Box::new(KeyedHistory::new(words, of, order, winner, key)))
            }
            LoopKind::MonotoneKeyed(of) => {
                let (of, order) = key_and_order(of, variable, dictionary);
                Self::MonotoneKeyed(Box::new(MonotoneKeyed::new(words, of, order, key)))
            }
        }
    }

    /// Whether iterations have to be released in order.
    pub fn keeps_order(&self) -> bool {
        !matches!(self, Self::Monotone(_) | Self::MonotoneKeyed(_))
    }

    /// Whether rows replace each other in any order, best of all the best first.
    pub fn is_lattice(&self) -> bool {
        matches!(self, Self::MonotoneKeyed(_))
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
            Self::Keyed(keyed) => {
                keyed.arrive(&rows.rows, &rows.iterations, &rows.weights);
                Ok(())
            }
            Self::MonotoneKeyed(keyed) => {
                keyed.arrive(&rows.rows);
                Ok(())
            }
        }
    }

    /// The part that most of it is captured as.
    pub fn part(&self) -> Part {
        match self {
            Self::Set(_) | Self::Keyed(_) => Part::Derivations,
            Self::Monotone(_) | Self::Bag(_) | Self::MonotoneKeyed(_) => Part::Rows,
        }
    }

    /// Rows, or keys, with all that is known of them.
    pub fn size(&self) -> Size {
        let (rows, bytes) = match self {
            Self::Set(set) => (set.live(), set.size_bytes()),
            Self::Monotone(set) => (set.len(), set.size_bytes()),
            Self::Bag(bag) => (bag.live(), bag.size_bytes()),
            Self::Keyed(keyed) => (keyed.keys(), keyed.size_bytes()),
            Self::MonotoneKeyed(keyed) => (keyed.keys(), keyed.size_bytes()),
        };
        Size { rows, bytes }
    }

    /// Rows that are applied and still to be released.
    pub fn frontier_rows(&self) -> usize {
        match self {
            Self::Set(set) => set.calendar().len(),
            Self::Monotone(set) => set.unreleased(),
            Self::Bag(bag) => bag.pending(),
            Self::Keyed(keyed) => keyed.calendar().len(),
            Self::MonotoneKeyed(keyed) => keyed.unreleased(),
        }
    }

    /// The lowest iteration at which something is to be released.
    pub fn lowest(&self) -> Option<Iteration> {
        match self {
            Self::Set(set) => set.calendar().lowest(),
            Self::Monotone(set) => (set.unreleased() > 0).then_some(0),
            Self::Bag(bag) => bag.lowest(),
            Self::Keyed(keyed) => keyed.calendar().lowest(),
            Self::MonotoneKeyed(keyed) => (keyed.unreleased() > 0).then_some(0),
        }
    }

    /// Releases up to `limit` rows of the lowest iteration; those of the iteration `last` do not go on. `emitted` and `over` are
    /// replaced, `leaving` is added to. `None` means that nothing is left; the flag is raised when a weight overflowed.
    pub fn release(
        &mut self,
        (limit, last): (usize, Iteration),
        ids: &mut Vec<u32>,
        out: &mut Released,
        overflow: &mut bool,
    ) -> Option<Iteration> {
        out.emitted.clear();
        out.over.clear();
        match self {
            Self::Set(set) => {
                let iteration = set.take_lowest(limit, ids)?;
                for id in ids.iter() {
                    release_row(set, (iteration, last), *id, out);
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
                    match bag.release(*id) {
                        Ok(0) => {}
                        Ok(weight) => {
                            let to = if iteration < last { &mut out.emitted } else { &mut out.over };
                            to.push(bag.row(*id), iteration, weight);
                            out.leaving.push(bag.row(*id), 0, weight);
                        }
                        Err(WeightOverflow) => *overflow = true,
                    }
                }
                Some(iteration)
            }
            Self::Keyed(keyed) => {
                let iteration = keyed.take_lowest(limit, ids)?;
                for id in ids.iter() {
                    keyed.release(iteration, *id, &mut |change| match change {
                        KeyedChange::Emitted(row, at, weight) if at < last => out.emitted.push(row, at, weight),
                        KeyedChange::Emitted(row, at, weight) => out.over.push(row, at, weight),
                        KeyedChange::Left(row, weight) => out.leaving.push(row, 0, weight),
                    });
                }
                Some(iteration)
            }
            Self::MonotoneKeyed(keyed) => {
                keyed.release(limit, |row, before| {
                    out.emitted.push(row, 0, 1);
                    out.leaving.push(row, 0, 1);
                    if let Some(before) = before {
                        out.leaving.push(before, 0, -1);
                        if out.replaced {
                            out.emitted.push(before, 0, -1);
                        }
                    }
                });
                (!out.emitted.is_empty()).then_some(0)
            }
        }
    }

    /// Calls `found` with the rows of `key` that the body has seen, their iterations and weights. It does not see those of the
    /// iteration `last`.
    pub fn matches(&mut self, key: &[u64], last: Iteration, mut found: impl FnMut(&[u64], Iteration, Weight)) {
        let mut seen = |row: &[u64], iteration, weight| {
            if iteration < last {
                found(row, iteration, weight);
            }
        };
        match self {
            Self::Set(set) => set.matches(key, |row, iteration| seen(row, iteration, 1)),
            Self::Monotone(set) => set.matches(key, |row| seen(row, 0, 1)),
            Self::Bag(bag) => bag.matches(key, seen),
            Self::Keyed(keyed) => keyed.matches(key, |row, iteration| seen(row, iteration, 1)),
            Self::MonotoneKeyed(keyed) => keyed.matches(key, |row| seen(row, 0, 1)),
        }
    }

    /// The parts of its state.
    pub fn capture(&mut self, full: bool) -> [(Part, refrain_state::Capture); 2] {
        match self {
            Self::Set(set) => {
                let (derivations, emissions) = set.capture(full);
                [(Part::Derivations, derivations), (Part::Emissions, emissions)]
            }
            Self::Keyed(keyed) => {
                let (derivations, emissions) = keyed.capture(full);
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
            Self::MonotoneKeyed(keyed) => {
                let (rows, frontier) = keyed.capture(full);
                [(Part::Rows, rows), (Part::Frontier, frontier)]
            }
        }
    }

    /// From now on, while there are no rows yet, changes are noted where that makes the first capture short.
    pub fn note_everything(&mut self) {
        match self {
            Self::Set(set) => set.note_everything(),
            Self::Bag(bag) => bag.note_everything(),
            // Of a monotone set rows are shared anyway.
            Self::Monotone(_) | Self::Keyed(_) | Self::MonotoneKeyed(_) => {}
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
                set.restored()?;
            }
            Self::Keyed(keyed) => {
                for (is_derivations, name) in [(true, Part::Derivations), (false, Part::Emissions)] {
                    for rows in part(name) {
                        keyed.restore(is_derivations, &rows.rows, &rows.iterations, &rows.weights);
                    }
                }
                keyed.restored()?;
            }
            Self::Monotone(set) => {
                let all = |rows: Vec<Packed>| rows.into_iter().flat_map(|p| p.rows).collect::<Vec<_>>();
                let (rows, frontier) = (all(part(Part::Rows)), all(part(Part::Frontier)));
                set.restore(&rows, &frontier);
            }
            Self::Bag(bag) => {
                for rows in part(Part::Rows) {
                    bag.restore(&rows.rows, &rows.iterations, &rows.weights)?;
                }
                bag.list_changes();
                for rows in part(Part::Frontier) {
                    bag.arrive(&rows.rows, &rows.iterations, &rows.weights)?;
                }
            }
            Self::MonotoneKeyed(keyed) => {
                let (released, unreleased) = (part(Part::Rows), part(Part::Frontier));
                let words = keyed.words();
                let released = released.iter().flat_map(|rows| rows.rows.chunks_exact(words).zip(rows.weights.iter().copied()));
                let unreleased = unreleased.into_iter().flat_map(|rows| rows.rows).collect::<Vec<_>>();
                keyed.restore(released, &unreleased);
            }
        }
        Ok(())
    }

    /// Forgets dead rows, where nothing is to be released.
    pub fn compact(&mut self) {
        match self {
            Self::Set(set) => set.compact(),
            Self::Monotone(_) | Self::MonotoneKeyed(_) => {}
            Self::Bag(bag) => bag.compact(),
            Self::Keyed(keyed) => keyed.compact(),
        }
    }
}

/// The key of a keyed loop, and which of its rows come first.
fn key_and_order(of: &LoopKey, variable: &Schema, dictionary: &Arc<Dictionary>) -> (KeyOf, RowOrder) {
    let layout = RowLayout::of_schema(variable);
    let types = of.columns.iter().map(|c| (variable.field(*c).data_type().clone(), variable.field(*c).is_nullable()));
    let key = KeyOf::new(&layout, &of.columns, &RowLayout::of_types(&types.collect::<Vec<_>>()));
    let descending = matches!(of.winner, KeyWinner::Greatest(_));
    let decides = of.winner.column().map(|column| OrderBy { descending, ..OrderBy::ascending(column) });
    let others = (0..variable.fields().len()).filter(|c| !of.columns.contains(c) && decides.is_none_or(|by| by.column != *c));
    let by = decides.into_iter().chain(others.map(OrderBy::ascending)).collect::<Vec<_>>();
    (key, RowOrder::new(variable, &by, dictionary))
}

#[inline]
fn release_row(set: &mut SetHistory, (iteration, last): (Iteration, Iteration), id: u32, out: &mut Released) {
    let change = set.release(iteration, id);
    let mut emit = |at: Iteration, weight| {
        let to = if at < last { &mut out.emitted } else { &mut out.over };
        to.push(set.row(id), at, weight);
    };
    match change {
        RowChange::None => {}
        RowChange::Appears(at) => {
            emit(at, 1);
            out.leaving.push(set.row(id), 0, 1);
        }
        RowChange::Disappears(at) => {
            emit(at, -1);
            out.leaving.push(set.row(id), 0, -1);
        }
        RowChange::Moves { from, to } => {
            emit(from, -1);
            emit(to, 1);
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
