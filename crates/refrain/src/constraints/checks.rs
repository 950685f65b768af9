//! The checks of a table, ready to be evaluated.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use refrain_sql::catalog::Relation as Entry;

use super::computed::Computed;
use crate::database::Database;
use crate::display;
use crate::error::{Error, Result};

/// What `CHECK` says of the rows of one table.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    table: String,
    names: Vec<String>,
    /// A column for each name; `None` where there is no check.
    conditions: Option<Computed>,
}

impl Checks {
    /// The checks of a table.
    pub fn of(database: &Database, entry: &Entry) -> Result<Self> {
        let Some(bound) = refrain_sql::bind_checks(&database.catalog, entry)? else { return Ok(Self::default()) };
        let names = bound.schema.fields().iter().map(|f| f.name().clone()).collect();
        let conditions = Computed::of(database, bound, &format!("a check of table \"{}\"", entry.name))?;
        Ok(Self { table: entry.own_name().to_owned(), names, conditions: Some(conditions) })
    }

    /// That no check is false for any of these rows of the table.
    ///
    /// # Errors
    /// `23514` for the first row for which one is; and the errors of the expressions.
    pub fn check(&self, rows: &RecordBatch) -> Result<()> {
        let Some(conditions) = &self.conditions else { return Ok(()) };
        let results = conditions.evaluate(rows)?;
        let is_false = |column: &ArrayRef, row| column.as_boolean_opt().is_some_and(|c| c.is_valid(row) && !c.value(row));
        for row in 0..rows.num_rows() {
            if let Some(check) = results.columns().iter().position(|column| is_false(column, row)) {
                let (table, name) = (&self.table, &self.names[check]);
                let values = rows.columns().iter().map(|c| display::value(c, row).unwrap_or_else(|| "null".to_owned()));
                let detail = format!("Failing row contains ({}).", values.collect::<Vec<_>>().join(", "));
                let message = format!("new row for relation \"{table}\" violates check constraint \"{name}\"");
                return Err(Error::data("23514", message).with_detail(detail));
            }
        }
        Ok(())
    }
}
