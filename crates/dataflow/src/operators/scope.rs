//! Into a loop and out of it: rows change nothing but their iteration, which begins at 0 and is forgotten.

use refrain_plan::Exchange;
use refrain_types::Delta;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::{Context, Edge, Outstanding, connect, output, stateless};
use crate::time::Path;

/// Rows of `input`, which stands outside, inside a loop.
pub(crate) fn enter<'scope>(context: &Context, input: Edge<'scope>, schema: &arrow::datatypes::SchemaRef) -> Edge<'scope> {
    let outstanding = context.outstanding.clone();
    stateless(context, "Enter", input, &Exchange::Stay, schema, move |delta| {
        outstanding.sent(delta.num_rows());
        delta
    })
}

/// Rows of `input`, which stands in the loop at `depth`, outside it. `inside` counts the rows on the edges of that loop.
pub(crate) fn leave<'scope>(
    context: &Context,
    inside: Outstanding,
    input: Edge<'scope>,
    schema: &arrow::datatypes::SchemaRef,
    depth: usize,
) -> Edge<'scope> {
    let mut builder = OperatorBuilder::new("Leave".into(), input.scope());
    let (mut out, stream) = output(&mut builder);
    let mut inbox = connect(&mut builder, input, &Exchange::Stay, schema, &[Path::leave(depth)]);
    builder.set_notify_for(0, FrontierInterest::Never);
    let outstanding = context.outstanding.clone();
    builder.build(|_| {
        context.timed(move |_| {
            let mut out = out.activate();
            inbox(&mut |message, delta| {
                inside.done(delta.num_rows());
                outstanding.sent(delta.num_rows());
                let time = message.least().expect("messages of a dataflow carry a stamp").at_iteration(depth, 0);
                let delta = Delta { iterations: None, ..delta };
                out.session_with_builder(&message.delayed(&time, 0)).give_container(&mut delta.into());
            });
        })
    });
    stream
}
