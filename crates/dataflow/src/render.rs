//! From a stream plan to operators: the one match over the plan in this crate.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use refrain_plan::{Node, NodeId, Operator, StreamPlan, Variable};
use refrain_state::codec::encode_batch;
use refrain_types::{Delta, LoopId};
use timely::dataflow::operators::{Concatenate, ConnectLoop};
use timely::dataflow::{InputHandle, ProbeHandle, Scope};

use crate::control::Control;
use crate::operators::fold::fold;
use crate::operators::join::{self, join};
use crate::operators::loop_head::{FeedbackHandle, Inputs, loop_head};
use crate::operators::reduce::reduce;
use crate::operators::sink::{Collected, sink};
use crate::operators::top_k::top_k;
use crate::operators::variable::variable;
use crate::operators::window::window;
use crate::operators::{Context, Edge, Outstanding, Registry, aggregate, distinct, map, negate, scope, temporal, unnest};
use crate::parcel::{Parcel, Parcels};
use crate::restore::{placement, placement_of};
use crate::time::Time;

/// A dataflow's outer ends at one worker.
pub(crate) struct Rendered {
    /// One for each source of the plan, with the columns that it reads.
    pub sources: Vec<(NodeId, Vec<usize>, InputHandle<Time, Parcels>)>,
    /// One for each constant of the plan; the rows are admitted in the first tick.
    pub constants: Vec<(Delta, InputHandle<Time, Parcels>)>,
    pub collected: Collected,
    pub probe: ProbeHandle<Time>,
    pub registry: Rc<RefCell<Registry>>,
}

struct Renderer<'scope> {
    control: Arc<Control>,
    scope: Scope<'scope, Time>,
    registry: Rc<RefCell<Registry>>,
    edges: Vec<Option<Edge<'scope>>>,
    /// The start of each loop's body, by head.
    bodies: BTreeMap<NodeId, Edge<'scope>>,
    /// Loops that are closed when all nodes are there: the feedback node and the handle.
    open_loops: Vec<(NodeId, FeedbackHandle<'scope>)>,
    /// The number of each loop, by which its gauge is found.
    loops: BTreeMap<LoopId, usize>,
    /// Errors that leave a loop by its variables, until something leaves it.
    errors: BTreeMap<LoopId, Vec<Edge<'scope>>>,
    sources: Vec<(NodeId, Vec<usize>, InputHandle<Time, Parcels>)>,
    constants: Vec<(Delta, InputHandle<Time, Parcels>)>,
}

/// Builds the operators of a dataflow into `scope`.
pub(crate) fn render(scope: Scope<'_, Time>, control: &Arc<Control>) -> Rendered {
    let plan = Arc::clone(&control.plan);
    let mut renderer = Renderer {
        control: Arc::clone(control),
        scope,
        registry: Rc::default(),
        edges: vec![None; plan.nodes.len()],
        bodies: BTreeMap::new(),
        open_loops: Vec::new(),
        loops: plan.loops().into_iter().enumerate().map(|(index, (id, _))| (id, index)).collect(),
        errors: BTreeMap::new(),
        sources: Vec::new(),
        constants: Vec::new(),
    };
    for id in 0..plan.nodes.len() {
        let edge = renderer.node(&plan, id);
        renderer.edges[id] = Some(edge);
    }
    for (feedback, handle) in std::mem::take(&mut renderer.open_loops) {
        renderer.edge(feedback).connect_loop(handle);
    }
    if renderer.control.notes_everything {
        renderer.registry.borrow().stateful.iter().for_each(|state| state.borrow_mut().note_everything());
    }
    let (collected, probe) = sink(renderer.edge(plan.root), plan.schema());
    Rendered { sources: renderer.sources, constants: renderer.constants, collected, probe, registry: renderer.registry }
}

