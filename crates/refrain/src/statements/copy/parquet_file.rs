//! Rows of a parquet file. Columns are found by name and cast to the table's types.

use std::fs::File;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use refrain_sql::catalog::Relation as Entry;

use super::{BATCH_ROWS, Sink};
use crate::assign;
use crate::constraints::Defaults;
use crate::error::{Error, Result};

/// Reads a file of `bytes` bytes into these columns of a table; columns of the file that the table lacks are left out.
pub(super) fn read(
    file: File,
    bytes: u64,
    (entry, defaults): (&Entry, &Defaults),
    columns: &[usize],
    sink: &mut Sink<'_>,
) -> Result<()> {
    let unreadable = |e: &dyn std::fmt::Display| Error::data("22P04", format!("the file is not readable as parquet: {e}"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| unreadable(&e))?;
    let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0).max(1);
    let mut rows = 0;
    for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(|e| unreadable(&e))? {
        let batch = batch.map_err(|e| unreadable(&e))?;
        rows += batch.num_rows() as u64;
        let batch = assign::by_name(entry, &wanted(&batch, entry, columns)?, defaults)?;
        let read = u64::try_from(u128::from(bytes) * u128::from(rows.min(total)) / u128::from(total)).unwrap_or(bytes);
        sink(batch, read, bytes)?;
    }
    Ok(())
}

fn wanted(batch: &RecordBatch, entry: &Entry, columns: &[usize]) -> Result<RecordBatch> {
    let schema = batch.schema();
    let find = |column: &usize| {
        let name = &entry.columns[*column].name;
        schema.index_of(name).map_err(|_| Error::data("42703", format!("column \"{name}\" does not exist in the file")))
    };
    let indices = columns.iter().map(find).collect::<Result<Vec<_>>>()?;
    batch.project(&indices).map_err(|e| Error::engine(e.to_string()))
}
