//! The limit: for each workload a program written by hand that does just that job, on one thread.
//!
//! Each takes the same rows as the others, text included, gives them dense ids, and leaves an answer that could be read. They are
//! short rather than clever: a bound of what is worth hoping for, not a proof.

pub(crate) mod change;
pub(crate) mod classes;
pub(crate) mod points_to;
pub(crate) mod recursion;
pub(crate) mod shortest;
pub(crate) mod stream;

use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::checksum::Hashed;

/// A column type that can be given ids.
pub(crate) trait Value: Hash + Eq + Hashed {}

impl<V: Hash + Eq + Hashed> Value for V {}

/// Dense ids in the order of first appearance.
#[derive(Debug)]
struct Ids<'rows, N> {
    of: FxHashMap<&'rows N, u32>,
    names: Vec<&'rows N>,
}

impl<'rows, N: Value> Ids<'rows, N> {
    fn new() -> Self {
        Self { of: FxHashMap::default(), names: Vec::new() }
    }

    fn of(&mut self, name: &'rows N) -> u32 {
        *self.of.entry(name).or_insert_with(|| {
            self.names.push(name);
            u32::try_from(self.names.len() - 1).expect("fewer than 2^32 nodes")
        })
    }

    fn of_edges(&mut self, edges: &'rows [(N, N)]) -> Vec<(u32, u32)> {
        edges.iter().map(|(source, target)| (self.of(source), self.of(target))).collect()
    }
}
