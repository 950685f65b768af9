//! The workers' threads and the views that run on them: which dataflow ticks next, over what, and what becomes of its output.
//!
//! Each view has a dataflow with ticks of its own. A dataflow that is idle takes in what its sources have published, as far as all of
//! them are settled, and publishes its output when the tick settles. A tick that is cut leaves its output in the view's unsettled
//! buffer, and the next tick goes on.
//!
//! The schedule is under one lock. Workers take it when they end a tick, writers when they have published; nobody waits for a
//! worker while holding it.

mod admission;
mod capture;
mod checkpoint;
mod merges;
mod once;
mod restore;
mod segments;
mod threads;
mod views;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use refrain_dataflow::{Beginning, Command, CommandLog, Control, Events};
use refrain_plan::StreamPlan;
use refrain_state::memory::Use;
use refrain_state::{Dictionary, Memory};
use refrain_types::{DataflowId, Environment, Epoch, RelationId};

use crate::error::{Error, Result};
use crate::relation::Relation;
use crate::settings::EngineSettings;
use crate::spill::TemporaryFiles;
use checkpoint::Checkpointer;
use merges::Merges;
pub(crate) use restore::restore;
use threads::{BlockingThreads, Threads};
use views::View;

/// See the module.
#[derive(Debug)]
pub(crate) struct Runtime {
    commands: Arc<CommandLog>,
    threads: Threads,
    workers: usize,
    dictionary: Arc<Dictionary>,
    environment: Arc<dyn Environment>,
    /// What operators remember and where loops log while they are held, and where the rest of it goes.
    memory: Arc<Memory>,
    temporary_files: Arc<TemporaryFiles>,
    schedule: Mutex<Schedule>,
    me: Weak<Self>,
    /// Of the segments in the store.
    merges: Arc<Merges>,
    /// Uploads run here.
    io: tokio::runtime::Handle,
}

/// The views, and what is known about when they may go on.
#[derive(Debug, Default)]
struct Schedule {
    views: BTreeMap<DataflowId, View>,
    admit_after_ms: u64,
    /// Dataflows that live no longer than a statement take ids below this, downwards.
    once: u64,
    checkpointer: Checkpointer,
}

/// A loop as `refrain.loops` shows it.
#[derive(Clone, Debug)]
pub(crate) struct LoopStatus {
    pub view: String,
    pub dataflow: u64,
    pub loop_name: String,
    pub tick: u64,
    pub iteration: u64,
    pub laps: u64,
    pub hold_us: u64,
    pub frontier_rows: u64,
    pub held_rows: u64,
    pub log_rows: u64,
    pub log_bytes: u64,
    pub spilled_bytes: u64,
    /// Rows that went round: the first and the last iteration of each count.
    pub rounds: Vec<(u32, u32, u64)>,
}

/// An operator as `refrain.operators` shows it.
#[derive(Clone, Debug)]
pub(crate) struct OperatorStatus {
    pub view: String,
    pub operator: u64,
    pub kind: &'static str,
    pub rows: u64,
    pub busy_us: u64,
    pub state_bytes: u64,
    pub capture_us: u64,
}

/// An arrangement as `refrain.arrangements` shows it.
#[derive(Clone, Debug)]
pub(crate) struct ArrangementStatus {
    pub view: String,
    pub operator: u64,
    pub kind: &'static str,
    pub part: &'static str,
    /// By which columns its rows are found, if by any.
    pub key: String,
    /// Of all workers. Where each has all rows, all are counted.
    pub rows: u64,
    pub bytes: u64,
}

