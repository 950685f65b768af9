//! An arrangement is a Z-set that can be asked by row and by key, whatever came in and in whatever order.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::datatypes::DataType;
use proptest::prelude::*;

use super::*;
use crate::layout::RowLayout;

type Change = (i32, i32, i64);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((0..6i32, 0..6i32, prop_oneof![Just(-2i64), Just(-1), Just(1), Just(2)]), 0..200)
}

fn entries() -> impl Strategy<Value = Entries> {
    prop_oneof![Just(Entries::OfRows), Just(Entries::OfChanges), Just(Entries::OfChangesUntilTakenBack)]
}

/// Rows of two integers, one or two words wide, with the second as key.
fn layouts(wide: bool) -> (RowLayout, KeyOf) {
    let data_type = if wide { DataType::Int64 } else { DataType::Int32 };
    let layout = RowLayout::of_types(&[(data_type.clone(), false), (data_type.clone(), false)]);
    let key = KeyOf::new(&layout, &[1], &RowLayout::of_types(&[(data_type, false)]));
    (layout, key)
}

fn pack(layout: &RowLayout, wide: bool, a: i32, b: i32) -> Vec<u64> {
    use arrow::array::{ArrayRef, Int32Array, Int64Array};
    use std::sync::Arc;
    let columns: Vec<ArrayRef> = if wide {
        [a, b].map(|v| Arc::new(Int64Array::from(vec![i64::from(v)])) as ArrayRef).to_vec()
    } else {
        [a, b].map(|v| Arc::new(Int32Array::from(vec![v])) as ArrayRef).to_vec()
    };
    let mut row = Vec::new();
    layout.pack(&columns, 1, &mut row);
    row
}

proptest! {
    #[test]
    fn rows_and_keys_are_found_with_their_weights(changes in changes(), asked_at in 0..200usize, wide: bool, entries in entries()) {
        let (layout, key) = layouts(wide);
        let mut arrangement = Arrangement::new(layout.words(), entries, Some(key.clone()));
        let mut model: BTreeMap<(i32, i32), i64> = BTreeMap::new();
        for (i, (a, b, weight)) in changes.into_iter().enumerate() {
            if i == asked_at {
                arrangement.index_keys();
            }
            arrangement.add(&pack(&layout, wide, a, b), weight).unwrap();
            *model.entry((a, b)).or_default() += weight;
        }
        arrangement.index_keys();
        for b in 0..6 {
            let mut found: BTreeMap<Vec<u64>, i64> = BTreeMap::new();
            let mut wanted = vec![0; key.words()];
            key.extract(&pack(&layout, wide, 0, b), &mut wanted);
            for (_, row, weight) in arrangement.matches(&wanted) {
                *found.entry(row.to_vec()).or_default() += weight;
            }
            found.retain(|_, w| *w != 0);
            let model = model.iter().filter(|((_, y), w)| *y == b && **w != 0);
            prop_assert_eq!(found, model.map(|((a, b), w)| (pack(&layout, wide, *a, *b), *w)).collect());
        }
    }

    #[test]
    fn captures_add_up_to_the_rows(batches in prop::collection::vec(changes(), 1..6), entries in entries()) {
        let (layout, _) = layouts(false);
        let mut arrangement = Arrangement::new(layout.words(), entries, None);
        let mut captured: BTreeMap<Vec<u64>, i64> = BTreeMap::new();
        for (i, batch) in batches.into_iter().enumerate() {
            for (a, b, weight) in batch {
                arrangement.add(&pack(&layout, false, a, b), weight).unwrap();
            }
            let capture = arrangement.capture(false);
            prop_assert_eq!(capture.full, i == 0, "the first capture is a base");
            let capture = capture.into_rows();
            for (row, weight) in capture.rows.chunks_exact(layout.words()).zip(capture.weights) {
                *captured.entry(row.to_vec()).or_default() += weight;
            }
        }
        captured.retain(|_, w| *w != 0);
        let mut rows: BTreeMap<Vec<u64>, i64> = BTreeMap::new();
        for (_, row, weight) in arrangement.iter() {
            *rows.entry(row.to_vec()).or_default() += weight;
        }
        rows.retain(|_, w| *w != 0);
        prop_assert_eq!(captured, rows);
    }
}

#[test]
fn an_overflowing_weight_changes_nothing() {
    let (layout, _) = layouts(false);
    let mut arrangement = Arrangement::new(layout.words(), Entries::OfRows, None);
    let row = pack(&layout, false, 1, 2);
    arrangement.add(&row, i64::MAX).unwrap();
    assert_eq!(arrangement.add(&row, 1), Err(WeightOverflow));
    assert_eq!(arrangement.iter().next().unwrap().2, i64::MAX);
}

