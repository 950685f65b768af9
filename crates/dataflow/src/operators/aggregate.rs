//! `GROUP BY`: one row per group, exact under retraction. Outside loops.
//!
//! Changes are added to the groups' accumulators as they come. When the tick's frontier passes, each group that was touched says
//! what its row is now; where that differs from what it said last, the old row goes and the new one comes. A group whose aggregate
//! does not fit its type says an error instead.
//!
//! # Known limitation
//! The input rows are kept beside the accumulators: they are the operator's part of a checkpoint, from which groups are rebuilt.

use std::cell::RefCell;
use std::rc::Rc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use refrain_plan::{Aggregate, AggregateCall, AggregateFunction, Exchange};
use refrain_state::aggregate::{Accumulator, Aggregator, Cell, Function};
use refrain_state::index::HashIndex;
use refrain_state::{Arrangement, RowLayout, row_key};
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, ErrorRow, OperatorId};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::{Context, Edge, Stateful, connect, output};
use crate::part::{Captured, Part};
use crate::restore::{overflow, restore_part};
use crate::time::{Path, Time};

/// What a group said last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Row(Vec<Cell>),
    Error(ErrorRow),
}

struct Groups {
    operator: OperatorId,
    schema: SchemaRef,
    layout: RowLayout,
    inputs: Arrangement,
    calls: Vec<(Aggregator, Option<usize>)>,
    keys: usize,
    key_layout: RowLayout,
    key_schema: SchemaRef,
    physical: SchemaRef,
    index: HashIndex,
    group_keys: Vec<u64>,
    live: Vec<i128>,
    /// By call, then by group.
    accumulators: Vec<Vec<Accumulator>>,
    said: Vec<Said>,
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    packed: Vec<u64>,
    packed_keys: Vec<u64>,
    rows_of: Vec<u32>,
}

impl Groups {
    fn new(context: &Context, schema: &SchemaRef, aggregate: &Aggregate, output: &SchemaRef) -> Self {
        let layout = RowLayout::of_schema(schema);
        let key_fields = schema.fields()[..aggregate.keys].to_vec();
        let key_schema = Schema::new(key_fields);
        let key_layout = RowLayout::of_schema(&key_schema);
        let calls = aggregate.calls.iter().map(|call| (aggregator(context, call, schema), call.argument)).collect::<Vec<_>>();
        Self {
            operator: context.operator,
            schema: schema.clone(),
            inputs: Arrangement::new(layout.words(), true, None),
            layout,
            accumulators: vec![Vec::new(); calls.len()],
            calls,
            keys: aggregate.keys,
            index: HashIndex::new(key_layout.words() == 1),
            key_schema: physical_schema(&key_schema),
            key_layout,
            physical: physical_schema(output),
            group_keys: Vec::new(),
            live: Vec::new(),
            said: Vec::new(),
            touched: Vec::new(),
            is_touched: Vec::new(),
            packed: Vec::new(),
            packed_keys: Vec::new(),
            rows_of: Vec::new(),
        }
    }

    /// The group of a key; a key that was not there begins one.
    fn group(&mut self, key: &[u64]) -> u32 {
        let id = u32::try_from(self.live.len()).expect("a worker has fewer than 2^32 groups");
        self.index.reserve(1);
        let (keys, words) = (&self.group_keys, self.key_layout.words());
        let of = |id: u32| &keys[id as usize * words..(id as usize + 1) * words];
        let (id, inserted) = self.index.find_or_insert(row_key(key), id, |other| of(other) == key);
        if inserted {
            self.group_keys.extend_from_slice(key);
            self.live.push(0);
            self.said.push(Said::Nothing);
            self.is_touched.push(false);
            for ((aggregator, _), accumulators) in self.calls.iter().zip(&mut self.accumulators) {
                accumulators.push(aggregator.accumulator());
            }
        }
        id
    }

    fn touch(&mut self, group: u32) {
        if !std::mem::replace(&mut self.is_touched[group as usize], true) {
            self.touched.push(group);
        }
    }

    /// Adds changes to the groups.
    fn take(&mut self, delta: &Delta, errors: &mut Errors) {
        self.packed.clear();
        self.layout.pack_batch(&delta.rows, &mut self.packed);
        let words = self.layout.words();
        for (i, row) in self.packed.chunks_exact(words).enumerate() {
            if self.inputs.add(row, delta.weight(i)).is_err() {
                errors.push(overflow(self.operator, delta.weight(i)));
            }
        }
        let mut keys = std::mem::take(&mut self.packed_keys);
        keys.clear();
        let columns = (0..self.keys).collect::<Vec<_>>();
        if self.keys == 0 {
            keys.resize(delta.num_rows() * self.key_layout.words(), 0);
        } else {
            self.key_layout.pack_columns_subset(&delta.rows, &columns, &mut keys);
        }
        let mut groups = std::mem::take(&mut self.rows_of);
        groups.clear();
        for (i, key) in keys.chunks_exact(self.key_layout.words()).enumerate() {
            let group = self.group(key);
            self.live[group as usize] += i128::from(delta.weight(i));
            self.touch(group);
            groups.push(group);
        }
        for ((aggregator, argument), accumulators) in self.calls.iter().zip(&mut self.accumulators) {
            let column = argument.map(|a| delta.rows.column(a));
            aggregator.update_groups(accumulators, &groups, column, |row| delta.weight(row));
        }
        self.packed_keys = keys;
        self.rows_of = groups;
    }

