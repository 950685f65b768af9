//! Rows that come and go with the time: under random changes of rows and of the time, captured and restored, they are those whose time it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use refrain_dataflow::{Beginning, Restored};
use refrain_plan::{Exchange, Node, Operator, Properties, StreamPlan, Temporal, validate};
use refrain_types::{Delta, RelationId};

use crate::harness::{Harness, Random};

/// A row: its number, and its two points in time, either of which may be NULL.
type Row = (i32, Option<i64>, Option<i64>);
/// How often each row is there.
type Bag = BTreeMap<Row, i64>;

fn field(name: &str, is_nullable: bool) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, None), is_nullable)
}

fn rows_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, false), field("from", true), field("until", true)]))
}

/// The rows of node 0, filtered by the clock that is node 1.
fn plan(bounds: Temporal, exchange: Exchange) -> Arc<StreamPlan> {
    let source = |relation: u64, schema: SchemaRef| Node {
        operator: Operator::Source {
            relation: RelationId(relation),
            name: "source".into(),
            columns: (0..schema.fields().len()).collect(),
        },
        inputs: vec![],
        schema,
        scope: vec![],
        properties: Properties::default(),
    };
    let filter = Node {
        operator: Operator::Temporal(bounds),
        inputs: vec![(0, exchange), (1, Exchange::Broadcast)],
        schema: rows_schema(),
        scope: vec![],
        properties: Properties::default(),
    };
    let nodes = vec![source(1, rows_schema()), source(2, Arc::new(Schema::new(vec![field("now", false)]))), filter];
    let plan = StreamPlan { nodes, root: 2 };
    validate(&plan).expect("the plan is right");
    Arc::new(plan)
}

fn rows(changes: &[(Row, i64)]) -> Delta {
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(changes.iter().map(|((id, ..), _)| *id)));
    let times = |of: fn(&Row) -> Option<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(changes.iter().map(|(row, _)| of(row)).collect::<Vec<_>>()))
    };
    let batch =
        RecordBatch::try_new(rows_schema(), vec![ids, times(|row| row.1), times(|row| row.2)]).expect("columns of one length");
    Delta::weighted(batch, changes.iter().map(|(_, weight)| *weight).collect())
}

fn clock(changes: &[(i64, i64)]) -> Delta {
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(changes.iter().map(|(time, _)| *time).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field("now", false)])), vec![times]).expect("one column");
    Delta::weighted(batch, changes.iter().map(|(_, weight)| *weight).collect())
}

/// How often each number is shown.
fn accumulate(view: &mut BTreeMap<i32, i64>, deltas: &[Delta]) {
    for delta in deltas {
        assert!(delta.errors.is_empty(), "{:?}", delta.errors);
        for (i, id) in delta.rows.column(0).as_primitive::<Int32Type>().values().iter().enumerate() {
            let weight = view.entry(*id).or_default();
            *weight += delta.weight(i);
        }
    }
    view.retain(|_, weight| *weight != 0);
}

/// What is shown of these rows at this time.
fn wanted(rows: &Bag, bounds: &Temporal, now: Option<i64>) -> BTreeMap<i32, i64> {
    let Some(now) = now else { return BTreeMap::new() };
    let mut there = BTreeMap::new();
    for ((id, from, until), weight) in rows {
        let has_come = bounds.from.is_none() || from.is_some_and(|from| from <= now);
        let stays = bounds.until.is_none() || until.is_some_and(|until| now < until);
        if has_come && stays {
            *there.entry(*id).or_insert(0) += weight;
        }
    }
    there.retain(|_, weight| *weight != 0);
    there
}

fn run(bounds: &Temporal, exchange: &Exchange, seed: u64) {
    const STEPS: usize = 60;
    let plan = plan(bounds.clone(), exchange.clone());
    let mut random = Random::of_seed(seed);
    let mut harness = Harness::start(&plan, 1 + random.below(3) as usize, Beginning::Empty);
    let (mut table, mut view, mut now) = (Bag::new(), BTreeMap::new(), None);
    let (mut restored, mut is_captured) = (Restored::default(), false);
    for step in 0..STEPS {
        let mut changes = Vec::new();
        for _ in 0..random.below(5) {
            let live = table.iter().filter(|(_, weight)| **weight > 0).map(|(row, _)| *row).collect::<Vec<_>>();
            let (row, weight) = if random.chance(45) && !live.is_empty() {
                (live[random.below(live.len() as u64) as usize], -1)
            } else {
                // Few points in time, so that a row comes again that was there.
                let mut time = || (!random.chance(10)).then(|| (now.unwrap_or(0) / 8 + random.below(5) as i64 - 1) * 8);
                let (from, until) = (time(), time());
                ((random.below(2) as i32, from, until), 1)
            };
            *table.entry(row).or_default() += weight;
            changes.push((row, weight));
        }
        table.retain(|_, weight| *weight != 0);
        let mut ticks = Vec::new();
        // Perhaps several epochs are admitted at once.
        for _ in 0..random.below(3) {
            let before = now;
            now = Some(now.unwrap_or(0) + 1 + random.below(12) as i64);
            ticks.extend(before.map(|before| (before, -1)).into_iter().chain(now.map(|now| (now, 1))));
        }
        let (outputs, settled) = harness.tick(vec![(0, rows(&changes)), (1, clock(&ticks))], false);
        assert!(settled);
        accumulate(&mut view, &outputs);
        assert_eq!(view, wanted(&table, bounds, now), "{bounds:?} {exchange:?} seed {seed} step {step} at {now:?}: {table:?}");
        if random.chance(30) {
            harness.capture(!is_captured || random.chance(20), &mut restored);
            is_captured = true;
            if random.chance(40) {
                continue;
            }
            let again = Restored { tick: restored.tick, parts: restored.parts.clone() };
            drop(harness);
            harness = Harness::start(&plan, 1 + random.below(3) as usize, Beginning::Restored(again));
        }
    }
}

#[test]
fn rows_are_there_when_it_is_their_time() {
    let all = [(Some(1), None), (None, Some(2)), (Some(1), Some(2))].map(|(from, until)| Temporal { from, until });
    for bounds in all {
        for exchange in [Exchange::Stay, Exchange::Hash(vec![0, 1, 2])] {
            for seed in 0..12 {
                run(&bounds, &exchange, seed);
            }
        }
    }
}

/// What is over is not remembered, however much it was.
#[test]
fn rows_whose_time_is_over_are_forgotten() {
    const LIFE: i64 = 20;
    let plan = plan(Temporal { from: None, until: Some(2) }, Exchange::Stay);
    let mut harness = Harness::start(&plan, 1, Beginning::Empty);
    let mut most = 0;
    for now in 0..400 {
        let come = (0..1_000).map(|id| ((id, None, Some(now + LIFE)), 1)).collect::<Vec<_>>();
        let time = if now == 0 { vec![(now, 1)] } else { vec![(now - 1, -1), (now, 1)] };
        let (_, settled) = harness.tick(vec![(0, rows(&come)), (1, clock(&time))], false);
        assert!(settled);
        let bytes = harness.control.nodes[2].state_bytes();
        if now < 100 {
            most = most.max(bytes);
        }
        assert!(bytes <= most + most / 10, "{bytes} bytes at {now}, {most} at most before 100");
    }
}
