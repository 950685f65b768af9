//! Time, randomness, ids and the order in which threads run come from here, so that a test can replace them.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Completes when its time has come.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the engine asks of the outside world besides I/O.
pub trait Environment: Debug + Send + Sync {
    /// Time since an arbitrary start that never goes back.
    fn monotonic(&self) -> Duration;
    /// Milliseconds since 1970-01-01 UTC.
    fn unix_millis(&self) -> u64;
    /// 128 bits for the name of an object; unique among all processes that may write to a store.
    fn unique(&self) -> u128;
    /// Waits until so much time has gone by.
    fn sleep(&self, duration: Duration) -> Sleep;
    /// Who decides which of the engine's threads runs next; `None` is the system.
    fn turns(&self) -> Option<Arc<dyn Turns>> {
        None
    }
}

/// What comes of `future`, or `None` when so much time has gone by before.
pub async fn timeout<T>(environment: &dyn Environment, duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut sleep = environment.sleep(duration);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Decides which thread of an engine runs next: one at a time, from one of its steps to the next. What else the engine does on threads of
/// its own it then does on the thread that asks for it, so a run can be repeated.
pub trait Turns: Debug + Send + Sync {
    /// A thread is about to be started. It is waited for.
    fn join(&self) -> Member;
    /// Ends the turn of a thread and waits for the next one.
    fn wait(&self, member: Member);
    /// The thread ends.
    fn leave(&self, member: Member);
    /// Gives these threads turns, one after the other, until they have ended. The calling thread may be one of them: it is passed over.
    fn finish(&self, members: &[Member]);
}

/// One of the threads that take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member(pub u64);
