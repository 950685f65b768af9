//! A row function over packed rows, one by one.
//!
//! Where all that a function computes can be computed on single rows ([`super::small`]), a loop need not unpack its rows into a batch
//! and pack the results again: cells that move are moved, the others are computed from cells.

use std::sync::Arc;

use datafusion_physical_expr::expressions::Literal;
use refrain_state::aggregate::cells;
use refrain_state::{Repack, RowLayout};
use refrain_types::{ErrorRow, OperatorId, SqlState};

use super::row_function::{CompiledRowFunction, CompiledStep, Expressions, Source};
use super::small::{Cells, Kind};

/// A row function from packed rows to packed rows.
#[derive(Debug)]
pub struct PackedRowFunction {
    steps: Vec<PackedStep>,
    operator: OperatorId,
    /// The last row that each projection made.
    rows: Vec<Vec<u64>>,
}

#[derive(Debug)]
enum PackedStep {
    Filter {
        /// A program is sure to be there.
        condition: Arc<Expressions>,
        layout: RowLayout,
    },
    Project {
        moves: Repack,
        /// Cells that are computed: their columns in the output, and from what.
        computed: Vec<(usize, Computed)>,
        expressions: Arc<Expressions>,
        from: RowLayout,
        to: RowLayout,
    },
}

#[derive(Clone, Copy, Debug)]
enum Computed {
    Constant(Option<u128>),
    /// The program of an expression, which is sure to be there.
    Program(usize),
}

struct PackedRow<'a> {
    layout: &'a RowLayout,
    row: &'a [u64],
}

impl Cells for PackedRow<'_> {
    #[inline]
    fn cell(&self, column: usize, kind: Kind) -> Option<i64> {
        self.layout.cell(self.row, column).map(|bits| kind.value(bits))
    }
}

impl CompiledRowFunction {
    /// The function from packed rows of `from` to packed rows of `to`, if all of it can be computed on them. The columns of the
    /// function's input are the first ones of `from`; those of its output are the columns of `to`.
    ///
    /// # Panics
    /// When a column is not of the type that a layout says.
    #[must_use]
    pub fn on_packed(&self, from: &RowLayout, to: &RowLayout) -> Option<PackedRowFunction> {
        let last = self.steps.iter().rposition(|step| matches!(step, CompiledStep::Project { .. }));
        let mut layout = from.clone();
        let mut steps = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                CompiledStep::Filter(condition) => {
                    condition.each[0].program.as_ref()?;
                    steps.push(PackedStep::Filter { condition: Arc::clone(condition), layout: layout.clone() });
                }
                CompiledStep::Project { columns, expressions, schema } => {
                    let output = if Some(index) == last { to.clone() } else { RowLayout::of_schema(schema) };
                    steps.push(self.packed_projection(columns, expressions, &layout, &output)?);
                    layout = output;
                }
            }
        }
        if last.is_none() {
            let columns = (0..to.width()).map(Source::Column).collect::<Vec<_>>();
            steps.push(self.packed_projection(&columns, &Arc::default(), &layout, to)?);
        }
        let projections = steps.iter().filter(|step| matches!(step, PackedStep::Project { .. })).count();
        Some(PackedRowFunction { steps, operator: self.operator, rows: vec![Vec::new(); projections] })
    }

    fn packed_projection(
        &self,
        columns: &[Source],
        expressions: &Arc<Expressions>,
        from: &RowLayout,
        to: &RowLayout,
    ) -> Option<PackedStep> {
        let mut computed = Vec::new();
        let mut sources = Vec::with_capacity(columns.len());
        for (column, source) in columns.iter().enumerate() {
            match source {
                Source::Column(source) => sources.push(Some(*source)),
                Source::Expression(index) => {
                    sources.push(None);
                    computed.push((column, self.computed(expressions, *index)?));
                }
            }
        }
        let moves = Repack::partial(from, &sources, to);
        Some(PackedStep::Project { moves, computed, expressions: Arc::clone(expressions), from: from.clone(), to: to.clone() })
    }

    fn computed(&self, expressions: &Expressions, index: usize) -> Option<Computed> {
        let expression = &expressions.each[index];
        if let Some(literal) = expression.evaluated.downcast_ref::<Literal>() {
            let column = expression.repeat(literal.value(), 1, &self.dictionary).ok()?;
            return Some(Computed::Constant(cells(&column, &expression.data_type)[0].0));
        }
        expression.program.as_ref().map(|_| Computed::Program(index))
    }
}

impl PackedRowFunction {
    /// Computes the row that becomes of `row` and overwrites `out` with it. `false` means that a filter drops the row; `out` then means
    /// nothing.
    ///
    /// # Errors
    /// What the row becomes when an expression fails on it.
    pub fn apply(&mut self, row: &[u64], out: &mut [u64]) -> Result<bool, ErrorRow> {
        let operator = self.operator;
        self.compute(row, out).map_err(|(code, message)| ErrorRow { operator, code, message })
    }

    fn compute(&mut self, row: &[u64], out: &mut [u64]) -> Result<bool, (SqlState, String)> {
        let mut made = 0;
        for step in &self.steps {
            let (before, after) = self.rows.split_at_mut(made);
            let row = before.last().map_or(row, Vec::as_slice);
            match step {
                PackedStep::Filter { condition, layout } => {
                    let condition = condition.each[0].program.as_ref().expect("a packed filter has a program");
                    if condition.value(&PackedRow { layout, row })? != Some(1) {
                        return Ok(false);
                    }
                }
                PackedStep::Project { moves, computed, expressions, from, to } => {
                    let target = &mut after[0];
                    target.resize(to.words(), 0);
                    moves.apply(row, target);
                    for (column, computed) in computed {
                        let value = computed.value(expressions, &PackedRow { layout: from, row })?;
                        to.set_cell(target, *column, value);
                    }
                    made += 1;
                }
            }
        }
        out.copy_from_slice(&self.rows[made - 1]);
        Ok(true)
    }
}

impl Computed {
    fn value(self, expressions: &Expressions, row: &PackedRow<'_>) -> Result<Option<u128>, (SqlState, String)> {
        match self {
            Self::Constant(value) => Ok(value),
            Self::Program(index) => {
                let expression = &expressions.each[index];
                let program = expression.program.as_ref().expect("a packed expression has a program");
                match program.value(row)? {
                    None if !expression.nullable => Err(expression.unexpected_null()),
                    value => Ok(value),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
