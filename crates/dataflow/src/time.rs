//! The one timestamp of every dataflow: a tick, then one iteration for each loop depth, ordered lexicographically.
//!
//! A stamp says when a message may still cause work. It is a lower bound of the iterations of the rows in it, which travel in the
//! delta. The order is total, so a frontier is a single time.

use serde::{Deserialize, Serialize};
use timely::order::{PartialOrder, TotalOrder};
use timely::progress::PathSummary;
use timely::progress::Timestamp;
use timely::progress::timestamp::Refines;

use refrain_types::Tick;

/// How deep loops may nest.
pub const LOOP_DEPTH_MAX: usize = 3;

const COORDINATES: usize = LOOP_DEPTH_MAX + 1;

/// `(tick, iteration of depth 1, iteration of depth 2, …)`. Outside a loop its coordinate is 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Time([u64; COORDINATES]);

impl Time {
    /// The start of a tick.
    #[must_use]
    pub fn of_tick(tick: Tick) -> Self {
        let mut time = Self::default();
        time.0[0] = tick.0;
        time
    }

    /// The tick.
    #[must_use]
    pub fn tick(&self) -> Tick {
        Tick(self.0[0])
    }

    /// The iteration of the loop at `depth`, which counts from 1.
    #[must_use]
    pub fn iteration(&self, depth: usize) -> u64 {
        self.0[depth]
    }

    /// This time with the iteration of the loop at `depth` replaced and those of deeper loops at 0.
    #[must_use]
    pub fn at_iteration(mut self, depth: usize, iteration: u64) -> Self {
        self.0[depth] = iteration;
        self.0[depth + 1..].fill(0);
        self
    }
}

impl PartialOrder for Time {
    #[inline]
    fn less_equal(&self, other: &Self) -> bool {
        self <= other
    }

    #[inline]
    fn less_than(&self, other: &Self) -> bool {
        self < other
    }
}

impl TotalOrder for Time {}

impl Timestamp for Time {
    type Summary = Path;

    fn minimum() -> Self {
        Self::default()
    }
}

impl Refines<()> for Time {
    fn to_inner((): ()) -> Self {
        Self::default()
    }

    fn to_outer(self) {}

    fn summarize(_: Path) {}
}

/// What a path through the dataflow does to a time: it keeps the first `keep` coordinates, sets the others to 0, and then adds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Path {
    keep: usize,
    add: [u64; COORDINATES],
}

impl Default for Path {
    fn default() -> Self {
        Self { keep: COORDINATES, add: [0; COORDINATES] }
    }
}

impl Path {
    /// The feedback edge of the loop at `depth`: one iteration on.
    #[must_use]
    pub fn feedback(depth: usize) -> Self {
        let mut path = Self { keep: depth + 1, ..Self::default() };
        path.add[depth] = 1;
        path
    }

    /// Out of the loop at `depth`: its iteration is forgotten.
    #[must_use]
    pub fn leave(depth: usize) -> Self {
        Self { keep: depth, ..Self::default() }
    }
}

impl PathSummary<Time> for Path {
    #[inline]
    fn results_in(&self, time: &Time) -> Option<Time> {
        let mut out = self.add;
        for (out, coordinate) in out.iter_mut().zip(time.0).take(self.keep) {
            *out = out.checked_add(coordinate)?;
        }
        Some(Time(out))
    }

    fn followed_by(&self, other: &Self) -> Option<Self> {
        let mut add = other.add;
        for (add, before) in add.iter_mut().zip(self.add).take(other.keep) {
            *add = add.checked_add(before)?;
        }
        Some(Self { keep: self.keep.min(other.keep), add })
    }
}

impl PartialOrder for Path {
    /// Whether this path never arrives later than the other, from whatever time.
    fn less_equal(&self, other: &Self) -> bool {
        let shared = self.keep.min(other.keep);
        match self.add[..shared].cmp(&other.add[..shared]) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => {
                // Past the shared coordinates one of the two knows its result; the other adds to what it is given, which is 0 or more.
                if self.keep <= other.keep { self.add[shared..] <= other.add[shared..] } else { self == other }
            }
        }
    }
}

#[cfg(test)]
mod tests;