#[test]
fn entries_of_changes_are_those_of_rows_once_a_row_is_taken_back() {
    let (layout, _) = layouts(false);
    let mut arrangement = Arrangement::new(layout.words(), Entries::OfChangesUntilTakenBack, None);
    let (row, large) = (pack(&layout, false, 1, 2), pack(&layout, false, 3, 4));
    for _ in 0..100 {
        arrangement.add(&row, 1).unwrap();
    }
    arrangement.add(&large, i64::MAX).unwrap();
    arrangement.add(&large, i64::MAX).unwrap();
    assert_eq!((arrangement.len(), arrangement.live()), (102, 102));
    let changed = arrangement.add(&row, -1).unwrap();
    assert_eq!((changed.before, changed.after), (100, 99));
    assert_eq!((arrangement.len(), arrangement.live()), (102, 3), "weights that do not add up stay apart");
    arrangement.add(&row, 1).unwrap();
    assert_eq!(arrangement.len(), 102);
}

#[test]
fn entries_that_become_one_are_captured_as_what_they_add_up_to() {
    let (layout, _) = layouts(false);
    let mut arrangement = Arrangement::new(layout.words(), Entries::OfChangesUntilTakenBack, None);
    let row = pack(&layout, false, 1, 2);
    let mut captured = 0;
    for (weights, full) in [(vec![1, 1], true), (vec![1, -1, 5], false), (vec![], false), (vec![-1], false)] {
        for weight in weights {
            arrangement.add(&row, weight).unwrap();
        }
        let capture = arrangement.capture(false);
        assert_eq!(capture.full, full);
        captured += capture.into_rows().weights.iter().sum::<i64>();
        assert_eq!(captured, arrangement.iter().map(|(_, _, weight)| weight).sum::<i64>());
    }
    assert_eq!(captured, 6);
}

#[test]
fn rows_take_no_index_before_it_is_needed() {
    let (layout, key) = layouts(false);
    let mut arrangement = Arrangement::new(layout.words(), Entries::OfChangesUntilTakenBack, Some(key));
    for a in 0..10_000 {
        arrangement.add(&pack(&layout, false, a, a), 1).unwrap();
    }
    let rows_only = arrangement.size_bytes();
    arrangement.index_keys();
    let with_keys = arrangement.size_bytes();
    arrangement.add(&pack(&layout, false, 1, 1), -1).unwrap();
    assert!(rows_only + 10_000 * 16 <= with_keys, "{rows_only} bytes, then {with_keys}");
    assert!(with_keys + 10_000 * 12 <= arrangement.size_bytes(), "{with_keys} bytes, then {}", arrangement.size_bytes());
}

#[test]
fn changes_on_both_sides_of_a_compaction_are_captured() {
    let (layout, _) = layouts(false);
    let mut arrangement = Arrangement::new(layout.words(), Entries::OfRows, None);
    let mut sums: BTreeMap<Vec<u64>, i64> = BTreeMap::new();
    let mut capture = |arrangement: &mut Arrangement, full: bool| {
        let capture = arrangement.capture(false);
        assert_eq!(capture.full, full);
        let captured = capture.into_rows();
        for (row, weight) in captured.rows.chunks_exact(layout.words()).zip(&captured.weights) {
            *sums.entry(row.to_vec()).or_default() += weight;
        }
        sums.retain(|_, weight| *weight != 0);
        assert_eq!(sums, arrangement.iter().map(|(_, row, weight)| (row.to_vec(), weight)).collect());
    };
    let change = |arrangement: &mut Arrangement, rows: Range<i32>, weight: i64| {
        for a in rows {
            arrangement.add(&pack(&layout, false, a, 0), weight).unwrap();
        }
    };
    change(&mut arrangement, 0..10_000, 1);
    capture(&mut arrangement, true);
    for round in 0..2 {
        change(&mut arrangement, 0..9_000, -1);
        arrangement.compact();
        assert_eq!(arrangement.len(), 1_000);
        change(&mut arrangement, 0..9_500, 1);
        change(&mut arrangement, 0..9_500, -1);
        arrangement.compact();
        assert_eq!(arrangement.len(), 10_000, "ids change once between two captures");
        change(&mut arrangement, 0..9_500, 1);
        capture(&mut arrangement, false);
        if round == 0 {
            change(&mut arrangement, 9_000..9_500, -1);
        }
    }
}

#[test]
fn compaction_forgets_dead_rows_only() {
    let (layout, key) = layouts(false);
    let mut arrangement = Arrangement::new(layout.words(), Entries::OfRows, Some(key));
    for a in 0..10_000 {
        arrangement.add(&pack(&layout, false, a, a % 7), 1).unwrap();
    }
    for a in 0..9_000 {
        arrangement.add(&pack(&layout, false, a, a % 7), -1).unwrap();
    }
    arrangement.compact();
    assert_eq!((arrangement.len(), arrangement.live()), (1_000, 1_000));
    assert!(arrangement.find(&pack(&layout, false, 9_500, 9_500 % 7)).is_some());
    assert!(arrangement.find(&pack(&layout, false, 1, 1)).is_none());
}
