//! The engine of a case: opened, driven through a session, ended and recovered. The only file here that runs statements.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use refrain::{CheckpointInfo, Engine, Error, ErrorKind, Outcome, Session, display};
use tokio::task::JoinHandle;

use crate::case::{Case, Contents, End, Step, Store, present};
use crate::query::Table;
use crate::value::{Row, Type, Value};
use crate::world::World;

/// Longest time that a statement may take. One that takes longer has failed: no case is that large.
const STATEMENT_TIMEOUT: &str = "SET statement_timeout = '60s'";

/// An engine is opened so often at most where the store fails now and then.
const TRIES: usize = 100;

/// Numbers stores in memory, each of which is used once.
static STORES: AtomicU64 = AtomicU64::new(0);

/// Rows as the engine displays them, each with how often it comes.
pub(crate) type Bag = BTreeMap<Vec<Option<String>>, usize>;

/// What happened to an engine.
#[derive(Clone, Copy, Default, Debug)]
pub struct Events {
    /// Checkpoints that have committed. Of those that nobody asked for only the last engine's are counted, in a world.
    pub checkpoints: usize,
    /// Those of them that caught a recursion with rows in flight.
    pub in_flight: usize,
    /// Checkpoints that were given up, since the store failed.
    pub aborted: usize,
    /// Statements in the middle of which it was ended.
    pub interrupted: usize,
    /// Times that it was ended and opened again.
    pub restarts: usize,
    /// Times that a checkpoint was opened to be read.
    pub past: usize,
    /// Looks at what was seen before.
    pub again: usize,
}

/// An engine that can be ended and opened again.
pub(crate) struct Subject {
    location: String,
    world: Option<World>,
    /// Held for as long as the engine needs it.
    _directory: Option<tempfile::TempDir>,
    settings: Vec<String>,
    engine: Option<(Engine, Session)>,
    checkpoint: Option<JoinHandle<Result<CheckpointInfo, Error>>>,
    pub(crate) events: Events,
    /// What had happened when the engine was opened.
    events_before: Events,
}

impl Subject {
    /// Opens the engine of a case on an empty store, with the case's tables.
    pub(crate) async fn open(case: &Case, world: Option<&World>) -> Result<Self, Error> {
        let directory = (case.store == Store::Directory && world.is_none())
            .then(|| tempfile::tempdir().expect("a temporary directory can be made"));
        let location = match (&directory, case.store) {
            (Some(directory), _) => directory.path().to_string_lossy().into_owned(),
            (None, Store::Private) => "memory://".to_owned(),
            (None, _) => format!("memory://sim-{}", STORES.fetch_add(1, Ordering::Relaxed)),
        };
        let settings = std::iter::once(STATEMENT_TIMEOUT.to_owned()).chain(case.settings.iter().cloned()).collect();
        let events = Events::default();
        let world = world.cloned();
        let (engine, checkpoint, events_before) = (None, None, events);
        let mut subject = Self { location, world, _directory: directory, settings, engine, checkpoint, events, events_before };
        subject.start(case.workers).await?;
        for table in &case.tables {
            subject.execute(&crate::sql::create_table(table)).await?;
        }
        if let Some(world) = &subject.world {
            world.begin();
        }
        Ok(subject)
    }

    async fn start(&mut self, workers: usize) -> Result<(), Error> {
        let engine = match &self.world {
            None => Engine::builder().store(self.location.clone()).workers(workers).open().await?,
            Some(world) => Self::open_in(world, workers).await?,
        };
        let session = engine.session();
        for setting in &self.settings {
            session.execute(setting).await?;
        }
        self.engine = Some((engine, session));
        self.events_before = self.events;
        Ok(())
    }

    /// Opens an engine in a world whose store may fail: then it is opened again, as somebody would.
    async fn open_in(world: &World, workers: usize) -> Result<Engine, Error> {
        let mut failed = None;
        for _ in 0..TRIES {
            let builder = Engine::builder().object_store(world.store()).environment(Arc::new(world.clone()));
            match builder.workers(workers).open().await {
                Ok(engine) => return Ok(engine),
                Err(error) if !world.has_faults() => return Err(error),
                Err(error) => {
                    world.note(format_args!("not opened: {}", error.message()));
                    failed = Some(error);
                }
            }
        }
        Err(failed.expect("it was tried"))
    }

    pub(crate) fn session(&self) -> &Session {
        &self.engine.as_ref().expect("a subject is open between calls").1
    }

