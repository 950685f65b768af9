//! `ORDER BY … LIMIT`: the first rows of each group.

use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, TopK as Call};
use refrain_types::Weight;

use super::ordered::{Given, OfGroup, ordered};
use super::{Context, Edge};

struct TopK {
    offset: u64,
    limit: u64,
}

impl OfGroup for TopK {
    fn give(&self, group: &mut dyn Iterator<Item = (Vec<u64>, u64)>) -> Given {
        let (mut skip, mut left) = (self.offset, self.limit);
        let mut first = Vec::new();
        while left > 0
            && let Some((row, times)) = group.next()
        {
            let skipped = times.min(skip);
            let taken = (times - skipped).min(left);
            skip -= skipped;
            left -= taken;
            if taken > 0 {
                first.push((row, Weight::try_from(taken).unwrap_or(Weight::MAX)));
            }
        }
        Ok(first)
    }
}

/// The first rows of each group of `input`.
pub(crate) fn top_k<'scope>(
    context: &Context,
    input: Edge<'scope>,
    exchange: &Exchange,
    placement: &Exchange,
    schema: &SchemaRef,
    call: &Call,
) -> Edge<'scope> {
    let function = TopK { offset: call.offset, limit: call.limit.unwrap_or(u64::MAX) };
    ordered(context, "TopK", (input, exchange, placement), (schema, schema), (&call.keys, &call.order), function)
}
