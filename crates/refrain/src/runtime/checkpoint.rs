//! Carries out what the protocol decides: the executor beside [`refrain_checkpoint::protocol::decide`].
//!
//! One task drives. It asks what to do next, does it, notes that, and asks again until the answer is to wait. Captures happen on
//! the workers' threads and are noted under the schedule's lock, where what follows for dataflows is done at once: a loop does not stand still
//! until the task gets a processor. Uploads and the commit are tasks of their own.
//!
//! While a recursion stands still nobody is woken by its worker: a thread that wakes may be given the worker's processor for a turn of the
//! system's scheduler, milliseconds in which the loop does not go on. The task looks by itself then, every few milliseconds, and begins the uploads.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use refrain_checkpoint::protocol::{
    AbortReason, Awaited, CommitFacts, DataflowFacts, Decision, Facts, Last, Phase, Replay, Running, Settings, decide,
};
use refrain_checkpoint::{Attempt, CommitOutcome, Contents, DataflowEntry, RelationEntry};
use refrain_dataflow::{Captured, Order};
use refrain_state::memory::Use;
use refrain_types::environment::timeout;
use refrain_types::{DataflowId, Epoch, RelationId};
use tokio::sync::{Notify, oneshot};

use super::capture::{CapturedDataflow, CapturedRelation, Committed, Position, ResultPins};
use super::merges::Request;
use super::segments::Target;
use super::{Runtime, Schedule};
use crate::checkpoints::{CheckpointInfo, CheckpointRecord};
use crate::database::Database;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::ingest::Turn;
use crate::relation::RelationKind;
use crate::settings::EngineSettings;

/// How often the task looks whether a recursion that was asked to hold has been captured and goes on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How many checkpoints `refrain.checkpoints` remembers.
const HISTORY_MAX: usize = 1000;

/// The coordinator's memory.
#[derive(Debug, Default)]
pub(super) struct Checkpointer {
    settings: Settings,
    requests: Vec<oneshot::Sender<Result<CheckpointInfo>>>,
    last: Last,
    run: Option<Run>,
    committed: Committed,
    pins: ResultPins,
    /// After an abort the next capture is a base: what was captured then is in no store.
    lost_changes: bool,
    /// Of a debug build: the facts of the decision before.
    decided_on: Option<Facts>,
    history: VecDeque<CheckpointRecord>,
    pub wake: Arc<Notify>,
}

/// The checkpoint in flight.
#[derive(Debug)]
struct Run {
    facts: Running,
    started_unix_ms: u64,
    attempt: Arc<Attempt>,
    waiters: Vec<oneshot::Sender<Result<CheckpointInfo>>>,
    positions: Vec<Position>,
    /// Keep the logs from what this checkpoint holds on, for the next one.
    pins: ResultPins,
    /// Captured, and to be uploaded.
    to_upload: Vec<CapturedDataflow>,
    dataflows: Vec<DataflowEntry>,
    relations: Vec<RelationEntry>,
    /// Somebody waits for a turn to capture them in.
    capturing_tables: bool,
    /// Epoch of the tables' capture, and what there was then.
    tables: Option<(Epoch, Arc<Database>)>,
    outcome: Option<(u64, Contents)>,
    /// When everything had been captured, and uploaded.
    captured: Duration,
    uploaded: Duration,
    /// What it waited for when its time was up.
    awaited: Option<String>,
    /// Recursions that were going on when they were asked to hold, and have not been let go on.
    stopped: BTreeSet<DataflowId>,
    /// The longest that one has.
    pause: Duration,
}

impl Checkpointer {
    /// That the facts, and the step to them, break no rule of the protocol. In debug builds alone.
    fn check(&mut self, facts: &Facts) {
        if cfg!(debug_assertions) {
            let step = self.decided_on.as_ref().and_then(|before| before.broken_step(facts));
            assert_eq!((facts.broken_rule(), step), (None, None), "{facts:?} after {:?}", self.decided_on);
            self.decided_on = Some(facts.clone());
        }
    }

    pub fn set(&mut self, settings: &EngineSettings) {
        self.settings.interval_ms = settings.checkpoint_interval.map(millis);
        self.settings.hold_max_ms = millis(settings.checkpoint_hold_max).max(1);
        self.settings.timeout_ms = millis(settings.checkpoint_timeout);
        self.settings.replay = if settings.checkpoint_replay_at_capture { Replay::AtCapture } else { Replay::AtCommit };
        self.wake.notify_one();
    }

