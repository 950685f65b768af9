//! A table or a view as its readers see it: its **result** (the rows at the last settled epoch) and its **change log by epoch**.
//!
//! Ingest publishes into tables, the runtime into views; dataflows, queries, subscriptions and the checkpoint read. Rows are
//! physical. A reader that comes back for more registers: the log then keeps what the reader has not released. Reading at an older
//! epoch is the result minus the log after it, so a reader registers first and then picks its epoch.
//!
//! Invariants: epochs of one relation strictly increase; the result is exactly the sum of everything published; the log holds
//! everything after the slowest reader; the chunks of a snapshot never carry errors or iterations.
//!
//! Deliberately not here: who may read what when (`query`), how views are computed (`runtime`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, Epoch, ErrorRow, RelationId, Weight};

use crate::error::{Error, Result};

mod chunks;
mod clock;
mod consolidate;
mod log;
#[cfg(test)]
mod tests;

use chunks::Chunks;
pub use clock::EpochClock;
pub use consolidate::{consolidate, consolidate_by_iteration, deal, takes_out, without_taken_out};
use log::ChangeLog;
pub use log::{Change, ReaderId};

/// SQLSTATE of the past that is not there any more.
pub const SNAPSHOT_TOO_OLD: &str = "72000";

/// A subscriber that has more rows than this to read is dropped, so that it cannot fill the memory.
pub const SUBSCRIBER_LAG_ROWS_MAX: u64 = 16_000_000;

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// Written by statements.
    Table,
    /// Computed by a dataflow.
    View,
}

/// A table or a maintained view. Shared by `Arc`; every method may be called from any thread.
#[derive(Debug)]
pub struct Relation {
    /// Its id.
    pub id: RelationId,
    /// Its name, for people.
    pub name: String,
    /// Logical schema.
    pub schema: SchemaRef,
    /// Schema of the rows that are published and read.
    pub physical: SchemaRef,
    /// Nothing is ever retracted.
    pub append_only: bool,
    /// Table or view.
    pub kind: RelationKind,
    settled: Arc<EpochClock>,
    /// The clock of all tables, which knows the read points.
    visible: Arc<EpochClock>,
    state: Mutex<State>,
}

/// Keeps the change log after an epoch as long as it lives.
#[derive(Debug)]
pub struct Pin {
    relation: Arc<Relation>,
    reader: ReaderId,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.relation.drop_reader(self.reader);
    }
}

/// The rows of a relation at an epoch.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The epoch.
    pub epoch: Epoch,
    /// Rows with weights, not consolidated: a row may be inserted in one chunk and retracted in another.
    pub chunks: Vec<Arc<Delta>>,
    /// Errors, consolidated.
    pub errors: Errors,
}

#[derive(Debug, Default)]
struct State {
    result: Chunks,
    errors: BTreeMap<ErrorRow, Weight>,
    log: ChangeLog,
    /// How it was before this epoch is not known: it was created or restored then, or nothing tells the epochs before apart.
    known_from: Epoch,
    /// Output of ticks that did not settle; views only.
    unsettled: Chunks,
    unsettled_errors: BTreeMap<ErrorRow, Weight>,
    /// What has been added to it since it was captured last; `None` when it was not, or when it is another buffer since.
    unsettled_since_capture: Option<Vec<Arc<Delta>>>,
    /// Counts the replacements of the result's first chunks, so that two consolidations do not cross.
    replacements: u64,
}

impl Relation {
    /// An empty table. `visible` is the clock that all tables of the engine share.
    pub fn table(id: RelationId, name: &str, schema: SchemaRef, append_only: bool, visible: &Arc<EpochClock>) -> Arc<Self> {
        Self::create(id, name, schema, append_only, RelationKind::Table, Arc::clone(visible), visible)
    }

    /// A view that is not settled at any epoch yet. `visible` is the clock that all tables of the engine share.
    pub fn view(id: RelationId, name: &str, schema: SchemaRef, append_only: bool, visible: &Arc<EpochClock>) -> Arc<Self> {
        Self::create(id, name, schema, append_only, RelationKind::View, EpochClock::at(Epoch(0)), visible)
    }

