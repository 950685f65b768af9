//! Random recursive queries over random changing graphs, held against an oracle that works everything out anew.
//!
//! A seed gives a [`Case`]: tables, a view with a recursion of some [`Shape`], and a schedule of changes, looks, checkpoints and restarts.
//! [`run`] works out what each look has to show ([`answer`]), puts an engine through the schedule, and compares. A case whose
//! recursion does not end is discarded before the engine sees it. A [`Failure`] prints the statements that lead to it, as few as were
//! found.
//!
//! [`repeat`] runs a case in a world of its own (`world.rs`): the seed decides, too, which thread runs next, when time goes by, what the
//! store does, and in the middle of which statements the engine is cut off. The same seed is the same run, byte for byte. What fails
//! there can be looked at as often as it takes.
//!
//! The test of this crate runs as many cases as a test may. By hand there is time for more, from any seed on, of all shapes or of one
//! (`REFRAIN_SIM_SHAPE=nested`):
//!
//! ```sh
//! REFRAIN_SIM_CASES=100000 REFRAIN_SIM_SEED=1 cargo test --release --workspace --test sim -- --nocapture
//! REFRAIN_SQL_SCRIPTS=12500 REFRAIN_SQL_SEED=1 cargo test --release --workspace --test sim -- --nocapture random_queries
//! REFRAIN_WORLD_CASES=100000 REFRAIN_WORLD_SEED=1 cargo test --release --workspace --test sim -- --nocapture worlds
//! ```
//!
//! [`random_script`] is for what is not recursion: queries of all of SQL, for who can ask PostgreSQL the same.
//!
//! Deliberately not here: errors of expressions, and recursions that have to be stopped. Every case has an answer.
#![warn(missing_docs)]

mod case;
mod expression;
mod failure;
mod generate;
mod oracle;
mod query;
mod random;
mod random_sql;
mod run;
mod shrink;
mod sql;
mod subject;
mod totals;
mod value;
mod world;

pub use case::{Case, Shape};
pub use failure::{Failure, Problem, ProblemKind};
pub use generate::case;
pub use oracle::{Stop, answer};
pub use random_sql::{Script, random_script};
pub use run::{Ended, Outcome, repeat, run};
pub use subject::Events;
pub use totals::Totals;
