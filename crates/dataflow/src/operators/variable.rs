//! A binding of a recursion of any form, one iteration on: the loop head of recursions that [`super::loop_head`] cannot do.
//!
//! What the binding's definition derives comes back by the feedback edge. It waits, summed up by row and iteration, until nothing below
//! that iteration is left anywhere in the loop, and then goes round once more. A row whose derivations cancel out does not, so a
//! recursion ends when an iteration changes nothing. The variable remembers nothing beside what waits: that is all it has in flight
//! when a tick is cut. Hold, log and replay are those of a loop head.
//!
//! Where a loop keeps no iterations, nothing depends on their order, and rows go round as soon as there are many.
//!
//! All variables of a recursion share its gauge. Each releases by the frontier of its own feedback edge, which waits for what the others
//! still have at that iteration.

mod waiting;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, Node, Variable};
use refrain_state::set_history::ITERATION_MAX;
use refrain_state::{Arrangement, Capture, Captured as CapturedRows, Changed, Entries, RowLayout};
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, ErrorRow, OperatorId, SqlState, Tick, Weight};
use timely::dataflow::Scope;
use timely::dataflow::operators::Feedback;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;

use super::growth::Growth;
use super::loop_head::{Capabilities, FeedbackHandle};
use super::stage::Packed;
use super::{Context, Edge, Inbox, Outbox, Stateful, connect, output};
use crate::control::{Laps, REPORTED};
use crate::loop_log::LoopLog;
use crate::parcel::Parcel;
use crate::part::{Captured, Part, Size};
use crate::restore::{overflow, restore_part};
use crate::time::{Path, Time};
use waiting::Waiting;

/// Rows of one outgoing delta.
const FLUSH_ROWS: usize = 1 << 13;
/// Rows that are released before the operator yields.
const FUEL: usize = 1 << 17;
/// Rows on the edges of the loop above which nothing is released.
const OUTSTANDING_ROWS_MAX: i64 = 1 << 18;

struct Head {
    context: Context,
    index: usize,
    schema: SchemaRef,
    physical: SchemaRef,
    layout: RowLayout,
    round: Round,
    limit: Option<Limit>,
    packed: Packed,
    errors: Errors,
    log: LoopLog,
    /// The tick in which it was held; it goes on when a later one is open.
    held: Option<Tick>,
    /// The last tick in which rows went round, or were put in order again: each tick gets on, however soon it is asked to hold.
    got_on: Option<Tick>,
    laps: Laps,
    reported: [i64; REPORTED],
}

/// What goes round next.
enum Round {
    /// Iteration by iteration.
    InOrder(Box<Waiting>),
    /// As it comes, in large pieces.
    AsItComes(Packed),
}

impl Round {
    fn len(&self) -> usize {
        match self {
            Self::InOrder(waiting) => waiting.len(),
            Self::AsItComes(rows) => rows.len(),
        }
    }
}

/// What does not go round any more.
struct Limit {
    growth: Growth,
    /// The rows that would have gone round once too often, where that is an error.
    over: Option<Arrangement>,
}

impl Limit {
    fn new(growth: Growth, words: usize) -> Self {
        let over = growth.fails().then(|| Arrangement::new(words, Entries::OfRows, None));
        Self { growth, over }
    }

    /// Takes a row that would go round once too often. A row counts while its weight is not 0, whatever its sign: then the iteration
    /// after the last would change something.
    fn take(&mut self, row: &[u64], weight: Weight, operator: OperatorId, errors: &mut Errors) {
        let Some(over) = &mut self.over else { return };
        match over.add(row, weight) {
            Ok(Changed { before, after, .. }) => {
                let change = Weight::from(after != 0) - Weight::from(before != 0);
                errors.extend((change != 0).then(|| (self.growth.error(row), change)));
            }
            Err(_) => errors.push(overflow(operator, weight)),
        }
    }
}

impl Head {
    /// Feedback: once round, or appended to the log while the head is held.
    fn take(&mut self, mut delta: Delta, holding: bool) {
        self.errors.append(&mut delta.errors);
        if delta.num_rows() == 0 {
            return;
        }
        self.context.outstanding.done(delta.num_rows());
        if holding {
            self.log.push(delta);
        } else {
            self.apply(&delta);
        }
    }

