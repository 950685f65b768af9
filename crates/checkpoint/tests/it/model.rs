//! A model of the protocol, every state of which is visited: the real `decide`, and around it a loop, a reader of the loop, a table, a
//! store that answers or not, time, concurrent requests, and crashes after which a put of the old writer may still arrive.
//!
//! ```text
//! table ──▶ loop (set, frontier, rows in flight, log) ──published epochs──▶ reader (sums what comes)
//! ```
//! The loop derives chains: a row derives the next of its chain. An epoch of the table begins a chain. What a restore would make of each
//! manifest in the store is worked out at once: everything durable has to be in the set, having come to the head exactly once, and exactly
//! once with the reader. The known mistakes are injected one by one, and each has to be found. `REFRAIN_MODEL=deep` allows more of
//! everything, some ten million states.
//!
//! The search is a queue and a set; a checker from a registry would bring a web server along.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use refrain_checkpoint::protocol::{
    CommitFacts, DataflowFacts, Decision, Facts, Last, Phase, Replay, Running, Settings, Uploads, decide,
};
use refrain_types::DataflowId;

/// A set of rows: row `r` is bit `r`.
type Rows = u8;

/// Chains: each epoch's first row, and what follows it. (0, 1, 2 of epoch 1; 3 of epoch 2.)
const FIRST: [Rows; 3] = [0, 1 << 0, 1 << 3];
const ENDS: Rows = 1 << 2 | 1 << 3;
const ROWS: usize = 4;

const LOOP: DataflowId = DataflowId(1);
const READER: DataflowId = DataflowId(2);

const HOLD_MAX: u8 = 1;
const TIMEOUT: u8 = 2;
const READ_BACK: u8 = 1;

/// What is got wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// The log is not part of the checkpoint.
    LogNotCaptured,
    /// Rows that return are put into the set before they are logged, so that the replay drops them.
    SetBeforeLog,
    /// It logs only from the barrier on, not from the hold.
    LogFromBarrier,
    /// It logs from the beginning of the checkpoint on, what is not held as well.
    LogBeforeHold,
    /// A restored loop gets the log that was written first, not that of its checkpoint.
    LogsByOrder,
    /// It is captured with rows in flight.
    BarrierTooEarly,
    /// The log that is being replayed is not in the next checkpoint.
    ReplayNotCaptured,
    /// Rows that wait to be released are not in the checkpoint.
    FrontierNotCaptured,
    /// What an aborted checkpoint had captured is not in the next.
    AbortLosesChanges,
    /// An abort does not replay the log.
    AbortLosesLog,
    /// The reader is captured after what it reads.
    ReaderLast,
    /// What the reader has not read is not kept.
    ChangesNotKept,
    /// A put without an answer counts as written.
    NoAnswerIsCommitted,
    /// An opening takes no place in the store.
    NoFence,
}

const MISTAKES: [Mistake; 14] = [
    Mistake::LogNotCaptured,
    Mistake::SetBeforeLog,
    Mistake::LogFromBarrier,
    Mistake::LogBeforeHold,
    Mistake::LogsByOrder,
    Mistake::BarrierTooEarly,
    Mistake::ReplayNotCaptured,
    Mistake::FrontierNotCaptured,
    Mistake::AbortLosesChanges,
    Mistake::AbortLosesLog,
    Mistake::ReaderLast,
    Mistake::ChangesNotKept,
    Mistake::NoAnswerIsCommitted,
    Mistake::NoFence,
];

struct Protocol {
    replay: Replay,
    mistake: Option<Mistake>,
    /// How often these happen at most.
    requests: u8,
    crashes: u8,
    epochs: u8,
}

