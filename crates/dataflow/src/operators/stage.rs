//! What becomes of a joined pair of packed rows, or of one row: a row function over the columns of both.
//!
//! Where the function only moves columns, cells go from packed row to packed row and no Arrow array is made. Otherwise pairs are
//! gathered, unpacked into a batch, and the function is evaluated on that.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use refrain_plan::RowFunction;
use refrain_state::{RecentRows, Repack, RowLayout};
use refrain_types::errors::Errors;
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, Iteration, Weight};

use super::Context;
use crate::expression::CompiledRowFunction;

/// Pairs that are not said again and together are as much work as a row that comes out.
const SILENT_PAIRS_OF_A_ROW: usize = 8;

/// Pairs after which it is known whether many come twice.
const REPEATS_AWAITED_PAIRS: usize = 1 << 16;

/// See the module. Rows are pushed, then drained.
pub(crate) struct Stage {
    layout: RowLayout,
    physical: SchemaRef,
    how: How,
    gathered: Packed,
    /// Rows that came lately, where no row need come twice.
    said: Option<RecentRows>,
    /// Pairs that were not said again since the last drain.
    silent: usize,
    /// Pairs, and those that were not said again, before the last drain.
    before: [usize; 2],
    /// The side of the row whose pairs are coming, and what they all have of it.
    first: usize,
    begun: Vec<u64>,
}

enum How {
    Moves(Repack),
    Computes { gather: Repack, layout: RowLayout, physical: SchemaRef, function: CompiledRowFunction },
}

impl How {
    #[inline]
    fn repack(&self) -> &Repack {
        match self {
            Self::Moves(repack) | Self::Computes { gather: repack, .. } => repack,
        }
    }
}

/// Packed rows with iterations and weights.
#[derive(Default)]
pub(crate) struct Packed {
    pub rows: Vec<u64>,
    pub iterations: Vec<Iteration>,
    pub weights: Vec<Weight>,
}

impl Packed {
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.iterations.clear();
        self.weights.clear();
    }

    #[inline]
    pub fn push(&mut self, row: &[u64], iteration: Iteration, weight: Weight) {
        self.rows.extend_from_slice(row);
        self.iterations.push(iteration);
        self.weights.push(weight);
    }

    /// Drops the rows whose weight is not positive.
    pub fn keep_positive(&mut self, words: usize) {
        if self.weights.iter().all(|weight| *weight > 0) {
            return;
        }
        let mut kept = Self::default();
        for (i, row) in self.rows.chunks_exact(words).enumerate().filter(|(i, _)| self.weights[*i] > 0) {
            kept.push(row, self.iterations[i], self.weights[i]);
        }
        *self = kept;
    }

    /// The rows as a delta. Weights are left out where all are 1, iterations where all are 0.
    pub fn to_delta(&self, layout: &RowLayout, physical: &SchemaRef) -> Delta {
        let weights = self.weights.iter().any(|w| *w != 1).then(|| self.weights.clone().into());
        let iterations = self.iterations.iter().any(|i| *i != 0).then(|| self.iterations.clone().into());
        Delta { rows: layout.unpack(&self.rows, physical), weights, iterations, errors: Vec::new() }
    }

    /// Packs the rows of a delta behind those that are here.
    pub fn extend_from_delta(&mut self, layout: &RowLayout, delta: &Delta) {
        layout.pack_batch(&delta.rows, &mut self.rows);
        self.extend_beside(delta);
    }

    /// Appends the iterations and the weights of a delta.
    pub fn extend_beside(&mut self, delta: &Delta) {
        match &delta.iterations {
            Some(iterations) => self.iterations.extend_from_slice(iterations),
            None => self.iterations.resize(self.iterations.len() + delta.num_rows(), 0),
        }
        match &delta.weights {
            Some(weights) => self.weights.extend_from_slice(weights),
            None => self.weights.resize(self.weights.len() + delta.num_rows(), 1),
        }
    }
}

/// One side of a pair: its columns, and the layout of its packed rows, which may have further cells behind them.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub schema: &'a SchemaRef,
    pub layout: &'a RowLayout,
}