    /// What was about to go round as it comes is logged, too.
    fn hold(&mut self, tick: Tick) {
        self.held = Some(self.held.unwrap_or(tick));
        if let Round::AsItComes(rows) = &mut self.round
            && !rows.is_empty()
        {
            self.log.push(rows.to_delta(&self.layout, &self.physical));
            rows.clear();
        }
    }

    fn apply(&mut self, delta: &Delta) {
        let waiting = match &mut self.round {
            Round::InOrder(waiting) => waiting,
            Round::AsItComes(rows) => return rows.extend_from_delta(&self.layout, delta),
        };
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        packed.extend_from_delta(&self.layout, delta);
        for (i, row) in packed.rows.chunks_exact(self.layout.words()).enumerate() {
            let (iteration, weight) = (packed.iterations[i], packed.weights[i]);
            if let Some(limit) = self.limit.as_mut().filter(|limit| iteration >= limit.growth.last()) {
                limit.take(row, weight, self.context.operator, &mut self.errors);
            } else if iteration >= ITERATION_MAX {
                let message = "iteration of a recursive query out of range".to_owned();
                let code = SqlState::PROGRAM_LIMIT_EXCEEDED;
                self.errors.push((ErrorRow { operator: self.context.operator, code, message }, weight));
            } else if waiting.add(row, iteration + 1, weight).is_err() {
                self.errors.push(overflow(self.context.operator, weight));
            }
        }
        self.packed = packed;
    }

    /// Feeds what was held back in, within the fuel of one activation. Returns whether rows may go round. What goes round as it comes is replayed as it goes, and not gathered before.
    fn replay(&mut self, tick: Tick) -> bool {
        let mut fuel = if let Round::AsItComes(rows) = &self.round { FUEL.saturating_sub(rows.len()) } else { FUEL };
        while fuel > 0
            && let Some(delta) = self.log.pop()
        {
            self.apply(&delta);
            if matches!(self.round, Round::InOrder(_)) {
                self.got_on = Some(tick);
            }
            fuel = fuel.saturating_sub(delta.num_rows());
        }
        self.log.is_empty() || matches!(self.round, Round::AsItComes(_))
    }

    fn held_rows(&self) -> usize {
        self.round.len() + self.log.num_rows()
    }

    /// Shows the gauges what this worker has.
    fn report(&mut self) {
        let gauge = &self.context.control.loops[self.index];
        gauge.report(&mut self.reported, self.round.len(), &self.log, &self.laps, self.held.is_some());
    }

    fn restore(&mut self, placement: &Exchange) {
        let Some(tick) = self.context.control.restored_tick else { return };
        let (context, schema, layout) = (self.context.clone(), Arc::clone(&self.schema), self.layout.clone());
        if let Round::InOrder(waiting) = &mut self.round {
            restore_part(&context, Part::Frontier, placement, &schema, |delta| {
                let mut packed = Packed::default();
                packed.extend_from_delta(&layout, &delta);
                for (i, row) in packed.rows.chunks_exact(layout.words()).enumerate() {
                    waiting.add(row, packed.iterations[i], packed.weights[i]).expect("captured weights add up");
                }
            });
        }
        context.control.take_log(context.operator, context.worker).into_iter().for_each(|piece| self.log.push_piece(piece));
        if let Some(over) = self.limit.as_mut().and_then(|limit| limit.over.as_mut()) {
            // Their errors were said before.
            restore_part(&context, Part::Rows, placement, &schema, |delta| {
                let mut packed = Vec::new();
                layout.pack_batch(&delta.rows, &mut packed);
                for (i, row) in packed.chunks_exact(layout.words()).enumerate() {
                    over.add(row, delta.weight(i)).expect("captured weights add up");
                }
            });
            over.list_changes();
        }
        self.held = Some(tick);
        self.report();
    }
}

