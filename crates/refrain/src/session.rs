//! A session: settings, notices, and the statement that is running.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use refrain_sql::Statement;
use refrain_types::Environment;
use tokio::sync::watch;

use crate::checkpoints::CheckpointInfo;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::ingest::{TableChange, Turn};
use crate::progress::{Progress, ProgressCallback};
use crate::settings::{SessionSettings, Values};
use crate::statements::{self, dml, transaction};
use crate::subscribe::Subscription;
use crate::transaction::{Block, TransactionStatus, Uncommitted};

/// Runs statements. Cheap to clone; clones share settings, notices and the transaction block. Statements of one session may run at the
/// same time, each by itself, but for those of a transaction block; [`Session::cancel`] ends them all. A block that is open when the last
/// clone goes is rolled back.
#[derive(Clone, Debug)]
pub struct Session(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    values: Mutex<Values>,
    notices: Mutex<Vec<Notice>>,
    /// Counts the calls of `cancel`.
    cancelled: watch::Sender<u64>,
    progress: Mutex<Option<ProgressCallback>>,
    /// The transaction block that is open, if there is one.
    block: Mutex<Option<Block>>,
    /// Statements of a block, and those that begin and end it, run one at a time.
    one_at_a_time: tokio::sync::Mutex<()>,
}

/// What a statement came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Rows.
    Rows {
        /// Their schema; names may occur twice.
        schema: SchemaRef,
        /// The rows.
        batches: Vec<RecordBatch>,
    },
    /// Done, without rows.
    Done {
        /// PostgreSQL's command tag: `CREATE TABLE`, `INSERT 0 3`.
        tag: String,
    },
    /// A stream of changes.
    Subscribed(Subscription),
}

impl Outcome {
    pub(crate) fn done(tag: impl Into<String>) -> Self {
        Self::Done { tag: tag.into() }
    }
}

