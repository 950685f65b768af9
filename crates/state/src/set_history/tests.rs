//! A row is emitted at the first iteration whose running weight is positive, however its derivations came in and wherever releasing
//! stopped in between.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Arrival = (u64, Iteration, Weight);

/// The first iteration with a positive running weight, for each row.
fn wanted(arrivals: &[Arrival]) -> BTreeMap<u64, Iteration> {
    let mut by_row: BTreeMap<u64, BTreeMap<Iteration, Weight>> = BTreeMap::new();
    for (row, iteration, weight) in arrivals {
        *by_row.entry(*row).or_default().entry(*iteration).or_default() += weight;
    }
    let first = |history: BTreeMap<Iteration, Weight>| {
        let mut running = 0;
        history.into_iter().find_map(|(iteration, weight)| {
            running += weight;
            (running > 0).then_some(iteration)
        })
    };
    by_row.into_iter().filter_map(|(row, history)| Some((row, first(history)?))).collect()
}

/// Releases up to `rounds` times three rows and applies what the releases say to `emitted`.
fn release(set: &mut SetHistory, emitted: &mut BTreeMap<u64, Iteration>, rounds: usize) {
    let mut ids = Vec::new();
    for _ in 0..rounds {
        let Some(iteration) = set.take_lowest(3, &mut ids) else { return };
        for id in ids.clone() {
            let row = set.row(id)[0];
            match set.release(iteration, id) {
                RowChange::None => {}
                RowChange::Appears(at) => assert_eq!(emitted.insert(row, at), None),
                RowChange::Disappears(at) => assert_eq!(emitted.remove(&row), Some(at)),
                RowChange::Moves { from, to } => assert_eq!(emitted.insert(row, to), Some(from)),
            }
        }
    }
}

fn arrivals() -> impl Strategy<Value = Vec<Vec<Arrival>>> {
    let weight = prop_oneof![Just(-2i64), Just(-1), Just(1), Just(2)];
    prop::collection::vec(prop::collection::vec((0u64..5, 0u32..6, weight), 0..12), 1..8)
}

proptest! {
    #[test]
    fn rows_are_emitted_where_they_are_first_derived(batches in arrivals(), rounds in 0usize..4) {
        let mut set = SetHistory::new(1, None);
        let (mut all, mut emitted) = (Vec::new(), BTreeMap::new());
        for batch in batches {
            for (row, iteration, weight) in &batch {
                set.arrive(&[*row], &[*iteration], &[*weight]).unwrap();
            }
            all.extend(batch);
            release(&mut set, &mut emitted, rounds);
        }
        release(&mut set, &mut emitted, usize::MAX);
        prop_assert_eq!(&emitted, &wanted(&all));
        prop_assert_eq!(set.live(), emitted.len());
    }

    #[test]
    fn a_history_goes_on_where_it_was_captured(batches in arrivals(), rounds in 0usize..4) {
        let mut set = SetHistory::new(1, None);
        let (mut all, mut emitted) = (Vec::new(), BTreeMap::new());
        let mut captures = Vec::new();
        for batch in batches {
            for (row, iteration, weight) in &batch {
                set.arrive(&[*row], &[*iteration], &[*weight]).unwrap();
            }
            all.extend(batch);
            release(&mut set, &mut emitted, rounds);
            captures.push(set.capture(false));
            set.compact();
        }
        let mut again = SetHistory::new(1, None);
        for (derivations, emissions) in captures.into_iter().map(|(derived, emitted)| (derived.into_rows(), emitted.into_rows())) {
            again.restore(true, &derivations.rows, &derivations.iterations, &derivations.weights).unwrap();
            again.restore(false, &emissions.rows, &emissions.iterations, &emissions.weights).unwrap();
        }
        again.restored().unwrap();
        release(&mut again, &mut emitted, usize::MAX);
        prop_assert_eq!(emitted, wanted(&all));
    }
}

#[test]
fn emissions_that_cannot_be_are_refused() {
    let mut set = SetHistory::new(1, None);
    set.restore(false, &[7], &[3], &[1]).unwrap();
    set.restore(false, &[7], &[4], &[1]).unwrap();
    assert_eq!(set.restored(), Err(WeightOverflow));
    // In whichever order it moved, it is emitted once.
    let mut set = SetHistory::new(1, None);
    for (iteration, weight) in [(2, 1), (4, -1), (4, 1)] {
        set.restore(false, &[7], &[iteration], &[weight]).unwrap();
    }
    assert_eq!(set.restored(), Ok(()));
    assert_eq!(set.live(), 1);
}
