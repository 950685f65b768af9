//! The checkpoint protocol: what the coordinator does next, as a pure function of what it knows.
//!
//! The coordinator calls [`decide`] whenever something has happened or the time of a [`Decision::Wait`] has come, carries the
//! decision out, notes that in its [`Facts`] and calls again, until the decision is to wait. Nothing here does I/O or reads a clock.
//!
//! One checkpoint:
//!
//! ```text
//!            requested or due                all captured, all uploaded           ours
//!  (none) ───────────────────▶ capturing ─────────────────────────────▶ putting ───────▶ committed ─▶ (none)
//!                                  │  upload failed, timeout,              │  ▲              Release the rest, Finish
//!                                  │  held too long                no answer  │ ReadBack
//!                                  ▼                                       ▼  │
//!                              aborting ◀──────────────────────────────── unknown
//!                                  │      not there, other writer, timeout
//!                                  └─▶ Release all, Finish ─▶ (none)
//! ```
//!
//! One dataflow in it:
//!
//! ```text
//!  Running ─Hold─▶ HoldRequested ─(frontier passed on all workers)─▶ Held ─Capture─▶ Captured ─Release─▶ Released
//!     └──────────────────────┴───────────────────────────────────────┴── abort: Release ──────────────────▲
//! ```
//!
//! - *Readers first.* A dataflow is asked to hold only when all that read it are captured, and tables come last. So a reader is
//!   never captured ahead of its input, and no dataflow is held only because another is late.
//! - *Release.* A dataflow without loops goes on as soon as it is captured. One with loops does so after the commit, or right
//!   after its capture with [`Replay::AtCapture`]; in any case when it is captured and has been held for `hold_max_ms`.
//! - *Abort.* Everything is released at once; nobody waits for a loop to agree. A barrier that comes later is stale: the workers
//!   tell by the number of the attempt.
//! - *One in flight.* A request that arrives meanwhile is for the next one, since it may have been preceded by a change that the
//!   running one does not hold.
//! - Every checkpoint ends: whatever else happens, `timeout_ms` aborts it. If its commit is unknown then, it may still turn out
//!   to be there ([`crate::commit`] says why that is harmless).

use std::time::Duration;

use refrain_types::DataflowId;
use serde::{Deserialize, Serialize};

/// When loops go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replay {
    /// After the commit, or after `hold_max_ms`.
    #[default]
    #[serde(rename = "commit")]
    AtCommit,
    /// While the upload is on its way.
    #[serde(rename = "capture")]
    AtCapture,
}

/// Settings of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// From the end of one checkpoint to the beginning of the next; `None`: on request only.
    pub interval_ms: Option<u64>,
    /// How long a captured loop waits for the commit at most, from its barrier on.
    pub hold_max_ms: u64,
    /// How long a checkpoint may take.
    pub timeout_ms: u64,
    /// From a commit without an answer to the next look.
    pub read_back_after_ms: u64,
    /// When loops go on.
    pub replay: Replay,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval_ms: None, hold_max_ms: 200, timeout_ms: 60_000, read_back_after_ms: 100, replay: Replay::default() }
    }
}

/// What the coordinator knows. Times are those of `Environment::monotonic`.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The time.
    pub now: Duration,
    /// The settings.
    pub settings: Settings,
    /// Somebody has asked for a checkpoint since the last one began.
    pub requested: bool,
    /// Logs of loops are still on their way from the checkpoint that was restored. It is needed until then, and no other begins.
    pub restoring: bool,
    /// The checkpoint before; before the first one, all of it was when the engine was opened.
    pub last: Last,
    /// The checkpoint in flight.
    pub running: Option<Running>,
}

/// A checkpoint that is over, however it ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Last {
    /// When it began.
    pub began: Duration,
    /// When it ended.
    pub ended: Duration,
    /// How long it stopped a loop at most.
    pub pause: Duration,
}

/// The checkpoint in flight.
#[derive(Clone, Debug)]
pub struct Running {
    /// When it began.
    pub started: Duration,
    /// The dataflows that were there when it began and have not been dropped since.
    pub dataflows: Vec<DataflowFacts>,
    /// Tables have been captured.
    pub tables_captured: bool,
    /// Uploads of captured parts. They start with the capture.
    pub uploads: Uploads,
    /// The put of the manifest.
    pub commit: CommitFacts,
    /// Set by [`Decision::Abort`].
    pub aborted: Option<AbortReason>,
}

