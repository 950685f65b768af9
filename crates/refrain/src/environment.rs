//! The machine's own clock and randomness: what an engine asks of the outside world unless it is told to ask somebody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use refrain_types::Environment;
use refrain_types::environment::Sleep;

/// The machine's own clock and randomness.
#[derive(Debug)]
pub struct SystemEnvironment {
    started: std::time::Instant,
    salt: std::hash::RandomState,
    counter: AtomicU64,
}

impl SystemEnvironment {
    /// The environment of a real process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
    pub fn shared() -> Arc<dyn Environment> {
        Arc::new(Self { started: std::time::Instant::now(), salt: std::hash::RandomState::new(), counter: AtomicU64::new(0) })
    }
}

impl Environment for SystemEnvironment {
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
    fn unix_millis(&self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(now.map_or(0, |d| d.as_millis())).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }

    fn unique(&self) -> u128 {
        use std::hash::BuildHasher;
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let high = self.salt.hash_one((count, 1u8, std::process::id()));
        let low = self.salt.hash_one((count, 2u8, self.unix_millis()));
        (u128::from(high) << 64) | u128::from(low)
    }
}
