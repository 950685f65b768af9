//! The engine: what all sessions share, how it is opened and closed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use object_store::ObjectStore;
use refrain_checkpoint::{Location, Mode, Opened, Store};
use refrain_sql::{Function, Rules};
use refrain_state::Dictionary;
use refrain_types::{CheckpointId, DataflowId, Environment, Epoch, RelationId};

use crate::checkpoints::CheckpointInfo;
use crate::constraints::Keys;
use crate::database::Database;
use crate::environment::SystemEnvironment;
use crate::error::{Error, Result};
use crate::ingest::Ingest;
use crate::lookup::Lookups;
use crate::progress::{Progress, ProgressCallback};
use crate::query::Executor;
use crate::recovery;
use crate::relation::EpochClock;
use crate::row_index::RowIndexes;
use crate::runtime::Runtime;
use crate::session::Session;
use crate::settings::{Definition, EngineSettings, Values};

/// Dataflows of one statement have ids from here on; those of views are the views' own ids.
const TEMPORARY_IDS: u64 = 1 << 63;

/// A running engine. Cheap to clone; it ends when the last clone, session and subscription is dropped, and loses nothing that it has
/// acknowledged.
///
/// ```
/// # use refrain::Engine;
/// # #[tokio::main] async fn main() -> Result<(), refrain::Error> {
/// let engine = Engine::builder().open().await?;
/// let session = engine.session();
/// session.execute("CREATE TABLE edges (a TEXT, b TEXT)").await?;
/// session.execute("INSERT INTO edges VALUES ('x', 'y'), ('y', 'z')").await?;
/// let rows = session.query("SELECT count(*) FROM edges").await?;
/// assert_eq!(rows[0].num_rows(), 1);
/// # engine.close().await }
/// ```
#[derive(Clone, Debug)]
pub struct Engine(pub(crate) Arc<Shared>);

/// How an engine is to be opened.
#[derive(Debug)]
pub struct EngineBuilder {
    store: Place,
    checkpoint: Option<CheckpointId>,
    workers: usize,
    environment: Option<Arc<dyn Environment>>,
    rules: Rules,
    functions: Vec<Function>,
    progress: Option<ProgressCallback>,
    temporary_folder: Option<PathBuf>,
    settings: Vec<(String, String)>,
}

/// Where an engine keeps its data.
#[derive(Debug)]
enum Place {
    Url(String),
    Objects(Arc<dyn ObjectStore>),
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Clock and randomness.
    pub environment: Arc<dyn Environment>,
    /// Codes of the values of no fixed width.
    pub dictionary: Arc<Dictionary>,
    /// Where checkpoints go.
    pub store: Store,
    /// Views run here.
    pub runtime: Arc<Runtime>,
    /// The epoch up to which tables are visible.
    pub visible: Arc<EpochClock>,
    /// The way in.
    pub ingest: Ingest,
    /// One-shot queries run here.
    pub executor: Executor,
    /// Which keys of tables are taken.
    pub keys: Keys,
    /// For deleting rows by their values.
    pub row_indexes: RowIndexes,
    /// What finds rows by a key.
    pub lookups: Lookups,
    database: RwLock<Arc<Database>>,
    values: Mutex<Values>,
    closed: AtomicBool,
    /// Whether the clock of views runs.
    pub clock_runs: AtomicBool,
    temporary: AtomicU64,
}

impl Engine {
    /// An engine in memory with one worker, unless told otherwise.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        let store = Place::Url("memory://".to_owned());
        EngineBuilder {
            store,
            checkpoint: None,
            workers: 1,
            environment: None,
            rules: Rules::default(),
            functions: Vec::new(),
            progress: None,
            temporary_folder: None,
            settings: Vec::new(),
        }
    }

    /// A session of its own.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.0))
    }

    /// A function that SQL may call from now on; see [`EngineBuilder::udf`].
    ///
    /// # Errors
    /// `42723` when there is a function of this name.
    pub fn register_udf(&self, function: impl Into<Function>) -> Result<()> {
        Ok(self.0.database().catalog.register(function)?)
    }

    /// Takes a checkpoint and waits for its commit.
    ///
    /// # Errors
    /// When it is aborted; nothing else is affected then.
    pub async fn checkpoint(&self) -> Result<CheckpointInfo> {
        self.0.checkpoint().await
    }

    /// Ends the engine: statements that are on their way to the store are carried out, whoever waits gets an error, the workers stop.
    ///
    /// # Errors
    /// When the engine has failed, or when the store does not take what is on its way.
    pub async fn close(&self) -> Result<()> {
        let failed = self.0.runtime.failed();
        if !self.0.closed.swap(true, Ordering::AcqRel) {
            // A turn after everything that was appended: it is durable and visible, unless the store does not answer.
            let turn = self.0.last_turn().await;
            self.0.end();
            turn?;
        }
        failed.map_or(Ok(()), Err)
    }
}

