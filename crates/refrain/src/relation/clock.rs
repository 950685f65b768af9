//! The epoch at which relations are settled, and those who wait for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use refrain_types::Epoch;
use tokio::sync::Notify;

use crate::error::{Error, Result};

/// An epoch that only grows. All tables of an engine share one; each view has its own.
#[derive(Debug, Default)]
pub struct EpochClock {
    epoch: AtomicU64,
    wake: Notify,
    /// Why the epoch will never grow again.
    ended: Mutex<Option<Error>>,
    /// Epochs at which somebody wants to read everything, with how many do.
    read_points: Mutex<BTreeMap<Epoch, usize>>,
    /// How many epochs back relations can be read.
    history: AtomicU64,
}

/// As long as it lives, dataflows settle at its epoch exactly, so that several relations can be read at that one epoch.
#[derive(Debug)]
pub struct ReadPoint {
    /// The epoch.
    pub epoch: Epoch,
    clock: Arc<EpochClock>,
}

impl Drop for ReadPoint {
    fn drop(&mut self) {
        let mut points = self.clock.read_points.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(readers) = points.get_mut(&self.epoch) {
            *readers -= 1;
            if *readers == 0 {
                points.remove(&self.epoch);
            }
        }
    }
}

impl EpochClock {
    /// A clock that stands at `epoch`.
    pub fn at(epoch: Epoch) -> Arc<Self> {
        Arc::new(Self { epoch: AtomicU64::new(epoch.0), ..Self::default() })
    }

    /// Where it stands.
    pub fn now(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Moves it to `epoch` and wakes whoever waits. Going back is refused silently: a late caller has nothing to add.
    pub fn advance(&self, epoch: Epoch) {
        self.epoch.fetch_max(epoch.0, Ordering::AcqRel);
        self.wake.notify_waiters();
    }

    /// Ends it: every wait, now and later, that is not fulfilled yet returns `error`. The first error stays.
    pub fn end(&self, error: Error) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.wake.notify_waiters();
    }

    /// Why it has ended, if it has.
    pub fn ended(&self) -> Option<Error> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many epochs back relations can be read; 0: none is kept to be read.
    pub fn history(&self) -> u64 {
        self.history.load(Ordering::Relaxed)
    }

    /// From now on relations can be read so many epochs back.
    pub fn keep_history(&self, epochs: u64) {
        self.history.store(epochs, Ordering::Relaxed);
    }

    /// Makes the epoch at which it stands a read point.
    pub fn read_point(self: &Arc<Self>) -> ReadPoint {
        let mut points = self.read_points.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.now();
        *points.entry(epoch).or_insert(0) += 1;
        ReadPoint { epoch, clock: Arc::clone(self) }
    }

    /// Whether somebody wants to read everything at this epoch.
    pub fn is_read_point(&self, epoch: Epoch) -> bool {
        self.read_points.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&epoch)
    }

    /// How far a dataflow that has admitted everything up to `after` may go in one step towards `up_to`: not over a read point.
    ///
    /// Whoever admits calls this with what is settled at the time. A read point that is made later is not below that, so it is
    /// respected by the next step.
    pub fn up_to_read_point(&self, after: Epoch, up_to: impl FnOnce() -> Epoch) -> Epoch {
        let points = self.read_points.lock().unwrap_or_else(PoisonError::into_inner);
        let point = points.range(after.next()..).next().map(|(epoch, _)| *epoch);
        let up_to = up_to();
        point.map_or(up_to, |point| point.min(up_to))
    }

    /// Returns when the clock stands at `epoch` or later.
    ///
    /// # Errors
    /// When the clock has ended before.
    pub async fn reach(&self, epoch: Epoch) -> Result<Epoch> {
        loop {
            let notified = self.wake.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let now = self.now();
            if now >= epoch {
                return Ok(now);
            }
            if let Some(error) = self.ended() {
                return Err(error);
            }
            notified.await;
        }
    }
}
