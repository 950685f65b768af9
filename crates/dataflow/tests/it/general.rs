//! Recursions of any form: several references, several bindings, aggregates. Under random changes, cut and restored in mid-recursion,
//! they equal recomputation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use refrain_plan::{
    Aggregate, AggregateCall, AggregateFunction, Exchange, Join, Node, NodeId, Operator, Projected, Properties, RowFunction, Step,
    StreamPlan, Variable, validate,
};
use refrain_types::{LoopId, RelationId};

use crate::harness::{Graph, Rows, settled_in_cut_ticks, survive};
use crate::plans::schema;
use crate::recursion::{Hubs, OUTSTANDING_ROWS_MAX, closure_of, held_while_edges_are_full};

/// A plan over `edges (a, b)`, node 0, whose nodes all have two integer columns.
#[derive(Default)]
struct Plan(Vec<Node>);

impl Plan {
    fn over_edges() -> Self {
        let mut plan = Self::default();
        plan.add(Operator::Source { relation: RelationId(1), name: "edges".into(), columns: vec![0, 1] }, &[], false, None);
        plan
    }

    fn add(&mut self, operator: Operator, inputs: &[(NodeId, Exchange)], inside: bool, partitioning: Option<Vec<usize>>) -> NodeId {
        let scope = if inside { vec![LoopId(0)] } else { vec![] };
        let properties = Properties { partitioning, ..Properties::default() };
        self.0.push(Node { operator, inputs: inputs.to_vec(), schema: schema(&["a", "b"]), scope, properties });
        self.0.len() - 1
    }

    fn enter(&mut self, input: NodeId) -> NodeId {
        self.add(Operator::Enter, &[(input, Exchange::Stay)], true, None)
    }

    fn variable(&mut self, name: &str, feedback: NodeId, exchange: Exchange) -> NodeId {
        self.add(
            Operator::Variable(Variable { id: LoopId(0), name: name.into(), feedback, exchange, limit: None }),
            &[],
            true,
            None,
        )
    }

    /// Pairs that meet in `left.keys.0 = right.keys.1`, as these columns of both.
    fn join(&mut self, left: NodeId, right: NodeId, keys: (usize, usize), columns: [usize; 2]) -> NodeId {
        let output = project(columns);
        let join = Join { left_keys: vec![keys.0], right_keys: vec![keys.1], nulls_meet: false, output, uncounted: false };
        let inputs = [(left, Exchange::Hash(vec![keys.0])), (right, Exchange::Hash(vec![keys.1]))];
        self.add(Operator::Join(join), &inputs, true, None)
    }

    fn union(&mut self, inputs: &[NodeId]) -> NodeId {
        let inputs = inputs.iter().map(|i| (*i, Exchange::Stay)).collect::<Vec<_>>();
        self.add(Operator::Union, &inputs, true, None)
    }

    fn distinct(&mut self, input: NodeId) -> NodeId {
        self.add(Operator::Distinct, &[(input, Exchange::Hash(vec![0, 1]))], true, Some(vec![0, 1]))
    }

    fn leave(mut self, input: NodeId) -> Arc<StreamPlan> {
        let root = self.add(Operator::Leave, &[(input, Exchange::Stay)], false, None);
        let plan = StreamPlan { nodes: self.0, root };
        validate(&plan).expect("the plan is right");
        Arc::new(plan)
    }
}

fn project(columns: [usize; 2]) -> RowFunction {
    let fields = schema(&["a", "b"]).fields().clone();
    let columns = columns.iter().zip(fields.iter()).map(|(c, field)| Projected::Column(*c, Arc::clone(field)));
    RowFunction { steps: vec![Step::Project(columns.collect())] }
}

/// `t = edges UNION SELECT x.a, y.b FROM t x JOIN t y ON x.b = y.a`
pub fn non_linear_closure() -> Arc<StreamPlan> {
    let mut plan = Plan::over_edges();
    let edges = plan.enter(0);
    let t = plan.variable("t", 5, Exchange::Stay);
    let step = plan.join(t, t, (1, 0), [0, 3]);
    let both = plan.union(&[edges, step]);
    let distinct = plan.distinct(both);
    assert_eq!(distinct, 5);
    plan.leave(distinct)
}

/// `t = edges UNION SELECT x.a, z.b FROM t x JOIN t y ON x.b = y.a JOIN t z ON y.b = z.a`: pairs that a walk of odd length connects.
fn odd_walks() -> Arc<StreamPlan> {
    let mut plan = Plan::over_edges();
    let edges = plan.enter(0);
    let t = plan.variable("t", 6, Exchange::Stay);
    let two = plan.join(t, t, (1, 0), [0, 3]);
    let three = plan.join(two, t, (1, 0), [0, 3]);
    let both = plan.union(&[edges, three]);
    let distinct = plan.distinct(both);
    assert_eq!(distinct, 6);
    plan.leave(distinct)
}

/// `odd = edges UNION even ∘ edges, even = odd ∘ edges`; the answer is one of both. `odd` sees the `even` of the iteration before.
fn odd_and_even(answer_is_odd: bool) -> Arc<StreamPlan> {
    let mut plan = Plan::over_edges();
    let edges = plan.enter(0);
    let even_before = plan.variable("even", 7, Exchange::Hash(vec![0, 1]));
    let step = plan.join(even_before, 0, (1, 0), [0, 3]);
    let both = plan.union(&[edges, step]);
    let odd = plan.distinct(both);
    let step = plan.join(odd, 0, (1, 0), [0, 3]);
    let even = plan.distinct(step);
    assert_eq!(even, 7);
    plan.leave(if answer_is_odd { odd } else { even })
}