    fn remember(&mut self, record: CheckpointRecord) {
        self.history.push_back(record);
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
    }

    fn facts(&self, now: Duration, restoring: bool) -> Facts {
        let running = self.run.as_ref().map(|r| r.facts.clone());
        Facts { now, settings: self.settings.clone(), requested: !self.requests.is_empty(), restoring, last: self.last, running }
    }
}

impl Schedule {
    pub(super) fn phase(&mut self, dataflow: DataflowId) -> Option<&mut Phase> {
        let run = self.checkpointer.run.as_mut()?;
        run.facts.dataflows.iter_mut().find(|d| d.id == dataflow).map(|d| &mut d.phase)
    }

    /// A dataflow has ended its tick: if it was asked to hold, it is held now.
    pub(super) fn note_held(&mut self, dataflow: DataflowId, now: Duration) {
        if let Some(phase) = self.phase(dataflow)
            && *phase == Phase::HoldRequested
        {
            *phase = Phase::Held { since: now };
            let is_watched = self.is_stopped(dataflow);
            self.advance(now);
            if !is_watched {
                self.checkpointer.wake.notify_one();
            }
        }
    }

    /// Whether a dataflow has a recursion that stands still for the checkpoint. The task looks after it by itself.
    fn is_stopped(&self, dataflow: DataflowId) -> bool {
        self.checkpointer.run.as_ref().is_some_and(|run| run.stopped.contains(&dataflow))
    }

    /// Whether there is something that nobody wakes the task for.
    fn is_watched(&self) -> bool {
        self.checkpointer.run.as_ref().is_some_and(|run| !run.stopped.is_empty() || !run.to_upload.is_empty())
    }

    fn facts(&self, now: Duration) -> Facts {
        self.checkpointer.facts(now, self.views.values().any(|view| !view.coming.is_empty()))
    }

    /// What a checkpoint waits for, in words.
    fn awaited(&self, running: &Running) -> String {
        match running.awaits() {
            Awaited::Dataflows(ids) => {
                let names = ids.iter().filter_map(|id| self.views.get(id)).map(|view| format!("view \"{}\"", view.relation.name));
                names.collect::<Vec<_>>().join(", ")
            }
            Awaited::Statements => "statements that wait for the store".to_owned(),
            Awaited::Uploads(1) => "an upload".to_owned(),
            Awaited::Uploads(uploads) => format!("{uploads} uploads"),
            Awaited::Manifest => "the store to take the manifest".to_owned(),
        }
    }

    /// A checkpoint that somebody has asked for, or that comes by itself, while logs of loops are on their way.
    fn waiting(&self) -> Option<CheckpointRecord> {
        let Checkpointer { requests, settings, .. } = &self.checkpointer;
        let is_wanted = !requests.is_empty() || settings.interval_ms.is_some();
        let coming = self.views.values().filter(|view| is_wanted && !view.coming.is_empty());
        let awaited = coming.map(|view| format!("the log of view \"{}\"", view.relation.name)).collect::<Vec<_>>().join(", ");
        (!awaited.is_empty()).then_some(CheckpointRecord::Waiting { awaited })
    }

    /// A dataflow is gone.
    pub(super) fn forget_dataflow(&mut self, dataflow: DataflowId) {
        if let Some(run) = &mut self.checkpointer.run {
            run.facts.dataflows.retain(|d| d.id != dataflow);
            run.stopped.remove(&dataflow);
            for other in &mut run.facts.dataflows {
                other.readers.retain(|r| *r != dataflow);
            }
            self.checkpointer.wake.notify_one();
        }
    }
}

impl Runtime {
    /// Takes a checkpoint that holds everything acknowledged until now.
    pub async fn checkpoint(&self, shared: &Arc<Shared>) -> Result<CheckpointInfo> {
        let (sender, done) = oneshot::channel();
        {
            let mut schedule = self.schedule();
            schedule.checkpointer.set(&shared.settings());
            schedule.checkpointer.requests.push(sender);
            schedule.checkpointer.wake.notify_one();
        }
        self.threads.until_failure(done).await?
    }

