//! Plans of transitive closure, and of a recursion over it, written by hand.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use refrain_plan::{
    Exchange, FusedJoin, Join, LoopHead, LoopKind, Node, NodeId, Operator, Projected, Properties, RowFunction, Step, StreamPlan,
    validate,
};
use refrain_types::{LoopId, RelationId};

pub fn schema(columns: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|c| Field::new(*c, DataType::Int32, false)).collect::<Vec<_>>()))
}

fn node(operator: Operator, inputs: Vec<(NodeId, Exchange)>, schema: &SchemaRef, inside: Option<LoopId>) -> Node {
    let scope = inside.into_iter().collect();
    Node { operator, inputs, schema: Arc::clone(schema), scope, properties: Properties::default() }
}

fn is_monotone(kind: &LoopKind) -> bool {
    matches!(kind, LoopKind::MonotoneSet | LoopKind::MonotoneKeyed(_))
}

fn source(append_only: bool) -> Node {
    let operator = Operator::Source { relation: RelationId(1), name: "edges".into(), columns: vec![0, 1] };
    let mut node = node(operator, vec![], &schema(&["a", "b"]), None);
    node.properties.append_only = append_only;
    node
}

/// Columns of `input`, renamed.
fn project(input: &SchemaRef, columns: &[usize], output: &SchemaRef) -> RowFunction {
    let _ = input;
    let columns = columns.iter().zip(output.fields()).map(|(c, field)| Projected::Column(*c, Arc::clone(field)));
    RowFunction { steps: vec![Step::Project(columns.collect())] }
}

/// How the body of a loop is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The join is fused and its output goes straight round.
    Fused,
    /// The join is fused and its output goes round through a map.
    FusedThenMap,
    /// The body is a join of its own.
    Join,
    /// The join is fused, rows are divided by the column that they take over, and each worker has all edges.
    Stays,
}

pub const SHAPES: [Shape; 4] = [Shape::Fused, Shape::FusedThenMap, Shape::Join, Shape::Stays];

/// Which way steps go over edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Forth,
    Back,
}

impl Way {
    /// The columns of an edge where a step begins and where it ends.
    pub fn columns(self) -> [usize; 2] {
        match self {
            Self::Forth => [0, 1],
            Self::Back => [1, 0],
        }
    }
}

/// `t(a, b) = edges(a, b) UNION [ALL] SELECT t.a, e.b FROM t JOIN edges e ON t.b = e.a`
pub fn closure(kind: LoopKind, shape: Shape) -> Arc<StreamPlan> {
    let mut nodes = vec![source(is_monotone(&kind))];
    let root = walk(&mut nodes, (LoopId(0), 0), Way::Forth, kind, shape);
    planned(nodes, root)
}

/// `u(a, b) = t(a, b) UNION [ALL] SELECT u.a, e.a FROM u JOIN edges e ON u.b = e.b`, where `t` is the closure of the edges. The rows
/// of both are the answer.
pub fn back_from_closure(kind: &LoopKind, shapes: [Shape; 2]) -> Arc<StreamPlan> {
    let mut nodes = vec![source(is_monotone(kind))];
    let closure = walk(&mut nodes, (LoopId(0), 0), Way::Forth, kind.clone(), shapes[0]);
    let back = walk(&mut nodes, (LoopId(1), closure), Way::Back, kind.clone(), shapes[1]);
    let both = [closure, back].map(|input| (input, Exchange::Stay)).to_vec();
    nodes.push(node(Operator::Union, both, &schema(&["a", "b"]), None));
    let root = nodes.len() - 1;
    planned(nodes, root)
}

fn planned(nodes: Vec<Node>, root: NodeId) -> Arc<StreamPlan> {
    let plan = StreamPlan { nodes, root };
    validate(&plan).expect("the plan is right");
    Arc::new(plan)
}

/// A loop whose variable has the pairs of `base`, and those that steps over the edges of node 0 make of their ends. Returns its head.
fn walk(nodes: &mut Vec<Node>, (id, base): (LoopId, NodeId), way: Way, kind: LoopKind, shape: Shape) -> NodeId {
    let append_only = is_monotone(&kind);
    let [from, to] = way.columns();
    let t = schema(&["a", "b"]);
    let pair = schema(&["a", "b", "a", "b"]);
    let step = project(&pair, &[0, 2 + to], &t);
    let fused = shape != Shape::Join;
    let partition = match shape {
        Shape::Fused | Shape::FusedThenMap => vec![1],
        Shape::Join if matches!(kind, LoopKind::Keyed(_)) => vec![1],
        Shape::Join => vec![0, 1],
        Shape::Stays => vec![0],
    };
    let at = nodes.len();
    let head = LoopHead {
        id,
        name: "t".into(),
        kind,
        variable: Arc::clone(&t),
        partition: partition.clone(),
        stays: shape == Shape::Stays,
        join: fused.then(|| FusedJoin {
            variable_keys: vec![1],
            other_keys: vec![from],
            nulls_meet: false,
            other_append_only: append_only,
        }),
        stage: if fused { step.clone() } else { RowFunction::default() },
        feedback: match shape {
            Shape::Fused | Shape::Stays => None,
            Shape::FusedThenMap | Shape::Join => Some(at + 2),
        },
        limit: None,
    };
    let has_body = head.feedback.is_some();
    let mut inputs = vec![(base, Exchange::Hash(partition))];
    if fused {
        inputs.push((0, if shape == Shape::Stays { Exchange::Broadcast } else { Exchange::Hash(vec![from]) }));
    }
    nodes.push(node(Operator::LoopHead(head), inputs, &t, None));
    if has_body {
        nodes.push(node(Operator::LoopBody, vec![(at, Exchange::Stay)], &t, Some(id)));
    }
    match shape {
        Shape::Fused | Shape::Stays => {}
        Shape::FusedThenMap => {
            nodes.push(node(Operator::Map(project(&t, &[0, 1], &t)), vec![(at + 1, Exchange::Stay)], &t, Some(id)));
        }
        Shape::Join => {
            let join = Join { left_keys: vec![1], right_keys: vec![from], nulls_meet: false, output: step, uncounted: false };
            let inputs = vec![(at + 1, Exchange::Hash(vec![1])), (0, Exchange::Hash(vec![from]))];
            nodes.push(node(Operator::Join(join), inputs, &t, Some(id)));
        }
    }
    at
}
