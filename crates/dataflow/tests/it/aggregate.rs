//! Groups under random changes, captured and restored by other numbers of workers, equal recomputation.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int32Type, Int64Type, Schema};
use refrain_dataflow::{Part, Restored, part};
use refrain_plan::{Aggregate, AggregateCall, AggregateFunction, Exchange, Node, Operator, Properties, StreamPlan};
use refrain_types::{Delta, OperatorId, RelationId};

use crate::harness::{Harness, Random, Rows, delta};
use crate::plans::schema;

/// `SELECT [a,] count(*), sum(b), avg(b) [, max(b)] FROM t [GROUP BY a]`, of INTs.
fn grouping(keys: usize, has_max: bool) -> Arc<StreamPlan> {
    let call = |function, argument, result| AggregateCall { function, argument, result };
    let mut calls = vec![
        call(AggregateFunction::Count, None, DataType::Int64),
        call(AggregateFunction::Sum, Some(1), DataType::Int64),
        call(AggregateFunction::Avg, Some(1), DataType::Decimal128(38, 2)),
    ];
    if has_max {
        calls.push(call(AggregateFunction::Max, Some(1), DataType::Int32));
    }
    let input = schema(&["a", "b"]);
    let results = calls.iter().enumerate().map(|(i, call)| Field::new(format!("r{i}"), call.result.clone(), true));
    let fields = input.fields()[..keys].iter().map(|field| field.as_ref().clone()).chain(results);
    let output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let source = Operator::Source { relation: RelationId(1), name: "t".into(), columns: vec![0, 1] };
    let node = |operator, inputs, schema| Node { operator, inputs, schema, scope: vec![], properties: Properties::default() };
    let exchange = Exchange::Hash((0..keys).collect());
    let nodes =
        vec![node(source, vec![], input), node(Operator::Aggregate(Aggregate { keys, calls }), vec![(0, exchange)], output)];
    Arc::new(StreamPlan { nodes, root: 1 })
}

/// Rows of numbers, NULL among them, with weights.
type Groups = BTreeMap<Vec<Option<i128>>, i64>;

fn accumulate(into: &mut Groups, deltas: &[Delta]) {
    for delta in deltas {
        assert!(delta.errors.is_empty(), "{:?}", delta.errors);
        for i in 0..delta.num_rows() {
            let value = |column: &dyn Array| match column.data_type() {
                _ if column.is_null(i) => None,
                DataType::Int32 => Some(i128::from(column.as_primitive::<Int32Type>().value(i))),
                DataType::Int64 => Some(i128::from(column.as_primitive::<Int64Type>().value(i))),
                _ => Some(column.as_primitive::<Decimal128Type>().value(i)),
            };
            let row = delta.rows.columns().iter().map(|c| value(c)).collect::<Vec<_>>();
            let weight = into.entry(row.clone()).or_default();
            *weight += delta.weight(i);
            if *weight == 0 {
                into.remove(&row);
            }
        }
    }
}

fn recomputed(rows: &Rows, keys: usize, has_max: bool) -> Groups {
    let mut groups: BTreeMap<Option<i32>, Vec<(i128, i128)>> = BTreeMap::new();
    if keys == 0 {
        groups.insert(None, Vec::new());
    }
    for (row, weight) in rows {
        groups.entry((keys > 0).then_some(row[0])).or_default().push((i128::from(row[1]), i128::from(*weight)));
    }
    let row = |(key, values): (Option<i32>, Vec<(i128, i128)>)| {
        let count = values.iter().map(|(_, weight)| weight).sum::<i128>();
        let sum = values.iter().map(|(value, weight)| value * weight).sum::<i128>();
        let average = (count != 0).then(|| {
            let (scaled, half) = (sum.abs() * 100, count / 2);
            (scaled + half) / count * sum.signum()
        });
        let mut row = key.map(|key| Some(i128::from(key))).into_iter().collect::<Vec<_>>();
        row.extend([Some(count), (count != 0).then_some(sum), average]);
        row.extend(has_max.then(|| values.iter().map(|(value, _)| *value).max()));
        (row, 1)
    };
    groups.into_iter().map(row).collect()
}