/// Pairs that a walk of odd, or even, length connects.
fn walks(edges: &Rows, odd: bool) -> Rows {
    let (mut found, mut waiting) = (BTreeSet::new(), Vec::new());
    waiting.extend(edges.keys().map(|e| (e[0], e[1], true)));
    while let Some(walk) = waiting.pop() {
        if found.insert(walk) {
            let onward = edges.keys().filter(|e| e[0] == walk.1).map(|e| (walk.0, e[1], !walk.2));
            waiting.extend(onward);
        }
    }
    found.into_iter().filter(|(_, _, is_odd)| *is_odd == odd).map(|(a, b, _)| (vec![a, b], 1)).collect()
}

/// `t(node, label) = SELECT node, min(label) FROM (every node with itself UNION ALL edges that hand the label on) GROUP BY node`
fn least_origin() -> Arc<StreamPlan> {
    let mut plan = Plan::over_edges();
    let edges = plan.enter(0);
    let t = plan.variable("t", 7, Exchange::Stay);
    let starts = plan.add(Operator::Map(project([0, 0])), &[(edges, Exchange::Stay)], true, None);
    let ends = plan.add(Operator::Map(project([1, 1])), &[(edges, Exchange::Stay)], true, None);
    let step = plan.join(t, 0, (0, 0), [3, 1]);
    let all = plan.union(&[starts, ends, step]);
    let least = AggregateCall { function: AggregateFunction::Min, argument: Some(1), result: arrow::datatypes::DataType::Int32 };
    let aggregate = Operator::Aggregate(Aggregate { keys: 1, calls: vec![least] });
    let least = plan.add(aggregate, &[(all, Exchange::Hash(vec![0]))], true, Some(vec![0]));
    assert_eq!(least, 7);
    plan.leave(least)
}

fn least_origins(edges: &Rows) -> Rows {
    let mut least: BTreeMap<i32, i32> = edges.keys().flatten().map(|node| (*node, *node)).collect();
    for pair in closure_of(edges).keys() {
        let label = least.get_mut(&pair[1]).expect("every end is a node");
        *label = pair[0].min(*label);
    }
    least.into_iter().map(|(node, label)| (vec![node, label], 1)).collect()
}

/// The same plan over edges that only ever come: no iterations are kept.
pub fn growing(plan: &Arc<StreamPlan>) -> Arc<StreamPlan> {
    let mut plan = StreamPlan::clone(plan);
    plan.nodes.iter_mut().for_each(|node| node.properties.append_only = true);
    validate(&plan).expect("the plan is right");
    Arc::new(plan)
}

fn equals_recomputation(plan: &Arc<StreamPlan>, deletes: bool, wanted: impl Fn(&Rows) -> Rows) {
    for workers in [1, 2, 3] {
        for seed in 0..8 {
            survive(plan, Graph { deletes, acyclic: false }, (workers, seed), &wanted, &format!("{workers} workers"));
        }
    }
}

#[test]
fn two_references_equal_recomputation() {
    equals_recomputation(&odd_walks(), true, |edges| walks(edges, true));
    equals_recomputation(&non_linear_closure(), true, closure_of);
    equals_recomputation(&growing(&non_linear_closure()), false, closure_of);
}

#[test]
fn two_bindings_equal_recomputation() {
    for answer_is_odd in [true, false] {
        let plan = odd_and_even(answer_is_odd);
        equals_recomputation(&plan, true, |edges| walks(edges, answer_is_odd));
        equals_recomputation(&growing(&plan), false, |edges| walks(edges, answer_is_odd));
    }
}

#[test]
fn an_aggregate_in_the_loop_equals_recomputation() {
    equals_recomputation(&least_origin(), true, least_origins);
}

/// The second join of an iteration makes three rows of each that the first one gives, so what it has to take in grows.
#[test]
fn variables_are_held_while_their_edges_are_full() {
    const TAILS: i32 = 3;
    let graph = Hubs { sources: 10, hubs: 900, sinks: 50 };
    let tail = |number: i32| graph.sink(graph.sinks + number);
    let tails = (0..graph.sinks).flat_map(|s| (0..TAILS).map(move |t| (s, t)));
    let mut edges = graph.edges();
    edges.extend(tails.map(|(s, t)| (vec![graph.sink(s), tail(t)], 1)));
    let walks = (0..graph.sources).flat_map(|a| (0..TAILS).map(move |t| (a, t)));
    let wanted = edges.clone().into_iter().chain(walks.map(|(a, t)| (vec![a, tail(t)], 1))).collect();
    for (plan, what) in [(odd_walks(), "with iterations"), (growing(&odd_walks()), "without")] {
        held_while_edges_are_full(&plan, OUTSTANDING_ROWS_MAX, &edges, &wanted, what);
    }
}

#[test]
fn each_form_gets_on_in_each_tick() {
    let edges = (0..12).map(|i| (vec![i, i + 1], 1)).chain([(vec![7, 2], 1)]).collect::<Rows>();
    for workers in [1, 2] {
        for plan in [non_linear_closure(), growing(&non_linear_closure())] {
            assert_eq!(settled_in_cut_ticks(&plan, workers, &edges), closure_of(&edges), "{workers} workers");
        }
        assert_eq!(settled_in_cut_ticks(&odd_and_even(true), workers, &edges), walks(&edges, true), "{workers} workers");
        assert_eq!(settled_in_cut_ticks(&least_origin(), workers, &edges), least_origins(&edges), "{workers} workers");
    }
}