    fn create(
        id: RelationId,
        name: &str,
        schema: SchemaRef,
        append_only: bool,
        kind: RelationKind,
        settled: Arc<EpochClock>,
        visible: &Arc<EpochClock>,
    ) -> Arc<Self> {
        let physical = physical_schema(&schema);
        let visible = Arc::clone(visible);
        let state = Mutex::new(State { known_from: settled.now(), ..State::default() });
        Arc::new(Self { id, name: name.to_owned(), schema, physical, append_only, kind, settled, visible, state })
    }

    /// Makes the changes of a settled epoch part of the result and of the log, and wakes those who wait.
    ///
    /// # Panics
    /// When the epoch is not later than the last one that was published.
    pub fn publish(&self, epoch: Epoch, deltas: Vec<Arc<Delta>>) {
        let mut state = self.state();
        self.append(&mut state, epoch, deltas);
        // Inside the lock: a snapshot must not see rows of an epoch that the clock has not reached.
        self.settled.advance(epoch);
        self.consolidate_if_wanted(&mut state);
    }

    fn append(&self, state: &mut State, epoch: Epoch, deltas: Vec<Arc<Delta>>) {
        for delta in &deltas {
            debug_assert_eq!(delta.rows.num_columns(), self.physical.fields().len(), "rows of {} are physical", self.name);
            state.result.push(epoch, delta);
            add_errors(&mut state.errors, &delta.errors);
        }
        let settled = if self.kind == RelationKind::Table { Epoch(epoch.0 - 1) } else { self.settled() };
        let (history, is_change) = (self.visible.history(), deltas.iter().any(|d| !d.is_empty()));
        // A change that comes to nothing over several epochs may have been something in between.
        if history == 0 || settled == Epoch(0) || (!is_change && settled.next() < epoch) {
            state.known_from = epoch;
        }
        if is_change {
            state.log.append(settled, epoch, deltas, history);
        } else {
            state.log.keep(epoch, history);
        }
    }

    fn consolidate_if_wanted(&self, state: &mut State) {
        if state.result.wants_consolidation() {
            let length = state.result.len();
            let consolidated = consolidate(&self.physical, &state.result.all());
            state.result.replace_first(length, consolidated);
            state.replacements += 1;
        }
    }

    /// Settled at `epoch`, and nothing that it depends on has changed since it was settled before.
    pub fn advance(&self, epoch: Epoch) {
        let mut state = self.state();
        if self.settled() == Epoch(0) {
            state.known_from = epoch;
        }
        state.log.keep(epoch, self.visible.history());
        self.settled.advance(epoch);
    }

    /// The last settled epoch; for a table, the last epoch that is visible.
    pub fn settled(&self) -> Epoch {
        self.settled.now()
    }

    /// How far a dataflow that has admitted everything up to `after` may admit in one step: what is settled, but not over a read
    /// point. Admitting in steps that this allows makes all views settle at read points exactly, so that one statement can read them
    /// at one epoch.
    pub fn admissible(&self, after: Epoch) -> Epoch {
        self.visible.up_to_read_point(after, || self.settled())
    }

    /// Whether epochs of the past can be read, so that each is to be told from the others.
    pub fn keeps_history(&self) -> bool {
        self.visible.history() > 0
    }

    /// Whether somebody waits to read this relation, or another, at this epoch.
    pub fn is_read_at(&self, epoch: Epoch) -> bool {
        self.visible.is_read_point(epoch)
    }

    /// The last epoch that is visible in tables.
    pub fn visible_epoch(&self) -> Epoch {
        self.visible.now()
    }

    /// Whether the result at `epoch` can be told from later changes; see [`Relation::admissible`].
    pub fn is_exact_at(&self, epoch: Epoch) -> bool {
        self.state().log.is_exact_at(epoch)
    }

