//! The ticks of one dataflow, as its workers and the engine share them.
//!
//! The engine gives one order at a time: run a tick, or capture. Every worker carries it out and reports; the last one to report
//! tells the engine through [`Events`], on its own thread, and gets the next order or none. So no worker starts a tick before every
//! worker has ended the one before, and has captured where that was asked for (operators take deltas eagerly: a row of the next tick
//! would enter the state of a peer that has not captured yet).
//!
//! Beside the orders stand flags that the workers look at while they run: `hold`, which makes the loop heads of the current tick hold,
//! and `dead`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use refrain_plan::{NodeId, StreamPlan};
use refrain_state::memory::Use;
use refrain_state::{Dictionary, Memory};
use refrain_types::{DataflowId, Delta, Environment, Iteration, OperatorId, Tick};

use crate::loop_log::{LoopLog, Piece};
use crate::part::{Captured, Part, Restored, Size};
use crate::restore::log_of_worker;

/// Shared by the workers of an engine and by the engine itself; one per dataflow.
pub struct Control {
    /// The dataflow.
    pub id: DataflowId,
    /// What it computes.
    pub plan: Arc<StreamPlan>,
    /// The engine's dictionary.
    pub dictionary: Arc<Dictionary>,
    /// Where operators remember rows and loop heads log.
    pub(crate) memory: Arc<Memory>,
    /// The tick at whose end the state was captured that it starts from, if it starts from some.
    pub(crate) restored_tick: Option<Tick>,
    /// That state, and how many workers have yet to take their share of it.
    restored: Mutex<(Option<Arc<Restored>>, usize)>,
    /// Loop logs that were captured, by worker.
    logs: Mutex<BTreeMap<OperatorId, Vec<Vec<Piece>>>>,
    /// Changes are noted from the start on.
    pub(crate) notes_everything: bool,
    /// What each loop of the plan is doing, in the order of [`StreamPlan::loops`].
    pub loops: Vec<LoopGauge>,
    /// What each node of the plan has done.
    pub nodes: Vec<NodeGauge>,
    environment: Arc<dyn Environment>,
    workers: usize,
    events: Arc<dyn Events>,
    /// Number of the order that stands; workers compare it with the last one that they took.
    sequence: AtomicU64,
    tick: AtomicU64,
    hold: AtomicU64,
    /// When the tick was asked to end, in microseconds, and how long that took the last time.
    asked_to_hold: AtomicU64,
    hold_micros: AtomicU64,
    /// When the first loop head held in the tick that was last asked to, in microseconds; 0 where none has.
    stood_still: AtomicU64,
    dead: AtomicBool,
    state: Mutex<State>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("id", &self.id).field("tick", &self.tick).finish_non_exhaustive()
    }
}

/// What a dataflow begins with.
#[derive(Debug, Default)]
pub enum Beginning {
    /// Nothing. The first capture goes through all of the state that there is then.
    #[default]
    Empty,
    /// Nothing, and changes are noted, since it is going to be captured soon. That takes a word for each of them.
    Noted,
    /// What was captured.
    Restored(Restored),
}

impl From<Option<Restored>> for Beginning {
    fn from(restored: Option<Restored>) -> Self {
        restored.map_or(Self::Empty, Self::Restored)
    }
}

#[derive(Default)]
struct State {
    order: Option<Order>,
    reported: usize,
    held_rows: u64,
    outputs: Vec<Delta>,
    captured: Vec<Captured>,
    threads: Vec<Thread>,
}

/// What the workers of a dataflow are to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Run a tick.
    Tick(Arc<TickInput>),
    /// Hand over the state; `full` asks for everything rather than for what changed since the last capture.
    Capture {
        /// See above.
        full: bool,
    },
}

/// What a tick admits.
#[derive(Debug, Default)]
pub struct TickInput {
    /// The tick.
    pub tick: Tick,
    /// Deltas for the plan's sources. They have the columns of the source's relation, in physical form.
    pub feeds: Vec<(NodeId, Arc<Delta>)>,
    /// Whether the plan's constants are admitted: in the first tick of a dataflow that was not restored.
    pub constants: bool,
}