    /// The checkpoints since the engine was opened; the last one may be under way, or about to begin.
    pub fn checkpoints(&self, now: Duration) -> Vec<CheckpointRecord> {
        let schedule = self.schedule();
        let running = schedule.checkpointer.run.as_ref().map(|run| CheckpointRecord::Running {
            started_unix_ms: run.started_unix_ms,
            duration_ms: millis(now.saturating_sub(run.facts.started)),
            awaited: schedule.awaited(&run.facts),
        });
        schedule.checkpointer.history.iter().cloned().chain(running).chain(schedule.waiting()).collect()
    }

    /// Whether checkpoints are taken by themselves.
    pub(super) fn takes_checkpoints(&self) -> bool {
        self.schedule().checkpointer.settings.interval_ms.is_some()
    }

    /// What was restored is what the next checkpoint adds to.
    pub(super) fn restore_committed<'a>(
        &self,
        committed: Committed,
        relations: impl Iterator<Item = &'a Arc<crate::relation::Relation>>,
    ) {
        let mut schedule = self.schedule();
        let pin = |r: &Arc<crate::relation::Relation>| Some((r.id, Position::at(r, committed.relations.get(&r.id)?.epoch)));
        schedule.checkpointer.pins = relations.filter_map(pin).collect();
        schedule.checkpointer.committed = committed;
    }

    /// Begins to drive checkpoints, until the engine is closed.
    pub fn drive(shared: &Arc<Shared>) {
        let (engine, wake) = (Arc::downgrade(shared), Arc::clone(&shared.runtime.schedule().checkpointer.wake));
        tokio::spawn(async move { while step(&engine, &wake).await {} });
    }

    /// Workers have handed over what their operators have.
    pub(super) fn captured(&self, dataflow: DataflowId, parts: Vec<Captured>) -> Option<Order> {
        let may_wake = self.note_captured(dataflow, parts);
        self.pump();
        if may_wake == Some(true) {
            self.begin_uploads();
            self.schedule().checkpointer.wake.notify_one();
        }
        None
    }

    /// Returns whether no recursion waits for this thread: none was captured, or it does not go on yet.
    fn note_captured(&self, dataflow: DataflowId, parts: Vec<Captured>) -> Option<bool> {
        let mut schedule = self.schedule();
        let schedule = &mut *schedule;
        let held_since = match schedule.phase(dataflow) {
            Some(Phase::Held { since }) => *since,
            // The checkpoint was given up meanwhile; what was captured is lost to it.
            _ => {
                schedule.views.get_mut(&dataflow)?.capturing = false;
                schedule.checkpointer.lost_changes = true;
                return None;
            }
        };
        let was_stopped = schedule.is_stopped(dataflow);
        let view = schedule.views.get_mut(&dataflow)?;
        view.capturing = false;
        let refusal = self.memory.take_refusal(Use::LoopLogs);
        let Checkpointer { run, committed, pins, lost_changes, .. } = &mut schedule.checkpointer;
        let run = run.as_mut()?;
        let settled = view.relation.settled();
        let relation = CapturedRelation::take(&view.relation, settled, (committed, pins, *lost_changes), &run.positions);
        run.pins.insert(view.relation.id, Position::at(&view.relation, settled));
        run.positions.extend(Position::of(view));
        run.facts.uploads.outstanding += 1;
        run.facts.uploads.failed = run.facts.uploads.failed.take().or(refusal.map(|e| e.to_string()));
        run.to_upload.push(CapturedDataflow::take(view, parts, relation));
        let phase = run.facts.dataflows.iter_mut().find(|d| d.id == dataflow).map(|d| &mut d.phase);
        *phase? = Phase::Captured { held_since };
        schedule.advance(self.environment.monotonic());
        Some(!was_stopped || schedule.is_stopped(dataflow))
    }

    /// Begins to upload what has been captured.
    fn begin_uploads(&self) {
        let mut schedule = self.schedule();
        let Checkpointer { run, committed, .. } = &mut schedule.checkpointer;
        let Some(run) = run.as_mut() else { return };
        for captured in run.to_upload.drain(..) {
            let (attempt, committed) = (Arc::clone(&run.attempt), committed.clone());
            let (dictionary, merges, runtime) = (Arc::clone(&self.dictionary), Arc::clone(&self.merges), self.me.clone());
            self.io.spawn(async move {
                let target = Target { attempt: &attempt, dictionary: &dictionary, merges: &merges };
                let written = captured.write(target, &committed).await;
                let Some(runtime) = runtime.upgrade() else { return };
                runtime.note_upload(&attempt, written.map(|(dataflow, relation)| (Some(dataflow), vec![relation])));
            });
        }
    }

    fn note_upload(&self, attempt: &Arc<Attempt>, written: Result<(Option<DataflowEntry>, Vec<RelationEntry>)>) {
        let mut schedule = self.schedule();
        let Some(run) = schedule.checkpointer.run.as_mut().filter(|r| Arc::ptr_eq(&r.attempt, attempt)) else { return };
        run.facts.uploads.outstanding -= 1;
        match written {
            Ok((dataflow, relations)) => {
                run.dataflows.extend(dataflow);
                run.relations.extend(relations);
            }
            Err(error) => run.facts.uploads.failed = Some(error.to_string()),
        }
        schedule.checkpointer.wake.notify_one();
    }

    /// There is no turn any more: what was appended will never be visible.
    fn note_that_tables_are_out_of_reach(&self, attempt: &Weak<Attempt>, error: &Error) {
        let mut schedule = self.schedule();
        let is_its = |run: &&mut Run| std::ptr::eq(Arc::as_ptr(&run.attempt), attempt.as_ptr());
        let Some(run) = schedule.checkpointer.run.as_mut().filter(is_its) else { return };
        run.facts.uploads.failed = Some(error.to_string());
        schedule.checkpointer.wake.notify_one();
    }
}

