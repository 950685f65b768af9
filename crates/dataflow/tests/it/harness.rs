//! An engine in small: threads that step workers, and a test that gives the orders. It can also say when each worker steps, one at a
//! time, and stop them at a place of its choice, the same in every run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::Int32Type;
use refrain_dataflow::{
    Beginning, Captured, Command, CommandLog, Control, Events, Order, Part, Restored, TickEnd, TickInput, Worker, seats,
};
use refrain_plan::{NodeId, StreamPlan};
use refrain_state::memory::{Spill, Spilled};
use refrain_state::{Dictionary, Memory};
use refrain_types::environment::Sleep;
use refrain_types::{DataflowId, Delta, Environment, Iteration, Tick};

/// What the workers told.
pub enum Told {
    Ended(TickEnd),
    Captured(Vec<Captured>),
}

struct Teller(Mutex<SyncSender<Told>>);

impl Events for Teller {
    fn tick_ended(&self, end: TickEnd) -> Option<Order> {
        self.0.lock().expect("nobody panics with the lock").send(Told::Ended(end)).expect("the test listens");
        None
    }

    fn captured(&self, _: DataflowId, parts: Vec<Captured>) -> Option<Order> {
        self.0.lock().expect("nobody panics with the lock").send(Told::Captured(parts)).expect("the test listens");
        None
    }
}

/// Takes what memory is said to have no room for.
#[derive(Debug, Default)]
struct Elsewhere {
    puts: AtomicUsize,
}

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Spill for Elsewhere {
    fn put(&self, bytes: &[u8]) -> std::io::Result<Arc<dyn Spilled>> {
        self.puts.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Bytes(bytes.to_vec())))
    }

    fn map(&self, bytes: &[u8]) -> std::io::Result<Buffer> {
        Ok(Buffer::from_slice_ref(bytes))
    }
}

impl Spilled for Bytes {
    fn get(&self) -> std::io::Result<Vec<u8>> {
        Ok(self.0.clone())
    }
}

/// Time stands still.
#[derive(Debug)]
struct Standstill;

impl Environment for Standstill {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn unix_millis(&self) -> u64 {
        0
    }

    fn unique(&self) -> u128 {
        unreachable!("a dataflow names no objects")
    }

    fn sleep(&self, _: Duration) -> Sleep {
        unreachable!("a dataflow does not sleep")
    }
}

/// One dataflow on workers of its own.
pub struct Harness {
    commands: Arc<CommandLog>,
    pub control: Arc<Control>,
    told: Receiver<Told>,
    threads: Vec<JoinHandle<()>>,
    /// How the workers are given their turns; none if they run freely.
    turns: Vec<Turn>,
    /// Who steps first, before the workers step in turn.
    script: RefCell<Vec<usize>>,
    tick: Tick,
    fresh: bool,
    elsewhere: Arc<Elsewhere>,
}

/// A worker takes one step for each message, and answers when it has.
struct Turn {
    give: SyncSender<()>,
    taken: Receiver<()>,
}

/// Steps after which a tick counts as one that does not end.
const TURNS_MAX: usize = 100_000;

impl Harness {
    /// Workers that run freely.
    pub fn start(plan: &Arc<StreamPlan>, workers: usize, beginning: impl Into<Beginning>) -> Self {
        Self::start_with(plan, workers, beginning.into(), false)
    }

    /// Workers that step in turn, and only while the test waits for what they tell.
    pub fn start_in_turns(plan: &Arc<StreamPlan>, workers: usize) -> Self {
        Self::start_with(plan, workers, Beginning::Empty, true)
    }

    /// The same, from what was captured.
    pub fn restart_in_turns(plan: &Arc<StreamPlan>, workers: usize, restored: Restored) -> Self {
        Self::start_with(plan, workers, Beginning::Restored(restored), true)
    }

