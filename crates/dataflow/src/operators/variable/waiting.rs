//! Rows that wait for their iteration, summed up by row and iteration.

use std::collections::BTreeMap;

use refrain_state::{Arrangement, Captured, WeightOverflow};
use refrain_types::{Iteration, Weight};

use crate::operators::stage::Packed;

/// See the module.
pub(super) struct Waiting {
    words: usize,
    iterations: BTreeMap<Iteration, Arrangement>,
    draining: Option<Draining>,
}

/// The iteration that is being released. It takes no rows in any more.
struct Draining {
    iteration: Iteration,
    rows: Arrangement,
    /// The first id that was not taken.
    next: u32,
    /// How many live rows were not taken.
    left: usize,
}

impl Waiting {
    pub fn new(words: usize) -> Self {
        Self { words, iterations: BTreeMap::new(), draining: None }
    }

    /// How many rows wait, with weights other than 0.
    pub fn len(&self) -> usize {
        self.iterations.values().map(Arrangement::live).sum::<usize>() + self.draining.as_ref().map_or(0, |d| d.left)
    }

    pub fn add(&mut self, row: &[u64], iteration: Iteration, weight: Weight) -> Result<(), WeightOverflow> {
        let rows = self.iterations.entry(iteration).or_insert_with(|| Arrangement::new(self.words, true, None));
        rows.add(row, weight).map(|_| ())
    }

    /// The lowest iteration of a row that waits.
    pub fn lowest(&mut self) -> Option<Iteration> {
        loop {
            let first = self.iterations.first_key_value().map(|(iteration, _)| *iteration);
            match &self.draining {
                Some(draining) if first.is_none_or(|first| draining.iteration <= first) => return Some(draining.iteration),
                // A lower one came since: what is left waits on.
                Some(_) => self.put_back(),
                None => {}
            }
            let (iteration, rows) = self.iterations.pop_first()?;
            if rows.live() > 0 {
                self.draining = Some(Draining { iteration, next: 0, left: rows.live(), rows });
            }
        }
    }

    fn put_back(&mut self) {
        let Some(Draining { iteration, rows, next, .. }) = self.draining.take() else { return };
        for (_, row, weight) in rows.iter().filter(|(id, ..)| *id >= next) {
            self.add(row, iteration, weight).expect("the weight was there before");
        }
    }

    /// Moves up to `limit` rows of the lowest iteration to `out`.
    pub fn take_lowest(&mut self, limit: usize, out: &mut Packed) {
        let Some(iteration) = self.lowest() else { return };
        let draining = self.draining.as_mut().expect("the lowest iteration is being released");
        while draining.left > 0 && out.len() < limit {
            let weight = draining.rows.weight(draining.next);
            if weight != 0 {
                out.push(draining.rows.row(draining.next), iteration, weight);
                draining.left -= 1;
            }
            draining.next += 1;
        }
        if draining.left == 0 {
            self.draining = None;
        }
    }

    /// All that waits.
    pub fn captured(&mut self) -> Captured {
        self.put_back();
        let mut captured = Captured { full: true, ..Captured::default() };
        for (iteration, rows) in &self.iterations {
            for (_, row, weight) in rows.iter() {
                captured.rows.extend_from_slice(row);
                captured.weights.push(weight);
                captured.iterations.push(*iteration);
            }
        }
        captured
    }
}
