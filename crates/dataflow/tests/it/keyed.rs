//! Keyed recursions under random changes, cut and restored in mid-recursion, equal recomputation.

use std::collections::BTreeMap;

use refrain_plan::{KeyWinner, LoopKey, LoopKind};

use crate::harness::{Graph, Rows, survive};
use crate::plans::{Shape, closure};
use crate::recursion::{Hubs, OUTSTANDING_ROWS_MAX, held_while_edges_are_full};

/// For each end of a path one of its starts, iteration after iteration, as the definition says.
fn starts_of(edges: &Rows, winner: KeyWinner) -> Rows {
    let mut holders = BTreeMap::<i32, i32>::new();
    let mut candidates = edges.keys().map(|edge| (edge[0], edge[1])).collect::<Vec<_>>();
    while !candidates.is_empty() {
        let mut taken = BTreeMap::<i32, i32>::new();
        for (start, end) in candidates {
            let wins = holders.get(&end).is_none_or(|holder| match winner {
                KeyWinner::Latest => start != *holder,
                KeyWinner::Least(_) => start < *holder,
                KeyWinner::Greatest(_) => start > *holder,
            });
            let better = |other: i32| if matches!(winner, KeyWinner::Greatest(_)) { start > other } else { start < other };
            if wins && taken.get(&end).is_none_or(|other| better(*other)) {
                taken.insert(end, start);
            }
        }
        let next = taken.iter().flat_map(|(at, start)| edges.keys().filter(|e| e[0] == *at).map(|e| (*start, e[1])));
        candidates = next.collect();
        holders.extend(taken);
    }
    holders.into_iter().map(|(end, start)| (vec![start, end], 1)).collect()
}

fn run(winner: KeyWinner, acyclic: bool) {
    for shape in [Shape::Fused, Shape::FusedThenMap, Shape::Join] {
        let plan = closure(LoopKind::Keyed(LoopKey { columns: vec![1], winner }), shape);
        for workers in [1, 2, 3] {
            for seed in 0..6 {
                let graph = Graph { deletes: true, acyclic };
                survive(
                    &plan,
                    graph,
                    (workers, seed),
                    |edges| starts_of(edges, winner),
                    &format!("{winner:?} {shape:?} {workers}"),
                );
            }
        }
    }
}

#[test]
fn the_least_row_of_each_key_equals_recomputation() {
    run(KeyWinner::Least(0), false);
}

#[test]
fn the_greatest_row_of_each_key_equals_recomputation() {
    run(KeyWinner::Greatest(0), false);
}

/// Over edges that only ever come, only the best row of each key is kept.
#[test]
fn the_best_row_of_each_key_equals_recomputation_where_rows_only_come() {
    for winner in [KeyWinner::Least(0), KeyWinner::Greatest(0)] {
        let plan = closure(LoopKind::MonotoneKeyed(LoopKey { columns: vec![1], winner }), Shape::Fused);
        for workers in [1, 2, 3] {
            for seed in 0..8 {
                let graph = Graph { deletes: false, acyclic: false };
                survive(&plan, graph, (workers, seed), |edges| starts_of(edges, winner), &format!("{winner:?} {workers}"));
            }
        }
    }
}

/// On a cycle the latest row of a key need not stay the same.
#[test]
fn the_latest_row_of_each_key_equals_recomputation() {
    run(KeyWinner::Latest, true);
}

#[test]
fn a_keyed_loop_is_held_while_its_edges_are_full() {
    let graph = Hubs { sources: 1, hubs: 900, sinks: 1000 };
    let ends = (0..graph.hubs).map(|h| graph.hub(h)).chain((0..graph.sinks).map(|s| graph.sink(s)));
    let wanted = ends.map(|end| (vec![0, end], 1)).collect();
    let key = LoopKey { columns: vec![1], winner: KeyWinner::Least(0) };
    let plan = closure(LoopKind::Keyed(key.clone()), Shape::Join);
    held_while_edges_are_full(&plan, OUTSTANDING_ROWS_MAX, &graph.edges(), &wanted, "keyed");
    // Where better rows replace others, fewer may be on their way.
    let plan = closure(LoopKind::MonotoneKeyed(key), Shape::Fused);
    held_while_edges_are_full(&plan, 1 << 12, &graph.edges(), &wanted, "keyed, rows only come");
}
