//! Whether two plans are the same: the state of one fits the other.
//!
//! Names do not count, but everything that state depends on does: operators, keys, expressions, types, exchanges. The text that is hashed
//! is written here and nowhere else; a change of it makes every stored state unreadable, so it begins with a version.

use std::fmt::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Schema;
use arrow::util::display::array_value_to_string;

use crate::{Exchange, Operator, Projected, RowFunction, Step, StreamPlan};

/// Version of the text.
const VERSION: u32 = 1;

/// A hash of a plan, the same in every process, as 32 hexadecimal digits.
///
/// # Panics
/// When a constant of the plan cannot be printed, which no supported type's can.
#[must_use]
pub fn fingerprint(plan: &StreamPlan) -> String {
    format!("{:032x}", fnv_1a(canonical_text(plan).as_bytes()))
}

/// FNV-1a with 128 bits (Fowler, Noll, Vo; draft-eastlake-fnv).
fn fnv_1a(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

fn canonical_text(plan: &StreamPlan) -> String {
    let mut text = format!("version {VERSION}, root {}\n", plan.root);
    for node in &plan.nodes {
        let inputs = node.inputs.iter().map(|(input, exchange)| match exchange {
            Exchange::Stay => format!("{input}"),
            Exchange::Broadcast => format!("{input} to all"),
            Exchange::Hash(columns) => format!("{input} by {columns:?}"),
        });
        let inputs = inputs.collect::<Vec<_>>().join(", ");
        let scope = node.scope.iter().map(|l| l.0).collect::<Vec<_>>();
        let grows = if node.scope.is_empty() || node.keeps_iterations() { "" } else { ", grows" };
        writeln!(text, "{} ({inputs}) in {scope:?}{grows} -> {}", operator(&node.operator), schema(&node.schema))
            .expect("a string takes any text");
    }
    text
}

fn operator(operator: &Operator) -> String {
    match operator {
        Operator::Source { relation, columns, .. } => format!("source {relation} {columns:?}"),
        Operator::Constant(rows) => format!("constant {}", constant(rows)),
        Operator::Map(function) => format!("map {}", row_function(function)),
        Operator::Join(join) => {
            let (left, right, nulls) = (&join.left_keys, &join.right_keys, join.nulls_meet);
            format!("join {left:?} {right:?} {nulls} {}", row_function(&join.output))
        }
        Operator::Union => "union".to_owned(),
        Operator::Negate => "negate".to_owned(),
        Operator::Distinct => "distinct".to_owned(),
        Operator::Aggregate(aggregate) => format!("aggregate {} {:?}", aggregate.keys, aggregate.calls),
        Operator::TopK(top) => format!("top {:?} {:?} {} {:?}", top.keys, top.order, top.offset, top.limit),
        Operator::Window(window) => {
            let calls = window.calls.iter().map(|call| call.text.as_str()).collect::<Vec<_>>().join(", ");
            format!("window {:?} {:?} {calls}", window.keys, window.order)
        }
        Operator::Fold(fold) => {
            let calls = fold.calls.iter().map(|call| call.text.as_str()).collect::<Vec<_>>().join(", ");
            format!("fold {} {calls}", fold.keys)
        }
        Operator::Unnest(unnest) => format!("unnest {:?} {}", unnest.columns, unnest.keeps_empty),
        Operator::Temporal(temporal) => format!("temporal {:?} {:?}", temporal.from, temporal.until),
        Operator::LoopHead(head) => {
            let join = head.join.as_ref().map(|j| format!("{:?} {:?} {}", j.variable_keys, j.other_keys, j.nulls_meet));
            let (id, kind, partition, stays, stage) = (head.id, &head.kind, &head.partition, head.stays, row_function(&head.stage));
            let limit = head.limit.map_or(String::new(), |limit| format!(" {limit:?}"));
            format!(
                "loop {id} {kind:?} {} {partition:?} {stays} {join:?} {stage} {:?}{limit}",
                schema(&head.variable),
                head.feedback
            )
        }
        Operator::LoopBody => "body".to_owned(),
        Operator::Variable(variable) => {
            format!("variable {} {} {:?} {:?}", variable.id, variable.feedback, variable.exchange, variable.limit)
        }
        Operator::Enter => "enter".to_owned(),
        Operator::Leave => "leave".to_owned(),
    }
}

/// Each cell quoted, so that no two constants have one text.
fn constant(rows: &RecordBatch) -> String {
    let cells = (0..rows.num_rows()).flat_map(|row| rows.columns().iter().map(move |column| (row, column)));
    let cells = cells.map(|(row, column)| match column.is_null(row) {
        true => "NULL".to_owned(),
        false => format!("{:?}", array_value_to_string(column, row).expect("constants can be printed")),
    });
    cells.collect::<Vec<_>>().join(" ")
}

fn row_function(function: &RowFunction) -> String {
    let steps = function.steps.iter().map(|step| match step {
        Step::Filter(condition) => format!("filter {condition}"),
        Step::Project(columns) => {
            let columns = columns.iter().map(|c| match c {
                Projected::Column(from, _) => format!("@{from}"),
                Projected::Computed(expr, field) => format!("{expr}: {}", field.data_type()),
            });
            format!("project {}", columns.collect::<Vec<_>>().join(", "))
        }
    });
    steps.collect::<Vec<_>>().join("; ")
}

fn schema(schema: &Schema) -> String {
    let fields = schema.fields().iter().map(|f| format!("{}{}", f.data_type(), if f.is_nullable() { "?" } else { "" }));
    fields.collect::<Vec<_>>().join(" ")
}
