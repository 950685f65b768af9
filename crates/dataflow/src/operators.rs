//! The operators, one file each, and what they share: inboxes, and the state that a worker keeps in sight.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use refrain_state::{Dictionary, Memory};
use refrain_types::{Delta, OperatorId};
use timely::communication::Pull;
use timely::dataflow::Stream;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::Antichain;
use timely::progress::frontier::MutableAntichain;
use timely::progress::operate::FrontierInterest;
use timely::scheduling::Activator;

use refrain_plan::{Exchange, NodeId};

use crate::control::Control;
use crate::parcel::{ByKey, Parcel, Parcels, ToTarget, copies};
use crate::part::{Captured, Part, Size};
use crate::time::{Path, Time};

pub(crate) mod aggregate;
pub(crate) mod distinct;
pub(crate) mod fold;
mod growth;
pub(crate) mod join;
pub(crate) mod loop_head;
pub(crate) mod map;
pub(crate) mod negate;
mod ordered;
pub(crate) mod reduce;
pub(crate) mod scope;
pub(crate) mod sink;
pub(crate) mod stage;
pub(crate) mod temporal;
pub(crate) mod top_k;
pub(crate) mod unnest;
pub(crate) mod variable;
pub(crate) mod window;

/// An edge of the dataflow.
pub(crate) type Edge<'scope> = Stream<'scope, Time, Parcel>;

/// The outgoing end of an operator.
pub(crate) type Outbox = OutputBuilder<Time, Parcels>;

/// Hands each waiting message to the function it is called with.
pub(crate) type Inbox = Box<dyn FnMut(&mut dyn FnMut(InputCapability<Time>, Delta))>;

/// What an operator needs to know about the dataflow it is built into.
#[derive(Clone)]
pub(crate) struct Context {
    pub control: Arc<Control>,
    pub operator: OperatorId,
    pub worker: usize,
    pub peers: usize,
    pub registry: Rc<RefCell<Registry>>,
    /// The rows on the edges of the loop that the operator stands in.
    pub outstanding: Outstanding,
}

/// Counts the rows that an operator gives, and those on the edges of a loop's body, at all workers: sent and not yet worked off. While
/// these are many the loop's head releases nothing, so neither memory nor the time to a cut grows with the size of an iteration.
#[derive(Clone)]
pub(crate) struct Outstanding {
    control: Arc<Control>,
    /// The node whose rows are counted, if they are.
    node: Option<NodeId>,
    /// The loop that the operator stands in.
    index: Option<usize>,
    /// How many operators read the edge that the operator puts rows on.
    readers: usize,
}

impl Outstanding {
    /// Of the loop with this number, if any, for an operator whose rows so many others read.
    pub fn of(control: &Arc<Control>, node: Option<NodeId>, index: Option<usize>, readers: usize) -> Self {
        Self { control: Arc::clone(control), node, index, readers }
    }

    /// Rows are put on the operator's edge.
    #[inline]
    pub fn sent(&self, rows: usize) {
        if let Some(node) = self.node
            && rows != 0
        {
            self.control.give(node, rows);
        }
        self.add(i64::try_from(rows * self.readers).expect("a delta has far fewer rows"));
    }

    /// Rows that came by an edge inside the loop are worked off.
    #[inline]
    pub fn done(&self, rows: usize) {
        self.add(-i64::try_from(rows).expect("a delta has far fewer rows"));
    }

    fn add(&self, rows: i64) {
        if let Some(index) = self.index
            && rows != 0
        {
            self.control.loops[index].outstanding.fetch_add(rows, Ordering::Relaxed);
        }
    }
}

impl Context {
    pub fn dictionary(&self) -> &Arc<Dictionary> {
        &self.control.dictionary
    }

    /// Where the rows of operators are.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.control.memory
    }

    /// The right to send in the first tick, of those that an operator has when it is built. Rows that were sent before it would go round
    /// a loop before the tick's own, and these would find the state of later iterations: with an aggregate in the loop, without end.
    pub fn for_first_tick(&self, initial: Vec<Capability<Time>>) -> Capability<Time> {
        let mut capability = initial.into_iter().next().expect("the operator has an output");
        capability.downgrade(&Time::of_tick(self.control.first_tick()));
        capability
    }

    /// What an operator does when it is scheduled, with the time that it takes counted.
    pub fn timed(
        &self,
        mut schedule: impl FnMut(&[MutableAntichain<Time>]) + 'static,
    ) -> impl FnMut(&[MutableAntichain<Time>]) + 'static {
        let (control, node) = (Arc::clone(&self.control), self.operator.0 as usize);
        move |frontiers| control.timed(node, || schedule(frontiers))
    }
}

/// The operators of one dataflow at one worker that have state.
#[derive(Default)]
pub(crate) struct Registry {
    pub stateful: Vec<Rc<RefCell<dyn Stateful>>>,
    /// Wake the loop heads: for a new tick, and when they shall hold.
    pub heads: Vec<Activator>,
}

