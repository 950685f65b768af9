//! The engine under test: opened, driven through sessions, closed and recovered. The only file here that touches it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use refrain::{Engine, Outcome, Session, Subscription, TransactionStatus, display};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, MakeConnection};
use tokio::sync::Mutex;

use crate::Options;
use crate::statement::Statement;

/// An error of the engine as the files expect it: `SQLSTATE: message`.
#[derive(Debug)]
pub(crate) struct EngineError(pub(crate) refrain::Error);

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.code(), self.0.message())
    }
}

impl std::error::Error for EngineError {}

/// What a session was told with `SET`, so that it can be told again after a restart.
#[derive(Default)]
struct Client {
    session: Option<Session>,
    settings: Vec<String>,
}

/// How an engine ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It is closed and waited for.
    Closed,
    /// Its last handle is dropped. The one that is opened behind it has to fence it.
    Dropped,
}

/// An engine that can be closed and opened again below its sessions.
pub(crate) struct Subject {
    engine: Option<Engine>,
    directory: tempfile::TempDir,
    durable: bool,
    workers: usize,
    statement_timeout_s: u64,
    rules_off: Vec<String>,
    clients: Vec<Client>,
}

/// A subject that the connections of one file share.
pub(crate) type Shared = Arc<Mutex<Subject>>;

impl Subject {
    /// Opens an engine on an empty store: in a directory if it has to survive restarts, else in memory.
    pub(crate) async fn open(workers: usize, durable: bool, options: &Options) -> Result<Self, Box<dyn std::error::Error>> {
        let mut subject = Self {
            engine: None,
            directory: tempfile::tempdir()?,
            durable,
            workers,
            statement_timeout_s: options.statement_timeout_s,
            rules_off: options.rules_off.clone(),
            clients: Vec::new(),
        };
        subject.start().await.map_err(EngineError)?;
        Ok(subject)
    }

    async fn start(&mut self) -> Result<(), refrain::Error> {
        let store = if self.durable { path_text(self.directory.path()) } else { "memory://".to_owned() };
        let builder = Engine::builder().store(store).workers(self.workers);
        let builder = self.rules_off.iter().fold(builder, |builder, rule| builder.without_optimizer_rule(rule));
        self.engine = Some(builder.open().await?);
        Ok(())
    }

    /// How many workers it runs on.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Whether some session is in a transaction block, which would not survive a restart.
    pub(crate) fn in_block(&self) -> bool {
        let sessions = self.clients.iter().filter_map(|client| client.session.as_ref());
        sessions.map(Session::transaction_status).any(|status| status != TransactionStatus::Idle)
    }

    /// Takes a checkpoint and waits for its commit.
    pub(crate) async fn checkpoint(&mut self) -> Result<(), EngineError> {
        let engine = self.engine.as_ref().expect("a subject is open between calls");
        engine.checkpoint().await.map(drop).map_err(EngineError)
    }

    /// Ends the engine, in good order or by letting go of it, and recovers it from its store.
    pub(crate) async fn restart(&mut self, workers: usize, end: End) -> Result<(), EngineError> {
        assert!(self.durable, "only a store in a directory survives a restart");
        for client in &mut self.clients {
            client.session = None;
        }
        let engine = self.engine.take().expect("a subject is open between calls");
        if end == End::Closed {
            engine.close().await.map_err(EngineError)?;
        }
        drop(engine);
        self.workers = workers;
        self.start().await.map_err(EngineError)
    }

    /// Ends the engine.
    pub(crate) async fn close(&mut self) -> Result<(), EngineError> {
        self.clients.clear();
        match self.engine.take() {
            Some(engine) => engine.close().await.map_err(EngineError),
            None => Ok(()),
        }
    }

    /// The session of a client; client 0 is the default connection.
    pub(crate) async fn session(&mut self, client: usize) -> Result<Session, EngineError> {
        while self.clients.len() <= client {
            self.clients.push(Client::default());
        }
        let engine = self.engine.as_ref().expect("a subject is open between calls");
        let client = &mut self.clients[client];
        if client.session.is_none() {
            let session = engine.session();
            let limit = format!("SET statement_timeout = '{}s'", self.statement_timeout_s);
            for setting in std::iter::once(&limit).chain(&client.settings) {
                session.execute(setting).await.map_err(EngineError)?;
            }
            client.session = Some(session);
        }
        Ok(client.session.clone().expect("it has just been made"))
    }

    async fn run(&mut self, client: usize, sql: &str) -> Result<DBOutput<DefaultColumnType>, EngineError> {
        let outcome = self.session(client).await?.execute(sql).await.map_err(EngineError)?;
        // What a block sets may be rolled back with it, and none is open when a session is told again.
        if Statement::of(sql) == Statement::Set && !self.in_block() {
            self.clients[client].settings.push(sql.to_owned());
        }
        match outcome {
            Outcome::Rows { schema, batches } => {
                let types = vec![DefaultColumnType::Any; schema.fields().len()];
                Ok(DBOutput::Rows { types, rows: batches.iter().flat_map(texts).collect() })
            }
            Outcome::Done { tag } => Ok(DBOutput::StatementComplete(affected(&tag))),
            Outcome::Subscribed(subscription) => first_events(subscription).await,
            _ => Ok(DBOutput::StatementComplete(0)),
        }
    }
}

/// A path as the engine takes it.
fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The number at the end of a command tag.
fn affected(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Rows as the files have them: `NULL`, and `(empty)` for an empty string.
fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let text = |value: Option<String>| match value {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => text,
    };
    display::rows(batch).into_iter().map(|row| row.into_iter().map(text).collect()).collect()
}

/// What a subscription delivers before its first progress event: weight and row.
async fn first_events(mut subscription: Subscription) -> Result<DBOutput<DefaultColumnType>, EngineError> {
    let mut rows = Vec::new();
    while let Some(event) = subscription.next().await {
        let event = event.map_err(EngineError)?;
        if event.progress {
            break;
        }
        for (weight, row) in event.weights.iter().zip(texts(&event.rows)) {
            rows.push(std::iter::once(weight.to_string()).chain(row).collect::<Vec<_>>());
        }
    }
    let types = vec![DefaultColumnType::Any; rows.first().map_or(1, Vec::len)];
    Ok(DBOutput::Rows { types, rows })
}

/// One connection of a file.
pub(crate) struct Connection {
    subject: Shared,
    client: usize,
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = EngineError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, EngineError> {
        self.subject.lock().await.run(self.client, sql).await
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "refrain"
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &EngineError) -> Option<String> {
        Some(error.0.code().to_owned())
    }
}

/// Makes the connections of one file.
pub(crate) struct Connector {
    subject: Shared,
    made: usize,
}

impl Connector {
    pub(crate) fn new(subject: Shared) -> Self {
        Self { subject, made: 0 }
    }
}

impl MakeConnection for Connector {
    type Conn = Connection;
    type MakeFuture = std::future::Ready<Result<Connection, EngineError>>;

    fn make(&mut self) -> Self::MakeFuture {
        // Client 0 is the driver's own and the default connection's, which is the first that is made.
        let client = self.made;
        self.made += 1;
        std::future::ready(Ok(Connection { subject: Arc::clone(&self.subject), client }))
    }
}
