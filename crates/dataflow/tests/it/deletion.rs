//! The edge that feeds a cycle from outside is deleted: the deletion is cut after each of its iterations, captured there, restored and
//! ended.

use refrain_dataflow::Restored;
use refrain_plan::LoopKind;

use crate::harness::{Harness, Rows, accumulate, delta};
use crate::plans::{SHAPES, Shape, closure};
use crate::recursion::closure_of;

const WORKERS: [usize; 3] = [1, 2, 4];
const RESTORED: [usize; 4] = [1, 2, 4, 8];

/// A cycle of the nodes 1 to `length`, and the edge from 0 that feeds it.
fn fed_cycle(length: i32) -> Rows {
    let cycle = (1..=length).map(|i| (vec![i, i % length + 1], 1));
    cycle.chain([(vec![0, 1], 1)]).collect()
}

/// A deletion that was cut: what the view has, and what was captured.
struct Cut {
    view: Rows,
    restored: Restored,
}

/// Builds the closure of the cycle, deletes the edge that feeds it, and cuts that after an iteration.
fn cut_after(iteration: u32, length: i32, shape: Shape, workers: usize) -> Cut {
    let what = format!("{shape:?}, {workers} workers, a cycle of {length}, cut after iteration {iteration}");
    let mut harness = Harness::start_in_turns(&closure(LoopKind::Set, shape), workers);
    let (mut view, mut restored) = (Rows::new(), Restored::default());
    let edges = fed_cycle(length);
    let rows = edges.iter().map(|(edge, weight)| (edge.clone(), *weight)).collect::<Vec<_>>();
    let (outputs, settled) = harness.tick(vec![(0, delta(&rows, 2))], false);
    accumulate(&mut view, &outputs);
    assert!(settled && view == closure_of(&edges), "{what}");
    harness.capture(true, &mut restored);

    let (outputs, settled) = harness.tick_cut_after(iteration, vec![(0, delta(&[(vec![0, 1], -1)], 2))]);
    accumulate(&mut view, &outputs);
    assert!(!settled, "{what}: the deletion was not caught");
    // What the capture before holds changes only by what the deletion has done so far.
    harness.capture(false, &mut restored);
    Cut { view, restored }
}

/// Ends a deletion that was cut, with this many workers.
fn ended(cut: &Cut, shape: Shape, workers: usize) -> Rows {
    let restored = Restored { tick: cut.restored.tick, parts: cut.restored.parts.clone() };
    let mut harness = Harness::start(&closure(LoopKind::Set, shape), workers, Some(restored));
    let mut view = cut.view.clone();
    let (outputs, settled) = harness.tick(vec![], false);
    assert!(settled, "nothing asks for a cut");
    accumulate(&mut view, &outputs);
    view
}

#[test]
fn a_cycle_that_is_cut_off_goes_whole_wherever_its_deletion_is_interrupted() {
    for length in [3, 7] {
        let mut edges = fed_cycle(length);
        let fed = closure_of(&edges);
        edges.remove(&vec![0, 1]);
        let wanted = closure_of(&edges);
        for (shape, workers) in SHAPES.into_iter().flat_map(|shape| WORKERS.map(|workers| (shape, workers))) {
            // A head that derives rows for itself alone ends a small deletion in one activation: there is no middle.
            if matches!(shape, Shape::Stays) || (shape == Shape::Fused && workers == 1) {
                continue;
            }
            for iteration in 0..length.unsigned_abs() {
                let what = format!("{shape:?}, {workers} workers, a cycle of {length}, cut after iteration {iteration}");
                let cut = cut_after(iteration, length, shape, workers);
                // One pair goes in each iteration: that of 0 with the node that is so far away.
                assert_eq!(fed.len() - cut.view.len(), iteration as usize + 1, "{what}");
                for restored in RESTORED {
                    assert_eq!(ended(&cut, shape, restored), wanted, "{what}, restored with {restored} workers");
                }
            }
        }
    }
}
