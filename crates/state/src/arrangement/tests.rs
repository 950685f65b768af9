//! An arrangement is a Z-set that can be asked by row and by key, whatever came in and in whatever order.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use proptest::prelude::*;

use super::*;
use crate::layout::RowLayout;

type Change = (i32, i32, i64);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((0..6i32, 0..6i32, prop_oneof![Just(-2i64), Just(-1), Just(1), Just(2)]), 0..200)
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
    fn rows_and_keys_are_found_with_their_weights(changes in changes(), wide: bool, by_row: bool) {
        let (layout, key) = layouts(wide);
        let mut arrangement = Arrangement::new(layout.words(), by_row, Some(key.clone()));
        let mut model: BTreeMap<(i32, i32), i64> = BTreeMap::new();
        for (a, b, weight) in changes {
            arrangement.add(&pack(&layout, wide, a, b), weight).unwrap();
            *model.entry((a, b)).or_default() += weight;
        }
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
    fn captures_add_up_to_the_rows(batches in prop::collection::vec(changes(), 1..6)) {
        let (layout, _) = layouts(false);
        let mut arrangement = Arrangement::new(layout.words(), true, None);
        let mut captured: BTreeMap<Vec<u64>, i64> = BTreeMap::new();
        for (i, batch) in batches.into_iter().enumerate() {
            for (a, b, weight) in batch {
                arrangement.add(&pack(&layout, false, a, b), weight).unwrap();
            }
            let capture = arrangement.capture(false);
            prop_assert_eq!(capture.full, i == 0, "the first capture is a base");
            for (row, weight) in capture.rows.chunks_exact(layout.words()).zip(capture.weights) {
                *captured.entry(row.to_vec()).or_default() += weight;
            }
        }
        captured.retain(|_, w| *w != 0);
        let rows = arrangement.iter().map(|(_, row, weight)| (row.to_vec(), weight)).collect::<BTreeMap<_, _>>();
        prop_assert_eq!(captured, rows);
    }
}

#[test]
fn an_overflowing_weight_changes_nothing() {
    let (layout, _) = layouts(false);
    let mut arrangement = Arrangement::new(layout.words(), true, None);
    let row = pack(&layout, false, 1, 2);
    arrangement.add(&row, i64::MAX).unwrap();
    assert_eq!(arrangement.add(&row, 1), Err(WeightOverflow));
    assert_eq!(arrangement.iter().next().unwrap().2, i64::MAX);
}

#[test]
fn compaction_forgets_dead_rows_only() {
    let (layout, key) = layouts(false);
    let mut arrangement = Arrangement::new(layout.words(), true, Some(key));
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
