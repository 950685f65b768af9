//! A worker that is stepped: one timely worker and its part of every dataflow.
//!
//! The engine owns the thread and calls [`Worker::step`]. Dataflows come and go by commands, which reach every worker in one order
//! (timely numbers dataflows by that order). What a dataflow is to do comes through its [`Control`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use refrain_types::{DataflowId, Tick};
use timely::communication::allocator::Thread as OneThread;
use timely::communication::{Allocator, AllocatorBuilder};
use timely::dataflow::InputHandle;
use timely::{CommunicationConfig, WorkerConfig};

use crate::control::{Control, Order, TickInput};
use crate::parcel::{Parcel, Parcels};
use crate::part::{Part, Size};
use crate::render::{Rendered, render};
use crate::restore::slice_of_worker;
use crate::time::Time;

/// How long a worker without work polls before it parks. Waking a parked thread takes about as long.
const IDLE_SPIN: Duration = Duration::from_micros(50);

/// What every worker is told, in one order.
#[derive(Clone, Debug)]
pub enum Command {
    /// A dataflow begins.
    Create(Arc<Control>),
    /// A dataflow ends. Kill its control first.
    Drop(DataflowId),
    /// The engine closes.
    Stop,
}

/// The commands on their way to the workers.
#[derive(Debug)]
pub struct CommandLog {
    queues: Mutex<Vec<VecDeque<Command>>>,
    waiting: Vec<AtomicUsize>,
    threads: Mutex<Vec<Thread>>,
}

impl CommandLog {
    /// For this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            queues: Mutex::new(vec![VecDeque::new(); workers]),
            waiting: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            threads: Mutex::default(),
        })
    }

    /// Tells every worker.
    pub fn push(&self, command: &Command) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        for (queue, waiting) in queues.iter_mut().zip(&self.waiting) {
            queue.push_back(command.clone());
            waiting.fetch_add(1, Ordering::Release);
        }
        drop(queues);
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            thread.unpark();
        }
    }

    fn enlist(&self) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(std::thread::current());
    }

    fn next(&self, worker: usize) -> Option<Command> {
        if self.waiting[worker].load(Ordering::Acquire) == 0 {
            return None;
        }
        let command = self.queues.lock().unwrap_or_else(PoisonError::into_inner)[worker].pop_front();
        self.waiting[worker].fetch_sub(1, Ordering::Release);
        command
    }
}

/// A worker's place among its peers, before it is on its thread.
pub struct Seat(AllocatorBuilder);

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seat")
    }
}

/// Seats for this many workers of one process.
///
/// # Errors
/// When timely cannot set up its channels; it says why.
pub fn seats(workers: usize) -> Result<Vec<Seat>, String> {
    let config = if workers == 1 { CommunicationConfig::Thread } else { CommunicationConfig::Process(workers) };
    let (builders, _) = config.try_build()?;
    Ok(builders.into_iter().map(Seat).collect())
}

/// See the module.
pub struct Worker {
    timely: timely::worker::Worker,
    commands: Arc<CommandLog>,
    dataflows: BTreeMap<DataflowId, Dataflow>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("index", &self.timely.index()).finish_non_exhaustive()
    }
}

struct Dataflow {
    control: Arc<Control>,
    /// Its number in timely.
    number: usize,
    rendered: Rendered,
    last_order: u64,
    running: Option<Tick>,
    held: Option<Tick>,
    /// By operator with state, what is counted of it in the gauge of its node.
    reported: Vec<[Size; Part::ALL.len()]>,
}

impl Worker {
    /// A worker on the calling thread, which is the one that must step it. Waits until all workers of `seats` have come. Without work it
    /// polls for a short while before it parks, unless there are more workers than cores: what it waits for is then for others to do.
    ///
    /// # Panics
    /// When the seat is one of a cluster.
    #[must_use]
    pub fn new(seat: Seat, commands: Arc<CommandLog>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let allocator = match seat.0 {
            AllocatorBuilder::Thread(_) => Allocator::Thread(OneThread::default()),
            AllocatorBuilder::Process(process) => Allocator::Process(process.build()),
            AllocatorBuilder::Tcp(_) => unreachable!("seats are made for one process"),
        };
        let idle_spin = if allocator.peers() <= cores { IDLE_SPIN } else { Duration::ZERO };
        // Without a time to begin with, timely takes it that there is always something to do, and no worker ever parks.
        #[expect(clippy::disallowed_methods, reason = "nothing that is computed depends on it")]
        let start = std::time::Instant::now();
        let timely = timely::worker::Worker::new(WorkerConfig::default().idle_spin(idle_spin), allocator, Some(start));
        commands.enlist();
        Self { timely, commands, dataflows: BTreeMap::new() }
    }

