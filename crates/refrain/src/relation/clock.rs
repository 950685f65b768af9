//! The epoch at which relations are settled, and those who wait for it.

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
