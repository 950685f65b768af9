//! State of operators on its way to a checkpoint and back.
//!
//! The state of an operator is made of named parts. A part is a Z-set of rows, each row with a weight and, in a loop, an iteration;
//! what is captured adds up, so a part is the sum of its captures since the last full one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use refrain_plan::{LoopKind, Operator, StreamPlan};
use refrain_state::RowLayout;
use refrain_types::{Delta, OperatorId, Tick};

use crate::loop_log::Piece;
use crate::operators::aggregate::sums_schema;

/// Rows of a part at one worker. Which ones they are is found out by [`Captured::each_piece`], off the worker's thread.
#[derive(Debug)]
pub struct Captured {
    /// The operator.
    pub operator: OperatorId,
    /// Which part of its state.
    pub part: Part,
    /// Everything there is, rather than changes since the last capture.
    pub full: bool,
    /// Logical schema of the rows.
    pub schema: SchemaRef,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Packed(RowLayout, refrain_state::Capture),
    Pieces(Vec<Piece>),
}

/// A part of an operator's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Rows of the left or only input.
    Left,
    /// Rows of the right input, or of the other side of a loop's join, or of the clock of a temporal filter.
    Right,
    /// The groups of an aggregate with their sums.
    Sums,
    /// Which iterations derive each row of a loop, or of a DISTINCT in one.
    Derivations,
    /// At which iteration each row of a loop is emitted.
    Emissions,
    /// Rows of a monotone loop or of a bag.
    Rows,
    /// Rows of a loop that are applied and not yet released.
    Frontier,
    /// The loop log: feedback that was held.
    Log,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 8] =
        [Self::Left, Self::Right, Self::Sums, Self::Derivations, Self::Emissions, Self::Rows, Self::Frontier, Self::Log];

    /// Its name on disk and for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Sums => "sums",
            Self::Derivations => "derivations",
            Self::Emissions => "emissions",
            Self::Rows => "rows",
            Self::Frontier => "frontier",
            Self::Log => "log",
        }
    }

    /// The part of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// Whether it belongs into the loop log of a checkpoint: what was in flight when the loop was held, captured whole each time.
    #[must_use]
    pub fn is_in_flight(self) -> bool {
        matches!(self, Self::Frontier | Self::Log)
    }
}

/// How much of something is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    /// Rows with a weight; groups of an aggregate that keeps their sums; keys of a recursion that has them.
    pub rows: usize,
    /// Bytes of memory.
    pub bytes: usize,
}

impl Size {
    /// That of rows with their indexes.
    pub fn of(rows: &refrain_state::Arrangement) -> Self {
        Self { rows: rows.live(), bytes: rows.size_bytes() }
    }
}

impl Captured {
    /// Packed rows of a part.
    #[must_use]
    pub(crate) fn packed(
        operator: OperatorId,
        part: Part,
        schema: &SchemaRef,
        layout: &RowLayout,
        rows: refrain_state::Capture,
    ) -> Self {
        Self { operator, part, full: rows.full, schema: Arc::clone(schema), rows: Rows::Packed(layout.clone(), rows) }
    }

    /// Pieces of a part; `full`: everything there is.
    #[must_use]
    pub(crate) fn pieces(operator: OperatorId, part: Part, full: bool, schema: &SchemaRef, pieces: Vec<Piece>) -> Self {
        Self { operator, part, full, schema: Arc::clone(schema), rows: Rows::Pieces(pieces) }
    }

    /// Calls `each` with the rows, some at a time: physical, with weights and iterations. It takes as long as there are many; what was
    /// spilled stays where it is.
    pub fn each_piece(self, each: &mut dyn FnMut(Piece)) {
        match self.rows {
            Rows::Pieces(pieces) => pieces.into_iter().for_each(each),
            Rows::Packed(layout, rows) => {
                let physical = refrain_types::physical::physical_schema(&self.schema);
                rows.each_piece(&mut |rows| {
                    let mut delta = Delta::weighted(layout.unpack(&rows.rows, &physical), rows.weights);
                    delta.iterations = (!rows.iterations.is_empty()).then(|| rows.iterations.into());
                    each(Arc::new(delta).into());
                });
            }
        }
    }
}