    /// What a group should say now. The group of an aggregate without keys is there even when it is empty.
    fn says(&self, group: usize) -> Said {
        if self.live[group] <= 0 && self.keys > 0 {
            return Said::Nothing;
        }
        let results = self.calls.iter().zip(&self.accumulators).map(|((aggregator, _), all)| aggregator.result(&all[group]));
        match results.collect::<Result<Vec<_>, _>>() {
            Ok(row) => Said::Row(row),
            Err((code, message)) => Said::Error(ErrorRow { operator: self.operator, code, message }),
        }
    }

    /// What the touched groups say that they did not say before.
    fn flush(&mut self) -> Delta {
        let (mut groups, mut cells, mut weights, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for group in std::mem::take(&mut self.touched) {
            self.is_touched[group as usize] = false;
            let now = self.says(group as usize);
            let before = std::mem::replace(&mut self.said[group as usize], now.clone());
            if now == before {
                continue;
            }
            for (said, weight) in [(before, -1), (now, 1)] {
                match said {
                    Said::Nothing => {}
                    Said::Row(row) => {
                        groups.push(group);
                        cells.push(row);
                        weights.push(weight);
                    }
                    Said::Error(error) => errors.push((error, weight)),
                }
            }
        }
        let rows = self.rows(&groups, &cells);
        Delta { errors, ..Delta::weighted(rows, weights) }
    }

    fn rows(&self, groups: &[u32], cells: &[Vec<Cell>]) -> RecordBatch {
        let words = self.key_layout.words();
        let keys = groups.iter().flat_map(|g| &self.group_keys[*g as usize * words..(*g as usize + 1) * words]).copied();
        let mut columns: Vec<ArrayRef> = Vec::new();
        if self.keys > 0 {
            columns.extend(self.key_layout.unpack(&keys.collect::<Vec<_>>(), &self.key_schema).columns().iter().cloned());
        }
        for (call, (aggregator, _)) in self.calls.iter().enumerate() {
            columns.push(aggregator.column(cells.iter().map(|row| row[call])));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        RecordBatch::try_new_with_options(self.physical.clone(), columns, &options).expect("keys and results have the plan's types")
    }
}

fn aggregator(context: &Context, call: &AggregateCall, schema: &Schema) -> Aggregator {
    let function = match call.function {
        AggregateFunction::Count => Function::Count,
        AggregateFunction::Sum => Function::Sum,
        AggregateFunction::Min => Function::Min,
        AggregateFunction::Max => Function::Max,
        AggregateFunction::Avg => Function::Avg,
    };
    let argument: Option<&DataType> = call.argument.map(|a| schema.field(a).data_type());
    Aggregator::new(function, argument, &call.result, context.dictionary()).expect("the planner refuses other aggregates")
}

impl Stateful for Groups {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        assert!(self.touched.is_empty(), "a tick ends when every touched group has spoken");
        vec![Captured::packed(self.operator, Part::Left, &self.schema, &self.layout, self.inputs.capture(full))]
    }

    fn rest(&mut self) {
        self.inputs.compact();
    }
}

/// Groups `input` by its first columns.
pub(crate) fn aggregate<'scope>(
    context: &Context,
    input: Edge<'scope>,
    exchange: &Exchange,
    placement: &Exchange,
    schema: &SchemaRef,
    aggregate: &Aggregate,
    output_schema: &SchemaRef,
) -> Edge<'scope> {
    let mut groups = Groups::new(context, schema, aggregate, output_schema);
    let restored = context.control.restored.is_some();
    restore_part(context, Part::Left, placement, schema, |delta| groups.take(&delta, &mut Vec::new()));
    // One worker has the group of an aggregate without keys; it speaks in the first tick even if nothing comes.
    let only_group = (aggregate.keys == 0 && context.worker == 0).then(|| {
        let key = vec![0; groups.key_layout.words()];
        groups.group(&key)
    });
    if restored {
        // It said this before it was captured.
        only_group.iter().for_each(|group| groups.touch(*group));
        let _ = groups.flush();
        groups.inputs.list_changes();
    }
    let groups = Rc::new(RefCell::new(groups));
    context.registry.borrow_mut().stateful.push(groups.clone());

    let mut builder = OperatorBuilder::new("Aggregate".into(), input.scope());
    let (mut out, stream) = output(&mut builder);
    let mut inbox = connect(&mut builder, input, exchange, schema, &[Path::default()]);
    builder.build(move |mut initial| {
        let mut speaks_first = only_group.filter(|_| !restored);
        let mut speaking: Option<Capability<Time>> = initial.pop().filter(|_| speaks_first.is_some());
        move |frontiers| {
            let groups = &mut *groups.borrow_mut();
            let mut out = out.activate();
            inbox(&mut |capability, mut delta| {
                let mut errors: Errors = std::mem::take(&mut delta.errors);
                groups.take(&delta, &mut errors);
                if !errors.is_empty() {
                    let errors = Delta::of_errors(groups.physical.clone(), errors);
                    out.session_with_builder(&capability).give_container(&mut errors.into());
                }
                if speaking.as_ref().is_none_or(|c| capability.least().is_some_and(|t| t < c.time())) {
                    speaking = capability.retain_least(0);
                }
            });
            if let Some(capability) = speaking.take_if(|c| !frontiers[0].less_equal(c.time())) {
                speaks_first.take().into_iter().for_each(|group| groups.touch(group));
                let delta = groups.flush();
                if !delta.is_empty() {
                    out.session_with_builder(&capability).give_container(&mut delta.into());
                }
            }
        }
    });
    stream
}
