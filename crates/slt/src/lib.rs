//! `refrain slt`: runs sqllogictest files against the engine, each in several modes that must all give the one expected answer.
//!
//! The files are plain sqllogictest, so every other tool can read them; faults are asked for in comments (`directive`). In goes a
//! list of paths and modes ([`Options`]), out comes a [`Report`]. Parsing and comparing is the `sqllogictest` crate's; what is
//! here is what happens between the records: views made again, rows fed one by one among noise, checkpoints, restarts.
//!
//! With the feature `postgres` the same files run against a PostgreSQL server, which is where their expected results come from
//! (`postgres`). Results are never taken from this engine.
#![warn(missing_docs)]

mod directive;
mod driver;
mod failure;
mod files;
pub mod lexer;
mod mode;
mod noise;
#[cfg(feature = "postgres")]
pub mod postgres;
mod random;
mod rebuild;
mod report;
mod statement;
mod subject;

pub use driver::{Options, run};
pub use failure::Failure;
pub use mode::Mode;
pub use report::{FileReport, Report};