impl Stateful for Head {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        let operator = self.context.operator;
        let over = self.limit.as_mut().and_then(|limit| limit.over.as_mut()).map(|over| over.capture(full));
        let waiting = match &mut self.round {
            Round::InOrder(waiting) => waiting.capture(),
            Round::AsItComes(rows) => {
                assert!(rows.is_empty(), "a tick ends when all has gone round, or is logged");
                Capture::now(true, CapturedRows::default())
            }
        };
        let log = Captured::pieces(operator, Part::Log, true, &self.schema, self.log.pieces());
        let over = over.map(|rows| Captured::packed(operator, Part::Rows, &self.schema, &self.layout, rows));
        let waiting = Captured::packed(operator, Part::Frontier, &self.schema, &self.layout, waiting);
        [waiting, log].into_iter().chain(over).collect()
    }

    fn held_rows(&self) -> u64 {
        Head::held_rows(self) as u64
    }

    fn rest(&mut self) {
        if let Some(over) = self.limit.as_mut().and_then(|limit| limit.over.as_mut()) {
            over.compact();
        }
    }

    fn operator(&self) -> OperatorId {
        self.context.operator
    }

    fn sizes(&self, each: &mut dyn FnMut(Part, Size)) {
        let rows = self.round.len();
        each(Part::Frontier, Size { rows, bytes: rows * (self.layout.words() + 1) * size_of::<u64>() });
        if let Some(over) = self.limit.as_ref().and_then(|limit| limit.over.as_ref()) {
            each(Part::Rows, Size::of(over));
        }
        each(Part::Log, self.log.size());
    }
}

/// What a variable gives to the rest of the dataflow.
pub(crate) struct Outputs<'scope> {
    /// The binding, one iteration on.
    pub rows: Edge<'scope>,
    /// Errors, which leave the loop at once.
    pub errors: Edge<'scope>,
    /// Takes what goes round.
    pub feedback: FeedbackHandle<'scope>,
}

/// Builds a variable of the loop that counts as `index`, `depth` deep. `distinct`: no row comes back twice at one iteration.
pub(crate) fn variable<'scope>(
    context: &Context,
    (index, depth): (usize, usize),
    (variable, node): (&Variable, &Node),
    scope: Scope<'scope, Time>,
    placement: &Exchange,
    distinct: bool,
) -> Outputs<'scope> {
    let schema = &node.schema;
    let layout = RowLayout::of_schema(schema);
    let mut head = Head {
        context: context.clone(),
        index,
        schema: Arc::clone(schema),
        physical: physical_schema(schema),
        round: match node.keeps_iterations() {
            true => Round::InOrder(Box::new(Waiting::new(layout.words(), distinct, context.memory()))),
            false => Round::AsItComes(Packed::default()),
        },
        limit: variable.limit.map(|limit| Limit::new(Growth::new(context, limit, &variable.name, schema), layout.words())),
        layout,
        packed: Packed::default(),
        errors: Vec::new(),
        log: LoopLog::new(context.memory()),
        held: None,
        got_on: None,
        laps: Laps::default(),
        reported: [0; REPORTED],
    };
    head.restore(placement);
    let head = Rc::new(RefCell::new(head));
    context.registry.borrow_mut().stateful.push(head.clone());

    let mut builder = OperatorBuilder::new(format!("Variable {}", variable.name), scope);
    let (leave, errors) = output(&mut builder);
    let (round, rows) = output(&mut builder);
    let (handle, feedback) = scope.feedback::<Parcel>(Path::feedback(depth));
    let paths = [Path::leave(depth), Path::default()];
    let inbox = connect(&mut builder, feedback, &variable.exchange, schema, &paths);
    let mut ends = Ends { inbox, leave, round };
    let activator = scope.activator_for(builder.operator_info().address);
    context.registry.borrow_mut().heads.push(scope.activator_for(builder.operator_info().address));
    builder.build(|initial| {
        let mut capabilities = Capabilities::default();
        if head.borrow().held_rows() > 0 {
            capabilities = Capabilities::of_initial(initial);
            capabilities.move_past(head.borrow().held.expect("restored rows are held"));
        }
        context.timed(move |frontiers| {
            if activate(&mut head.borrow_mut(), &mut ends, &mut capabilities, &frontiers[0], depth) {
                activator.activate();
            }
        })
    });
    Outputs { rows, errors, feedback: handle }
}

