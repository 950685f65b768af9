//! Which rows nobody counts: those of append-only joins that come to an append-only `DISTINCT` and nowhere else. A row that came once need
//! not come again, and a join that has just said it may keep silent.
//!
//! Rows that fail are counted, and so are those of every aggregate, result and table.

use refrain_plan::{LoopKind, NodeId, Operator, StreamPlan};

/// States of each join whether its rows are counted.
pub(crate) fn mark(mut plan: StreamPlan) -> StreamPlan {
    let mut uncounted = vec![false; plan.nodes.len()];
    // Readers stand behind what they read, but for what goes round.
    for id in (0..plan.nodes.len()).rev() {
        let mut readers = plan.nodes.iter().enumerate().filter(|(reader, _)| reads(&plan, *reader, id)).peekable();
        let is_read = readers.peek().is_some();
        uncounted[id] = id != plan.root && is_read && readers.all(|(reader, _)| takes_once(&plan, reader, id, &uncounted));
    }
    for (node, uncounted) in plan.nodes.iter_mut().zip(uncounted) {
        if let Operator::Join(join) = &mut node.operator {
            join.uncounted = uncounted && node.properties.append_only;
        }
    }
    plan
}

fn reads(plan: &StreamPlan, reader: NodeId, id: NodeId) -> bool {
    let node = plan.node(reader);
    let goes_round = match &node.operator {
        Operator::LoopHead(head) => head.feedback == Some(id),
        Operator::Variable(variable) => variable.feedback == id,
        _ => false,
    };
    goes_round || node.inputs.iter().any(|(input, _)| *input == id)
}

/// Whether what comes from `id` makes no difference to `reader` when it comes again.
fn takes_once(plan: &StreamPlan, reader: NodeId, id: NodeId, uncounted: &[bool]) -> bool {
    let node = plan.node(reader);
    match &node.operator {
        Operator::Distinct => plan.node(id).properties.append_only && !node.keeps_iterations(),
        Operator::Union => uncounted[reader],
        Operator::Map(function) => function.only_moves_columns() && uncounted[reader],
        // The other side of its join is a bag.
        Operator::LoopHead(head) => head.kind == LoopKind::MonotoneSet && node.inputs.get(1).is_none_or(|(other, _)| *other != id),
        _ => false,
    }
}