    /// Carries out what waits and one step of timely. With nothing to do, the thread is parked until it is woken, or for the given
    /// time at most. Returns whether the worker goes on.
    pub fn step(&mut self, park: Option<Duration>) -> bool {
        while let Some(command) = self.commands.next(self.timely.index()) {
            match command {
                Command::Create(control) => self.create(control),
                Command::Drop(id) => {
                    if let Some(dataflow) = self.dataflows.remove(&id) {
                        self.timely.drop_dataflow(dataflow.number);
                    }
                }
                Command::Stop => {
                    for dataflow in std::mem::take(&mut self.dataflows).into_values() {
                        self.timely.drop_dataflow(dataflow.number);
                    }
                    return false;
                }
            }
        }
        let (worker, peers) = (self.timely.index(), self.timely.peers());
        let mut busy = false;
        for dataflow in self.dataflows.values_mut() {
            busy |= dataflow.obey(worker, peers);
        }
        self.timely.step_or_park(if busy { Some(Duration::ZERO) } else { park });
        for dataflow in self.dataflows.values_mut() {
            dataflow.end_tick();
        }
        true
    }

    fn create(&mut self, control: Arc<Control>) {
        control.enlist();
        let number = self.timely.next_dataflow_index();
        let rendered = self.timely.dataflow::<Time, _, _>(|scope| render(scope, &control));
        control.note_restored();
        let id = control.id;
        let reported = vec![Default::default(); rendered.registry.borrow().stateful.len()];
        let dataflow = Dataflow { control, number, rendered, last_order: 0, running: None, held: None, reported };
        assert!(self.dataflows.insert(id, dataflow).is_none(), "dataflow ids are not reused");
    }
}

impl Drop for Dataflow {
    /// Operators with state know the registry, and it knows them: without this they would never be dropped.
    fn drop(&mut self) {
        self.rendered.registry.take();
    }
}

impl Dataflow {
    /// Takes the order that stands, if it is new, and passes on a request to hold. Returns whether something was done.
    fn obey(&mut self, worker: usize, peers: usize) -> bool {
        let mut busy = false;
        if self.running.is_none()
            && let Some((number, order)) = self.control.order_after(self.last_order)
        {
            self.last_order = number;
            busy = true;
            match order {
                Order::Tick(input) => self.start_tick(&input, worker, peers),
                Order::Capture { full } => {
                    let registry = self.rendered.registry.borrow();
                    let operators = registry.stateful.iter().map(|operator| operator.borrow_mut());
                    let captured = operators.flat_map(|mut operator| {
                        let node = operator.operator().0 as usize;
                        self.control.timed_capture(node, || operator.capture(full))
                    });
                    let captured = captured.collect();
                    drop(registry);
                    self.control.report_captured(captured);
                }
            }
        }
        if let Some(tick) = self.running
            && self.held != Some(tick)
            && self.control.holding()
        {
            self.held = Some(tick);
            self.wake_heads();
            busy = true;
        }
        busy
    }

    fn wake_heads(&self) {
        for head in &self.rendered.registry.borrow().heads {
            head.activate();
        }
    }

    fn start_tick(&mut self, input: &TickInput, worker: usize, peers: usize) {
        let (now, next) = (Time::of_tick(input.tick), Time::of_tick(input.tick.next()));
        for (_, _, handle) in &mut self.rendered.sources {
            handle.advance_to(now);
        }
        for (node, delta) in &input.feeds {
            let source = self.rendered.sources.iter_mut().find(|(id, _, _)| id == node);
            let (_, columns, handle) = source.expect("feeds are for sources of the plan");
            let mut slice = slice_of_worker(delta, worker, peers);
            self.control.give(*node, slice.num_rows());
            if !slice.is_empty() {
                slice.rows = slice.rows.project(columns).expect("the source reads columns of its relation");
                slice.iterations = None;
                handle.send_batch(&mut slice.into());
            }
        }
        for (rows, handle) in &mut self.rendered.constants {
            handle.advance_to(now);
            if input.constants && worker == 0 {
                handle.send_batch(&mut Parcel::from(rows.clone()));
            }
        }
        let sources = self.rendered.sources.iter_mut().map(|(_, _, handle)| handle);
        let constants = self.rendered.constants.iter_mut().map(|(_, handle)| handle);
        for handle in sources.chain(constants) {
            advance(handle, next);
        }
        self.running = Some(input.tick);
        self.wake_heads();
    }

    /// Reports the tick when it has ended everywhere.
    fn end_tick(&mut self) {
        let Some(tick) = self.running else { return };
        if self.rendered.probe.less_than(&Time::of_tick(tick.next())) {
            return;
        }
        self.running = None;
        let outputs = std::mem::take(&mut *self.rendered.collected.borrow_mut());
        let registry = self.rendered.registry.borrow();
        let mut held = 0;
        for (operator, reported) in registry.stateful.iter().zip(&mut self.reported) {
            let mut operator = operator.borrow_mut();
            held += operator.held_rows();
            operator.rest();
            let gauge = &self.control.nodes[operator.operator().0 as usize];
            operator.sizes(&mut |part, size| {
                let before = std::mem::replace(&mut reported[part as usize], size);
                gauge.note_size(part, (before, size));
            });
        }
        drop(registry);
        self.control.report_tick(held, outputs);
    }
}

fn advance(handle: &mut InputHandle<Time, Parcels>, to: Time) {
    handle.advance_to(to);
    handle.flush();
}
