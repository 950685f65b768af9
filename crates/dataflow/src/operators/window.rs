//! Window functions: each row of a group, with what the functions make of the group at that row.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, Window as Call};
use refrain_state::{RowLayout, encode_batch};
use refrain_types::SqlState;

use super::ordered::{Given, GroupRows, OfGroup, ordered};
use super::{Context, Edge};
use crate::expression::evaluation_error;

struct Window {
    call: Call,
    rows: GroupRows,
    output: SchemaRef,
    output_layout: RowLayout,
}

impl OfGroup for Window {
    fn give(&self, group: &mut dyn Iterator<Item = (Vec<u64>, u64)>) -> Given {
        let rows = self.rows.decoded(group);
        let mut columns = rows.columns().to_vec();
        for call in &self.call.calls {
            columns.push(call.function.evaluate(&rows).map_err(|error| evaluation_error(&error))?);
        }
        let rows =
            RecordBatch::try_new(Arc::clone(&self.output), columns).map_err(|e| (SqlState::INTERNAL_ERROR, e.to_string()))?;
        let mut packed = Vec::new();
        self.output_layout.pack_batch(&encode_batch(self.rows.dictionary(), &rows), &mut packed);
        Ok(packed.chunks_exact(self.output_layout.words()).map(|row| (row.to_vec(), 1)).collect())
    }
}

/// The rows of each group of `input` with what is computed of the group.
pub(crate) fn window<'scope>(
    context: &Context,
    input: Edge<'scope>,
    (exchange, placement): (&Exchange, &Exchange),
    (schema, output): (&SchemaRef, &SchemaRef),
    call: &Call,
) -> Edge<'scope> {
    let function = Window {
        call: call.clone(),
        rows: GroupRows::new(context, schema),
        output: Arc::clone(output),
        output_layout: RowLayout::of_schema(output),
    };
    ordered(context, "Window", (input, exchange, placement), (schema, output), (&call.keys, &call.order), function)
}