/// Something that the user should know, besides the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// `NOTICE` or `WARNING`.
    pub severity: &'static str,
    /// The message.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Notice {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { severity: "NOTICE", message: message.into(), detail: None, hint: None }
    }

    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self { severity: "WARNING", ..Self::new(message) }
    }

    pub(crate) fn with_detail(mut self, detail: Option<String>) -> Self {
        self.detail = detail;
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (cancelled, _) = watch::channel(0);
        let inner = Inner {
            shared,
            values: Mutex::default(),
            notices: Mutex::default(),
            cancelled,
            progress: Mutex::default(),
            block: Mutex::default(),
            one_at_a_time: tokio::sync::Mutex::default(),
        };
        Self(Arc::new(inner))
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// When it is wrong, cannot be carried out, is cancelled, or there is not exactly one. Nothing has changed then, unless the
    /// error's kind is `Io` or `Engine` (the outcome of a write is then unknown until the store is opened again), or the statement
    /// was cancelled when it was already on its way to the store (it is then carried out all the same).
    pub async fn execute(&self, sql: &str) -> Result<Outcome> {
        let mut parsed = self.parse(sql)?;
        if parsed.len() > 1 {
            return Err(Error::statement("42601", "cannot run more than one statement at once").with_hint("Use a script."));
        }
        let Some((statement, text)) = parsed.pop() else {
            return Err(Error::statement("42601", "there is no statement"));
        };
        self.run(statement, &text).await
    }

    /// Runs statements that are separated by semicolons, one after the other, up to the first error.
    ///
    /// # Errors
    /// When the text cannot be parsed (nothing is run then), or a statement fails.
    pub async fn execute_script(&self, sql: &str) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for (statement, text) in self.parse(sql)? {
            outcomes.push(self.run(statement, &text).await?);
        }
        Ok(outcomes)
    }

    /// The rows of a `SELECT`, `SHOW` or `EXPLAIN`.
    ///
    /// # Errors
    /// As [`Session::execute`]; and when the statement has no rows.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        match self.execute(sql).await? {
            Outcome::Rows { batches, .. } => Ok(batches),
            _ => Err(Error::statement("42601", "the statement does not return rows")),
        }
    }

    /// Streams the changes of a table or a view by its name, of a query in parentheses, or of a whole `SUBSCRIBE` statement.
    ///
    /// # Errors
    /// When there is no such relation, or the query cannot be maintained.
    pub async fn subscribe(&self, sql: &str) -> Result<Subscription> {
        let is_statement = sql.trim_start().get(..9).is_some_and(|word| word.eq_ignore_ascii_case("subscribe"));
        let text = if is_statement { sql.to_owned() } else { format!("SUBSCRIBE {sql}") };
        match self.parse(&text)?.pop() {
            Some((statement @ Statement::Subscribe(_), text)) => match self.run(statement, &text).await? {
                Outcome::Subscribed(subscription) => Ok(subscription),
                _ => Err(Error::engine("a subscription came to something else")),
            },
            _ => Err(Error::statement("42601", "not a name, nor a query in parentheses")),
        }
    }

    /// Inserts rows. Columns are found by name and cast to the table's types; a column that the rows lack has its default. Returns the
    /// number of rows.
    ///
    /// # Errors
    /// When there is no such table or column, a type does not fit, a value cannot be stored, or a row violates a check or has the key of
    /// another: nothing is inserted then.
    pub async fn insert(&self, table: &str, rows: RecordBatch) -> Result<u64> {
        self.in_block(dml::insert_rows(self, table, &rows)).await
    }

    /// Deletes, for each row, one equal row of the table. Returns the number of rows.
    ///
    /// # Errors
    /// As [`Session::insert`]; and when the table does not hold some row (often enough): nothing is deleted then.
    pub async fn delete(&self, table: &str, rows: RecordBatch) -> Result<u64> {
        self.in_block(dml::delete_rows(self, table, &rows)).await
    }

    /// Takes a checkpoint and waits for its commit.
    ///
    /// # Errors
    /// When it is aborted; nothing else is affected then.
    pub async fn checkpoint(&self) -> Result<CheckpointInfo> {
        self.limited(self.shared().checkpoint()).await
    }

    /// Ends the statements of this session that are running, with "canceling statement due to user request".
    pub fn cancel(&self) {
        self.0.cancelled.send_modify(|count| *count += 1);
    }

    /// What has been noticed since the last call. May be called while a statement is running.
    #[must_use]
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *lock(&self.0.notices))
    }

    /// Calls this, from any thread, a few times a second while a long statement is running.
    pub fn on_progress(&self, callback: impl Fn(Progress) + Send + Sync + 'static) {
        *lock(&self.0.progress) = Some(ProgressCallback::new(callback));
    }

    /// Whether statements are in a transaction block.
    #[must_use]
    pub fn transaction_status(&self) -> TransactionStatus {
        match &*self.block() {
            None => TransactionStatus::Idle,
            Some(block) if block.failed => TransactionStatus::Failed,
            Some(_) => TransactionStatus::InBlock,
        }
    }

    pub(crate) fn block(&self) -> MutexGuard<'_, Option<Block>> {
        lock(&self.0.block)
    }

    /// That the engine writes, and the block that is open. `what` is what a statement is called.
    pub(crate) fn check_writes(&self, what: &str) -> Result<()> {
        self.shared().check_writes(what)?;
        match &*self.block() {
            Some(block) if block.read_only => {
                Err(Error::statement("25006", format!("cannot execute {what} in a read-only transaction")))
            }
            _ => Ok(()),
        }
    }

    /// What the open block has changed.
    pub(crate) fn uncommitted(&self) -> Uncommitted {
        self.block().as_ref().map(Block::uncommitted).unwrap_or_default()
    }

    /// Waits until no statement of a block is running.
    pub(crate) async fn one_at_a_time(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.one_at_a_time.lock().await
    }

    fn fail_block(&self) {
        if let Some(block) = &mut *self.block() {
            block.failed = true;
        }
    }

    /// Runs a statement as one of the block, where one is open.
    async fn in_block<T>(&self, statement: impl Future<Output = Result<T>>) -> Result<T> {
        if self.transaction_status() == TransactionStatus::Idle {
            return statement.await;
        }
        let _one_at_a_time = self.one_at_a_time().await;
        if self.transaction_status() == TransactionStatus::Failed {
            return Err(transaction::is_failed());
        }
        statement.await.inspect_err(|_| self.fail_block())
    }

    /// Writes changes of tables as one epoch; those of a block are kept until its `COMMIT`.
    ///
    /// # Errors
    /// As [`Shared::write`].
    pub(crate) async fn write(&self, turn: Turn, changes: Vec<TableChange>) -> Result<()> {
        let Err(changes) = self.keep(&turn, changes)? else { return Ok(()) };
        self.shared().write(turn, changes).await
    }

    /// Keeps changes until the `COMMIT` of the block, or gives them back where there is none.
    fn keep(&self, turn: &Turn, changes: Vec<TableChange>) -> Result<Result<(), Vec<TableChange>>> {
        let mut block = self.block();
        let Some(block) = &mut *block else { return Ok(Err(changes)) };
        let uncommitted = block.uncommitted();
        for change in &changes {
            self.shared().check_keys(turn, &change.table, &uncommitted.with(&change.table, &change.deltas))?;
        }
        block.extend(changes);
        Ok(Ok(()))
    }

    pub(crate) fn report_progress(&self, progress: Progress) {
        let callback = lock(&self.0.progress).clone();
        if let Some(callback) = callback {
            callback.report(progress);
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn values(&self) -> MutexGuard<'_, Values> {
        lock(&self.0.values)
    }

    pub(crate) fn settings(&self) -> SessionSettings {
        SessionSettings::of(&self.values())
    }

    pub(crate) fn notice(&self, notice: Notice) {
        lock(&self.0.notices).push(notice);
    }

    fn parse(&self, sql: &str) -> Result<Vec<(Statement, String)>> {
        refrain_sql::parse(sql).inspect_err(|_| self.fail_block()).map_err(Error::from)
    }

    async fn run(&self, statement: Statement, text: &str) -> Result<Outcome> {
        self.shared().check_alive()?;
        if let Statement::Transaction(statement) = statement {
            return self.limited(transaction::run(self, statement)).await;
        }
        let statement = async {
            let limited = self.with_recursion_limit(Some((statement, text.to_owned())))?;
            let (statement, text) = limited.expect("a statement stays one");
            self.limited(statements::run(self, statement, &text)).await
        };
        self.in_block(statement).await
    }

    /// A statement with the session's recursion limit, written where the statement says none: so the limit is in the definition of a
    /// view, and in the log.
    fn with_recursion_limit(&self, parsed: Option<(Statement, String)>) -> Result<Option<(Statement, String)>> {
        let Some((limit, (_, text))) = self.settings().recursion_limit.zip(parsed.as_ref()) else { return Ok(parsed) };
        match refrain_sql::parser::with_recursion_limit(text, limit)? {
            Some(text) => Ok(refrain_sql::parse(&text)?.pop()),
            None => Ok(parsed),
        }
    }

    /// Ends a future when the session is cancelled or the statement takes too long. Dropping it must be enough to end it. A panic, which is a
    /// mistake of ours or of a library, fails the statement and no other.
    async fn limited<T>(&self, statement: impl Future<Output = Result<T>>) -> Result<T> {
        let mut cancelled = self.0.cancelled.subscribe();
        let timeout = self.settings().statement_timeout;
        tokio::select! {
            biased;
            result = AssertUnwindSafe(statement).catch_unwind() => result.unwrap_or_else(|panic| Err(Error::panicked(&*panic))),
            _ = cancelled.changed() => Err(Error::cancelled()),
            () = expire(&*self.0.shared.environment, timeout) => Err(Error::timed_out()),
        }
    }
}

async fn expire(environment: &dyn Environment, timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => environment.sleep(timeout).await,
        None => std::future::pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
