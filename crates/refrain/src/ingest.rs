//! How a statement's changes become durable and visible: one sequence of epochs for the whole engine.
//!
//! ```text
//! validate ─▶ take a turn ─▶ assign the epoch, append to the input log ─▶ durable ─▶ publish in order ─▶ pump the dataflows ─▶ acknowledge
//! ```
//! Turns are taken one at a time, but a turn ends with the append: statements whose records wait for the disk share an object of the
//! log. Who reads before it writes (`DELETE`, `UPDATE`, DDL) takes an *exclusive* turn, which begins when everything appended before
//! is visible.
//!
//! Invariants: epochs are published in order, and only when they are durable; a statement that is cancelled after its append is
//! carried out all the same, by a task of its own.
//!
//! A store that fails is tried again until it answers (`refrain_checkpoint::InputLog`). Statements wait for it as long as the setting
//! `store_wait_ms` says, counted from the first write that it has not taken. Then those that are appended fail without anybody knowing
//! whether they will take effect, and those that are not change nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use refrain_checkpoint::segment::WEIGHT_COLUMN;
use refrain_checkpoint::{Appended, InputChange, InputLog, InputRecord};
use refrain_sql::catalog::Relation as Entry;
use refrain_types::environment::timeout;
use refrain_types::{Delta, Epoch};
use tokio::sync::OwnedMutexGuard;

use crate::constraints::Meetings;
use crate::database::Database;
use crate::engine::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::relation::{Relation, publish_together};

/// From one look at a store that does not answer to the next.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The right to append.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// The way in.
#[derive(Debug)]
pub(crate) struct Ingest {
    /// `None` where nothing is written.
    log: Option<InputLog>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Appended, not yet published; epochs increase.
    pending: Mutex<VecDeque<Pending>>,
}

#[derive(Debug)]
struct Pending {
    epoch: Epoch,
    changes: Vec<(Arc<Relation>, Vec<Arc<Delta>>)>,
}

/// A store that does not take what is to be written.
#[derive(Debug)]
struct Stuck {
    age: Duration,
    error: Option<refrain_checkpoint::Error>,
}

impl Stuck {
    fn error(&self, code: &'static str) -> Error {
        let age = self.age.as_secs_f64();
        let why = self.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        Error::new(ErrorKind::Io, code, format!("the store has not answered for {age:.1} s{why}"))
    }

    /// For a statement that was not appended.
    fn nothing_changed(self) -> Error {
        self.error("58030").with_detail("The statement has changed nothing.")
    }

    /// For an engine that ends.
    fn lost(&self) -> Error {
        self.error("58030")
            .with_detail("Whether the statements that wait for it take effect is known when the store is opened again.")
    }

    /// For a statement that was.
    fn unknown(self) -> Error {
        self.error("40003")
            .with_detail("The statement takes effect as soon as the store answers, unless the engine ends before that.")
            .with_hint("How long statements wait for the store is the setting store_wait_ms.")
    }
}

/// What a statement does to a table.
#[derive(Debug)]
pub(crate) struct TableChange {
    /// The table.
    pub table: Arc<Relation>,
    /// Logical rows for the input log, with a weight column where the weights are not all 1.
    pub logged: Vec<RecordBatch>,
    /// The same, physical.
    pub deltas: Vec<Arc<Delta>>,
}

impl TableChange {
    /// A change by rows of the table's schema, each batch with its delta.
    pub fn of_rows(table: &Arc<Relation>, rows: Vec<(RecordBatch, Arc<Delta>)>) -> Self {
        let table = Arc::clone(table);
        let is_insertion = |delta: &Delta| (0..delta.num_rows()).all(|i| delta.weight(i) == 1);
        if rows.iter().all(|(_, delta)| is_insertion(delta)) {
            let (logged, deltas) = rows.into_iter().unzip();
            return Self { table, logged, deltas };
        }
        let mut fields = table.schema.fields().to_vec();
        fields.push(Arc::new(Field::new(WEIGHT_COLUMN, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        let (logged, deltas): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let weights = deltas.iter().flat_map(|d| (0..d.num_rows()).map(|i| d.weight(i))).collect::<Vec<_>>();
        let rows = concat_batches(&table.schema, &logged).expect("rows of one table have one schema");
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(weights.clone())));
        let logged = RecordBatch::try_new(schema, columns).expect("a column was added to the rows and to the schema");
        // Deleted and inserted rows are one delta: a reader sees the statement as a whole.
        let rows = concat_batches(&table.physical, deltas.iter().map(|d| &d.rows)).expect("rows of one table have one schema");
        Self { table, logged: vec![logged], deltas: vec![Arc::new(Delta::weighted(rows, weights))] }
    }

    /// What is logged, and what is published.
    fn split(self) -> (InputChange, (Arc<Relation>, Vec<Arc<Delta>>)) {
        (InputChange::Rows { relation: self.table.id, batches: self.logged }, (self.table, self.deltas))
    }
}

impl Ingest {
    /// Appends to this log; without one nothing comes in.
    pub fn new(log: Option<InputLog>) -> Self {
        Self { log, turn: Arc::default(), pending: Mutex::default() }
    }

