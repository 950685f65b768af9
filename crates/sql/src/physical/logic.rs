//! `AND` and `OR` that compute their right side only where the left one does not decide, so that a guard guards: `a <> 0 AND 1 / a > 0`.
//!
//! DataFusion computes both sides on the whole batch, mostly. That is as good where the right side cannot fail, and faster.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{and_kleene, or_kleene};
use arrow::datatypes::{FieldRef, Schema};
use datafusion_common::Result;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr};
use datafusion_physical_expr::utils::{conjunction, split_conjunction};

/// What the right side must be able to do for its evaluation to be guarded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Guarded {
    /// Anything but integer arithmetic may fail. Maintained views evaluate batches that fail row by row, and DataFusion's own `AND` and
    /// `OR` decide by their left side where there is only one row; arithmetic in them is left to that.
    Functions,
    /// Integer arithmetic may fail, too.
    Arithmetic,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Logic {
    operation: BinaryExpr,
}

impl Logic {
    /// `AND` or `OR`, if its right side may fail.
    pub(super) fn of(operation: &BinaryExpr, guarded: Guarded) -> Option<Self> {
        let is_logic = matches!(operation.op(), Operator::And | Operator::Or);
        (is_logic && may_fail(operation.right(), guarded)).then(|| Self { operation: operation.clone() })
    }
}

fn may_fail(expr: &Arc<dyn PhysicalExpr>, guarded: Guarded) -> bool {
    let mut found = false;
    expr.apply(|expr| {
        found |= !cannot_fail(expr, guarded);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .expect("looking at an expression does not fail");
    found
}

fn cannot_fail(expr: &Arc<dyn PhysicalExpr>, guarded: Guarded) -> bool {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        use Operator as O;
        return match binary.op() {
            O::Plus | O::Minus | O::Multiply => guarded == Guarded::Functions,
            O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::IsDistinctFrom | O::IsNotDistinctFrom | O::And | O::Or => {
                true
            }
            _ => false,
        };
    }
    expr.is::<Column>()
        || expr.is::<Literal>()
        || expr.is::<NotExpr>()
        || expr.is::<IsNullExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<InListExpr>()
}

/// A condition with its parts that cannot fail in front of the others, otherwise in their order. PostgreSQL evaluates what costs less first,
/// so that there a guard is one on either side: `1 / a > 0 AND a <> 0`.
pub(super) fn guards_first(condition: &Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    let parts = split_conjunction(condition);
    let (guards, others): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| !may_fail(part, Guarded::Arithmetic));
    if guards.is_empty() || others.is_empty() {
        return Arc::clone(condition);
    }
    conjunction(guards.into_iter().chain(others).cloned())
}

impl fmt::Display for Logic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.fmt(f)
    }
}

/// The rows on which the left side decides: `false` for `AND`, `true` for `OR`.
fn undecided(left: &BooleanArray, operator: Operator) -> BooleanArray {
    let deciding = operator == Operator::Or;
    let values = BooleanBuffer::collect_bool(left.len(), |i| left.is_null(i) || left.value(i) != deciding);
    BooleanArray::new(values, None)
}

impl PhysicalExpr for Logic {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let left = self.operation.left().evaluate(batch)?.into_array(batch.num_rows())?;
        let left = left.as_boolean();
        let operator = *self.operation.op();
        let right = self.operation.right().evaluate_selection(batch, &undecided(left, operator))?.into_array(batch.num_rows())?;
        let right = right.as_boolean();
        let both = if operator == Operator::And { and_kleene(left, right)? } else { or_kleene(left, right)? };
        Ok(ColumnarValue::Array(Arc::new(both)))
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.operation.return_field(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![self.operation.left(), self.operation.right()]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let operation = BinaryExpr::new(Arc::clone(&children[0]), *self.operation.op(), Arc::clone(&children[1]));
        Ok(Arc::new(Self { operation }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.fmt_sql(f)
    }
}
