//! What a store hands to a checkpoint: the changes since the last capture, or everything.

use refrain_types::{Iteration, Weight};

/// What rows were at the last capture, by id, for those that have changed since. Rows that have come since are those from an id on, and need
/// no list, so a load or a growing recursion costs nothing here. It grows with the rows that change, not with how often they do.
#[derive(Debug, Default)]
pub struct ChangeList {
    /// Rows from this id on were not there.
    new: u32,
    /// A bit for each older row: it is listed. Empty while none is.
    is_listed: Vec<u64>,
    /// The listed rows, and where in `before` each one's begin.
    listed: Vec<(u32, usize)>,
    /// Iterations and weights as they were.
    before: Vec<(Iteration, Weight)>,
}

impl ChangeList {
    /// Nothing has changed since a capture of so many rows.
    #[must_use]
    pub fn since(rows: usize) -> Self {
        Self { new: u32::try_from(rows).expect("ids fit 32 bits"), ..Self::default() }
    }

    /// Whether a row that is about to change has to be listed as it is.
    #[inline]
    #[must_use]
    pub fn is_due(&self, id: u32) -> bool {
        id < self.new && self.is_listed.get(id as usize / 64).is_none_or(|bits| bits & 1 << (id % 64) == 0)
    }

    /// Lists a row that is due as it is before its change.
    pub fn list(&mut self, id: u32, before: impl IntoIterator<Item = (Iteration, Weight)>) {
        if self.is_listed.is_empty() {
            self.is_listed.resize(self.new as usize / 64 + 1, 0);
        }
        self.is_listed[id as usize / 64] |= 1 << (id % 64);
        self.listed.push((id, self.before.len()));
        self.before.extend(before);
    }

    /// Whether nothing has changed. `rows`: how many there are now.
    #[must_use]
    pub fn is_empty(&self, rows: usize) -> bool {
        self.listed.is_empty() && rows == self.new as usize
    }

    /// What differs, by row and iteration, from the `rows` that there are now, given what each one is.
    pub fn into_changes<I>(self, rows: usize, now: impl Fn(u32) -> I) -> Vec<(u32, Iteration, Weight)>
    where
        I: IntoIterator<Item = (Iteration, Weight)>,
    {
        let mut changes = Vec::new();
        let mut both = Vec::new();
        let ends = self.listed.iter().skip(1).map(|(_, start)| *start).chain([self.before.len()]);
        for ((id, start), end) in self.listed.iter().zip(ends) {
            both.clear();
            both.extend(now(*id));
            both.extend(self.before[*start..end].iter().map(|(iteration, weight)| (*iteration, -weight)));
            both.sort_unstable_by_key(|(iteration, _)| *iteration);
            for equal in both.chunk_by(|a, b| a.0 == b.0) {
                let weight = equal.iter().map(|(_, weight)| weight).sum::<Weight>();
                changes.extend((weight != 0).then_some((*id, equal[0].0, weight)));
            }
        }
        let rows = u32::try_from(rows).expect("ids fit 32 bits");
        changes.extend((self.new..rows).flat_map(|id| now(id).into_iter().map(move |(iteration, weight)| (id, iteration, weight))));
        changes
    }
}

/// Packed rows with weights, and iterations where the store has them (then one per row).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Everything there is, rather than changes to add to what was captured before.
    pub full: bool,
    /// Packed rows, one after the other.
    pub rows: Vec<u64>,
    /// One per row.
    pub weights: Vec<Weight>,
    /// One per row, or empty.
    pub iterations: Vec<Iteration>,
}

impl Captured {
    /// Packed rows, each with its iteration and its weight.
    pub(crate) fn of<'a>(full: bool, changes: impl Iterator<Item = (&'a [u64], Iteration, Weight)>) -> Self {
        let mut captured = Self { full, ..Self::default() };
        for (row, iteration, weight) in changes {
            captured.rows.extend_from_slice(row);
            captured.iterations.push(iteration);
            captured.weights.push(weight);
        }
        captured
    }
}
