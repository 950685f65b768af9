use super::Distances;
use crate::arguments::Size;
use crate::data::recursion::Roads;

#[test]
fn distances_after_a_change_are_those_of_a_load() {
    for roads in [Roads::grid(Size::Small), Roads::rmat(Size::Small)] {
        let of = |node: i32| node.cast_unsigned();
        let mut edges: Vec<_> = roads.edges.iter().map(|(a, b, weight)| (of(*a), of(*b), *weight)).collect();
        let mut distances = Distances::load(256, &edges, 0);
        for change in &roads.changes {
            let (source, target) = (of(change.source), of(change.target));
            distances.reweigh(source, target, change.after);
            let edge = edges.iter_mut().find(|(a, b, _)| (*a, *b) == (source, target)).expect("the edge is there");
            edge.2 = change.after;
            assert_eq!(distances.distance, Distances::load(256, &edges, 0).distance, "{change:?}");
        }
    }
}
