//! Window functions: each row of a group, with what the functions make of the group at that row.

use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, Window as Call};

use super::ordered::{Given, GroupRows, OfGroup, ordered};
use super::{Context, Edge};

struct Window {
    call: Call,
    rows: GroupRows,
}

impl OfGroup for Window {
    fn give(&self, group: &mut dyn Iterator<Item = (Vec<u64>, u64)>) -> Given {
        let rows = self.rows.decoded(group);
        self.rows.given(rows.columns().to_vec(), &self.call.calls, &rows)
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
    let function = Window { call: call.clone(), rows: GroupRows::new(context, (schema, output)) };
    ordered(context, "Window", (input, exchange, placement), (schema, output), (&call.keys, &call.order), function)
}
