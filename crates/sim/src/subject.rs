//! The engine of a case: opened, driven through a session, ended and recovered. The only file here that touches it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use refrain::{CheckpointInfo, Engine, Error, Outcome, Session, display};
use tokio::task::JoinHandle;

use crate::case::{Case, End, Store};
use crate::query::Table;
use crate::value::{Row, Type, Value};

/// Longest time that a statement may take. One that takes longer has failed: no case is that large.
const STATEMENT_TIMEOUT: &str = "SET statement_timeout = '60s'";

/// Numbers stores in memory, each of which is used once.
static STORES: AtomicU64 = AtomicU64::new(0);

/// Rows as the engine displays them, each with how often it comes.
pub(crate) type Bag = BTreeMap<Vec<Option<String>>, usize>;

/// What happened to an engine.
#[derive(Clone, Copy, Default, Debug)]
pub struct Events {
    /// Checkpoints that have committed.
    pub checkpoints: usize,
    /// Those of them that caught a recursion with rows in flight.
    pub in_flight: usize,
    /// Times that it was ended and opened again.
    pub restarts: usize,
}

/// An engine that can be ended and opened again.
pub(crate) struct Subject {
    location: String,
    /// Held for as long as the engine needs it.
    _directory: Option<tempfile::TempDir>,
    settings: Vec<String>,
    engine: Option<(Engine, Session)>,
    checkpoint: Option<JoinHandle<Result<CheckpointInfo, Error>>>,
    pub(crate) events: Events,
}

impl Subject {
    /// Opens the engine of a case on an empty store, with the case's tables.
    pub(crate) async fn open(case: &Case) -> Result<Self, Error> {
        let directory = (case.store == Store::Directory).then(|| tempfile::tempdir().expect("a temporary directory can be made"));
        let location = match (&directory, case.store) {
            (Some(directory), _) => directory.path().to_string_lossy().into_owned(),
            (None, Store::Private) => "memory://".to_owned(),
            (None, _) => format!("memory://sim-{}", STORES.fetch_add(1, Ordering::Relaxed)),
        };
        let settings = std::iter::once(STATEMENT_TIMEOUT.to_owned()).chain(case.settings.iter().cloned()).collect();
        let events = Events::default();
        let mut subject = Self { location, _directory: directory, settings, engine: None, checkpoint: None, events };
        subject.start(case.workers).await?;
        for table in &case.tables {
            subject.execute(&crate::sql::create_table(table)).await?;
        }
        Ok(subject)
    }

    async fn start(&mut self, workers: usize) -> Result<(), Error> {
        let engine = Engine::builder().store(self.location.clone()).workers(workers).open().await?;
        let session = engine.session();
        for setting in &self.settings {
            session.execute(setting).await?;
        }
        self.engine = Some((engine, session));
        Ok(())
    }

    fn session(&self) -> &Session {
        &self.engine.as_ref().expect("a subject is open between calls").1
    }

    /// Inserts rows, as a program does.
    pub(crate) async fn insert(&self, table: &Table, rows: &[Row]) -> Result<(), Error> {
        self.session().insert(&table.name, batch(table, rows)).await.map(drop)
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, sql: &str) -> Result<Outcome, Error> {
        self.session().execute(sql).await
    }

    /// Deletes one row for each of these.
    pub(crate) async fn delete(&self, table: &Table, rows: &[Row]) -> Result<(), Error> {
        self.session().delete(&table.name, batch(table, rows)).await.map(drop)
    }

    /// The rows of a query, read when all that it reads is settled.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Bag, Error> {
        let mut bag = Bag::new();
        for row in self.session().query(sql).await?.iter().flat_map(display::rows) {
            *bag.entry(row).or_default() += 1;
        }
        Ok(bag)
    }

    /// Takes a checkpoint, and waits for it or lets it run.
    pub(crate) async fn checkpoint(&mut self, wait: bool) -> Result<(), Error> {
        self.finish_checkpoint().await?;
        let session = self.session().clone();
        self.checkpoint = Some(tokio::spawn(async move { session.checkpoint().await }));
        if wait { self.finish_checkpoint().await } else { Ok(()) }
    }

    /// Waits for the checkpoint that runs, if one does.
    async fn finish_checkpoint(&mut self) -> Result<(), Error> {
        if let Some(running) = self.checkpoint.take() {
            let info = running.await.expect("a checkpoint does not panic")?;
            self.events.checkpoints += 1;
            self.events.in_flight += usize::from(info.loop_log_rows > 0);
        }
        Ok(())
    }

    /// Ends the engine, whatever it is doing, and recovers it from its store.
    pub(crate) async fn restart(&mut self, workers: usize, end: End) -> Result<(), Error> {
        let (engine, session) = self.engine.take().expect("a subject is open between calls");
        drop(session);
        // Nobody waits any longer for a checkpoint that is cut off.
        if let Some(running) = self.checkpoint.take() {
            running.abort();
        }
        if end == End::Closed {
            engine.close().await?;
        }
        drop(engine);
        self.events.restarts += 1;
        self.start(workers).await
    }

    /// Ends the engine for good.
    pub(crate) async fn close(mut self) -> Result<Events, Error> {
        self.finish_checkpoint().await?;
        let (engine, _) = self.engine.take().expect("a subject is open between calls");
        engine.close().await?;
        Ok(self.events)
    }
}

/// Rows as a batch of the table's columns.
fn batch(table: &Table, rows: &[Row]) -> RecordBatch {
    let columns = table.columns.iter().enumerate().map(|(at, column)| {
        let values = rows.iter().map(|row| row[at]);
        let (data_type, array): (_, ArrayRef) = match column.data_type {
            Type::Int => {
                let numbers = values.map(|value| match value {
                    Value::Int(number) => Some(i32::try_from(number).expect("the numbers of rows are small")),
                    _ => None,
                });
                (DataType::Int32, Arc::new(numbers.collect::<Int32Array>()))
            }
            Type::Text => {
                let texts = values.map(|value| match value {
                    Value::Text(text) => Some(text),
                    _ => None,
                });
                (DataType::Utf8, Arc::new(texts.collect::<StringArray>()))
            }
        };
        (Field::new(column.name, data_type, true), array)
    });
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("the columns are the schema's")
}
