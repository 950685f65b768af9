//! Joins that keep rows without a partner, or only those: made of inner joins, semi joins and taking away.
//!
//! The rows of a side that meet nothing are its rows less those that meet something. Since that is a sum of deltas, it is right for every
//! order in which they come, in a loop too.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::ScalarValue;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Join, JoinType, LogicalPlan, Operator};
use datafusion_physical_expr::expressions::Literal;
use refrain_plan::{Join as JoinOperator, NodeId, Projected, RowFunction, Step};
use refrain_sql::Result;
use refrain_sql::bind::errors::from_datafusion;

use crate::expression::predicate;
use crate::join::{key_expressions, logical_width};
use crate::lower::{Lowering, count_rows};
use crate::{constant, refuse};

impl Lowering<'_> {
    /// EXCEPT, NOT EXISTS and NOT IN.
    pub(crate) fn anti_join(&mut self, join: &Join) -> Result<NodeId> {
        let swapped = join.join_type == JoinType::RightAnti;
        let node = self.unmatched(join, swapped)?;
        if join.null_aware { self.not_in(join, swapped, node) } else { Ok(node) }
    }

    /// The pairs that meet, and the rows of one side or both that meet nothing, with NULLs in the place of the other's columns.
    pub(crate) fn outer_join(&mut self, join: &Join) -> Result<NodeId> {
        let schema = if join.schema.fields().is_empty() { constant::no_columns() } else { Arc::clone(join.schema.inner()) };
        let mut parts = vec![self.inner_join(join)?];
        if join.join_type != JoinType::Right {
            let alone = self.unmatched(join, false)?;
            parts.push(self.padded(alone, 0, logical_width(&join.left), join.schema.inner())?);
        }
        if join.join_type != JoinType::Left {
            let alone = self.unmatched(join, true)?;
            parts.push(self.padded(alone, logical_width(&join.left), logical_width(&join.right), join.schema.inner())?);
        }
        self.union_of(parts, &schema)
    }

    /// The rows of one side, each with whether it meets something: EXISTS where it is more than a condition that has to hold.
    pub(crate) fn mark_join(&mut self, join: &Join) -> Result<NodeId> {
        let of_right = join.join_type == JoinType::RightMark;
        let (kept, other) = sides(join, of_right);
        let all = self.lower(kept)?;
        let met = self.semi_join(join, kept, other, of_right)?;
        let unmet = self.less(all, met)?;
        let schema = Arc::clone(join.schema.inner());
        let marked = [(met, true), (unmet, false)].map(|(node, mark)| self.marked(node, mark, &schema));
        self.union_of(marked.to_vec(), &schema)
    }

    /// Rows with a mark behind them.
    fn marked(&mut self, node: NodeId, mark: bool, schema: &Schema) -> NodeId {
        let (last, own) = schema.fields().split_last().expect("a mark is a column");
        let columns = own.iter().enumerate().map(|(i, field)| Projected::Column(i, Arc::clone(field)));
        let mark = Projected::Computed(Arc::new(Literal::new(ScalarValue::Boolean(Some(mark)))), Arc::clone(last));
        self.builder.map(node, RowFunction { steps: vec![Step::Project(columns.chain([mark]).collect())] })
    }

    /// The rows of the left side, or of the right one, that meet nothing.
    fn unmatched(&mut self, join: &Join, of_right: bool) -> Result<NodeId> {
        let (kept, other) = sides(join, of_right);
        let all = self.lower(kept)?;
        let met = self.semi_join(join, kept, other, of_right)?;
        self.less(all, met)
    }

    /// `all` less `some`, which are rows of it.
    fn less(&mut self, all: NodeId, some: NodeId) -> Result<NodeId> {
        let schema = Arc::clone(self.builder.schema(all));
        let distinct = self.builder.node(all).properties.distinct;
        let some = self.builder.conform(some, &schema);
        let negated = self.builder.negate(some);
        let node = self.union_of(vec![all, negated], &schema)?;
        if distinct {
            self.builder.set_distinct(node);
        }
        Ok(node)
    }

    /// Rows of one side as rows of the join: `width` columns from `start` on are theirs, the others NULL.
    fn padded(&mut self, node: NodeId, start: usize, width: usize, schema: &Schema) -> Result<NodeId> {
        if schema.fields().is_empty() {
            return Ok(self.builder.map(node, count_rows()));
        }
        let column = |(i, field): (usize, &Arc<arrow::datatypes::Field>)| {
            if (start..start + width).contains(&i) {
                return Ok(Projected::Column(i - start, Arc::clone(field)));
            }
            let null = ScalarValue::try_from(field.data_type()).map_err(from_datafusion)?;
            Ok(Projected::Computed(Arc::new(Literal::new(null)), Arc::clone(field)))
        };
        let columns = schema.fields().iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
        Ok(self.builder.map(node, RowFunction { steps: vec![Step::Project(columns)] }))
    }

    /// What NOT IN leaves of the rows that meet nothing: none where the subquery has a NULL, and none whose own value is NULL unless the
    /// subquery has no rows.
    fn not_in(&mut self, join: &Join, swapped: bool, mut node: NodeId) -> Result<NodeId> {
        let (kept, other) = sides(join, swapped);
        let (own, others, rest) = match (&join.filter, join.on.as_slice()) {
            // A comparison that is no key, as that of a constant.
            (Some(comparison), []) => {
                let (own, others) = compared(comparison, kept, other)?;
                (vec![own], vec![others], None)
            }
            (rest, _) => {
                let (left_keys, right_keys) = key_expressions(join)?;
                let (own, others) = if swapped { (right_keys, left_keys) } else { (left_keys, right_keys) };
                (own, others, rest.as_ref())
            }
        };
        let may_be_null = |keys: &[Expr], plan: &LogicalPlan| {
            keys.iter().map(|key| key.nullable(plan.schema()).map_err(from_datafusion)).try_fold(false, |any, one| Ok(any | one?))
        };
        let (own_null, other_null) = (may_be_null(&own, kept)?, may_be_null(&others, other)?);
        if !own_null && !other_null {
            return Ok(node);
        }
        let ([own], [others], None) = (own.as_slice(), others.as_slice(), rest) else { return Err(refuse::not_in()) };
        let all_others = self.lower(other)?;
        if other_null {
            let nulls = self.nulls(all_others, others, other)?;
            node = self.less_if_any(node, node, nulls)?;
        }
        if own_null {
            let nulls = self.nulls(node, own, kept)?;
            node = self.less_if_any(node, nulls, all_others)?;
        }
        Ok(node)
    }

    /// The rows of a node whose key is NULL.
    fn nulls(&mut self, node: NodeId, key: &Expr, plan: &LogicalPlan) -> Result<NodeId> {
        let is_null = predicate(&Expr::IsNull(Box::new(key.clone())), plan.schema())?;
        Ok(self.builder.map(node, RowFunction { steps: vec![Step::Filter(is_null)] }))
    }

    /// `all` less `some`, if `others` has any row.
    fn less_if_any(&mut self, all: NodeId, some: NodeId, others: NodeId) -> Result<NodeId> {
        let counted = self.builder.map(others, count_rows());
        let any = self.builder.distinct(counted);
        self.check_loops(&[some, any])?;
        let output = self.keep_columns(some, self.builder.schema(some).fields().len());
        let keys = (Vec::new(), Vec::new());
        let some = self
            .builder
            .join([some, any], JoinOperator { left_keys: keys.0, right_keys: keys.1, nulls_meet: false, output, uncounted: false });
        self.less(all, some)
    }
}

/// What a NOT IN compares: an expression over the rows that are kept, and one over those of the subquery.
fn compared(comparison: &Expr, kept: &LogicalPlan, other: &LogicalPlan) -> Result<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = comparison else { return Err(refuse::not_in()) };
    let is_over = |expr: &Expr, plan: &LogicalPlan| expr.column_refs().iter().all(|column| plan.schema().has_column(column));
    if is_over(left, kept) && is_over(right, other) {
        Ok((left.as_ref().clone(), right.as_ref().clone()))
    } else if is_over(right, kept) && is_over(left, other) {
        Ok((right.as_ref().clone(), left.as_ref().clone()))
    } else {
        Err(refuse::not_in())
    }
}

/// The side whose rows are kept, and the other one.
fn sides(join: &Join, of_right: bool) -> (&LogicalPlan, &LogicalPlan) {
    if of_right { (&join.right, &join.left) } else { (&join.left, &join.right) }
}
