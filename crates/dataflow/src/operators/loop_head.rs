//! The loop head: the one place of a recursion that keeps order, and the one that has anything in flight when a tick is cut.
//!
//! Rows that arrive, from outside or by the feedback edge, are applied to the loop's rows at once. What they touch waits in the
//! calendar and is released by iteration, lowest first, once nothing below is left anywhere in the loop; timely's frontier says so.
//! Released rows leave the loop, and go through the first stage of the body: a join with the other side, which shares the loop's row
//! store, and what follows it. Where that is the whole body and the derived row belongs to this worker, it arrives at once, without
//! a trip through timely; a whole recursion can run inside one activation. Otherwise it goes out, and comes back by the feedback
//! edge, one iteration on.
//!
//! Four acts cut a tick:
//! - **hold**: nothing more is released; the capabilities move to the next tick, so this one can end;
//! - **log**: feedback that still returns is appended to the loop log instead of being applied;
//! - **capture** (the checkpoint's part): rows, other side and log are handed over;
//! - **replay**: when the next tick opens, the log is applied, exactly where it was held, and the recursion goes on.
//!
//! Invariant: between ticks, everything that the loop still has to do is in its rows, its calendar or its log.

mod other;
mod rows;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, LoopHead, LoopKind};
use refrain_state::set_history::NEVER;
use refrain_state::{KeyOf, RowLayout, hash_words};
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, ErrorRow, Iteration, OperatorId, SqlState, Tick, Weight};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, ConnectLoop, Feedback, InputCapability};
use timely::progress::frontier::MutableAntichain;

use super::growth::Growth;
use super::stage::{Packed, Side, Stage};
use super::{Context, Edge, Inbox, Outbox, Outstanding, Stateful, connect, output};
use crate::control::{Laps, LoopGauge, REPORTED};
use crate::loop_log::LoopLog;
use crate::parcel::{Parcel, exchange_layout, worker_of};
use crate::part::{Captured, Part, Size};
use crate::restore::{overflow, restore_part};
use crate::time::{Path, Time};
use other::Other;
use rows::{LoopRows, Released, once_round};

/// Rows that are released at once.
const RELEASE_ROWS: usize = 1 << 10;
/// Rows released and derived before the operator yields; a lap counts for something too.
const FUEL: usize = 1 << 17;
const FUEL_OF_A_LAP: usize = 32;
/// Rows of one outgoing delta.
const FLUSH_ROWS: usize = 1 << 14;
/// Rows on the edges of the body above which nothing is released. Receivers always take in, so this cannot deadlock.
const OUTSTANDING_ROWS_MAX: i64 = 1 << 18;
/// The same where better rows replace others.
const LATTICE_OUTSTANDING_ROWS_MAX: i64 = 1 << 12;

/// The inputs of a loop head and where their rows belong.
pub(crate) struct Inputs<'a, 'scope> {
    pub base: Edge<'scope>,
    pub base_exchange: &'a Exchange,
    /// The other side of the fused join, its exchange, the placement of its rows, its schema.
    pub other: Option<(Edge<'scope>, &'a Exchange, Exchange, &'a SchemaRef)>,
}

/// What a loop head gives to the rest of the dataflow.
pub(crate) struct Outputs<'scope> {
    /// Rows that leave the loop.
    pub leaving: Edge<'scope>,
    /// Rows that the first stage gives to the rest of the body, and the handle by which that returns them.
    pub body: Option<(Edge<'scope>, FeedbackHandle<'scope>)>,
}

pub(crate) type FeedbackHandle<'scope> = timely::dataflow::operators::core::feedback::Handle<'scope, Time, Parcel>;

struct Head {
    context: Context,
    index: usize,
    /// The rows on the edges of the body.
    body: Outstanding,
    schema: SchemaRef,
    physical: SchemaRef,
    layout: RowLayout,
    partition: Vec<usize>,
    rows: LoopRows,
    other: Option<Other>,
    stage: Stage,
    stage_physical: SchemaRef,
    /// What the stage makes goes straight round.
    direct: bool,
    /// And to this worker.
    stays: bool,
    target: KeyOf,
    released: Released,
    growth: Option<Growth>,
    derived: Packed,
    local: Packed,
    /// Derived rows for other workers, or for the rest of the body.
    outgoing: Vec<Packed>,
    ids: Vec<u32>,
    target_key: Vec<u64>,
    errors: Errors,
    log: LoopLog,
    /// The tick in which it was held; it goes on when a later one is open.
    held: Option<Tick>,
    /// The last tick in which rows were released or replayed. Each tick gets on, however soon it is asked to hold: so does a recursion whose
    /// engine always ends soon after its last checkpoint.
    got_on: Option<Tick>,
    laps: Laps,
    reported: [i64; REPORTED],
}

