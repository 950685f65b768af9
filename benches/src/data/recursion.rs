//! The rows of recursions beyond a linear closure: weighted graphs and changes to them, programs to analyse, families, small graphs.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use super::integer;
use crate::arguments::Size;
use crate::random::Random;

/// Largest weight of an edge; the least is 1.
const WEIGHT_MAX: usize = 100;

/// A graph whose edges have lengths, and changes to them.
#[derive(Debug, Clone)]
pub(crate) struct Roads {
    /// Source, target, weight. The root is node 0, and no two edges have the same ends.
    pub(crate) edges: Vec<(i32, i32, i32)>,
    pub(crate) changes: Vec<Reweighing>,
}

/// An edge that gets another weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reweighing {
    pub(crate) source: i32,
    pub(crate) target: i32,
    pub(crate) before: i32,
    pub(crate) after: i32,
}

impl Reweighing {
    /// The edge as it was, and as it is.
    pub(crate) fn edges(self) -> [(i32, i32, i32); 2] {
        [(self.source, self.target, self.before), (self.source, self.target, self.after)]
    }
}

impl Roads {
    /// The changes at the beginning that are not timed: whoever finds rows by their values may index them with the first.
    pub(crate) const WARM_UP: usize = 1;

    /// A square grid, with an edge each way between neighbours.
    pub(crate) fn grid(size: Size) -> Self {
        let (side, changes) = match size {
            Size::Full => (300, 100),
            Size::Small => (12, 20),
        };
        let mut random = Random::with_seed(5);
        let mut edges = Vec::new();
        for node in 0..side * side {
            let right = (node % side + 1 < side).then_some(node + 1);
            let below = (node + side < side * side).then_some(node + side);
            for neighbour in [right, below].into_iter().flatten() {
                for (source, target) in [(node, neighbour), (neighbour, node)] {
                    edges.push((integer(source), integer(target), integer(1 + random.below(WEIGHT_MAX))));
                }
            }
        }
        Self::with_changes(edges, changes, &mut random)
    }

    /// A recursive-matrix graph (Chakrabarti, Zhan, Faloutsos, "R-MAT: A Recursive Model for Graph Mining", SDM 2004) with the usual
    /// 57, 19, 19 and 5 per cent.
    pub(crate) fn rmat(size: Size) -> Self {
        let (levels, number, changes) = match size {
            Size::Full => (18, 1_000_000, 100),
            Size::Small => (8, 800, 20),
        };
        let mut random = Random::with_seed(6);
        let mut seen = HashSet::new();
        let mut edges = Vec::with_capacity(number);
        while edges.len() < number {
            let (mut source, mut target) = (0, 0);
            for _ in 0..levels {
                let quarter = match random.below(100) {
                    0..57 => (0, 0),
                    57..76 => (0, 1),
                    76..95 => (1, 0),
                    _ => (1, 1),
                };
                (source, target) = (source * 2 + quarter.0, target * 2 + quarter.1);
            }
            if source != target && seen.insert((source, target)) {
                edges.push((source, target, integer(1 + random.below(WEIGHT_MAX))));
            }
        }
        Self::with_changes(edges, changes, &mut random)
    }

    /// Changes are to edges that lie on shortest paths: few others would change a distance.
    fn with_changes(edges: Vec<(i32, i32, i32)>, number: usize, random: &mut Random) -> Self {
        let distances = distances(&edges);
        let mut on_paths: Vec<(i32, i32, i32)> = edges.clone();
        on_paths.retain(|(source, target, weight)| {
            let [from, to] = [source, target].map(|node| distances[*node as usize]);
            from.is_some_and(|from| to == Some(from + weight))
        });
        assert!(on_paths.len() > Self::WARM_UP + number, "there are edges to change");
        let changes = (0..Self::WARM_UP + number).map(|_| {
            let (source, target, before) = on_paths.swap_remove(random.below(on_paths.len()));
            let other = 1 + random.below(WEIGHT_MAX - 1);
            let after = integer(other + usize::from(integer(other) >= before));
            Reweighing { source, target, before, after }
        });
        Self { changes: changes.collect(), edges }
    }
}

