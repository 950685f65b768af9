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
    dictionary: Arc<Dictionary>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    column: usize,
    domain: Domain,
    descending: bool,
}

impl RowOrder {
    /// Rows of a logical schema, by these columns: each with whether greater values come first. NULL comes last.
    #[must_use]
    pub fn new(schema: &Schema, columns: &[(usize, bool)], dictionary: &Arc<Dictionary>) -> Self {
        let column = |(column, descending): &(usize, bool)| {
            // What has no order of its own, an interval, is ordered by its bits.
            let domain = Domain::of(schema.field(*column).data_type()).unwrap_or(Domain::Unsigned);
            Column { column: *column, domain, descending: *descending }
        };
        Self {
            layout: RowLayout::of_schema(schema),
            columns: columns.iter().map(column).collect(),
            dictionary: Arc::clone(dictionary),
        }
    }

    /// Whether values of this logical type are ordered as SQL orders them.
    #[must_use]
    pub fn is_of(data_type: &DataType) -> bool {
        Domain::of(data_type).is_some()
    }

    /// Which of two rows comes first.
    #[must_use]
    pub fn compare(&self, a: &[u64], b: &[u64]) -> Ordering {
        let each = self.columns.iter().map(|by| {
            let (a, b) = (self.layout.cell(a, by.column), self.layout.cell(b, by.column));
            match (a, b) {
                (Some(a), Some(b)) if by.descending => self.values(by.domain, b, a),
                (Some(a), Some(b)) => self.values(by.domain, a, b),
                (a, b) => a.is_none().cmp(&b.is_none()),
            }
        });
        each.fold(Ordering::Equal, Ordering::then)
    }

    fn values(&self, domain: Domain, a: u128, b: u128) -> Ordering {
        if domain == Domain::Code {
            let code = |bits| u32::try_from(bits).expect("a code has 32 bits");
            return self.dictionary.compare(code(a), code(b));
        }
        domain.number(a).cmp(&domain.number(b))
    }
}
