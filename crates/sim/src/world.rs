//! A world in which a run can be repeated: a seed decides which thread runs next, when time goes by, and what the store does.
//!
//! ```text
//! one thread at a time:  tasks of the runtime ─▶ the world: a worker's step │ some time │ a delayed answer of the store ─▶ tasks …
//! ```
//! The engine's threads take turns ([`Turns`]): each waits for its turn, makes one step, and gives the turn back. The tasks of the
//! engine run on the thread that drives the world, so nothing ever runs beside anything else.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use refrain_checkpoint::faults::{Effect, FaultyStore, Gate, Operation};
use refrain_types::Environment;
use refrain_types::environment::{Member, Sleep, Turns};

use crate::random::Random;

/// See the module. Clones are the same world.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// A thread's turn has come, or has ended.
    turned: Condvar,
    objects: Arc<InMemory>,
}

struct State {
    random: Random,
    now: Duration,
    /// Who sleeps, by the time at which to wake, and by number.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    /// Counts what has to be told apart.
    numbers: u64,
    threads: BTreeMap<Member, Thread>,
    /// Operations of the store that wait.
    delayed: Vec<Gate>,
    /// Of a hundred operations, how many go wrong.
    faults: usize,
    /// None does before this.
    has_begun: bool,
    trace: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Thread {
    /// It has not waited for its turn yet.
    Starting,
    Waiting,
    Running,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl World {
    /// The world of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed ^ 0x5eed);
        let faults = *random.pick(&[0, 4, 12]);
        let state = State {
            random,
            now: Duration::from_secs(1),
            sleepers: BTreeMap::new(),
            numbers: 0,
            threads: BTreeMap::new(),
            delayed: Vec::new(),
            faults,
            has_begun: false,
            trace: String::new(),
        };
        Self(Arc::new(Inner { state: Mutex::new(state), turned: Condvar::new(), objects: Arc::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that the seed decides.
    pub fn decide<T>(&self, decide: impl FnOnce(&mut Random) -> T) -> T {
        decide(&mut self.state().random)
    }

    /// Writes a line into the trace.
    pub fn note(&self, line: impl std::fmt::Display) {
        writeln!(self.state().trace, "{line}").expect("text takes what is written");
    }

    /// From now on operations of the store go wrong, if they do in this world: what a case begins with is there.
    pub fn begin(&self) {
        self.state().has_begun = true;
    }

    /// Whether the store fails now and then.
    pub fn has_faults(&self) -> bool {
        self.state().faults > 0
    }

    /// All that has happened, and the bytes of every object that there is in the end.
    pub async fn into_trace(self) -> String {
        let mut listed: Vec<_> = self.0.objects.list(None).try_collect().await.expect("memory does not fail");
        listed.sort_by(|a, b| a.location.cmp(&b.location));
        let mut trace = std::mem::take(&mut self.state().trace);
        for object in listed {
            let bytes =
                self.0.objects.get(&object.location).await.expect("it was listed").bytes().await.expect("memory does not fail");
            writeln!(trace, "{} {} {:08x}", object.location, bytes.len(), crc32fast::hash(&bytes))
                .expect("text takes what is written");
        }
        trace
    }

    /// The store as an engine sees it.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        let world = self.clone();
        Arc::new(FaultyStore::deciding(Arc::clone(&self.0.objects) as _, move |operation, name| world.effect(operation, name)))
    }

    fn effect(&self, operation: Operation, name: &str) -> Effect {
        let mut state = self.state();
        let faults = if state.has_begun { state.faults } else { 0 };
        // Opening a store is many reads, each of which has to be right.
        let seldom = if matches!(operation, Operation::Get | Operation::List) { 15 } else { 100 };
        let goes_wrong = faults > 0 && state.random.percent(faults) && state.random.percent(seldom);
        let random = &mut state.random;
        let gate = Gate::default();
        let effect = match operation {
            _ if !goes_wrong => Effect::Nothing,
            Operation::Put => match random.below(4) {
                0 => Effect::FailBefore,
                1 => Effect::FailAfter,
                2 => Effect::Delay(gate.clone()),
                _ => Effect::DelayAnswer(gate.clone()),
            },
            // A loop log that is damaged ends an engine that is open already.
            Operation::Get => match random.below(4) {
                0 => Effect::FailBefore,
                1 | 2 if name.contains("loop/") => Effect::FailBefore,
                1 => Effect::ShortRead(random.below(100)),
                2 => Effect::BitFlip(random.below(64)),
                _ => Effect::Delay(gate.clone()),
            },
            Operation::Delete | Operation::List => Effect::FailBefore,
        };
        let kind = match &effect {
            Effect::Delay(_) => "delayed".to_owned(),
            Effect::DelayAnswer(_) => "answer delayed".to_owned(),
            other => format!("{other:?}"),
        };
        if matches!(effect, Effect::Delay(_) | Effect::DelayAnswer(_)) {
            state.delayed.push(gate);
        }
        writeln!(state.trace, "{operation:?} {name}: {kind}").expect("text takes what is written");
        effect
    }

    /// Lets the world go on, beside the tasks of the calling runtime, which must be of one thread.
    ///
    /// # Errors
    /// When it has gone on for so long.
    pub async fn drive(&self, moves: usize) -> Result<std::convert::Infallible, ()> {
        for _ in 0..moves {
            match self.decide(|random| random.weighted(&[60, 30, 6, 4])) {
                0 => self.turn(),
                1 => {}
                2 => self.open_a_gate(),
                _ => self.pass_time(),
            }
            tokio::task::yield_now().await;
        }
        Err(())
    }

    fn open_a_gate(&self) {
        let mut state = self.state();
        if !state.delayed.is_empty() {
            let count = state.delayed.len();
            let chosen = state.random.below(count);
            state.delayed.swap_remove(chosen).open();
        }
    }

    fn pass_time(&self) {
        let mut state = self.state();
        let millis = state.random.within(1..=12);
        state.now += Duration::from_millis(millis.unsigned_abs());
        let later = (state.now, u64::MAX);
        let mut due = std::mem::take(&mut state.sleepers);
        state.sleepers = due.split_off(&later);
        drop(state);
        due.into_values().for_each(Waker::wake);
    }

    /// Gives a thread its turn, if there is one.
    fn turn(&self) {
        let mut state = self.state();
        while state.threads.values().any(|thread| *thread == Thread::Starting) {
            state = self.0.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let waiting = state.threads.iter().filter(|(_, thread)| **thread == Thread::Waiting);
        let waiting = waiting.map(|(member, _)| *member).collect::<Vec<_>>();
        if waiting.is_empty() {
            return;
        }
        let member = *state.random.pick(&waiting);
        let now = state.now.as_millis();
        writeln!(state.trace, "{now} ms: {}", member.0).expect("text takes what is written");
        drop(self.grant(state, member));
    }

    fn grant<'a>(&'a self, mut state: MutexGuard<'a, State>, member: Member) -> MutexGuard<'a, State> {
        state.threads.insert(member, Thread::Running);
        self.0.turned.notify_all();
        while state.threads.get(&member) == Some(&Thread::Running) {
            state = self.0.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

impl Turns for World {
    fn join(&self) -> Member {
        let mut state = self.state();
        state.numbers += 1;
        let member = Member(state.numbers);
        state.threads.insert(member, Thread::Starting);
        member
    }

    fn wait(&self, member: Member) {
        let mut state = self.state();
        state.threads.insert(member, Thread::Waiting);
        self.0.turned.notify_all();
        while state.threads.get(&member) == Some(&Thread::Waiting) {
            state = self.0.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&self, member: Member) {
        self.state().threads.remove(&member);
        self.0.turned.notify_all();
    }

    fn finish(&self, members: &[Member]) {
        let mut state = self.state();
        loop {
            while members.iter().any(|member| state.threads.get(member) == Some(&Thread::Starting)) {
                state = self.0.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(member) = members.iter().find(|member| state.threads.get(member) == Some(&Thread::Waiting)) else { return };
            state = self.grant(state, *member);
        }
    }
}

impl Environment for World {
    fn monotonic(&self) -> Duration {
        self.state().now
    }

    fn unix_millis(&self) -> u64 {
        1_700_000_000_000 + u64::try_from(self.monotonic().as_millis()).expect("a run is short")
    }

    fn unique(&self) -> u128 {
        let mut state = self.state();
        state.numbers += 1;
        u128::from(state.numbers)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let mut state = self.state();
        state.numbers += 1;
        let at = (state.now + duration, state.numbers);
        Box::pin(Sleeper { world: self.clone(), at })
    }

    fn turns(&self) -> Option<Arc<dyn Turns>> {
        Some(Arc::new(self.clone()))
    }
}

struct Sleeper {
    world: World,
    at: (Duration, u64),
}

impl Future for Sleeper {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.world.state();
        if state.now >= self.at.0 {
            return Poll::Ready(());
        }
        let before = state.sleepers.insert(self.at, context.waker().clone());
        drop(state);
        // With it a task may go, which sleeps, too.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let removed = self.world.state().sleepers.remove(&self.at);
        drop(removed);
    }
}