impl Runtime {
    /// Starts the workers.
    pub fn start(
        workers: usize,
        dictionary: Arc<Dictionary>,
        environment: Arc<dyn Environment>,
        (settings, temporary_folder): (&EngineSettings, PathBuf),
    ) -> Result<Arc<Self>> {
        let commands = CommandLog::new(workers);
        let threads = Threads::start(workers, &commands, Arc::clone(&environment))?;
        let schedule = Schedule { once: u64::MAX, ..Schedule::default() };
        let temporary_files = Arc::new(TemporaryFiles::new(temporary_folder, settings.temporary_files));
        let memory = Memory::limited(settings.memory, settings.loop_memory, Arc::clone(&temporary_files) as _);
        let io = tokio::runtime::Handle::current();
        memory.tidied_by(Arc::new(BlockingThreads(io.clone())));
        let runtime = Arc::new_cyclic(|me| Self {
            commands,
            threads,
            workers,
            dictionary,
            environment,
            memory,
            temporary_files,
            schedule: Mutex::new(schedule),
            me: Weak::clone(me),
            merges: Arc::default(),
            io,
        });
        runtime.threads.watch(&runtime);
        runtime.settings_changed(settings);
        Ok(runtime)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the workers share of a dataflow.
    fn new_control(&self, id: DataflowId, plan: &Arc<StreamPlan>, events: Arc<dyn Events>, beginning: Beginning) -> Arc<Control> {
        let (plan, dictionary) = (Arc::clone(plan), Arc::clone(&self.dictionary));
        let timed_workers = (self.workers, Arc::clone(&self.environment));
        Control::new(id, plan, dictionary, timed_workers, Arc::clone(&self.memory), events, beginning)
    }

    /// Starts to keep a view, from its sources at `at` or later. Returns at once.
    pub fn create_view(
        self: &Arc<Self>,
        view: Arc<Relation>,
        dataflow: DataflowId,
        plan: Arc<StreamPlan>,
        sources: BTreeMap<RelationId, Arc<Relation>>,
        at: Epoch,
    ) -> Result<()> {
        self.check_alive()?;
        self.start_view(View::new(self, view, dataflow, plan, sources, at));
        Ok(())
    }

    fn start_view(&self, view: View) {
        let dataflow = view.control.id;
        let create = view.coming.is_empty().then(|| Command::Create(Arc::clone(&view.control)));
        let mut schedule = self.schedule();
        assert!(schedule.views.insert(dataflow, view).is_none(), "a view is created once");
        create.iter().for_each(|create| self.commands.push(create));
        drop(schedule);
        self.pump();
    }

    /// The logs of a view's loops are there: it goes on, unless it was dropped meanwhile.
    fn logs_are_there(&self, dataflow: DataflowId) {
        let mut schedule = self.schedule();
        let Some(view) = schedule.views.get_mut(&dataflow) else { return };
        view.coming.clear();
        self.commands.push(&Command::Create(Arc::clone(&view.control)));
        schedule.checkpointer.wake.notify_one();
        drop(schedule);
        self.pump();
    }

    /// Ends the engine with an error.
    fn fail(&self, error: Error) {
        self.threads.fail(error);
        self.commands.push(&Command::Stop);
    }

    /// Ends a view's dataflow, whatever it is doing.
    pub fn drop_view(&self, dataflow: DataflowId) {
        let view = {
            let mut schedule = self.schedule();
            schedule.forget_dataflow(dataflow);
            schedule.views.remove(&dataflow)
        };
        if let Some(view) = view {
            view.control.kill();
            self.commands.push(&Command::Drop(dataflow));
        }
    }

    /// Something was published: opens ticks wherever there is work now.
    pub fn pump(&self) {
        let mut schedule = self.schedule();
        let now = self.environment.monotonic();
        // A view that settles without work may let the next one settle.
        loop {
            let mut any = false;
            for view in schedule.views.values_mut() {
                any |= view.admit(now);
            }
            if !any {
                break;
            }
        }
    }

    /// The control of a view's dataflow, if it runs.
    pub fn control(&self, dataflow: DataflowId) -> Option<Arc<Control>> {
        self.schedule().views.get(&dataflow).map(|view| Arc::clone(&view.control))
    }

    /// What the loops are doing.
    pub fn loops(&self) -> Vec<LoopStatus> {
        self.schedule().views.values().flat_map(View::loops).collect()
    }

    /// What the operators of the views have done.
    pub fn operators(&self) -> Vec<OperatorStatus> {
        self.schedule().views.values().flat_map(View::operators).collect()
    }

    /// What the operators of the views remember.
    pub fn arrangements(&self) -> Vec<ArrangementStatus> {
        self.schedule().views.values().flat_map(View::arrangements).collect()
    }

    /// What the memory that is limited is taken for, and how much of it: name, bytes taken, limit, why something found no room last.
    pub fn memory(&self) -> [(&'static str, u64, u64, Option<String>); 3] {
        let of = |name, used_for| {
            let (used, limit) = (self.memory.used(used_for) as u64, self.memory.limit(used_for));
            (name, used, if limit == usize::MAX { u64::MAX } else { limit as u64 }, self.memory.refusal(used_for))
        };
        let files = ("temporary files", self.temporary_files.used(), self.temporary_files.limit(), None);
        [of("rows", Use::Rows), of("loop logs", Use::LoopLogs), files]
    }

    /// The settings of the engine have changed.
    pub fn settings_changed(&self, settings: &EngineSettings) {
        self.memory.set_limits(settings.memory, settings.loop_memory);
        self.temporary_files.set_limit(settings.temporary_files);
        let mut schedule = self.schedule();
        schedule.admit_after_ms = u64::try_from(settings.admit_after.as_millis()).unwrap_or(u64::MAX);
        schedule.checkpointer.set(settings);
    }

    /// Why the engine cannot go on, if a worker panicked.
    pub fn failed(&self) -> Option<Error> {
        self.threads.failed()
    }

    fn check_alive(&self) -> Result<()> {
        self.failed().map_or(Ok(()), Err)
    }

    /// A worker panicked: whoever waits gets the error.
    fn end_views(&self, error: &Error) {
        for view in self.schedule().views.values_mut() {
            view.end(error);
        }
    }

    /// Ends the workers.
    pub fn stop(&self) {
        self.commands.push(&Command::Stop);
        self.threads.stop();
        self.schedule().views.clear();
    }
}