/// State that a dataflow starts from.
#[derive(Debug, Default)]
pub struct Restored {
    /// The tick at whose end it was captured.
    pub tick: Tick,
    /// The rows of each part but loop logs, physical, in the order in which they were captured, from all workers of then. The logs come
    /// by themselves: [`Control::bring_log`](crate::Control::bring_log).
    pub parts: BTreeMap<(OperatorId, Part), Vec<Arc<Delta>>>,
}

/// All parts of the state of a plan: a capture has each of them, also one without rows.
pub fn all(plan: &StreamPlan) -> impl Iterator<Item = (OperatorId, Part)> + '_ {
    let operators = (0..plan.nodes.len()).map(|node| OperatorId(u32::try_from(node).expect("a plan has fewer nodes than 2^32")));
    let parts = operators.flat_map(|operator| Part::ALL.map(|part| (operator, part)));
    parts.filter(|(operator, part)| schema(plan, *operator, *part).is_some())
}

/// Logical schema of the rows of a part, `None` where the plan has no such state.
#[must_use]
pub fn schema(plan: &StreamPlan, operator: OperatorId, part: Part) -> Option<SchemaRef> {
    let node = plan.nodes.get(operator.0 as usize)?;
    let input = |i: usize| node.inputs.get(i).map(|(id, _)| Arc::clone(&plan.node(*id).schema));
    match (&node.operator, part) {
        // In a loop the iteration is the last cell of a row.
        (Operator::Aggregate(_), Part::Left) if node.keeps_iterations() => input(0).map(|schema| with_iteration(&schema)),
        (Operator::Distinct, Part::Derivations) if node.keeps_iterations() => input(0),
        (Operator::Distinct, Part::Left) if !node.keeps_iterations() => input(0),
        (Operator::TopK(_) | Operator::Window(_) | Operator::Fold(_), Part::Left) => input(0).map(|schema| with_iteration(&schema)),
        (Operator::Aggregate(aggregate), Part::Left | Part::Sums) if node.scope.is_empty() => {
            let input = input(0)?;
            match sums_schema(aggregate, &input) {
                sums if part == Part::Sums => sums,
                Some(_) => None,
                None => Some(input),
            }
        }
        (Operator::Join(_), Part::Left | Part::Right) => {
            let schema = input(usize::from(part == Part::Right))?;
            Some(if node.keeps_iterations() { with_iteration(&schema) } else { schema })
        }
        (Operator::Temporal(_), Part::Left | Part::Right) => input(usize::from(part == Part::Right)),
        (Operator::LoopHead(head), Part::Right) if head.join.is_some() => input(1),
        (Operator::LoopHead(head), part) => {
            let is_ours = match head.kind {
                LoopKind::Set | LoopKind::Keyed(_) => matches!(part, Part::Derivations | Part::Emissions | Part::Log),
                LoopKind::MonotoneSet | LoopKind::Bag | LoopKind::MonotoneKeyed(_) => {
                    matches!(part, Part::Rows | Part::Frontier | Part::Log)
                }
            };
            is_ours.then(|| Arc::clone(&head.variable))
        }
        (Operator::Variable(_), Part::Frontier | Part::Log) => Some(Arc::clone(&node.schema)),
        // The rows over a limit that fails.
        (Operator::Variable(variable), Part::Rows) if variable.limit.is_some_and(|limit| limit.fails) => {
            Some(Arc::clone(&node.schema))
        }
        _ => None,
    }
}

/// Rows with their iteration as the last column.
pub(crate) fn with_iteration(schema: &Schema) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new("iteration", DataType::UInt32, false)));
    Arc::new(Schema::new(fields))
}