    /// Statements that wait for the store wait in vain from now on.
    pub fn abandon(&self) {
        if let Some(log) = &self.log {
            log.abandon();
        }
    }

    fn append(&self, changes: impl IntoIterator<Item = InputChange>, _turn: &Turn) -> Result<(Epoch, Appended)> {
        let log = self.log.as_ref().ok_or_else(|| Error::engine("an engine that only reads has been given something to write"))?;
        let epoch = log.next_epoch();
        let records = changes.into_iter().map(|change| InputRecord { epoch, change }).collect::<Vec<_>>();
        let appended = log.append(&records)?;
        Ok((epoch, appended))
    }

    /// All rows of a table with what is appended and not visible yet. Who asks has the turn.
    fn rows(&self, table: &Arc<Relation>) -> Vec<Arc<Delta>> {
        // What is published leaves `pending` under this lock.
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = pending.iter().flat_map(|p| &p.changes).filter(|(changed, _)| changed.id == table.id);
        let waiting = waiting.flat_map(|(_, deltas)| deltas.iter().cloned()).collect::<Vec<_>>();
        table.snapshot().chunks.into_iter().chain(waiting).collect()
    }
}

impl Shared {
    /// That an engine writes, and does not only show a checkpoint. `what` is what a statement is called.
    pub fn check_writes(&self, what: &str) -> Result<()> {
        if self.ingest.log.is_some() {
            return Ok(());
        }
        Err(Error::statement("25006", format!("cannot execute {what} in a read-only transaction"))
            .with_hint("The engine shows a checkpoint as it was. Fork the checkpoint to go on from it."))
    }

    /// Waits for a turn.
    pub async fn turn(&self) -> Result<Turn> {
        self.unless_stuck(Arc::clone(&self.ingest.turn).lock_owned()).await.map_err(Stuck::nothing_changed)
    }

    /// Waits for a turn, and for everything that was appended before to be visible.
    pub async fn exclusive_turn(&self) -> Result<Turn> {
        self.unless_stuck(self.exclusive_turn_of_any_age()).await.map_err(Stuck::nothing_changed)?
    }

    /// The exclusive turn of who ends the engine; none when the engine has failed.
    pub async fn last_turn(&self) -> Result<Option<Turn>> {
        match self.unless_stuck(self.exclusive_turn_of_any_age()).await {
            Ok(turn) => Ok(turn.ok()),
            Err(stuck) => Err(stuck.lost()),
        }
    }

    /// An exclusive turn, however long the store takes.
    pub async fn exclusive_turn_of_any_age(&self) -> Result<Turn> {
        let turn = Arc::clone(&self.ingest.turn).lock_owned().await;
        let last = self.ingest.pending.lock().unwrap_or_else(PoisonError::into_inner).back().map(|p| p.epoch);
        if let Some(last) = last {
            self.visible.reach(last).await?;
        }
        Ok(turn)
    }

    /// Waits, but not for a store that has not answered for longer than the setting says.
    async fn unless_stuck<T>(&self, wait: impl Future<Output = T>) -> Result<T, Stuck> {
        let mut wait = pin!(wait);
        // Without a timer where there is nothing to wait for.
        if let Poll::Ready(done) = futures::poll!(&mut wait) {
            return Ok(done);
        }
        loop {
            if let Some(done) = timeout(&*self.environment, LOOK_EVERY, &mut wait).await {
                return Ok(done);
            }
            let write = self.ingest.log.as_ref().and_then(InputLog::stuck);
            let Some(write) = write else { continue };
            let age = self.environment.monotonic().saturating_sub(write.since);
            if age >= self.settings().store_wait {
                return Err(Stuck { age, error: write.error });
            }
        }
    }

