//! A bag releases what was derived, added up by row and iteration, lowest iteration first.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;

use super::*;
use crate::RowLayout;

fn drain(bag: &mut BagCalendar) -> BTreeMap<(u64, Iteration), Weight> {
    let (mut released, mut ids) = (BTreeMap::new(), Vec::new());
    while bag.lowest().is_some() {
        let iteration = bag.take_lowest(3, &mut ids).unwrap();
        for id in &ids {
            let weight = bag.release(*id).unwrap();
            *released.entry((bag.row(*id)[0], iteration)).or_default() += weight;
        }
    }
    released.retain(|_, w| *w != 0);
    released
}

proptest! {
    #[test]
    fn released_weights_are_the_sums_of_what_arrived(arrivals in prop::collection::vec((0u64..8, 0u32..5, -2i64..3), 0..100)) {
        let mut bag = BagCalendar::new(1, None);
        let mut sums: BTreeMap<(u64, Iteration), Weight> = BTreeMap::new();
        for (row, iteration, weight) in arrivals.into_iter().filter(|a| a.2 != 0) {
            bag.arrive(&[row], &[iteration], &[weight]).unwrap();
            *sums.entry((row, iteration)).or_default() += weight;
        }
        sums.retain(|_, w| *w != 0);
        prop_assert_eq!(drain(&mut bag), sums);
        prop_assert_eq!(bag.pending(), 0);
    }
}

#[test]
fn a_retraction_catches_up_with_its_cause() {
    let mut bag = BagCalendar::new(1, None);
    bag.arrive(&[5], &[9], &[3]).unwrap();
    bag.arrive(&[5], &[9], &[-3]).unwrap();
    assert_eq!((bag.pending(), bag.lowest()), (0, None));
}

#[test]
fn an_overflowing_weight_is_told() {
    let mut bag = BagCalendar::new(1, None);
    bag.arrive(&[1], &[0], &[i64::MAX]).unwrap();
    assert_eq!(bag.arrive(&[1], &[0], &[1]), Err(WeightOverflow));
    assert_eq!(drain(&mut bag), BTreeMap::from([((1, 0), i64::MAX)]));
}

#[test]
fn what_cancelled_out_before_its_iteration_is_forgotten_with_its_row() {
    let layout = RowLayout::of_schema(&Schema::new(vec![Field::new("a", DataType::Int64, false)]));
    for key in [None, Some(KeyOf::new(&layout, &[0], &layout))] {
        let mut bag = BagCalendar::new(1, key);
        for row in 0..5_000 {
            bag.arrive(&[row], &[1], &[1]).unwrap();
        }
        for row in 0..5_000 {
            bag.arrive(&[row], &[1], &[-1]).unwrap();
        }
        assert_eq!(bag.lowest(), None);
        bag.compact();
        let (released, pending) = bag.capture(true);
        assert_eq!((released.into_rows().weights, pending.into_rows().weights), (vec![], vec![]));
        bag.arrive(&[7, 8], &[2, 1], &[1, 2]).unwrap();
        let mut pending = bag.capture(true).1.into_rows();
        pending.rows.sort_unstable();
        assert_eq!(pending.rows, [7, 8]);
        assert_eq!(drain(&mut bag), BTreeMap::from([((7, 2), 1), ((8, 1), 2)]));
    }
}
