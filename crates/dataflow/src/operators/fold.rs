//! Aggregates that are worked out anew: of each group one row, its key and what the functions make of all of its rows.

use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, Fold as Call};

use super::ordered::{Given, GroupRows, OfGroup, ordered};
use super::{Context, Edge};

struct Fold {
    call: Call,
    rows: GroupRows,
}

impl OfGroup for Fold {
    fn give(&self, group: &mut dyn Iterator<Item = (Vec<u64>, u64)>) -> Given {
        let rows = self.rows.decoded(group);
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let key = rows.columns()[..self.call.keys].iter().map(|key| key.slice(0, 1)).collect();
        self.rows.given(key, &self.call.calls, &rows)
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
    let function = Fold { call: call.clone(), rows: GroupRows::new(context, (schema, output)) };
    let keys = (0..call.keys).collect::<Vec<_>>();
    ordered(context, "Fold", (input, exchange, placement), (schema, output), (&keys, &[]), function)
}
