//! Runs a case: what every look has to show is worked out first, then the engine is put through the steps.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::case::{Case, Shape, Step, apply, present};
use crate::failure::{Failure, Problem};
use crate::oracle::{Stop, answer};
use crate::shrink::shrunk;
use crate::subject::{Bag, Events, Subject};
use crate::value::{Row, Value};

/// Longest time that a case may take.
const CASE_TIMEOUT: Duration = Duration::from_secs(300);

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
    let ended = tokio::time::timeout(CASE_TIMEOUT, caught(steps(case, expected, &at))).await;
    let at = at.load(Ordering::Relaxed);
    match ended {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(Problem::panic(at, panic.as_ref())),
        Err(_) => Err(Problem::stuck(at)),
    }
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

async fn steps(case: &Case, expected: &[Option<Bag>], at: &AtomicUsize) -> Result<Events, Problem> {
    let failed = |error: refrain::Error| Problem::error(at.load(Ordering::Relaxed), &error);
    let mut subject = Subject::open(case).await.map_err(failed)?;
    let mut contents = case.contents();
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
            }
            Step::DeleteRows(table, rows) => {
                let rows = present(rows, &contents[*table]);
                if !rows.is_empty() {
                    subject.delete(&case.tables[*table], &rows).await.map_err(failed)?;
                }
            }
            Step::Insert(table, rows) => subject.insert(&case.tables[*table], rows).await.map_err(failed)?,
            Step::Checkpoint { wait } => subject.checkpoint(*wait).await.map_err(failed)?,
            Step::Restart(workers, end) => subject.restart(*workers, *end).await.map_err(failed)?,
            Step::CreateView | Step::DeleteWhere(..) | Step::Update(..) => {
                subject.execute(&case.step_text(step)).await.map_err(failed)?;
            }
        }
        apply(&mut contents, step);
    }
    subject.close().await.map_err(failed)
}
