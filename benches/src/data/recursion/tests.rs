use std::collections::HashMap;

use super::{Roads, distances};
use crate::arguments::Size;

#[test]
fn changes_of_weight_follow_each_other() {
    for roads in [Roads::grid(Size::Small), Roads::rmat(Size::Small)] {
        let mut weights: HashMap<_, _> = roads.edges.iter().map(|(source, target, weight)| ((*source, *target), *weight)).collect();
        assert_eq!(weights.len(), roads.edges.len(), "no edge is there twice");
        for change in roads.changes {
            assert_eq!(weights.insert((change.source, change.target), change.after), Some(change.before), "{change:?}");
            assert_ne!(change.before, change.after);
        }
    }
}

#[test]
fn distances_are_those_of_the_shortest_paths() {
    let edges = [(0, 1, 7), (0, 2, 3), (2, 1, 1), (1, 3, 2), (4, 0, 1)];
    assert_eq!(distances(&edges), [Some(0), Some(4), Some(3), Some(6), None]);
}