impl EngineBuilder {
    /// Where the engine keeps its data: `memory://` (the default), a directory, or a URL (`file:///…`, `s3://…`).
    #[must_use]
    pub fn store(mut self, url: impl Into<String>) -> Self {
        self.store = Place::Url(url.into());
        self
    }

    /// The same for an object store of one's own, with credentials, limits or a prefix that a URL cannot say. It must be able to put an
    /// object only if there is none of its name.
    #[must_use]
    pub fn object_store(mut self, objects: Arc<dyn ObjectStore>) -> Self {
        self.store = Place::Objects(objects);
        self
    }

    /// Shows a checkpoint as it was, by its number: the tables and views of then, with recursions going on from there. The store is only
    /// read and may be in use; whatever would change something is refused. A checkpoint lasts as long as the setting
    /// `checkpoint_retain` of who writes lets it.
    #[must_use]
    pub fn at_checkpoint(mut self, number: u64) -> Self {
        self.checkpoint = Some(CheckpointId(number));
        self
    }

    /// How many worker threads run the views. Any number may open any store.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Where time and randomness come from.
    #[must_use]
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = Some(environment);
        self
    }

    /// One of the engine's settings, as `SET` would set it, but from the start: what is recovered keeps to a `memory_limit`. A name that
    /// is unknown or each session's own, or a value that is none, is an error when the engine is opened.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// A function that SQL may call: a [`ScalarUDF`](datafusion::logical_expr::ScalarUDF), an [`AggregateUDF`](datafusion::logical_expr::AggregateUDF), a
    /// [`WindowUDF`](datafusion::logical_expr::WindowUDF), or a [`TableFunction`](crate::TableFunction) for FROM. Functions are not in the store, so one
    /// that a view calls has to be there whenever that is opened.
    ///
    /// What it says it is counts: an immutable one gives the same for the same arguments, always, and may be called in materialized views.
    /// A view is not worked out anew because its function is another: that needs another name. An error is that of the rows that it
    /// was called with.
    #[must_use]
    pub fn udf(mut self, function: impl Into<Function>) -> Self {
        self.functions.push(function.into());
        self
    }

    /// A folder for temporary files: for what has no room in memory (settings `memory_limit`, `loop_memory_limit`, `temp_file_limit`). The
    /// system's, unless told otherwise.
    #[must_use]
    pub fn temporary_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.temporary_folder = Some(folder.into());
        self
    }

    /// Calls this, from any thread, as what is in the store is read back.
    #[must_use]
    pub fn on_recovery(mut self, callback: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(ProgressCallback::new(callback));
        self
    }

    /// Switches a rule of the optimizer off, by one of its [`EngineBuilder::optimizer_rules`]. For tests: a rule makes plans better, and no
    /// result other.
    #[doc(hidden)]
    #[must_use]
    pub fn without_optimizer_rule(mut self, name: &str) -> Self {
        self.rules = self.rules.without(name);
        self
    }

    /// The names of the rules that maintained views are optimized with.
    #[doc(hidden)]
    #[must_use]
    pub fn optimizer_rules() -> Vec<String> {
        Rules::names()
    }

    /// Opens the engine: takes the store over from whoever wrote to it, unless it shows a checkpoint, and recovers what is in it.
    ///
    /// # Errors
    /// When there is no worker, two functions have one name, the store cannot be used, it has no such checkpoint, or something in it is missing or
    /// damaged.
    pub async fn open(self) -> Result<Engine> {
        if self.workers == 0 {
            return Err(Error::statement("22023", "an engine needs at least one worker"));
        }
        let environment = self.environment.unwrap_or_else(SystemEnvironment::shared);
        let mode = self.checkpoint.map_or(Mode::Write, Mode::At);
        let location = match self.store {
            Place::Url(url) => Location::parse(&url, mode == Mode::Write)?,
            Place::Objects(objects) => Location::of_objects(objects),
        };
        let mut values = Values::default();
        for (name, value) in &self.settings {
            values.set(Definition::of_engine(name)?, Some(value))?;
        }
        let database = Database::empty(self.rules);
        for function in self.functions {
            database.catalog.register(function)?;
        }
        let temporary_folder = self.temporary_folder.unwrap_or_else(std::env::temp_dir);
        let opened = Store::open_at(location, Arc::clone(&environment), mode).await?;
        let shared = Shared::start(self.workers, database, environment, opened, self.progress, (values, temporary_folder)).await?;
        Ok(Engine(shared))
    }
}