/// The variable's ends at one worker.
struct Ends {
    inbox: Inbox,
    leave: Outbox,
    round: Outbox,
}

/// One activation. Returns whether to come again at once.
fn activate(
    head: &mut Head,
    ends: &mut Ends,
    capabilities: &mut Capabilities,
    frontier: &MutableAntichain<Time>,
    depth: usize,
) -> bool {
    let control = Arc::clone(&head.context.control);
    let open = control.tick();
    head.held = head.held.filter(|held| open <= *held);
    let replayed = head.held.is_some() || head.replay(open);
    let must_get_on = head.got_on != Some(open) && head.held_rows() > 0;
    let holding = head.held.is_some() || (control.holding() && !must_get_on);
    (ends.inbox)(&mut |message, delta| {
        capabilities.keep(&message, depth, true);
        head.take(delta, holding);
    });
    if !head.errors.is_empty() {
        let errors = Delta::of_errors(Arc::clone(&head.physical), std::mem::take(&mut head.errors));
        let leave = capabilities.leave.as_ref().expect("errors come with a message, or with rows that wait");
        ends.leave.activate().session_with_builder(leave).give_container(&mut errors.into());
    }
    let mut again = !holding && !head.log.is_empty();
    if replayed && !holding {
        again |= release(head, &mut ends.round, capabilities, frontier, depth);
    }
    if head.held_rows() == 0 {
        *capabilities = Capabilities::default();
    }
    if holding {
        control.note_that_a_loop_stands_still();
        head.hold(open);
        capabilities.move_past(head.held.expect("just set"));
    }
    head.report();
    again
}

/// Releases what may be released, within the fuel of one activation. Returns whether fuel ran out before work did.
fn release(
    head: &mut Head,
    round: &mut Outbox,
    capabilities: &mut Capabilities,
    frontier: &MutableAntichain<Time>,
    depth: usize,
) -> bool {
    let Head { context, index, round: rows, got_on, laps, packed, layout, physical, .. } = head;
    let gauge = &context.control.loops[*index];
    let is_crowded = || gauge.outstanding.load(Ordering::Relaxed) > OUTSTANDING_ROWS_MAX;
    let mut round = round.activate();
    let mut fuel = FUEL;
    let waiting = match rows {
        Round::InOrder(waiting) => waiting,
        Round::AsItComes(rows) => {
            let Some(capability) = capabilities.round.as_ref().filter(|_| !rows.is_empty()) else { return false };
            // Few rows wait for others: what an exchange cuts into pieces would go round in ever smaller ones.
            if rows.len() < FLUSH_ROWS && frontier.less_equal(capability.time()) {
                return false;
            }
            if is_crowded() {
                return true;
            }
            *got_on = Some(capability.time().tick());
            gauge.released.add(0, rows.len());
            laps.pass(None);
            context.outstanding.sent(rows.len());
            let delta = rows.to_delta(layout, physical);
            rows.clear();
            round.session_with_builder(capability).give_container(&mut delta.into());
            return false;
        }
    };
    while let Some(lowest) = waiting.lowest() {
        let capability = capabilities.round.as_mut().expect("a variable with rows that wait holds a capability");
        let now = capability.time().at_iteration(depth, u64::from(lowest));
        // First, for what this one may still send comes back to it, too.
        if *capability.time() < now {
            capability.downgrade(&now);
        }
        if frontier.less_equal(&now) {
            return false;
        }
        let is_asked_to_hold = *got_on == Some(now.tick()) && context.control.holding();
        if is_asked_to_hold {
            context.control.note_that_a_loop_stands_still();
        }
        if fuel == 0 || is_asked_to_hold || is_crowded() {
            return true;
        }
        packed.clear();
        waiting.take_lowest(FLUSH_ROWS, packed);
        gauge.iteration.store(u64::from(lowest), Ordering::Relaxed);
        gauge.released.add(lowest, packed.len());
        laps.pass(Some((now.tick(), lowest)));
        fuel = fuel.saturating_sub(packed.len());
        *got_on = Some(now.tick());
        let delta = packed.to_delta(layout, physical);
        context.outstanding.sent(delta.num_rows());
        round.session_with_builder(capability).give_container(&mut delta.into());
    }
    false
}
