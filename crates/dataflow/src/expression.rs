//! Row functions made ready to run: filters and projections over physical deltas.
//!
//! In go a [`RowFunction`](refrain_plan::RowFunction) and, batch by batch, physical deltas; out come physical deltas. A column that only
//! moves is never decoded. An expression sees just the columns that it names, decoded, or as codes where comparing codes answers it
//! ([`codes`]). A few rows of integer arithmetic are computed without kernels ([`small`]), packed rows without a batch ([`packed`]). A row on which an expression fails leaves
//! the data and becomes an error row with the same weight ([`message`]).
//!
//! Not here: volatile expressions, which no plan holds, and aggregates (`refrain_state::aggregate`).

mod codes;
mod inputs;
pub mod message;
mod packed;
mod row_function;
mod small;

pub use message::{arrow_error, evaluation_error};
pub use packed::PackedRowFunction;
pub use row_function::CompiledRowFunction;
