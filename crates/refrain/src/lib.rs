//! Refrain: an embeddable streaming SQL engine whose recursion survives.
//!
//! An [`Engine`] keeps tables and materialized views; a view is kept up to date with every change of what it reads, recursion included.
//! A [`Session`] runs statements; [`Session::subscribe`] streams the changes of a view.
//!
//! ```
//! use refrain::Engine;
//!
//! # #[tokio::main] async fn main() -> Result<(), refrain::Error> {
//! let engine = Engine::builder().workers(2).open().await?;
//! let session = engine.session();
//! session
//!     .execute_script(
//!         "CREATE TABLE edges (a INT, b INT);
//!          INSERT INTO edges VALUES (1, 2), (2, 3);",
//!     )
//!     .await?;
//! let rows = session.query("SELECT a, b FROM edges ORDER BY a").await?;
//! assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
//! # engine.close().await }
//! ```
//!
//! How a statement goes through the crate: [`session`](Session) parses it, `statements` has one file for each kind; `query` answers
//! what is read once, `ingest` makes changes durable and publishes them into `relation`s, `runtime` keeps the views.
#![warn(missing_docs)]

mod assign;
mod checkpoints;
mod clock;
mod constraints;
mod database;
pub mod display;
mod engine;
mod environment;
mod error;
mod fork;
mod ingest;
pub mod inspect;
mod lookup;
mod planning;
mod progress;
mod query;
mod recovery;
mod relation;
mod row_index;
mod runtime;
mod session;
mod settings;
mod spill;
mod statements;
mod subscribe;
mod system_tables;
mod transaction;

pub use checkpoints::CheckpointInfo;
/// What functions for [`EngineBuilder::udf`] are made with, in the version that they have to be of; rows are `datafusion::arrow`'s.
pub use datafusion;
pub use engine::{Engine, EngineBuilder};
pub use environment::SystemEnvironment;
pub use error::{Error, ErrorKind, Position, Result};
pub use fork::{Forked, fork};
pub use progress::Progress;
pub use refrain_sql::{Batches, Function, TableFunction};
pub use refrain_types::Environment;
pub use refrain_types::environment::Sleep;
pub use session::{Notice, Outcome, Session};
pub use subscribe::{Subscription, SubscriptionEvent};
pub use transaction::TransactionStatus;