    /// Keeps the log after the settled epoch as long as the pin lives.
    pub fn pin(self: &Arc<Self>) -> Pin {
        let reader = self.state().log.register(self.settled(), None);
        Pin { relation: Arc::clone(self), reader }
    }

    /// Returns the settled epoch when it is `epoch` or later.
    ///
    /// # Errors
    /// When the relation is dropped or the engine fails before that.
    pub async fn wait_settled(&self, epoch: Epoch) -> Result<Epoch> {
        self.settled.reach(epoch).await
    }

    /// Ends every wait for this view with `error`: it was dropped, or the engine has failed.
    pub fn end(&self, error: Error) {
        assert_eq!(self.kind, RelationKind::View, "tables share the clock of the engine");
        self.settled.end(error);
    }

    /// The rows at the settled epoch.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_in(&self.state())
    }

    /// The rows at `epoch`.
    ///
    /// # Panics
    /// When the relation is not settled at it, or its log after it is gone: who reads an older epoch must have registered.
    pub fn snapshot_at(&self, epoch: Epoch) -> Snapshot {
        assert!(epoch <= self.settled(), "{} is read at epoch {epoch}, settled at {}", self.name, self.settled());
        self.snapshot_of(&self.state(), epoch)
    }

    fn snapshot_of(&self, state: &State, epoch: Epoch) -> Snapshot {
        let (merged, mut chunks) = state.result.up_to(epoch);
        chunks.extend(state.log.between(epoch, merged).flat_map(|(_, deltas)| deltas).map(|d| {
            let rows = Delta { errors: Vec::new(), iterations: None, ..Delta::clone(d) };
            Arc::new(rows.negated())
        }));
        let mut errors = state.errors.clone();
        for delta in state.log.between(epoch, self.settled()).flat_map(|(_, deltas)| deltas) {
            for (error, weight) in &delta.errors {
                add_errors(&mut errors, &vec![(error.clone(), -weight)]);
            }
        }
        Snapshot { epoch, chunks, errors: errors.into_iter().collect() }
    }

    /// The rows at an epoch of the past, or at the settled one.
    ///
    /// # Errors
    /// When the epoch is too long ago or the relation was not settled at it.
    pub fn snapshot_as_of(&self, epoch: Epoch) -> Result<Snapshot> {
        let state = self.state();
        let oldest = state.known_from.max(state.log.trimmed());
        if epoch < oldest {
            let detail = format!("\"{}\" can be read as of epoch {oldest} and later.", self.name);
            return Err(Error::statement(SNAPSHOT_TOO_OLD, "snapshot too old").with_detail(detail));
        }
        if !state.log.is_exact_at(epoch) {
            let message = format!("materialized view \"{}\" has no rows as of epoch {epoch}", self.name);
            return Err(Error::statement(SNAPSHOT_TOO_OLD, message)
                .with_detail("It took in several epochs at once, since it had not settled for long."));
        }
        Ok(self.snapshot_of(&state, epoch))
    }

    /// The first epoch after this one at which it is another, and the last before at which it is known to be as it was. Who asks has
    /// registered.
    pub fn next_change(&self, after: Epoch) -> Option<(Epoch, Epoch)> {
        self.state().log.next_after(after)
    }

    fn snapshot_in(&self, state: &State) -> Snapshot {
        let errors = state.errors.iter().map(|(e, w)| (e.clone(), *w)).collect();
        Snapshot { epoch: self.settled(), chunks: state.result.all(), errors }
    }

    /// Registers a reader at the settled epoch: from now on the log keeps what comes after it.
    pub fn register_reader(&self) -> (ReaderId, Snapshot) {
        let mut state = self.state();
        let reader = state.log.register(self.settled(), None);
        (reader, self.snapshot_in(&state))
    }

    /// Registers a reader that has read everything up to `position`, which the log must still reach back to (recovery).
    pub fn register_reader_at(&self, position: Epoch) -> ReaderId {
        self.state().log.register(position, None)
    }

    /// Registers a reader that is dropped when it lags more rows than this behind.
    pub fn register_subscriber(&self, lag_rows_max: u64) -> (ReaderId, Snapshot) {
        let mut state = self.state();
        let reader = state.log.register(self.settled(), Some(lag_rows_max));
        (reader, self.snapshot_in(&state))
    }

    /// The changes with `after < epoch <= up_to`, by epoch.
    ///
    /// # Panics
    /// When they are gone: who reads must have registered.
    pub fn changes(&self, after: Epoch, up_to: Epoch) -> Vec<Change> {
        self.state().log.between(after, up_to).cloned().collect()
    }

    /// Whether there are changes with `after < epoch <= up_to`.
    pub fn has_changes(&self, after: Epoch, up_to: Epoch) -> bool {
        self.state().log.between(after, up_to).next().is_some()
    }

    /// The changes after `after` for a subscriber; `None` when it has been dropped because it lagged too far behind.
    pub fn changes_for(&self, reader: ReaderId, after: Epoch) -> Option<(Epoch, Vec<Change>)> {
        let state = self.state();
        let up_to = self.settled();
        state.log.is_registered(reader).then(|| (up_to, state.log.between(after, up_to).cloned().collect()))
    }

    /// The reader needs only what is after `up_to`.
    pub fn release(&self, reader: ReaderId, up_to: Epoch) {
        self.state().log.release(reader, up_to);
    }

    /// The reader needs nothing more.
    pub fn drop_reader(&self, reader: ReaderId) {
        self.state().log.unregister(reader);
    }

    #[cfg(test)]
    /// Rows that the log keeps for its readers.
    pub fn log_rows(&self) -> u64 {
        self.state().log.rows()
    }

    /// Adds the output of a tick that did not settle. `tidied_later`: by [`tidy_unsettled`](Self::tidy_unsettled), since somebody waits here.
    pub fn append_unsettled(&self, deltas: Vec<Arc<Delta>>, tidied_later: bool) {
        let mut state = self.state();
        for delta in &deltas {
            if tidied_later {
                state.unsettled.push_as_it_is(Epoch(0), delta);
            } else {
                state.unsettled.push(Epoch(0), delta);
            }
            add_errors(&mut state.unsettled_errors, &delta.errors);
        }
        if !tidied_later && state.unsettled.wants_consolidation() {
            let chunks = state.unsettled.all();
            state.unsettled.replace_first(chunks.len(), consolidate(&self.physical, &chunks));
        }
        if let Some(fresh) = &mut state.unsettled_since_capture {
            fresh.extend(deltas);
        }
    }

    /// Merges and consolidates the output of ticks that did not settle. More may be appended meanwhile.
    pub fn tidy_unsettled(&self) {
        let state = self.state();
        if state.unsettled.wants_consolidation() {
            let chunks = state.unsettled.all();
            drop(state);
            let consolidated = consolidate(&self.physical, &chunks);
            let mut state = self.state();
            if state.unsettled.begins_with(&chunks) {
                state.unsettled.replace_first(chunks.len(), consolidated);
            }
        } else if let Some(small) = state.unsettled.to_merge() {
            drop(state);
            let merged = Delta::concat(&small);
            self.state().unsettled.replace_small(&small, merged);
        }
    }

    /// Replaces the output of ticks that did not settle.
    pub fn set_unsettled(&self, deltas: Vec<Arc<Delta>>) {
        let mut state = self.state();
        state.unsettled = Chunks::default();
        state.unsettled_errors.clear();
        drop(state);
        self.append_unsettled(deltas, false);
        // A checkpoint holds this.
        self.state().unsettled_since_capture = Some(Vec::new());
    }

    /// Takes the output of the ticks that did not settle, errors included, not consolidated.
    pub fn take_unsettled(&self) -> Vec<Arc<Delta>> {
        let mut state = self.state();
        let chunks = std::mem::take(&mut state.unsettled).all();
        let errors = std::mem::take(&mut state.unsettled_errors);
        state.unsettled_since_capture = None;
        drop(state);
        self.with_errors(chunks, errors)
    }

    /// The output of the ticks that did not settle, errors included, not consolidated: what came since the last capture of this
    /// buffer, or everything when `full` or when this buffer was not captured before. The flag tells whether it is everything.
    pub fn capture_unsettled(&self, full: bool) -> (Vec<Arc<Delta>>, bool) {
        let mut state = self.state();
        if let (Some(fresh), false) = (state.unsettled_since_capture.replace(Vec::new()), full) {
            return (fresh, false);
        }
        let (chunks, errors) = (state.unsettled.all(), state.unsettled_errors.clone());
        drop(state);
        (self.with_errors(chunks, errors), true)
    }

    /// The result with what is not settled yet, for eager reads.
    pub fn snapshot_eager(&self) -> Snapshot {
        let state = self.state();
        let mut snapshot = self.snapshot_in(&state);
        snapshot.chunks.extend(state.unsettled.all());
        let mut errors = state.errors.clone();
        for (error, weight) in &state.unsettled_errors {
            add_errors(&mut errors, &vec![(error.clone(), *weight)]);
        }
        snapshot.errors = errors.into_iter().collect();
        snapshot
    }

    /// Puts back what a checkpoint stored: the result at `settled`, and the log that starts after `log_after`.
    ///
    /// # Panics
    /// When the relation is not empty.
    pub fn restore(&self, settled: Epoch, result: Vec<Arc<Delta>>, log_after: Epoch, log: Vec<Change>) {
        let mut state = self.state();
        assert_eq!(state.result.len(), 0, "{} is restored before anything is published", self.name);
        for delta in &result {
            state.result.push(settled, delta);
            add_errors(&mut state.errors, &delta.errors);
        }
        state.log.restore(log_after, log, self.kind == RelationKind::Table);
        state.known_from = settled;
        self.settled.advance(settled);
    }

    #[cfg(test)]
    /// Consolidates the result, so that each row stands in it once, with a positive weight. Publishing goes on meanwhile.
    pub fn consolidate(&self) {
        let state = self.state();
        if !state.result.has_retractions() {
            return;
        }
        let (chunks, replacements) = (state.result.all(), state.replacements);
        drop(state);
        let consolidated = consolidate(&self.physical, &chunks);
        let mut state = self.state();
        // Small chunks at the end may have been merged meanwhile: then the first chunks are others, and the work is lost.
        if state.result.begins_with(&chunks) && state.replacements == replacements {
            state.result.replace_first(chunks.len(), consolidated);
            state.replacements += 1;
        }
    }

    fn with_errors(&self, mut chunks: Vec<Arc<Delta>>, errors: BTreeMap<ErrorRow, Weight>) -> Vec<Arc<Delta>> {
        if !errors.is_empty() {
            chunks.push(Arc::new(Delta::of_errors(Arc::clone(&self.physical), errors.into_iter().collect())));
        }
        chunks
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes changes of several tables, which belong to one epoch, visible: all of them at once. A table comes once.
///
/// # Panics
/// When there is no table, or the epoch is not later than the last one that was published.
pub fn publish_together(epoch: Epoch, mut changes: Vec<(Arc<Relation>, Vec<Arc<Delta>>)>) {
    // Whoever holds the locks of several tables has taken them in this order.
    changes.sort_by_key(|(table, _)| table.id);
    let clock = &changes.first().expect("an epoch changes some table").0.settled;
    let mut states = Vec::with_capacity(changes.len());
    for (table, deltas) in &changes {
        assert!(Arc::ptr_eq(clock, &table.settled), "tables share the clock of the engine");
        let mut state = table.state();
        table.append(&mut state, epoch, deltas.clone());
        states.push(state);
    }
    clock.advance(epoch);
    for ((table, _), state) in changes.iter().zip(&mut states) {
        table.consolidate_if_wanted(state);
    }
}

fn add_errors(to: &mut BTreeMap<ErrorRow, Weight>, errors: &Errors) {
    for (error, weight) in errors {
        let sum = to.entry(error.clone()).or_insert(0);
        *sum += weight;
        if *sum == 0 {
            to.remove(error);
        }
    }
}
