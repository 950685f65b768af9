//! What an aggregate puts into a checkpoint: the sums of its groups where an accumulator is a few sums, else its input rows.
//!
//! Either is a Z-set that adds up over captures. A group whose sums changed is in a capture twice: as it was, with weight −1, and as
//! it is. Since sums are linear, a restore adds them in any order.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use refrain_plan::{Aggregate, AggregateFunction};
use refrain_state::aggregate::{Function, sum_words};
use refrain_state::{Arrangement, Entries, Memory, RowLayout};
use refrain_types::Weight;

/// Words of the number of rows of a group.
pub(super) const LIVE_WORDS: usize = 2;

/// What is kept for a checkpoint beside the accumulators.
pub(super) enum Kept {
    Sums(Sums),
    Inputs(Box<Inputs>),
}

/// The sums of groups, as they were captured last.
pub(super) struct Sums {
    /// Logical schema of a group with its sums.
    pub schema: SchemaRef,
    /// `None` as long as nothing was captured.
    pub since: Option<Before>,
}

/// The groups that changed since the last capture.
#[derive(Default)]
pub(super) struct Before {
    /// Each with the words of its sums then; none where it was not there.
    pub groups: Vec<(u32, Option<Box<[u64]>>)>,
    /// By group.
    is_noted: Vec<bool>,
}

impl Before {
    pub fn is_noted(&self, group: u32) -> bool {
        self.is_noted.get(group as usize).is_some_and(|noted| *noted)
    }

    /// Notes what a group is before it changes.
    pub fn note(&mut self, group: u32, sums: Option<Box<[u64]>>) {
        if self.is_noted.len() <= group as usize {
            self.is_noted.resize(group as usize + 1, false);
        }
        self.is_noted[group as usize] = true;
        self.groups.push((group, sums));
    }
}

/// The input rows.
pub(super) struct Inputs {
    pub schema: SchemaRef,
    pub layout: RowLayout,
    pub rows: Arrangement,
    packed: Vec<u64>,
}

impl Inputs {
    pub fn new(schema: &SchemaRef, memory: &Arc<Memory>) -> Self {
        let layout = RowLayout::of_schema(schema);
        Self {
            schema: Arc::clone(schema),
            rows: Arrangement::new(layout.words(), Entries::OfRows, None).within(memory),
            layout,
            packed: Vec::new(),
        }
    }

    /// Adds rows, and calls `overflows` with the weight of each that cannot be added.
    pub fn add(&mut self, rows: &RecordBatch, weight: impl Fn(usize) -> Weight, mut overflows: impl FnMut(Weight)) {
        self.packed.clear();
        self.layout.pack_batch(rows, &mut self.packed);
        for (i, row) in self.packed.chunks_exact(self.layout.words()).enumerate() {
            if self.rows.add(row, weight(i)).is_err() {
                overflows(weight(i));
            }
        }
    }
}

/// Which aggregate a call is.
pub(super) fn function_of(function: AggregateFunction) -> Function {
    match function {
        AggregateFunction::Count => Function::Count,
        AggregateFunction::Sum => Function::Sum,
        AggregateFunction::Min => Function::Min,
        AggregateFunction::Max => Function::Max,
        AggregateFunction::Avg => Function::Avg,
    }
}

/// Logical schema of groups with their sums: the key, the words of the number of rows, then those of what each call adds up. `None`
/// where a call remembers more than sums.
pub(crate) fn sums_schema(aggregate: &Aggregate, input: &Schema) -> Option<SchemaRef> {
    let words = |call: &refrain_plan::AggregateCall| {
        sum_words(function_of(call.function), call.argument.map(|column| input.field(column).data_type()))
    };
    let words = aggregate.calls.iter().map(words).sum::<Option<usize>>()? + LIVE_WORDS;
    let mut fields = input.fields()[..aggregate.keys].to_vec();
    fields.extend((0..words).map(|i| Arc::new(Field::new(format!("sum_{i}"), DataType::UInt64, false))));
    Some(Arc::new(Schema::new(fields)))
}
