//! What is released is the best row of each key, however rows came in and wherever a capture came between.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{Dictionary, OrderBy, RowLayout};

/// By key, a value.
type Rows = BTreeMap<u64, u64>;

fn keyed() -> MonotoneKeyed {
    let schema = Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Int64, false)]);
    let layout = RowLayout::of_schema(&schema);
    let key = KeyOf::new(&layout, &[0], &RowLayout::of_types(&[(DataType::Int64, false)]));
    let order = RowOrder::new(&schema, &[OrderBy::ascending(1)], &Dictionary::new());
    MonotoneKeyed::new(layout.words(), key.clone(), order, Some(key))
}

fn release(keyed: &mut MonotoneKeyed, limit: usize, said: &mut Rows) {
    keyed.release(limit, |row, before| {
        assert_eq!(said.insert(row[0], row[1]), before.map(|before| before[1]), "the row that was said before goes");
        assert!(before.is_none_or(|before| before[0] == row[0] && before[1] > row[1]));
    });
}

/// What all of the captures add up to.
fn restored(captures: &[(bool, Captured, Captured)]) -> MonotoneKeyed {
    let mut again = keyed();
    let from = captures.iter().rposition(|(full, ..)| *full).expect("the first one is full");
    let rows = captures[from..].iter().flat_map(|(_, rows, _)| rows.rows.chunks_exact(2).zip(rows.weights.iter().copied()));
    again.restore(rows, &captures[captures.len() - 1].2.rows);
    again
}

proptest! {
    #[test]
    fn the_best_row_of_each_key_is_said(
        steps in vec((vec((0..5u64, 0..9u64), 0..6), 0..5usize, prop_oneof![Just(None), Just(Some(true)), Just(Some(false))]), 1..16),
    ) {
        let (mut keyed, mut wanted, mut said, mut captures) = (keyed(), Rows::new(), Rows::new(), Vec::new());
        for (rows, limit, captures_full) in steps {
            for (key, value) in rows {
                keyed.arrive(&[key, value]);
                let best = wanted.entry(key).or_insert(value);
                *best = value.min(*best);
            }
            release(&mut keyed, limit, &mut said);
            if let Some(full) = captures_full {
                let (rows, frontier) = keyed.capture(full);
                captures.push((rows.full, rows.into_rows(), frontier.into_rows()));
                keyed = restored(&captures);
            }
            for key in 0..5 {
                let mut found = None;
                keyed.matches(&[key], |row| assert_eq!(found.replace(row[1]), None));
                assert_eq!(found, said.get(&key).copied());
            }
        }
        release(&mut keyed, usize::MAX, &mut said);
        assert_eq!(keyed.unreleased(), 0);
        assert_eq!(said, wanted);
    }
}

#[test]
fn better_rows_go_first() {
    let mut keyed = keyed();
    keyed.arrive(&[1, 7, 2, 5, 3, 6, 1, 4]);
    let mut said = Vec::new();
    keyed.release(2, |row, _| said.push(row[1]));
    assert_eq!(said, [4, 5]);
    assert_eq!(keyed.unreleased(), 1);
}
