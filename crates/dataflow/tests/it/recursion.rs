//! Transitive closure under random changes, cut and restored in mid-recursion, equals recomputation.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use refrain_dataflow::Restored;
use refrain_plan::LoopKind;

use crate::harness::{Graph, Harness, Rows, accumulate, delta, survive};
use crate::plans::{SHAPES, Shape, closure};

/// Pairs that a path connects.
pub fn closure_of(edges: &Rows) -> Rows {
    let mut out = Rows::new();
    for start in edges.keys().map(|e| e[0]).collect::<BTreeSet<_>>() {
        let (mut seen, mut stack) = (BTreeSet::new(), vec![start]);
        while let Some(at) = stack.pop() {
            for edge in edges.keys().filter(|e| e[0] == at) {
                if seen.insert(edge[1]) {
                    stack.push(edge[1]);
                }
            }
        }
        out.extend(seen.into_iter().map(|end| (vec![start, end], 1)));
    }
    out
}

/// Pairs with the number of paths; the graph has no cycle.
fn paths_of(edges: &Rows) -> Rows {
    let (mut out, mut last) = (edges.clone(), edges.clone());
    while !last.is_empty() {
        let mut next = Rows::new();
        for (path, n) in &last {
            for (edge, m) in edges.iter().filter(|(e, _)| e[0] == path[1]) {
                *next.entry(vec![path[0], edge[1]]).or_default() += n * m;
            }
        }
        for (path, n) in &next {
            *out.entry(path.clone()).or_default() += n;
        }
        last = next;
    }
    out
}

#[derive(Clone, Debug)]
struct Run {
    kind: LoopKind,
    shape: Shape,
    workers: usize,
    seed: u64,
}

fn run(run: Run) {
    let plan = closure(run.kind.clone(), run.shape);
    let graph = Graph { deletes: run.kind != LoopKind::MonotoneSet, acyclic: run.kind == LoopKind::Bag };
    let wanted = if run.kind == LoopKind::Bag { paths_of } else { closure_of };
    survive(&plan, graph, (run.workers, run.seed), wanted, &format!("{run:?}"));
}

#[test]
fn closure_equals_recomputation_under_changes_cuts_and_restarts() {
    for kind in [LoopKind::Set, LoopKind::MonotoneSet, LoopKind::Bag] {
        for shape in SHAPES {
            for workers in [1, 2, 3] {
                for seed in 0..4 {
                    run(Run { kind: kind.clone(), shape, workers, seed });
                }
            }
        }
    }
}

#[test]
fn deleting_the_only_outside_support_empties_the_cycle() {
    let plan = closure(LoopKind::Set, Shape::Fused);
    let mut harness = Harness::start(&plan, 2, None);
    let mut view = Rows::new();
    let ring = |w| (0..50).map(|i| (vec![i, (i + 1) % 50], w)).collect::<Vec<_>>();
    let (outputs, settled) = harness.tick(vec![(0, delta(&ring(1), 2))], false);
    assert!(settled);
    accumulate(&mut view, &outputs);
    assert_eq!(view.len(), 2500);
    let (outputs, _) = harness.tick(vec![(0, delta(&[(vec![3, 4], -1)], 2))], false);
    accumulate(&mut view, &outputs);
    assert_eq!(view.len(), 50 * 49 / 2);
    let (outputs, _) = harness.tick(vec![(0, delta(&ring(-1)[4..], 2)), (0, delta(&ring(-1)[..3], 2))], false);
    accumulate(&mut view, &outputs);
    assert_eq!(view, Rows::new());
}