impl Head {
    /// `other` is the schema of the join's other side and how it is exchanged.
    fn new(
        context: &Context,
        index: usize,
        head: &LoopHead,
        other: Option<(&SchemaRef, &Exchange)>,
        stage_schema: &SchemaRef,
    ) -> Self {
        let other_schema = other.map(|(schema, _)| schema);
        let (schema, layout) = (Arc::clone(&head.variable), RowLayout::of_schema(&head.variable));
        let other = head.join.as_ref().map(|join| {
            let (other_schema, exchange) = other.expect("a head with a join has a second input");
            let is_copy = *exchange == Exchange::Broadcast && context.worker > 0;
            Other::new(context.operator, join, (&schema, &layout), other_schema, is_copy, context.memory())
        });
        let variable = Side { schema: &schema, layout: &layout };
        let right = other.as_ref().map(|o| Side { schema: other_schema.expect("see above"), layout: &o.layout });
        let stage = Stage::new(context, variable, right, &head.stage, stage_schema);
        let exchange = exchange_layout(&schema, &head.partition);
        let direct = head.feedback.is_none();
        assert!(!direct || *stage.layout() == layout, "what goes straight round has the columns of the loop variable");
        let replaced = matches!(head.kind, LoopKind::MonotoneKeyed(_)) && stage.may_fail();
        Self {
            index,
            body: Outstanding::of(&context.control, None, Some(index), 1),
            physical: physical_schema(&schema),
            partition: head.partition.clone(),
            rows: LoopRows::new(&head.kind, &schema, other.as_ref().map(|o| o.variable_key().clone()), context),
            other,
            stage,
            stage_physical: physical_schema(stage_schema),
            direct,
            stays: context.peers == 1 || head.stays,
            target: KeyOf::new(&layout, &head.partition, &exchange),
            target_key: vec![0; exchange.words()],
            released: Released::new(replaced),
            growth: head.limit.map(|limit| Growth::new(context, limit, &head.name, &schema)),
            derived: Packed::default(),
            local: Packed::default(),
            outgoing: (0..context.peers).map(|_| Packed::default()).collect(),
            ids: Vec::new(),
            errors: Vec::new(),
            log: LoopLog::new(context.memory()),
            held: None,
            got_on: None,
            laps: Laps::default(),
            reported: [0; REPORTED],
            schema,
            layout,
            context: context.clone(),
        }
    }

    fn gauge(&self) -> &LoopGauge {
        &self.context.control.loops[self.index]
    }

    /// The iteration whose rows do not go on.
    fn last(&self) -> Iteration {
        self.growth.as_ref().map_or(NEVER, Growth::last)
    }

    fn overflowed(&mut self, weight: Weight) {
        self.errors.push(overflow(self.context.operator, weight));
    }

    /// Rows from outside: iteration 0.
    fn take_base(&mut self, mut delta: Delta) {
        self.errors.append(&mut delta.errors);
        delta.iterations = None;
        self.local.clear();
        self.local.extend_from_delta(&self.layout, &delta);
        if self.rows.arrive(&self.local).is_err() {
            self.overflowed(1);
        }
    }

    /// Changes of the other side of the join.
    fn take_other(&mut self, mut delta: Delta) {
        self.errors.append(&mut delta.errors);
        let last = self.last();
        for start in (0..delta.num_rows()).step_by(RELEASE_ROWS) {
            let part = delta.slice(start, RELEASE_ROWS.min(delta.num_rows() - start));
            let other = self.other.as_mut().expect("only a head with a join has this input");
            other.take(&part, (&mut self.rows, last), &mut self.stage, &mut self.errors);
            if self.stage.len() > 0 {
                self.pass_on();
            }
        }
    }

    /// Feedback: applied, or appended to the log while the head is held.
    fn take_feedback(&mut self, mut delta: Delta, holding: bool) {
        self.errors.append(&mut delta.errors);
        if delta.num_rows() == 0 {
            return;
        }
        self.body.done(delta.num_rows());
        if holding {
            self.log.push(delta);
        } else {
            self.apply_feedback(&delta);
        }
    }

