//! Transitive closure under random changes, cut and restored in mid-recursion, equals recomputation.

use std::collections::BTreeSet;

use refrain_dataflow::Restored;
use refrain_plan::LoopKind;

use crate::harness::{Harness, Random, Rows, accumulate, delta};
use crate::plans::{SHAPES, Shape, closure};

/// Pairs that a path connects.
fn closure_of(edges: &Rows) -> Rows {
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

#[derive(Clone, Copy, Debug)]
struct Run {
    kind: LoopKind,
    shape: Shape,
    workers: usize,
    seed: u64,
}

/// Random changes, cuts, captures and restarts; each settled result is compared with recomputation.
fn run(run: Run) {
    let mut random = Random::of_seed(run.seed);
    let plan = closure(run.kind, run.shape);
    let mut harness = Harness::start(&plan, run.workers, None);
    let (mut edges, mut view) = (Rows::new(), Rows::new());
    let mut restored = Restored::default();
    let mut captured_view = None;
    let nodes = 7;
    for step in 0..24 {
        let mut changes = Vec::new();
        for _ in 0..random.below(4) {
            let live = edges.iter().filter(|(_, w)| **w > 0).map(|(e, _)| e.clone()).collect::<Vec<_>>();
            let (edge, weight) = if run.kind != LoopKind::MonotoneSet && !live.is_empty() && random.chance(50) {
                (live[random.below(live.len() as u64) as usize].clone(), -1)
            } else {
                let (a, b) = (random.below(nodes) as i32, random.below(nodes) as i32);
                if run.kind == LoopKind::Bag && a == b {
                    continue;
                }
                (if run.kind == LoopKind::Bag { vec![a.min(b), a.max(b)] } else { vec![a, b] }, 1)
            };
            let entry = edges.entry(edge.clone()).or_default();
            *entry += weight;
            if *entry == 0 {
                edges.remove(&edge);
            }
            changes.push((edge, weight));
        }
        let cut = random.chance(40) && step < 23;
        let (outputs, mut settled) = harness.tick(vec![(0, delta(&changes, 2))], cut);
        accumulate(&mut view, &outputs);
        if random.chance(30) {
            harness.capture(captured_view.is_none() || random.chance(20), &mut restored);
            captured_view = Some(());
            if random.chance(60) {
                // The process dies and comes back, with another number of workers.
                let again = Restored { tick: restored.tick, parts: restored.parts.clone() };
                drop(harness);
                harness = Harness::start(&plan, 1 + random.below(3) as usize, Some(again));
            }
        }
        if random.chance(50) || step == 23 {
            while !settled {
                let outputs;
                (outputs, settled) = harness.tick(vec![], random.chance(50));
                accumulate(&mut view, &outputs);
            }
        }
        if settled {
            let wanted = if run.kind == LoopKind::Bag { paths_of(&edges) } else { closure_of(&edges) };
            assert_eq!(view, wanted, "{run:?} step {step} edges {edges:?}");
        }
    }
}

#[test]
fn closure_equals_recomputation_under_changes_cuts_and_restarts() {
    for kind in [LoopKind::Set, LoopKind::MonotoneSet, LoopKind::Bag] {
        for shape in SHAPES {
            for workers in [1, 2, 3] {
                for seed in 0..4 {
                    run(Run { kind, shape, workers, seed });
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
            let plan = closure(kind, shape);
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