    /// Writes changes of tables as one epoch. Returns when it is durable and visible.
    ///
    /// # Errors
    /// When a table is gone, or two rows of it would have one key; nothing has changed then.
    pub async fn write(self: &Arc<Self>, turn: Turn, changes: Vec<TableChange>) -> Result<()> {
        self.check_alive()?;
        let database = self.database();
        for (i, change) in changes.iter().enumerate() {
            let admitted = entry_of(&database, &change.table)
                .and_then(|entry| self.keys.admit(entry, || self.ingest.rows(&change.table), &change.deltas, &self.dictionary));
            if let Err(error) = admitted {
                changes[..i].iter().for_each(|change| self.keys.forget(change.table.id));
                return Err(error);
            }
        }
        let tables = changes.iter().map(|change| change.table.id).collect::<Vec<_>>();
        let (records, changes) = changes.into_iter().map(TableChange::split).unzip::<_, _, Vec<_>, Vec<_>>();
        let appended = self.ingest.append(records, &turn);
        let (epoch, appended) = appended.inspect_err(|_| tables.iter().for_each(|table| self.keys.forget(*table)))?;
        self.ingest.pending.lock().unwrap_or_else(PoisonError::into_inner).push_back(Pending { epoch, changes });
        drop(turn);
        self.finish(appended, move |shared| shared.publish_up_to(epoch)).await
    }

    /// Whether the keys of a table would hold with these changes, of which nothing is written.
    ///
    /// # Errors
    /// As [`Shared::write`].
    pub fn check_keys(&self, _turn: &Turn, table: &Arc<Relation>, changes: &[Arc<Delta>]) -> Result<()> {
        let database = self.database();
        self.keys.check(entry_of(&database, table)?, || self.ingest.rows(table), changes, &self.dictionary)
    }

    /// Which rows for a table have one of these of its keys in common with a row of it, or with one before them. `uncommitted` are changes
    /// of the table that count as if they had been written.
    ///
    /// # Errors
    /// `21000` where rows are to be updated, and one of these would be; `23505` where the keys do not hold with what is uncommitted.
    pub fn meet(
        &self,
        _turn: &Turn,
        table: &Arc<Relation>,
        (rows, uncommitted): (&Delta, &[Arc<Delta>]),
        keys: &[usize],
        update: bool,
    ) -> Result<Meetings> {
        let database = self.database();
        let entry = entry_of(&database, table)?;
        self.keys.meet(entry, || self.ingest.rows(table), (rows, uncommitted), (keys, update), &self.dictionary)
    }

    /// Writes a change of the catalog, and carries it out when it is durable. The turn, an exclusive one, ends after that.
    pub async fn write_ddl(
        self: &Arc<Self>,
        turn: Turn,
        json: String,
        apply: impl FnOnce(&Arc<Self>, Epoch) + Send + 'static,
    ) -> Result<()> {
        self.check_alive()?;
        let (epoch, appended) = self.ingest.append([InputChange::Ddl(json)], &turn)?;
        let carry_out = move |shared: &Arc<Self>| {
            apply(shared, epoch);
            drop(turn);
        };
        self.finish(appended, carry_out).await
    }

    /// Waits until an append is durable, then acts. In a store that is durable at once no task is spawned.
    async fn finish(self: &Arc<Self>, mut appended: Appended, act: impl FnOnce(&Arc<Self>) + Send + 'static) -> Result<()> {
        if let Poll::Ready(result) = futures::poll!(&mut appended) {
            return self.act_if_durable(result, act);
        }
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move {
            let result = appended.await;
            shared.act_if_durable(result, act)
        });
        let done = self.unless_stuck(task).await.map_err(Stuck::unknown)?;
        done.unwrap_or_else(|_| Err(Error::engine("the task that publishes a statement has stopped")))
    }

    fn act_if_durable(self: &Arc<Self>, result: refrain_checkpoint::Result<()>, act: impl FnOnce(&Arc<Self>)) -> Result<()> {
        match result {
            Ok(()) => act(self),
            Err(error) => {
                // No later epoch may pass this one, so whoever waits for one waits in vain.
                let error = Error::from(error);
                self.visible.end(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Publishes what is durable, in order.
    fn publish_up_to(&self, durable: Epoch) {
        let mut pending = self.ingest.pending.lock().unwrap_or_else(PoisonError::into_inner);
        while pending.front().is_some_and(|p| p.epoch <= durable) {
            if let Some(next) = pending.pop_front() {
                publish_together(next.epoch, next.changes);
            }
        }
        drop(pending);
        self.runtime.pump();
    }
}

/// What the catalog has of a table.
fn entry_of<'a>(database: &'a Database, table: &Relation) -> Result<&'a Entry> {
    let entry = database.catalog.get(table.id).filter(|_| database.relations.contains_key(&table.id));
    entry.ok_or_else(|| Error::statement("42P01", format!("relation \"{}\" does not exist", table.name)))
}
