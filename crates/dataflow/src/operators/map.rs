//! Filters and projections: stateless, a delta in, a delta out. In a loop they stand on the path of its variable.

use refrain_plan::{Exchange, RowFunction};

use super::{Context, Edge, stateless};
use crate::expression::CompiledRowFunction;

/// Applies a row function to every row.
pub(crate) fn map<'scope>(
    context: &Context,
    input: Edge<'scope>,
    exchange: &Exchange,
    schema: &arrow::datatypes::SchemaRef,
    function: &RowFunction,
) -> Edge<'scope> {
    let function = CompiledRowFunction::new(function, schema, context.dictionary().clone(), context.operator);
    let outstanding = context.outstanding.clone();
    stateless(context, "Map", input, exchange, schema, move |delta| {
        outstanding.done(delta.num_rows());
        let delta = function.apply(delta);
        outstanding.sent(delta.num_rows());
        delta
    })
}