    fn apply_feedback(&mut self, delta: &Delta) {
        self.local.clear();
        self.local.extend_from_delta(&self.layout, delta);
        arrive_local(&mut self.rows, &mut self.local, self.layout.words(), &self.context, &mut self.errors);
    }

    /// Feeds what was held back in, where it was held, within the fuel of one activation. Returns whether rows may be
    /// released: it has to be all of it.
    fn replay(&mut self, tick: Tick) -> bool {
        let mut fuel = FUEL;
        while fuel > 0
            && let Some(delta) = self.log.pop()
        {
            self.got_on = Some(tick);
            self.apply_feedback(&delta);
            fuel = fuel.saturating_sub(delta.num_rows());
        }
        self.log.is_empty()
    }

    /// One round of a tick: releases some rows of the lowest iteration and derives what follows from them. Returns the fuel it took.
    fn round(&mut self, tick: Tick) -> usize {
        let mut weight_overflow = false;
        let limits = (RELEASE_ROWS, self.last());
        let Some(iteration) = self.rows.release(limits, &mut self.ids, &mut self.released, &mut weight_overflow) else {
            return 0;
        };
        if weight_overflow {
            self.overflowed(1);
        }
        self.gauge().iteration.store(u64::from(iteration), Ordering::Relaxed);
        self.laps.pass(self.rows.keeps_order().then_some((tick, iteration)));
        let words = self.layout.words();
        if let Some(growth) = self.growth.as_ref().filter(|growth| growth.fails()) {
            let over = self.released.over.rows.chunks_exact(words).zip(&self.released.over.weights);
            self.errors.extend(over.map(|(row, weight)| (growth.error(row), *weight)));
        }
        let emitted = &self.released.emitted;
        match &mut self.other {
            Some(other) => other.probe(emitted, &mut self.stage, words, &mut self.errors),
            None => {
                for (i, row) in emitted.rows.chunks_exact(words).enumerate() {
                    self.stage.push(row, emitted.iterations[i], emitted.weights[i]);
                }
            }
        }
        let fuel = FUEL_OF_A_LAP + emitted.len() + self.stage.len();
        self.gauge().released.add(iteration, emitted.len());
        self.pass_on();
        fuel
    }

    /// Sends what the stage derived on its way: rows of this worker arrive at once.
    fn pass_on(&mut self) {
        self.stage.drain_packed(&mut self.derived, &mut self.errors);
        if self.released.replaced {
            // Only their errors were asked for.
            self.derived.keep_positive(self.stage.layout().words());
        }
        self.gauge().derived.fetch_add(self.derived.len() as u64, Ordering::Relaxed);
        route(&mut Routing {
            direct: self.direct,
            worker: self.context.worker,
            stays: self.stays,
            target: &self.target,
            key: &mut self.target_key,
            derived: &mut self.derived,
            local: &mut self.local,
            outgoing: &mut self.outgoing,
            words: self.stage.layout().words(),
        });
        arrive_local(&mut self.rows, &mut self.local, self.layout.words(), &self.context, &mut self.errors);
    }

    fn held_rows(&self) -> usize {
        self.rows.frontier_rows() + self.log.num_rows()
    }

    /// Shows the gauges what this worker has.
    fn report(&mut self) {
        let gauge = &self.context.control.loops[self.index];
        gauge.report(&mut self.reported, self.rows.frontier_rows(), &self.log, &self.laps, self.held.is_some());
    }

    fn restore(&mut self, other_placement: &Exchange) {
        let Some(restored) = self.context.control.restored_tick else { return };
        let (context, schema, layout) = (self.context.clone(), Arc::clone(&self.schema), self.layout.clone());
        let placement = Exchange::Hash(self.partition.clone());
        let mut part = |part: Part| {
            let mut all = Vec::new();
            restore_part(&context, part, &placement, &schema, |delta| {
                let mut packed = Packed::default();
                packed.extend_from_delta(&layout, &delta);
                all.push(packed);
            });
            all
        };
        self.rows.restore(&mut part).expect("captured weights add up");
        context.control.take_log(context.operator, context.worker).into_iter().for_each(|piece| self.log.push_piece(piece));
        if let Some(other) = &mut self.other {
            other.restore(&context, other_placement);
        }
        self.held = Some(restored);
        self.report();
    }
}