/// The loop as a checkpoint holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct LoopState {
    admitted: u8,
    settled: u8,
    set: Rows,
    /// How often each row has come to the head: in a loop that keeps no set, what it has said.
    arrived: [u8; ROWS],
    frontier: Rows,
    log: Rows,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Loop {
    state: LoopState,
    flight: Rows,
    /// Of the log, what has not come to the head again.
    replaying: Rows,
    ticking: bool,
    holding: bool,
    frozen: bool,
    /// Rows that are new in the set since the last capture.
    changed: Rows,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct ReaderState {
    consumed: u8,
    sums: [u8; ROWS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Reader {
    state: ReaderState,
    /// Epochs that the loop has published and the reader has not read, as bits.
    waiting: u8,
    frozen: bool,
}

/// What a manifest holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Contents {
    table: u8,
    looping: LoopState,
    reader: ReaderState,
    /// Published epochs that the reader has not read.
    kept: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Manifest {
    generation: u8,
    attempt: u8,
    /// `None` when another is newer: then it has been looked at.
    contents: Option<Contents>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Run {
    attempt: u8,
    started: u8,
    phases: [PhaseOf; 2],
    contents: Contents,
    captured_tables: bool,
    outstanding: u8,
    failed: bool,
    commit: Commit,
    aborted: bool,
}

/// A phase with the time in a form that can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PhaseOf {
    Running,
    HoldRequested,
    Held(u8),
    Captured(u8),
    Released(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Commit {
    NotTried,
    Putting,
    Unknown(u8),
    Ours,
    Theirs,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    clock: u8,
    generation: u8,
    attempts: u8,
    requests: u8,
    crashes: u8,
    requested: bool,
    table: u8,
    looping: Loop,
    reader: Reader,
    run: Option<Run>,
    /// The set in the last known commit: later captures add to it.
    committed: Rows,
    lost_changes: bool,
    /// The log that was captured first, where that is the mistake.
    first_log: Option<Rows>,
    /// The place that the writer takes for the newest.
    newest: usize,
    store: Vec<Manifest>,
    /// A put whose answer was given up, and its place.
    late: Option<(usize, Manifest)>,
    /// The first place after the newest opening.
    opened: usize,
    /// The input log has the epochs after this one: what a checkpoint holds is removed from it.
    truncated: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Insert,
    Request,
    Time,
    Admit,
    Replay,
    Release,
    Return(u8),
    EndTick,
    Read,
    Coordinate,
    UploadDone,
    UploadFails,
    PutAnswered,
    PutFails,
    PutUnanswered { arrives: bool },
    LateArrives,
    LateVanishes,
    Crash,
}

/// The rows that follow from an epoch's first rows.
fn closed(rows: Rows) -> Rows {
    (0..ROWS).fold(rows, |rows, _| rows | next(rows))
}

/// What rows derive.
fn next(rows: Rows) -> Rows {
    (rows & !ENDS) << 1
}

fn rows_of(epochs: impl IntoIterator<Item = u8>) -> Rows {
    epochs.into_iter().map(|epoch| closed(FIRST[epoch as usize])).fold(0, |all, rows| all | rows)
}

fn epochs_after(from: u8, to: u8) -> u8 {
    (from + 1..=to).fold(0, |bits, epoch| bits | 1 << epoch)
}

fn bits(bits: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |bit| bits & 1 << bit != 0)
}

impl LoopState {
    /// Rows come to the head.
    fn apply(&mut self, rows: Rows) {
        bits(rows).for_each(|row| self.arrived[row as usize] += 1);
        let new = rows & !self.set;
        self.set |= new;
        self.frontier |= new;
    }
}

impl ReaderState {
    fn read(&mut self, epochs: u8) {
        for row in bits(rows_of(bits(epochs))) {
            self.sums[row as usize] += 1;
        }
    }
}

/// What becomes of a loop and a reader when nothing disturbs them any more.
fn completed(mut looping: LoopState, mut reader: ReaderState, waiting: u8, table: u8) -> (Rows, [[u8; ROWS]; 2]) {
    let log = std::mem::take(&mut looping.log);
    looping.apply(log);
    looping.apply((looping.admitted + 1..=table).map(|epoch| FIRST[epoch as usize]).fold(0, |all, row| all | row));
    while looping.frontier != 0 {
        let rows = std::mem::take(&mut looping.frontier);
        looping.apply(next(rows));
    }
    reader.read(waiting | epochs_after(looping.settled, table));
    (looping.set, [looping.arrived, reader.sums])
}

fn is_right((set, counts): (Rows, [[u8; ROWS]; 2]), table: u8) -> bool {
    let wanted = rows_of(1..=table);
    set == wanted && counts.iter().all(|counts| (0..ROWS).all(|row| counts[row] == u8::from(wanted & 1 << row != 0)))
}

impl State {
    fn facts(&self, model: &Protocol) -> Facts {
        let ms = |ms: u8| Duration::from_millis(ms.into());
        let running = self.run.as_ref().map(|run| {
            let phase = |of: PhaseOf| match of {
                PhaseOf::Running => Phase::Running,
                PhaseOf::HoldRequested => Phase::HoldRequested,
                PhaseOf::Held(since) => Phase::Held { since: ms(since) },
                PhaseOf::Captured(since) => Phase::Captured { held_since: ms(since) },
                PhaseOf::Released(captured) => Phase::Released { captured },
            };
            let readers = if model.mistake == Some(Mistake::ReaderLast) { vec![] } else { vec![READER] };
            Running {
                started: ms(run.started),
                dataflows: vec![
                    DataflowFacts { phase: phase(run.phases[0]), ..DataflowFacts::running(LOOP, readers, true) },
                    DataflowFacts { phase: phase(run.phases[1]), ..DataflowFacts::running(READER, vec![], false) },
                ],
                tables_captured: run.captured_tables,
                uploads: Uploads { outstanding: run.outstanding.into(), failed: run.failed.then(|| "it failed".to_owned()) },
                commit: match run.commit {
                    Commit::NotTried => CommitFacts::NotTried,
                    Commit::Putting => CommitFacts::Putting,
                    Commit::Unknown(since) => CommitFacts::Unknown { since: ms(since) },
                    Commit::Ours => CommitFacts::Ours,
                    Commit::Theirs => CommitFacts::Theirs,
                    Commit::Failed => CommitFacts::Failed("it failed".to_owned()),
                },
                aborted: run.aborted.then_some(refrain_checkpoint::protocol::AbortReason::Timeout),
            }
        });
        let settings = Settings {
            interval_ms: None,
            hold_max_ms: HOLD_MAX.into(),
            timeout_ms: TIMEOUT.into(),
            read_back_after_ms: READ_BACK.into(),
            replay: model.replay,
        };
        Facts { now: ms(self.clock), settings, requested: self.requested, restoring: false, last: Last::default(), running }
    }

    fn run(&mut self) -> &mut Run {
        self.run.as_mut().expect("a checkpoint is in flight")
    }

    /// Carries a decision out, as the coordinator does.
    fn coordinate(&mut self, decision: Decision, model: &Protocol) {
        let index = |id: DataflowId| usize::from(id == READER);
        match decision {
            Decision::Begin => {
                self.requested = false;
                self.attempts += 1;
                self.run = Some(Run {
                    attempt: self.attempts,
                    started: self.clock,
                    phases: [PhaseOf::Running; 2],
                    contents: Contents::default(),
                    captured_tables: false,
                    outstanding: 0,
                    failed: false,
                    commit: Commit::NotTried,
                    aborted: false,
                });
            }
            Decision::Hold(ids) => {
                for id in ids {
                    let ticking = id == LOOP && self.looping.ticking;
                    if id == LOOP {
                        self.looping.frozen = true;
                        self.looping.holding = ticking;
                    } else {
                        self.reader.frozen = true;
                    }
                    let clock = self.clock;
                    self.run().phases[index(id)] = if ticking { PhaseOf::HoldRequested } else { PhaseOf::Held(clock) };
                }
            }
            Decision::Capture(id) => self.capture(id, model),
            Decision::CaptureTables => {
                let table = self.table;
                let run = self.run();
                (run.captured_tables, run.contents.table) = (true, table);
                run.outstanding += 1;
            }
            Decision::Commit => self.run().commit = Commit::Putting,
            Decision::ReadBack => {
                let (place, run) = (self.newest + 1, self.run.as_ref().expect("a checkpoint is in flight"));
                let commit = match self.store.get(place) {
                    Some(there) if there.generation == self.generation && there.attempt == run.attempt => Commit::Ours,
                    Some(there) if there.generation != self.generation => Commit::Theirs,
                    _ => Commit::Failed,
                };
                self.run().commit = commit;
            }
            Decision::Release(ids) => {
                for id in ids {
                    let run = self.run();
                    let captured = matches!(run.phases[index(id)], PhaseOf::Captured(_));
                    run.phases[index(id)] = PhaseOf::Released(captured);
                    let aborted = run.aborted;
                    if id == LOOP {
                        self.looping.frozen = false;
                        if aborted && model.mistake == Some(Mistake::AbortLosesLog) {
                            self.looping.state.log = 0;
                        }
                    } else {
                        self.reader.frozen = false;
                    }
                }
            }
            Decision::Abort(_) => self.run().aborted = true,
            Decision::Finish => {
                let run = self.run.take().expect("a checkpoint is in flight");
                let is_committed = run.commit == Commit::Ours && !run.aborted;
                if is_committed {
                    self.committed = run.contents.looping.set;
                    self.truncated = run.contents.table;
                }
                self.lost_changes = !is_committed && model.mistake != Some(Mistake::AbortLosesChanges);
            }
            Decision::Wait(_) => unreachable!("whoever waits does nothing"),
        }
    }

    fn capture(&mut self, id: DataflowId, model: &Protocol) {
        let mistake = |mistake| model.mistake == Some(mistake);
        let since = |phase| if let PhaseOf::Held(since) = phase { since } else { unreachable!("what is captured is held") };
        if id == LOOP {
            let Loop { mut state, changed, replaying, .. } = self.looping;
            if !mistake(Mistake::ReplayNotCaptured) {
                state.log |= replaying;
            }
            // Incremental, as long as what was captured before is in the store.
            state.set = if self.lost_changes { state.set } else { self.committed | changed };
            self.looping.changed = 0;
            if mistake(Mistake::LogNotCaptured) {
                state.log = 0;
            }
            if mistake(Mistake::FrontierNotCaptured) {
                state.frontier = 0;
            }
            if mistake(Mistake::LogsByOrder) {
                self.first_log.get_or_insert(state.log);
            }
            let kept = if mistake(Mistake::ChangesNotKept) { 0 } else { self.reader_gap() };
            let run = self.run();
            (run.contents.looping, run.contents.kept) = (state, kept);
            run.phases[0] = PhaseOf::Captured(since(run.phases[0]));
            run.outstanding += 1;
        } else {
            let state = self.reader.state;
            let run = self.run();
            run.contents.reader = state;
            run.phases[1] = PhaseOf::Captured(since(run.phases[1]));
            run.outstanding += 1;
        }
    }

    /// The epochs that are published and that the reader had not read when it was captured.
    fn reader_gap(&self) -> u8 {
        let captured = self.run.as_ref().expect("a checkpoint is in flight").contents.reader.consumed;
        epochs_after(captured.min(self.looping.state.settled), self.looping.state.settled)
    }

    /// The manifest of the run, and its place.
    fn put(&self) -> (usize, Manifest) {
        let run = self.run.as_ref().expect("a checkpoint is in flight");
        let mut place = self.newest + 1;
        // An earlier attempt of this writer may have arrived late.
        while self.store.get(place).is_some_and(|there| there.generation == self.generation && there.attempt != run.attempt) {
            place += 1;
        }
        (place, Manifest { generation: self.generation, attempt: run.attempt, contents: Some(run.contents) })
    }

    /// Create-if-absent; places have no gaps.
    fn create(&mut self, (place, manifest): (usize, Manifest)) -> bool {
        let is_free = place == self.store.len();
        if is_free {
            self.push(manifest);
        }
        is_free
    }

    fn push(&mut self, manifest: Manifest) {
        self.store.iter_mut().for_each(|older| older.contents = None);
        self.store.push(manifest);
    }

    /// What is opened after a crash.
    fn newest_contents(&self) -> Contents {
        self.store.last().and_then(|newest| newest.contents).expect("the newest checkpoint has not been forgotten")
    }

    /// The process dies, and another opens the store.
    fn crash(&mut self, model: &Protocol) {
        // A put that is on its way may still arrive.
        if self.run.as_ref().is_some_and(|run| run.commit == Commit::Putting) {
            self.late = Some(self.put());
        }
        let contents = self.newest_contents();
        (self.crashes, self.generation) = (self.crashes + 1, self.generation + 1);
        (self.run, self.requested, self.lost_changes) = (None, false, false);
        if model.mistake != Some(Mistake::NoFence) {
            self.push(Manifest { generation: self.generation, attempt: 0, contents: Some(contents) });
        }
        (self.newest, self.opened) = (self.store.len() - 1, self.store.len());
        self.committed = contents.looping.set;
        let log = self.first_log.unwrap_or(contents.looping.log);
        self.looping = Loop { state: LoopState { log, ..contents.looping }, ..Loop::default() };
        self.reader = Reader { state: contents.reader, waiting: contents.kept, frozen: false };
    }
}

impl Protocol {
    fn begin() -> State {
        State {
            clock: 0,
            generation: 1,
            attempts: 0,
            requests: 0,
            crashes: 0,
            requested: false,
            table: 0,
            looping: Loop::default(),
            reader: Reader::default(),
            run: None,
            committed: 0,
            lost_changes: false,
            first_log: None,
            newest: 0,
            store: vec![Manifest { generation: 1, attempt: 0, contents: Some(Contents::default()) }],
            late: None,
            opened: 1,
            truncated: 0,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let Loop { state: looping, flight, replaying, ticking, holding, frozen, .. } = state.looping;
        let mut may = |action, may| {
            if may {
                actions.push(action);
            }
        };
        may(Action::Insert, state.table < self.epochs);
        may(Action::Request, state.requests < self.requests && !state.requested);
        let deadline = state.run.as_ref().map_or(0, |run| run.started + TIMEOUT);
        may(Action::Time, state.clock < deadline);
        let rests = looping.frontier | looping.log | replaying;
        let has_work = looping.admitted < state.table || rests != 0;
        may(Action::Admit, !ticking && !frozen && has_work);
        may(Action::Replay, ticking && !holding && replaying != 0);
        may(Action::Release, ticking && !holding && looping.frontier != 0);
        for row in bits(flight) {
            may(Action::Return(row), ticking);
        }
        let is_early = self.mistake == Some(Mistake::BarrierTooEarly) && holding;
        may(Action::EndTick, ticking && (flight == 0 || is_early) && (holding || rests == 0));
        may(Action::Read, !state.reader.frozen && state.reader.waiting != 0);
        may(Action::Coordinate, !matches!(decide(&state.facts(self)), Decision::Wait(_)));
        if let Some(run) = &state.run {
            may(Action::UploadDone, run.outstanding > 0);
            may(Action::UploadFails, run.outstanding > 0);
            let putting = run.commit == Commit::Putting;
            may(Action::PutAnswered, putting);
            may(Action::PutFails, putting);
            may(Action::PutUnanswered { arrives: true }, putting);
            may(Action::PutUnanswered { arrives: false }, putting && state.late.is_none());
        }
        may(Action::LateArrives, state.late.is_some());
        may(Action::LateVanishes, state.late.is_some());
        may(Action::Crash, state.crashes < self.crashes);
    }

    fn next_state(&self, before: &State, action: Action) -> State {
        let mistake = |mistake| self.mistake == Some(mistake);
        let mut state = before.clone();
        match action {
            Action::Insert => state.table += 1,
            Action::Request => (state.requests, state.requested) = (state.requests + 1, true),
            Action::Time => state.clock += 1,
            Action::Admit => {
                let looping = &mut state.looping;
                (looping.ticking, looping.holding) = (true, false);
                let before = looping.state.set;
                looping.replaying |= std::mem::take(&mut looping.state.log);
                for epoch in looping.state.admitted + 1..=state.table {
                    looping.state.apply(FIRST[epoch as usize]);
                }
                looping.state.admitted = state.table;
                looping.changed |= looping.state.set & !before;
            }
            Action::Replay => {
                let looping = &mut state.looping;
                let row = lowest(looping.replaying);
                looping.replaying &= !row;
                looping.changed |= row & !looping.state.set;
                looping.state.apply(row);
            }
            Action::Release => {
                let looping = &mut state.looping;
                let row = lowest(looping.state.frontier);
                looping.state.frontier &= !row;
                looping.flight |= row;
            }
            Action::Return(row) => self.row_returns(&mut state, row),
            Action::EndTick => {
                let looping = &mut state.looping;
                looping.ticking = false;
                let rests = looping.state.frontier | looping.state.log | looping.replaying | looping.flight;
                if rests == 0 && looping.state.settled < looping.state.admitted {
                    state.reader.waiting |= epochs_after(looping.state.settled, looping.state.admitted);
                    looping.state.settled = looping.state.admitted;
                }
                let clock = state.clock;
                if let Some(run) = &mut state.run
                    && run.phases[0] == PhaseOf::HoldRequested
                {
                    run.phases[0] = PhaseOf::Held(clock);
                }
            }
            Action::Read => {
                let epochs = std::mem::take(&mut state.reader.waiting);
                state.reader.state.read(epochs);
                state.reader.state.consumed = bits(epochs).last().expect("there is an epoch to read");
            }
            Action::Coordinate => state.coordinate(decide(&before.facts(self)), self),
            Action::UploadDone => state.run().outstanding -= 1,
            Action::UploadFails => {
                let run = state.run();
                (run.outstanding, run.failed) = (run.outstanding - 1, true);
            }
            Action::PutAnswered => {
                let put = state.put();
                state.newest = put.0 - 1;
                let is_ours = state.create(put);
                if is_ours {
                    state.newest = put.0;
                }
                state.run().commit = if is_ours { Commit::Ours } else { Commit::Theirs };
            }
            Action::PutFails => state.run().commit = Commit::Failed,
            Action::PutUnanswered { arrives } => {
                let put = state.put();
                state.newest = put.0 - 1;
                if arrives {
                    let _ = state.create(put);
                } else {
                    state.late = Some(put);
                }
                let clock = state.clock;
                state.run().commit = if mistake(Mistake::NoAnswerIsCommitted) { Commit::Ours } else { Commit::Unknown(clock) };
            }
            Action::LateArrives => {
                let late = state.late.take().expect("something is late");
                let _ = state.create(late);
            }
            Action::LateVanishes => state.late = None,
            Action::Crash => state.crash(self),
        }
        state
    }

    fn row_returns(&self, state: &mut State, row: u8) {
        let mistake = |mistake| self.mistake == Some(mistake);
        let (looping, is_in_checkpoint) = (&mut state.looping, state.run.is_some());
        looping.flight &= !(1 << row);
        let derived = next(1 << row);
        let before = looping.state.set;
        if looping.holding && !mistake(Mistake::LogFromBarrier) {
            looping.state.log |= derived;
            if mistake(Mistake::SetBeforeLog) {
                looping.state.set |= derived;
            }
        } else if !looping.holding {
            looping.state.apply(derived);
            if mistake(Mistake::LogBeforeHold) && is_in_checkpoint {
                looping.state.log |= derived;
            }
        }
        looping.changed |= looping.state.set & !before;
    }

    /// The first property that does not hold in a state.
    fn broken(&self, state: &State) -> Option<&'static str> {
        let Contents { looping, reader, kept, table } = state.newest_contents();
        let restored = is_right(completed(looping, reader, kept, state.table), state.table);
        let follows = table >= state.truncated;
        let Loop { state: mut looping, flight, replaying, .. } = state.looping;
        looping.log |= next(flight) | replaying;
        let runs = is_right(completed(looping, state.reader.state, state.reader.waiting, state.table), state.table);
        let fenced = state.store.iter().skip(state.opened).all(|manifest| manifest.generation == state.generation);
        let facts = state.facts(self);
        let waits = decide(&facts);
        let ends = state.run.is_none() || waits != Decision::Wait(None);
        let held = match state.run.as_ref().map(|run| run.phases[0]) {
            Some(PhaseOf::Captured(since)) => state.clock >= since + HOLD_MAX && matches!(waits, Decision::Wait(_)),
            _ => false,
        };
        let properties = [
            (restored, "every checkpoint in the store is restored to what is right"),
            (runs, "what runs comes to what is right"),
            (fenced, "after an opening nothing of an earlier writer is committed"),
            (follows, "the input log goes on from the newest checkpoint"),
            (ends, "whoever waits with a checkpoint in flight waits for a time"),
            (!held, "no loop is held longer than it may be"),
            (facts.broken_rule().is_none(), facts.broken_rule().unwrap_or("no rule of the facts is broken")),
        ];
        properties.into_iter().find(|(holds, _)| !holds).map(|(_, property)| property)
    }

    /// Visits every state, those that few actions lead to first.
    fn explore(&self) -> Explored {
        let mut explored = Explored::default();
        // Every state, with the one that it was reached from and how.
        let mut reached = vec![(Self::begin(), 0, None)];
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        // By their hashes: of some millions of states two have one hash once in a million runs.
        let mut known = HashSet::from([hasher.hash_one(&reached[0].0)]);
        let mut at = 0;
        while at < reached.len() {
            let state = reached[at].0.clone();
            if let Some(property) = self.broken(&state) {
                let steps = std::iter::successors(Some(at), |at| reached[*at].2.map(|_| reached[*at].1));
                let mut steps = steps.filter_map(|at| reached[at].2).collect::<Vec<Action>>();
                steps.reverse();
                explored.broken = Some((property, steps));
                break;
            }
            explored.in_flight |= state.newest_contents().looping.log != 0;
            explored.late |= state.run.is_none() && state.lost_changes && state.store.len() > state.newest + 1;
            let mut actions = Vec::new();
            self.actions(&state, &mut actions);
            for action in actions {
                let next = self.next_state(&state, action);
                let step = state.facts(self).broken_step(&next.facts(self));
                if let (Some(rule), false) = (step, action == Action::Crash) {
                    explored.broken = Some((rule, vec![action]));
                    return explored;
                }
                if known.insert(hasher.hash_one(&next)) {
                    reached.push((next, at, Some(action)));
                }
            }
            at += 1;
        }
        explored.states = reached.len();
        explored
    }
}

/// What was found.
#[derive(Default)]
struct Explored {
    states: usize,
    /// A property that does not hold, and the steps to where.
    broken: Option<(&'static str, Vec<Action>)>,
    /// A checkpoint has rows that were caught in flight.
    in_flight: bool,
    /// A put that was given up has arrived.
    late: bool,
}

fn lowest(rows: Rows) -> Rows {
    rows & rows.wrapping_neg()
}

#[test]
fn every_state_of_the_protocol_is_right() {
    let deep = std::env::var("REFRAIN_MODEL").is_ok_and(|depth| depth == "deep");
    for replay in [Replay::AtCommit, Replay::AtCapture] {
        let (mut in_flight, mut late) = (false, false);
        for (requests, crashes, epochs) in if deep { vec![(2, 0, 2), (2, 1, 1)] } else { vec![(2, 0, 1), (1, 1, 2)] } {
            let explored = Protocol { replay, mistake: None, requests, crashes, epochs }.explore();
            println!("{replay:?}, {requests} requests, {crashes} crashes, {epochs} epochs: {} states", explored.states);
            assert_eq!(explored.broken, None);
            in_flight |= explored.in_flight;
            late |= explored.late;
        }
        assert!(in_flight && late, "what is dangerous was met");
    }
}

#[test]
fn every_known_mistake_is_found() {
    for mistake in MISTAKES {
        let explore = |replay| Protocol { replay, mistake: Some(mistake), requests: 2, crashes: 1, epochs: 2 }.explore().broken;
        let found = [Replay::AtCommit, Replay::AtCapture].into_iter().find_map(explore);
        let (property, steps) = found.unwrap_or_else(|| panic!("{mistake:?} is not found"));
        println!("{mistake:?}: not \"{property}\" after {} steps, {steps:?}", steps.len());
    }
}
