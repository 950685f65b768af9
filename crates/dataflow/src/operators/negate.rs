//! Takes rows away: weights change their sign. Errors keep theirs, for what fails on the way to a row that would be taken away is not
//! taken away with it.

use arrow::datatypes::SchemaRef;
use refrain_plan::Exchange;
use refrain_types::Delta;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::{Context, Edge, connect, output};
use crate::time::Path;

/// The rows of `input` with the opposite weights.
pub(crate) fn negate<'scope>(context: &Context, input: Edge<'scope>, schema: &SchemaRef) -> Edge<'scope> {
    let outstanding = context.outstanding.clone();
    let mut builder = OperatorBuilder::new("Negate".into(), input.scope());
    let (mut out, stream) = output(&mut builder);
    let mut inbox = connect(&mut builder, input, &Exchange::Stay, schema, &[Path::default()]);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(move |_| {
        move |_| {
            let mut out = out.activate();
            inbox(&mut |capability, mut delta| {
                let errors = std::mem::take(&mut delta.errors);
                let delta = Delta { errors, ..delta.negated() };
                outstanding.done(delta.num_rows());
                outstanding.sent(delta.num_rows());
                out.session_with_builder(&capability).give_container(&mut delta.into());
            });
        }
    });
    stream
}