    #[expect(clippy::disallowed_methods, reason = "a test owns its workers' threads")]
    fn start_with(plan: &Arc<StreamPlan>, workers: usize, mut beginning: Beginning, in_turns: bool) -> Self {
        let commands = CommandLog::new(workers);
        let (teller, told) = sync_channel(1024);
        let tick = if let Beginning::Restored(restored) = &beginning { restored.tick } else { Tick(0) };
        let fresh = !matches!(beginning, Beginning::Restored(_));
        let is_log = |(_, part): &(_, Part)| *part == Part::Log;
        let mut logs = BTreeMap::new();
        if let Beginning::Restored(restored) = &mut beginning {
            logs = restored.parts.extract_if(.., |of, _| is_log(of)).collect();
        }
        let events = Arc::new(Teller(Mutex::new(teller)));
        // Some log in memory, some not.
        let elsewhere = Arc::new(Elsewhere::default());
        let memory = if workers == 2 { Memory::limited(0, 0, Arc::clone(&elsewhere) as _) } else { Memory::unlimited() };
        let control = Control::new(
            DataflowId(1),
            Arc::clone(plan),
            Dictionary::new(),
            (workers, Arc::new(Standstill)),
            memory,
            events,
            beginning,
        );
        for ((operator, _), deltas) in logs {
            deltas.iter().for_each(|delta| control.bring_log(operator, delta));
        }
        commands.push(&Command::Create(Arc::clone(&control)));
        let mut turns = Vec::new();
        let threads = seats(workers).expect("a process has seats").into_iter().map(|seat| {
            let commands = Arc::clone(&commands);
            let ((give, given), (take, taken)) = (sync_channel(1), sync_channel(1));
            if in_turns {
                turns.push(Turn { give, taken });
            }
            std::thread::spawn(move || {
                let mut worker = Worker::new(seat, commands);
                if in_turns {
                    while given.recv().is_ok() && worker.step(Some(Duration::ZERO)) && take.send(()).is_ok() {}
                } else {
                    while worker.step(None) {}
                }
            })
        });
        let threads = threads.collect();
        Self { commands, control, told, threads, turns, script: RefCell::default(), tick, fresh, elsewhere }
    }

    /// How often something was put elsewhere for want of memory.
    pub fn puts(&self) -> usize {
        self.elsewhere.puts.load(Ordering::Relaxed)
    }

    /// These workers step next, one after the other, before all step in turn again.
    pub fn step_first(&mut self, workers: Vec<usize>) {
        *self.script.borrow_mut() = workers;
    }

    /// Runs a tick over these deltas; `cut` asks the loops to hold at once. Returns what changed and whether the tick is settled.
    pub fn tick(&mut self, feeds: Vec<(NodeId, Delta)>, cut: bool) -> (Vec<Delta>, bool) {
        self.open(feeds);
        if cut {
            self.control.hold(self.tick);
        }
        self.end_of_tick(None)
    }

    /// Runs a tick in turns, and asks the loops to hold as soon as the plan's only loop has released rows of this iteration.
    pub fn tick_cut_after(&mut self, iteration: Iteration, feeds: Vec<(NodeId, Delta)>) -> (Vec<Delta>, bool) {
        let before = released(&self.control, 0, iteration);
        self.tick_cut_when(|control| released(control, 0, iteration) > before, feeds)
    }

    /// Runs a tick in turns, and asks the loops to hold after the first step after which this is so.
    pub fn tick_cut_when(&mut self, cut_when: impl Fn(&Control) -> bool, feeds: Vec<(NodeId, Delta)>) -> (Vec<Delta>, bool) {
        assert!(!self.turns.is_empty(), "workers that run freely cannot be stopped at a step");
        self.open(feeds);
        self.end_of_tick(Some(&cut_when))
    }

    fn open(&mut self, feeds: Vec<(NodeId, Delta)>) {
        self.tick = self.tick.next();
        let feeds = feeds.into_iter().map(|(id, delta)| (id, Arc::new(delta))).collect();
        let constants = std::mem::take(&mut self.fresh);
        self.control.order(Order::Tick(Arc::new(TickInput { tick: self.tick, feeds, constants })));
    }

