//! Aggregates under change: what one group remembers for `count`, `sum`, `min`, `max` and `avg`.
//!
//! A value goes in with a weight, positive or negative, in any order; the result depends on nothing but the bag of values that is left.
//! So sums are exact: whole numbers and decimals in wide integers, floats in an [`ExactFloat`](crate::exact_float::ExactFloat). `min`
//! and `max` keep the values, ordered. NULL counts for `count(*)` only.
//!
//! An [`Aggregator`] says what is computed and is shared by all groups; an [`Accumulator`] is one group's share. A [`Cell`] is a
//! physical value on its own: results are compared as cells and put together to a column at the end.
//!
//! An accumulator that is a few sums can be written as words and added up again. The others (floats, `min`, `max`) are rebuilt by
//! feeding them the group's values again.
//!
//! Not here: which groups there are, how many rows a group has, and how its state gets into a checkpoint.

mod accumulator;
mod aggregator;
mod cell;

pub use accumulator::Accumulator;
pub use aggregator::{Aggregator, Failure, Function, Unsupported, sum_words};
pub use cell::{Cell, cell_column, cells};

#[cfg(test)]
mod tests;
