//! The stream plan: what a view computes, as a graph of operators over deltas, with its loops.
//!
//! The planner makes it, the dataflow renders it, EXPLAIN prints it. It states what a consumer would otherwise have to work out
//! again: how each input is exchanged, which loop a node stands in, what is proven about its rows. Columns are positions in the
//! *logical* schema of the input; expressions are DataFusion's physical expressions over that schema.
//!
//! Deliberately not here: how a plan is made (`planner`) and how it runs (`dataflow`).
#![warn(missing_docs)]

pub mod explain;
pub mod expression;
pub mod fingerprint;
mod lattice;
pub mod node;
pub mod validate;

pub use explain::{Measured, explain, explain_with};
pub use expression::{Projected, RowFunction, Step};
pub use fingerprint::fingerprint;
pub use node::{
    Aggregate, AggregateCall, AggregateFunction, Exchange, Fold, FusedJoin, GroupCall, GroupFunction, Join, KeyWinner, LoopHead,
    LoopKey, LoopKind, Node, NodeId, Operator, Properties, RecursionLimit, Sorting, StreamPlan, Temporal, TopK, Unnest, Variable,
    Window,
};
pub use validate::validate;