/// Whether a dataflow lives no longer than a statement or a subscription.
pub(crate) fn is_temporary(dataflow: DataflowId) -> bool {
    dataflow.0 >= TEMPORARY_IDS
}

impl Shared {
    async fn start(
        workers: usize,
        database: Database,
        environment: Arc<dyn Environment>,
        opened: Opened,
        progress: Option<ProgressCallback>,
        (values, temporary_folder): (Values, PathBuf),
    ) -> Result<Arc<Self>> {
        let dictionary = Dictionary::new();
        let settings = EngineSettings::of(&values);
        let runtime = Runtime::start(workers, Arc::clone(&dictionary), Arc::clone(&environment), (&settings, temporary_folder))?;
        let Opened { store, manifest, input_log, next_epoch, .. } = opened;
        let writes = input_log.is_some();
        let shared = Arc::new(Self {
            environment,
            executor: Executor::new(workers),
            dictionary,
            store,
            runtime,
            visible: EpochClock::at(Epoch(0)),
            ingest: Ingest::new(input_log),
            keys: Keys::default(),
            row_indexes: RowIndexes::default(),
            lookups: Lookups::default(),
            database: RwLock::new(Arc::new(database)),
            values: Mutex::new(values),
            closed: AtomicBool::new(false),
            clock_runs: AtomicBool::new(false),
            temporary: AtomicU64::new(0),
        });
        shared.visible.keep_history(settings.history_epochs);
        recovery::recover(&shared, manifest, next_epoch, progress).await?;
        if writes {
            Runtime::drive(&shared);
            shared.run_clock();
        }
        Ok(shared)
    }

    /// The database as it is now.
    pub fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another database in its place.
    pub fn set_database(&self, database: Database) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(database);
    }

    /// Values of the engine's own settings.
    pub fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's own settings.
    pub fn settings(&self) -> EngineSettings {
        EngineSettings::of(&self.values())
    }

    /// Lets what has been set take effect.
    pub fn settings_changed(&self) {
        let settings = self.settings();
        self.visible.keep_history(settings.history_epochs);
        self.runtime.settings_changed(&settings);
    }

    /// Takes a checkpoint and waits for its commit.
    pub async fn checkpoint(self: &Arc<Self>) -> Result<CheckpointInfo> {
        self.check_alive()?;
        self.check_writes("CHECKPOINT")?;
        self.runtime.checkpoint(self).await
    }

    /// An error when the engine is closed or a worker has failed.
    pub fn check_alive(&self) -> Result<()> {
        if let Some(error) = self.runtime.failed() {
            return Err(error);
        }
        if self.closed.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    /// Ids for a dataflow that lives no longer than a statement or a subscription, and its output.
    pub fn temporary_ids(&self) -> (RelationId, DataflowId) {
        let id = TEMPORARY_IDS + self.temporary.fetch_add(1, Ordering::Relaxed);
        (RelationId(id), DataflowId(id))
    }

    fn end(&self) {
        self.ingest.abandon();
        self.visible.end(Error::closed());
        for relation in self.database().relations.values() {
            if relation.kind == crate::relation::RelationKind::View {
                relation.end(Error::closed());
            }
        }
        self.runtime.stop();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end();
    }
}
