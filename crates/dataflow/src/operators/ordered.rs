//! What is worked out anew of each group that is touched, from its rows in their order; in a loop at each iteration, of everything up to
//! it.
//!
//! The rows of a group are kept in their order, which is total: rows that come at one place are ordered by all of their columns. When a
//! group is touched, what it gives is worked out along the iterations that its rows have, and what differs from what was said before is
//! given. So deltas may come in any order. Where working it out fails, the group has an error instead.
//!
//! Its part of a checkpoint are the input rows; what was said follows from them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef};
use refrain_plan::{Exchange, GroupCall, Sorting};
use refrain_state::{Arrangement, Dictionary, Entries, KeyOf, OrderBy, RowLayout, RowOrder, decode_batch, encode_batch};
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, ErrorRow, Iteration, OperatorId, SqlState, Weight};

use super::stage::Packed;
use super::{Context, Edge, Stateful, stateful};
use crate::expression::evaluation_error;
use crate::part::{Captured, Part, Size, with_iteration};
use crate::restore::{overflow, restore_part};

/// What is made of a group: packed rows with weights, or why it fails (SQLSTATE and message).
pub(super) type Given = Result<Vec<(Vec<u64>, Weight)>, (SqlState, String)>;

/// What a group gives.
pub(super) trait OfGroup {
    /// Works it out of the rows of a group, packed as the input is, in their order: none twice, each with how often it is there.
    fn give(&self, group: &mut dyn Iterator<Item = (Vec<u64>, u64)>) -> Given;
}

/// How functions see the rows of a group, and what they make of them is packed.
pub(super) struct GroupRows {
    schema: SchemaRef,
    physical: SchemaRef,
    layout: RowLayout,
    output: SchemaRef,
    output_layout: RowLayout,
    dictionary: Arc<Dictionary>,
}

impl GroupRows {
    /// Rows of `schema`, of which rows of `output` are made.
    pub fn new(context: &Context, (schema, output): (&SchemaRef, &SchemaRef)) -> Self {
        Self {
            schema: Arc::clone(schema),
            physical: physical_schema(schema),
            layout: RowLayout::of_schema(schema),
            output: Arc::clone(output),
            output_layout: RowLayout::of_schema(output),
            dictionary: Arc::clone(context.dictionary()),
        }
    }

    /// The rows of a group, logical, each as often as it is there.
    pub fn decoded(&self, group: &mut dyn Iterator<Item = (Vec<u64>, u64)>) -> RecordBatch {
        let mut words = Vec::new();
        for (row, times) in group {
            (0..times).for_each(|_| words.extend_from_slice(&row));
        }
        decode_batch(&self.dictionary, &self.layout.unpack(&words, &self.physical), &self.schema)
    }

    /// The rows of these columns, and of what the calls make of the group, each once.
    pub fn given(&self, mut columns: Vec<ArrayRef>, calls: &[GroupCall], group: &RecordBatch) -> Given {
        for call in calls {
            columns.push(call.function.evaluate(group).map_err(|error| evaluation_error(&error))?);
        }
        let rows =
            RecordBatch::try_new(Arc::clone(&self.output), columns).map_err(|e| (SqlState::INTERNAL_ERROR, e.to_string()))?;
        let mut packed = Vec::new();
        self.output_layout.pack_batch(&encode_batch(&self.dictionary, &rows), &mut packed);
        Ok(packed.chunks_exact(self.output_layout.words()).map(|row| (row.to_vec(), 1)).collect())
    }
}

/// The state of the operator.
pub(super) struct Ordered<F> {
    operator: OperatorId,
    schema: SchemaRef,
    /// Of the output.
    physical: SchemaRef,
    output_layout: RowLayout,
    function: F,
    /// Rows with their iteration as the last cell.
    layout: RowLayout,
    rows: Arrangement,
    key: KeyOf,
    drop_iteration: KeyOf,
    order: RowOrder,
    groups: HashMap<Vec<u64>, Group>,
    /// Groups with new rows, or with others of other weights.
    touched: BTreeMap<Vec<u64>, Vec<u32>>,
}

#[derive(Default)]
struct Group {
    /// All of its rows in their order, dead ones too, by id.
    sorted: Vec<u32>,
    said: Said,
}

/// What was said of a group.
#[derive(Clone, Default)]
struct Said {
    /// Rows with their iteration, and their weights, none of which is 0.
    rows: BTreeMap<(Vec<u64>, Iteration), Weight>,
    error: Option<ErrorRow>,
}

