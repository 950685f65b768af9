//! What came of many cases, counted by shape.

use std::collections::BTreeMap;
use std::fmt;

use crate::case::Shape;
use crate::oracle::Stop;
use crate::run::{Ended, Outcome};
use crate::subject::Events;

/// Counts of outcomes.
#[derive(Clone, Default, Debug)]
pub struct Totals {
    shapes: BTreeMap<Shape, Count>,
    events: Events,
}

#[derive(Clone, Default, Debug)]
struct Count {
    compared: usize,
    looks: usize,
    in_flight: usize,
    discarded: BTreeMap<Stop, usize>,
}

impl Totals {
    /// Counts an outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        let count = self.shapes.entry(outcome.shape).or_default();
        match &outcome.ended {
            Ended::Discarded(stop) => *count.discarded.entry(*stop).or_default() += 1,
            Ended::Compared { looks, events } => {
                count.compared += 1;
                count.looks += looks;
                count.in_flight += events.in_flight;
                self.events.checkpoints += events.checkpoints;
                self.events.in_flight += events.in_flight;
                self.events.restarts += events.restarts;
                self.events.past += events.past;
                self.events.again += events.again;
                self.events.aborted += events.aborted;
                self.events.interrupted += events.interrupted;
            }
        }
    }

    /// What happened to the engines.
    #[must_use]
    pub fn events(&self) -> Events {
        self.events
    }

    /// Cases of this shape that were compared.
    #[must_use]
    pub fn compared(&self, shape: Shape) -> usize {
        self.shapes.get(&shape).map_or(0, |count| count.compared)
    }

    /// Checkpoints that caught a recursion of this shape with rows in flight.
    #[must_use]
    pub fn in_flight(&self, shape: Shape) -> usize {
        self.shapes.get(&shape).map_or(0, |count| count.in_flight)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut compared, mut looks, mut discarded) = (0, 0, 0);
        for (shape, count) in &self.shapes {
            let stops = count.discarded.iter().map(|(stop, n)| format!(", {n} {stop}")).collect::<String>();
            let dropped = count.discarded.values().sum::<usize>();
            let Count { compared: cases, looks: n, in_flight, .. } = count;
            writeln!(f, "{shape:<12} {cases:>6} compared, {n:>7} looks, {in_flight:>5} in flight, {dropped:>5} discarded{stops}")?;
            compared += count.compared;
            looks += count.looks;
            discarded += dropped;
        }
        let Events { checkpoints, in_flight, restarts, aborted, interrupted, past, again } = self.events;
        write!(
            f,
            "total: {compared} cases compared at {looks} looks, {discarded} discarded; {checkpoints} checkpoints, {in_flight} of them in \
             the middle of a recursion; {restarts} restarts"
        )?;
        if aborted + interrupted > 0 {
            write!(f, ", {interrupted} of them in the middle of a statement; {aborted} checkpoints given up")?;
        }
        if past > 0 {
            write!(f, "; {past} times a checkpoint was opened to be read")?;
        }
        if again > 0 {
            write!(f, "; {again} looks at what was seen before")?;
        }
        Ok(())
    }
}