/// One decision carried out. Returns whether to go on.
async fn step(engine: &Weak<Shared>, wake: &Notify) -> bool {
    let Some(shared) = engine.upgrade() else { return false };
    if shared.check_alive().is_err() {
        return false;
    }
    let runtime = Arc::clone(&shared.runtime);
    let now = shared.environment.monotonic();
    let decision = runtime.schedule().advance(now);
    runtime.pump();
    runtime.begin_uploads();
    match decision {
        Decision::Wait(until) => {
            let environment = Arc::clone(&shared.environment);
            let longest = if runtime.schedule().is_watched() { LOOK_EVERY } else { Duration::from_secs(3600) };
            drop((shared, runtime));
            let pause = until.map_or(longest, |until| until.saturating_sub(now).min(longest));
            let _ = timeout(&*environment, pause.max(Duration::from_millis(1)), wake.notified()).await;
        }
        Decision::Begin => begin(&shared, now),
        Decision::Capture(_) | Decision::Hold(_) | Decision::Release(_) => {
            // The workers note what they were told to do.
            let _ = timeout(&*shared.environment, LOOK_EVERY, wake.notified()).await;
        }
        Decision::CaptureTables => {
            begin_capture_of_tables(&shared);
            let _ = timeout(&*shared.environment, LOOK_EVERY, wake.notified()).await;
        }
        Decision::Commit => put(&shared, false),
        Decision::ReadBack => put(&shared, true),
        Decision::Abort(reason) => {
            let mut schedule = runtime.schedule();
            let awaited = schedule.checkpointer.run.as_ref().map(|run| schedule.awaited(&run.facts));
            // The answer to its put may have come meanwhile.
            let run = schedule.checkpointer.run.as_mut().filter(|run| run.facts.commit != CommitFacts::Ours);
            if let Some(run) = run {
                run.awaited = awaited.filter(|_| reason == AbortReason::Timeout);
                run.facts.aborted = Some(reason);
            }
        }
        Decision::Finish => finish(&shared, now),
    }
    true
}

