//! The words every other crate speaks: ids and clocks, weights, and the delta, the one type on every edge.
//!
//! Nothing here computes anything: no operators, no storage, no I/O. A value is *logical* when it has the Arrow type that
//! SQL gives it, and *physical* when it has the fixed-width type it travels in ([`physical`]).
#![warn(missing_docs)]

pub mod delta;
pub mod environment;
pub mod errors;
pub mod ids;
pub mod physical;

pub use delta::Delta;
pub use environment::Environment;
pub use errors::{ErrorRow, SqlState};
pub use ids::{CheckpointId, DataflowId, Epoch, Generation, Iteration, LoopId, OperatorId, RelationId, Tick, Weight};
