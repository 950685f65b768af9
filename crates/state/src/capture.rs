//! What a store hands to a checkpoint: the changes since the last capture, or everything.
//!
//! A change is noted where it happens, in one word as a rule. A capture takes the notes and shares the rows that they speak of, so it takes
//! no longer the more has changed. What the notes add up to is found out by whoever writes it, on a thread of its own:
//! [`Capture::into_rows`].

use refrain_types::{Iteration, Weight};

use crate::rows::SharedRows;

mod by_id;

/// Notes in one list at most.
const LIST_LEN: usize = if cfg!(test) { 16 } else { 1 << 13 };
/// From so many notes on, and so many for each row, they are added up, when they have doubled since: a row that flips for ever does not grow
/// them for ever. It is seldom worth while before the next capture, whose rows are added up elsewhere, so they may take about as much
/// memory as the store itself.
const ADDED_UP_MIN: usize = if cfg!(test) { 64 } else { 1 << 23 };
const ADDED_UP_MIN_PER_ROW: usize = 8;

/// What was noted of rows that are known by their ids.
#[derive(Debug, Default)]
struct Notes {
    /// Notes of one word: the id, the iteration (24 bits), the weight (8 bits, signed).
    last: Vec<u64>,
    /// Lists that are full.
    full: Vec<Vec<u64>>,
    /// Notes that do not fit a word.
    wide: Vec<(u32, Iteration, Weight)>,
}

impl Notes {
    fn len(&self) -> usize {
        self.last.len() + self.full.iter().map(Vec::len).sum::<usize>() + self.wide.len()
    }

    /// Returns whether there are as many more as fill a list.
    #[inline]
    fn push(&mut self, id: u32, iteration: Iteration, weight: Weight) -> bool {
        match i8::try_from(weight) {
            Ok(small) if iteration < 1 << 24 => {
                self.last.push(u64::from(id) << 32 | u64::from(iteration) << 8 | u64::from(small.cast_unsigned()));
                self.last.len() >= LIST_LEN
            }
            _ => {
                self.wide.push((id, iteration, weight));
                self.wide.len().is_multiple_of(LIST_LEN)
            }
        }
    }

    /// Calls `each` with what the notes of each row and iteration add up to, if it is anything, by id.
    fn add_up(self, mut each: impl FnMut(u32, Iteration, Weight)) {
        let id_and_iteration = |word: &u64| (by_id::id(*word), (word >> 8) as Iteration & 0xff_ffff);
        let weight = |word: &u64| (*word as u8).cast_signed();
        if self.wide.is_empty() {
            by_id::sorted(self.full.iter().chain([&self.last]).map(Vec::as_slice), |words| {
                for same in words.chunk_by(|a, b| a >> 8 == b >> 8) {
                    let (id, iteration) = id_and_iteration(&same[0]);
                    let sum = same.iter().map(|word| Weight::from(weight(word))).sum::<Weight>();
                    if sum != 0 {
                        each(id, iteration, sum);
                    }
                }
            });
            return;
        }
        let words = self.full.iter().flatten().chain(&self.last);
        let narrow = words.map(|word| (id_and_iteration(word), i128::from(weight(word))));
        let wide = self.wide.iter().map(|(id, iteration, weight)| ((*id, *iteration), i128::from(*weight)));
        let mut notes = narrow.chain(wide).collect::<Vec<_>>();
        notes.sort_unstable();
        for same in notes.chunk_by(|a, b| a.0 == b.0) {
            let (id, iteration) = same[0].0;
            pieces(same.iter().map(|(_, weight)| weight).sum(), |weight| each(id, iteration, weight));
        }
    }
}

/// A sum of weights in pieces that are weights; nothing for 0.
fn pieces(mut sum: i128, mut each: impl FnMut(Weight)) {
    while sum != 0 {
        let piece = Weight::try_from(sum).unwrap_or(if sum < 0 { -Weight::MAX } else { Weight::MAX });
        each(piece);
        sum -= i128::from(piece);
    }
}

/// The changes of a store since the last capture: which row, at which iteration, by which weight.
#[derive(Debug, Default)]
pub struct ChangeNotes {
    /// They began with the store, so they are all that there is.
    is_everything: bool,
    notes: Notes,
    /// Length at which the notes are next added up.
    add_up_at: usize,
    /// Above the ids that were noted.
    ids: usize,
    /// Notes from before the ids changed, and the rows that they speak of.
    before: Option<(SharedRows, Notes)>,
}

