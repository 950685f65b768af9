//! What a store hands to a checkpoint: the changes since the last capture, or everything.
//!
//! A change is noted where it happens, in a word or two. A capture takes the notes and shares the rows that they speak of, so it takes
//! no longer the more has changed. What the notes add up to is found out by whoever writes it, on a thread of its own and a piece at a time:
//! [`Capture::each_piece`].

use refrain_types::{Iteration, Weight};

use crate::arrangement::WeightOverflow;
use crate::rows::{Rows, SharedRows};

mod by_id;
mod noted;
mod notes;

use noted::Noted;

/// Rows of a piece of what is captured: few enough to be in the cache until they are encoded, and in memory that has just been freed.
const PIECE_ROWS: usize = if cfg!(test) { 16 } else { 1 << 13 };
/// A sum of weights in pieces that are weights; nothing for 0.
fn in_weights(mut sum: i128, mut each: impl FnMut(Weight)) {
    while sum != 0 {
        let piece = Weight::try_from(sum).unwrap_or(if sum < 0 { -Weight::MAX } else { Weight::MAX });
        each(piece);
        sum -= i128::from(piece);
    }
}

/// A block of changes of a store, 32 at most, and what was noticed of them when they were applied.
#[derive(Debug)]
pub struct Block<'a> {
    ids: &'a [u32],
    iterations: &'a [Iteration],
    weights: &'a [Weight],
    /// Which of them failed.
    failed: u32,
    /// 0 where all have one iteration and one weight.
    differences: u64,
}

impl<'a> Block<'a> {
    /// Applies changes, each to a row that there is.
    #[inline]
    pub fn apply(
        (ids, iterations, weights): (&'a [u32], &'a [Iteration], &'a [Weight]),
        mut apply: impl FnMut(u32, Iteration, Weight) -> Result<(), WeightOverflow>,
    ) -> Self {
        let first = (iterations.first().copied().unwrap_or(0), weights.first().copied().unwrap_or(0));
        let (mut failed, mut differences) = (0, 0);
        for (i, ((id, iteration), weight)) in ids.iter().zip(iterations).zip(weights).enumerate() {
            differences |= u64::from(iteration ^ first.0) | (weight ^ first.1).cast_unsigned();
            if apply(*id, *iteration, *weight).is_err() {
                failed |= 1 << i;
            }
        }
        Self { ids, iterations, weights, failed, differences }
    }

    /// # Errors
    /// When one of the changes failed.
    pub fn result(&self) -> Result<(), WeightOverflow> {
        if self.failed == 0 { Ok(()) } else { Err(WeightOverflow) }
    }
}

/// The changes of a store since the last capture: which row, at which iteration, by which weight.
#[derive(Debug, Default)]
pub struct ChangeNotes {
    /// They began with the store, so they are all that there is.
    is_everything: bool,
    noted: Noted,
    /// What was noted before the ids changed, and the rows that it speaks of.
    before: Option<(SharedRows, Noted)>,
}

impl ChangeNotes {
    /// Of a store of these rows, none of which there are yet: the first capture takes them, rather than go through everything.
    #[must_use]
    pub fn of_everything(rows: &Rows) -> Self {
        Self { is_everything: true, ..Self::from_now_on(rows) }
    }

    /// Of a store of these rows whose changes were not noted: each of its rows is, by `each_row`. So what is written is found out elsewhere,
    /// as of other notes.
    pub fn of_all(rows: &Rows, each_row: impl FnOnce(&mut Self)) -> Self {
        let mut all = Self::of_everything(rows);
        each_row(&mut all);
        all
    }

    /// Of a store of these rows.
    #[must_use]
    pub fn from_now_on(rows: &Rows) -> Self {
        Self { noted: Noted::within(rows.memory()), ..Self::default() }
    }

    /// Takes the notes of a store of these rows for a capture, of everything where it is `full`, if there are such; others begin.
    pub fn take(of: &mut Option<Self>, rows: &Rows, full: bool) -> Option<Self> {
        of.replace(Self::from_now_on(rows)).filter(|notes| !full || notes.is_everything)
    }

    /// Notes a change.
    #[inline]
    pub fn push(&mut self, id: u32, iteration: Iteration, weight: Weight) {
        self.noted.push(id, iteration, weight);
    }

    /// Notes a block of changes, those left out that failed.
    #[inline]
    pub fn push_block(&mut self, block: &Block<'_>) {
        if let (Some(iteration), Some(weight), 0, 0) =
            (block.iterations.first(), block.weights.first(), block.failed, block.differences)
        {
            return self.noted.push_all(block.ids, *iteration, *weight);
        }
        for (i, ((id, iteration), weight)) in block.ids.iter().zip(block.iterations).zip(block.weights).enumerate() {
            if block.failed & 1 << i == 0 {
                self.push(*id, *iteration, *weight);
            }
        }
    }

    /// Whether ids may change now: they may once between two captures.
    #[must_use]
    pub fn may_renumber(&self) -> bool {
        self.before.is_none()
    }

    /// The ids have changed. `rows` are those that the changes so far speak of.
    ///
    /// # Panics
    /// When they have changed before, since the last capture.
    pub fn renumbered(mut self, rows: SharedRows) -> Self {
        assert!(self.may_renumber(), "ids change once between two captures");
        let noted = self.noted.take();
        self.before = (!noted.is_empty()).then_some((rows, noted));
        self
    }

