//! Plans of transitive closure, written by hand.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use refrain_plan::{
    Exchange, FusedJoin, Join, LoopHead, LoopKind, Node, Operator, Projected, Properties, RowFunction, Step, StreamPlan, validate,
};
use refrain_types::{LoopId, RelationId};

pub fn schema(columns: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|c| Field::new(*c, DataType::Int32, false)).collect::<Vec<_>>()))
}

fn node(operator: Operator, inputs: Vec<(usize, Exchange)>, schema: &SchemaRef, in_loop: bool) -> Node {
    let scope = if in_loop { vec![LoopId(0)] } else { vec![] };
    Node { operator, inputs, schema: Arc::clone(schema), scope, properties: Properties::default() }
}

fn source(append_only: bool) -> Node {
    let operator = Operator::Source { relation: RelationId(1), name: "edges".into(), columns: vec![0, 1] };
    let mut node = node(operator, vec![], &schema(&["a", "b"]), false);
    node.properties.append_only = append_only;
    node
}

/// Columns of `input`, renamed.
fn project(input: &SchemaRef, columns: &[usize], output: &SchemaRef) -> RowFunction {
    let _ = input;
    let columns = columns.iter().zip(output.fields()).map(|(c, field)| Projected::Column(*c, Arc::clone(field)));
    RowFunction { steps: vec![Step::Project(columns.collect())] }
}

/// How the body of the closure is laid out.
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

/// `t(a, b) = edges(a, b) UNION [ALL] SELECT t.a, e.b FROM t JOIN edges e ON t.b = e.a`
pub fn closure(kind: LoopKind, shape: Shape) -> Arc<StreamPlan> {
    let append_only = matches!(kind, LoopKind::MonotoneSet | LoopKind::MonotoneKeyed(_));
    let edges = source(append_only);
    let t = schema(&["a", "b"]);
    let pair = schema(&["a", "b", "a", "b"]);
    let fused = shape != Shape::Join;
    let partition = match shape {
        Shape::Fused | Shape::FusedThenMap => vec![1],
        Shape::Join if matches!(kind, LoopKind::Keyed(_)) => vec![1],
        Shape::Join => vec![0, 1],
        Shape::Stays => vec![0],
    };
    let head = LoopHead {
        id: LoopId(0),
        name: "t".into(),
        kind,
        variable: Arc::clone(&t),
        partition: partition.clone(),
        stays: shape == Shape::Stays,
        join: fused.then(|| FusedJoin {
            variable_keys: vec![1],
            other_keys: vec![0],
            nulls_meet: false,
            other_append_only: append_only,
        }),
        stage: if fused { project(&pair, &[0, 3], &t) } else { RowFunction::default() },
        feedback: match shape {
            Shape::Fused | Shape::Stays => None,
            Shape::FusedThenMap | Shape::Join => Some(3),
        },
        limit: None,
    };
    let has_body = head.feedback.is_some();
    let mut inputs = vec![(0, Exchange::Hash(partition))];
    if fused {
        inputs.push((0, if shape == Shape::Stays { Exchange::Broadcast } else { Exchange::Hash(vec![0]) }));
    }
    let mut nodes = vec![edges, node(Operator::LoopHead(head), inputs, &t, false)];
    if has_body {
        nodes.push(node(Operator::LoopBody, vec![(1, Exchange::Stay)], &t, true));
    }
    match shape {
        Shape::Fused | Shape::Stays => {}
        Shape::FusedThenMap => {
            nodes.push(node(Operator::Map(project(&t, &[0, 1], &t)), vec![(2, Exchange::Stay)], &t, true));
        }
        Shape::Join => {
            let join = Join {
                left_keys: vec![1],
                right_keys: vec![0],
                nulls_meet: false,
                output: project(&pair, &[0, 3], &t),
                uncounted: false,
            };
            nodes.push(node(Operator::Join(join), vec![(2, Exchange::Hash(vec![1])), (0, Exchange::Hash(vec![0]))], &t, true));
        }
    }
    let plan = StreamPlan { nodes, root: 1 };
    validate(&plan).expect("the plan is right");
    Arc::new(plan)
}
