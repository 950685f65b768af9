//! Runs a case: what every look has to show is worked out first, then the engine is put through the steps.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use refrain::ErrorKind;

use crate::case::{Case, Contents, End, Shape, Step, apply};
use crate::failure::{Failure, Problem};
use crate::oracle::{Stop, answer};
use crate::shrink::shrunk;
use crate::subject::{Bag, Events, Subject, change};
use crate::value::{Row, Value};
use crate::world::World;

/// Longest time that a case may take.
const CASE_TIMEOUT: Duration = Duration::from_secs(300);

/// Moves after which a world's run has not come to an end.
const MOVES_MAX: usize = 3_000_000;

/// What came of a case that did not fail.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The form of its recursion.
    pub shape: Shape,
    /// How it ended.
    pub ended: Ended,
}

/// How a case ended.
#[derive(Clone, Copy, Debug)]
pub enum Ended {
    /// Every look showed what it had to.
    Compared {
        /// How often it was looked.
        looks: usize,
        /// What else happened.
        events: Events,
    },
    /// The oracle had no answer, and the engine was not asked.
    Discarded(Stop),
}

/// Runs the case of a seed.
///
/// # Errors
/// When the engine shows something else than it has to, or an error.
pub async fn run(seed: u64) -> Result<Outcome, Box<Failure>> {
    let case = crate::generate::case(seed);
    let shape = case.shape;
    let looks = match expectations(&case) {
        Ok(looks) => looks,
        Err(stop) => return Ok(Outcome { shape, ended: Ended::Discarded(stop) }),
    };
    match drive(&case, &looks).await {
        Ok(events) => {
            let looks = looks.iter().flatten().count();
            Ok(Outcome { shape, ended: Ended::Compared { looks, events } })
        }
        Err(problem) => Err(Box::new(shrunk(Failure { case, problem }).await)),
    }
}

/// What each step has to show, if it is a look. An error when the oracle has no answer at one of them, or on the way from one to the next.
pub(crate) fn expectations(case: &Case) -> Result<Vec<Option<Bag>>, Stop> {
    let mut contents = case.contents();
    let mut created = false;
    let mut known: Option<Bag> = None;
    let mut expected = Vec::with_capacity(case.steps.len());
    for step in &case.steps {
        created |= *step == Step::CreateView;
        if apply(&mut contents, step) {
            known = None;
        }
        let looks = matches!(step, Step::Look | Step::LookOnce);
        if known.is_none() && (looks || created && !case.shape.always_ends()) {
            known = Some(bag(&answer(&case.view, &case.tables, &contents)?));
        }
        expected.push(if looks { known.clone() } else { None });
    }
    Ok(expected)
}

fn bag(rows: &[Row]) -> Bag {
    let mut bag = Bag::new();
    for row in rows {
        *bag.entry(row.iter().map(|value| Value::text(*value)).collect()).or_default() += 1;
    }
    bag
}

/// Puts an engine through the steps of a case.
pub(crate) async fn drive(case: &Case, expected: &[Option<Bag>]) -> Result<Events, Problem> {
    let at = AtomicUsize::new(0);
    let case = Arc::new(case.clone());
    let ended = tokio::time::timeout(CASE_TIMEOUT, caught(steps(&case, expected, None, &at))).await;
    let at = at.load(Ordering::Relaxed);
    match ended {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(Problem::panic(at, panic.as_ref())),
        Err(_) => Err(Problem::stuck(at)),
    }
}

