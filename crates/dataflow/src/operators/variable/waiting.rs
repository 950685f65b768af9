//! Rows that wait for their iteration, summed up by row where they may cancel out.

use std::collections::BTreeMap;
use std::sync::Arc;

use refrain_state::{Arrangement, Capture, Entries, Memory, Rows, RowsById, WeightOverflow};
use refrain_types::{Iteration, Weight};

use crate::operators::stage::Packed;

/// See the module.
pub(super) struct Waiting {
    words: usize,
    /// Whether a row comes to an iteration at most once, until it is taken back.
    distinct: bool,
    memory: Arc<Memory>,
    iterations: BTreeMap<Iteration, Lap>,
    draining: Option<Draining>,
}

/// The rows of one iteration.
struct Lap {
    /// Rows that were not summed up.
    rows: Rows,
    weights: Vec<Weight>,
    /// Rows that were, once something was taken back.
    summed: Option<Arrangement>,
}

/// The iteration that is being released. It takes no rows in any more.
struct Draining {
    iteration: Iteration,
    lap: Lap,
    /// The first row that was not taken.
    next: usize,
    /// How many rows were not taken.
    left: usize,
}

impl Lap {
    fn new(words: usize, memory: &Arc<Memory>) -> Self {
        Self { rows: Rows::new(words).within(Some(memory)), weights: Vec::new(), summed: None }
    }

    fn add(&mut self, row: &[u64], weight: Weight, (distinct, memory): (bool, &Arc<Memory>)) -> Result<(), WeightOverflow> {
        if self.summed.is_none() && distinct && weight > 0 {
            self.rows.push(row);
            self.weights.push(weight);
            return Ok(());
        }
        let summed = self.summed.get_or_insert_with(|| {
            let mut summed = Arrangement::new(row.len(), Entries::OfRows, None).within(memory);
            let rows = self.rows.slices_from(0).flat_map(|slice| slice.chunks_exact(row.len()));
            for (row, weight) in rows.zip(&self.weights) {
                summed.add(row, *weight).expect("no row is there twice");
            }
            (self.rows, self.weights) = (self.rows.none_yet(), Vec::new());
            summed
        });
        summed.add(row, weight).map(|_| ())
    }

    /// All rows.
    fn capture(&self, iteration: Iteration) -> Capture {
        match &self.summed {
            None => {
                Capture::of_rows(&self.rows, |each| (0..).zip(&self.weights).for_each(|(id, weight)| each(id, iteration, *weight)))
            }
            Some(summed) => summed.capture_at(iteration),
        }
    }

    /// How many rows there are, with weights other than 0.
    fn len(&self) -> usize {
        self.summed.as_ref().map_or(self.weights.len(), Arrangement::live)
    }

    /// A row by its number, and its weight, which may be 0.
    fn row(&self, number: usize) -> (&[u64], Weight) {
        let id = u32::try_from(number).expect("ids fit 32 bits");
        match &self.summed {
            None => (self.rows.get(id), self.weights[number]),
            Some(summed) => (summed.row(id), summed.weight(id)),
        }
    }

    /// The rows from a number on, with weights other than 0.
    fn from(&self, next: usize) -> impl Iterator<Item = (&[u64], Weight)> {
        let end = self.summed.as_ref().map_or(self.weights.len(), Arrangement::len);
        (next..end).map(move |number| self.row(number)).filter(|(_, weight)| *weight != 0)
    }
}

impl Waiting {
    /// `distinct`: where nothing is taken back, no row comes to an iteration twice.
    pub fn new(words: usize, distinct: bool, memory: &Arc<Memory>) -> Self {
        Self { words, distinct, memory: Arc::clone(memory), iterations: BTreeMap::new(), draining: None }
    }

    /// How many rows wait, with weights other than 0.
    pub fn len(&self) -> usize {
        self.iterations.values().map(Lap::len).sum::<usize>() + self.draining.as_ref().map_or(0, |d| d.left)
    }

    pub fn add(&mut self, row: &[u64], iteration: Iteration, weight: Weight) -> Result<(), WeightOverflow> {
        let lap = self.iterations.entry(iteration).or_insert_with(|| Lap::new(self.words, &self.memory));
        lap.add(row, weight, (self.distinct, &self.memory))
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
            let (iteration, lap) = self.iterations.pop_first()?;
            if lap.len() > 0 {
                self.draining = Some(Draining { iteration, next: 0, left: lap.len(), lap });
            }
        }
    }

    fn put_back(&mut self) {
        let Some(Draining { iteration, lap, next, .. }) = self.draining.take() else { return };
        for (row, weight) in lap.from(next) {
            self.add(row, iteration, weight).expect("the weight was there before");
        }
    }

    /// Moves up to `limit` rows of the lowest iteration to `out`.
    pub fn take_lowest(&mut self, limit: usize, out: &mut Packed) {
        let Some(iteration) = self.lowest() else { return };
        let draining = self.draining.as_mut().expect("the lowest iteration is being released");
        while draining.left > 0 && out.len() < limit {
            let (row, weight) = draining.lap.row(draining.next);
            if weight != 0 {
                out.push(row, iteration, weight);
                draining.left -= 1;
            }
            draining.next += 1;
        }
        if draining.left == 0 {
            self.draining = None;
        }
    }

    /// All that waits.
    pub fn capture(&mut self) -> Capture {
        self.put_back();
        Capture::sum(true, self.iterations.iter().map(|(iteration, lap)| lap.capture(*iteration)).collect())
    }
}