impl Stage {
    /// `function` over the columns of `left`, then those of `right`; without `right`, over the left alone. The result has the logical
    /// schema `output`.
    pub fn new(context: &Context, left: Side, right: Option<Side>, function: &RowFunction, output: &SchemaRef) -> Self {
        let fields = left.schema.fields().iter().chain(right.iter().flat_map(|r| r.schema.fields().iter()));
        let pair = Arc::new(Schema::new(fields.map(Arc::clone).collect::<Vec<_>>()));
        let (layout, physical) = (RowLayout::of_schema(output), physical_schema(output));
        let left_width = left.schema.fields().len();
        let at = |column: usize| if column < left_width { column } else { left.layout.width() + column - left_width };
        let repack = |columns: &[usize], to: &RowLayout| {
            let columns = columns.iter().map(|c| at(*c)).collect::<Vec<_>>();
            Repack::of_pair(left.layout, right.map_or(left.layout, |r| r.layout), &columns, to)
        };
        let width = pair.fields().len();
        let how = if function.only_moves_columns() {
            let sources = function.column_sources(width).into_iter().map(|s| s.expect("columns only move"));
            How::Moves(repack(&sources.collect::<Vec<_>>(), &layout))
        } else {
            let all = (0..width).collect::<Vec<_>>();
            let pair_layout = RowLayout::of_schema(&pair);
            How::Computes {
                gather: repack(&all, &pair_layout),
                layout: pair_layout,
                physical: physical_schema(&pair),
                function: CompiledRowFunction::new(function, &pair, context.dictionary().clone(), context.operator),
            }
        };
        Self {
            layout,
            physical,
            how,
            gathered: Packed::default(),
            said: None,
            silent: 0,
            before: [0, 0],
            first: 0,
            begun: Vec::new(),
        }
    }

    /// The same, where a row that came once need not come again. Rows that are computed come each time: those that fail are counted.
    pub fn without_repeats(mut self) -> Self {
        self.said = (!self.may_fail()).then(|| RecentRows::new(self.layout.words()));
        self
    }

    /// Layout of the rows that come out.
    pub fn layout(&self) -> &RowLayout {
        &self.layout
    }

    /// Whether there are expressions to evaluate, which may fail.
    pub fn may_fail(&self) -> bool {
        matches!(self.how, How::Computes { .. })
    }

    /// Number of rows or pairs since the last drain.
    pub fn len(&self) -> usize {
        self.gathered.len()
    }

    /// How much was done since the last drain, in rows that come out.
    pub fn work(&self) -> usize {
        self.len() + self.silent / SILENT_PAIRS_OF_A_ROW
    }

    /// Takes in a row, where there is no right side.
    #[inline]
    pub fn push(&mut self, row: &[u64], iteration: Iteration, weight: Weight) {
        self.begin(true, row);
        self.gathered.push(&self.begun, iteration, weight);
    }

    /// Begins pairs of a row with rows of the other side, which come by [`Self::pair`].
    #[inline]
    pub fn begin(&mut self, is_left: bool, row: &[u64]) {
        self.first = usize::from(!is_left);
        self.how.repack().begin_pairs(self.first, row, &mut self.begun);
    }

    /// Takes in the pair of the row that was begun with and a row of the other side.
    #[inline]
    pub fn pair(&mut self, other: &[u64], iteration: Iteration, weight: Weight) {
        let rows = &mut self.gathered.rows;
        let start = rows.len();
        self.how.repack().append_pair(&self.begun, 1 - self.first, other, rows);
        if let Some(said) = &mut self.said
            && !said.insert(&rows[start..])
        {
            rows.truncate(start);
            self.silent += 1;
            return;
        }
        self.gathered.iterations.push(iteration);
        self.gathered.weights.push(weight);
    }

    /// The results as packed rows, in place of what `out` holds.
    pub fn drain_packed(&mut self, out: &mut Packed, errors: &mut Errors) {
        out.clear();
        self.forget_work();
        match &self.how {
            How::Moves(_) => std::mem::swap(out, &mut self.gathered),
            How::Computes { .. } if self.gathered.is_empty() => {}
            How::Computes { .. } => {
                let delta = self.drain_delta();
                out.extend_from_delta(&self.layout, &delta);
                errors.extend(delta.errors);
            }
        }
    }

    /// The results as a delta.
    pub fn drain_delta(&mut self) -> Delta {
        self.forget_work();
        let delta = match &self.how {
            How::Moves(_) => self.gathered.to_delta(&self.layout, &self.physical),
            How::Computes { layout, physical, function, .. } => function.apply(self.gathered.to_delta(layout, physical)),
        };
        self.gathered.clear();
        delta
    }

    /// Begins to count work anew. Where few rows come twice they are not looked for any more.
    fn forget_work(&mut self) {
        let silent = std::mem::take(&mut self.silent);
        self.before = [self.before[0] + silent + self.len(), self.before[1] + silent];
        let [all, silent] = self.before;
        if all > REPEATS_AWAITED_PAIRS && silent * SILENT_PAIRS_OF_A_ROW < all {
            self.said = None;
        }
    }
}