fn run(keys: usize, has_max: bool, workers: usize, seed: u64) {
    let mut random = Random::of_seed(seed);
    let plan = grouping(keys, has_max);
    let mut harness = Harness::start(&plan, workers, None);
    let (mut rows, mut view) = (Rows::new(), Groups::new());
    let mut restored = Restored::default();
    let mut is_captured = false;
    for step in 0..40 {
        let mut changes = Vec::new();
        for _ in 0..random.below(5) {
            let live = rows.keys().cloned().collect::<Vec<_>>();
            let (row, weight) = if !live.is_empty() && random.chance(55) {
                (live[random.below(live.len() as u64) as usize].clone(), -1)
            } else {
                (vec![random.below(4) as i32, random.below(7) as i32 - 3], 1)
            };
            let entry = rows.entry(row.clone()).or_default();
            *entry += weight;
            if *entry == 0 {
                rows.remove(&row);
            }
            changes.push((row, weight));
        }
        let (outputs, settled) = harness.tick(vec![(0, delta(&changes, 2))], false);
        accumulate(&mut view, &outputs);
        assert!(settled);
        let run = (keys, has_max, workers, seed, step);
        assert_eq!(view, recomputed(&rows, keys, has_max), "{run:?} of {rows:?}");
        if random.chance(40) {
            harness.capture(!is_captured || random.chance(20), &mut restored);
            is_captured = true;
            if random.chance(50) {
                let again = Restored { tick: restored.tick, parts: restored.parts.clone() };
                drop(harness);
                harness = Harness::start(&plan, 1 + random.below(3) as usize, Some(again));
            }
        }
    }
}

#[test]
fn groups_equal_recomputation_under_changes_and_restarts() {
    for keys in [0, 1] {
        for has_max in [false, true] {
            for workers in [1, 2, 3] {
                for seed in 0..6 {
                    run(keys, has_max, workers, seed);
                }
            }
        }
    }
}

/// What is captured follows the groups, not the rows, and a changed group is in it as it was and as it is.
#[test]
fn sums_are_captured_rather_than_rows() {
    let plan = grouping(1, false);
    let mut harness = Harness::start(&plan, 1, None);
    let rows = (0..1000).map(|i| (vec![i % 3, i], 1)).collect::<Vec<_>>();
    harness.tick(vec![(0, delta(&rows, 2))], false);
    let mut restored = Restored::default();
    harness.capture(true, &mut restored);
    let key = (OperatorId(1), Part::Sums);
    let captured = |restored: &Restored| restored.parts[&key].iter().map(|delta| delta.num_rows()).collect::<Vec<_>>();
    assert_eq!(captured(&restored), [3]);
    harness.tick(vec![(0, delta(&[(vec![1, 5], 1), (vec![9, 5], 1)], 2))], false);
    harness.capture(false, &mut restored);
    assert_eq!(captured(&restored), [3, 3]);
    let names = |part| part::schema(&plan, OperatorId(1), part).map(|s| s.fields().len());
    assert_eq!((names(Part::Sums), names(Part::Left)), (Some(1 + 2 + 2 + 4 + 4), None));
}

/// A group without keys that was captured before it spoke speaks after the restore.
#[test]
fn an_only_group_that_has_not_spoken_is_restored_so() {
    let plan = grouping(0, false);
    let mut restored = Restored::default();
    Harness::start(&plan, 1, None).capture(true, &mut restored);
    let mut harness = Harness::start(&plan, 2, Some(restored));
    let mut view = Groups::new();
    let (outputs, _) = harness.tick(vec![], false);
    accumulate(&mut view, &outputs);
    assert_eq!(view, recomputed(&Rows::new(), 0, false));
}
