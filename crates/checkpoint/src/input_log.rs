//! Appending to the input log: group commit, and no epoch passes a failed one.
//!
//! ```text
//! append (any thread) ─▶ queue ─▶ flush, one task at a time: take all that wait, put one object ─▶ answer those who wait
//! ```
//! While an object is on its way the next statements queue up and go together with the next object. Epochs are durable in
//! order: the answer to epoch e says that every epoch up to e is durable.
//!
//! An append is never taken back. Dropping its future does not stop it, so a cancelled statement leaves no hole. A put without
//! a clear answer is read back: ours means durable. When the store fails, the same object is put again until it has taken it, for a
//! later epoch must not be durable when an earlier one may not be; create-if-absent makes that once. How long that goes on is told
//! ([`InputLog::stuck`]), so that whoever waits can give up waiting. (The next opening reads what is there and puts its fence behind
//! it, so a put that is still on its way finds its place taken.)
//!
//! The log is poisoned, and nothing is accepted any more, when another writer has its place, when what is there is damaged, or when it
//! was abandoned while the store failed.
//!
//! The queue is bounded by the callers: each waits for its own append before it takes in the next statement.
//!
//! A private store in memory keeps no log at all: nobody can ever read it.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use refrain_types::{Environment, Epoch};
use tokio::sync::oneshot;

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::input_record::{self, EncodedRecord, InputRecord, follows, input_name};
use crate::open::Writer;

/// An object ends after the append that makes it larger than this.
const GROUP_BYTES_MAX: usize = 32 << 20;
/// From a put that failed to the next try; it doubles up to the other.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(50);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);

/// The end of the input log. Cheap to clone.
#[derive(Clone)]
pub struct InputLog {
    shared: Arc<Shared>,
}

struct Shared {
    bucket: Bucket,
    writer: Arc<Writer>,
    environment: Arc<dyn Environment>,
    /// The runtime that puts; `None` when no log is kept.
    runtime: Option<tokio::runtime::Handle>,
    state: Mutex<State>,
}

struct State {
    /// The last epoch that was appended, durable or not.
    last: Epoch,
    queue: VecDeque<Waiting>,
    flushing: bool,
    /// The put that is on its way.
    putting: Option<Stuck>,
    /// Nothing is tried again any more.
    abandoned: bool,
    poisoned: Option<Error>,
}

/// A write that the store has not taken yet.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// When it was begun, by `Environment::monotonic`.
    pub since: Duration,
    /// Why its last try failed; `None` when there was no answer at all.
    pub error: Option<Error>,
}

struct Waiting {
    records: Vec<EncodedRecord>,
    answer: oneshot::Sender<Result<()>>,
}

/// The answer to an append: `Ok` once it is durable. It need not be waited for.
#[derive(Debug)]
#[must_use = "a statement is acknowledged only when its records are durable"]
pub struct Appended(Answer);

#[derive(Debug)]
enum Answer {
    Durable,
    Waiting(oneshot::Receiver<Result<()>>),
}

impl InputLog {
    pub(crate) fn new(bucket: Bucket, writer: Arc<Writer>, environment: Arc<dyn Environment>, keep: bool) -> Self {
        let runtime = keep.then(tokio::runtime::Handle::current);
        let last = writer.durable_epoch();
        let state = State { last, queue: VecDeque::new(), flushing: false, putting: None, abandoned: false, poisoned: None };
        Self { shared: Arc::new(Shared { bucket, writer, environment, runtime, state: Mutex::new(state) }) }
    }

    /// Appends the records of one statement, which stay together. They are in line when this returns; the answer comes when
    /// they are durable.
    ///
    /// # Errors
    /// Nothing was appended and the epoch is still free: the log is poisoned, the writer is fenced, or Arrow cannot write the rows.
    ///
    /// # Panics
    /// When there is no record, or when the epochs do not go on where the last append ended.
    pub fn append(&self, records: &[InputRecord]) -> Result<Appended> {
        let last = records.last().expect("an append has at least one record").epoch;
        let Some(runtime) = &self.shared.runtime else {
            self.shared.lock().advance(records.iter().map(|r| r.epoch));
            self.shared.writer.durable_epoch.store(last.0, Ordering::Release);
            return Ok(Appended(Answer::Durable));
        };
        let encoded = records.iter().map(InputRecord::encode).collect::<Result<Vec<_>>>()?;
        let (answer, waiting) = oneshot::channel();
        let mut state = self.shared.lock();
        self.shared.writer.check_not_fenced()?;
        if let Some(error) = &state.poisoned {
            return Err(error.clone());
        }
        state.advance(encoded.iter().map(|r| r.epoch));
        state.queue.push_back(Waiting { records: encoded, answer });
        if !state.flushing {
            state.flushing = true;
            drop(runtime.spawn(flush(Flushing { shared: Arc::clone(&self.shared), given_up: false })));
        }
        Ok(Appended(Answer::Waiting(waiting)))
    }

    /// The epoch that the next append begins with.
    #[must_use]
    pub fn next_epoch(&self) -> Epoch {
        self.shared.lock().last.next()
    }

    /// The last epoch that is durable.
    #[must_use]
    pub fn durable_epoch(&self) -> Epoch {
        self.shared.writer.durable_epoch()
    }

    /// The write that the store has not taken yet, if there is one.
    #[must_use]
    pub fn stuck(&self) -> Option<Stuck> {
        self.shared.lock().putting.clone()
    }

