//! Shortest paths: Dijkstra's algorithm with a heap, and what a change of one weight makes of its result (Ramalingam and Reps, "An
//! Incremental Algorithm for a Generalization of the Shortest-Path Problem", Journal of Algorithms 1996).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::Ids;
use crate::checksum::{Answer, RowHash, Trail};
use crate::clock::Stopwatch;
use crate::data::recursion::Roads;
use crate::measurement::{Finish, Latency, Measurement};
use crate::memory;

/// The distance of what is not reached.
const FAR: i32 = i32::MAX;

struct Distances {
    /// Of each node: target and weight.
    out: Vec<Vec<(u32, i32)>>,
    /// Of each node: source and weight.
    into: Vec<Vec<(u32, i32)>>,
    distance: Vec<i32>,
    root: u32,
    waiting: BinaryHeap<Reverse<(i32, u32)>>,
    /// Nodes touched by the current change, with their distance before it, in the order in which they were.
    touched: Vec<(u32, i32)>,
}

impl Distances {
    fn load(nodes: usize, edges: &[(u32, u32, i32)], root: u32) -> Self {
        let mut this = Self {
            out: vec![Vec::new(); nodes],
            into: vec![Vec::new(); nodes],
            distance: vec![FAR; nodes],
            root,
            waiting: BinaryHeap::new(),
            touched: Vec::new(),
        };
        for &(source, target, weight) in edges {
            this.out[source as usize].push((target, weight));
            this.into[target as usize].push((source, weight));
        }
        this.come_closer(root, 0);
        this.spread();
        this
    }

    fn reweigh(&mut self, source: u32, target: u32, after: i32) {
        let edge = self.out[source as usize].iter_mut().find(|(other, _)| *other == target).expect("the edge is there");
        let before = std::mem::replace(&mut edge.1, after);
        let back = self.into[target as usize].iter_mut().find(|(other, _)| *other == source).expect("the edge is there");
        back.1 = after;
        let from = self.distance[source as usize];
        if from == FAR {
            return;
        }
        if after > before && self.distance[target as usize] == from + before {
            self.lose(target);
        } else {
            self.come_closer(target, from + after);
        }
        self.spread();
    }

    /// An edge to a node has become longer. What has no way left that is as short as its distance gets another distance.
    fn lose(&mut self, node: u32) {
        // By distance: whether what lies before a node on its shortest paths is lost is known when its turn comes.
        let mut suspects = BinaryHeap::from([Reverse((self.distance[node as usize], node))]);
        let first = self.touched.len();
        while let Some(Reverse((distance, node))) = suspects.pop() {
            let holds = |(source, weight): &(u32, i32)| {
                self.distance[*source as usize].checked_add(*weight).is_some_and(|reached| reached == distance)
            };
            if node == self.root || self.distance[node as usize] == FAR || self.into[node as usize].iter().any(holds) {
                continue;
            }
            self.set(node, FAR);
            for (target, weight) in &self.out[node as usize] {
                if self.distance[*target as usize] == distance + weight {
                    suspects.push(Reverse((distance + weight, *target)));
                }
            }
        }
        for place in first..self.touched.len() {
            let node = self.touched[place].0;
            let ways =
                self.into[node as usize].iter().filter_map(|(source, weight)| self.distance[*source as usize].checked_add(*weight));
            let best = ways.min().unwrap_or(FAR);
            self.come_closer(node, best);
        }
    }

    fn come_closer(&mut self, node: u32, distance: i32) {
        if distance < self.distance[node as usize] {
            self.set(node, distance);
            self.waiting.push(Reverse((distance, node)));
        }
    }

    fn set(&mut self, node: u32, distance: i32) {
        let before = std::mem::replace(&mut self.distance[node as usize], distance);
        self.touched.push((node, before));
    }

    fn spread(&mut self) {
        while let Some(Reverse((distance, node))) = self.waiting.pop() {
            if distance == self.distance[node as usize] {
                for place in 0..self.out[node as usize].len() {
                    let (target, weight) = self.out[node as usize][place];
                    self.come_closer(target, distance + weight);
                }
            }
        }
    }

    /// What the current change did: node, distance before, distance after. The next one begins.
    fn take_differences(&mut self) -> Vec<(u32, i32, i32)> {
        let mut touched = std::mem::take(&mut self.touched);
        // The first entry of a node has its distance before the change.
        touched.sort_by_key(|(node, _)| *node);
        touched.dedup_by_key(|(node, _)| *node);
        let changed = touched.into_iter().map(|(node, before)| (node, before, self.distance[node as usize]));
        changed.filter(|(_, before, after)| before != after).collect()
    }
}

/// The first load, then every change until its differences are listed.
pub(crate) fn shortest(roads: &Roads) -> Measurement {
    memory::forget_peak();
    let clock = Stopwatch::start();
    let mut ids = Ids::new();
    let root = ids.of(&0);
    let edges = roads.edges.iter().map(|(source, target, weight)| (ids.of(source), ids.of(target), *weight));
    let edges: Vec<(u32, u32, i32)> = edges.collect();
    let mut distances = Distances::load(ids.names.len(), &edges, root);
    let finish = Finish::after(clock.elapsed());
    let mut answer = Answer::default();
    let add = |answer: &mut Answer, differences: Vec<(u32, i32, i32)>, names: &[&i32]| {
        for (node, before, after) in differences {
            for (distance, weight) in [(before, -1), (after, 1)] {
                if distance != FAR {
                    answer.add(RowHash::of_pair(names[node as usize], &distance), weight);
                }
            }
        }
    };
    add(&mut answer, distances.take_differences(), &ids.names);
    let loaded = answer;
    let (mut times, mut trail): (Vec<Duration>, _) = (Vec::with_capacity(roads.changes.len()), Trail::default());
    for change in &roads.changes {
        let clock = Stopwatch::start();
        distances.reweigh(ids.of(&change.source), ids.of(&change.target), change.after);
        let differences = distances.take_differences();
        times.push(clock.elapsed());
        add(&mut answer, differences, &ids.names);
        trail.add(answer);
    }
    finish.with_answer(loaded).with_latency(Latency::of(times.split_off(Roads::WARM_UP))).with_trail(trail)
}

#[cfg(test)]
mod tests;
