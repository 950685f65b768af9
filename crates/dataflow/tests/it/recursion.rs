//! Transitive closure, and a recursion over it, under random changes, cut and restored in mid-recursion, equal recomputation.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use refrain_dataflow::{Control, Restored};
use refrain_plan::{LoopKind, StreamPlan};

use crate::harness::{Graph, Harness, Rows, accumulate, delta, released, settled_in_cut_ticks, survive};
use crate::plans::{SHAPES, Shape, Way, back_from_closure, closure};

const KINDS: [LoopKind; 3] = [LoopKind::Set, LoopKind::MonotoneSet, LoopKind::Bag];

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

/// Pairs, and what steps over edges make of their ends: each once, or as often as there are ways if the graph has no cycle.
fn walks(pairs: &Rows, edges: &Rows, way: Way, is_bag: bool) -> Rows {
    let [from, to] = way.columns();
    let (mut out, mut last) = (pairs.clone(), pairs.clone());
    while !last.is_empty() {
        let mut next = Rows::new();
        for (pair, n) in &last {
            for (edge, m) in edges.iter().filter(|(e, _)| e[from] == pair[1]) {
                *next.entry(vec![pair[0], edge[to]]).or_default() += n * m;
            }
        }
        if !is_bag {
            next.retain(|pair, _| !out.contains_key(pair));
            next.values_mut().for_each(|n| *n = 1);
        }
        for (pair, n) in &next {
            *out.entry(pair.clone()).or_default() += n;
        }
        last = next;
    }
    out
}

/// What a loop of this kind makes of the edges.
fn recomputed(kind: &LoopKind, edges: &Rows) -> Rows {
    if *kind == LoopKind::Bag { walks(edges, edges, Way::Forth, true) } else { closure_of(edges) }
}

/// The rows of the closure, and those of the recursion over it.
fn recomputed_with_back(kind: &LoopKind, edges: &Rows) -> Rows {
    let closure = recomputed(kind, edges);
    let mut both = walks(&closure, edges, Way::Back, *kind == LoopKind::Bag);
    for (pair, n) in closure {
        *both.entry(pair).or_default() += n;
    }
    both
}

fn graph_of(kind: &LoopKind) -> Graph {
    Graph { deletes: *kind != LoopKind::MonotoneSet, acyclic: *kind == LoopKind::Bag }
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
    let wanted = |edges: &Rows| recomputed(&run.kind, edges);
    survive(&plan, graph_of(&run.kind), (run.workers, run.seed), wanted, &format!("{run:?}"));
}