impl Stateful for Head {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        let operator = self.context.operator;
        let parts = self.rows.capture(full);
        let mut all = parts
            .map(|(part, rows)| Captured::packed(operator, part, &self.schema, &self.layout, rows))
            .into_iter()
            .collect::<Vec<_>>();
        all.push(Captured::pieces(operator, Part::Log, true, &self.schema, self.log.pieces()));
        all.extend(self.other.as_mut().and_then(|other| other.capture(full)));
        all
    }

    fn note_everything(&mut self) {
        self.rows.note_everything();
        if let Some(other) = &mut self.other {
            other.note_everything();
        }
    }

    fn held_rows(&self) -> u64 {
        Head::held_rows(self) as u64
    }

    fn rest(&mut self) {
        self.rows.compact();
        if let Some(other) = &mut self.other {
            other.compact();
        }
    }

    fn operator(&self) -> OperatorId {
        self.context.operator
    }

    fn sizes(&self, each: &mut dyn FnMut(Part, Size)) {
        each(self.rows.part(), self.rows.size());
        if let Some(other) = &self.other {
            each(Part::Right, other.size());
        }
        each(Part::Log, self.log.size());
    }
}

/// Where derived rows go, and the buffers that they go through.
struct Routing<'a> {
    direct: bool,
    /// All rows are of this worker.
    stays: bool,
    worker: usize,
    target: &'a KeyOf,
    key: &'a mut [u64],
    derived: &'a mut Packed,
    local: &'a mut Packed,
    outgoing: &'a mut [Packed],
    words: usize,
}

/// Distributes derived rows: those of this worker to `local`, the others to `outgoing`; all to `outgoing` where the body goes on.
fn route(routing: &mut Routing) {
    routing.local.clear();
    if !routing.direct {
        let out = &mut routing.outgoing[0];
        out.rows.append(&mut routing.derived.rows);
        out.iterations.append(&mut routing.derived.iterations);
        out.weights.append(&mut routing.derived.weights);
    } else if routing.stays {
        std::mem::swap(routing.local, routing.derived);
    } else {
        for (i, row) in routing.derived.rows.chunks_exact(routing.words).enumerate() {
            routing.target.extract(row, routing.key);
            let target = worker_of(hash_words(routing.key), routing.outgoing.len());
            let to = if target == routing.worker { &mut *routing.local } else { &mut routing.outgoing[target] };
            to.push(row, routing.derived.iterations[i], routing.derived.weights[i]);
        }
    }
}

/// Applies rows that went round.
fn arrive_local(rows: &mut LoopRows, local: &mut Packed, words: usize, context: &Context, errors: &mut Errors) {
    if local.is_empty() {
        return;
    }
    if rows.keeps_order() {
        let dropped = once_round(local, words);
        if dropped != 0 {
            let message = "iteration of a recursive query out of range".to_owned();
            errors.push((ErrorRow { operator: context.operator, code: SqlState::PROGRAM_LIMIT_EXCEEDED, message }, dropped));
        }
    }
    if rows.arrive(local).is_err() {
        errors.push(overflow(context.operator, 1));
    }
}

/// The capabilities of a head: for what leaves the loop and for what goes round.
#[derive(Default)]
pub(super) struct Capabilities {
    pub leave: Option<Capability<Time>>,
    pub round: Option<Capability<Time>>,
}

impl Capabilities {
    /// Those that an operator has when it is built; its outputs are one for what leaves and perhaps one for what goes round.
    pub fn of_initial(initial: Vec<Capability<Time>>) -> Self {
        let mut initial = initial.into_iter();
        Self { leave: initial.next(), round: initial.next() }
    }

    /// Keeps the right to send at the time of a message, unless an earlier one is kept already.
    pub fn keep(&mut self, message: &InputCapability<Time>, depth: usize, goes_round: bool) {
        let time = message.least().expect("messages of a dataflow carry a stamp");
        let outside = time.at_iteration(depth, 0);
        if self.leave.as_ref().is_none_or(|c| outside < *c.time()) {
            self.leave = Some(message.delayed(&outside, 0));
        }
        if goes_round && self.round.as_ref().is_none_or(|c| time < c.time()) {
            self.round = Some(message.delayed(time, 1));
        }
    }

    /// Keeps only the right to send from the tick after `held` on.
    pub fn move_past(&mut self, held: Tick) {
        let next = Time::of_tick(held.next());
        for capability in [&mut self.leave, &mut self.round].into_iter().flatten() {
            if *capability.time() < next {
                capability.downgrade(&next);
            }
        }
    }
}