    /// A write that fails is not tried again any more: it may be in the store or not, and those who wait get its error.
    pub fn abandon(&self) {
        self.shared.lock().abandoned = true;
    }
}

impl fmt::Debug for InputLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("InputLog").field("last", &state.last).field("poisoned", &state.poisoned).finish()
    }
}

impl Future for Appended {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Answer::Durable => Poll::Ready(Ok(())),
            Answer::Waiting(waiting) => Poll::Ready(ready!(Pin::new(waiting).poll(context)).unwrap_or_else(|_| Err(stopped()))),
        }
    }
}

impl State {
    fn advance(&mut self, epochs: impl Iterator<Item = Epoch>) {
        let mut last = self.last;
        for (i, epoch) in epochs.enumerate() {
            let expected = if i == 0 { epoch == last.next() } else { follows(last, epoch) };
            assert!(expected, "the epochs of the input log are contiguous, and {epoch} does not follow {last}");
            last = epoch;
        }
        self.last = last;
    }

    fn take_group(&mut self) -> Vec<Waiting> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while bytes <= GROUP_BYTES_MAX {
            let Some(waiting) = self.queue.pop_front() else { break };
            bytes += waiting.records.iter().map(|r| r.bytes.len()).sum::<usize>();
            group.push(waiting);
        }
        group
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The only panics under this lock are broken invariants found before anything is changed.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn poison(&self, error: &Error) {
        let queue = {
            let mut state = self.lock();
            state.flushing = false;
            state.poisoned.get_or_insert_with(|| poisoned(error));
            std::mem::take(&mut state.queue)
        };
        for waiting in queue {
            // Whoever does not wait any more does not need the answer.
            let _ = waiting.answer.send(Err(poisoned(error)));
        }
    }

    /// Puts one object, again and again while the store fails.
    async fn put_until_taken(&self, records: &[EncodedRecord]) -> Result<()> {
        self.lock().putting = Some(Stuck { since: self.environment.monotonic(), error: None });
        let mut pause = RETRY_AFTER_MIN;
        loop {
            let result = self.put(records).await;
            if let Some(result) = self.is_over(result) {
                return result;
            }
            self.environment.sleep(pause).await;
            pause = (pause * 2).min(RETRY_AFTER_MAX);
        }
    }

    /// Notes how a put went; `None` when it is to be tried again: what was read back and is damaged says nothing of what is there.
    fn is_over(&self, result: Result<()>) -> Option<Result<()>> {
        let mut state = self.lock();
        let putting = state.putting.take();
        match result {
            Err(error @ (Error::Store { .. } | Error::Missing { .. } | Error::Damaged { .. })) if !state.abandoned => {
                state.putting = putting.map(|putting| Stuck { error: Some(error), ..putting });
                None
            }
            result => Some(result),
        }
    }

    /// Puts one object; `Ok` when it is durable.
    async fn put(&self, records: &[EncodedRecord]) -> Result<()> {
        let writer = &self.writer;
        let first = records.first().expect("a group is not empty").epoch;
        let name = input_name(first);
        let framed = input_record::encode_object(writer.id, writer.generation, first, records);
        let unclear = match self.bucket.create(&name, framed.payload).await {
            Created::Yes => return Ok(()),
            Created::Exists => None,
            Created::Unclear(error) => Some(error),
        };
        match (self.bucket.get_if_there(&name).await?, unclear) {
            (Some(bytes), _) => {
                let there = input_record::decode_object(first, &bytes)?;
                if there.writer == writer.id {
                    return Ok(());
                }
                Err(writer.fence(Error::Fenced { object: name, generation: there.generation }))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(Error::Missing { object: name, used_by: input_record::INPUT_LOG.to_owned() }),
        }
    }
}

/// The right to put objects. Given up in any way but the regular one (a panic, the end of the runtime), it poisons the log, since
/// nobody else would ever answer those who wait.
struct Flushing {
    shared: Arc<Shared>,
    given_up: bool,
}

impl Drop for Flushing {
    fn drop(&mut self) {
        if !self.given_up {
            self.shared.poison(&stopped());
        }
    }
}

async fn flush(mut flushing: Flushing) {
    let shared = Arc::clone(&flushing.shared);
    loop {
        let group = {
            let mut state = shared.lock();
            let group = state.take_group();
            state.flushing = !group.is_empty();
            group
        };
        if group.is_empty() {
            // The next append starts the next flush, perhaps already has.
            flushing.given_up = true;
            return;
        }
        let (mut records, mut answers) = (Vec::new(), Vec::with_capacity(group.len()));
        for waiting in group {
            records.extend(waiting.records);
            answers.push(waiting.answer);
        }
        let result = shared.put_until_taken(&records).await;
        match &result {
            Ok(()) => {
                let last = records.last().expect("a group is not empty").epoch;
                shared.writer.durable_epoch.store(last.0, Ordering::Release);
            }
            Err(error) => shared.poison(error),
        }
        for answer in answers {
            // Whoever does not wait any more does not need the answer.
            let _ = answer.send(result.clone());
        }
        if result.is_err() {
            flushing.given_up = true;
            return;
        }
    }
}

fn poisoned(error: &Error) -> Error {
    match error {
        Error::Fenced { .. } | Error::Poisoned { .. } => error.clone(),
        other => Error::Poisoned { reason: other.to_string() },
    }
}

fn stopped() -> Error {
    Error::Poisoned { reason: "the task that writes it has stopped".to_owned() }
}