/// Runs the case of a seed in a world of its own, which the seed decides, too: the order in which threads run, the time, and what the store
/// does. The text is all that has happened: it is the same whenever the seed is.
///
/// # Errors
/// When the engine shows something else than it has to, or an error that it should not.
///
/// # Panics
/// When no runtime can be made.
pub fn repeat(seed: u64) -> (Result<Outcome, Box<Failure>>, String) {
    let mut case = crate::generate::case(seed);
    let shape = case.shape;
    let looks = match expectations(&case) {
        Ok(looks) => looks,
        Err(stop) => return (Ok(Outcome { shape, ended: Ended::Discarded(stop) }), String::new()),
    };
    let world = World::of(seed);
    if world.decide(|random| random.percent(50)) {
        case.settings.push("SET checkpoint_interval_ms = 20".to_owned());
    }
    if world.has_faults() && world.decide(|random| random.percent(25)) {
        // So some are given up at any step.
        let millis = world.decide(|random| random.within(1..=40));
        case.settings.push(format!("SET checkpoint_timeout_ms = {millis}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let at = AtomicUsize::new(0);
    let case = Arc::new(case);
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            ended = caught(steps(&case, &looks, Some(&world), &at)) => Some(ended),
            stopped = world.drive(MOVES_MAX) => match stopped { Err(()) => None },
        }
    });
    let at = at.load(Ordering::Relaxed);
    let result = match ended {
        Some(Ok(Ok(events))) => Ok(Outcome { shape, ended: Ended::Compared { looks: looks.iter().flatten().count(), events } }),
        Some(Ok(Err(problem))) => Err(problem),
        Some(Err(panic)) => Err(Problem::panic(at, panic.as_ref())),
        None => Err(Problem::stuck(at)),
    };
    let trace = runtime.block_on(world.into_trace());
    (result.map_err(|problem| Box::new(Failure { case: Arc::unwrap_or_clone(case), problem })), trace)
}

/// Whether a step is cut off in its middle: a change whose effect can be seen.
fn is_cut_off(step: &Step, world: &World) -> bool {
    !matches!(step, Step::CreateView) && world.decide(|random| random.percent(30))
}

/// What a task gives before it has been waited for so often; else it is given up.
async fn within<T>(times: usize, task: tokio::task::JoinHandle<T>) -> Option<T> {
    for _ in 0..times {
        if task.is_finished() {
            return Some(task.await.expect("a change does not panic"));
        }
        tokio::task::yield_now().await;
    }
    task.abort();
    None
}

/// Ends the engine in the middle of a change, and makes the change if it was not made: a statement that was not acknowledged has taken
/// effect wholly or not at all.
async fn interrupted(
    subject: &mut Subject,
    case: &Arc<Case>,
    number: usize,
    (contents, world): (&Contents, &World),
) -> Result<(), Problem> {
    let failed = |error: refrain::Error| Problem::error(number, &error);
    let workers = world.decide(|random| *random.pick(&[1, 2, 3]));
    subject.restart(workers, End::Dropped).await.map_err(failed)?;
    subject.events.interrupted += 1;
    let mut after = contents.clone();
    apply(&mut after, &case.steps[number]);
    let mut is_made = matches!(case.steps[number], Step::CreateView) && subject.execute("EXPLAIN SELECT * FROM v").await.is_ok();
    for ((table, before), after) in case.tables.iter().zip(contents).zip(&after) {
        let found = subject.rows(&format!("SELECT * FROM {}", table.name)).await.map_err(failed)?;
        if found == bag(after) {
            is_made |= before != after;
        } else if found != bag(before) {
            return Err(Problem::difference(number, &bag(after), &found));
        }
    }
    if is_made {
        return Ok(());
    }
    change(subject.session().clone(), Arc::clone(case), number, contents.clone()).await.map_err(failed)
}

/// What a future gives, or what it panics with. It is not polled again after that.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    let poll = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    });
    poll.await
}

/// Each checkpoint that is kept shows the tables as they were at some time, and the view as it has to be then.
async fn look_at_the_past(subject: &mut Subject, case: &Case, number: usize, all: &[Contents]) -> Result<(), Problem> {
    let failed = |error: refrain::Error| Problem::error(number, &error);
    for checkpoint in subject.kept().await.map_err(failed)? {
        let past = subject.past(checkpoint).await.map_err(failed)?;
        let mut tables = Vec::new();
        for table in &case.tables {
            tables.push(past.rows(&format!("SELECT * FROM {}", table.name)).await.map_err(failed)?);
        }
        let then = all.iter().rev().find(|contents| contents.iter().map(|rows| bag(rows)).eq(tables.iter().cloned()));
        let Some(then) = then else { return Err(Problem::never(number, checkpoint, &tables)) };
        // Where it was not looked the oracle may have no answer.
        let Ok(expected) = answer(&case.view, &case.tables, then) else { continue };
        if past.has_the_view().await {
            let found = past.rows("SELECT * FROM v").await.map_err(failed)?;
            let expected = bag(&expected);
            if found != expected {
                return Err(Problem::difference(number, &expected, &found));
            }
        }
    }
    Ok(())
}