impl<'scope> Renderer<'scope> {
    /// The count of rows on the edges of the loop that a node stands in.
    fn outstanding(&self, plan: &StreamPlan, id: NodeId) -> Outstanding {
        let index = plan.node(id).scope.last().map(|inner| self.loops[inner]);
        Outstanding::of(&self.control, Some(id), index, plan.readers_inside(id))
    }

    fn edge(&self, id: NodeId) -> Edge<'scope> {
        self.edges[id].clone().expect("inputs of a node stand before it")
    }

    fn input(&self) -> (InputHandle<Time, Parcels>, Edge<'scope>) {
        let mut handle = InputHandle::new_with_builder();
        let edge = handle.to_stream(self.scope);
        (handle, edge)
    }

    fn node(&mut self, plan: &StreamPlan, id: NodeId) -> Edge<'scope> {
        let node = plan.node(id);
        let context = Context {
            control: Arc::clone(&self.control),
            operator: StreamPlan::operator_id(id),
            worker: self.scope.index(),
            peers: self.scope.peers(),
            registry: Rc::clone(&self.registry),
            outstanding: self.outstanding(plan, id),
        };
        let inside = |input: NodeId| !node.scope.is_empty() && plan.node(input).scope == node.scope;
        match &node.operator {
            Operator::Source { columns, .. } => {
                let (handle, edge) = self.input();
                self.sources.push((id, columns.clone(), handle));
                edge
            }
            Operator::Constant(rows) => {
                let (handle, edge) = self.input();
                self.constants.push((Delta::insertions(encode_batch(&self.control.dictionary, rows)), handle));
                edge
            }
            Operator::Map(function) => {
                let (input, exchange) = &node.inputs[0];
                assert!(node.scope.is_empty() || inside(*input), "a map stands where its input does");
                map::map(&context, self.edge(*input), exchange, &plan.node(*input).schema, function)
            }
            Operator::Unnest(call) => {
                unnest::unnest(&context, self.edge(node.inputs[0].0), (&plan.node(node.inputs[0].0).schema, &node.schema), call)
            }
            Operator::Union => {
                let inputs = node.inputs.iter().map(|(input, _)| self.edge(*input)).collect::<Vec<_>>();
                self.scope.concatenate::<_, Parcel>(inputs)
            }
            Operator::Distinct => {
                let (input, exchange) = &node.inputs[0];
                let placement = placement(plan, id, 0);
                let (edge, from) = (self.edge(*input), plan.node(*input));
                if node.keeps_iterations() {
                    distinct::in_loop::distinct(&context, edge, (exchange, &placement), &from.schema)
                } else {
                    distinct::distinct(&context, edge, (exchange, &placement), &from.schema, from.properties.append_only)
                }
            }
            Operator::Aggregate(call) if node.keeps_iterations() => {
                let (input, exchange) = &node.inputs[0];
                let placement = placement(plan, id, 0);
                reduce(&context, self.edge(*input), (exchange, &placement), &plan.node(*input).schema, call, &node.schema)
            }
            Operator::Aggregate(call) => {
                let (input, exchange) = &node.inputs[0];
                let placement = placement(plan, id, 0);
                let schema = &plan.node(*input).schema;
                aggregate::aggregate(&context, self.edge(*input), exchange, &placement, schema, call, &node.schema)
            }
            Operator::TopK(_) | Operator::Window(_) | Operator::Fold(_) => self.of_groups(plan, &context, id),
            Operator::Join(call) => {
                let [left, right] = [0, 1].map(|side| {
                    let (input, exchange) = &node.inputs[side];
                    let from = plan.node(*input);
                    join::Input {
                        stream: self.edge(*input),
                        exchange,
                        placement: placement(plan, id, side),
                        schema: &from.schema,
                        append_only: from.properties.append_only,
                        inside: inside(*input),
                    }
                });
                join(&context, left, right, call, &node.schema, node.keeps_iterations())
            }
            Operator::Temporal(filter) => {
                let [(rows, exchange), (clock, _)] = node.inputs.as_slice() else {
                    unreachable!("a temporal filter has rows and a clock")
                };
                let rows =
                    temporal::Rows { stream: self.edge(*rows), exchange, placement: placement(plan, id, 0), schema: &node.schema };
                temporal::filter(&context, rows, (self.edge(*clock), &plan.node(*clock).schema), filter)
            }
            Operator::LoopHead(head) => {
                let (base, base_exchange) = &node.inputs[0];
                let other = node
                    .inputs
                    .get(1)
                    .map(|(input, exchange)| (self.edge(*input), exchange, placement(plan, id, 1), &plan.node(*input).schema));
                let inputs = Inputs { base: self.edge(*base), base_exchange, other };
                let stage_schema = plan.nodes.iter().find(|n| matches!(n.operator, Operator::LoopBody) && n.inputs[0].0 == id);
                let stage_schema = stage_schema.map_or(&head.variable, |n| &n.schema);
                let outputs = loop_head(&context, (self.loops[&head.id], node.scope.len() + 1), head, inputs, stage_schema);
                if let (Some((edge, handle)), Some(feedback)) = (outputs.body, head.feedback) {
                    self.bodies.insert(id, edge);
                    self.open_loops.push((feedback, handle));
                }
                outputs.leaving
            }
            Operator::Variable(binding) => self.variable(plan, &context, node, binding),
            Operator::Negate => negate::negate(&context, self.edge(node.inputs[0].0), &node.schema),
            Operator::Enter => scope::enter(&context, self.edge(node.inputs[0].0), &node.schema),
            Operator::Leave => self.leave(plan, &context, node.inputs[0].0),
            Operator::LoopBody => self.bodies.remove(&node.inputs[0].0).expect("a loop has one body, which has one start"),
        }
    }
}

