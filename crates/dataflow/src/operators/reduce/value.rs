//! The value of a key as its rows come in, iteration after iteration.

use refrain_plan::Aggregate;
use refrain_state::RowLayout;
use refrain_state::aggregate::{Accumulator, Aggregator, Cell, Failure};
use refrain_types::{Iteration, Weight};

use super::Changes;

/// What a key says from an iteration on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Nothing,
    /// A packed output row whose iteration is left 0.
    Row(Vec<u64>),
    Error(Failure),
}

/// The key at hand.
pub(super) struct Values {
    key_layout: RowLayout,
    input_layout: RowLayout,
    output_layout: RowLayout,
    keys: usize,
    calls: Vec<Call>,
    /// The output row with nothing but the key in it.
    base: Vec<u64>,
    live: i128,
}

struct Call {
    aggregator: Aggregator,
    argument: Option<usize>,
    accumulator: Accumulator,
}

impl Values {
    /// The layouts are those of the key, and of input and output rows with their iteration as the last cell.
    pub fn new(
        (aggregate, aggregators): (&Aggregate, Vec<Aggregator>),
        (key_layout, input_layout, output_layout): (&RowLayout, &RowLayout, &RowLayout),
    ) -> Self {
        let keys = aggregate.keys;
        let calls = aggregators.into_iter().zip(&aggregate.calls);
        let calls = calls
            .map(|(aggregator, call)| Call { argument: call.argument, accumulator: aggregator.accumulator(), aggregator })
            .collect();
        let [key_layout, input_layout, output_layout] = [key_layout, input_layout, output_layout].map(RowLayout::clone);
        Self { base: vec![0; output_layout.words()], key_layout, input_layout, output_layout, keys, calls, live: 0 }
    }

    /// Whether there is a value without any row: the aggregate has no keys.
    pub fn is_always_there(&self) -> bool {
        self.keys == 0
    }

    /// Goes to a key, which has no rows yet.
    pub fn begin(&mut self, key: &[u64]) {
        self.base.fill(0);
        for column in 0..self.keys {
            self.output_layout.set_cell(&mut self.base, column, self.key_layout.cell(key, column));
        }
        self.live = 0;
        for call in &mut self.calls {
            call.accumulator = call.aggregator.accumulator();
        }
    }

    /// Takes in a row of the key.
    pub fn add(&mut self, row: &[u64], weight: Weight) {
        self.live += i128::from(weight);
        for call in &mut self.calls {
            let value = call.argument.map_or(Cell::NULL, |column| Cell(self.input_layout.cell(row, column)));
            call.aggregator.update(&mut call.accumulator, value, weight);
        }
    }

    /// What the key says with the rows so far.
    pub fn say(&self) -> Says {
        if self.live <= 0 && !self.is_always_there() {
            return Says::Nothing;
        }
        let mut row = self.base.clone();
        for (i, call) in self.calls.iter().enumerate() {
            match call.aggregator.result(&call.accumulator) {
                Ok(Cell(value)) => self.output_layout.set_cell(&mut row, self.keys + i, value),
                Err(failure) => return Says::Error(failure),
            }
        }
        Says::Row(row)
    }

    /// Adds what was said to the changes, at an iteration.
    pub fn put(&self, said: &Says, iteration: Iteration, weight: Weight, changes: &mut Changes) {
        if let Says::Row(row) = said {
            let mut row = row.clone();
            self.output_layout.set_cell(&mut row, self.output_layout.width() - 1, Some(u128::from(iteration)));
            changes.push(&row, weight);
        }
    }
}