/// What was seen of an engine that keeps the past: queries, each with the epoch and the rows.
type Seen = Vec<(String, String, Bag)>;

/// So many looks are looked at again.
const SEEN_MAX: usize = 6;

/// Each query still shows what it did, at the epoch at which it did.
async fn look_again(subject: &mut Subject, number: usize, seen: &Seen) -> Result<(), Problem> {
    for (sql, epoch, expected) in seen {
        let found = subject.rows(&format!("{sql} AS OF {epoch}")).await.map_err(|error| Problem::error(number, &error))?;
        if found != *expected {
            return Err(Problem::difference(number, expected, &found));
        }
        subject.events.again += 1;
    }
    Ok(())
}

async fn steps(case: &Arc<Case>, expected: &[Option<Bag>], world: Option<&World>, at: &AtomicUsize) -> Result<Events, Problem> {
    let failed = |error: refrain::Error| Problem::error(at.load(Ordering::Relaxed), &error);
    let mut subject = Subject::open(case, world).await.map_err(failed)?;
    let mut contents = case.contents();
    let mut past = vec![contents.clone()];
    let mut seen = Seen::new();
    for (number, (step, expected)) in case.steps.iter().zip(expected).enumerate() {
        at.store(number, Ordering::Relaxed);
        match step {
            Step::Look | Step::LookOnce => {
                let sql = if *step == Step::Look { "SELECT * FROM v".to_owned() } else { case.query() };
                let found = subject.rows(&sql).await.map_err(failed)?;
                let expected = expected.as_ref().expect("what a look has to show is known");
                if found != *expected {
                    return Err(Problem::difference(number, expected, &found));
                }
                if case.keeps_history() {
                    look_again(&mut subject, number, &seen).await?;
                    seen.truncate(SEEN_MAX - 1);
                    seen.insert(0, (sql, subject.epoch().await.map_err(failed)?, found));
                }
            }
            Step::Checkpoint { wait } => subject.checkpoint(*wait).await.map_err(failed)?,
            Step::Restart(workers, end) => {
                if world.is_none() && case.keeps_checkpoints() {
                    look_at_the_past(&mut subject, case, number, &past).await?;
                }
                subject.restart(*workers, *end).await.map_err(failed)?;
                seen.clear();
            }
            Step::CreateView | Step::Insert(..) | Step::DeleteRows(..) | Step::DeleteWhere(..) | Step::Update(..) => {
                let change = || change(subject.session().clone(), Arc::clone(case), number, contents.clone());
                let Some(world) = world else {
                    change().await.map_err(failed)?;
                    apply(&mut contents, step);
                    past.push(contents.clone());
                    continue;
                };
                let done = match is_cut_off(step, world) {
                    false => Some(change().await),
                    true => within(world.decide(|random| random.below(60)), tokio::spawn(change())).await,
                };
                match done {
                    Some(Ok(())) => {}
                    // The engine writes no more where it cannot know what it has written.
                    Some(Err(error)) if error.kind() != ErrorKind::Io || !world.has_faults() => return Err(failed(error)),
                    _ => {
                        interrupted(&mut subject, case, number, (&contents, world)).await?;
                        seen.clear();
                    }
                }
            }
        }
        if let Some(world) = world {
            world.note(format_args!("step {number} is done: {}", case.step_text(step)));
        }
        apply(&mut contents, step);
    }
    subject.close().await.map_err(failed)
}
