//! `GROUP BY` in a loop, where rows have iterations: at each iteration the value of the operator on everything up to it.
//!
//! Rows are kept by key with their iterations. When a key is touched, its output is worked out anew along the iterations at which
//! something changes, and what differs from what was said before is given. So deltas may come in any order, and only the loop's head
//! or its variables keep order. An aggregate that does not fit its type says an error, which has no iteration: it counts where the
//! recursion ends.
//!
//! Its part of a checkpoint are the input rows; what was said follows from them.

mod value;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::SchemaRef;
use refrain_plan::{Aggregate, Exchange};
use refrain_state::index::HashIndex;
use refrain_state::{Arrangement, Entries, KeyOf, Memory, RowLayout, row_key};
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, ErrorRow, Iteration, OperatorId};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::aggregate::aggregators;
use super::stage::Packed;
use super::{Context, Edge, Stateful, connect, output};
use crate::part::{Captured, Part, Size, with_iteration};
use crate::restore::{overflow, restore_part};
use crate::time::Path;
use value::{Says, Values};

/// Rows by key, each with its iteration as the last cell.
struct Side {
    layout: RowLayout,
    rows: Arrangement,
    key: KeyOf,
}

impl Side {
    fn new(schema: &SchemaRef, key_columns: &[usize], key_layout: &RowLayout, memory: &Arc<Memory>) -> Self {
        let layout = RowLayout::of_schema(&with_iteration(schema));
        let key = KeyOf::new(&layout, key_columns, key_layout);
        let rows = Arrangement::new(layout.words(), Entries::OfRows, Some(key.clone())).within(memory);
        Self { rows, layout, key }
    }
}

struct Reduce {
    operator: OperatorId,
    schema: SchemaRef,
    /// Schema of the output.
    physical: SchemaRef,
    output_layout: RowLayout,
    drop_iteration: KeyOf,
    input: Side,
    output: Side,
    values: Values,
    /// Keys whose value is an error at the end.
    errors_said: BTreeMap<Vec<u64>, ErrorRow>,
    touched: HashIndex,
    touched_keys: Vec<u64>,
    packed: Vec<u64>,
    history: Vec<(Iteration, u32)>,
    changes: Changes,
}

/// What a key says, and what it said with the opposite weight: rows with their iteration, packed.
#[derive(Default)]
struct Changes {
    rows: Vec<u64>,
    weights: Vec<i64>,
    order: Vec<u32>,
}

impl Changes {
    fn push(&mut self, row: &[u64], weight: i64) {
        self.rows.extend_from_slice(row);
        self.weights.push(weight);
    }

    /// Calls `each` with every row whose weights do not add up to 0.
    fn for_each(&mut self, words: usize, mut each: impl FnMut(&[u64], i64)) {
        let row = |i: u32| &self.rows[i as usize * words..(i as usize + 1) * words];
        self.order.clear();
        self.order.extend(0..u32::try_from(self.weights.len()).expect("a key has fewer than 2^32 rows"));
        self.order.sort_unstable_by(|a, b| row(*a).cmp(row(*b)));
        for equal in self.order.chunk_by(|a, b| row(*a) == row(*b)) {
            let weight = equal.iter().map(|i| self.weights[*i as usize]).sum::<i64>();
            if weight != 0 {
                each(row(equal[0]), weight);
            }
        }
        self.rows.clear();
        self.weights.clear();
    }
}

impl Reduce {
    /// Groups by the first `keys` columns.
    fn new(context: &Context, schema: &SchemaRef, aggregate: &Aggregate, output: &SchemaRef) -> Self {
        let keys = aggregate.keys;
        let columns = (0..keys).collect::<Vec<_>>();
        let types = schema.fields()[..keys].iter().map(|f| (f.data_type().clone(), f.is_nullable())).collect::<Vec<_>>();
        let key_layout = RowLayout::of_types(&types);
        let [input_side, output_side] = [schema, output].map(|rows| Side::new(rows, &columns, &key_layout, context.memory()));
        let output_layout = RowLayout::of_schema(output);
        let all = (0..output.fields().len()).collect::<Vec<_>>();
        Self {
            operator: context.operator,
            schema: Arc::clone(schema),
            physical: physical_schema(output),
            drop_iteration: KeyOf::new(&output_side.layout, &all, &output_layout),
            output_layout,
            values: Values::new(
                (aggregate, aggregators(context, aggregate, schema)),
                (&key_layout, &input_side.layout, &output_side.layout),
            ),
            input: input_side,
            output: output_side,
            errors_said: BTreeMap::new(),
            touched: HashIndex::new(key_layout.words() == 1),
            touched_keys: Vec::new(),
            packed: Vec::new(),
            history: Vec::new(),
            changes: Changes::default(),
        }
    }

