//! How the rows of a loop are divided among workers.
//!
//! Best is by columns that every derived row takes over from the row it is derived from: it then belongs to the worker that derives
//! it, and no row is exchanged. (Decomposable recursion: Wolfson and Silberschatz, "Distributed Processing of Logic Programs", SIGMOD
//! 1988.) The price is that every worker has the other side of the join. Else rows are exchanged by the join's key.

use std::sync::Arc;

use datafusion_expr::Operator as Comparison;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion_physical_expr::utils::split_conjunction;
use refrain_plan::{FusedJoin, NodeId, Operator, Projected, RowFunction, Step};

use crate::builder::Builder;

/// See the module.
pub(super) struct Division {
    /// Columns of the loop variable.
    pub partition: Vec<usize>,
    /// Whether derived rows belong to the worker that derives them.
    pub stays: bool,
}

impl Division {
    /// `together` are columns that rows of the loop have to meet by, all of them unless it is keyed: it is divided by some of them.
    /// `sources` are those of the stage's columns where the stage is the whole body; `has_one_value` tells which columns of the base
    /// are the same in all rows, and divide nothing.
    pub fn of(
        together: &[usize],
        join: Option<&FusedJoin>,
        sources: Option<Vec<Option<usize>>>,
        has_one_value: impl Fn(usize) -> bool,
    ) -> Self {
        let by_join = join.map(|join| join.variable_keys.clone()).filter(|by| by.iter().all(|column| together.contains(column)));
        let by_key = by_join.unwrap_or_else(|| together.to_vec());
        let taken_over = |column: usize| sources.as_ref().is_some_and(|sources| sources[column] == Some(column));
        if !by_key.is_empty() && by_key.iter().all(|column| taken_over(*column)) {
            return Self { partition: by_key, stays: true };
        }
        let kept = together.iter().copied().filter(|column| taken_over(*column) && !has_one_value(*column)).collect::<Vec<_>>();
        if kept.is_empty() { Self { partition: by_key, stays: false } } else { Self { partition: kept, stays: true } }
    }
}

impl Builder {
    /// Whether a column is seen from the plan to be the same in all rows of a node: a literal, or held equal to one.
    pub(super) fn has_one_value(&self, node: NodeId, column: usize) -> bool {
        let node = self.node(node);
        match &node.operator {
            Operator::Constant(rows) => rows.num_rows() <= 1,
            Operator::Map(function) => match value_of(function, column) {
                Value::Of(column) => self.has_one_value(node.inputs[0].0, column),
                Value::One => true,
                Value::Computed => false,
            },
            _ => false,
        }
    }
}

/// What a row function puts into a column.
enum Value {
    /// What stands in this column of the input.
    Of(usize),
    /// The same in all rows that it lets pass.
    One,
    Computed,
}

fn value_of(function: &RowFunction, mut column: usize) -> Value {
    for step in function.steps.iter().rev() {
        match step {
            Step::Filter(condition) if split_conjunction(condition).iter().any(|part| holds_to_literal(part, column)) => {
                return Value::One;
            }
            Step::Filter(_) => {}
            Step::Project(columns) => match &columns[column] {
                Projected::Column(input, _) => column = *input,
                Projected::Computed(value, _) if value.is::<Literal>() => return Value::One,
                Projected::Computed(..) => return Value::Computed,
            },
        }
    }
    Value::Of(column)
}

/// Whether a condition says that the column equals a literal.
fn holds_to_literal(condition: &Arc<dyn PhysicalExpr>, column: usize) -> bool {
    let Some(equation) = condition.downcast_ref::<BinaryExpr>().filter(|e| *e.op() == Comparison::Eq) else { return false };
    let is_column = |side: &Arc<dyn PhysicalExpr>| side.downcast_ref::<Column>().is_some_and(|c| c.index() == column);
    let (left, right) = (equation.left(), equation.right());
    (is_column(left) && right.is::<Literal>()) || (is_column(right) && left.is::<Literal>())
}