fn begin(shared: &Arc<Shared>, now: Duration) {
    let mut schedule = shared.runtime.schedule();
    let schedule = &mut *schedule;
    // What was refused before is not of this checkpoint.
    drop(shared.runtime.memory.take_refusal(Use::LoopLogs));
    let dataflows = schedule.views.values().filter(|v| !v.temporary).map(|view| {
        let reads = |other: &&super::views::View| !other.temporary && other.sources.contains_key(&view.relation.id);
        let readers = schedule.views.values().filter(reads).map(|other| other.control.id).collect();
        DataflowFacts::running(view.control.id, readers, !view.plan.loops().is_empty())
    });
    let run = Run {
        facts: Running::starting(now, dataflows.collect()),
        started_unix_ms: shared.environment.unix_millis(),
        attempt: Arc::new(shared.store.begin()),
        waiters: std::mem::take(&mut schedule.checkpointer.requests),
        positions: Vec::new(),
        pins: ResultPins::new(),
        to_upload: Vec::new(),
        dataflows: Vec::new(),
        relations: Vec::new(),
        capturing_tables: false,
        tables: None,
        outcome: None,
        captured: now,
        uploaded: now,
        awaited: None,
        stopped: BTreeSet::new(),
        pause: Duration::ZERO,
    };
    schedule.checkpointer.run = Some(run);
}

impl Schedule {
    /// Carries out what is to be done with dataflows, and says what is to be done next by the coordinator. Whoever has noted something calls it:
    /// loops stand still, and the coordinator's task may have to wait for a processor. What it released goes on when the runtime is pumped.
    fn advance(&mut self, now: Duration) -> Decision {
        loop {
            let facts = self.facts(now);
            self.checkpointer.check(&facts);
            match decide(&facts) {
                Decision::Hold(ids) => self.hold(&ids, now),
                Decision::Release(ids) => self.release(&ids, now),
                Decision::Capture(id) if self.capture(id) => {}
                other => return other,
            }
        }
    }

    fn hold(&mut self, ids: &[DataflowId], now: Duration) {
        for id in ids {
            let Some(view) = self.views.get_mut(id) else { continue };
            view.frozen = true;
            let is_running = view.running.is_some();
            let stops = is_running && !view.plan.loops().is_empty();
            if is_running {
                view.control.hold(view.tick);
            }
            if let Some(of) = self.phase(*id) {
                *of = if is_running { Phase::HoldRequested } else { Phase::Held { since: now } };
            }
            if let Some(run) = self.checkpointer.run.as_mut().filter(|_| stops) {
                run.stopped.insert(*id);
            }
        }
    }

    /// Tells the workers to capture a dataflow, which changes its phase when it is done. Returns whether they had not been told before.
    fn capture(&mut self, id: DataflowId) -> bool {
        let Checkpointer { lost_changes, committed, .. } = &self.checkpointer;
        let full = *lost_changes || !committed.dataflows.contains_key(&id.0);
        let Some(view) = self.views.get_mut(&id).filter(|view| !view.capturing) else { return false };
        view.capturing = true;
        view.control.order(Order::Capture { full });
        true
    }

    fn release(&mut self, ids: &[DataflowId], now: Duration) {
        for id in ids {
            let mut still_since = None;
            if let Some(view) = self.views.get_mut(id) {
                view.frozen = false;
                still_since = view.control.loops_stand_still_since();
            }
            if let Some(phase) = self.phase(*id) {
                if let Phase::Held { since } | Phase::Captured { held_since: since } = *phase {
                    // Its tick may have ended before its loops were asked.
                    still_since = Some(still_since.map_or(since, |still| still.min(since)));
                }
                *phase = Phase::Released { captured: matches!(phase, Phase::Captured { .. }) };
            }
            if let Some(run) = &mut self.checkpointer.run
                && run.stopped.remove(id)
            {
                run.pause = run.pause.max(still_since.map_or(Duration::ZERO, |since| now.saturating_sub(since)));
            }
        }
    }
}

/// Waits for a turn to capture the tables in. The coordinator goes on meanwhile: a statement may be waiting for a store that is gone, and
/// no loop is held for that.
fn begin_capture_of_tables(shared: &Arc<Shared>) {
    let mut schedule = shared.runtime.schedule();
    let Some(run) = schedule.checkpointer.run.as_mut().filter(|run| !run.capturing_tables) else { return };
    run.capturing_tables = true;
    let (attempt, engine) = (Arc::downgrade(&run.attempt), Arc::downgrade(shared));
    tokio::spawn(async move {
        let Some(shared) = engine.upgrade() else { return };
        match shared.exclusive_turn_of_any_age().await {
            Ok(turn) => capture_tables(&shared, turn, &attempt),
            Err(error) => shared.runtime.note_that_tables_are_out_of_reach(&attempt, &error),
        }
    });
}

