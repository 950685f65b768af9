//! Whether a keyed recursion is one over a lattice: a better row of a key never derives a worse row than another row of that key does.
//!
//! Then only the best row of each key has to be kept, and the order in which rows go round matters to nothing but the work (Ross and
//! Sagiv, "Monotonic Aggregation in Deductive Databases", PODS 1992). It is seen from expressions: the column that decides is taken
//! over, or is a sum, a difference, `least` or `greatest` of it and of values that all rows of the key have alike; every other column
//! is one of these values.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_expr_common::operator::Operator;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Column};
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::{KeyWinner, LoopKey, Projected, RowFunction, Step};

/// How a value depends on which row of its key it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trend {
    /// Not at all.
    Same,
    /// It is never better of a worse row.
    Follows,
    /// In a way that is not seen.
    Unknown,
}

impl LoopKey {
    /// Whether it is seen that what the body of a loop derives from a better row of a key is never worse than what it derives from another
    /// one, and is derived wherever that is.
    ///
    /// `stage` is the whole body, over `width` columns of which the first are those of `variable`, the others those of the join's other
    /// side; `join_keys` are those of its join.
    #[must_use]
    pub fn better_derives_better(&self, stage: &RowFunction, join_keys: &[usize], (variable, width): (&Schema, usize)) -> bool {
        let Some(decides) = self.winner.column() else { return false };
        let of_input = |column: usize| match column {
            column if column == decides => Trend::Follows,
            column if column >= variable.fields().len() || self.columns.contains(&column) => Trend::Same,
            _ => Trend::Unknown,
        };
        let mut trends = (0..width).map(of_input).collect::<Vec<_>>();
        if join_keys.iter().any(|column| trends[*column] != Trend::Same) {
            return false;
        }
        let value = Deciding { winner: self.winner, field: variable.field(decides) };
        for step in &stage.steps {
            match step {
                Step::Filter(condition) if value.trend(condition, &trends) != Trend::Same => return false,
                Step::Filter(_) => {}
                Step::Project(columns) => {
                    let trend = |column: &Projected| match column {
                        Projected::Column(from, _) => trends[*from],
                        Projected::Computed(expr, _) => value.trend(expr, &trends),
                    };
                    trends = columns.iter().map(trend).collect();
                }
            }
        }
        trends.iter().enumerate().all(|(column, trend)| match trend {
            Trend::Same => true,
            Trend::Follows => column == decides,
            Trend::Unknown => false,
        })
    }
}

/// The column that decides which row is better.
struct Deciding<'a> {
    winner: KeyWinner,
    field: &'a Field,
}

impl Deciding<'_> {
    fn trend(&self, expr: &Arc<dyn PhysicalExpr>, of_columns: &[Trend]) -> Trend {
        if collect_columns(expr).iter().all(|column| of_columns[column.index()] == Trend::Same) {
            return Trend::Same;
        }
        let trend = |expr| self.trend(expr, of_columns);
        if let Some(column) = expr.downcast_ref::<Column>() {
            return of_columns[column.index()];
        }
        // Floating point has infinities whose sums are no numbers, which come last.
        if !is_integer(self.field.data_type()) {
            return Trend::Unknown;
        }
        let follows = if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            is_integer(cast.cast_type()) && trend(cast.expr()) == Trend::Follows
        } else if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            let (left, right) = (trend(binary.left()), trend(binary.right()));
            match binary.op() {
                Operator::Plus => left != Trend::Unknown && right != Trend::Unknown,
                Operator::Minus => left == Trend::Follows && right == Trend::Same,
                _ => false,
            }
        } else if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
            self.may_choose(call.fun().name()) && call.args().iter().all(|argument| trend(argument) != Trend::Unknown)
        } else {
            false
        };
        if follows { Trend::Follows } else { Trend::Unknown }
    }

    /// Whether a function chooses among its arguments so that a better one does not make the result worse. A NULL is never better, and is
    /// passed over: the least of NULL and 5 is 5, as if NULL were the greatest value, but so is the greatest of them.
    fn may_choose(&self, function: &str) -> bool {
        let passes_worst = match self.winner {
            KeyWinner::Least(_) => function == "least",
            KeyWinner::Greatest(_) => function == "greatest",
            KeyWinner::Latest => false,
        };
        passes_worst || (!self.field.is_nullable() && matches!(function, "least" | "greatest"))
    }
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64)
}
