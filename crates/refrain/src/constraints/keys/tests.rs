//! Keys beside a list of all rows that is looked through for each change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch};
use proptest::collection::vec;
use proptest::prelude::*;
use refrain_sql::catalog::Relation as Entry;
use refrain_sql::{Catalog, Statement};
use refrain_state::Dictionary;
use refrain_types::{Delta, Weight};

use super::Keys;

type Row = (Option<i32>, Option<i32>);

const TABLE: &str = "CREATE TABLE t (a int, b int, UNIQUE (a), UNIQUE NULLS NOT DISTINCT (b, a))";

fn table() -> Entry {
    let Statement::CreateTable(create) = refrain_sql::parse(TABLE).unwrap().remove(0).0 else { panic!() };
    let mut catalog = Catalog::default();
    let id = catalog.create_table(&create).unwrap();
    catalog.get(id).unwrap().clone()
}

fn delta(entry: &Entry, rows: &[(Row, Weight)]) -> Arc<Delta> {
    let column = |of: fn(&Row) -> Option<i32>| Arc::new(rows.iter().map(|(row, _)| of(row)).collect::<Int32Array>());
    let batch = RecordBatch::try_new(entry.schema(), vec![column(|row| row.0), column(|row| row.1)]).unwrap();
    Arc::new(Delta::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect()))
}

/// Whether two of the rows have a key in common.
fn collide(rows: &BTreeMap<Row, Weight>) -> bool {
    let (mut by_a, mut by_both) = (BTreeMap::new(), BTreeMap::new());
    for ((a, b), weight) in rows {
        if a.is_some() {
            *by_a.entry(a).or_insert(0) += weight;
        }
        *by_both.entry((b, a)).or_insert(0) += weight;
    }
    by_a.values().any(|count| *count > 1) || by_both.values().any(|count| *count > 1)
}

fn value() -> impl Strategy<Value = Option<i32>> {
    prop_oneof![Just(None), (0..4).prop_map(Some)]
}

proptest! {
    #[test]
    fn what_is_admitted_has_no_key_twice(statements in vec(vec(((value(), value()), any::<bool>()), 1..5), 1..40)) {
        let (entry, keys, dictionary) = (table(), Keys::default(), Dictionary::new());
        let mut rows = BTreeMap::<Row, Weight>::new();
        for statement in statements {
            let mut after = rows.clone();
            let mut changes = Vec::new();
            for (row, insert) in statement {
                // A statement deletes rows that were there before it.
                let deleted = changes.iter().filter(|change| **change == (row, -1)).count();
                if insert || rows.get(&row).copied().unwrap_or(0) > Weight::try_from(deleted).unwrap() {
                    let weight = if insert { 1 } else { -1 };
                    *after.entry(row).or_insert(0) += weight;
                    changes.push((row, weight));
                }
            }
            after.retain(|_, weight| *weight != 0);
            if changes.is_empty() {
                continue;
            }
            let all = || vec![delta(&entry, &rows.iter().map(|(row, weight)| (*row, *weight)).collect::<Vec<_>>())];
            let admitted = keys.admit(&entry, all, &[delta(&entry, &changes)], &dictionary);
            prop_assert_eq!(admitted.is_err(), collide(&after), "{:?} over {:?}", changes, rows);
            if admitted.is_ok() {
                rows = after;
            }
        }
    }
}
