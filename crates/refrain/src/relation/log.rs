//! The change log of a relation: its changes by epoch, as long as a reader needs them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use refrain_types::{Delta, Epoch};

/// Somebody who reads a change log at its own pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReaderId(u64);

/// The changes of one epoch.
pub type Change = (Epoch, Vec<Arc<Delta>>);

#[derive(Debug)]
struct Reader {
    /// It has read everything up to here.
    position: Epoch,
    /// How many rows it may lag behind before it is dropped; `None` for readers that the log waits for.
    lag_rows_max: Option<u64>,
}

/// Changes by epoch, epochs strictly increasing. Without readers nothing is kept but the history.
#[derive(Debug, Default)]
pub struct ChangeLog {
    entries: VecDeque<Change>,
    /// For each entry, the epoch that was settled before it: its changes are of the epochs after that.
    settled_before: VecDeque<Epoch>,
    /// Rows in all entries.
    rows: u64,
    /// Everything up to here may be gone.
    trimmed: Epoch,
    /// What came after this epoch is kept for those who read the past.
    history_from: Epoch,
    readers: BTreeMap<ReaderId, Reader>,
    last_reader: u64,
}

impl ChangeLog {
    /// Adds the changes of the epochs after `settled` up to `epoch`, and drops the readers that lag too far behind. Of the past so many
    /// epochs are kept.
    pub fn append(&mut self, settled: Epoch, epoch: Epoch, deltas: Vec<Arc<Delta>>, history: u64) {
        assert!(self.entries.back().is_none_or(|(last, _)| *last < epoch), "epochs of a change log strictly increase");
        if self.readers.is_empty() && history == 0 {
            self.entries.clear();
            self.settled_before.clear();
            (self.rows, self.trimmed) = (0, epoch);
            return;
        }
        self.rows += rows(&deltas);
        self.entries.push_back((epoch, deltas));
        self.settled_before.push_back(settled);
        self.drop_laggards();
        self.keep(epoch, history);
    }

    /// Of the past before `epoch` so many epochs are kept.
    pub fn keep(&mut self, epoch: Epoch, history: u64) {
        self.history_from = Epoch(epoch.0.saturating_sub(history));
        self.trim();
    }

    /// Changes that are not later than this may be gone.
    pub fn trimmed(&self) -> Epoch {
        self.trimmed
    }

    /// Whether no entry holds changes both of epochs up to `epoch` and of later ones.
    pub fn is_exact_at(&self, epoch: Epoch) -> bool {
        let next = self.entries.partition_point(|(e, _)| *e <= epoch);
        self.settled_before.get(next).is_none_or(|before| *before >= epoch)
    }

    /// The changes with `after < epoch <= up_to`.
    ///
    /// # Panics
    /// When they are not kept any more: who reads must have registered.
    pub fn between(&self, after: Epoch, up_to: Epoch) -> impl DoubleEndedIterator<Item = &Change> {
        assert!(after >= self.trimmed || after >= up_to, "changes after epoch {after} are gone: trimmed to {}", self.trimmed);
        let first = self.entries.partition_point(|(epoch, _)| *epoch <= after);
        let end = self.entries.partition_point(|(epoch, _)| *epoch <= up_to);
        self.entries.range(first..end.max(first))
    }

    /// The first change after this epoch, and the epoch that was settled before it.
    pub fn next_after(&self, epoch: Epoch) -> Option<(Epoch, Epoch)> {
        let next = self.entries.partition_point(|(e, _)| *e <= epoch);
        Some((*self.settled_before.get(next)?, self.entries.get(next)?.0))
    }

    /// A reader that has read everything up to `position`.
    pub fn register(&mut self, position: Epoch, lag_rows_max: Option<u64>) -> ReaderId {
        assert!(position >= self.trimmed, "changes after epoch {position} are gone: trimmed to {}", self.trimmed);
        self.last_reader += 1;
        let id = ReaderId(self.last_reader);
        self.readers.insert(id, Reader { position, lag_rows_max });
        id
    }

    /// Whether the reader is still registered.
    pub fn is_registered(&self, reader: ReaderId) -> bool {
        self.readers.contains_key(&reader)
    }

    /// The reader needs only what is after `position`.
    pub fn release(&mut self, reader: ReaderId, position: Epoch) {
        if let Some(reader) = self.readers.get_mut(&reader) {
            reader.position = reader.position.max(position);
            self.trim();
        }
    }

    /// The reader needs nothing more.
    pub fn unregister(&mut self, reader: ReaderId) {
        self.readers.remove(&reader);
        self.trim();
    }

    #[cfg(test)]
    /// Rows that are kept.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Replaces the content: recovery puts back what a checkpoint stored. `trimmed`: where the entries start. With `by_epoch` each entry is of
    /// one epoch; else it may be of all those since the entry before.
    pub fn restore(&mut self, trimmed: Epoch, entries: Vec<Change>, by_epoch: bool) {
        assert!(self.readers.is_empty(), "a log is restored before anybody reads it");
        self.rows = entries.iter().map(|(_, deltas)| rows(deltas)).sum();
        let mut before = trimmed;
        let settled_before = entries.iter().map(|(epoch, _)| {
            let last = std::mem::replace(&mut before, *epoch);
            if by_epoch { Epoch(epoch.0 - 1) } else { last }
        });
        self.settled_before = settled_before.collect();
        self.history_from = entries.last().map_or(trimmed, |(epoch, _)| *epoch);
        self.entries = entries.into();
        self.trimmed = trimmed;
    }

    fn trim(&mut self) {
        let Some((last, _)) = self.entries.back() else { return };
        let slowest = self.readers.values().map(|r| r.position).min().unwrap_or(*last).min(self.history_from);
        while self.entries.front().is_some_and(|(epoch, _)| *epoch <= slowest) {
            if let Some((_, deltas)) = self.entries.pop_front() {
                self.rows -= rows(&deltas);
                self.settled_before.pop_front();
            }
        }
        self.trimmed = self.trimmed.max(slowest);
    }

    fn drop_laggards(&mut self) {
        let limit = self.readers.values().filter_map(|r| r.lag_rows_max).min();
        if limit.is_none_or(|limit| self.rows <= limit) {
            return;
        }
        let entries = &self.entries;
        let behind = |position: Epoch| entries.iter().filter(|(epoch, _)| *epoch > position).map(|(_, d)| rows(d)).sum::<u64>();
        let before = self.readers.len();
        self.readers.retain(|_, r| r.lag_rows_max.is_none_or(|max| behind(r.position) <= max));
        if self.readers.len() < before {
            self.trim();
        }
    }
}

fn rows(deltas: &[Arc<Delta>]) -> u64 {
    deltas.iter().map(|d| d.num_rows() as u64).sum()
}