impl Running {
    /// A checkpoint that begins now.
    #[must_use]
    pub fn starting(started: Duration, dataflows: Vec<DataflowFacts>) -> Self {
        let (uploads, commit) = (Uploads::default(), CommitFacts::NotTried);
        Self { started, dataflows, tables_captured: false, uploads, commit, aborted: None }
    }
}

/// A dataflow in the checkpoint in flight.
#[derive(Clone, Debug)]
pub struct DataflowFacts {
    /// Its id.
    pub id: DataflowId,
    /// The dataflows that read its output.
    pub readers: Vec<DataflowId>,
    /// Whether it has loops.
    pub has_loops: bool,
    /// How far it is.
    pub phase: Phase,
}

/// How far a dataflow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does not know of the checkpoint.
    Running,
    /// It has been asked to end its tick.
    HoldRequested,
    /// The frontier has passed the tick on every worker: nothing is in flight but what the loop heads hold.
    Held {
        /// Since when.
        since: Duration,
    },
    /// All workers have handed over what changed.
    Captured {
        /// Since when it is held, not since when it is captured.
        held_since: Duration,
    },
    /// It goes on.
    Released {
        /// Whether it was captured before.
        captured: bool,
    },
}

/// Uploads of what has been captured.
#[derive(Clone, Debug, Default)]
pub struct Uploads {
    /// Segments that are on their way.
    pub outstanding: usize,
    /// Why one failed.
    pub failed: Option<String>,
}

/// The put of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitFacts {
    /// Not yet.
    NotTried,
    /// On its way, or being read back.
    Putting,
    /// No clear answer.
    Unknown {
        /// When that was.
        since: Duration,
    },
    /// It is in the store and ours.
    Ours,
    /// Another writer has the store.
    Theirs,
    /// It is not in the store.
    Failed(String),
}

/// What a checkpoint in flight waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// These dataflows: they end their ticks, or are captured.
    Dataflows(Vec<DataflowId>),
    /// A moment at which no statement is between log and table.
    Statements,
    /// So many uploads.
    Uploads(usize),
    /// The store's answer to the put of the manifest.
    Manifest,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Begin a checkpoint with all dataflows; requests up to now are part of it.
    Begin,
    /// Ask these dataflows to end their tick and hold their loops.
    Hold(Vec<DataflowId>),
    /// Capture this dataflow with its result and its change log, and begin to upload that.
    Capture(DataflowId),
    /// Capture the tables and the catalog, and begin to upload that.
    CaptureTables,
    /// Put the manifest.
    Commit,
    /// Read the manifest back.
    ReadBack,
    /// Let these dataflows go on: loops replay their logs.
    Release(Vec<DataflowId>),
    /// Give the checkpoint up. What was captured is part of the next one.
    Abort(AbortReason),
    /// The checkpoint is over; answer those who asked for it.
    Finish,
    /// Nothing until something happens, or this time comes.
    Wait(Option<Duration>),
}

/// Why a checkpoint was aborted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbortReason {
    /// An upload failed.
    #[error("an upload failed: {0}")]
    UploadFailed(String),
    /// The manifest could not be put.
    #[error("the manifest could not be written: {0}")]
    CommitFailed(String),
    /// The manifest was put and the store does not say whether it arrived.
    #[error("the store did not say in time whether the manifest was written")]
    CommitUnknown,
    /// It took longer than `timeout_ms`.
    #[error("it took longer than checkpoint_timeout_ms")]
    Timeout,
    /// Another writer has the store.
    #[error("another writer has taken over the store")]
    Fenced,
}

/// The next step.
#[must_use]
pub fn decide(facts: &Facts) -> Decision {
    let Some(running) = &facts.running else { return decide_idle(facts) };
    let over = running.aborted.is_some() || running.commit == CommitFacts::Ours;
    if over {
        let rest = running.ids(|d| !matches!(d.phase, Phase::Released { .. }));
        return if rest.is_empty() { Decision::Finish } else { Decision::Release(rest) };
    }
    if let Some(reason) = reason_to_abort(facts, running) {
        return Decision::Abort(reason);
    }
    let due = running.ids(|d| may_go_on(facts, d));
    if !due.is_empty() {
        return Decision::Release(due);
    }
    decide_forward(facts, running)
}

fn decide_idle(facts: &Facts) -> Decision {
    if facts.restoring {
        return Decision::Wait(None);
    }
    let due = facts.settings.interval_ms.map(|ms| {
        let (interval, last) = (Duration::from_millis(ms), facts.last);
        // Checkpoints that take longer than the interval still leave loops as much time as they took from them.
        (last.began + interval).max(last.ended + interval.min(last.pause))
    });
    if facts.requested || due.is_some_and(|due| facts.now >= due) { Decision::Begin } else { Decision::Wait(due) }
}

