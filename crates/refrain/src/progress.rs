//! How far something long is, for whoever shows it.

use std::sync::Arc;

/// How far a `COPY`, or the recovery of what is in a store, is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are read.
    pub bytes: u64,
    /// Bytes of all that is to be read.
    pub bytes_total: u64,
    /// Rows that are read.
    pub rows: u64,
}

impl Progress {
    pub(crate) fn new(bytes: u64, bytes_total: u64, rows: u64) -> Self {
        Self { bytes, bytes_total, rows }
    }
}

/// Who wants to know.
#[derive(Clone)]
pub(crate) struct ProgressCallback(Arc<dyn Fn(Progress) + Send + Sync>);

impl ProgressCallback {
    pub fn new(callback: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    pub fn report(&self, progress: Progress) {
        (self.0)(progress);
    }
}

impl std::fmt::Debug for ProgressCallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProgressCallback")
    }
}
