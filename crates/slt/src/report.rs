//! What a run has found.

use std::fmt;
use std::path::PathBuf;

use crate::{Failure, Mode};

/// One file in one mode.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// The mode.
    pub mode: Mode,
    /// Statements and queries that were run.
    pub records: usize,
    /// What was not as the file says.
    pub failures: Vec<Failure>,
}

impl FileReport {
    /// Whether everything was as the file says.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_green() { "ok" } else { "FAILED" };
        write!(f, "{word:<6} {:<10} {} ({} records)", self.mode.name(), self.path.display(), self.records)?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n{failure}"))
    }
}

/// Every file in every mode.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which they were run.
    pub files: Vec<FileReport>,
}

impl Report {
    /// Whether every file was green in every mode.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.files.iter().all(FileReport::is_green)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.files.iter().filter(|file| !file.is_green()).count();
        let records = self.files.iter().map(|file| file.records).sum::<usize>();
        write!(f, "{} runs, {records} records, {failed} failed", self.files.len())
    }
}