/// Tables and the catalog at one epoch. No statement is between log and table meanwhile.
fn capture_tables(shared: &Arc<Shared>, turn: Turn, attempt: &Weak<Attempt>) {
    let (epoch, database) = (shared.visible.now(), shared.database());
    let mut schedule = shared.runtime.schedule();
    let schedule = &mut *schedule;
    let Checkpointer { run, committed, pins, lost_changes, .. } = &mut schedule.checkpointer;
    // It may have been given up meanwhile.
    let is_ours = |run: &&mut Run| run.facts.aborted.is_none() && std::ptr::eq(Arc::as_ptr(&run.attempt), attempt.as_ptr());
    let Some(run) = run.as_mut().filter(is_ours) else { return };
    run.facts.tables_captured = true;
    run.captured = shared.environment.monotonic();
    let tables = database.relations.values().filter(|r| r.kind == RelationKind::Table);
    let captured = tables
        .map(|table| CapturedRelation::take(table, epoch, (committed, pins, *lost_changes), &run.positions))
        .collect::<Vec<_>>();
    for table in &captured {
        run.pins.insert(table.relation.id, Position::at(&table.relation, epoch));
    }
    run.positions.clear();
    run.tables = Some((epoch, database));
    run.facts.uploads.outstanding += 1;
    let (attempt, committed) = (Arc::clone(&run.attempt), committed.clone());
    let (dictionary, merges) = (Arc::clone(&shared.dictionary), Arc::clone(&shared.runtime.merges));
    let runtime = Arc::downgrade(&shared.runtime);
    drop(turn);
    tokio::spawn(async move {
        let target = Target { attempt: &attempt, dictionary: &dictionary, merges: &merges };
        let mut entries = Vec::new();
        let mut result = Ok(());
        for table in captured {
            match table.write(target, committed.relations.get(&table.relation.id)).await {
                Ok(entry) => entries.push(entry),
                Err(error) => result = Err(error),
            }
        }
        if let Some(runtime) = runtime.upgrade() {
            runtime.note_upload(&attempt, result.map(|()| (None, entries)));
        }
    });
}

/// Puts the manifest, or asks after one whose put had no answer.
fn put(shared: &Arc<Shared>, again: bool) {
    let (mut schedule, now) = (shared.runtime.schedule(), shared.environment.monotonic());
    let Some(run) = schedule.checkpointer.run.as_mut() else { return };
    run.facts.commit = CommitFacts::Putting;
    if !again {
        run.uploaded = now;
    }
    let facts = schedule.facts(now);
    schedule.checkpointer.check(&facts);
    let Some(run) = schedule.checkpointer.run.as_mut() else { return };
    let (epoch, database) = run.tables.clone().expect("tables are captured before the commit");
    // Views that were captured and then dropped are not in the catalog. What has been dropped since it was captured is.
    let lives = |id| database.relations.contains_key(&id);
    let contents = Contents {
        epoch,
        catalog: serde_json::to_value(&database.catalog).expect("a catalog is plain data"),
        relations: run.relations.iter().filter(|r| lives(r.id)).cloned().collect(),
        dataflows: run.dataflows.iter().filter(|d| lives(RelationId(d.id.0))).cloned().collect(),
    };
    let (attempt, runtime, environment) =
        (Arc::clone(&run.attempt), Arc::downgrade(&shared.runtime), Arc::clone(&shared.environment));
    tokio::spawn(async move {
        let outcome = if again { attempt.read_back().await } else { attempt.commit(contents.clone()).await };
        let Some(runtime) = runtime.upgrade() else { return };
        let mut schedule = runtime.schedule();
        let Some(run) = schedule.checkpointer.run.as_mut().filter(|r| Arc::ptr_eq(&r.attempt, &attempt)) else { return };
        run.facts.commit = match outcome {
            CommitOutcome::Committed(manifest) => {
                run.outcome = Some((manifest.id.0, contents));
                CommitFacts::Ours
            }
            CommitOutcome::Fenced(_) => CommitFacts::Theirs,
            CommitOutcome::Failed(error) => CommitFacts::Failed(error.to_string()),
            CommitOutcome::Unknown(_) => CommitFacts::Unknown { since: environment.monotonic() },
        };
        schedule.checkpointer.wake.notify_one();
    });
}

