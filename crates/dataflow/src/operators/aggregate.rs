//! `GROUP BY`: one row per group, exact under retraction. Outside loops.
//!
//! Changes are added to the groups' accumulators as they come. When the tick's frontier passes, each group that was touched says
//! what its row is now; where that differs from what it said before the tick, the old row goes and the new one comes. A group whose
//! aggregate does not fit its type says an error instead.

mod groups;
mod kept;

use std::cell::RefCell;
use std::rc::Rc;

use arrow::datatypes::SchemaRef;
use refrain_plan::{Aggregate, Exchange};
use refrain_types::Delta;
use refrain_types::errors::Errors;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::{Context, Edge, connect, output};
use crate::part::Part;
use crate::restore::restore_part;
use crate::time::Path;
use groups::Groups;
pub(crate) use groups::aggregators;
pub(crate) use kept::sums_schema;

/// Groups `input` by its first columns.
pub(crate) fn aggregate<'scope>(
    context: &Context,
    input: Edge<'scope>,
    exchange: &Exchange,
    placement: &Exchange,
    schema: &SchemaRef,
    aggregate: &Aggregate,
    output_schema: &SchemaRef,
) -> Edge<'scope> {
    let mut groups = Groups::new(context, schema, aggregate, output_schema);
    if aggregate.keys == 0 && context.worker == 0 {
        groups.begin_only_group();
    }
    // A key stands first in either part, so its rows are placed alike.
    restore_part(context, Part::Left, placement, schema, |delta| groups.take(&delta, &mut Vec::new()));
    if let Some(sums) = sums_schema(aggregate, schema) {
        restore_part(context, Part::Sums, placement, &sums, |delta| groups.restore_sums(&delta));
    }
    if context.control.restored_tick.is_some() {
        groups.restored();
    }
    let groups = Rc::new(RefCell::new(groups));
    context.registry.borrow_mut().stateful.push(groups.clone());

    let mut builder = OperatorBuilder::new("Aggregate".into(), input.scope());
    let (mut out, stream) = output(&mut builder);
    let mut inbox = connect(&mut builder, input, exchange, schema, &[Path::default()]);
    let outstanding = context.outstanding.clone();
    builder.build(|initial| {
        let mut speaking = groups.borrow().speaks_first().then(|| context.for_first_tick(initial));
        context.timed(move |frontiers| {
            let groups = &mut *groups.borrow_mut();
            let mut out = out.activate();
            inbox(&mut |capability, mut delta| {
                let mut errors: Errors = std::mem::take(&mut delta.errors);
                groups.take(&delta, &mut errors);
                if !errors.is_empty() {
                    let errors = Delta::of_errors(groups.physical.clone(), errors);
                    out.session_with_builder(&capability).give_container(&mut errors.into());
                }
                if speaking.as_ref().is_none_or(|c| capability.least().is_some_and(|t| t < c.time())) {
                    speaking = capability.retain_least(0);
                }
            });
            if let Some(capability) = speaking.take_if(|c| !frontiers[0].less_equal(c.time())) {
                let mut session = out.session_with_builder(&capability);
                groups.flush(|delta| {
                    outstanding.sent(delta.num_rows());
                    session.give_container(&mut delta.into());
                });
            }
        })
    });
    stream
}