impl ChangeNotes {
    /// Of a store that is empty: the first capture takes them, rather than go through everything.
    #[must_use]
    pub fn of_everything() -> Self {
        Self { is_everything: true, ..Self::default() }
    }

    /// Takes the notes of a store for a capture, of everything where it is `full`, if there are such; others begin.
    pub fn take(of: &mut Option<Self>, full: bool) -> Option<Self> {
        of.replace(Self::default()).filter(|notes| !full || notes.is_everything)
    }

    /// Notes a change.
    #[inline]
    pub fn push(&mut self, id: u32, iteration: Iteration, weight: Weight) {
        if self.notes.push(id, iteration, weight) {
            self.turn_over();
        }
    }

    #[cold]
    fn turn_over(&mut self) {
        if self.notes.last.len() >= LIST_LEN {
            let list = std::mem::replace(&mut self.notes.last, Vec::with_capacity(LIST_LEN));
            self.ids = list.iter().map(|word| (word >> 32) as usize + 1).fold(self.ids, usize::max);
            self.notes.full.push(list);
        }
        if self.notes.len() >= self.add_up_at.max(ADDED_UP_MIN).max(ADDED_UP_MIN_PER_ROW * self.ids) {
            let mut sums = Notes::default();
            std::mem::take(&mut self.notes).add_up(|id, iteration, weight| {
                sums.push(id, iteration, weight);
            });
            self.notes = Notes { full: vec![sums.last], wide: sums.wide, last: Vec::new() };
            self.add_up_at = self.notes.len() * 2;
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
        let notes = std::mem::take(&mut self.notes);
        Self { before: (notes.len() > 0).then_some((rows, notes)), is_everything: self.is_everything, ..Self::default() }
    }

    /// What is captured of a store of these rows.
    #[must_use]
    pub fn into_capture(self, rows: SharedRows, iterations: Iterations) -> Capture {
        Capture::later(self.is_everything, move || {
            let mut captured = Captured::default();
            let is_renumbered = self.before.is_some();
            for (rows, notes) in self.before.into_iter().chain([(rows, self.notes)]) {
                notes.add_up(|id, iteration, weight| match (iterations, rows.get(id)) {
                    (Iterations::None, row) => captured.push(row, None, weight),
                    (Iterations::Noted, row) => captured.push(row, Some(iteration), weight),
                    (Iterations::LastWord, [row @ .., iteration]) => captured.push(row, Some(*iteration as Iteration), weight),
                    (Iterations::LastWord, []) => unreachable!("a row has an iteration"),
                });
            }
            if is_renumbered { captured.added_up() } else { captured }
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

    pub(crate) fn push(&mut self, row: &[u64], iteration: Option<Iteration>, weight: Weight) {
        self.rows.extend_from_slice(row);
        self.iterations.extend(iteration);
        self.weights.push(weight);
    }

    /// Each row once at an iteration, with the sum of its weights, and none with the weight 0.
    #[must_use]
    pub fn added_up(self) -> Self {
        if self.weights.is_empty() {
            return self;
        }
        let words = self.rows.len() / self.weights.len();
        let key = |i: &usize| (&self.rows[i * words..(i + 1) * words], self.iterations.get(*i));
        let mut order = (0..self.weights.len()).collect::<Vec<_>>();
        order.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        let mut sums = Self::default();
        for same in order.chunk_by(|a, b| key(a) == key(b)) {
            let (row, iteration) = key(&same[0]);
            pieces(same.iter().map(|i| i128::from(self.weights[*i])).sum(), |weight| sums.push(row, iteration.copied(), weight));
        }
        sums
    }
}

/// What a store hands over: it need not be known yet which rows it is.
pub struct Capture {
    /// Everything there is, rather than changes to add to what was captured before.
    pub full: bool,
    rows: Box<dyn FnOnce() -> Captured + Send>,
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
        Self::later(full, move || rows)
    }

    /// Rows that are found out later, on another thread.
    #[must_use]
    pub fn later(full: bool, rows: impl FnOnce() -> Captured + Send + 'static) -> Self {
        Self { full, rows: Box::new(rows) }
    }

    /// The rows. It takes as long as there are many.
    #[must_use]
    pub fn into_rows(self) -> Captured {
        (self.rows)()
    }
}

#[cfg(test)]
mod tests;
