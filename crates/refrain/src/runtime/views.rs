//! One maintained view: its dataflow, how far it has read its sources, and what happens when its ticks end.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::datatypes::Schema;
use refrain_checkpoint::LoopEntry;
use refrain_checkpoint::protocol::Phase;
use refrain_dataflow::{Beginning, Captured, Control, Events, Order, Part, PartSize, Restored, TickEnd};
use refrain_plan::{Exchange, Node, NodeId, Operator, StreamPlan};
use refrain_types::{DataflowId, Delta, Epoch, RelationId, Tick};
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

use super::{ArrangementStatus, LoopStatus, OperatorStatus, Runtime};
use crate::error::{Error, Result};
use crate::relation::{ReaderId, Relation, consolidate};

/// See the module.
#[derive(Debug)]
pub(super) struct View {
    pub control: Arc<Control>,
    pub relation: Arc<Relation>,
    pub plan: Arc<StreamPlan>,
    pub sources: BTreeMap<RelationId, Source>,
    pub feeds: Vec<(NodeId, RelationId)>,
    pub tick: Tick,
    /// The epoch up to which input was admitted; `None` before the first tick.
    pub admitted: Option<Epoch>,
    /// When that was, of the engine's clock.
    pub admitted_at: Duration,
    /// No snapshot is older than this.
    pub hydrate_at: Epoch,
    pub running: Option<Running>,
    /// How long input has to wait for a tick to settle before the tick is cut: doubles with each cut in a row.
    pub patience: u32,
    pub cut_waiters: Vec<oneshot::Sender<()>>,
    /// It lives no longer than a statement or a subscription and is in no checkpoint.
    pub temporary: bool,
    /// A checkpoint holds it between two ticks.
    pub frozen: bool,
    /// Its workers are handing over their state.
    pub capturing: bool,
    /// Rows in the log of each loop, by its number, that are on their way from a checkpoint. Until they are there the workers know nothing of
    /// the dataflow.
    pub coming: BTreeMap<usize, u64>,
}

/// A relation that the view reads.
#[derive(Debug)]
pub(super) struct Source {
    pub relation: Arc<Relation>,
    pub reader: ReaderId,
}

/// A tick that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    /// Since when input waits for it, if any does.
    pub waiting_since: Option<Duration>,
    pub cut: bool,
}

struct ViewEvents(Weak<Runtime>);

impl Events for ViewEvents {
    fn tick_ended(&self, end: TickEnd) -> Option<Order> {
        self.0.upgrade()?.tick_ended(end)
    }

    fn captured(&self, dataflow: DataflowId, parts: Vec<Captured>) -> Option<Order> {
        self.0.upgrade()?.captured(dataflow, parts)
    }
}

impl View {
    pub fn new(
        runtime: &Arc<Runtime>,
        relation: Arc<Relation>,
        dataflow: DataflowId,
        plan: Arc<StreamPlan>,
        sources: BTreeMap<RelationId, Arc<Relation>>,
        at: Epoch,
    ) -> Self {
        let events = Arc::new(ViewEvents(Arc::downgrade(runtime)));
        let temporary = crate::engine::is_temporary(dataflow);
        let beginning = if !temporary && runtime.takes_checkpoints() { Beginning::Noted } else { Beginning::Empty };
        let control = runtime.new_control(dataflow, &plan, events, beginning);
        let mut hydrate_at = at;
        let sources = sources.into_iter().map(|(id, relation)| {
            let (reader, snapshot) = relation.register_reader();
            hydrate_at = hydrate_at.max(snapshot.epoch);
            (id, Source { relation, reader })
        });
        let sources = sources.collect();
        Self {
            control,
            relation,
            feeds: plan.sources().collect(),
            plan,
            sources,
            tick: Tick(0),
            admitted: None,
            admitted_at: Duration::ZERO,
            hydrate_at,
            running: None,
            patience: 0,
            cut_waiters: Vec::new(),
            temporary,
            frozen: false,
            capturing: false,
            coming: BTreeMap::new(),
        }
    }

