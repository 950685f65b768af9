//! What a caller learns about a checkpoint.

/// A checkpoint that has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// Its id.
    pub id: u64,
    /// The epoch of the input that it holds.
    pub epoch: u64,
    /// When it was begun, milliseconds since 1970-01-01 UTC.
    pub started_unix_ms: u64,
    /// How long it took from its beginning to its commit.
    pub duration_ms: u64,
    /// Of that, until everything had been captured.
    pub capture_ms: u64,
    /// From then on, until everything had been uploaded.
    pub upload_ms: u64,
    /// From then on, until the manifest was known to be in the store.
    pub commit_ms: u64,
    /// Bytes written for it.
    pub bytes: u64,
    /// Rows of recursions that were caught in flight.
    pub loop_log_rows: u64,
    /// The longest time for which a recursion that was going on stood still for it, microseconds.
    pub pause_us: u64,
}

/// A checkpoint that is over, is being taken, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckpointRecord {
    Committed(CheckpointInfo),
    /// It was given up.
    Aborted {
        started_unix_ms: u64,
        duration_ms: u64,
        pause_us: u64,
        reason: String,
    },
    /// It is being taken.
    Running {
        started_unix_ms: u64,
        duration_ms: u64,
        /// In words.
        awaited: String,
    },
    /// It is wanted, and does not begin yet.
    Waiting {
        /// In words.
        awaited: String,
    },
}
