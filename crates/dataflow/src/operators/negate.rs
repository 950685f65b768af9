//! Takes rows away: weights change their sign. Errors keep theirs, for what fails on the way to a row that would be taken away is not
//! taken away with it.

use arrow::datatypes::SchemaRef;
use refrain_plan::Exchange;
use refrain_types::Delta;

use super::{Context, Edge, stateless};

/// The rows of `input` with the opposite weights.
pub(crate) fn negate<'scope>(context: &Context, input: Edge<'scope>, schema: &SchemaRef) -> Edge<'scope> {
    let outstanding = context.outstanding.clone();
    stateless(context, "Negate", input, &Exchange::Stay, schema, move |mut delta| {
        let errors = std::mem::take(&mut delta.errors);
        outstanding.done(delta.num_rows());
        outstanding.sent(delta.num_rows());
        Delta { errors, ..delta.negated() }
    })
}
