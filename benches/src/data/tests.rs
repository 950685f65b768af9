use std::collections::HashSet;

use super::{Reach, random_graph};
use crate::arguments::Size;

/// A graph of text to use where the Debian graph would take too long.
pub(crate) fn text_graph() -> Vec<(String, String)> {
    random_graph(Size::Small).into_iter().map(|(a, b)| (format!("package-{a}"), format!("package-{b}"))).collect()
}

#[test]
fn a_graph_is_the_same_every_time_and_has_no_edge_twice() {
    let graph = random_graph(Size::Full);
    assert_eq!(graph, random_graph(Size::Full));
    assert_eq!(graph.iter().collect::<HashSet<_>>().len(), 6_000);
}

#[test]
fn changes_delete_what_is_there_and_insert_what_is_not() {
    let work = Reach::over(text_graph(), Size::Small);
    let mut present: HashSet<_> = work.edges.iter().cloned().collect();
    for change in work.warm_up.iter().chain(&work.changes) {
        let edge = change.edge.clone();
        assert!(if change.insert { present.insert(edge) } else { present.remove(&edge) }, "{change:?}");
    }
    assert_eq!(work.changes.iter().filter(|change| change.insert).count() * 2, work.changes.len());
}
