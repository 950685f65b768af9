//! What a store hands to a checkpoint: the changes since the last capture, or everything.

use refrain_types::{Iteration, Weight};

/// Changes of rows, by id. It grows with what changed, not with what is there.
#[derive(Debug, Default)]
pub struct ChangeList {
    changes: Vec<(u32, Iteration, Weight)>,
    /// Length at which the list is next consolidated, so that a row that flips for ever does not grow it for ever.
    consolidate_at: usize,
}

impl ChangeList {
    /// Notes a change.
    #[inline]
    pub fn push(&mut self, id: u32, iteration: Iteration, weight: Weight) {
        self.changes.push((id, iteration, weight));
        if self.changes.len() > self.consolidate_at.max(1 << 16) {
            self.consolidate();
            self.consolidate_at = self.changes.len() * 2;
        }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn consolidate(&mut self) {
        self.changes.sort_unstable_by_key(|(id, iteration, _)| (*id, *iteration));
        let mut kept = 0;
        let mut i = 0;
        while i < self.changes.len() {
            let (id, iteration, mut weight) = self.changes[i];
            i += 1;
            while i < self.changes.len() && self.changes[i].0 == id && self.changes[i].1 == iteration {
                weight += self.changes[i].2;
                i += 1;
            }
            if weight != 0 {
                self.changes[kept] = (id, iteration, weight);
                kept += 1;
            }
        }
        self.changes.truncate(kept);
    }

    /// The changes, one for each row and iteration that differs.
    #[must_use]
    pub fn into_consolidated(mut self) -> Vec<(u32, Iteration, Weight)> {
        self.consolidate();
        self.changes
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