    /// A view as it was captured: everything up to `admitted` is in its dataflow.
    pub fn restored(
        runtime: &Arc<Runtime>,
        relation: Arc<Relation>,
        dataflow: DataflowId,
        plan: Arc<StreamPlan>,
        sources: BTreeMap<RelationId, Arc<Relation>>,
        (restored, admitted): (Restored, Epoch),
    ) -> Self {
        let mut view = Self::new(runtime, relation, dataflow, plan, BTreeMap::new(), admitted);
        let source = |relation: Arc<Relation>| Source { reader: relation.register_reader_at(admitted), relation };
        view.sources = sources.into_iter().map(|(id, relation)| (id, source(relation))).collect();
        view.tick = restored.tick;
        view.admitted = Some(admitted);
        let events = Arc::new(ViewEvents(Arc::downgrade(runtime)));
        view.control = runtime.new_control(dataflow, &view.plan, events, Beginning::Restored(restored));
        view
    }

    /// Shows how far each loop had come when it was captured, until it goes on. Those with a log go on when that is there.
    pub fn show_captured(&mut self, captured: &[LoopEntry]) {
        for (node, number) in self.plan.loop_keepers() {
            if let Some(entry) = captured.iter().find(|entry| entry.operator == StreamPlan::operator_id(node)) {
                self.control.loops[number].iteration.fetch_max(u64::from(entry.iteration), Ordering::Relaxed);
                if !entry.log.is_empty() {
                    *self.coming.entry(number).or_default() += entry.rows;
                }
            }
        }
    }

    /// What the view's loops are doing.
    pub fn loops(&self) -> Vec<LoopStatus> {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let heads = self.plan.loops().into_iter().zip(&self.control.loops).enumerate();
        let status = heads.map(|(number, ((_, name), gauge))| LoopStatus {
            view: self.relation.name.clone(),
            dataflow: self.control.id.0,
            loop_name: name.to_owned(),
            tick: self.tick.0,
            iteration: gauge.iteration.load(Ordering::Relaxed),
            laps: gauge.laps.load(Ordering::Relaxed),
            hold_us: self.control.hold_micros(),
            frontier_rows: count(gauge.frontier_rows.load(Ordering::Relaxed)),
            held_rows: count(gauge.held_rows.load(Ordering::Relaxed)),
            log_rows: count(gauge.log_rows.load(Ordering::Relaxed)) + self.coming.get(&number).copied().unwrap_or(0),
            log_bytes: count(gauge.log_bytes.load(Ordering::Relaxed)),
            spilled_bytes: count(gauge.spilled_bytes.load(Ordering::Relaxed)),
            rounds: gauge.released.counts().collect(),
        });
        status.collect()
    }

    /// What the view's operators have done.
    pub fn operators(&self) -> Vec<OperatorStatus> {
        let nodes = self.plan.nodes.iter().zip(&self.control.nodes).zip(0..);
        let status = nodes.map(|((node, gauge), operator)| OperatorStatus {
            view: self.relation.name.clone(),
            operator,
            kind: node.operator.name(),
            rows: gauge.rows.load(Ordering::Relaxed),
            busy_us: gauge.busy_nanos.load(Ordering::Relaxed) / 1000,
            state_bytes: gauge.state_bytes(),
            capture_us: gauge.capture_nanos.load(Ordering::Relaxed) / 1000,
        });
        status.collect()
    }

    /// What the view's operators remember.
    pub fn arrangements(&self) -> Vec<ArrangementStatus> {
        let mut all = Vec::new();
        for ((node, gauge), operator) in self.plan.nodes.iter().zip(&self.control.nodes).zip(0..) {
            all.extend(gauge.parts().map(|PartSize { part, rows, bytes }| ArrangementStatus {
                view: self.relation.name.clone(),
                operator,
                kind: node.operator.name(),
                part: part.name(),
                key: self.key(node, part),
                rows,
                bytes,
            }));
        }
        all
    }