    /// Takes changes in and gives what follows.
    fn step(&mut self, mut delta: Delta) -> Delta {
        let mut errors = std::mem::take(&mut delta.errors);
        let mut columns = delta.rows.columns().to_vec();
        columns.push(Arc::new(UInt32Array::from_iter_values((0..delta.num_rows()).map(|i| delta.iteration(i)))) as ArrayRef);
        self.packed.clear();
        self.input.layout.pack(&columns, delta.num_rows(), &mut self.packed);
        let packed = std::mem::take(&mut self.packed);
        for (i, row) in packed.chunks_exact(self.input.layout.words()).enumerate() {
            match self.input.rows.add(row, delta.weight(i)) {
                Ok(_) => self.touch(row),
                Err(_) => errors.push(overflow(self.operator, delta.weight(i))),
            }
        }
        self.packed = packed;
        self.speak(errors)
    }

    fn touch(&mut self, row: &[u64]) {
        let start = self.touched_keys.len();
        self.touched_keys.resize(start + self.input.key.words(), 0);
        self.input.key.extract(row, &mut self.touched_keys[start..]);
        let (keys, words) = (&self.touched_keys, self.input.key.words());
        let id = u32::try_from(start / words).expect("a delta has far fewer rows");
        let key = &keys[start..];
        self.touched.reserve(1);
        let of = |id: u32| &keys[id as usize * words..(id as usize + 1) * words];
        if !self.touched.find_or_insert(row_key(key), id, |other| of(other) == key).1 {
            self.touched_keys.truncate(start);
        }
    }

    /// The group of an aggregate without keys is there from the start.
    fn touch_only_group(&mut self) {
        self.touch(&vec![0; self.input.layout.words()]);
    }

    /// What the touched keys say that they did not say before.
    fn speak(&mut self, mut errors: Errors) -> Delta {
        let keys = std::mem::take(&mut self.touched_keys);
        let mut out = Packed::default();
        for key in keys.chunks_exact(self.input.key.words()) {
            self.work_out(key, &mut errors);
            let (output, mut row) = (&mut self.output, vec![0; self.drop_iteration.words()]);
            let iteration_cell = self.physical.fields().len();
            let mut overflows = 0;
            self.changes.for_each(output.layout.words(), |full, weight| {
                if output.rows.add(full, weight).is_err() {
                    overflows += 1;
                    return;
                }
                self.drop_iteration.extract(full, &mut row);
                out.push(&row, iteration_of(&output.layout, full, iteration_cell), weight);
            });
            assert_eq!(overflows, 0, "what a key says has small weights");
        }
        self.touched_keys = keys;
        self.touched_keys.clear();
        self.touched.clear();
        let mut delta = out.to_delta(&self.output_layout, &self.physical);
        delta.iterations = Some(out.iterations.into());
        delta.errors = errors;
        delta
    }

    /// Puts into `changes` what a key says, and what it said before with the opposite weight.
    fn work_out(&mut self, key: &[u64], errors: &mut Errors) {
        self.output.rows.index_keys();
        for (_, row, weight) in self.output.rows.matches(key) {
            self.changes.push(row, -weight);
        }
        let iteration_cell = self.schema.fields().len();
        self.history.clear();
        self.input.rows.index_keys();
        for (id, row, _) in self.input.rows.matches(key) {
            self.history.push((iteration_of(&self.input.layout, row, iteration_cell), id));
        }
        self.history.sort_unstable();
        self.values.begin(key);
        let mut before = Says::Nothing;
        if self.values.is_always_there() && self.history.first().is_none_or(|(iteration, _)| *iteration > 0) {
            before = self.values.say();
            self.values.put(&before, 0, 1, &mut self.changes);
        }
        for at_once in self.history.chunk_by(|a, b| a.0 == b.0) {
            for (_, id) in at_once {
                self.values.add(self.input.rows.row(*id), self.input.rows.weight(*id));
            }
            let now = self.values.say();
            if now != before {
                self.values.put(&before, at_once[0].0, -1, &mut self.changes);
                self.values.put(&now, at_once[0].0, 1, &mut self.changes);
                before = now;
            }
        }
        let error = match before {
            Says::Error((code, message)) => Some(ErrorRow { operator: self.operator, code, message }),
            _ => None,
        };
        let said = self.errors_said.remove(key);
        if said != error {
            errors.extend(said.map(|said| (said, -1)));
            errors.extend(error.clone().map(|error| (error, 1)));
        }
        if let Some(error) = error {
            self.errors_said.insert(key.to_vec(), error);
        }
    }