#[test]
fn closure_equals_recomputation_under_changes_cuts_and_restarts() {
    for kind in KINDS {
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
fn a_recursion_over_a_closure_equals_recomputation_under_changes_cuts_and_restarts() {
    for kind in KINDS {
        for shapes in [0, 1, 2, 3].map(|i| [SHAPES[i], SHAPES[(i + 1) % SHAPES.len()]]) {
            let plan = back_from_closure(&kind, shapes);
            for workers in [1, 2, 3] {
                for seed in 0..3 {
                    let what = format!("{kind:?} {shapes:?} {workers} workers");
                    survive(&plan, graph_of(&kind), (workers, seed), |edges| recomputed_with_back(&kind, edges), &what);
                }
            }
        }
    }
}

/// Within a tick the second recursion waits for the first. It is caught in its middle, and while what is held of it waits, the first one
/// is caught in the middle of another change.
#[test]
fn two_recursions_are_restored_from_the_middle_of_both() {
    let chain = |nodes: std::ops::Range<i32>| nodes.map(|i| (vec![i, i + 1], 1)).collect::<Vec<_>>();
    let change = [chain(20..24), vec![(vec![10, 11], -1)]].concat();
    let mut edges = chain(0..24).into_iter().collect::<Rows>();
    edges.remove(&vec![10, 11]);
    let is_held = |harness: &Harness| [0, 1].map(|i: usize| harness.control.loops[i].held_rows.load(Ordering::Relaxed) > 0);
    for kind in [LoopKind::Set, LoopKind::Bag] {
        for shapes in [[Shape::Join, Shape::FusedThenMap], [Shape::FusedThenMap, Shape::Join]] {
            for workers in [1, 2] {
                let what = format!("{kind:?} {shapes:?} {workers} workers");
                let plan = back_from_closure(&kind, shapes);
                let (mut view, mut restored) = (Rows::new(), Restored::default());
                let mut harness = Harness::start_in_turns(&plan, workers);
                let in_second = |control: &Control| released(control, 1, 3) > 0;
                let (outputs, _) = harness.tick_cut_when(in_second, vec![(0, delta(&chain(0..20), 2))]);
                accumulate(&mut view, &outputs);
                assert_eq!(is_held(&harness), [false, true], "{what}");
                harness.capture(true, &mut restored);
                drop(harness);

                let mut harness = Harness::restart_in_turns(&plan, 3 - workers, restored);
                let mut restored = Restored::default();
                let in_first = |control: &Control| released(control, 0, 3) > 0;
                let (outputs, _) = harness.tick_cut_when(in_first, vec![(0, delta(&change, 2))]);
                accumulate(&mut view, &outputs);
                assert_eq!(is_held(&harness), [true, true], "{what}");
                harness.capture(true, &mut restored);
                drop(harness);

                let mut harness = Harness::start(&plan, 3, Some(restored));
                let (outputs, settled) = harness.tick(vec![], false);
                accumulate(&mut view, &outputs);
                assert!(settled, "{what}");
                assert_eq!(view, recomputed_with_back(&kind, &edges), "{what}");
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

#[test]
fn a_recursion_gets_on_in_each_tick() {
    let edges = (0..12).map(|i| (vec![i, i + 1], 1)).collect::<Rows>();
    for kind in KINDS {
        for (shape, workers) in SHAPES.into_iter().flat_map(|shape| [1, 2].map(|workers| (shape, workers))) {
            let view = settled_in_cut_ticks(&closure(kind.clone(), shape), workers, &edges);
            assert_eq!(view, closure_of(&edges), "{kind:?}, {shape:?}, {workers} workers");
        }
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

/// While so many rows are on the edges of its body, a loop releases none.
pub(crate) const OUTSTANDING_ROWS_MAX: i64 = 1 << 18;

/// Two layers: from each of some sources to every hub, and from there to every sink.
pub(crate) struct Hubs {
    pub sources: i32,
    pub hubs: i32,
    pub sinks: i32,
}

impl Hubs {
    pub fn hub(&self, number: i32) -> i32 {
        self.sources + number
    }

    pub fn sink(&self, number: i32) -> i32 {
        self.sources + self.hubs + number
    }

    pub fn edges(&self) -> Rows {
        let first = (0..self.sources).flat_map(|a| (0..self.hubs).map(move |h| (vec![a, self.hub(h)], 1)));
        let last = (0..self.hubs).flat_map(|h| (0..self.sinks).map(move |s| (vec![self.hub(h), self.sink(s)], 1)));
        first.chain(last).collect()
    }

    /// The edges and each sink of each source, with this weight. It is derived once for every hub.
    pub fn closure(&self, weight: i64) -> Rows {
        let derived = (0..self.sources).flat_map(|a| (0..self.sinks).map(move |s| (vec![a, self.sink(s)], weight)));
        self.edges().into_iter().chain(derived).collect()
    }
}

/// Nothing is released while more than `most` rows are on the edges, but to hold does not wait until they have room again.
pub(crate) fn held_while_edges_are_full(plan: &Arc<StreamPlan>, most: i64, edges: &Rows, wanted: &Rows, what: &str) {
    let is_full = |control: &Control| control.loops[0].outstanding.load(Ordering::Relaxed) > most;
    let edges = edges.iter().map(|(edge, weight)| (edge.clone(), *weight)).collect::<Vec<_>>();
    let (mut view, mut restored) = (Rows::new(), Restored::default());
    let mut harness = Harness::start_in_turns(plan, 2);
    let (outputs, settled) = harness.tick_cut_when(is_full, vec![(0, delta(&edges, 2))]);
    accumulate(&mut view, &outputs);
    assert!(!settled, "{what}: its edges were never full");
    harness.capture(true, &mut restored);
    drop(harness);
    let mut harness = Harness::start(plan, 1, Some(restored));
    let (outputs, settled) = harness.tick(vec![], false);
    accumulate(&mut view, &outputs);
    assert!(settled && view == *wanted, "{what}");
}

#[test]
fn a_loop_is_held_while_its_edges_are_full() {
    let graph = Hubs { sources: 20, hubs: 900, sinks: 50 };
    for kind in KINDS {
        let wanted = graph.closure(if kind == LoopKind::Bag { 900 } else { 1 });
        let plan = closure(kind.clone(), Shape::Join);
        held_while_edges_are_full(&plan, OUTSTANDING_ROWS_MAX, &graph.edges(), &wanted, &format!("{kind:?}"));
    }
}

/// What goes round is put into bytes only where it is held and memory has no room for it.
#[test]
fn nothing_is_serialized_while_nothing_is_held() {
    let edges = (0..200).map(|i| (vec![i, i + 1], 1)).collect::<Vec<_>>();
    for (kind, shape) in
        KINDS.into_iter().flat_map(|kind| [Shape::Fused, Shape::FusedThenMap, Shape::Join].map(|s| (kind.clone(), s)))
    {
        let plan = closure(kind.clone(), shape);
        // With two workers memory has room for nothing.
        let puts = |cut_after: usize| {
            let mut harness = Harness::start_in_turns(&plan, 2);
            let steps = Cell::new(0);
            let cut_when = |_: &Control| steps.replace(steps.get() + 1) >= cut_after;
            let (_, settled) = harness.tick_cut_when(cut_when, vec![(0, delta(&edges, 2))]);
            (settled, harness.puts())
        };
        assert_eq!(puts(usize::MAX), (true, 0), "{kind:?} {shape:?}");
        assert!((0..40).any(|steps| puts(steps).1 > 0), "{kind:?} {shape:?}: what comes back to a held loop is put elsewhere");
    }
}
