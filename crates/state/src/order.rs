//! A total order of packed rows, by value: the same in every process, whatever codes their texts have.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};

use crate::domain::Domain;
use crate::{Dictionary, RowLayout};

/// See the module.
#[derive(Clone, Debug)]
pub struct RowOrder {
    layout: RowLayout,
    columns: Vec<Column>,
    /// The first column, where it is a whole number of at most one word.
    first: Option<Number>,
    dictionary: Arc<Dictionary>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    by: OrderBy,
    domain: Domain,
}

/// How a signed whole number is read from a row.
#[derive(Clone, Copy, Debug)]
struct Number {
    word: usize,
    /// Bits above and below it in its word.
    above: u32,
    bits: u32,
    /// The word and the bit that is set where it is NULL.
    null: Option<(usize, u64)>,
    descending: bool,
}

/// A column that rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// The column.
    pub column: usize,
    /// Greater values come first.
    pub descending: bool,
    /// NULL comes before everything else, not behind it.
    pub nulls_first: bool,
}

impl OrderBy {
    /// Lesser values first, NULL last.
    #[must_use]
    pub fn ascending(column: usize) -> Self {
        Self { column, descending: false, nulls_first: false }
    }
}

impl RowOrder {
    /// Rows of a logical schema, by these columns.
    #[must_use]
    pub fn new(schema: &Schema, columns: &[OrderBy], dictionary: &Arc<Dictionary>) -> Self {
        let column = |by: &OrderBy| {
            // What has no order of its own, an interval, is ordered by its bits.
            let domain = Domain::of(schema.field(by.column).data_type()).unwrap_or(Domain::Unsigned);
            Column { by: *by, domain }
        };
        let (layout, columns) = (RowLayout::of_schema(schema), columns.iter().map(column).collect::<Vec<_>>());
        let first = columns.first().filter(|first| matches!(first.domain, Domain::Signed(1..=64)));
        let number = |first: &Column| {
            let (word, shift, bits, null) = layout.place(first.by.column);
            Number { word, above: 64 - bits - shift, bits, null, descending: first.by.descending }
        };
        Self { first: first.map(number), layout, columns, dictionary: Arc::clone(dictionary) }
    }

    /// Whether values of this logical type are ordered as SQL orders them.
    #[must_use]
    pub fn is_of(data_type: &DataType) -> bool {
        Domain::of(data_type).is_some()
    }

    /// Which of two rows comes first.
    #[must_use]
    pub fn compare(&self, a: &[u64], b: &[u64]) -> Ordering {
        let mut each = self.columns.iter().map(|Column { by, domain }| {
            let (a, b) = (self.layout.cell(a, by.column), self.layout.cell(b, by.column));
            match (a, b) {
                (Some(a), Some(b)) if by.descending => self.values(*domain, b, a),
                (Some(a), Some(b)) => self.values(*domain, a, b),
                (a, b) if by.nulls_first => b.is_none().cmp(&a.is_none()),
                (a, b) => a.is_none().cmp(&b.is_none()),
            }
        });
        each.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// A number that is not greater for rows that come first, as far as the first column tells; the same for all where it holds codes.
    #[inline]
    #[must_use]
    pub fn rank(&self, row: &[u64]) -> i64 {
        let Some(Number { word, above, bits, null, descending }) = self.first else { return self.rank_of_any(row) };
        if null.is_some_and(|(word, bit)| row[word] & bit != 0) {
            return i64::MAX;
        }
        let number = (row[word] << above) as i64 >> (64 - bits);
        if descending { number.saturating_neg() } else { number }
    }

    /// Whether rows of equal rank are equal in this order.
    #[inline]
    #[must_use]
    pub fn is_ranked(&self) -> bool {
        self.columns.len() == 1 && self.first.is_some_and(|first| first.bits < 64)
    }

    fn rank_of_any(&self, row: &[u64]) -> i64 {
        let Some(by) = self.columns.first().filter(|by| by.domain != Domain::Code) else { return 0 };
        let Some(bits) = self.layout.cell(row, by.by.column) else { return i64::MAX };
        let number = by.domain.number(bits).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        if by.by.descending { number.saturating_neg() } else { number }
    }

    fn values(&self, domain: Domain, a: u128, b: u128) -> Ordering {
        if domain == Domain::Code {
            let code = |bits| u32::try_from(bits).expect("a code has 32 bits");
            return self.dictionary.compare(code(a), code(b));
        }
        domain.number(a).cmp(&domain.number(b))
    }
}

#[cfg(test)]
mod tests;