    fn restore(&mut self, context: &Context, placement: &Exchange) {
        let schema = Arc::clone(&self.schema);
        restore_part(context, Part::Left, placement, &schema, |delta| {
            let mut packed = Vec::new();
            self.input.layout.pack_batch(&delta.rows, &mut packed);
            for (i, row) in packed.chunks_exact(self.input.layout.words()).enumerate() {
                self.input.rows.add(row, delta.weight(i)).expect("captured weights add up");
                self.touch(row);
            }
        });
        let _ = self.speak(Vec::new());
        self.input.rows.list_changes();
    }
}

/// The iteration of a packed row. (The layout takes 0 for NULL: it cannot tell the cell from a code.)
fn iteration_of(layout: &RowLayout, row: &[u64], cell: usize) -> Iteration {
    layout.cell(row, cell).map_or(0, |iteration| u32::try_from(iteration).expect("the cell has 32 bits"))
}

impl Stateful for Reduce {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        let captured = self.input.rows.capture(full);
        vec![Captured::packed(self.operator, Part::Left, &with_iteration(&self.schema), &self.input.layout, captured)]
    }

    fn note_everything(&mut self) {
        self.input.rows.note_everything();
    }

    fn rest(&mut self) {
        self.input.rows.compact();
        self.output.rows.compact();
    }

    fn operator(&self) -> OperatorId {
        self.operator
    }

    fn sizes(&self, each: &mut dyn FnMut(Part, Size)) {
        let bytes = self.input.rows.size_bytes() + self.output.rows.size_bytes();
        each(Part::Left, Size { rows: self.input.rows.live(), bytes });
    }
}

/// The rows of `input` by its first columns, aggregated.
pub(crate) fn reduce<'scope>(
    context: &Context,
    input: Edge<'scope>,
    (exchange, placement): (&Exchange, &Exchange),
    schema: &SchemaRef,
    aggregate: &Aggregate,
    output_schema: &SchemaRef,
) -> Edge<'scope> {
    let mut state = Reduce::new(context, schema, aggregate, output_schema);
    let has_only_group = aggregate.keys == 0 && context.worker == 0;
    let restored = context.control.restored_tick.is_some();
    if has_only_group {
        state.touch_only_group();
    }
    if restored {
        state.restore(context, placement);
    }
    let state = Rc::new(RefCell::new(state));
    context.registry.borrow_mut().stateful.push(state.clone());

    let outstanding = context.outstanding.clone();
    let mut builder = OperatorBuilder::new("Reduce".into(), input.scope());
    let (mut out, stream) = output(&mut builder);
    let mut inbox = connect(&mut builder, input, exchange, schema, &[Path::default()]);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(|initial| {
        // The only group says in the first tick what it is without rows.
        let mut first = (has_only_group && !restored).then(|| context.for_first_tick(initial));
        context.timed(move |_| {
            let state = &mut *state.borrow_mut();
            let mut out = out.activate();
            if let Some(capability) = first.take() {
                let delta = state.speak(Vec::new());
                outstanding.sent(delta.num_rows());
                out.session_with_builder(&capability).give_container(&mut delta.into());
            }
            inbox(&mut |capability, delta| {
                outstanding.done(delta.num_rows());
                let delta = state.step(delta);
                outstanding.sent(delta.num_rows());
                if !delta.is_empty() {
                    out.session_with_builder(&capability).give_container(&mut delta.into());
                }
            });
        })
    });
    stream
}
