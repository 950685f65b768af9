//! `DISTINCT` in a loop, where rows have iterations: at each iteration each row once, if its weight up to there is positive.
//!
//! Derivations are kept by row and iteration. What a delta has touched is asked anew when all of it is taken in, so deltas may come in
//! any order; only the loop's head or its variables keep order.

use arrow::datatypes::SchemaRef;
use refrain_plan::Exchange;
use refrain_state::{PresenceHistory, RowLayout};
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, OperatorId};

use crate::operators::stage::Packed;
use crate::operators::{Context, Edge, Stateful, stateful};
use crate::part::{Captured, Part, Size};
use crate::restore::{overflow, restore_part};

struct Distinct {
    operator: OperatorId,
    schema: SchemaRef,
    physical: SchemaRef,
    layout: RowLayout,
    rows: PresenceHistory,
    arriving: Packed,
    said: Packed,
}

impl Distinct {
    fn step(&mut self, mut delta: Delta) -> Delta {
        let mut errors = std::mem::take(&mut delta.errors);
        self.take(&delta, &mut errors);
        let Self { rows, said, layout, physical, .. } = self;
        said.clear();
        rows.speak(|row, iteration, weight| said.push(row, iteration, weight));
        Delta { errors, ..said.to_delta(layout, physical) }
    }

    fn take(&mut self, delta: &Delta, errors: &mut Errors) {
        self.arriving.clear();
        self.arriving.extend_from_delta(&self.layout, delta);
        let Packed { rows, iterations, weights } = &self.arriving;
        if self.rows.arrive(rows, iterations, weights).is_err() {
            errors.push(overflow(self.operator, 1));
        }
    }

    fn restore(&mut self, context: &Context, placement: &Exchange) {
        let schema = SchemaRef::clone(&self.schema);
        let mut errors = Errors::new();
        restore_part(context, Part::Derivations, placement, &schema, |delta| self.take(&delta, &mut errors));
        assert!(errors.is_empty(), "captured weights add up");
        self.rows.speak(|_, _, _| {});
        self.rows.list_changes();
    }
}

impl Stateful for Distinct {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        let captured = self.rows.capture(full);
        vec![Captured::packed(self.operator, Part::Derivations, &self.schema, &self.layout, captured)]
    }

    fn note_everything(&mut self) {
        self.rows.note_everything();
    }

    fn rest(&mut self) {
        self.rows.compact();
    }

    fn operator(&self) -> OperatorId {
        self.operator
    }

    fn sizes(&self, each: &mut dyn FnMut(Part, Size)) {
        each(Part::Derivations, Size { rows: self.rows.len(), bytes: self.rows.size_bytes() });
    }
}

/// Each row of `input` once.
pub(crate) fn distinct<'scope>(
    context: &Context,
    input: Edge<'scope>,
    (exchange, placement): (&Exchange, &Exchange),
    schema: &SchemaRef,
) -> Edge<'scope> {
    let layout = RowLayout::of_schema(schema);
    let mut state = Distinct {
        operator: context.operator,
        schema: SchemaRef::clone(schema),
        physical: physical_schema(schema),
        rows: PresenceHistory::new(layout.words()).within(context.memory()),
        layout,
        arriving: Packed::default(),
        said: Packed::default(),
    };
    if context.control.restored_tick.is_some() {
        state.restore(context, placement);
    }
    stateful(context, "Distinct", (input, exchange), schema, state, Distinct::step)
}