impl<F: OfGroup> Ordered<F> {
    /// Nothing yet, of rows of `schema` in groups by `keys`; the function gives rows of `output`.
    fn new(context: &Context, schema: &SchemaRef, (keys, order): (&[usize], &[Sorting]), output: &SchemaRef, function: F) -> Self {
        let full = with_iteration(schema);
        let layout = RowLayout::of_schema(&full);
        let types = keys.iter().map(|c| (schema.field(*c).data_type().clone(), schema.field(*c).is_nullable()));
        // One group of all rows has a key, too: a column that is the same in all of them.
        let key_layout = RowLayout::of_types(&types.collect::<Vec<(DataType, bool)>>());
        let all = (0..schema.fields().len()).collect::<Vec<_>>();
        let by = order.iter().map(|by| OrderBy { column: by.column, descending: by.descending, nulls_first: by.nulls_first });
        let others = all.iter().filter(|c| !order.iter().any(|by| by.column == **c)).map(|c| OrderBy::ascending(*c));
        Self {
            operator: context.operator,
            physical: physical_schema(output),
            output_layout: RowLayout::of_schema(output),
            function,
            rows: Arrangement::new(layout.words(), Entries::OfRows, None).within(context.memory()),
            key: KeyOf::new(&layout, keys, &key_layout),
            drop_iteration: KeyOf::new(&layout, &all, &RowLayout::of_schema(schema)),
            order: RowOrder::new(&full, &by.chain(others).collect::<Vec<_>>(), context.dictionary()),
            schema: Arc::clone(schema),
            layout,
            groups: HashMap::new(),
            touched: BTreeMap::new(),
        }
    }

    /// Takes changes in and gives what follows.
    fn step(&mut self, mut delta: Delta) -> Delta {
        let mut errors = std::mem::take(&mut delta.errors);
        let mut columns = delta.rows.columns().to_vec();
        columns.push(Arc::new(UInt32Array::from_iter_values((0..delta.num_rows()).map(|i| delta.iteration(i)))) as ArrayRef);
        let mut packed = Vec::new();
        self.layout.pack(&columns, delta.num_rows(), &mut packed);
        for (i, row) in packed.chunks_exact(self.layout.words()).enumerate() {
            if self.add(row, delta.weight(i)).is_err() {
                errors.push(overflow(self.operator, delta.weight(i)));
            }
        }
        self.speak(errors)
    }

    fn add(&mut self, row: &[u64], weight: Weight) -> Result<(), refrain_state::WeightOverflow> {
        let known = self.rows.len();
        let changed = self.rows.add(row, weight)?;
        let mut key = vec![0; self.key.words()];
        self.key.extract(row, &mut key);
        let new = self.touched.entry(key).or_default();
        if changed.id as usize == known {
            new.push(changed.id);
        }
        Ok(())
    }

    /// What the touched groups say that they did not say before.
    fn speak(&mut self, mut errors: Errors) -> Delta {
        let mut out = Packed::default();
        for (key, new) in std::mem::take(&mut self.touched) {
            let mut group = self.groups.remove(&key).unwrap_or_default();
            self.sort_in(&mut group.sorted, new);
            let now = self.says(&group.sorted);
            let before = std::mem::replace(&mut group.said, now.clone());
            if now.error != before.error {
                errors.extend(now.error.map(|error| (error, 1)));
                errors.extend(before.error.map(|error| (error, -1)));
            }
            let mut changes = now.rows;
            for (row, weight) in before.rows {
                *changes.entry(row).or_insert(0) -= weight;
            }
            for ((row, iteration), weight) in changes.into_iter().filter(|(_, weight)| *weight != 0) {
                out.push(&row, iteration, weight);
            }
            self.groups.insert(key, group);
        }
        let mut delta = out.to_delta(&self.output_layout, &self.physical);
        delta.errors = errors;
        delta
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        self.order.compare(self.rows.row(a), self.rows.row(b))
    }

    /// Puts new rows where they belong: a few one by one, many in one go.
    fn sort_in(&self, sorted: &mut Vec<u32>, mut new: Vec<u32>) {
        if new.len() <= 1 + sorted.len() / 64 {
            for id in new {
                let at = sorted.partition_point(|other| self.compare(*other, id).is_lt());
                sorted.insert(at, id);
            }
        } else {
            sorted.append(&mut new);
            // Finds the run that is sorted already.
            sorted.sort_by(|a, b| self.compare(*a, *b));
        }
    }

