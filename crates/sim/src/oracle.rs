//! What a query has to give: everything is worked out anew from the rows of the tables, in the plainest way there is.
//!
//! `WITH RECURSIVE` is PostgreSQL's algorithm with a working table. `WITH MUTUALLY RECURSIVE` begins with empty bindings and works them
//! out in their order, again and again, until an iteration changes nothing or the limit is reached. A recursion inside another one
//! begins from nothing whenever its query is worked out, and goes to its end over the bindings around it as they are then, as
//! Materialize has it. Rows are a bag, sorted where it is compared. There is nothing here that is maintained, indexed or shared, and nothing of the engine.

use std::collections::BTreeMap;
use std::fmt;

use crate::query::{Function, Key, Linear, Mutual, Recursion, Recursive, Table};
use crate::value::{Row, Value};

mod expression;
mod select;
#[cfg(test)]
mod tests;

pub(crate) use expression::{holds, value};

/// Iterations of a `WITH RECURSIVE` after which it is taken to be endless.
const LINEAR_ITERATIONS_MAX: usize = 2_000;
/// Iterations of a `WITH MUTUALLY RECURSIVE` after which it is taken to be endless.
const MUTUAL_ITERATIONS_MAX: usize = 320;
/// Rows of one relation that are too many.
const ROWS_MAX: usize = 1_500;
/// Pairs of rows that are looked at for one answer, in joins and subqueries, that are too many.
const PAIRS_MAX: usize = 1_500_000;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stop {
    /// The recursion does not end within the iterations that it is given.
    Endless,
    /// There are too many rows to go on.
    TooLarge,
    /// A number is out of the range of `int`.
    OutOfRange,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Endless => "endless",
            Self::TooLarge => "too large",
            Self::OutOfRange => "out of range",
        })
    }
}

/// The rows of a query over tables with these rows, sorted.
///
/// # Errors
/// When it has no answer within the bounds.
pub fn answer(recursive: &Recursive, tables: &[Table], contents: &[Vec<Row>]) -> Result<Vec<Row>, Stop> {
    let mut scope = Scope { tables, contents, widths: Vec::new(), bindings: Vec::new(), pairs_left: PAIRS_MAX };
    scope.recursive(recursive).map(sorted)
}

/// What a query sees.
struct Scope<'a> {
    tables: &'a [Table],
    contents: &'a [Vec<Row>],
    /// Columns of each binding, outermost first.
    widths: Vec<usize>,
    bindings: Vec<Vec<Row>>,
    pairs_left: usize,
}

impl Scope<'_> {
    /// The rows of a query over a recursion, in no order, over the bindings around it as they are.
    fn recursive(&mut self, recursive: &Recursive) -> Result<Vec<Row>, Stop> {
        let around = self.bindings.len();
        self.widths.extend(recursive.recursion.types().iter().map(|types| types.len()));
        self.bindings.resize(self.widths.len(), Vec::new());
        match &recursive.recursion {
            Recursion::Linear(bindings) => {
                for (number, binding) in (around..).zip(bindings) {
                    self.bindings[number] = match binding.key {
                        None => self.linear(number, binding)?,
                        Some(key) => self.keyed(number, binding, key)?,
                    };
                }
            }
            Recursion::Mutual(bindings, limit) => self.mutual(around, bindings, *limit)?,
        }
        let rows = self.query(&recursive.query)?;
        self.widths.truncate(around);
        self.bindings.truncate(around);
        Ok(rows)
    }

    /// The working table is what the last iteration found, and all that the next one sees. The recursive term is worked out once at least,
    /// also where the base has no rows: it may have rows without them, and a recursion in it may be endless without them.
    fn linear(&mut self, number: usize, binding: &Linear) -> Result<Vec<Row>, Stop> {
        let base = self.query(&binding.base)?;
        let mut working = if binding.all { base } else { distinct(base) };
        let mut result = working.clone();
        for _ in 0..LINEAR_ITERATIONS_MAX {
            self.bindings[number] = working;
            let found = self.query(&binding.step)?;
            working = if binding.all { found } else { distinct(found).into_iter().filter(|row| !result.contains(row)).collect() };
            if working.is_empty() {
                return Ok(result);
            }
            result.extend(working.iter().cloned());
            bounded(&result)?;
        }
        Err(Stop::Endless)
    }

    /// One row for each key. A row that is found takes its key from another one if it comes before it, or, without a function, if it is
    /// another; of several that do in one iteration, the first. The next iteration sees the rows that took their keys.
    fn keyed(&mut self, number: usize, binding: &Linear, key: Key) -> Result<Vec<Row>, Stop> {
        let mut holders = BTreeMap::<Row, Row>::new();
        let mut found = self.query(&binding.base)?;
        for _ in 0..LINEAR_ITERATIONS_MAX {
            let mut taken = BTreeMap::<Row, Row>::new();
            for row in found {
                let of = row[..key.columns].to_vec();
                let wins = holders.get(&of).is_none_or(|holder| match key.function {
                    Some(_) => key.order(&row) < key.order(holder),
                    None => row != *holder,
                });
                if wins && taken.get(&of).is_none_or(|other| key.order(&row) < key.order(other)) {
                    taken.insert(of, row);
                }
            }
            if taken.is_empty() {
                return Ok(holders.into_values().collect());
            }
            self.bindings[number] = taken.values().cloned().collect();
            holders.extend(taken);
            bounded(&self.bindings[number])?;
            found = self.query(&binding.step)?;
        }
        Err(Stop::Endless)
    }

    /// Bindings that are numbered from `first` on.
    fn mutual(&mut self, first: usize, bindings: &[Mutual], limit: Option<usize>) -> Result<(), Stop> {
        for _ in 0..limit.unwrap_or(MUTUAL_ITERATIONS_MAX) {
            let mut changed = false;
            for (number, binding) in (first..).zip(bindings) {
                let rows = self.query(&binding.query).map(sorted)?;
                changed |= rows != self.bindings[number];
                self.bindings[number] = rows;
            }
            if !changed {
                return Ok(());
            }
        }
        if limit.is_some() { Ok(()) } else { Err(Stop::Endless) }
    }

    /// Takes note of pairs of rows that will be looked at.
    fn spend(&mut self, pairs: usize) -> Result<(), Stop> {
        self.pairs_left = self.pairs_left.checked_sub(pairs).ok_or(Stop::TooLarge)?;
        Ok(())
    }
}

impl Key {
    /// What decides between rows of one key, the least first: the column of the function, then the others as they stand. NULL is last.
    fn order(self, row: &Row) -> Vec<(bool, i64, &'static str)> {
        let rank = |(at, value): (usize, &Value)| match value {
            Value::Null => (true, 0, ""),
            Value::Int(number) if at == self.columns && self.function == Some(Function::Max) => (false, -number, ""),
            Value::Int(number) => (false, *number, ""),
            Value::Text(text) => (false, 0, *text),
        };
        row.iter().enumerate().skip(self.columns).map(rank).collect()
    }
}

fn bounded(rows: &[Row]) -> Result<(), Stop> {
    if rows.len() > ROWS_MAX { Err(Stop::TooLarge) } else { Ok(()) }
}

/// A bag in its order.
pub(crate) fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

/// Each row once.
fn distinct(rows: Vec<Row>) -> Vec<Row> {
    let mut rows = sorted(rows);
    rows.dedup();
    rows
}