fn reason_to_abort(facts: &Facts, running: &Running) -> Option<AbortReason> {
    match &running.commit {
        CommitFacts::Theirs => return Some(AbortReason::Fenced),
        CommitFacts::Failed(why) => return Some(AbortReason::CommitFailed(why.clone())),
        _ => {}
    }
    if let Some(why) = &running.uploads.failed {
        return Some(AbortReason::UploadFailed(why.clone()));
    }
    if facts.now >= running.started + Duration::from_millis(facts.settings.timeout_ms) {
        let tried = running.commit != CommitFacts::NotTried;
        return Some(if tried { AbortReason::CommitUnknown } else { AbortReason::Timeout });
    }
    None
}

/// Whether a captured dataflow need not wait for the commit, or not any longer.
fn may_go_on(facts: &Facts, dataflow: &DataflowFacts) -> bool {
    let Phase::Captured { held_since } = dataflow.phase else { return false };
    let at_capture = !dataflow.has_loops || facts.settings.replay == Replay::AtCapture;
    at_capture || facts.now >= held_until(facts, held_since)
}

fn held_until(facts: &Facts, since: Duration) -> Duration {
    since + Duration::from_millis(facts.settings.hold_max_ms)
}

/// The next step towards the commit.
fn decide_forward(facts: &Facts, running: &Running) -> Decision {
    let ready = |d: &DataflowFacts| running.readers_are_captured(d);
    if let Some(held) = running.dataflows.iter().find(|d| matches!(d.phase, Phase::Held { .. }) && ready(d)) {
        return Decision::Capture(held.id);
    }
    let holdable = running.ids(|d| d.phase == Phase::Running && ready(d));
    if !holdable.is_empty() {
        return Decision::Hold(holdable);
    }
    let all_captured = running.dataflows.iter().all(DataflowFacts::is_captured);
    match running.commit {
        _ if !all_captured => wait(facts, running),
        _ if !running.tables_captured => Decision::CaptureTables,
        CommitFacts::NotTried if running.uploads.outstanding == 0 => Decision::Commit,
        CommitFacts::Unknown { since } if facts.now >= read_back_at(facts, since) => Decision::ReadBack,
        _ => wait(facts, running),
    }
}

fn read_back_at(facts: &Facts, since: Duration) -> Duration {
    since + Duration::from_millis(facts.settings.read_back_after_ms)
}

/// Until the first time at which the clock alone changes the decision.
fn wait(facts: &Facts, running: &Running) -> Decision {
    let timeout = running.started + Duration::from_millis(facts.settings.timeout_ms);
    let holds = running.dataflows.iter().filter(|d| d.has_loops).filter_map(|d| match d.phase {
        Phase::Captured { held_since } => Some(held_until(facts, held_since)),
        _ => None,
    });
    let look = match running.commit {
        CommitFacts::Unknown { since } => Some(read_back_at(facts, since)),
        _ => None,
    };
    Decision::Wait(holds.chain(look).chain([timeout]).min())
}

impl Facts {
    /// The first rule of the protocol that these facts break. The model sees in every state that there is none, and the coordinator of a debug
    /// build whenever it asks what to do: what it makes of decisions is what the model makes of them.
    #[must_use]
    pub fn broken_rule(&self) -> Option<&'static str> {
        let running = self.running.as_ref()?;
        let Running { dataflows, tables_captured, uploads, commit, .. } = running;
        let goes_on_uncaptured = |d: &DataflowFacts| d.phase == Phase::Released { captured: false };
        let readers_first =
            |d: &DataflowFacts| d.phase == Phase::Running || goes_on_uncaptured(d) || running.readers_are_captured(d);
        let all_in_store = *tables_captured && uploads.outstanding == 0 && uploads.failed.is_none();
        let rules = [
            (dataflows.iter().all(readers_first), "a dataflow is asked to hold when all that read it are captured"),
            (!*tables_captured || dataflows.iter().all(DataflowFacts::is_captured), "tables are captured when all dataflows are"),
            (*commit == CommitFacts::NotTried || all_in_store, "the manifest is put when all that it names is in the store"),
            (
                running.aborted.is_some() || !dataflows.iter().any(goes_on_uncaptured),
                "who was not captured goes on when the checkpoint is given up",
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule)
    }