    /// What a group says: at each iteration what it has come to give, as differences.
    fn says(&self, sorted: &[u32]) -> Said {
        let live = |id: &u32| self.rows.weight(*id) != 0;
        let iterations = sorted.iter().filter(|id| live(id)).map(|id| self.iteration(*id)).collect::<BTreeSet<_>>();
        let mut said = Said::default();
        let mut before: Vec<(Vec<u64>, Weight)> = Vec::new();
        for upto in iterations {
            let now = match self.function.give(&mut self.upto(sorted, upto)) {
                Ok(now) => now,
                Err((code, message)) => {
                    said.error = Some(ErrorRow { operator: self.operator, code, message });
                    break;
                }
            };
            let gone = before.into_iter().map(|(row, weight)| (row, -weight));
            for (row, weight) in now.iter().cloned().chain(gone) {
                *said.rows.entry((row, upto)).or_insert(0) += weight;
            }
            before = now;
        }
        said.rows.retain(|_, weight| *weight != 0);
        said
    }

    /// The rows of a group with iterations up to `upto`, and how often each is there.
    fn upto<'a>(&'a self, sorted: &'a [u32], upto: Iteration) -> impl Iterator<Item = (Vec<u64>, u64)> + 'a {
        // Equal rows of several iterations are one row.
        sorted.chunk_by(|a, b| self.compare(*a, *b).is_eq()).filter_map(move |equal| {
            let counted = equal.iter().filter(|id| self.iteration(**id) <= upto);
            let times = counted.map(|id| self.rows.weight(*id)).fold(0, Weight::saturating_add);
            let times = u64::try_from(times).ok().filter(|times| *times > 0)?;
            let mut row = vec![0; self.drop_iteration.words()];
            self.drop_iteration.extract(self.rows.row(equal[0]), &mut row);
            Some((row, times))
        })
    }

    /// The iteration of a row. (The layout takes 0 for NULL: it cannot tell the cell from a code.)
    fn iteration(&self, id: u32) -> Iteration {
        let cell = self.layout.cell(self.rows.row(id), self.schema.fields().len());
        cell.map_or(0, |iteration| u32::try_from(iteration).expect("the cell has 32 bits"))
    }

    fn restore(&mut self, context: &Context, placement: &Exchange) {
        let schema = Arc::clone(&self.schema);
        restore_part(context, Part::Left, placement, &schema, |delta| {
            let mut packed = Vec::new();
            self.layout.pack_batch(&delta.rows, &mut packed);
            for (i, row) in packed.chunks_exact(self.layout.words()).enumerate() {
                self.add(row, delta.weight(i)).expect("captured weights add up");
            }
        });
        let _ = self.speak(Vec::new());
        self.rows.list_changes();
    }
}

impl<F: OfGroup> Stateful for Ordered<F> {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        let captured = self.rows.capture(full);
        vec![Captured::packed(self.operator, Part::Left, &with_iteration(&self.schema), &self.layout, captured)]
    }

    fn note_everything(&mut self) {
        self.rows.note_everything();
    }

    fn rest(&mut self) {
        let entries = self.rows.len();
        self.rows.compact();
        if self.rows.len() == entries {
            return;
        }
        // Ids are others now. What was said stays said.
        let mut ids: HashMap<Vec<u64>, Vec<u32>> = HashMap::new();
        for (id, row, _) in self.rows.iter() {
            let mut key = vec![0; self.key.words()];
            self.key.extract(row, &mut key);
            ids.entry(key).or_default().push(id);
        }
        let mut groups = std::mem::take(&mut self.groups);
        groups.retain(|key, _| ids.contains_key(key));
        for (key, ids) in ids {
            let group = groups.entry(key).or_default();
            group.sorted.clear();
            self.sort_in(&mut group.sorted, ids);
        }
        self.groups = groups;
    }

    fn operator(&self) -> OperatorId {
        self.operator
    }

    fn sizes(&self, each: &mut dyn FnMut(Part, Size)) {
        let sorted = self.groups.values().map(|group| group.sorted.capacity() * size_of::<u32>()).sum::<usize>();
        each(Part::Left, Size { rows: self.rows.live(), bytes: self.rows.size_bytes() + sorted });
    }
}

/// What the function gives of each group of `input`, whose rows are of `schema`.
pub(super) fn ordered<'scope, F: OfGroup + 'static>(
    context: &Context,
    name: &str,
    (input, exchange, placement): (Edge<'scope>, &Exchange, &Exchange),
    (schema, output): (&SchemaRef, &SchemaRef),
    by: (&[usize], &[Sorting]),
    function: F,
) -> Edge<'scope> {
    let mut state = Ordered::new(context, schema, by, output, function);
    if context.control.restored_tick.is_some() {
        state.restore(context, placement);
    }
    stateful(context, name, (input, exchange), output, state, Ordered::step)
}
