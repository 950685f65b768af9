//! "Reachable from 100 packages" under single changes: one bit per source and node, deletes by over-deleting and deriving again
//! (Gupta, Mumick, Subrahmanian, "Maintaining Views Incrementally", SIGMOD 1993, §7), all sources at once.

use std::time::Duration;

use super::Ids;
use crate::checksum::{Answer, RowHash};
use crate::clock::Stopwatch;
use crate::data::Reach;
use crate::measurement::{Finish, Latency, Measurement};
use crate::memory;

/// One bit for each source.
type Sources = u128;

/// What a change did to one node.
struct Difference {
    node: u32,
    gained: Sources,
    lost: Sources,
}

struct Reachability {
    targets: Vec<Vec<u32>>,
    origins: Vec<Vec<u32>>,
    /// The sources that reach a node.
    reached: Vec<Sources>,
    /// The sources that a node is.
    base: Vec<Sources>,
    /// Nodes touched by the current change, with what reached them before it.
    touched: Vec<(u32, Sources)>,
    touched_by: Vec<u32>,
    change: u32,
    waiting: Vec<u32>,
}

impl Reachability {
    fn load(nodes: usize, edges: &[(u32, u32)], sources: &[u32]) -> Self {
        let mut this = Self {
            targets: vec![Vec::new(); nodes],
            origins: vec![Vec::new(); nodes],
            reached: vec![0; nodes],
            base: vec![0; nodes],
            touched: Vec::new(),
            touched_by: vec![u32::MAX; nodes],
            change: 0,
            waiting: Vec::new(),
        };
        for &(origin, target) in edges {
            this.targets[origin as usize].push(target);
            this.origins[target as usize].push(origin);
        }
        for (bit, &source) in sources.iter().enumerate() {
            this.base[source as usize] |= 1 << bit;
            this.gain(source, 1 << bit);
        }
        this.spread();
        this
    }

    fn insert(&mut self, origin: u32, target: u32) {
        self.targets[origin as usize].push(target);
        self.origins[target as usize].push(origin);
        self.gain(target, self.reached[origin as usize]);
        self.spread();
    }

    fn delete(&mut self, origin: u32, target: u32) {
        self.targets[origin as usize].retain(|node| *node != target);
        self.origins[target as usize].retain(|node| *node != origin);
        let first = self.touched.len();
        let mut suspects = vec![(target, self.reached[origin as usize])];
        while let Some((node, sources)) = suspects.pop() {
            let lost = sources & self.reached[node as usize] & !self.base[node as usize];
            if lost != 0 {
                self.touch(node);
                self.reached[node as usize] &= !lost;
                suspects.extend(self.targets[node as usize].iter().map(|target| (*target, lost)));
            }
        }
        for place in first..self.touched.len() {
            let node = self.touched[place].0;
            let derived = self.origins[node as usize].iter().fold(0, |sum, origin| sum | self.reached[*origin as usize]);
            self.gain(node, derived);
        }
        self.spread();
    }

    fn gain(&mut self, node: u32, sources: Sources) {
        if sources & !self.reached[node as usize] != 0 {
            self.touch(node);
            self.reached[node as usize] |= sources;
            self.waiting.push(node);
        }
    }

    fn spread(&mut self) {
        while let Some(node) = self.waiting.pop() {
            for place in 0..self.targets[node as usize].len() {
                self.gain(self.targets[node as usize][place], self.reached[node as usize]);
            }
        }
    }

    fn touch(&mut self, node: u32) {
        if self.touched_by[node as usize] != self.change {
            self.touched_by[node as usize] = self.change;
            self.touched.push((node, self.reached[node as usize]));
        }
    }

    /// What the current change did; the next one begins.
    fn take_differences(&mut self, into: &mut Vec<Difference>) {
        for (node, before) in self.touched.drain(..) {
            let after = self.reached[node as usize];
            if before != after {
                into.push(Difference { node, gained: after & !before, lost: before & !after });
            }
        }
        self.change += 1;
    }
}

/// The first load, then every change until its differences are listed.
pub(crate) fn reach(work: &Reach) -> Measurement {
    assert!(work.sources.len() <= Sources::BITS as usize, "one bit for each source");
    memory::forget_peak();
    let clock = Stopwatch::start();
    let mut ids = Ids::new();
    let edges = ids.of_edges(&work.edges);
    let sources: Vec<u32> = work.sources.iter().map(|source| ids.of(source)).collect();
    let mut reachability = Reachability::load(ids.names.len(), &edges, &sources);
    let mut differences = Vec::new();
    reachability.take_differences(&mut differences);
    let loaded = clock.elapsed();
    let mut times: Vec<Duration> = Vec::with_capacity(work.changes.len());
    for (number, change) in work.warm_up.iter().chain(&work.changes).enumerate() {
        let clock = Stopwatch::start();
        let (origin, target) = (ids.of(&change.edge.0), ids.of(&change.edge.1));
        if change.insert {
            reachability.insert(origin, target)
        } else {
            reachability.delete(origin, target)
        }
        reachability.take_differences(&mut differences);
        if number >= work.warm_up.len() {
            times.push(clock.elapsed());
        }
    }
    let finish = Finish::after(loaded);
    let mut answer = Answer::default();
    for Difference { node, gained, lost } in differences {
        for (bit, source) in work.sources.iter().enumerate() {
            let weight = i64::from(gained >> bit & 1 == 1) - i64::from(lost >> bit & 1 == 1);
            if weight != 0 {
                answer.add(RowHash::of_pair(source, ids.names[node as usize]), weight);
            }
        }
    }
    finish.with_answer(answer).with_latency(Latency::of(times))
}