    /// The first rule that a step from these facts to others breaks, as one coordinator sees them. The model takes no step that breaks one, and the
    /// coordinator of a debug build none either, so what it goes through is a path of the model's.
    #[must_use]
    pub fn broken_step(&self, next: &Self) -> Option<&'static str> {
        let rules = match (&self.running, &next.running) {
            (None, None) => vec![],
            (None, Some(running)) => vec![
                (!self.restoring, "no checkpoint begins while logs of loops are on their way"),
                (running.has_just_begun(), "a checkpoint begins with nothing done"),
            ],
            (Some(running), None) => vec![(running.is_over(), "a checkpoint ends when it is committed or given up and all go on")],
            (Some(before), Some(after)) => vec![
                (before.started == after.started, "one checkpoint is in flight"),
                (after.dataflows.iter().all(|d| before.may_become(d)), "a dataflow goes from one phase to the next"),
                (!before.tables_captured || after.tables_captured, "tables stay captured"),
                (before.uploads.failed.is_none() || after.uploads.failed.is_some(), "an upload that has failed stays so"),
                (before.may_be_answered(&after.commit), "the answer to a put stays"),
                (before.aborted.is_none() || before.aborted == after.aborted, "what is given up stays so"),
                (before.commit != CommitFacts::Ours || after.aborted == before.aborted, "what is committed is not given up"),
            ],
        };
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule)
    }
}

impl DataflowFacts {
    /// A dataflow that does not know of the checkpoint yet.
    #[must_use]
    pub fn running(id: DataflowId, readers: Vec<DataflowId>, has_loops: bool) -> Self {
        Self { id, readers, has_loops, phase: Phase::Running }
    }

    fn is_captured(&self) -> bool {
        matches!(self.phase, Phase::Captured { .. } | Phase::Released { captured: true })
    }
}

impl Running {
    /// What it waits for, in the order of its steps.
    #[must_use]
    pub fn awaits(&self) -> Awaited {
        let late = self.ids(|d| matches!(d.phase, Phase::HoldRequested | Phase::Held { .. }));
        match self.uploads.outstanding {
            _ if !late.is_empty() => Awaited::Dataflows(late),
            _ if !self.tables_captured => Awaited::Statements,
            0 => Awaited::Manifest,
            uploads => Awaited::Uploads(uploads),
        }
    }

    fn has_just_begun(&self) -> bool {
        let waits = self.dataflows.iter().all(|d| d.phase == Phase::Running);
        waits
            && !self.tables_captured
            && self.uploads.outstanding == 0
            && self.commit == CommitFacts::NotTried
            && self.aborted.is_none()
    }

    fn is_over(&self) -> bool {
        let ended = self.aborted.is_some() || self.commit == CommitFacts::Ours;
        ended && self.dataflows.iter().all(|d| matches!(d.phase, Phase::Released { .. }))
    }

    /// Whether a dataflow of this checkpoint may be so next; others may have been dropped.
    fn may_become(&self, next: &DataflowFacts) -> bool {
        let Some(before) = self.dataflows.iter().find(|d| d.id == next.id) else { return false };
        match (before.phase, next.phase) {
            (Phase::Running, Phase::HoldRequested)
            | (Phase::Running | Phase::HoldRequested, Phase::Held { .. })
            | (Phase::Captured { .. }, Phase::Released { captured: true })
            | (Phase::Running | Phase::HoldRequested | Phase::Held { .. }, Phase::Released { captured: false }) => true,
            (Phase::Held { since }, Phase::Captured { held_since }) => since == held_since,
            (before, next) => before == next,
        }
    }

    fn may_be_answered(&self, next: &CommitFacts) -> bool {
        match (&self.commit, next) {
            (CommitFacts::NotTried, CommitFacts::Putting) => self.uploads.outstanding == 0 && self.aborted.is_none(),
            (CommitFacts::Putting | CommitFacts::Unknown { .. }, next) => *next != CommitFacts::NotTried,
            (before, next) => before == next,
        }
    }

    fn ids(&self, which: impl Fn(&DataflowFacts) -> bool) -> Vec<DataflowId> {
        self.dataflows.iter().filter(|d| which(d)).map(|d| d.id).collect()
    }

    /// Readers that are not there any more have been dropped.
    fn readers_are_captured(&self, dataflow: &DataflowFacts) -> bool {
        self.dataflows.iter().filter(|d| dataflow.readers.contains(&d.id)).all(DataflowFacts::is_captured)
    }
}

#[cfg(test)]
mod tests;
