//! A tick says that it is settled only when nothing is under way: not on an edge, not at another worker, not in a log.
//!
//! Every schedule of two workers with two switches at any of their first steps, and a request to hold at any of these, is run: one worker alone,
//! then the other alone, then both in turn. That is a bounded search of the interleavings, after Musuvathi and Qadeer, "Iterative Context Bounding
//! for Systematic Testing of Multithreaded Programs" (PLDI 2007), in which most mistakes of such protocols show.

use std::cell::Cell;
use std::sync::Arc;

use refrain_dataflow::{Control, Restored};
use refrain_plan::{LoopKind, StreamPlan};

use crate::general::{growing, non_linear_closure};
use crate::harness::{Harness, Rows, accumulate, delta};
use crate::plans::{Shape, closure};
use crate::recursion::closure_of;

/// Steps that a worker may make before the other one does.
const ALONE_MAX: usize = 4;
/// Steps before the request to hold: any of the first, some that may come after the end.
const HOLDS: [usize; 18] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 24, 32, 48, usize::MAX];

fn check(plan: &Arc<StreamPlan>, what: &str) {
    // A cycle, what leads to it, and what is reached from it.
    let edges = [(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)].map(|(a, b)| (vec![a, b], 1));
    let wanted = closure_of(&edges.iter().cloned().collect());
    let (mut settled_at_once, mut held) = (0, 0);
    for schedule in schedules() {
        for hold in HOLDS {
            let mut harness = Harness::start_in_turns(plan, 2);
            harness.step_first(schedule.clone());
            let steps = Cell::new(0);
            let cut_when = |_: &Control| steps.replace(steps.get() + 1) == hold;
            let (outputs, settled) = harness.tick_cut_when(cut_when, vec![(0, delta(&edges, 2))]);
            let mut view = Rows::new();
            accumulate(&mut view, &outputs);
            if settled {
                settled_at_once += 1;
            } else {
                held += 1;
                let mut restored = Restored::default();
                harness.capture(true, &mut restored);
                drop(harness);
                // What was held is replayed under the same schedule.
                let mut harness = Harness::restart_in_turns(plan, 2, restored);
                harness.step_first(schedule.clone());
                let (outputs, settled) = harness.tick(vec![], false);
                assert!(settled, "{what} {schedule:?} hold at {hold}: nobody asked it to hold");
                accumulate(&mut view, &outputs);
            }
            assert_eq!(view, wanted, "{what} {schedule:?} hold at {hold}");
        }
    }
    assert!(settled_at_once > 0 && held > 0, "{what}: {settled_at_once} settled at once, {held} were held");
}

/// Who steps first.
fn schedules() -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    for first in [0, 1] {
        for alone in 0..=ALONE_MAX {
            all.extend((0..=ALONE_MAX).map(|then| [vec![first; alone], vec![1 - first; then]].concat()));
        }
    }
    all
}

#[test]
fn a_recursion_ends_only_when_nothing_is_under_way() {
    for kind in [LoopKind::Set, LoopKind::MonotoneSet] {
        for shape in [Shape::Fused, Shape::Join] {
            check(&closure(kind.clone(), shape), &format!("{kind:?} {shape:?}"));
        }
    }
}

#[test]
fn a_recursion_of_any_form_ends_only_when_nothing_is_under_way() {
    check(&non_linear_closure(), "with iterations");
    check(&growing(&non_linear_closure()), "without");
}
