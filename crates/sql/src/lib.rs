//! SQL text to a bound, optimized logical plan.
#![warn(missing_docs)]

pub mod catalog;
pub mod error;
pub mod parser;
pub mod statement;
pub mod types;

pub use catalog::Catalog;
pub use error::{Result, SqlError};
pub use parser::parse;
pub use statement::Statement;
