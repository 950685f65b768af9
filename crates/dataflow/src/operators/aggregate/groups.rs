//! The groups of one worker: their keys, their accumulators, and which of them a tick has touched.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use refrain_plan::{Aggregate, AggregateCall};
use refrain_state::aggregate::{Accumulator, Aggregator, Cell};
use refrain_state::index::HashIndex;
use refrain_state::{RowLayout, row_key};
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, ErrorRow, OperatorId};

use super::kept::{Before, Inputs, Kept, LIVE_WORDS, Sums, function_of, sums_schema};
use crate::operators::{Context, Stateful};
use crate::part::{Captured, Part, Size};
use crate::restore::overflow;

/// Fewer groups without rows than this are not worth a rebuilding.
const EMPTY_GROUPS_MIN: usize = 4096;

/// Groups that speak in one delta.
const FLUSH_GROUPS: usize = 8 * 1024;

/// What a group says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Row(Vec<Cell>),
    Error(ErrorRow),
}

/// See the module.
pub(super) struct Groups {
    operator: OperatorId,
    calls: Vec<(Aggregator, Option<usize>)>,
    keys: usize,
    key_layout: RowLayout,
    key_schema: SchemaRef,
    /// Schema of what the groups say.
    pub physical: SchemaRef,
    index: HashIndex,
    group_keys: Vec<u64>,
    /// Rows in each group.
    live: Vec<i128>,
    /// How many groups have no rows.
    empty: usize,
    /// By call, then by group.
    accumulators: Vec<Vec<Accumulator>>,
    /// What the tick has touched, and what each said before it.
    touched: Vec<(u32, Said)>,
    is_touched: Vec<bool>,
    /// The group of an aggregate without keys, until it speaks for the first time.
    silent: Option<u32>,
    kept: Kept,
    packed_keys: Vec<u64>,
    rows_of: Vec<u32>,
}

impl Groups {
    pub fn new(context: &Context, schema: &SchemaRef, aggregate: &Aggregate, output: &SchemaRef) -> Self {
        let key_schema = Schema::new(schema.fields()[..aggregate.keys].to_vec());
        let key_layout = RowLayout::of_schema(&key_schema);
        let arguments = aggregate.calls.iter().map(|call| call.argument);
        let calls = aggregators(context, aggregate, schema).into_iter().zip(arguments).collect::<Vec<_>>();
        let kept = match sums_schema(aggregate, schema) {
            Some(schema) => Kept::Sums(Sums { schema, since: None }),
            None => Kept::Inputs(Box::new(Inputs::new(schema, context.memory()))),
        };
        Self {
            operator: context.operator,
            accumulators: vec![Vec::new(); calls.len()],
            calls,
            keys: aggregate.keys,
            index: HashIndex::new(key_layout.words() == 1),
            key_schema: physical_schema(&key_schema),
            key_layout,
            physical: physical_schema(output),
            group_keys: Vec::new(),
            live: Vec::new(),
            empty: 0,
            touched: Vec::new(),
            is_touched: Vec::new(),
            silent: None,
            kept,
            packed_keys: Vec::new(),
            rows_of: Vec::new(),
        }
    }

    /// Begins the one group of an aggregate without keys, which is there even when it is empty and speaks in the first tick.
    pub fn begin_only_group(&mut self) {
        assert_eq!(self.keys, 0, "with keys a group comes with its first row");
        let group = self.group(&vec![0; self.key_layout.words()]);
        self.silent = Some(group);
    }