/// The loop's ends at one worker, as the operator's activation sees them.
struct Ends {
    base: Inbox,
    other: Option<Inbox>,
    feedback: Option<Inbox>,
    leave: Outbox,
    round: Option<Outbox>,
}

/// Builds a loop head. `index` counts the loops of the plan, `depth` how deep the loop is nested, from 1.
pub(crate) fn loop_head<'scope>(
    context: &Context,
    (index, depth): (usize, usize),
    head: &LoopHead,
    inputs: Inputs<'_, 'scope>,
    stage_schema: &SchemaRef,
) -> Outputs<'scope> {
    let other = inputs.other.as_ref().map(|o| (o.3, o.1));
    let mut state = Head::new(context, index, head, other, stage_schema);
    state.restore(inputs.other.as_ref().map_or(&Exchange::Stay, |o| &o.2));
    let state = Rc::new(RefCell::new(state));
    context.registry.borrow_mut().stateful.push(state.clone());

    let scope = inputs.base.scope();
    let mut builder = OperatorBuilder::new(format!("LoopHead {}", head.name), scope);
    // Where derived rows stay, and with one worker, a body that is the stage alone never leaves the head.
    let goes_round = head.feedback.is_some() || (context.peers > 1 && !head.stays);
    let (leave, leaving) = output(&mut builder);
    let (round, round_stream) = if goes_round { Some(output(&mut builder)).unzip() } else { (None, None) };
    let paths = [Path::leave(depth), Path::default()];
    let paths = &paths[..1 + usize::from(goes_round)];
    let base = connect(&mut builder, inputs.base, inputs.base_exchange, &head.variable, paths);
    let other = inputs.other.map(|(stream, exchange, _, schema)| connect(&mut builder, stream, exchange, schema, paths));
    let mut ends = Ends { base, other, feedback: None, leave, round };
    let mut handle = None;
    if goes_round {
        let (feedback_handle, feedback) = scope.feedback::<Parcel>(Path::feedback(depth));
        ends.feedback = Some(connect(&mut builder, feedback, &Exchange::Hash(head.partition.clone()), &head.variable, paths));
        handle = Some(feedback_handle);
    }
    let activator = scope.activator_for(builder.operator_info().address);
    context.registry.borrow_mut().heads.push(scope.activator_for(builder.operator_info().address));
    builder.build(|initial| {
        let mut capabilities = Capabilities::default();
        if state.borrow().held_rows() > 0 {
            capabilities = Capabilities::of_initial(initial);
            capabilities.move_past(state.borrow().held.expect("restored rows are held"));
        }
        context.timed(move |frontiers| {
            if activate(&mut state.borrow_mut(), &mut ends, &mut capabilities, frontiers, depth) {
                activator.activate();
            }
        })
    });
    let body = match (round_stream, handle) {
        (Some(stream), Some(handle)) if head.feedback.is_some() => Some((stream, handle)),
        (Some(stream), Some(handle)) => {
            stream.connect_loop(handle);
            None
        }
        _ => None,
    };
    Outputs { leaving, body }
}

/// One activation. Returns whether to come again at once.
fn activate(
    head: &mut Head,
    ends: &mut Ends,
    capabilities: &mut Capabilities,
    frontiers: &[MutableAntichain<Time>],
    depth: usize,
) -> bool {
    let control = Arc::clone(&head.context.control);
    let open = control.tick();
    head.held = head.held.filter(|held| open <= *held);
    let replayed = head.held.is_some() || head.replay(open);
    let must_get_on = head.got_on != Some(open) && head.held_rows() > 0;
    let holding = head.held.is_some() || (control.holding() && !must_get_on);
    let goes_round = ends.round.is_some();
    (ends.base)(&mut |message, delta| {
        capabilities.keep(&message, depth, goes_round);
        head.take_base(delta);
    });
    if let Some(inbox) = &mut ends.other {
        inbox(&mut |message, delta| {
            capabilities.keep(&message, depth, goes_round);
            head.take_other(delta);
        });
    }
    if let Some(inbox) = &mut ends.feedback {
        inbox(&mut |message, delta| {
            capabilities.keep(&message, depth, goes_round);
            head.take_feedback(delta, holding);
        });
    }
    let mut again = !replayed && !holding;
    let mut outlets = Outlets { leave: ends.leave.activate(), round: ends.round.as_mut().map(|round| round.activate()) };
    if replayed && !holding {
        again = release(head, &mut outlets, capabilities, frontiers, depth);
    }
    flush(head, &mut outlets, capabilities, 0);
    drop(outlets);
    if head.held_rows() == 0 {
        *capabilities = Capabilities::default();
    }
    if holding {
        control.note_that_a_loop_stands_still();
        head.held = Some(head.held.unwrap_or(open));
        capabilities.move_past(head.held.expect("just set"));
    }
    head.report();
    again
}

