//! Notes add up to what was noted, whatever their form, and whether or not ids have changed in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::memory::{Background, Memory};
use crate::rows::Rows;

type Noted = (u64, Iteration, Weight);

fn noted() -> impl Strategy<Value = Vec<Noted>> {
    let iteration = prop_oneof![0u32..3, Just((1 << 24) - 1), Just(1 << 24), Just(Iteration::MAX - 2)];
    let weight = prop_oneof![-2i64..3, Just(127), Just(128), Just(-128), Just(-129), Just(i64::MAX), Just(i64::MIN)];
    vec((0u64..6, iteration, weight), 0..200)
}

/// Rows 0 to 5 in this order of their ids.
fn rows(in_order: impl Iterator<Item = u64>) -> Rows {
    let mut rows = Rows::new(1);
    in_order.for_each(|row| rows.push(&[row]));
    rows
}

fn sums(all: impl Iterator<Item = Noted>) -> BTreeMap<(u64, Iteration), i128> {
    let mut sums = BTreeMap::new();
    all.for_each(|(row, iteration, weight)| *sums.entry((row, iteration)).or_default() += i128::from(weight));
    sums.retain(|_, sum| *sum != 0);
    sums
}

proptest! {
    #[test]
    fn notes_add_up(first in noted(), second in noted(), renumbers in any::<bool>(), large in any::<bool>(), blocks in 0i64..20, fails in prop::option::of(0usize..4)) {
        // A sum of large weights may need several pieces, so only of small ones there is one for each row and iteration.
        let sized = |notes: Vec<Noted>| notes.into_iter().map(|(row, at, weight)| (row, at, if large { weight } else { weight % 3 })).collect::<Vec<_>>();
        let [first, second] = [first, second].map(sized);
        let mut log = ChangeNotes::from_now_on(&Rows::new(1));
        for (row, iteration, weight) in &first {
            log.push(*row as u32, *iteration, *weight);
        }
        let rows = if renumbers {
            log = log.renumbered(rows(0..6).share());
            rows((0..6).rev())
        } else {
            rows(0..6)
        };
        for (row, iteration, weight) in &second {
            log.push(if renumbers { 5 - *row as u32 } else { *row as u32 }, *iteration, *weight);
        }
        let block = [0, 3, 5, 1].map(|row| if renumbers { 5 - row } else { row });
        let fails_at = fails.map(|i| block[i]);
        for _ in 0..blocks {
            for (iterations, weights) in [([1; 4], [1; 4]), ([1, 1, 2, 2], [1, -1, 1, 1])] {
                let applied = Block::apply((&block, &iterations, &weights), |id, _, _| if fails_at == Some(id) { Err(WeightOverflow) } else { Ok(()) });
                prop_assert_eq!(applied.result().is_err(), fails.is_some());
                log.push_block(&applied);
            }
        }
        let noted = [(0, 1, 1), (3, 1, 1), (5, 1, 1), (1, 1, 1), (0, 1, 1), (3, 1, -1), (5, 2, 1), (1, 2, 1)];
        let noted = (0..8).filter(|i| fails != Some(i % 4)).map(|i| (noted[i].0, noted[i].1, noted[i].2 * blocks)).collect::<Vec<Noted>>();
        let capture = log.into_capture(rows.share(), Iterations::Noted);
        prop_assert!(!capture.full);
        let captured = capture.into_rows();
        let wanted = sums(first.into_iter().chain(second).chain(noted));
        let told = captured.rows.iter().zip(&captured.iterations).zip(&captured.weights).map(|((row, iteration), weight)| (*row, *iteration, *weight));
        prop_assert_eq!(sums(told.clone()), wanted.clone());
        let small = wanted.values().all(|sum| sum.unsigned_abs() < 1 << 63);
        prop_assert!(!small || renumbers || told.count() == wanted.len(), "each row once at an iteration");
    }
}

/// Work that waits until it is asked for.
#[derive(Default)]
struct Waiting(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

impl Background for Waiting {
    fn run(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.lock().unwrap().push(work);
    }
}

impl Waiting {
    fn do_it(&self) -> usize {
        let work = std::mem::take(&mut *self.0.lock().unwrap());
        work.into_iter().map(|work| work()).count()
    }
}

proptest! {
    #[test]
    fn notes_add_up_whenever_that_is_done(noted in vec((vec((0u64..6, 0u32..3, -2i64..3), 0..200), any::<bool>()), 0..12), renumbered_at in prop::option::of(0usize..12)) {
        let (memory, waiting) = (Memory::unlimited(), Arc::new(Waiting::default()));
        memory.tidied_by(Arc::clone(&waiting) as _);
        let mut log = ChangeNotes::from_now_on(&Rows::new(1).within(Some(&memory)));
        for (i, (noted, is_time)) in noted.iter().enumerate() {
            if renumbered_at == Some(i) {
                log = log.renumbered(rows(0..6).share());
            }
            noted.iter().for_each(|(row, iteration, weight)| log.push(*row as u32, *iteration, *weight));
            if *is_time {
                waiting.do_it();
            }
        }
        let captured = log.into_capture(rows(0..6).share(), Iterations::Noted).into_rows();
        let told = captured.rows.iter().zip(&captured.iterations).zip(&captured.weights).map(|((row, iteration), weight)| (*row, *iteration, *weight));
        prop_assert_eq!(sums(told), sums(noted.into_iter().flat_map(|(noted, _)| noted)));
        // Nobody wants it any more.
        waiting.do_it();
    }
}

#[test]
fn notes_are_added_up_by_other_threads() {
    let (memory, waiting) = (Memory::unlimited(), Arc::new(Waiting::default()));
    memory.tidied_by(Arc::clone(&waiting) as _);
    let mut log = ChangeNotes::from_now_on(&Rows::new(1).within(Some(&memory)));
    let note_some = |log: &mut ChangeNotes, notes| (0..notes).for_each(|_| log.push(7, 0, 1));
    note_some(&mut log, 140);
    assert_eq!(waiting.do_it(), 1, "what is not added up yet is not asked for again");
    assert!(log.noted.len() > 70, "{} notes", log.noted.len());
    note_some(&mut log, 20);
    assert_eq!(waiting.do_it(), 1);
    assert!(log.noted.len() < 40, "{} notes", log.noted.len());
    // Nobody adds up, so whoever notes does.
    note_some(&mut log, 3000);
    assert!(log.noted.len() < 300, "{} notes", log.noted.len());
    let captured = log.into_capture(rows(0..9).share(), Iterations::None).into_rows();
    assert_eq!((captured.rows, captured.weights), (vec![7], vec![3160]));
}

#[test]
fn notes_that_cancel_take_no_memory_for_ever() {
    let mut log = ChangeNotes::from_now_on(&Rows::new(1));
    for weight in [1, -1].into_iter().cycle().take(10_000) {
        log.push(7, 0, weight);
        log.push(8, 1 << 30, weight);
    }
    assert!(log.noted.len() < 200, "{} notes", log.noted.len());
    let captured = log.into_capture(rows(0..9).share(), Iterations::None).into_rows();
    assert_eq!(captured, Captured::default());
}