fn finish(shared: &Arc<Shared>, now: Duration) {
    let mut schedule = shared.runtime.schedule();
    let checkpointer = &mut schedule.checkpointer;
    let Some(run) = checkpointer.run.take() else { return };
    checkpointer.last = Last { began: run.facts.started, ended: now, pause: run.pause };
    let result = match (run.outcome, run.facts.aborted.clone()) {
        (Some((id, contents)), None) => {
            let times = [run.facts.started, run.captured, run.uploaded, now];
            let info = info(id, &contents, &checkpointer.committed, (run.started_unix_ms, run.pause), times);
            let committed = Committed {
                relations: contents.relations.iter().map(|e| (e.id, e.clone())).collect(),
                dataflows: contents.dataflows.iter().map(|e| (e.id.0, e.clone())).collect(),
            };
            checkpointer.committed = committed;
            checkpointer.pins = run.pins;
            checkpointer.lost_changes = false;
            checkpointer.remember(CheckpointRecord::Committed(info.clone()));
            Ok(info)
        }
        (_, reason) => {
            checkpointer.lost_changes = true;
            let reason = reason.map_or_else(|| "it was not committed".to_owned(), |r| r.to_string());
            let reason = run.awaited.map_or(reason.clone(), |awaited| format!("{reason}; it waited for {awaited}"));
            checkpointer.remember(CheckpointRecord::Aborted {
                started_unix_ms: run.started_unix_ms,
                duration_ms: millis(now.saturating_sub(run.facts.started)),
                pause_us: micros(run.pause),
                reason: reason.clone(),
            });
            Err(Error::io(format!("checkpoint aborted: {reason}"))
                .with_hint("The queries go on; the next checkpoint holds what this one would have."))
        }
    };
    let requests = shared.runtime.merges.after_checkpoint(result.is_ok(), &checkpointer.committed.segment_names());
    drop(schedule);
    merge(shared, requests);
    for waiter in run.waiters {
        // Whoever asked may have gone.
        let _ = waiter.send(result.clone());
    }
    if result.is_ok() {
        let (store, retained) = (shared.store.clone(), shared.settings().checkpoint_retain);
        tokio::spawn(async move {
            // What is left behind is found again when the store is opened.
            let _ = store.collect_garbage(retained).await;
        });
    }
}

/// Begins to merge segments, until the engine ends.
fn merge(shared: &Arc<Shared>, requests: Vec<Request>) {
    if requests.is_empty() {
        return;
    }
    let (engine, merges, dictionary) = (Arc::downgrade(shared), Arc::clone(&shared.runtime.merges), Arc::clone(&shared.dictionary));
    let memory = Arc::clone(&shared.runtime.memory);
    let begin = move || engine.upgrade().filter(|shared| shared.check_alive().is_ok()).map(|shared| shared.store.begin());
    tokio::spawn(async move { merges.run(requests, begin, (&dictionary, &memory)).await });
}

fn info(
    id: u64,
    contents: &Contents,
    before: &Committed,
    (started_unix_ms, pause): (u64, Duration),
    [started, captured, uploaded, now]: [Duration; 4],
) -> CheckpointInfo {
    let frontier =
        contents.dataflows.iter().flat_map(|d| &d.operators).filter(|o| o.part == refrain_dataflow::Part::Frontier.name());
    let frontier = frontier.flat_map(|o| &o.segments).map(|s| s.rows).sum::<u64>();
    let known = before.segment_names();
    let segments = contents.segments();
    CheckpointInfo {
        id,
        epoch: contents.epoch.0,
        started_unix_ms,
        duration_ms: millis(now.saturating_sub(started)),
        capture_ms: millis(captured.saturating_sub(started)),
        upload_ms: millis(uploaded.saturating_sub(captured)),
        commit_ms: millis(now.saturating_sub(uploaded)),
        bytes: segments.iter().filter(|s| !known.contains(&s.segment.name)).map(|s| s.segment.bytes).sum(),
        loop_log_rows: frontier + contents.dataflows.iter().flat_map(|d| &d.loops).map(|l| l.rows).sum::<u64>(),
        pause_us: micros(pause),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
