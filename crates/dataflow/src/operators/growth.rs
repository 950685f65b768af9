//! What is said of a recursion that has not ended at its limit: an error for each row that is new in the last iteration, which would have
//! had to change nothing.
//!
//! The error names the row, so that whichever worker comes after a restore can take it back word for word.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use refrain_plan::RecursionLimit;
use refrain_state::{RowLayout, decode_batch};
use refrain_types::physical::physical_schema;
use refrain_types::{ErrorRow, Iteration, SqlState};

use super::Context;

/// The limit of a recursion and the words for what exceeds it.
pub(crate) struct Growth {
    limit: RecursionLimit,
    context: Context,
    name: String,
    schema: SchemaRef,
    physical: SchemaRef,
    layout: RowLayout,
}

impl Growth {
    /// Of the recursion of this name, whose rows have this logical schema.
    pub fn new(context: &Context, limit: RecursionLimit, name: &str, schema: &SchemaRef) -> Self {
        Self {
            limit,
            context: context.clone(),
            name: name.to_owned(),
            schema: Arc::clone(schema),
            physical: physical_schema(schema),
            layout: RowLayout::of_schema(schema),
        }
    }

    /// The last iteration: its rows do not go on.
    pub fn last(&self) -> Iteration {
        self.limit.iterations - 1
    }

    /// Whether going on is an error.
    pub fn fails(&self) -> bool {
        self.limit.fails
    }

    /// The error of a packed row.
    pub fn error(&self, row: &[u64]) -> ErrorRow {
        let message = format!(
            "recursive query \"{}\" did not end within {} iterations, the last of which derived {}",
            self.name,
            self.limit.iterations,
            self.text(row)
        );
        ErrorRow { operator: self.context.operator, code: SqlState::PROGRAM_LIMIT_EXCEEDED, message }
    }

    /// A row as PostgreSQL writes one, its texts as they are.
    fn text(&self, row: &[u64]) -> String {
        let row: RecordBatch = decode_batch(self.context.dictionary(), &self.layout.unpack(row, &self.physical), &self.schema);
        let options = FormatOptions::default();
        let cells = row.columns().iter().map(|column| {
            ArrayFormatter::try_new(column, &options).map_or_else(|_| "?".to_owned(), |cell| cell.value(0).to_string())
        });
        format!("({})", cells.collect::<Vec<_>>().join(","))
    }
}