type Outlet<'a> = timely::dataflow::operators::generic::OutputBuilderSession<'a, Time, crate::parcel::Parcels>;

struct Outlets<'a> {
    leave: Outlet<'a>,
    round: Option<Outlet<'a>>,
}

/// Releases what may be released, within the fuel of one activation. Returns whether fuel ran out before work did.
fn release(
    head: &mut Head,
    outlets: &mut Outlets,
    capabilities: &mut Capabilities,
    frontiers: &[MutableAntichain<Time>],
    depth: usize,
) -> bool {
    // A row that is released before a better one has come from another worker goes round for nothing.
    let waits_for_better = outlets.round.is_some() && head.rows.is_lattice();
    let (outstanding_max, flush_rows) =
        if waits_for_better { (LATTICE_OUTSTANDING_ROWS_MAX, 0) } else { (OUTSTANDING_ROWS_MAX, FLUSH_ROWS) };
    let mut fuel = FUEL;
    while let Some(lowest) = head.rows.lowest() {
        let leave = capabilities.leave.as_ref().expect("a head with rows to release holds a capability");
        // Rows of base and other side come first in a tick; feedback at or below this iteration only where order matters.
        let outside = *leave.time();
        let now = outside.at_iteration(depth, u64::from(lowest));
        let inputs = if head.rows.keeps_order() { frontiers } else { &frontiers[..1 + usize::from(head.other.is_some())] };
        if head.rows.keeps_order() && capabilities.round.as_ref().is_some_and(|round| *round.time() < now) {
            // What was derived below goes out first: a stamp is never above the iterations of its rows.
            flush(head, outlets, capabilities, 0);
            capabilities.round.as_mut().expect("just seen").downgrade(&now);
        }
        if inputs.iter().any(|frontier| frontier.less_equal(&now)) {
            return false;
        }
        // Who asks it to hold waits for this activation.
        let is_asked_to_hold = head.got_on == Some(outside.tick()) && head.context.control.holding();
        if is_asked_to_hold {
            head.context.control.note_that_a_loop_stands_still();
        }
        if fuel == 0 || is_asked_to_hold || head.gauge().outstanding.load(Ordering::Relaxed) > outstanding_max {
            return true;
        }
        fuel = fuel.saturating_sub(head.round(outside.tick()));
        head.got_on = Some(outside.tick());
        flush(head, outlets, capabilities, flush_rows);
        if waits_for_better {
            fuel = 0;
        }
    }
    false
}

/// Sends what leaves and what goes round, where it is at least `threshold` rows.
fn flush(head: &mut Head, outlets: &mut Outlets, capabilities: &Capabilities, threshold: usize) {
    let leaving = &mut head.released.leaving;
    if (!leaving.is_empty() && leaving.len() >= threshold) || !head.errors.is_empty() {
        let mut delta = leaving.to_delta(&head.layout, &head.physical);
        head.context.outstanding.sent(delta.num_rows());
        delta.errors = std::mem::take(&mut head.errors);
        leaving.clear();
        let leave = capabilities.leave.as_ref().expect("what leaves came under a capability");
        outlets.leave.session_with_builder(leave).give_container(&mut delta.into());
    }
    let Some(outlet) = &mut outlets.round else { return };
    let threshold = if head.direct { threshold } else { threshold.min(FLUSH_ROWS / 4) };
    for (worker, rows) in head.outgoing.iter_mut().enumerate() {
        if rows.is_empty() || rows.len() < threshold {
            continue;
        }
        let mut delta = rows.to_delta(head.stage.layout(), &head.stage_physical);
        if !head.direct {
            // The body joins on iterations: they must be there even if all are 0.
            delta.iterations = Some(std::mem::take(&mut rows.iterations).into());
        }
        head.body.sent(rows.len());
        rows.clear();
        let round = capabilities.round.as_ref().expect("what goes round came under a capability");
        let mut parcel = Parcel { delta: Some(delta), target: head.direct.then_some(worker) };
        outlet.session_with_builder(round).give_container(&mut parcel);
    }
}
