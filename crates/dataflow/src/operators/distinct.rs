//! `DISTINCT`: each row once while its weight is positive. Outside loops, and in those that keep no iterations.

pub(crate) mod in_loop;

use arrow::datatypes::SchemaRef;
use refrain_plan::Exchange;
use refrain_state::{Arrangement, Entries, RowLayout};
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, OperatorId};

use super::{Context, Edge, Stateful, stateful};
use crate::part::{Captured, Part, Size};
use crate::restore::{overflow, restore_part};

struct Distinct {
    operator: OperatorId,
    schema: SchemaRef,
    physical: SchemaRef,
    layout: RowLayout,
    rows: Arrangement,
    /// Rows never go, so it does not matter how often they came.
    append_only: bool,
    packed: Vec<u64>,
}

impl Distinct {
    /// The rows that come into being or go, from the changes of their weights. Eager, right for every order of deltas.
    fn step(&mut self, delta: Delta) -> Delta {
        let (mut changed, mut weights, mut errors) = (Vec::new(), Vec::new(), delta.errors.clone());
        self.packed.clear();
        self.layout.pack_batch(&delta.rows, &mut self.packed);
        for block in 0..delta.num_rows().div_ceil(32) {
            let start = block * 32;
            let end = (start + 32).min(delta.num_rows());
            let words = self.layout.words();
            self.rows.prepare(&self.packed[start * words..end * words]);
            for i in start..end {
                let row = &self.packed[i * words..(i + 1) * words];
                if self.append_only {
                    if self.rows.add_once(row) {
                        changed.extend_from_slice(row);
                        weights.push(1);
                    }
                    continue;
                }
                match self.rows.add(row, delta.weight(i)) {
                    Ok(c) => {
                        let weight = i64::from(c.after > 0) - i64::from(c.before > 0);
                        if weight != 0 {
                            changed.extend_from_slice(row);
                            weights.push(weight);
                        }
                    }
                    Err(_) => errors.push(overflow(self.operator, delta.weight(i))),
                }
            }
        }
        let weights = (!weights.iter().all(|w| *w == 1)).then(|| weights.into());
        Delta { rows: self.layout.unpack(&changed, &self.physical), weights, iterations: None, errors }
    }
}

impl Stateful for Distinct {
    fn capture(&mut self, full: bool) -> Vec<Captured> {
        vec![Captured::packed(self.operator, Part::Left, &self.schema, &self.layout, self.rows.capture(full))]
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
        each(Part::Left, Size::of(&self.rows));
    }
}

/// Each row of `input` once.
pub(crate) fn distinct<'scope>(
    context: &Context,
    input: Edge<'scope>,
    (exchange, placement): (&Exchange, &Exchange),
    schema: &SchemaRef,
    append_only: bool,
) -> Edge<'scope> {
    let layout = RowLayout::of_schema(schema);
    let mut state = Distinct {
        operator: context.operator,
        schema: schema.clone(),
        physical: physical_schema(schema),
        rows: Arrangement::new(layout.words(), Entries::OfRows, None).within(context.memory()),
        append_only,
        layout,
        packed: Vec::new(),
    };
    restore_part(context, Part::Left, placement, schema, |delta| {
        state.step(delta);
    });
    if context.control.restored_tick.is_some() {
        state.rows.list_changes();
    }
    stateful(context, "Distinct", (input, exchange), schema, state, Distinct::step)
}