/// How a tick ended.
#[derive(Debug)]
pub struct TickEnd {
    /// The dataflow.
    pub dataflow: DataflowId,
    /// The tick.
    pub tick: Tick,
    /// Rows that loop heads hold. None means that the tick is settled, else it was cut.
    pub held_rows: u64,
    /// What the view's rows changed by in this tick, from all workers.
    pub outputs: Vec<Delta>,
}

/// What the engine is told. Called on the thread of a worker, which waits: be quick and never block on a worker.
pub trait Events: Send + Sync {
    /// All workers have ended the tick. What is returned stands next; `None` leaves the dataflow idle.
    fn tick_ended(&self, end: TickEnd) -> Option<Order>;
    /// All workers have captured.
    fn captured(&self, dataflow: DataflowId, parts: Vec<Captured>) -> Option<Order>;
}

/// What an operator has done, at all workers: written as they go, read at any time.
#[derive(Debug, Default)]
pub struct NodeGauge {
    /// Rows that it gave out. A union gives what its inputs do.
    pub rows: AtomicU64,
    /// Time that it worked, in nanoseconds. What operators that are fused with others take is counted with these.
    pub busy_nanos: AtomicU64,
    /// What it remembered of each part when the last tick ended.
    parts: [PartGauge; Part::ALL.len()],
    /// Time that it took to hand over what it remembers, at checkpoints, in nanoseconds.
    pub capture_nanos: AtomicU64,
}

#[derive(Debug, Default)]
struct PartGauge {
    is_there: AtomicBool,
    rows: AtomicI64,
    bytes: AtomicI64,
}

/// What an operator remembers of a part, at all workers.
#[derive(Clone, Copy, Debug)]
pub struct PartSize {
    /// Which part.
    pub part: Part,
    /// Rows with a weight; groups of an aggregate that keeps their sums; keys of a recursion that has them.
    pub rows: u64,
    /// Bytes of memory.
    pub bytes: u64,
}

impl NodeGauge {
    /// What it remembered when the last tick ended, part by part.
    pub fn parts(&self) -> impl Iterator<Item = PartSize> + '_ {
        let read = |number: &AtomicI64| u64::try_from(number.load(Ordering::Relaxed)).unwrap_or(0);
        let there = Part::ALL.into_iter().zip(&self.parts).filter(|(_, gauge)| gauge.is_there.load(Ordering::Relaxed));
        there.map(move |(part, gauge)| PartSize { part, rows: read(&gauge.rows), bytes: read(&gauge.bytes) })
    }

    /// Bytes that it remembered when the last tick ended.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        self.parts().map(|part| part.bytes).sum()
    }

    /// A worker remembers another amount of a part than it told of before.
    pub(crate) fn note_size(&self, part: Part, (before, now): (Size, Size)) {
        let gauge = &self.parts[part as usize];
        let change = |gauge: &AtomicI64, before: usize, now: usize| {
            let [before, now] = [before, now].map(|number| i64::try_from(number).expect("fits memory"));
            gauge.fetch_add(now - before, Ordering::Relaxed);
        };
        change(&gauge.rows, before.rows, now.rows);
        change(&gauge.bytes, before.bytes, now.bytes);
        gauge.is_there.store(true, Ordering::Relaxed);
    }
}

/// What a loop is doing, for people: written by the workers as they go, read at any time.
#[derive(Debug, Default)]
pub struct LoopGauge {
    /// The iteration that was released last, the highest of all workers in this tick.
    pub iteration: AtomicU64,
    /// How often rows went round, at the worker where they did most: iterations of all ticks, pieces where no iterations are kept.
    pub laps: AtomicU64,
    /// Rows that are still to be released, by all workers.
    pub frontier_rows: AtomicI64,
    /// Rows that loop heads hold for the next tick.
    pub held_rows: AtomicI64,
    /// Rows in the loop log.
    pub log_rows: AtomicI64,
    /// Bytes of the loop log in memory.
    pub log_bytes: AtomicI64,
    /// Bytes of the loop log that memory had no room for.
    pub spilled_bytes: AtomicI64,
    /// Rows on the edges of the loop's body: sent and not yet worked off.
    pub outstanding: AtomicI64,
    /// Rows that the loop's rows and the first stage of its body gave, before it is known which of them are new.
    pub derived: AtomicU64,
    /// Rows that were released, by iteration.
    pub released: Histogram,
}

