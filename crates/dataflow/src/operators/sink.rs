//! Where a view's changes leave the dataflow: collected until the tick ends, then handed to the engine.

use std::cell::RefCell;
use std::rc::Rc;

use refrain_plan::Exchange;
use refrain_types::Delta;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Probe;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use super::{Edge, connect, output};
use crate::time::{Path, Time};

/// What this worker's part of the view changed by in this tick.
pub(crate) type Collected = Rc<RefCell<Vec<Delta>>>;

/// Collects `input`. The probe tells when a tick has ended everywhere.
pub(crate) fn sink(input: Edge<'_>, schema: &arrow::datatypes::SchemaRef) -> (Collected, ProbeHandle<Time>) {
    let collected = Collected::default();
    let into = Rc::clone(&collected);
    let mut builder = OperatorBuilder::new("Sink".into(), input.scope());
    // The output carries nothing: it is there for the probe.
    let (_out, stream) = output(&mut builder);
    let mut inbox = connect(&mut builder, input, &Exchange::Stay, schema, &[Path::default()]);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(move |_| {
        move |_| {
            inbox(&mut |_, mut delta| {
                delta.iterations = None;
                into.borrow_mut().push(delta);
            });
        }
    });
    let (probe, _) = stream.probe();
    (collected, probe)
}
