//! Rows that are known when the view is created: `VALUES`, functions in FROM, and the one row of a SELECT without FROM.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::DFSchema;
use datafusion_expr::{EmptyRelation, Values};
use refrain_sql::bind::errors::from_datafusion;
use refrain_sql::{FunctionRows, Result, SqlError};
use refrain_types::SqlState;

use crate::expression::{physical, projected};

/// Rows of a function in a view, at most.
const FUNCTION_ROWS_MAX: usize = 1_000_000;

/// The schema of a node whose logical node has no columns.
pub(crate) fn no_columns() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("row", DataType::Boolean, false)]))
}

pub(crate) fn empty(relation: &EmptyRelation) -> RecordBatch {
    if relation.schema.fields().is_empty() {
        let rows = usize::from(relation.produce_one_row);
        let column: ArrayRef = Arc::new(BooleanArray::from(vec![true; rows]));
        return RecordBatch::try_new(no_columns(), vec![column]).expect("the column is of the schema's type");
    }
    RecordBatch::new_empty(Arc::clone(relation.schema.inner()))
}

/// Evaluates the rows of `VALUES`; an expression that fails is an error of the statement.
pub(crate) fn values(values: &Values) -> Result<RecordBatch> {
    let schema = values.schema.inner();
    let none = DFSchema::empty();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one_row =
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).expect("a row without columns");
    let columns = (0..schema.fields().len()).map(|c| {
        let cells = values.values.iter().map(|row| {
            let cell = match projected(&row[c], &none, schema.field(c))? {
                refrain_plan::Projected::Computed(cell, _) => cell,
                refrain_plan::Projected::Column(..) => physical(&row[c], &none)?,
            };
            cell.evaluate(&one_row).and_then(|v| v.into_array(1)).map_err(from_datafusion)
        });
        let cells = cells.collect::<Result<Vec<_>>>()?;
        concat(&cells.iter().map(|a| a.as_ref()).collect::<Vec<_>>()).map_err(internal)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    // DataFusion declares all columns of VALUES nullable; what has no NULL is stored without.
    let fields = schema.fields().iter().zip(&columns).map(|(f, c)| Field::new(f.name(), f.data_type().clone(), c.null_count() > 0));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns).map_err(internal)
}

/// The rows of a function. A view holds them all, so there is a limit.
pub(crate) fn function_rows(function: &FunctionRows) -> Result<RecordBatch> {
    let (mut batches, mut rows) = (Vec::new(), 0);
    for batch in function.batches().map_err(from_datafusion)? {
        let batch = batch.map_err(from_datafusion)?;
        rows += batch.num_rows();
        if rows > FUNCTION_ROWS_MAX {
            let name = function.name();
            let message = format!("{name} with more than {FUNCTION_ROWS_MAX} rows is not supported in a materialized view");
            return Err(SqlError::unsupported(message).with_hint("Insert the rows into a table."));
        }
        batches.push(batch);
    }
    concat_batches(&datafusion_expr::TableSource::schema(function), &batches).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, error)
}