/// Counts how often rows go round at one worker.
#[derive(Debug, Default)]
pub(crate) struct Laps {
    count: u64,
    last: Option<(Tick, Iteration)>,
}

impl Laps {
    /// Rows are released, of this iteration where iterations are kept.
    #[inline]
    pub fn pass(&mut self, at: Option<(Tick, Iteration)>) {
        if at.is_none() || self.last != at {
            self.count += 1;
            self.last = at;
        }
    }
}

/// How many counts an operator reports to the gauge of its loop.
pub(crate) const REPORTED: usize = 5;

/// Counts by iteration: each of the first has its own, after that they double.
#[derive(Debug)]
pub struct Histogram([AtomicU64; BUCKETS]);

const SINGLE: u32 = 32;
const BUCKETS: usize = SINGLE as usize + 27;

impl Default for Histogram {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Histogram {
    pub(crate) fn add(&self, iteration: Iteration, rows: usize) {
        let bucket = if iteration < SINGLE { iteration } else { SINGLE + iteration.ilog2() - SINGLE.ilog2() };
        self.0[bucket as usize].fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// The counts that are not 0, each with the first and the last iteration that it is of.
    pub fn counts(&self) -> impl Iterator<Item = (Iteration, Iteration, u64)> + '_ {
        let bounds = (0..).zip(&self.0).map(|(bucket, count)| match u32::checked_sub(bucket, SINGLE) {
            None => (bucket, bucket, count),
            Some(doubled) => {
                let first = u64::from(SINGLE) << doubled;
                let last = u32::try_from(2 * first - 1).unwrap_or(u32::MAX);
                (u32::try_from(first).unwrap_or(u32::MAX), last, count)
            }
        });
        bounds.map(|(first, last, count)| (first, last, count.load(Ordering::Relaxed))).filter(|(.., count)| *count > 0)
    }
}

impl LoopGauge {
    /// Corrects what one operator has contributed, which is `reported`: it has so many rows to release, and this loop log.
    pub(crate) fn report(&self, reported: &mut [i64; REPORTED], waiting: usize, log: &LoopLog, laps: &Laps, is_held: bool) {
        if self.laps.load(Ordering::Relaxed) < laps.count {
            self.laps.fetch_max(laps.count, Ordering::Relaxed);
        }
        let held = if is_held { waiting + log.num_rows() } else { 0 };
        let now = [waiting, held, log.num_rows(), log.bytes_in_memory(), log.bytes_spilled()];
        let now = now.map(|n| i64::try_from(n).expect("fits memory and disk"));
        let counters = [&self.frontier_rows, &self.held_rows, &self.log_rows, &self.log_bytes, &self.spilled_bytes];
        for ((counter, before), now) in counters.into_iter().zip(std::mem::replace(reported, now)).zip(now) {
            if now != before {
                counter.fetch_add(now - before, Ordering::Relaxed);
            }
        }
    }
}

impl Control {
    /// A dataflow for this many workers, whose operators are timed by the environment's clock, and whose rows and loop logs are in this memory.
    #[must_use]
    pub fn new(
        id: DataflowId,
        plan: Arc<StreamPlan>,
        dictionary: Arc<Dictionary>,
        (workers, environment): (usize, Arc<dyn Environment>),
        memory: Arc<Memory>,
        events: Arc<dyn Events>,
        beginning: Beginning,
    ) -> Arc<Self> {
        let loops = plan.loops().iter().map(|_| LoopGauge::default()).collect();
        let nodes = plan.nodes.iter().map(|_| NodeGauge::default()).collect();
        let notes_everything = matches!(beginning, Beginning::Noted);
        let restored = if let Beginning::Restored(restored) = beginning { Some(Arc::new(restored)) } else { None };
        let restored_tick = restored.as_ref().map(|r| r.tick);
        Arc::new(Self {
            id,
            plan,
            dictionary,
            memory,
            restored_tick,
            restored: Mutex::new((restored, workers)),
            logs: Mutex::default(),
            notes_everything,
            loops,
            nodes,
            environment,
            workers,
            events,
            sequence: AtomicU64::new(0),
            tick: AtomicU64::new(restored_tick.unwrap_or_default().0),
            hold: AtomicU64::new(0),
            asked_to_hold: AtomicU64::new(0),
            hold_micros: AtomicU64::new(0),
            stood_still: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// State to start from, while there are workers that have not taken their share.
    pub(crate) fn restored(&self) -> Option<Arc<Restored>> {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Takes in a part of what the log of a loop held when it was captured. All of it has to be there before the workers create the dataflow.
    pub fn bring_log(&self, operator: OperatorId, delta: &Delta) {
        let shares = (0..self.workers).map(|worker| log_of_worker(&self.plan, operator, delta, (worker, self.workers)));
        let kept =
            shares.map(|share| (share.num_rows() > 0).then(|| Piece::keep(share, &self.memory, Use::LoopLogs))).collect::<Vec<_>>();
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let all = logs.entry(operator).or_insert_with(|| vec![Vec::new(); self.workers]);
        all.iter_mut().zip(kept).for_each(|(log, piece)| log.extend(piece));
    }

    /// What a worker has to replay.
    pub(crate) fn take_log(&self, operator: OperatorId, worker: usize) -> Vec<Piece> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.get_mut(&operator).map(|log| std::mem::take(&mut log[worker])).unwrap_or_default()
    }

    /// A worker has taken its share of the state that there was. The last one lets it go.
    pub(crate) fn note_restored(&self) {
        let mut restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        restored.1 -= 1;
        if restored.1 == 0 {
            restored.0 = None;
        }
    }

    /// Counts rows that a node gave out.
    pub(crate) fn give(&self, node: NodeId, rows: usize) {
        self.nodes[node].rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Does a node's work, and counts the time that it takes.
    pub(crate) fn timed<T>(&self, node: NodeId, work: impl FnOnce() -> T) -> T {
        self.timed_on(&self.nodes[node].busy_nanos, work)
    }

    /// Hands over what a node remembers, and counts the time that it takes.
    pub(crate) fn timed_capture<T>(&self, node: NodeId, capture: impl FnOnce() -> T) -> T {
        self.timed_on(&self.nodes[node].capture_nanos, capture)
    }

    fn timed_on<T>(&self, nanos: &AtomicU64, work: impl FnOnce() -> T) -> T {
        let started = self.environment.monotonic();
        let result = work();
        let took = self.environment.monotonic().saturating_sub(started);
        nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        result
    }

    /// Number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The tick that is open, or was last.
    #[must_use]
    pub fn tick(&self) -> Tick {
        Tick(self.tick.load(Ordering::Acquire))
    }

    /// The first tick.
    #[must_use]
    pub fn first_tick(&self) -> Tick {
        self.restored_tick.unwrap_or_default().next()
    }

    /// Gives an order to an idle dataflow.
    ///
    /// # Panics
    /// When another order stands, or when a tick is not the one after the last: what is held goes on in that one, and rows of two ticks
    /// must not be in a loop at once.
    pub fn order(&self, order: Order) {
        let mut state = self.state();
        assert!(state.order.is_none(), "dataflow {} already has an order", self.id);
        if let Order::Tick(input) = &order {
            assert_eq!(input.tick, self.tick().next(), "the ticks of dataflow {} are one after the other", self.id);
            self.tick.store(input.tick.0, Ordering::Release);
        }
        state.order = Some(order);
        state.reported = 0;
        self.sequence.fetch_add(1, Ordering::Release);
        for thread in &state.threads {
            thread.unpark();
        }
    }

    /// Asks the loop heads to hold, so that the current tick ends soon.
    pub fn hold(&self, tick: Tick) {
        if self.hold.fetch_max(tick.0, Ordering::Release) < tick.0 {
            self.asked_to_hold.store(self.now_micros(), Ordering::Relaxed);
            self.stood_still.store(0, Ordering::Release);
        }
        self.wake();
    }

    /// A loop head releases nothing more in the current tick.
    pub(crate) fn note_that_a_loop_stands_still(&self) {
        if self.stood_still.load(Ordering::Acquire) == 0 {
            let now = self.now_micros().max(1);
            // Another worker's may have been first.
            let _ = self.stood_still.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    fn now_micros(&self) -> u64 {
        u64::try_from(self.environment.monotonic().as_micros()).unwrap_or(u64::MAX)
    }

    /// How long the last tick that was asked to end took to do so: until all that was on its way had come back to its loops.
    #[must_use]
    pub fn hold_micros(&self) -> u64 {
        self.hold_micros.load(Ordering::Relaxed)
    }

    /// Since when loops have stood still, where they do: the time of the engine's clock at which the first head held in the tick that was
    /// last asked to.
    #[must_use]
    pub fn loops_stand_still_since(&self) -> Option<Duration> {
        let since = self.stood_still.load(Ordering::Acquire);
        (since > 0).then(|| Duration::from_micros(since))
    }

    /// Whether the loop heads shall hold in the current tick.
    #[inline]
    #[must_use]
    pub fn holding(&self) -> bool {
        self.hold.load(Ordering::Acquire) >= self.tick.load(Ordering::Acquire)
    }

    /// The dataflow is dropped: nothing of what it does counts any more.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether it was killed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    fn wake(&self) {
        for thread in &self.state().threads {
            thread.unpark();
        }
    }

    /// The calling thread runs one of the dataflow's workers.
    pub(crate) fn enlist(&self) {
        self.state().threads.push(std::thread::current());
    }

    /// The order that stands, if its number is not `last`.
    pub(crate) fn order_after(&self, last: u64) -> Option<(u64, Order)> {
        if self.sequence.load(Ordering::Acquire) == last {
            return None;
        }
        let state = self.state();
        let order = state.order.clone().expect("an order stands until every worker has reported");
        Some((self.sequence.load(Ordering::Acquire), order))
    }

    /// A worker has ended the tick.
    pub(crate) fn report_tick(&self, held_rows: u64, outputs: Vec<Delta>) {
        let end = {
            let mut state = self.state();
            state.outputs.extend(outputs);
            state.held_rows += held_rows;
            state.reported += 1;
            if state.reported < self.workers {
                return;
            }
            state.order = None;
            let on_edges = |gauge: &LoopGauge| gauge.outstanding.load(Ordering::Relaxed);
            assert!(self.loops.iter().all(|gauge| on_edges(gauge) == 0), "between ticks no row is on an edge of a loop");
            if self.holding() {
                let took = self.now_micros().saturating_sub(self.asked_to_hold.load(Ordering::Relaxed));
                self.hold_micros.store(took, Ordering::Relaxed);
            }
            let (held_rows, outputs) = (std::mem::take(&mut state.held_rows), std::mem::take(&mut state.outputs));
            TickEnd { dataflow: self.id, tick: self.tick(), held_rows, outputs }
        };
        self.next(|events| events.tick_ended(end));
    }

    /// A worker has captured.
    pub(crate) fn report_captured(&self, captured: Vec<Captured>) {
        let all = {
            let mut state = self.state();
            state.captured.extend(captured);
            state.reported += 1;
            if state.reported < self.workers {
                return;
            }
            state.order = None;
            std::mem::take(&mut state.captured)
        };
        self.next(|events| events.captured(self.id, all));
    }

    fn next(&self, tell: impl FnOnce(&dyn Events) -> Option<Order>) {
        if !self.is_dead()
            && let Some(order) = tell(&*self.events)
        {
            self.order(order);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A worker that panicked fails the engine; until that is seen, the others may go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
