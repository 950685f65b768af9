//! Closure and reachability: a breadth-first search from every source over adjacency in two arrays.

use super::{Ids, Value};
use crate::checksum::{Answer, RowHash};
use crate::clock::Stopwatch;
use crate::measurement::{Finish, Measurement};
use crate::memory;

/// The targets of node n are `targets[starts[n]..starts[n + 1]]`.
struct Adjacency {
    starts: Vec<u32>,
    targets: Vec<u32>,
}

impl Adjacency {
    fn of(nodes: usize, edges: &[(u32, u32)]) -> Self {
        let mut starts = vec![0; nodes + 1];
        for (source, _) in edges {
            starts[*source as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut free = starts.clone();
        let mut targets = vec![0; edges.len()];
        for (source, target) in edges {
            let place = &mut free[*source as usize];
            targets[*place as usize] = *target;
            *place += 1;
        }
        Self { starts, targets }
    }

    fn targets(&self, node: u32) -> &[u32] {
        &self.targets[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }
}

/// All pairs of a node and one it leads to.
pub(crate) fn closure<N: Value>(edges: &[(N, N)]) -> Measurement {
    memory::forget_peak();
    let clock = Stopwatch::start();
    let mut ids = Ids::new();
    let edges = ids.of_edges(edges);
    let nodes = ids.names.len();
    let adjacency = Adjacency::of(nodes, &edges);
    let mut seen = vec![u32::MAX; nodes];
    let mut reached: Vec<u32> = Vec::new();
    let mut ends = Vec::with_capacity(nodes);
    for source in 0..u32::try_from(nodes).expect("ids are u32") {
        let mut next = reached.len();
        let mut node = source;
        loop {
            for &target in adjacency.targets(node) {
                if seen[target as usize] != source {
                    seen[target as usize] = source;
                    reached.push(target);
                }
            }
            if next == reached.len() {
                break;
            }
            node = reached[next];
            next += 1;
        }
        ends.push(reached.len());
    }
    let finish = Finish::after(clock.elapsed());
    let mut answer = Answer::default();
    let mut start = 0;
    for (source, end) in ids.names.iter().zip(ends) {
        for target in &reached[start..end] {
            answer.add(RowHash::of_pair(*source, ids.names[*target as usize]), 1);
        }
        start = end;
    }
    finish.with_answer(answer)
}

/// The nodes that node 0 leads to, and itself.
pub(crate) fn chain(edges: &[(i32, i32)]) -> Measurement {
    memory::forget_peak();
    let clock = Stopwatch::start();
    let mut ids = Ids::new();
    let root = ids.of(&0);
    let edges = ids.of_edges(edges);
    let adjacency = Adjacency::of(ids.names.len(), &edges);
    let mut seen = vec![false; ids.names.len()];
    seen[root as usize] = true;
    let mut reached = vec![root];
    let mut next = 0;
    while next < reached.len() {
        for &target in adjacency.targets(reached[next]) {
            if !std::mem::replace(&mut seen[target as usize], true) {
                reached.push(target);
            }
        }
        next += 1;
    }
    let finish = Finish::after(clock.elapsed());
    let mut answer = Answer::default();
    for node in reached {
        let mut row = RowHash::default();
        row.integer(i64::from(*ids.names[node as usize]));
        answer.add(row, 1);
    }
    finish.with_answer(answer)
}
