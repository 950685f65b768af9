//! Each invariant is broken once, and found.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use refrain_types::{LoopId, RelationId};

use crate::{
    Aggregate, AggregateCall, AggregateFunction, Exchange, FusedJoin, LoopHead, LoopKind, Node, Operator, Projected, Properties,
    RowFunction, Step, StreamPlan, explain, fingerprint, validate,
};

fn schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int32, false)).collect::<Vec<_>>()))
}

fn node(operator: Operator, inputs: Vec<(usize, Exchange)>, schema: SchemaRef) -> Node {
    Node { operator, inputs, schema, scope: Vec::new(), properties: Properties::default() }
}

/// The closure of `edges`, and how many rows it has.
fn closure() -> StreamPlan {
    let edges = schema(&["src", "dst"]);
    let variable = schema(&["a", "b"]);
    let both = Schema::new(variable.fields().iter().chain(edges.fields()).cloned().collect::<Vec<_>>());
    let head = LoopHead {
        id: LoopId(0),
        name: "r".into(),
        kind: LoopKind::Set,
        variable: Arc::clone(&variable),
        partition: vec![1],
        stays: false,
        join: Some(FusedJoin { variable_keys: vec![1], other_keys: vec![0], nulls_meet: false, other_append_only: false }),
        stage: RowFunction::columns(&both, &[0, 3]),
        feedback: None,
        limit: None,
    };
    let source = Operator::Source { relation: RelationId(7), name: "edges".into(), columns: vec![0, 1] };
    let count = AggregateCall { function: AggregateFunction::Count, argument: None, result: DataType::Int64 };
    let counted = Arc::new(Schema::new(vec![Field::new("count", DataType::Int64, false)]));
    StreamPlan {
        nodes: vec![
            node(source, Vec::new(), edges),
            node(Operator::LoopHead(head), vec![(0, Exchange::Hash(vec![1])), (0, Exchange::Hash(vec![0]))], variable),
            node(Operator::Aggregate(Aggregate { keys: 0, calls: vec![count] }), vec![(1, Exchange::Hash(Vec::new()))], counted),
        ],
        root: 2,
    }
}

fn head(plan: &mut StreamPlan) -> &mut LoopHead {
    match &mut plan.nodes[1].operator {
        Operator::LoopHead(head) => head,
        other => panic!("{other:?}"),
    }
}

/// Says of an integer that it is a bigint.
fn relabel_a_column(plan: &mut StreamPlan) {
    let bigint = Arc::new(Field::new("a", DataType::Int64, false));
    let function = RowFunction { steps: vec![Step::Project(vec![Projected::Column(0, Arc::clone(&bigint))])] };
    plan.nodes[2] = node(Operator::Map(function), vec![(1, Exchange::Stay)], Arc::new(Schema::new(vec![bigint])));
}

#[test]
fn a_right_plan_is_right() {
    validate(&closure()).unwrap();
}

#[test]
fn broken_invariants_are_named() {
    let broken = |break_it: &dyn Fn(&mut StreamPlan)| {
        let mut plan = closure();
        break_it(&mut plan);
        validate(&plan).unwrap_err()
    };
    for (break_it, said) in [
        (&(|p: &mut StreamPlan| p.root = 3) as &dyn Fn(&mut StreamPlan), "the root 3 is not there"),
        (&|p| p.nodes[1].inputs[0].0 = 1, "its inputs come before it"),
        (&|p| drop(p.nodes[1].inputs.pop()), "as many inputs"),
        (&|p| p.nodes[1].inputs[0].1 = Exchange::Hash(vec![9]), "the columns of its exchanges"),
        (&|p| p.nodes[2].scope = vec![LoopId(0)], "its scope"),
        (&|p| p.nodes[1].schema = schema(&["a"]), "its columns are what its operator makes"),
        (&relabel_a_column, "its columns are what its operator makes"),
        (&|p| p.nodes[1].inputs[1].1 = Exchange::Stay, "its keys are columns of one type"),
        (&|p| p.nodes[1].inputs[0].1 = Exchange::Broadcast, "its keys are columns of one type"),
        (&|p| p.nodes[2].inputs[0].1 = Exchange::Broadcast, "its keys are columns of one type"),
        (&|p| head(p).stays = true, "only the other side of a loop's join and a clock are broadcast"),
        (&|p| head(p).partition = vec![0], "its keys are columns of one type"),
        (&|p| head(p).stage = RowFunction::default(), "what comes back to the loop"),
        (&|p| head(p).feedback = Some(2), "what comes back to the loop"),
    ] {
        let message = broken(break_it);
        assert!(message.contains(said), "{message} / {said}");
    }
}

#[test]
fn a_loop_that_stays_has_its_other_side_everywhere() {
    let mut plan = closure();
    head(&mut plan).stays = true;
    head(&mut plan).partition = vec![0];
    plan.nodes[1].inputs = vec![(0, Exchange::Hash(vec![0])), (0, Exchange::Broadcast)];
    validate(&plan).unwrap();
    assert!(explain(&plan).ends_with(
        "
      Source #0, as above → every worker
    then project a, dst
    goes round without an exchange, on workers by (a)"
    ));
}

#[test]
fn explain_shows_a_loop_as_a_block() {
    let expected = "\
Aggregate #2: count(*)
  Loop #1: r (a, b), set: iterations kept, rows may go → one worker
    starts from
      Source #0: edges (src, dst) → workers by (dst)
    joins r.b = other.src, in the loop's own row store
      Source #0, as above → workers by (src)
    then project a, dst
    goes round to workers by (b)";
    assert_eq!(explain(&closure()), expected);
}

#[test]
fn fingerprints_follow_what_state_depends_on() {
    let before = fingerprint(&closure());
    assert_eq!(before, fingerprint(&closure()));
    let mut renamed = closure();
    head(&mut renamed).name = "q".into();
    renamed.nodes[1].schema = schema(&["x", "y"]);
    assert_eq!(before, fingerprint(&renamed), "names do not count");
    for change in [
        &(|p: &mut StreamPlan| head(p).kind = LoopKind::MonotoneSet) as &dyn Fn(&mut StreamPlan),
        &|p| head(p).partition = vec![0],
        &|p| p.nodes[0].operator = Operator::Source { relation: RelationId(8), name: "edges".into(), columns: vec![0, 1] },
        &|p| head(p).stage = RowFunction::columns(&schema(&["a", "b", "c", "d"]), &[3, 0]),
    ] {
        let mut plan = closure();
        change(&mut plan);
        assert_ne!(before, fingerprint(&plan));
    }
}
