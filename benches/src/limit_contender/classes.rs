//! Components and generations: classes of nodes, found by merging them (union-find).

use crate::checksum::{Answer, RowHash};
use crate::clock::Stopwatch;
use crate::data::recursion::Families;
use crate::limit_contender::Ids;
use crate::measurement::{Finish, Measurement};
use crate::memory;

/// Classes of the nodes below a number. The representative of a class is its least node.
struct Classes(Vec<u32>);

impl Classes {
    fn of(nodes: usize) -> Self {
        Self((0..u32::try_from(nodes).expect("ids are u32")).collect())
    }

    fn find(&mut self, mut node: u32) -> u32 {
        while self.0[node as usize] != node {
            let above = self.0[self.0[node as usize] as usize];
            self.0[node as usize] = above;
            node = above;
        }
        node
    }

    /// Merges the classes of two nodes. Returns the representative and the node that was one, if they were two.
    fn merge(&mut self, a: u32, b: u32) -> Option<(u32, u32)> {
        let (a, b) = (self.find(a), self.find(b));
        let (least, other) = (a.min(b), a.max(b));
        self.0[other as usize] = least;
        (least != other).then_some((least, other))
    }
}

/// The least node of each node's component.
pub(crate) fn components(edges: &[(i32, i32)]) -> Measurement {
    memory::forget_peak();
    let clock = Stopwatch::start();
    let mut ids = Ids::new();
    let edges = ids.of_edges(edges);
    let mut classes = Classes::of(ids.names.len());
    for (a, b) in edges {
        classes.merge(a, b);
    }
    let mut least: Vec<i32> = ids.names.iter().map(|name| **name).collect();
    let roots: Vec<u32> = (0..least.len()).map(|node| classes.find(u32::try_from(node).expect("ids are u32"))).collect();
    for (root, name) in roots.iter().zip(&ids.names) {
        least[*root as usize] = least[*root as usize].min(**name);
    }
    let finish = Finish::after(clock.elapsed());
    let mut answer = Answer::default();
    for (root, name) in roots.iter().zip(&ids.names) {
        answer.add(RowHash::of_pair(*name, &least[*root as usize]), 1);
    }
    finish.with_answer(answer)
}

/// Pairs of one generation: being of one is an equivalence, and the children of a class are of one class.
pub(crate) fn same_generation(families: &Families) -> Measurement {
    memory::forget_peak();
    let clock = Stopwatch::start();
    let mut ids = Ids::new();
    let parents = ids.of_edges(&families.parents);
    let persons = ids.names.len();
    let marriages = ids.of_edges(&families.marriages);
    assert_eq!(ids.names.len(), persons, "whoever marries has a parent or a child");
    let mut classes = Classes::of(persons);
    // A child of each class stands for all of them, once they are merged.
    let mut child_of: Vec<Option<u32>> = vec![None; persons];
    let mut equal = marriages;
    for (child, parent) in parents {
        match child_of[parent as usize] {
            Some(other) => equal.push((child, other)),
            None => child_of[parent as usize] = Some(child),
        }
    }
    while let Some((a, b)) = equal.pop() {
        if let Some((class, merged)) = classes.merge(a, b) {
            let children = (child_of[class as usize], child_of[merged as usize]);
            equal.extend(children.0.zip(children.1));
            child_of[class as usize] = children.0.or(children.1);
        }
    }
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); persons];
    for person in 0..u32::try_from(persons).expect("ids are u32") {
        members[classes.find(person) as usize].push(person);
    }
    let mut pairs = Vec::with_capacity(members.iter().map(|class| class.len() * class.len()).sum());
    for class in &members {
        pairs.extend(class.iter().flat_map(|a| class.iter().map(|b| (*a, *b))));
    }
    let finish = Finish::after(clock.elapsed());
    let mut answer = Answer::default();
    for (a, b) in pairs {
        answer.add(RowHash::of_pair(ids.names[a as usize], ids.names[b as usize]), 1);
    }
    finish.with_answer(answer)
}
