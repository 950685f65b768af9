//! Inner join of two changing inputs.
//!
//! Each row that arrives is probed against what the other side holds, then joins its own side; so every pair meets exactly once,
//! whatever the order. In a loop rows carry iterations, which are a cell of the stored row, and a pair has the larger of the two.
//!
//! A message is worked off in slices: after a budget of output the operator yields and goes on at its next turn, so that what it
//! expands to is never in memory at once. What waits holds its capability.
//!
//! In a loop where nobody counts the pairs, what came last is worked off first, and the budget is small: so a recursion goes deep before
//! it goes wide. Rows that derive the same are then close together, and most repetitions are seen by the filter of recent rows. Not so on
//! several workers: they would wait for each other more often than it is worth.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef};
use refrain_plan::{Exchange, Join};
use refrain_state::{Arrangement, Entries, KeyOf, Memory, NullTest, RowLayout};
use refrain_types::errors::Errors;
use refrain_types::{Delta, Iteration, OperatorId};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::stage::{Packed, Side as StageSide, Stage};
use super::{Context, Edge, Stateful, connect, output};
use crate::part::{Captured, Part, Size, with_iteration};
use crate::restore::{overflow, restore_part};
use crate::time::{Path, Time};

/// Pairs that are made before the operator yields.
const BUDGET_PAIRS: usize = 1 << 18;
/// The same where a recursion goes deep.
const BUDGET_PAIRS_DEEP: usize = FLUSH_PAIRS;
/// Rows that are packed at once.
const SLICE_ROWS: usize = 1 << 13;
/// Pairs of one outgoing delta.
const FLUSH_PAIRS: usize = 1 << 14;

/// One input of a join, as the plan describes it.
pub(crate) struct Input<'a, 'scope> {
    pub stream: Edge<'scope>,
    pub exchange: &'a Exchange,
    /// Where the rows of equal key are, for a restore.
    pub placement: Exchange,
    pub schema: &'a SchemaRef,
    pub append_only: bool,
    /// It comes from inside the loop that the join stands in.
    pub inside: bool,
}

struct Side {
    schema: SchemaRef,
    layout: RowLayout,
    rows: Arrangement,
    key: KeyOf,
    key_is_null: Option<NullTest>,
    /// Takes out the iteration cell, in a loop.
    iteration: Option<KeyOf>,
    packed: Packed,
    keys: Vec<u64>,
}

impl Side {
    fn new(input: &Input, keys: &[usize], key_layout: &RowLayout, nulls_meet: bool, in_loop: bool, memory: &Arc<Memory>) -> Self {
        let mut types = input.schema.fields().iter().map(|f| (f.data_type().clone(), f.is_nullable())).collect::<Vec<_>>();
        if in_loop {
            types.push((DataType::UInt32, false));
        }
        let layout = RowLayout::of_types(&types);
        let key = KeyOf::new(&layout, keys, key_layout);
        let key_is_null = (!nulls_meet).then(|| NullTest::new(&layout, keys)).filter(|test| !test.is_never());
        let iteration =
            in_loop.then(|| KeyOf::new(&layout, &[types.len() - 1], &RowLayout::of_types(&[(DataType::UInt32, false)])));
        let entries = if input.append_only { Entries::OfChanges } else { Entries::OfChangesUntilTakenBack };
        Self {
            schema: input.schema.clone(),
            rows: Arrangement::new(layout.words(), entries, Some(key.clone())).within(memory),
            layout,
            key,
            key_is_null,
            iteration,
            packed: Packed::default(),
            keys: Vec::new(),
        }
    }

    /// Packs a delta, with the iteration as the last cell.
    fn pack(&mut self, delta: &Delta) {
        self.packed.clear();
        self.packed.extend_beside(delta);
        if self.iteration.is_some() {
            let mut columns = delta.rows.columns().to_vec();
            columns.push(Arc::new(UInt32Array::from(self.packed.iterations.clone())) as ArrayRef);
            self.layout.pack(&columns, delta.num_rows(), &mut self.packed.rows);
        } else {
            self.layout.pack_batch(&delta.rows, &mut self.packed.rows);
        }
    }