/// An operator that remembers something between ticks.
pub(crate) trait Stateful {
    /// What changed since the last capture, or everything.
    fn capture(&mut self, full: bool) -> Vec<Captured>;

    /// From now on, while there is no state yet, changes are noted where that makes the first capture short.
    fn note_everything(&mut self) {}

    /// Rows that are held for the next tick.
    fn held_rows(&self) -> u64 {
        0
    }

    /// Between ticks: an opportunity to tidy up.
    fn rest(&mut self) {}

    /// The operator.
    fn operator(&self) -> OperatorId;

    /// What it remembers, part by part.
    fn sizes(&self, each: &mut dyn FnMut(Part, Size));
}

fn inbox<P: Pull<Message<Time, Parcel>> + 'static>(mut input: InputHandleCore<Time, Parcel, P>) -> Inbox {
    Box::new(move |take| {
        input.for_each(|capability, parcel| {
            if let Some(delta) = parcel.delta.take() {
                take(capability, delta);
            }
        });
    })
}

/// Adds an input. `paths` say, for each output that exists already, what a message does to its time on the way there.
pub(crate) fn connect<'scope>(
    builder: &mut OperatorBuilder<'scope, Time>,
    stream: Edge<'scope>,
    exchange: &Exchange,
    schema: &arrow::datatypes::SchemaRef,
    paths: &[Path],
) -> Inbox {
    let paths = paths.iter().map(|path| Antichain::from_elem(*path)).enumerate().collect::<Vec<_>>();
    match exchange {
        Exchange::Stay => inbox(builder.new_input_connection(stream, Pipeline, paths)),
        Exchange::Hash(columns) => {
            let (schema, columns) = (Arc::clone(schema), columns.clone());
            let pact = DistributorPact(move |peers| ByKey::new(&schema, &columns, peers));
            inbox(builder.new_input_connection(stream, pact, paths))
        }
        Exchange::Broadcast => inbox(builder.new_input_connection(to_all(stream), DistributorPact(|_| ToTarget), paths)),
    }
}

/// Copies of every delta, one for each worker.
fn to_all(input: Edge<'_>) -> Edge<'_> {
    let peers = input.scope().peers();
    let mut builder = OperatorBuilder::new("Copies".into(), input.scope());
    let (mut out, stream) = output(&mut builder);
    let mut inbox = inbox(builder.new_input_connection(input, Pipeline, [(0, Antichain::from_elem(Path::default()))]));
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(move |_| {
        move |_| {
            let mut out = out.activate();
            inbox(&mut |capability, delta| {
                let mut session = out.session_with_builder(&capability);
                for mut parcel in copies(delta, peers) {
                    session.give_container(&mut parcel);
                }
            });
        }
    });
    stream
}

/// An operator with one input: gives what `each` makes of every delta, if it is anything.
pub(crate) fn stateless<'scope>(
    context: &Context,
    name: &str,
    input: Edge<'scope>,
    exchange: &Exchange,
    schema: &arrow::datatypes::SchemaRef,
    each: impl Fn(Delta) -> Delta + 'static,
) -> Edge<'scope> {
    let mut builder = OperatorBuilder::new(name.into(), input.scope());
    let (mut out, stream) = output(&mut builder);
    let mut inbox = connect(&mut builder, input, exchange, schema, &[Path::default()]);
    builder.set_notify_for(0, FrontierInterest::Never);
    builder.build(|_| {
        context.timed(move |_| {
            let mut out = out.activate();
            inbox(&mut |capability, delta| {
                let delta = each(delta);
                if !delta.is_empty() {
                    out.session_with_builder(&capability).give_container(&mut delta.into());
                }
            });
        })
    });
    stream
}

/// An operator with state and one input: gives what the state makes of every delta, as it comes.
pub(crate) fn stateful<'scope, S: Stateful + 'static>(
    context: &Context,
    name: &str,
    (input, exchange): (Edge<'scope>, &Exchange),
    schema: &arrow::datatypes::SchemaRef,
    state: S,
    step: impl Fn(&mut S, Delta) -> Delta + 'static,
) -> Edge<'scope> {
    let state = Rc::new(RefCell::new(state));
    context.registry.borrow_mut().stateful.push(state.clone());
    let outstanding = context.outstanding.clone();
    stateless(context, name, input, exchange, schema, move |delta| {
        outstanding.done(delta.num_rows());
        let delta = step(&mut state.borrow_mut(), delta);
        outstanding.sent(delta.num_rows());
        delta
    })
}

/// Adds an output that is connected to no input yet.
pub(crate) fn output<'scope>(builder: &mut OperatorBuilder<'scope, Time>) -> (Outbox, Edge<'scope>) {
    let (output, stream) = builder.new_output_connection::<Parcel, Vec<(usize, Antichain<Path>)>>(Vec::new());
    (OutputBuilder::from(output), stream)
}