impl<'scope> Renderer<'scope> {
    /// What is worked out of each group of rows anew.
    fn of_groups(&mut self, plan: &StreamPlan, context: &Context, id: NodeId) -> Edge<'scope> {
        let node = plan.node(id);
        let (input, exchange) = &node.inputs[0];
        let (edge, placement) = (self.edge(*input), placement(plan, id, 0));
        let schemas = (&plan.node(*input).schema, &node.schema);
        match &node.operator {
            Operator::TopK(call) => top_k(context, edge, exchange, &placement, &node.schema, call),
            Operator::Window(call) => window(context, edge, (exchange, &placement), schemas, call),
            Operator::Fold(call) => fold(context, edge, (exchange, &placement), schemas, call),
            _ => unreachable!("no other operator has groups that it works out anew"),
        }
    }

    /// A binding, one iteration on. Its loop is closed when all nodes are there.
    fn variable(&mut self, plan: &StreamPlan, context: &Context, node: &Node, binding: &Variable) -> Edge<'scope> {
        let placement = placement_of(plan, binding.feedback, &binding.exchange);
        let at = (self.loops[&binding.id], node.scope.len());
        let distinct = plan.node(binding.feedback).properties.distinct;
        let outputs = variable(context, at, (binding, node), self.scope, &placement, distinct);
        self.open_loops.push((binding.feedback, outputs.feedback));
        self.errors.entry(binding.id).or_default().push(outputs.errors);
        outputs.rows
    }

    /// What leaves a loop at `input`. The first to leave takes the errors of the loop's variables along.
    fn leave(&mut self, plan: &StreamPlan, context: &Context, input: NodeId) -> Edge<'scope> {
        let from = plan.node(input);
        let inner = from.scope.last().expect("what leaves a loop stands in one");
        let rows = scope::leave(context, self.outstanding(plan, input), self.edge(input), &from.schema, from.scope.len());
        let errors = self.errors.remove(inner).unwrap_or_default();
        if errors.is_empty() { rows } else { self.scope.concatenate::<_, Parcel>(errors.into_iter().chain([rows])) }
    }
}
