//! Refrain: an embeddable streaming SQL engine whose recursion survives.
#![warn(missing_docs)]

mod error;
mod relation;

pub use error::{Error, ErrorKind};
