//! Stream plans as running dataflows: operators, the loop, ticks, and a worker that is stepped.
//!
//! In go orders ([`Order`]): run a tick over these deltas, or capture. Out come what the view changed by in a tick and state for a
//! checkpoint, through [`Events`]. Rows are physical throughout. Threads, clocks, I/O and SQL are the engine's.
//!
//! To read: [`control`] for ticks, `operators/loop_head.rs` for the recursion, `operators/join.rs` for an operator with state.
#![warn(missing_docs)]

pub mod control;
pub mod expression;
pub mod loop_log;
mod operators;
pub mod parcel;
pub mod part;
mod render;
mod restore;
pub mod time;
pub mod worker;

pub use control::{Beginning, Control, Events, LoopGauge, NodeGauge, Order, PartSize, TickEnd, TickInput};
pub use part::{Captured, Part, Restored};
pub use worker::{Command, CommandLog, Seat, Worker, seats};