    fn end_of_tick(&self, cut_when: Option<&dyn Fn(&Control) -> bool>) -> (Vec<Delta>, bool) {
        match self.hear(cut_when) {
            Told::Ended(end) => {
                assert_eq!(end.tick, self.tick);
                (end.outputs, end.held_rows == 0)
            }
            Told::Captured(_) => panic!("no capture was asked for"),
        }
    }

    /// What the workers tell next. A worker that has panicked tells nothing any more.
    fn hear(&self, cut_when: Option<&dyn Fn(&Control) -> bool>) -> Told {
        let scripted = self.script.take().into_iter().map(|worker| &self.turns[worker]);
        for turn in scripted.chain(self.turns.iter().cycle()).take(TURNS_MAX) {
            turn.give.send(()).expect("a worker takes its turns");
            turn.taken.recv().expect("a worker does not panic");
            if let Ok(told) = self.told.try_recv() {
                return told;
            }
            if cut_when.is_some_and(|cut_when| cut_when(&self.control)) {
                self.control.hold(self.tick);
            }
        }
        assert!(self.turns.is_empty(), "a tick ends within {TURNS_MAX} steps");
        loop {
            match self.told.recv_timeout(Duration::from_millis(100)) {
                Ok(told) => return told,
                Err(_) if self.threads.iter().any(JoinHandle::is_finished) => panic!("a worker panicked"),
                Err(_) => {}
            }
        }
    }

    /// Captures, and adds what was captured to what was captured before.
    pub fn capture(&mut self, full: bool, into: &mut Restored) {
        self.control.order(Order::Capture { full });
        let Told::Captured(parts) = self.hear(None) else { panic!("a capture was asked for") };
        into.tick = self.tick;
        let mut cleared = std::collections::BTreeSet::new();
        for part in parts {
            let key = (part.operator, part.part);
            if part.full && cleared.insert(key) {
                into.parts.remove(&key);
            }
            let pieces = into.parts.entry(key).or_default();
            part.each_piece(&mut |piece| pieces.push(piece.read().expect("what was put can be read back")));
        }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.control.kill();
        self.commands.push(&Command::Drop(self.control.id));
        self.commands.push(&Command::Stop);
        for turn in &self.turns {
            // One that has panicked takes none.
            let _ = turn.give.send(());
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() && !std::thread::panicking() {
                panic!("a worker panicked");
            }
        }
    }
}

/// How many rows of an iteration a loop has released so far.
pub fn released(control: &Control, number: usize, iteration: Iteration) -> u64 {
    let counts = control.loops[number].released.counts();
    counts.filter(|(first, last, _)| (*first..=*last).contains(&iteration)).map(|(.., rows)| rows).sum()
}

/// A Z-set of rows of integers.
pub type Rows = BTreeMap<Vec<i32>, i64>;

/// Adds deltas to a Z-set.
pub fn accumulate(into: &mut Rows, deltas: &[Delta]) {
    for delta in deltas {
        assert!(delta.errors.is_empty(), "{:?}", delta.errors);
        for i in 0..delta.num_rows() {
            let row = delta.rows.columns().iter().map(|c| c.as_primitive::<Int32Type>().value(i)).collect::<Vec<_>>();
            let weight = into.entry(row.clone()).or_default();
            *weight += delta.weight(i);
            if *weight == 0 {
                into.remove(&row);
            }
        }
    }
}

/// A delta of rows of integers.
pub fn delta(rows: &[(Vec<i32>, i64)], width: usize) -> Delta {
    let columns = (0..width).map(|c| {
        let column = Int32Array::from_iter_values(rows.iter().map(|(row, _)| row[c]));
        (format!("c{c}"), Arc::new(column) as ArrayRef)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, false))).expect("columns of one length");
    Delta::weighted(batch, rows.iter().map(|(_, w)| *w).collect())
}

