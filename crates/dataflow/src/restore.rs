//! Putting captured state back: which of its rows belong to this worker, and what to say when they cannot be right.

use arrow::datatypes::SchemaRef;
use refrain_plan::{Exchange, NodeId, Operator, StreamPlan};
use refrain_state::hash_words;
use refrain_types::{Delta, ErrorRow, OperatorId, SqlState, Weight};

use crate::operators::Context;
use crate::parcel::{exchange_layout, take_rows, worker_of};
use crate::part::Part;

/// The error of a weight that left the range of 64 bits.
pub(crate) fn overflow(operator: OperatorId, weight: Weight) -> (ErrorRow, Weight) {
    let message = "weight of a row out of range".to_owned();
    (ErrorRow { operator, code: SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message }, weight.signum())
}

/// Where the rows of an input are at rest: where its exchange brings them, or where they were brought before.
pub(crate) fn placement(plan: &StreamPlan, id: NodeId, input: usize) -> Exchange {
    let (from, exchange) = &plan.node(id).inputs[input];
    placement_of(plan, *from, exchange)
}

pub(crate) fn placement_of(plan: &StreamPlan, from: NodeId, exchange: &Exchange) -> Exchange {
    match (exchange, &plan.node(from).properties.partitioning) {
        (Exchange::Stay, Some(columns)) => Exchange::Hash(columns.clone()),
        (exchange, _) => exchange.clone(),
    }
}

/// Calls `take` with the rows of a restored part that belong to this worker: those that its input's exchange would bring here. Rows
/// that stay where they are are dealt out in slices.
pub(crate) fn restore_part(context: &Context, part: Part, exchange: &Exchange, schema: &SchemaRef, mut take: impl FnMut(Delta)) {
    let Some(restored) = context.control.restored() else { return };
    for delta in restored.parts.get(&(context.operator, part)).into_iter().flatten() {
        let mine = rows_of_worker(delta, exchange, schema, context.worker, context.peers);
        if mine.num_rows() > 0 {
            take(mine);
        }
    }
}

/// What a worker gets of the log of a loop that was captured, of which `delta` is a part.
pub(crate) fn log_of_worker(plan: &StreamPlan, operator: OperatorId, delta: &Delta, (worker, peers): (usize, usize)) -> Delta {
    let node = plan.node(operator.0 as usize);
    let (placement, schema) = match &node.operator {
        Operator::LoopHead(head) => (Exchange::Hash(head.partition.clone()), &head.variable),
        Operator::Variable(variable) => (placement_of(plan, variable.feedback, &variable.exchange), &node.schema),
        other => unreachable!("{} has no log", other.name()),
    };
    rows_of_worker(delta, &placement, schema, worker, peers)
}

fn rows_of_worker(delta: &Delta, exchange: &Exchange, schema: &SchemaRef, worker: usize, peers: usize) -> Delta {
    match exchange {
        _ if peers == 1 => delta.clone(),
        Exchange::Broadcast => delta.clone(),
        Exchange::Stay => slice_of_worker(delta, worker, peers),
        Exchange::Hash(columns) if columns.is_empty() => delta.slice(0, if worker == 0 { delta.num_rows() } else { 0 }),
        Exchange::Hash(columns) => {
            let layout = exchange_layout(schema, columns);
            let mut keys = Vec::new();
            layout.pack_for_hash(&delta.rows, columns, &mut keys);
            let rows = keys.chunks_exact(layout.words()).enumerate();
            let mine = rows.filter(|(_, key)| worker_of(hash_words(key), peers) == worker).map(|(row, _)| row as u64);
            take_rows(delta, &mine.collect::<Vec<_>>())
        }
    }
}

/// This worker's share of a delta that may be dealt out freely. Errors go to worker 0.
pub(crate) fn slice_of_worker(delta: &Delta, worker: usize, peers: usize) -> Delta {
    let (start, end) = (delta.num_rows() * worker / peers, delta.num_rows() * (worker + 1) / peers);
    let mut slice = delta.slice(start, end - start);
    slice.errors = if worker == 0 { delta.errors.clone() } else { Vec::new() };
    slice
}