    /// Runs a statement.
    pub(crate) async fn execute(&self, sql: &str) -> Result<Outcome, Error> {
        self.session().execute(sql).await
    }

    /// The rows of a query, read when all that it reads is settled.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Bag, Error> {
        rows(self.session(), sql).await
    }

    /// The epoch that is visible now.
    pub(crate) async fn epoch(&self) -> Result<String, Error> {
        let rows = self.session().query("SHOW epoch").await?;
        Ok(rows.iter().flat_map(display::rows).flatten().flatten().next().expect("SHOW has a row"))
    }

    /// The checkpoints that its store keeps.
    pub(crate) async fn kept(&self) -> Result<Vec<u64>, Error> {
        let report = refrain::inspect::inspect(&self.location).await?;
        Ok(report.checkpoints.iter().filter(|checkpoint| checkpoint.fence_of.is_none()).map(|checkpoint| checkpoint.id.0).collect())
    }

    /// Opens a checkpoint to be read, beside the engine.
    pub(crate) async fn past(&mut self, checkpoint: u64) -> Result<Past, Error> {
        self.events.past += 1;
        let engine = Engine::builder().store(self.location.clone()).workers(2).at_checkpoint(checkpoint).open().await?;
        let session = engine.session();
        session.execute(STATEMENT_TIMEOUT).await?;
        Ok(Past { session, _engine: engine })
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
            let info = match running.await.expect("a checkpoint does not panic") {
                Ok(info) => info,
                // What it would have held the next one holds.
                Err(error) if error.kind() == ErrorKind::Io && self.world.as_ref().is_some_and(World::has_faults) => {
                    self.events.aborted += 1;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            self.events.checkpoints += 1;
            self.events.in_flight += usize::from(info.loop_log_rows > 0);
        }
        Ok(())
    }

    /// Counts all checkpoints of this engine, asked for or not.
    async fn count_checkpoints(&mut self) -> Result<(), Error> {
        let committed = self.rows("SELECT loop_log_rows > 0 FROM refrain.checkpoints WHERE status = 'committed'").await?;
        let in_flight = committed.get(&[Some("t".to_owned())][..]).copied().unwrap_or_default();
        self.events.checkpoints = self.events_before.checkpoints + committed.values().sum::<usize>();
        self.events.in_flight = self.events_before.in_flight + in_flight;
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
            let closed = engine.close().await;
            if self.world.as_ref().is_none_or(|world| !world.has_faults()) {
                closed?;
            }
        }
        drop(engine);
        self.events.restarts += 1;
        self.start(workers).await
    }

    /// Ends the engine for good.
    pub(crate) async fn close(mut self) -> Result<Events, Error> {
        self.finish_checkpoint().await?;
        if self.world.is_some() {
            self.count_checkpoints().await?;
        }
        let (engine, _) = self.engine.take().expect("a subject is open between calls");
        let closed = engine.close().await;
        if self.world.as_ref().is_none_or(|world| !world.has_faults()) {
            closed?;
        }
        Ok(self.events)
    }
}

/// A checkpoint that has been opened to be read.
pub(crate) struct Past {
    session: Session,
    _engine: Engine,
}

impl Past {
    /// The rows of a query, read when all that it reads is settled.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Bag, Error> {
        rows(&self.session, sql).await
    }

    /// Whether the view had been created.
    pub(crate) async fn has_the_view(&self) -> bool {
        self.session.execute("EXPLAIN SELECT * FROM v").await.is_ok()
    }
}

async fn rows(session: &Session, sql: &str) -> Result<Bag, Error> {
    let mut bag = Bag::new();
    for row in session.query(sql).await?.iter().flat_map(display::rows) {
        *bag.entry(row).or_default() += 1;
    }
    Ok(bag)
}

/// A change, as a program makes it.
pub(crate) async fn change(session: Session, case: Arc<Case>, number: usize, contents: Contents) -> Result<(), Error> {
    match &case.steps[number] {
        Step::Insert(table, rows) => {
            let table = &case.tables[*table];
            session.insert(&table.name, batch(table, rows)).await.map(drop)
        }
        Step::DeleteRows(of, rows) => {
            let (table, rows) = (&case.tables[*of], present(rows, &contents[*of]));
            if rows.is_empty() { Ok(()) } else { session.delete(&table.name, batch(table, &rows)).await.map(drop) }
        }
        step => session.execute(&case.step_text(step)).await.map(drop),
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