/// xorshift: the seeds are part of a test.
pub struct Random(u64);

impl Random {
    pub fn of_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a random graph may be like.
#[derive(Clone, Copy, Debug)]
pub struct Graph {
    /// Edges are deleted, too.
    pub deletes: bool,
    pub acyclic: bool,
}

/// Feeds a plan over edges with random changes, with cuts, captures and restarts with other numbers of workers between and inside
/// recursions; each settled result is compared with what `wanted` makes of the edges.
pub fn survive(plan: &Arc<StreamPlan>, graph: Graph, (workers, seed): (usize, u64), wanted: impl Fn(&Rows) -> Rows, what: &str) {
    const STEPS: u64 = 24;
    let mut random = Random::of_seed(seed);
    let beginning = if random.chance(50) { Beginning::Noted } else { Beginning::Empty };
    let mut harness = Harness::start(plan, workers, beginning);
    let (mut edges, mut view) = (Rows::new(), Rows::new());
    let mut restored = Restored::default();
    let mut is_captured = false;
    for step in 0..STEPS {
        let is_last = step == STEPS - 1;
        let changes = change(&mut edges, graph, &mut random);
        let (outputs, mut settled) = harness.tick(vec![(0, delta(&changes, 2))], random.chance(40) && !is_last);
        accumulate(&mut view, &outputs);
        if random.chance(30) {
            harness.capture(!is_captured || random.chance(20), &mut restored);
            is_captured = true;
            if random.chance(60) {
                // The process dies and comes back, with another number of workers.
                let again = Restored { tick: restored.tick, parts: restored.parts.clone() };
                drop(harness);
                harness = Harness::start(plan, 1 + random.below(3) as usize, Beginning::Restored(again));
            }
        }
        while !settled && (is_last || random.chance(80)) {
            let outputs;
            (outputs, settled) = harness.tick(vec![], random.chance(50) && !is_last);
            accumulate(&mut view, &outputs);
        }
        if settled {
            assert_eq!(view, wanted(&edges), "{what} seed {seed} step {step} edges {edges:?}");
        }
    }
}

/// Up to three edges come or go.
fn change(edges: &mut Rows, graph: Graph, random: &mut Random) -> Vec<(Vec<i32>, i64)> {
    const NODES: u64 = 7;
    let mut changes = Vec::new();
    for _ in 0..random.below(4) {
        let live = edges.iter().filter(|(_, w)| **w > 0).map(|(e, _)| e.clone()).collect::<Vec<_>>();
        let (edge, weight) = if graph.deletes && !live.is_empty() && random.chance(50) {
            (live[random.below(live.len() as u64) as usize].clone(), -1)
        } else {
            let (a, b) = (random.below(NODES) as i32, random.below(NODES) as i32);
            if graph.acyclic && a == b {
                continue;
            }
            (if graph.acyclic { vec![a.min(b), a.max(b)] } else { vec![a, b] }, 1)
        };
        let entry = edges.entry(edge.clone()).or_default();
        *entry += weight;
        if *entry == 0 {
            edges.remove(&edge);
        }
        changes.push((edge, weight));
    }
    changes
}

/// What comes of these edges where each tick is asked to hold as soon as it is open, until all is settled.
pub fn settled_in_cut_ticks(plan: &Arc<StreamPlan>, workers: usize, edges: &Rows) -> Rows {
    let mut harness = Harness::start_in_turns(plan, workers);
    let mut view = Rows::new();
    let edges = edges.iter().map(|(edge, weight)| (edge.clone(), *weight)).collect::<Vec<_>>();
    let mut feeds = vec![(0, delta(&edges, 2))];
    for _ in 0..1_000 {
        let (outputs, settled) = harness.tick(std::mem::take(&mut feeds), true);
        accumulate(&mut view, &outputs);
        if settled {
            return view;
        }
    }
    panic!("a recursion gets on in each tick");
}