    /// What is captured of a store of these rows.
    #[must_use]
    pub fn into_capture(self, rows: SharedRows, iterations: Iterations) -> Capture {
        Capture::later(self.is_everything, move |pieces| {
            for (rows, noted) in self.before.into_iter().chain([(rows, self.noted)]) {
                noted.add_up(|id, iteration, weight| match (iterations, rows.get(id)) {
                    (Iterations::None, row) => pieces.push(row, None, weight),
                    (Iterations::Noted, row) => pieces.push(row, Some(iteration), weight),
                    (Iterations::LastWord, [row @ .., iteration]) => pieces.push(row, Some(*iteration as Iteration), weight),
                    (Iterations::LastWord, []) => unreachable!("a row has an iteration"),
                });
            }
        })
    }
}

/// Where the iterations of a store's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iterations {
    /// It has none.
    None,
    /// With each change.
    Noted,
    /// In the last word of each row.
    LastWord,
}

/// Packed rows with weights, and iterations where the store has them (then one per row).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Packed rows, one after the other.
    pub rows: Vec<u64>,
    /// One per row.
    pub weights: Vec<Weight>,
    /// One per row, or empty.
    pub iterations: Vec<Iteration>,
}

impl Captured {
    /// Packed rows, each with its iteration and its weight.
    pub(crate) fn of<'a>(changes: impl Iterator<Item = (&'a [u64], Iteration, Weight)>) -> Self {
        let mut captured = Self::default();
        changes.for_each(|(row, iteration, weight)| captured.push(row, Some(iteration), weight));
        captured
    }

    /// No rows, with room for as many as there are here.
    fn as_large(&self) -> Self {
        Self {
            rows: Vec::with_capacity(self.rows.len()),
            weights: Vec::with_capacity(self.weights.len()),
            iterations: Vec::with_capacity(self.iterations.len()),
        }
    }

    pub(crate) fn push(&mut self, row: &[u64], iteration: Option<Iteration>, weight: Weight) {
        self.rows.extend_from_slice(row);
        self.iterations.extend(iteration);
        self.weights.push(weight);
    }
}

/// Where a capture says what its rows are, so that they are in memory a few at a time.
pub struct Pieces<'a> {
    piece: Captured,
    each: &'a mut dyn FnMut(Captured),
}

impl Pieces<'_> {
    /// One more row.
    #[inline]
    pub fn push(&mut self, row: &[u64], iteration: Option<Iteration>, weight: Weight) {
        self.piece.push(row, iteration, weight);
        if self.piece.weights.len() == PIECE_ROWS {
            self.end_piece();
        }
    }

    /// More rows.
    pub fn append(&mut self, rows: Captured) {
        self.end_piece();
        (self.each)(rows);
    }

    fn end_piece(&mut self) {
        if !self.piece.weights.is_empty() {
            let another = self.piece.as_large();
            (self.each)(std::mem::replace(&mut self.piece, another));
        }
    }
}

/// What a store hands over: it need not be known yet which rows it is.
pub struct Capture {
    /// Everything there is, rather than changes to add to what was captured before.
    pub full: bool,
    rows: Box<dyn FnOnce(&mut Pieces<'_>) + Send>,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("full", &self.full).finish_non_exhaustive()
    }
}

impl Capture {
    /// Rows that are known.
    #[must_use]
    pub fn now(full: bool, rows: Captured) -> Self {
        Self::later(full, move |pieces| pieces.append(rows))
    }

    /// Rows that are found out later, on another thread.
    #[must_use]
    pub fn later(full: bool, rows: impl FnOnce(&mut Pieces<'_>) + Send + 'static) -> Self {
        Self { full, rows: Box::new(rows) }
    }

    /// All of some rows, as they are now: `each_row` is to say the id of each, its iteration and its weight.
    #[must_use]
    pub fn of_rows(rows: &Rows, each_row: impl FnOnce(&mut dyn FnMut(u32, Iteration, Weight))) -> Self {
        let note_all = |all: &mut ChangeNotes| each_row(&mut |id, iteration, weight| all.push(id, iteration, weight));
        ChangeNotes::of_all(rows, note_all).into_capture(rows.share(), Iterations::Noted)
    }

    /// What several of them add up to.
    #[must_use]
    pub fn sum(full: bool, captures: Vec<Self>) -> Self {
        Self::later(full, move |pieces| captures.into_iter().for_each(|capture| (capture.rows)(pieces)))
    }

    /// Calls `each` with the rows, some at a time: they add up to what was captured. It takes as long as there are many.
    pub fn each_piece(self, each: &mut dyn FnMut(Captured)) {
        let mut pieces = Pieces { piece: Captured::default(), each };
        (self.rows)(&mut pieces);
        pieces.end_piece();
    }

    /// All of the rows.
    #[cfg(test)]
    pub(crate) fn into_rows(self) -> Captured {
        let mut all = Captured::default();
        self.each_piece(&mut |piece| {
            all.rows.extend(piece.rows);
            all.weights.extend(piece.weights);
            all.iterations.extend(piece.iterations);
        });
        all
    }
}

#[cfg(test)]
mod tests;