    /// Whether a group speaks in the first tick even when nothing comes.
    pub fn speaks_first(&self) -> bool {
        self.silent.is_some()
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
            self.empty += 1;
            self.is_touched.push(false);
            for ((aggregator, _), accumulators) in self.calls.iter().zip(&mut self.accumulators) {
                accumulators.push(aggregator.accumulator());
            }
        }
        id
    }

    /// Before a group changes: remembers what it says and what it is.
    fn touch(&mut self, group: u32) {
        if std::mem::replace(&mut self.is_touched[group as usize], true) {
            return;
        }
        self.touched.push((group, self.says(group)));
        if matches!(&self.kept, Kept::Sums(Sums { since: Some(before), .. }) if !before.is_noted(group)) {
            let sums = self.sums(group);
            if let Kept::Sums(Sums { since: Some(before), .. }) = &mut self.kept {
                before.note(group, sums);
            }
        }
    }

    /// The words of a group's sums; none of a group that is not there: one that is empty, or has not spoken yet.
    fn sums(&self, group: u32) -> Option<Box<[u64]>> {
        let live = self.live[group as usize];
        let mut words = vec![live as u64, (live >> 64) as u64];
        for ((aggregator, _), all) in self.calls.iter().zip(&self.accumulators) {
            aggregator.write_sums(&all[group as usize], &mut words);
        }
        let is_there = if self.keys == 0 { self.silent != Some(group) } else { words.iter().any(|word| *word != 0) };
        is_there.then(|| words.into())
    }

    /// Adds changes to the groups.
    pub fn take(&mut self, delta: &Delta, errors: &mut Errors) {
        let operator = self.operator;
        if let Kept::Inputs(inputs) = &mut self.kept {
            inputs.add(&delta.rows, |row| delta.weight(row), |weight| errors.push(overflow(operator, weight)));
        }
        self.locate(&delta.rows);
        let groups = std::mem::take(&mut self.rows_of);
        for (row, group) in groups.iter().enumerate() {
            self.touch(*group);
            self.add_rows(*group, i128::from(delta.weight(row)));
        }
        for ((aggregator, argument), accumulators) in self.calls.iter().zip(&mut self.accumulators) {
            let column = argument.map(|a| delta.rows.column(a));
            aggregator.update_groups(accumulators, &groups, column, |row| delta.weight(row));
        }
        self.rows_of = groups;
    }

    fn add_rows(&mut self, group: u32, rows: i128) {
        let live = &mut self.live[group as usize];
        let after = live.wrapping_add(rows);
        self.empty = self.empty + usize::from(after == 0) - usize::from(*live == 0);
        *live = after;
    }

    /// Finds the group of each row, which begins with its key columns: `rows_of`.
    fn locate(&mut self, rows: &RecordBatch) {
        let mut keys = std::mem::take(&mut self.packed_keys);
        keys.clear();
        if self.keys == 0 {
            keys.resize(rows.num_rows() * self.key_layout.words(), 0);
        } else {
            self.key_layout.pack_columns_subset(rows, &(0..self.keys).collect::<Vec<_>>(), &mut keys);
        }
        let mut groups = std::mem::take(&mut self.rows_of);
        groups.clear();
        groups.extend(keys.chunks_exact(self.key_layout.words()).map(|key| self.group(key)));
        (self.packed_keys, self.rows_of) = (keys, groups);
    }

    /// What a group should say now. The group of an aggregate without keys is there even when it is empty.
    fn says(&self, group: u32) -> Said {
        if (self.live[group as usize] <= 0 && self.keys > 0) || self.silent == Some(group) {
            return Said::Nothing;
        }
        let results = self.calls.iter().zip(&self.accumulators).map(|((call, _), all)| call.result(&all[group as usize]));
        match results.collect::<Result<Vec<_>, _>>() {
            Ok(row) => Said::Row(row),
            Err((code, message)) => Said::Error(ErrorRow { operator: self.operator, code, message }),
        }
    }

    /// Gives what the touched groups say that they did not say before the tick.
    pub fn flush(&mut self, mut give: impl FnMut(Delta)) {
        if let Some(group) = self.silent {
            self.touch(group);
            self.silent = None;
        }
        while !self.touched.is_empty() {
            let some = self.touched.split_off(self.touched.len().saturating_sub(FLUSH_GROUPS));
            let delta = self.speak(some);
            if !delta.is_empty() {
                give(delta);
            }
        }
    }

    fn speak(&mut self, touched: Vec<(u32, Said)>) -> Delta {
        let (mut groups, mut cells, mut weights, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (group, before) in touched {
            self.is_touched[group as usize] = false;
            let now = self.says(group);
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
        let calls = self.calls.iter().enumerate();
        let results = calls.map(|(call, (aggregator, _))| aggregator.column(cells.iter().map(|row| row[call]))).collect();
        Delta { errors, ..Delta::weighted(self.with_keys(&self.physical, &groups, results), weights) }
    }

    /// Rows of these groups: their keys, then these columns.
    fn with_keys(&self, schema: &SchemaRef, groups: &[u32], columns: Vec<ArrayRef>) -> RecordBatch {
        let mut all: Vec<ArrayRef> = Vec::new();
        if self.keys > 0 {
            let words = self.key_layout.words();
            let keys = groups.iter().flat_map(|g| &self.group_keys[*g as usize * words..(*g as usize + 1) * words]).copied();
            all.extend(self.key_layout.unpack(&keys.collect::<Vec<_>>(), &self.key_schema).columns().iter().cloned());
        }
        all.extend(columns);
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        RecordBatch::try_new_with_options(Arc::clone(schema), all, &options).expect("keys and columns have the plan's types")
    }

    /// Adds restored rows of the part of the sums.
    pub fn restore_sums(&mut self, delta: &Delta) {
        self.locate(&delta.rows);
        let columns = delta.rows.columns()[self.keys..].iter().map(|c| c.as_any().downcast_ref::<UInt64Array>());
        let columns = columns.collect::<Option<Vec<_>>>().expect("sums are words");
        let groups = std::mem::take(&mut self.rows_of);
        let mut words = Vec::new();
        for (row, group) in groups.iter().enumerate() {
            words.clear();
            words.extend(columns.iter().map(|column| column.value(row)));
            let (group, weight) = (*group as usize, delta.weight(row));
            let mut rest = &words[LIVE_WORDS..];
            let live = i128::from(words[1] as i64) << 64 | i128::from(words[0]);
            self.add_rows(group as u32, live.wrapping_mul(i128::from(weight)));
            for ((aggregator, _), accumulators) in self.calls.iter().zip(&mut self.accumulators) {
                rest = aggregator.add_sums(&mut accumulators[group], rest, weight);
            }
        }
        if !groups.is_empty() {
            // The sums of a group that has not spoken are in no capture.
            self.silent = None;
        }
        self.rows_of = groups;
    }

    /// After a restore: what the groups say now they said before they were captured, and changes are listed from now on.
    pub fn restored(&mut self) {
        self.touched.clear();
        self.is_touched.fill(false);
        match &mut self.kept {
            Kept::Sums(sums) => sums.since = Some(Before::default()),
            Kept::Inputs(inputs) => {
                inputs.rows.list_changes();
                self.silent = None;
            }
        }
    }

    /// The sums of all groups, or what `before` says has changed.
    fn sums_delta(&self, schema: &SchemaRef, before: Option<Before>) -> Delta {
        let (mut groups, mut weights, mut words) = (Vec::new(), Vec::new(), Vec::new());
        let mut push = |group: u32, weight: i64, sums: Option<Box<[u64]>>| {
            if let Some(sums) = sums {
                groups.push(group);
                weights.push(weight);
                words.extend_from_slice(&sums);
            }
        };
        match before {
            None => (0..self.live.len() as u32).for_each(|group| push(group, 1, self.sums(group))),
            Some(before) => {
                for (group, sums) in before.groups {
                    push(group, -1, sums);
                    push(group, 1, self.sums(group));
                }
            }
        }
        let width = schema.fields().len() - self.keys;
        let column = |i: usize| Arc::new(words.iter().skip(i).step_by(width).copied().collect::<UInt64Array>()) as ArrayRef;
        let columns = (0..width).map(column).collect();
        Delta::weighted(self.with_keys(&physical_schema(schema), &groups, columns), weights)
    }
}

impl Stateful for Groups {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        assert!(self.touched.is_empty(), "a tick ends when every touched group has spoken");
        let operator = self.operator;
        match &mut self.kept {
            Kept::Inputs(inputs) => {
                let rows = inputs.rows.capture(full);
                vec![Captured::packed(operator, Part::Left, &inputs.schema, &inputs.layout, rows)]
            }
            Kept::Sums(kept) => {
                let before = kept.since.replace(Before::default()).filter(|_| !full);
                let schema = Arc::clone(&kept.schema);
                let is_full = before.is_none();
                let delta = self.sums_delta(&schema, before);
                vec![Captured::pieces(operator, Part::Sums, is_full, &schema, vec![Arc::new(delta).into()])]
            }
        }
    }

    /// Between ticks: forgets the groups that are not there, when they are most of all. Ids change.
    fn rest(&mut self) {
        match &mut self.kept {
            Kept::Inputs(inputs) => inputs.rows.compact(),
            Kept::Sums(Sums { since: Some(before), .. }) if !before.groups.is_empty() => return,
            Kept::Sums(_) => {}
        }
        if self.keys == 0 || self.empty < EMPTY_GROUPS_MIN || self.empty * 2 < self.live.len() {
            return;
        }
        let words = self.key_layout.words();
        let (keys, live) = (std::mem::take(&mut self.group_keys), std::mem::take(&mut self.live));
        let mut accumulators = self.accumulators.iter_mut().map(|all| std::mem::take(all).into_iter()).collect::<Vec<_>>();
        self.index = HashIndex::new(self.index.is_exact());
        self.is_touched.clear();
        self.empty = 0;
        for (key, live) in keys.chunks_exact(words).zip(live) {
            let of_group =
                accumulators.iter_mut().map(|all| all.next().expect("each group has its accumulators")).collect::<Vec<_>>();
            if live != 0 {
                let group = self.group(key) as usize;
                self.live[group] = live;
                self.accumulators.iter_mut().zip(of_group).for_each(|(all, own)| all[group] = own);
            }
        }
        if let Kept::Sums(Sums { since: Some(before), .. }) = &mut self.kept {
            *before = Before::default();
        }
    }

    fn operator(&self) -> OperatorId {
        self.operator
    }

    fn sizes(&self, each: &mut dyn FnMut(Part, Size)) {
        let accumulators = self.accumulators.iter().map(|all| all.capacity() * size_of::<Accumulator>()).sum::<usize>();
        let groups = self.group_keys.capacity() * size_of::<u64>() + self.live.capacity() * size_of::<i128>();
        let bytes = self.index.size_bytes() + groups + accumulators;
        each(Part::Sums, Size { rows: self.index.len(), bytes });
        if let Kept::Inputs(inputs) = &self.kept {
            each(Part::Left, Size::of(&inputs.rows));
        }
    }
}

/// What the calls of an aggregate over rows of `schema` compute.
pub(crate) fn aggregators(context: &Context, aggregate: &Aggregate, schema: &Schema) -> Vec<Aggregator> {
    let aggregator = |call: &AggregateCall| {
        let argument: Option<&DataType> = call.argument.map(|a| schema.field(a).data_type());
        Aggregator::new(function_of(call.function), argument, &call.result, context.dictionary())
    };
    aggregate.calls.iter().map(|call| aggregator(call).expect("the planner refuses other aggregates")).collect()
}