#[test]
fn a_restored_loop_derives_through_what_it_knew_before() {
    for kind in [LoopKind::Set, LoopKind::MonotoneSet, LoopKind::Bag] {
        for shape in SHAPES {
            let plan = closure(kind.clone(), shape);
            let mut restored = Restored::default();
            {
                let mut harness = Harness::start(&plan, 2, None);
                harness.tick(vec![(0, delta(&(0..20).map(|i| (vec![i, i + 1], 1)).collect::<Vec<_>>(), 2))], false);
                harness.capture(true, &mut restored);
            }
            let mut harness = Harness::start(&plan, 3, Some(restored));
            let mut view = Rows::new();
            let (outputs, settled) = harness.tick(vec![(0, delta(&[(vec![20, 21], 1)], 2))], false);
            accumulate(&mut view, &outputs);
            assert!(settled);
            let wanted = (0..=20).map(|i| (vec![i, 21], 1)).collect::<Rows>();
            assert_eq!(view, wanted, "{kind:?} {shape:?}");
        }
    }
}

#[test]
fn a_long_chain_is_cut_in_its_middle() {
    for workers in [1, 2] {
        let plan = closure(LoopKind::Set, Shape::Fused);
        let mut harness = Harness::start(&plan, workers, None);
        let mut view = Rows::new();
        let chain = delta(&(0..300).map(|i| (vec![i, i + 1], 1)).collect::<Vec<_>>(), 2);
        let (outputs, mut settled) = harness.tick(vec![(0, chain)], true);
        accumulate(&mut view, &outputs);
        assert!(!settled, "a tick that is held from its start cannot settle");
        let mut restored = Restored::default();
        harness.capture(true, &mut restored);
        drop(harness);
        let mut harness = Harness::start(&plan, 3 - workers, Some(restored));
        while !settled {
            let outputs;
            (outputs, settled) = harness.tick(vec![], false);
            accumulate(&mut view, &outputs);
        }
        assert_eq!(view.len(), 300 * 301 / 2);
    }
}

/// A log that is too long for one activation is replayed in several, and can be held and captured in between.
#[test]
fn a_long_log_is_replayed_in_parts() {
    const WIDTH: i32 = 400;
    const ENDS: std::ops::RangeInclusive<i32> = 2 * WIDTH + 1..=2 * WIDTH + 4;
    // From 0 to each node of a layer, from each of these to all of the next layer, and from there to some ends.
    let first = (1..=WIDTH).map(|a| (vec![0, a], 1));
    let between = (1..=WIDTH).flat_map(|a| (1..=WIDTH).map(move |b| (vec![a, WIDTH + b], 1)));
    let last = (1..=WIDTH).flat_map(|b| ENDS.map(move |end| (vec![WIDTH + b, end], 1)));
    let edges = first.chain(between).chain(last).collect::<Vec<_>>();
    let plan = closure(LoopKind::Set, Shape::Join);
    let log_rows = |harness: &Harness| harness.control.loops[0].log_rows.load(Ordering::Relaxed);
    let (mut view, mut restored) = (Rows::new(), Restored::default());
    let mut harness = Harness::start_in_turns(&plan, 1);
    let (outputs, _) = harness.tick_cut_after(0, vec![(0, delta(&edges, 2))]);
    accumulate(&mut view, &outputs);
    harness.capture(true, &mut restored);
    let logged = log_rows(&harness);
    drop(harness);
    let mut harness = Harness::start(&plan, 1, Some(restored));
    let mut restored = Restored::default();
    let (outputs, settled) = harness.tick(vec![], true);
    accumulate(&mut view, &outputs);
    let left = log_rows(&harness);
    assert!(!settled && 0 < left && left < logged, "{left} rows of {logged} are left");
    harness.capture(true, &mut restored);
    drop(harness);
    let mut harness = Harness::start(&plan, 2, Some(restored));
    let (outputs, settled) = harness.tick(vec![], false);
    accumulate(&mut view, &outputs);
    assert!(settled);
    let derived = (1..=WIDTH).map(|b| vec![0, WIDTH + b]);
    let derived = derived.chain((0..=WIDTH).flat_map(|a| ENDS.map(move |end| vec![a, end]))).map(|row| (row, 1));
    assert!(view == edges.iter().cloned().chain(derived).collect::<Rows>());
}
