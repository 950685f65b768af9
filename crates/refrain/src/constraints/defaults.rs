//! What rows have in the columns that they come without.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Schema};
use refrain_sql::catalog::Relation as Entry;

use super::computed::Computed;
use crate::database::Database;
use crate::error::{Error, Result};

/// The defaults of a table's columns.
#[derive(Debug)]
pub(crate) struct Defaults(Vec<(DataType, Option<Computed>)>);

impl Defaults {
    /// Those of a table.
    pub fn of(database: &Database, entry: &Entry) -> Result<Self> {
        let defaults = entry.columns.iter().map(|column| {
            let what = || format!("the default of column \"{}\"", column.name);
            let bound = refrain_sql::bind_default(&database.catalog, column)?;
            Ok((column.data_type(), bound.map(|bound| Computed::of(database, bound, &what())).transpose()?))
        });
        Ok(Self(defaults.collect::<Result<_>>()?))
    }

    /// The values of a column for so many rows; NULL where it has no default.
    ///
    /// # Errors
    /// When the expression fails.
    pub fn column(&self, at: usize, rows: usize) -> Result<ArrayRef> {
        let (data_type, computed) = &self.0[at];
        let Some(computed) = computed else { return Ok(new_null_array(data_type, rows)) };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options);
        let values = computed.evaluate(&none.map_err(|e| Error::engine(e.to_string()))?)?;
        Ok(Arc::clone(values.column(0)))
    }
}
