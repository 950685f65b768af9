//! What the SQL contenders share: the queries, rows as Arrow batches, and the answer that batches hold.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use crate::Failure;
use crate::checksum::{Answer, RowHash};

/// All pairs of a node and one it leads to.
pub(crate) const CLOSURE: &str = "\
    WITH RECURSIVE closure(source, target) AS (
        SELECT source, target FROM edges
        UNION
        SELECT closure.source, edges.target FROM closure JOIN edges ON edges.source = closure.target
    ) SELECT source, target FROM closure";

/// The nodes that node 0 leads to, and itself.
pub(crate) const CHAIN: &str = "\
    WITH RECURSIVE reached(node) AS (
        SELECT CAST(0 AS INT)
        UNION
        SELECT edges.target FROM reached JOIN edges ON edges.source = reached.node
    ) SELECT node FROM reached";

/// A column type of graphs.
pub(crate) trait SqlValue: Sized {
    /// Its name in SQL.
    const TYPE: &str;

    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
}

impl SqlValue for i32 {
    const TYPE: &str = "INT";

    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(values.copied()))
    }
}

impl SqlValue for String {
    const TYPE: &str = "TEXT";

    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(values))
    }
}

/// Rows as one batch; no column holds a NULL.
pub(crate) fn pairs<L: SqlValue, R: SqlValue>(names: [&str; 2], rows: &[(L, R)]) -> RecordBatch {
    let columns = vec![L::column(rows.iter().map(|row| &row.0)), R::column(rows.iter().map(|row| &row.1))];
    let fields = names.iter().zip(&columns).map(|(name, column)| Field::new(*name, column.data_type().clone(), false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns).expect("columns of one length, of the types of the schema")
}

/// Adds the rows of a batch, each with its weight.
pub(crate) fn add_batch(answer: &mut Answer, batch: &RecordBatch, weight: impl Fn(usize) -> i64) -> Result<(), Failure> {
    let mut hashes = vec![RowHash::default(); batch.num_rows()];
    for column in batch.columns() {
        if column.null_count() > 0 {
            return Err("there is a NULL in an answer that can have none".into());
        }
        if column.data_type().is_integer() || matches!(column.data_type(), DataType::Decimal128(_, 0)) {
            let column = cast(column, &DataType::Int64)?;
            let values = column.as_primitive::<Int64Type>().values();
            hashes.iter_mut().zip(values).for_each(|(row, value)| row.integer(*value));
        } else {
            let column = cast(column, &DataType::Utf8)?;
            let values = column.as_string::<i32>().iter().flatten();
            hashes.iter_mut().zip(values).for_each(|(row, value)| row.text(value));
        }
    }
    for (number, row) in hashes.into_iter().enumerate() {
        answer.add(row, weight(number));
    }
    Ok(())
}

/// The answer that batches hold, each row once.
pub(crate) fn answer(batches: &[RecordBatch]) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    for batch in batches {
        add_batch(&mut answer, batch, |_| 1)?;
    }
    Ok(answer)
}
