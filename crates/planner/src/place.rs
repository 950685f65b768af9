//! Where the rows of a plan are: fewer rows are exchanged where those of equal key are together already.
//!
//! A `DISTINCT` needs equal rows on one worker, and any of their columns can say on which. In a loop it is by the key of a join that reads
//! its rows next, if there is one: then they go round without an exchange, to that join.

use std::collections::HashSet;

use refrain_plan::{Exchange, NodeId, Operator, Properties, StreamPlan};

use crate::builder::mapped;

/// States where rows are, from the first node to the last, and leaves out exchanges that would bring nothing anywhere else.
pub(crate) fn place(mut plan: StreamPlan) -> StreamPlan {
    for id in 0..plan.nodes.len() {
        if let (Operator::Distinct, false) = (&plan.node(id).operator, plan.node(id).scope.is_empty())
            && let Some(key) = next_key(&plan, id, &mut HashSet::new())
        {
            let width = plan.node(id).schema.fields().len();
            let node = &mut plan.nodes[id];
            assert!(key.iter().all(|column| *column < width), "a key that is read is one of the row's columns");
            node.inputs[0].1 = Exchange::Hash(key.clone());
            node.properties.partitioning = Some(key);
        }
    }
    // Twice, since what goes round comes from nodes behind those that read it.
    for id in (0..plan.nodes.len()).chain(0..plan.nodes.len()) {
        plan.nodes[id].properties.partitioning = partitioning(&plan, id);
    }
    for id in 0..plan.nodes.len() {
        let Operator::Join(join) = &plan.node(id).operator else { continue };
        let sides = [&join.left_keys, &join.right_keys].map(Clone::clone);
        for (side, keys) in sides.into_iter().enumerate() {
            let input = plan.node(id).inputs[side].0;
            if plan.node(input).properties.partitioning.as_ref() == Some(&keys) {
                plan.nodes[id].inputs[side].1 = Exchange::Stay;
            }
        }
    }
    plan
}

/// The columns of a node's rows that are the key of a join to which they come by variables and maps alone.
fn next_key(plan: &StreamPlan, id: NodeId, seen: &mut HashSet<NodeId>) -> Option<Vec<usize>> {
    if !seen.insert(id) {
        return None;
    }
    plan.nodes.iter().enumerate().find_map(|(reader, node)| match &node.operator {
        Operator::Variable(variable) if variable.feedback == id => next_key(plan, reader, seen),
        Operator::Map(function) if node.inputs[0].0 == id => {
            let sources = function.column_sources(plan.node(id).schema.fields().len());
            next_key(plan, reader, seen)?.into_iter().map(|column| sources[column]).collect()
        }
        Operator::Join(join) => {
            let mut sides = node.inputs.iter().zip([&join.left_keys, &join.right_keys]);
            sides.find(|((input, _), keys)| *input == id && !keys.is_empty()).map(|(_, keys)| keys.clone())
        }
        _ => None,
    })
}

/// Where the rows of a node are, as far as is known from its inputs.
fn partitioning(plan: &StreamPlan, id: NodeId) -> Option<Vec<usize>> {
    let node = plan.node(id);
    let of = |input: NodeId| plan.node(input).properties.partitioning.clone();
    match &node.operator {
        Operator::Variable(variable) => match &variable.exchange {
            Exchange::Hash(columns) => Some(columns.clone()),
            _ => of(variable.feedback),
        },
        Operator::Map(function) => {
            let before = Properties { partitioning: of(node.inputs[0].0), ..Properties::default() };
            mapped(&before, plan.node(node.inputs[0].0).schema.fields().len(), function).partitioning
        }
        Operator::Enter | Operator::Leave | Operator::Negate => of(node.inputs[0].0),
        Operator::Temporal(_) if node.inputs[0].1 == Exchange::Stay => of(node.inputs[0].0),
        _ => node.properties.partitioning.clone(),
    }
}
