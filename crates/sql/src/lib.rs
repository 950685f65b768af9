//! SQL text to a bound, optimized logical plan: statements, the catalog, names and types, recursion, and which optimizer rules run.
//!
//! What others call:
//! - [`parse`]: a script to [`Statement`]s with their texts;
//! - [`Catalog`]: relations by name and id, who depends on whom, what a DROP takes out;
//! - [`bind_query`], [`bind_view`], [`bind_stored_view`], [`bind_insert`], [`bind_delete`], [`bind_update`]: to a [`Bound`] logical plan;
//! - [`bind_conflict`], [`bind_returning`], [`bind_checks`]: the same over rows that a statement has at hand, [`GivenRows`];
//! - [`optimize_view`] for what is maintained (the planner takes it from there), [`optimize_query`] for what DataFusion executes;
//! - [`bind_why`]: to plans that tell what a query's rows are made of;
//! - [`finish_physical_expr`]: PostgreSQL's arithmetic and casts in physical expressions;
//! - [`RecursionNode`], [`RelationSource`], [`WorkTable`], [`FunctionRows`]: what to look for in a plan.
//!
//! PostgreSQL decides about names, types, NULLs and error texts wherever it has the feature. Deliberately not here: how a plan is
//! maintained (`planner`) and what a statement does (`refrain`).
#![warn(missing_docs)]

pub mod bind;
pub mod catalog;
pub mod error;
pub mod iso;
pub mod optimize;
pub mod parser;
pub mod physical;
pub mod recursion;
mod series;
pub mod source;
pub mod statement;
pub mod table_function;
pub mod temporal;
pub mod types;
pub mod why;

pub use bind::{
    Bound, BoundConflict, Function, Registered, bind_checks, bind_conflict, bind_default, bind_delete, bind_insert, bind_query,
    bind_returning, bind_stored_view, bind_update, bind_view, check_table, default_is_immutable,
};
pub use catalog::{Catalog, RelationKind, ViewDefinition};
pub use error::{Result, SqlError};
pub use optimize::{Rules, optimize_query, optimize_view};
pub use parser::parse;
pub use physical::{finish_physical_expr, finish_predicate, finish_query_expr, finish_query_predicate, interval};
pub use recursion::{Binding, KeyWinner, Limit, MutualBlock, MutualNode, RecursionKey, RecursionNode};
pub use source::{GivenRows, RelationSource, WorkTable};
pub use statement::Statement;
pub use table_function::{Batches, FunctionRows, TableFunction};
pub use temporal::{TemporalNode, tells_time};
pub use types::SqlType;
pub use why::bind_why;