    #[inline]
    fn iteration_of(&self, row: &[u64]) -> Iteration {
        self.iteration.as_ref().map_or(0, |cell| {
            let mut word = [0];
            cell.extract(row, &mut word);
            u32::try_from(word[0]).expect("the cell has 32 bits")
        })
    }

    fn captured(&mut self, operator: OperatorId, part: Part, full: bool) -> Captured {
        let captured = self.rows.capture(full);
        let schema = if self.iteration.is_some() { with_iteration(&self.schema) } else { self.schema.clone() };
        Captured::packed(operator, part, &schema, &self.layout, captured)
    }
}

struct Pending {
    capability: Capability<Time>,
    from_left: bool,
    delta: Delta,
    done: usize,
}

/// What waits, in the order in which it came.
struct Queue {
    waiting: VecDeque<Pending>,
    /// What came last goes on first.
    deep: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn push(&mut self, item: Pending) {
        self.waiting.push_back(item);
    }

    fn take(&mut self) -> Option<Pending> {
        if self.deep { self.waiting.pop_back() } else { self.waiting.pop_front() }
    }

    /// Puts back what is not done, to be the next again.
    fn put_back(&mut self, item: Pending) {
        if self.deep { self.waiting.push_back(item) } else { self.waiting.push_front(item) }
    }
}

struct State {
    operator: OperatorId,
    left: Side,
    right: Side,
    stage: Stage,
    pending: Queue,
}

impl State {
    /// Works off rows of one delta from `start` on, until `budget` pairs were made. Returns how many rows are done.
    fn probe(&mut self, from_left: bool, delta: &Delta, start: usize, budget: usize, errors: &mut Errors) -> usize {
        let (own, other) = if from_left { (&mut self.left, &mut self.right) } else { (&mut self.right, &mut self.left) };
        own.pack(&delta.slice(start, (delta.num_rows() - start).min(SLICE_ROWS)));
        let (words, key_words) = (own.layout.words(), own.key.words());
        let count = own.packed.len();
        own.keys.resize(32 * key_words, 0);
        other.rows.index_keys();
        let mut done = 0;
        while done < count && self.stage.work() < budget {
            let end = (done + 32).min(count);
            own.rows.prepare(&own.packed.rows[done * words..end * words]);
            for (row, key) in
                own.packed.rows[done * words..end * words].chunks_exact(words).zip(own.keys.chunks_exact_mut(key_words))
            {
                own.key.extract(row, key);
                other.rows.prefetch_key(key);
            }
            for (i, key) in (done..end).zip(own.keys.chunks_exact(key_words)) {
                let row = &own.packed.rows[i * words..(i + 1) * words];
                if own.key_is_null.as_ref().is_some_and(|test| test.any(row)) {
                    continue;
                }
                let (weight, iteration) = (own.packed.weights[i], own.packed.iterations[i]);
                self.stage.begin(from_left, row);
                for (_, found, found_weight) in other.rows.matches(key) {
                    let Some(product) = weight.checked_mul(found_weight) else {
                        errors.push(overflow(self.operator, weight.signum() * found_weight.signum()));
                        continue;
                    };
                    let iteration = iteration.max(other.iteration_of(found));
                    self.stage.pair(found, iteration, product);
                }
                if own.rows.add(row, weight).is_err() {
                    errors.push(overflow(self.operator, weight));
                }
            }
            done = end;
        }
        start + done
    }
}

impl Stateful for State {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        assert!(self.pending.is_empty(), "a tick ends when no message waits");
        vec![self.left.captured(self.operator, Part::Left, full), self.right.captured(self.operator, Part::Right, full)]
    }

    fn note_everything(&mut self) {
        self.left.rows.note_everything();
        self.right.rows.note_everything();
    }

    fn rest(&mut self) {
        self.left.rows.compact();
        self.right.rows.compact();
    }

    fn operator(&self) -> OperatorId {
        self.operator
    }

    fn sizes(&self, each: &mut dyn FnMut(Part, Size)) {
        each(Part::Left, Size::of(&self.left.rows));
        each(Part::Right, Size::of(&self.right.rows));
    }
}

