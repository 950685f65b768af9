//! Runs one statement at a time and prints what it gives; the same for scripts and for the shell on a terminal.

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use refrain::{Outcome, Session, Subscription, SubscriptionEvent, TransactionStatus, display};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::format::{Column, Format, Kind, Row};
use crate::progress::Bar;

/// How soon a notice of a running statement is seen.
const NOTICES_INTERVAL: Duration = Duration::from_millis(100);

/// A session and how its results are shown.
pub(crate) struct Shell {
    session: Session,
    bar: Bar,
    pub(crate) format: Format,
    pub(crate) timing: bool,
    interactive: bool,
}

impl Shell {
    pub(crate) fn new(session: Session, format: Format, interactive: bool) -> Self {
        let bar = Bar::of(&session);
        Self { session, bar, format, timing: false, interactive }
    }

    /// Whether statements are in a transaction block.
    pub(crate) fn transaction_status(&self) -> TransactionStatus {
        self.session.transaction_status()
    }

    /// Runs a statement and prints its result on standard output. On a terminal Ctrl-C cancels it.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), Failure> {
        let started = Instant::now();
        match self.drive(self.session.execute(sql)).await? {
            Outcome::Rows { schema, batches } => {
                let rows = batches.iter().flat_map(display::rows).collect::<Vec<_>>();
                self.format.print(&mut std::io::stdout().lock(), &Column::of(&schema), &rows)?;
            }
            // Tags are for people; a script's output is its results alone.
            Outcome::Done { tag } if self.interactive => println!("{tag}"),
            Outcome::Subscribed(subscription) => self.follow(subscription).await?,
            _ => {}
        }
        if self.timing {
            eprintln!("Time: {:.3} ms", started.elapsed().as_secs_f64() * 1_000.0);
        }
        std::io::stdout().flush()?;
        Ok(())
    }

    /// The texts of a query's rows, for the shell's own use.
    pub(crate) async fn texts(&self, sql: &str) -> Result<Vec<Row>, Failure> {
        Ok(self.session.query(sql).await?.iter().flat_map(display::rows).collect())
    }

    /// Waits for Ctrl-C on a terminal; in a script, where Ctrl-C ends the process, for ever.
    pub(crate) async fn interrupted(&self) {
        if !self.interactive || tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn drive<T>(&self, statement: impl Future<Output = Result<T, refrain::Error>>) -> Result<T, refrain::Error> {
        let mut statement = pin!(statement);
        let mut interrupted = pin!(self.interrupted());
        let mut notices = tokio::time::interval(NOTICES_INTERVAL);
        loop {
            tokio::select! {
                result = &mut statement => {
                    self.bar.clear();
                    self.print_notices();
                    return result;
                }
                () = &mut interrupted => {
                    self.session.cancel();
                    interrupted.set(self.interrupted());
                }
                _ = notices.tick() => self.print_notices(),
            }
        }
    }

    fn print_notices(&self) {
        for notice in self.session.take_notices() {
            eprintln!("{}:  {}", notice.severity, notice.message);
            if let Some(detail) = &notice.detail {
                eprintln!("DETAIL:  {detail}");
            }
            if let Some(hint) = &notice.hint {
                eprintln!("HINT:  {hint}");
            }
        }
    }

    /// Prints a subscription as it comes, each event at once, until it ends or Ctrl-C. An error of the data does not end it.
    async fn follow(&self, mut subscription: Subscription) -> Result<(), Failure> {
        let mut interrupted = pin!(self.interrupted());
        let own = [Column::new("epoch", Kind::Number), Column::new("weight", Kind::Number)];
        let columns = own.into_iter().chain(Column::of(subscription.schema())).collect::<Vec<_>>();
        self.format.begin(&mut std::io::stdout().lock(), &columns)?;
        let mut last_failed = false;
        loop {
            let event = tokio::select! {
                event = subscription.next() => event,
                () = &mut interrupted => return Ok(()),
            };
            last_failed = match event {
                Some(Ok(event)) => {
                    self.print_event(&event, &columns)?;
                    false
                }
                Some(Err(error)) => {
                    eprintln!("{}", Failure::from(error));
                    true
                }
                // The error that ended it, if one did, has been told.
                None => return if last_failed { Err(Failure::Reported) } else { Ok(()) },
            };
        }
    }

    fn print_event(&self, event: &SubscriptionEvent, columns: &[Column]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let epoch = event.epoch.to_string();
        if event.progress {
            // Nothing more comes up to this epoch: a row of its own, with nothing but the epoch.
            let row = std::iter::once(Some(epoch)).chain(std::iter::repeat(None)).take(columns.len()).collect();
            self.format.row(&mut out, columns, &row)?;
        } else {
            for (weight, row) in event.weights.iter().zip(display::rows(&event.rows)) {
                let row = [Some(epoch.clone()), Some(weight.to_string())].into_iter().chain(row).collect();
                self.format.row(&mut out, columns, &row)?;
            }
        }
        out.flush()?;
        Ok(())
    }
}
