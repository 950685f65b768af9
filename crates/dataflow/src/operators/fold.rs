//! Aggregates that are worked out anew: of each group one row, its key and what the functions make of all of its rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, Fold as Call};
use refrain_state::{RowLayout, encode_batch};
use refrain_types::SqlState;

use super::ordered::{Given, GroupRows, OfGroup, ordered};
use super::{Context, Edge};
use crate::expression::evaluation_error;

struct Fold {
    call: Call,
    rows: GroupRows,
    output: SchemaRef,
    output_layout: RowLayout,
}

impl OfGroup for Fold {
    fn give(&self, group: &mut dyn Iterator<Item = (Vec<u64>, u64)>) -> Given {
        let rows = self.rows.decoded(group);
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let mut columns = rows.columns()[..self.call.keys].iter().map(|key| key.slice(0, 1)).collect::<Vec<_>>();
        for call in &self.call.calls {
            columns.push(call.function.evaluate(&rows).map_err(|error| evaluation_error(&error))?);
        }
        let row = RecordBatch::try_new(Arc::clone(&self.output), columns).map_err(|e| (SqlState::INTERNAL_ERROR, e.to_string()))?;
        let mut packed = Vec::new();
        self.output_layout.pack_batch(&encode_batch(self.rows.dictionary(), &row), &mut packed);
        Ok(vec![(packed, 1)])
    }
}

/// One row for each group of `input`.
pub(crate) fn fold<'scope>(
    context: &Context,
    input: Edge<'scope>,
    (exchange, placement): (&Exchange, &Exchange),
    (schema, output): (&SchemaRef, &SchemaRef),
    call: &Call,
) -> Edge<'scope> {
    let function = Fold {
        call: call.clone(),
        rows: GroupRows::new(context, schema),
        output: Arc::clone(output),
        output_layout: RowLayout::of_schema(output),
    };
    let keys = (0..call.keys).collect::<Vec<_>>();
    ordered(context, "Fold", (input, exchange, placement), (schema, output), (&keys, &[]), function)
}