/// Joins two inputs. `in_loop` says that rows carry iterations, which are kept.
pub(crate) fn join<'scope>(
    context: &Context,
    left: Input<'_, 'scope>,
    right: Input<'_, 'scope>,
    join: &Join,
    schema: &SchemaRef,
    in_loop: bool,
) -> Edge<'scope> {
    let key_types = join.left_keys.iter().map(|c| (left.schema.field(*c).data_type().clone(), join.nulls_meet)).collect::<Vec<_>>();
    let key_layout = RowLayout::of_types(&key_types);
    let mut state = State {
        operator: context.operator,
        left: Side::new(&left, &join.left_keys, &key_layout, join.nulls_meet, in_loop, context.memory()),
        right: Side::new(&right, &join.right_keys, &key_layout, join.nulls_meet, in_loop, context.memory()),
        stage: {
            let of = |input: &Input, keys: &[usize]| {
                Side::new(input, keys, &key_layout, join.nulls_meet, in_loop, context.memory()).layout
            };
            let (left_layout, right_layout) = (of(&left, &join.left_keys), of(&right, &join.right_keys));
            let right_side = StageSide { schema: right.schema, layout: &right_layout };
            let left_side = StageSide { schema: left.schema, layout: &left_layout };
            let stage = Stage::new(context, left_side, Some(right_side), &join.output, schema);
            if join.uncounted { stage.without_repeats() } else { stage }
        },
        pending: Queue { waiting: VecDeque::new(), deep: join.uncounted && context.peers == 1 && (left.inside || right.inside) },
    };
    for (part, input, side) in [(Part::Left, &left, &mut state.left), (Part::Right, &right, &mut state.right)] {
        restore_part(context, part, &input.placement, input.schema, |delta| restore_side(side, &delta));
        if context.control.restored_tick.is_some() {
            side.rows.list_changes();
        }
    }
    let state = Rc::new(RefCell::new(state));
    context.registry.borrow_mut().stateful.push(state.clone());

    let mut builder = OperatorBuilder::new("Join".into(), left.stream.scope());
    let (mut out, stream) = output(&mut builder);
    let mut left_inbox = connect(&mut builder, left.stream, left.exchange, left.schema, &[Path::default()]);
    let mut right_inbox = connect(&mut builder, right.stream, right.exchange, right.schema, &[Path::default()]);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.set_notify_for(1, FrontierInterest::Never);
    let activator = stream.scope().activator_for(builder.operator_info().address);
    let (left_inside, right_inside) = (left.inside, right.inside);
    let outstanding = context.outstanding.clone();
    builder.build(|_| {
        context.timed(move |_| {
            let state = &mut *state.borrow_mut();
            for (from_left, inbox) in [(true, &mut left_inbox), (false, &mut right_inbox)] {
                inbox(&mut |capability, delta| {
                    let capability = capability.retain_least(0).expect("messages of a dataflow carry a stamp");
                    state.pending.push(Pending { capability, from_left, delta, done: 0 });
                });
            }
            let mut out = out.activate();
            let mut budget = if state.pending.deep { BUDGET_PAIRS_DEEP } else { BUDGET_PAIRS };
            while let Some(mut item) = state.pending.take() {
                let mut errors = if item.done == 0 { std::mem::take(&mut item.delta.errors) } else { Vec::new() };
                let before = item.done;
                item.done = state.probe(item.from_left, &item.delta, before, FLUSH_PAIRS, &mut errors);
                budget = budget.saturating_sub(state.stage.work());
                let mut delta = state.stage.drain_delta();
                delta.errors.append(&mut errors);
                outstanding.sent(delta.num_rows());
                if if item.from_left { left_inside } else { right_inside } {
                    outstanding.done(item.done - before);
                }
                if !delta.is_empty() {
                    out.session_with_builder(&item.capability).give_container(&mut delta.into());
                }
                if item.done < item.delta.num_rows() {
                    state.pending.put_back(item);
                }
                if budget == 0 && !state.pending.is_empty() {
                    activator.activate();
                    break;
                }
            }
        })
    });
    stream
}

/// Adds captured rows. In a loop the iteration is their last column.
fn restore_side(side: &mut Side, delta: &Delta) {
    let mut packed = Vec::new();
    side.layout.pack_batch(&delta.rows, &mut packed);
    for (i, row) in packed.chunks_exact(side.layout.words()).enumerate() {
        side.rows.add(row, delta.weight(i)).expect("captured weights add up");
    }
}