/// How far each node is from node 0.
fn distances(edges: &[(i32, i32, i32)]) -> Vec<Option<i32>> {
    let nodes = edges.iter().map(|(source, target, _)| source.max(target) + 1).max().expect("there are edges");
    let mut targets = vec![Vec::new(); nodes as usize];
    for (source, target, weight) in edges {
        targets[*source as usize].push((*target, *weight));
    }
    let mut distances = vec![None; nodes as usize];
    let mut waiting = BinaryHeap::from([Reverse((0, 0))]);
    while let Some(Reverse((distance, node))) = waiting.pop() {
        if distances[node as usize].is_none() {
            distances[node as usize] = Some(distance);
            waiting.extend(targets[node as usize].iter().map(|(target, weight)| Reverse((distance + weight, *target))));
        }
    }
    distances
}

/// The statements of a program that move pointers, each of two variables, or of a variable and an object.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Pointer, object: `pointer = malloc(..)`.
    pub(crate) allocations: Vec<(i32, i32)>,
    /// Target, source: `target = source`.
    pub(crate) assignments: Vec<(i32, i32)>,
    /// Target, pointer: `target = *pointer`.
    pub(crate) loads: Vec<(i32, i32)>,
    /// Pointer, source: `*pointer = source`.
    pub(crate) stores: Vec<(i32, i32)>,
}

/// Modules of a hundred variables, whose statements mostly stay inside.
pub(crate) fn program(size: Size) -> Program {
    const VARIABLES: usize = 100;
    let modules = match size {
        Size::Full => 1_000,
        Size::Small => 4,
    };
    let mut random = Random::with_seed(7);
    let all = modules * VARIABLES;
    let mut statements = |of_module: usize, calls: usize| {
        let mut pairs = Vec::new();
        for module in 0..modules {
            let mut inside = || integer(module * VARIABLES + random.below(VARIABLES));
            pairs.extend((0..of_module).map(|_| (inside(), inside())));
        }
        pairs.extend((0..calls).map(|_| (integer(random.below(all)), integer(random.below(all)))));
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    };
    let (assignments, loads, stores) = (statements(110, modules / 4), statements(15, 0), statements(15, 0));
    let allocations = (0..modules * 40).map(|object| {
        let module = object % modules;
        (integer(module * VARIABLES + random.below(VARIABLES)), integer(object))
    });
    Program { allocations: allocations.collect(), assignments, loads, stores }
}

/// Families by their registers.
#[derive(Debug, Clone)]
pub(crate) struct Families {
    /// Child, parent.
    pub(crate) parents: Vec<(i32, i32)>,
    pub(crate) marriages: Vec<(i32, i32)>,
}

/// Founders, each with descendants who are all children of a random earlier one; every other family married into the one before.
pub(crate) fn families(size: Size) -> Families {
    const MEMBERS: usize = 30;
    let families = match size {
        Size::Full => 500,
        Size::Small => 8,
    };
    let mut random = Random::with_seed(8);
    let (mut parents, mut marriages) = (Vec::new(), Vec::new());
    for family in 0..families {
        let founder = family * MEMBERS;
        for member in 1..MEMBERS {
            parents.push((integer(founder + member), integer(founder + random.below(member.div_ceil(3)))));
        }
        if family % 2 == 1 {
            let other = founder - MEMBERS;
            marriages.push((integer(founder + random.below(3)), integer(other + random.below(3))));
        }
    }
    Families { parents, marriages }
}

/// Small random graphs beside each other, where most nodes of one lead to each other.
pub(crate) fn random_graphs(size: Size) -> Vec<(i32, i32)> {
    const NODES: usize = 100;
    const EDGES: usize = 200;
    let graphs = match size {
        Size::Full => 20,
        Size::Small => 2,
    };
    let mut random = Random::with_seed(9);
    let mut edges = Vec::new();
    for graph in 0..graphs {
        let mut node = || integer(graph * NODES + random.below(NODES));
        edges.extend((0..EDGES).map(|_| (node(), node())));
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// A sparse random graph without directions: one large component, and many small ones.
pub(crate) fn sparse_graph(size: Size) -> Vec<(i32, i32)> {
    let (nodes, edges) = match size {
        Size::Full => (500_000, 600_000),
        Size::Small => (2_000, 2_400),
    };
    let mut random = Random::with_seed(10);
    (0..edges).map(|_| (integer(random.below(nodes)), integer(random.below(nodes)))).collect()
}

#[cfg(test)]
mod tests;
