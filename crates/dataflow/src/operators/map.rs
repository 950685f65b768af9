//! Filters and projections: stateless, a delta in, a delta out. In a loop they stand on the path of its variable.

use refrain_plan::{Exchange, RowFunction};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::{Context, Edge, connect, output};
use crate::expression::CompiledRowFunction;
use crate::time::Path;

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
    let mut builder = OperatorBuilder::new("Map".into(), input.scope());
    let (mut out, stream) = output(&mut builder);
    let mut inbox = connect(&mut builder, input, exchange, schema, &[Path::default()]);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(move |_| {
        move |_| {
            let mut out = out.activate();
            inbox(&mut |capability, delta| {
                outstanding.done(delta.num_rows());
                let delta = function.apply(delta);
                outstanding.sent(delta.num_rows());
                if !delta.is_empty() {
                    out.session_with_builder(&capability).give_container(&mut delta.into());
                }
            });
        }
    });
    stream
}
