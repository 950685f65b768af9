//! The one place where threads are spawned: one for each worker, and one that keeps the time. What blocks runs on those of tokio.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use refrain_dataflow::{Command, CommandLog, Worker, seats};
use refrain_state::memory::Background;
use refrain_types::Environment;
use refrain_types::environment::{Member, Turns};

use super::Runtime;
use crate::error::{Error, Result};

/// How often the time is looked at while loops run.
const WATCH_EVERY: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<State>,
    environment: Arc<dyn Environment>,
    handles: Mutex<Vec<(JoinHandle<()>, Option<Member>)>>,
}

/// What a thread is among those that take turns, if they do.
struct Place(Option<(Arc<dyn Turns>, Member)>);

impl Place {
    fn of(environment: &dyn Environment) -> Self {
        Self(environment.turns().map(|turns| {
            let member = turns.join();
            (turns, member)
        }))
    }

    fn member(&self) -> Option<Member> {
        self.0.as_ref().map(|(_, member)| *member)
    }

    /// Waits for the next turn. Returns how long the thread may then wait for something to do; `None`: as long as it takes.
    fn turn(&self) -> Option<Duration> {
        let (turns, member) = self.0.as_ref()?;
        turns.wait(*member);
        Some(Duration::ZERO)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((turns, member)) = &self.0 {
            turns.leave(*member);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    failed: OnceLock<Error>,
    stopped: AtomicBool,
    wake: tokio::sync::Notify,
    runtime: OnceLock<Weak<Runtime>>,
}

/// The threads on which tokio runs what blocks.
#[derive(Debug)]
pub(super) struct BlockingThreads(pub tokio::runtime::Handle);

impl Background for BlockingThreads {
    fn run(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(work);
    }
}

impl Threads {
    /// Starts the workers; each waits for commands.
    #[expect(clippy::disallowed_methods, reason = "the one place where threads are spawned")]
    pub fn start(workers: usize, commands: &Arc<CommandLog>, environment: Arc<dyn Environment>) -> Result<Self> {
        let shared = Arc::new(State::default());
        let seats = seats(workers).map_err(|e| Error::engine(format!("could not start {workers} workers: {e}")))?;
        let handles = seats.into_iter().enumerate().map(|(index, seat)| {
            let (shared, commands, place) = (Arc::clone(&shared), Arc::clone(commands), Place::of(&*environment));
            let member = place.member();
            let handle = std::thread::spawn(move || {
                let run = || {
                    let mut worker = Worker::new(seat, Arc::clone(&commands));
                    loop {
                        let park = place.turn();
                        if shared.failed.get().is_some() || !worker.step(park) {
                            break;
                        }
                    }
                };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                    shared.fail(panicked(index, &*panic));
                    // The other workers would wait for this one for ever.
                    commands.push(&Command::Stop);
                }
                drop(place);
            });
            (handle, member)
        });
        Ok(Self { handles: Mutex::new(handles.collect()), shared, environment })
    }

    /// Starts to keep the time for `runtime`.
    #[expect(clippy::disallowed_methods, reason = "the one place where threads are spawned")]
    pub fn watch(&self, runtime: &Arc<Runtime>) {
        self.shared.runtime.set(Arc::downgrade(runtime)).expect("the time is kept once");
        let (shared, place) = (Arc::clone(&self.shared), Place::of(&*self.environment));
        let member = place.member();
        let handle = std::thread::spawn(move || {
            while !shared.stopped.load(Ordering::Acquire) && shared.failed.get().is_none() {
                std::thread::park_timeout(place.turn().unwrap_or(WATCH_EVERY));
                let Some(runtime) = shared.runtime.get().and_then(Weak::upgrade) else { return };
                runtime.watch();
            }
        });
        self.handles().push((handle, member));
    }

    fn handles(&self) -> std::sync::MutexGuard<'_, Vec<(JoinHandle<()>, Option<Member>)>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the workers have ended, if one panicked.
    pub fn failed(&self) -> Option<Error> {
        self.shared.failed.get().cloned()
    }

    /// Nothing can go on. The workers end as soon as they are woken.
    pub fn fail(&self, error: Error) {
        self.shared.fail(error);
    }

    /// Returns when a worker has panicked.
    pub async fn failure(&self) -> Error {
        loop {
            let woken = self.shared.wake.notified();
            if let Some(error) = self.failed() {
                return error;
            }
            woken.await;
        }
    }

    /// Waits until all threads have ended, except for the calling one. The workers have been told to stop.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        let handles = std::mem::take(&mut *self.handles());
        if let Some(turns) = self.environment.turns() {
            turns.finish(&handles.iter().filter_map(|(_, member)| *member).collect::<Vec<_>>());
        }
        for (handle, _) in handles {
            if handle.thread().id() != std::thread::current().id() {
                handle.thread().unpark();
                // A panic has been reported already.
                let _ = handle.join();
            }
        }
    }
}

impl State {
    fn fail(&self, error: Error) {
        let error = self.failed.get_or_init(|| error).clone();
        self.wake.notify_waiters();
        if let Some(runtime) = self.runtime.get().and_then(Weak::upgrade) {
            runtime.end_views(&error);
        }
    }
}

fn panicked(worker: usize, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned());
    Error::engine(format!("worker {worker} panicked: {text}"))
        .with_hint("The engine has stopped. Open it again: it goes on from the last checkpoint and the input log.")
}