    /// By which columns rows of a part are found: those of a loop by its join's, others by those by which they come to it.
    fn key(&self, node: &Node, part: Part) -> String {
        let names = |schema: &Schema, columns: &[usize]| {
            columns.iter().map(|column| schema.field(*column).name().as_str()).collect::<Vec<_>>().join(", ")
        };
        if let Operator::LoopHead(head) = &node.operator
            && let Some(join) = &head.join
        {
            match (part, node.inputs.get(1)) {
                (Part::Derivations, _) => return names(&head.variable, &join.variable_keys),
                (Part::Right, Some((other, _))) => return names(&self.plan.node(*other).schema, &join.other_keys),
                _ => {}
            }
        }
        let input = match part {
            Part::Left | Part::Sums | Part::Derivations => 0,
            Part::Right => 1,
            Part::Emissions | Part::Rows | Part::Frontier | Part::Log => return String::new(),
        };
        let Some((from, Exchange::Hash(columns))) = node.inputs.get(input) else { return String::new() };
        names(&self.plan.node(*from).schema, columns)
    }

    /// Asks for the end of the running tick. Whoever waits is told when it has ended.
    pub fn cut(&mut self) -> Option<oneshot::Receiver<()>> {
        let running = self.running.as_mut()?;
        running.cut = true;
        self.control.hold(self.tick);
        let (sender, receiver) = oneshot::channel();
        self.cut_waiters.push(sender);
        Some(receiver)
    }

    pub fn end(&mut self, error: &Error) {
        self.relation.end(error.clone());
        self.cut_waiters.clear();
    }

    /// Takes in the end of a tick: publishes when it is settled.
    pub fn tick_ended(&mut self, end: TickEnd, for_checkpoint: bool) {
        assert_eq!(end.tick, self.tick, "ticks of {} end in their order", self.relation.name);
        self.running = None;
        for waiter in self.cut_waiters.drain(..) {
            // Whoever waited may have gone.
            let _ = waiter.send(());
        }
        let outputs = end.outputs.into_iter().filter(|d| !d.is_empty()).map(Arc::new).collect::<Vec<_>>();
        if end.held_rows > 0 {
            self.patience = (self.patience + 1).min(10);
            self.relation.append_unsettled(outputs, for_checkpoint);
            return;
        }
        self.patience = 0;
        let mut deltas = self.relation.take_unsettled();
        deltas.extend(outputs);
        if deltas.iter().any(|d| d.has_retractions()) {
            deltas = consolidate(&self.relation.physical, &deltas).into_iter().filter(|d| !d.is_empty()).map(Arc::new).collect();
        }
        let epoch = self.admitted.expect("a tick admits up to an epoch");
        self.relation.publish(epoch, deltas);
        for source in self.sources.values() {
            source.relation.release(source.reader, epoch);
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        for source in self.sources.values() {
            source.relation.drop_reader(source.reader);
        }
    }
}

impl Runtime {
    /// A tick has ended at all workers. On the thread of the last one.
    fn tick_ended(&self, end: TickEnd) -> Option<Order> {
        let dataflow = end.dataflow;
        {
            let mut schedule = self.schedule();
            // Then a loop stands still, and who writes the checkpoint tidies up.
            let for_checkpoint = schedule.phase(dataflow).is_some_and(|phase| *phase == Phase::HoldRequested);
            schedule.views.get_mut(&dataflow)?.tick_ended(end, for_checkpoint);
            schedule.note_held(dataflow, self.environment.monotonic());
        }
        // Opens this view's next tick, too: its control is idle now.
        self.pump();
        None
    }

    /// Cuts the running tick of a view, so that its unsettled buffer is current. An idle view's is.
    pub async fn cut(&self, view: RelationId) -> Result<()> {
        let ended = {
            let mut schedule = self.schedule();
            let view = schedule.views.values_mut().find(|v| v.relation.id == view);
            view.and_then(View::cut)
        };
        if let Some(ended) = ended
            && ended.await.is_err()
        {
            self.check_alive()?;
        }
        Ok(())
    }
}

/// Deltas as a tick's feeds.
pub(super) fn feed(node: NodeId, deltas: impl IntoIterator<Item = Arc<Delta>>) -> impl Iterator<Item = (NodeId, Arc<Delta>)> {
    deltas.into_iter().map(move |delta| (node, delta))
}
