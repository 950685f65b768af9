//! `character(n)` as it is read: filled with blanks to its length. They are not stored, so that what compares values need not know of them.
//!
//! # Known limitation
//! Only columns of tables as they are have a length; PostgreSQL gives one to `max(c)`, too. `LIKE` and `octet_length` see the value without
//! blanks.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use refrain_sql::SqlType;
use refrain_sql::catalog::Column;

use crate::error::{Error, Result};

/// Rows with the blanks of the columns that are declared with a length.
pub(crate) fn padded(columns: &[Column], rows: RecordBatch) -> Result<RecordBatch> {
    let length = |column: &Column| if let Some(SqlType::Char(n)) = column.sql_type { Some(n as usize) } else { None };
    if columns.iter().all(|column| length(column).is_none()) {
        return Ok(rows);
    }
    let filled = rows.columns().iter().zip(columns).map(|(values, column)| match (length(column), values.as_string_opt::<i32>()) {
        (Some(length), Some(texts)) => {
            Arc::new(texts.iter().map(|t| t.map(|t| format!("{t:length$}"))).collect::<StringArray>()) as ArrayRef
        }
        _ => Arc::clone(values),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(rows.schema(), filled.collect(), &options).map_err(|e| Error::engine(e.to_string()))
}
