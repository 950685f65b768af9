//! Passes over a finished plan: row functions go into the operators before them, are simplified, and what nobody reads is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::utils::collect_columns;
use refrain_plan::{Exchange, Node, NodeId, Operator, Projected, RowFunction, Step, StreamPlan};

use crate::expression::move_columns;

/// Fuses, simplifies, drops. Ids are dense again afterwards, in the same order.
pub(crate) fn finish(mut plan: StreamPlan) -> StreamPlan {
    while let Some((map, input)) = fusable(&plan) {
        fuse(&mut plan, map, input);
    }
    for id in 0..plan.nodes.len() {
        simplify_node(&mut plan, id);
    }
    without_unread(plan)
}

/// A map that is the only reader of a map or a join.
fn fusable(plan: &StreamPlan) -> Option<(NodeId, NodeId)> {
    let reachable = reachable(plan);
    reachable.iter().find_map(|id| {
        let node = plan.node(*id);
        let (Operator::Map(_), [(input, Exchange::Stay)]) = (&node.operator, node.inputs.as_slice()) else { return None };
        let takes = matches!(plan.node(*input).operator, Operator::Map(_) | Operator::Join(_));
        let readers = reachable.iter().map(|r| inputs(plan.node(*r)).filter(|i| i == input).count()).sum::<usize>();
        (takes && readers == 1 && *input != plan.root).then_some((*id, *input))
    })
}

fn fuse(plan: &mut StreamPlan, map: NodeId, input: NodeId) {
    let Operator::Map(after) = plan.node(map).operator.clone() else { unreachable!("a map was found") };
    let operator = match plan.node(input).operator.clone() {
        Operator::Map(before) => Operator::Map(before.then(after)),
        Operator::Join(mut join) => {
            join.output = join.output.then(after);
            Operator::Join(join)
        }
        other => unreachable!("nothing is fused with {other:?}"),
    };
    plan.nodes[map].operator = operator;
    plan.nodes[map].inputs = plan.node(input).inputs.clone();
}

fn simplify_node(plan: &mut StreamPlan, id: NodeId) {
    let width = plan.node(id).inputs.iter().map(|(i, _)| plan.node(*i).schema.fields().len()).sum();
    let function = match &mut plan.nodes[id].operator {
        Operator::Map(function) => function,
        Operator::Join(join) => &mut join.output,
        _ => return,
    };
    *function = simplified(std::mem::take(function), width);
}

/// Filters before projections that only move columns, and neighbouring projections as one where nothing is computed twice.
pub(crate) fn simplified(function: RowFunction, width: usize) -> RowFunction {
    let mut steps: Vec<Step> = Vec::with_capacity(function.steps.len());
    for step in function.steps {
        push(&mut steps, step);
    }
    let whole = |columns: &[Projected], width: usize| {
        columns.len() == width && columns.iter().enumerate().all(|(i, c)| matches!(c, Projected::Column(from, _) if *from == i))
    };
    // A projection of all columns is kept where it is last: it states the fields.
    let mut current = width;
    let mut kept = Vec::with_capacity(steps.len());
    let count = steps.len();
    for (i, step) in steps.into_iter().enumerate() {
        if let Step::Project(columns) = &step {
            if whole(columns, current) && i + 1 < count && kept.iter().all(|s| matches!(s, Step::Filter(_))) {
                continue;
            }
            current = columns.len();
        }
        kept.push(step);
    }
    RowFunction { steps: kept }
}

fn push(steps: &mut Vec<Step>, step: Step) {
    let Some(Step::Project(before)) = steps.last() else { return steps.push(step) };
    match step {
        Step::Filter(condition) => {
            let read = read_by(&condition);
            if read.iter().all(|c| matches!(before[*c], Projected::Column(..))) {
                let moved = through(&condition, before);
                let project = steps.pop().expect("it was looked at");
                push(steps, Step::Filter(moved));
                steps.push(project);
            } else {
                steps.push(Step::Filter(condition));
            }
        }
        Step::Project(after) => match composed(before, &after) {
            Some(both) => *steps.last_mut().expect("it was looked at") = Step::Project(both),
            None => steps.push(Step::Project(after)),
        },
    }
}

/// Two projections as one, unless an expression would read a computed column.
fn composed(before: &[Projected], after: &[Projected]) -> Option<Vec<Projected>> {
    let mut used = BTreeSet::new();
    after
        .iter()
        .map(|column| match column {
            Projected::Column(from, field) => match &before[*from] {
                Projected::Column(source, _) => Some(Projected::Column(*source, Arc::clone(field))),
                // Computed once more would be computed twice.
                Projected::Computed(expr, _) => {
                    used.insert(*from).then(|| Projected::Computed(Arc::clone(expr), Arc::clone(field)))
                }
            },
            Projected::Computed(expr, field) => {
                let plain = read_by(expr).iter().all(|c| matches!(before[*c], Projected::Column(..)));
                plain.then(|| Projected::Computed(through(expr, before), Arc::clone(field)))
            }
        })
        .collect()
}

fn through(expr: &Arc<dyn PhysicalExpr>, before: &[Projected]) -> Arc<dyn PhysicalExpr> {
    move_columns(expr, &|c| match &before[c] {
        Projected::Column(source, _) => *source,
        Projected::Computed(..) => unreachable!("only moved columns are read"),
    })
}

fn read_by(expr: &Arc<dyn PhysicalExpr>) -> BTreeSet<usize> {
    collect_columns(expr).iter().map(|c| c.index()).collect()
}

/// What a node reads, what comes round to it too.
fn inputs(node: &Node) -> impl Iterator<Item = NodeId> + '_ {
    let feedback = match &node.operator {
        Operator::LoopHead(head) => head.feedback,
        Operator::Variable(variable) => Some(variable.feedback),
        _ => None,
    };
    node.inputs.iter().map(|(i, _)| *i).chain(feedback)
}

fn reachable(plan: &StreamPlan) -> BTreeSet<NodeId> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![plan.root];
    while let Some(id) = waiting.pop() {
        if seen.insert(id) {
            waiting.extend(inputs(plan.node(id)));
        }
    }
    seen
}

fn without_unread(plan: StreamPlan) -> StreamPlan {
    let kept = reachable(&plan).into_iter().collect::<Vec<_>>();
    let position = |id: NodeId| kept.binary_search(&id).expect("what a kept node reads is kept");
    let root = position(plan.root);
    let mut nodes = Vec::with_capacity(kept.len());
    for id in &kept {
        let mut node = plan.node(*id).clone();
        for (input, _) in &mut node.inputs {
            *input = position(*input);
        }
        match &mut node.operator {
            Operator::LoopHead(head) => head.feedback = head.feedback.map(position),
            Operator::Variable(variable) => variable.feedback = position(variable.feedback),
            _ => {}
        }
        nodes.push(node);
    }
    StreamPlan { nodes, root }
}
