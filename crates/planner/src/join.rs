//! Joins: inner ones, and the semi joins that IN and EXISTS become. The others are made of these: see `outer_join`.

use std::sync::Arc;

use datafusion_common::{DFSchema, NullEquality};
use datafusion_expr::binary::comparison_coercion;
use datafusion_expr::utils::expr_to_columns;
use datafusion_expr::{Expr, ExprSchemable, JoinType, LogicalPlan, cast};
use refrain_plan::{Join as JoinOperator, NodeId, Projected, RowFunction, Step};
use refrain_sql::Result;
use refrain_sql::bind::errors::from_datafusion;

use crate::expression::{field, move_columns, physical, plus_zero, predicate, projected, without_alias};
use crate::lower::{Lowering, count_rows};

/// One side of a join: a node whose first columns are the logical side's, and which of its columns are the key.
pub(crate) struct Side {
    pub(crate) node: NodeId,
    pub(crate) keys: Vec<usize>,
}

impl Lowering<'_> {
    pub(crate) fn join(&mut self, join: &datafusion_expr::Join) -> Result<NodeId> {
        match join.join_type {
            JoinType::Inner => self.inner_join(join),
            JoinType::LeftSemi => self.semi_join(join, &join.left, &join.right, false),
            JoinType::RightSemi => self.semi_join(join, &join.right, &join.left, true),
            JoinType::LeftAnti | JoinType::RightAnti => self.anti_join(join),
            JoinType::Left | JoinType::Right | JoinType::Full => self.outer_join(join),
            JoinType::LeftMark | JoinType::RightMark => self.mark_join(join),
        }
    }

    pub(crate) fn inner_join(&mut self, join: &datafusion_expr::Join) -> Result<NodeId> {
        let (left_keys, right_keys) = key_expressions(join)?;
        let left = self.side(&join.left, &left_keys)?;
        let right = self.side(&join.right, &right_keys)?;
        let left_width = self.builder.schema(left.node).fields().len();
        let output = join_output(join, |i| match i.checked_sub(logical_width(&join.left)) {
            None => i,
            Some(of_right) => left_width + of_right,
        })?;
        let output = if is_whole(&output, left_width + self.builder.schema(right.node).fields().len()) {
            RowFunction::default()
        } else {
            output
        };
        self.check_loops(&[left.node, right.node])?;
        Ok(self.builder.join(
            [left.node, right.node],
            JoinOperator { left_keys: left.keys, right_keys: right.keys, nulls_meet: nulls_meet(join), output, uncounted: false },
        ))
    }

    /// Rows of `kept` that meet some row of `other`: a join with the keys of `other`, each once.
    pub(crate) fn semi_join(
        &mut self,
        join: &datafusion_expr::Join,
        kept: &LogicalPlan,
        other: &LogicalPlan,
        swapped: bool,
    ) -> Result<NodeId> {
        if let Some(condition) = &join.filter {
            let node = self.lower(kept)?;
            // A loop head that keeps a set or a row of each key does not count: a row may come as often as it meets one.
            return if self.in_linear_loop(node) {
                self.inner_join(join)
            } else {
                self.semi_join_on(join, condition, [kept, other], swapped)
            };
        }
        let (left_keys, right_keys) = key_expressions(join)?;
        let (kept_keys, other_keys) = if swapped { (right_keys, left_keys) } else { (left_keys, right_keys) };
        let left = self.side(kept, &kept_keys)?;
        let right = self.distinct_keys(other, &other_keys)?;
        let output = self.keep_columns(left.node, logical_width(kept));
        let distinct = self.builder.node(left.node).properties.distinct && left.keys.iter().all(|k| *k < logical_width(kept));
        self.check_loops(&[left.node, right.node])?;
        let node = self.builder.join(
            [left.node, right.node],
            JoinOperator { left_keys: left.keys, right_keys: right.keys, nulls_meet: nulls_meet(join), output, uncounted: false },
        );
        // A row meets one key at most, so it does not come twice.
        if distinct {
            self.builder.set_distinct(node);
        }
        Ok(node)
    }

    /// With a condition besides the keys: which values of the columns that the condition sees meet something, each once; then the rows
    /// that have them.
    fn semi_join_on(
        &mut self,
        join: &datafusion_expr::Join,
        condition: &Expr,
        [kept, other]: [&LogicalPlan; 2],
        swapped: bool,
    ) -> Result<NodeId> {
        let (left_keys, right_keys) = key_expressions(join)?;
        let (kept_keys, other_keys) = if swapped { (right_keys, left_keys) } else { (left_keys, right_keys) };
        let mut seen = std::collections::HashSet::new();
        for expr in kept_keys.iter().chain([condition]) {
            expr_to_columns(expr, &mut seen).map_err(from_datafusion)?;
        }
        let mut seen = seen.iter().filter_map(|c| kept.schema().maybe_index_of_column(c)).collect::<Vec<_>>();
        seen.sort_unstable();
        let exprs = seen.iter().map(|i| Expr::Column(kept.schema().columns()[*i].clone())).collect::<Vec<_>>();
        let candidates = self.distinct_keys(kept, &exprs)?;
        let narrow = DFSchema::new_with_metadata(
            seen.iter()
                .map(|i| {
                    let (q, f) = kept.schema().qualified_field(*i);
                    (q.cloned(), Arc::clone(f))
                })
                .collect(),
            std::collections::HashMap::new(),
        );
        let narrow = narrow.map_err(from_datafusion)?;
        let left = self.keyed(candidates.node, &narrow, &kept_keys)?;
        let right = self.side(other, &other_keys)?;
        let both = narrow.join(other.schema()).map_err(from_datafusion)?;
        let left_width = self.builder.schema(left.node).fields().len();
        let condition = predicate(condition, &both)?;
        let condition = move_columns(&condition, &|i| if i < seen.len() { i } else { left_width + i - seen.len() });
        let narrow_columns = self.keep_columns(left.node, seen.len());
        let output = RowFunction { steps: vec![Step::Filter(condition)] }.then(narrow_columns);
        self.check_loops(&[left.node, right.node])?;
        let meeting = self.builder.join(
            [left.node, right.node],
            JoinOperator { left_keys: left.keys, right_keys: right.keys, nulls_meet: nulls_meet(join), output, uncounted: false },
        );
        let meeting = self.distinct(meeting);
        let all = self.side(kept, &exprs)?;
        let output = self.keep_columns(all.node, logical_width(kept));
        let right_keys = (0..seen.len()).collect();
        Ok(self.builder.join(
            [all.node, meeting],
            JoinOperator { left_keys: all.keys, right_keys, nulls_meet: true, output, uncounted: false },
        ))
    }

    /// Whether a node stands in the body of a loop whose head does the rest of the recursion.
    pub(crate) fn in_linear_loop(&self, node: NodeId) -> bool {
        self.builder.node(node).scope.last().is_some_and(|inner| !self.is_mutual(*inner))
    }

    /// Lowers one side and adds the keys that are not plain columns.
    pub(crate) fn side(&mut self, plan: &LogicalPlan, keys: &[Expr]) -> Result<Side> {
        let node = self.lower(plan)?;
        self.keyed(node, plan.schema(), keys)
    }

    fn keyed(&mut self, node: NodeId, plan: &DFSchema, keys: &[Expr]) -> Result<Side> {
        let schema = Arc::clone(self.builder.schema(node));
        let mut columns =
            (0..schema.fields().len()).map(|i| Projected::Column(i, Arc::clone(&schema.fields()[i]))).collect::<Vec<_>>();
        let width = columns.len();
        let mut positions = Vec::with_capacity(keys.len());
        for key in keys {
            match key_column(key, plan)? {
                Projected::Column(at, _) => positions.push(at),
                computed @ Projected::Computed(..) => {
                    positions.push(columns.len());
                    columns.push(computed);
                }
            }
        }
        let function =
            if columns.len() == width { RowFunction::default() } else { RowFunction { steps: vec![Step::Project(columns)] } };
        Ok(Side { node: self.builder.map(node, function), keys: positions })
    }

    /// The keys of a side alone, each once.
    pub(crate) fn distinct_keys(&mut self, plan: &LogicalPlan, keys: &[Expr]) -> Result<Side> {
        let node = self.lower(plan)?;
        let columns = keys.iter().map(|key| key_column(key, plan.schema())).collect::<Result<Vec<_>>>()?;
        let whole = !columns.is_empty()
            && columns.len() == self.builder.schema(node).fields().len()
            && columns.iter().enumerate().all(|(i, c)| matches!(c, Projected::Column(from, _) if *from == i));
        let function = if whole {
            RowFunction::default()
        } else if columns.is_empty() {
            count_rows()
        } else {
            RowFunction { steps: vec![Step::Project(columns)] }
        };
        let node = self.builder.map(node, function);
        Ok(Side { node: self.builder.distinct(node), keys: (0..keys.len()).collect() })
    }

    /// A join's output that is the first columns of its left side.
    pub(crate) fn keep_columns(&self, node: NodeId, width: usize) -> RowFunction {
        if width == 0 {
            return count_rows();
        }
        RowFunction::columns(self.builder.schema(node), &(0..width).collect::<Vec<_>>())
    }
}

/// The expressions of a join's keys, cast to one type where their types differ.
pub(crate) fn key_expressions(join: &datafusion_expr::Join) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let pairs = join.on.iter().map(|(left, right)| {
        let left_type = left.get_type(join.left.schema()).map_err(from_datafusion)?;
        let right_type = right.get_type(join.right.schema()).map_err(from_datafusion)?;
        if left_type == right_type {
            return Ok((left.clone(), right.clone()));
        }
        let common = comparison_coercion(&left_type, &right_type).unwrap_or_else(|| left_type.clone());
        let as_common =
            |e: &Expr, t: &arrow::datatypes::DataType| if *t == common { e.clone() } else { cast(e.clone(), common.clone()) };
        Ok((as_common(left, &left_type), as_common(right, &right_type)))
    });
    Ok(pairs.collect::<Result<Vec<_>>>()?.into_iter().unzip())
}

/// A key: a plain column, or a computed one. Floating point is computed, for -0.0 must meet 0.0.
pub(crate) fn key_column(key: &Expr, plan: &DFSchema) -> Result<Projected> {
    let data_type = key.get_type(plan).map_err(from_datafusion)?;
    let nullable = key.nullable(plan).map_err(from_datafusion)?;
    let name = match without_alias(key) {
        Expr::Column(column) => column.name.clone(),
        other => other.human_display().to_string(),
    };
    let of = field(&name, data_type.clone(), nullable);
    if data_type.is_floating() {
        return Ok(Projected::Computed(plus_zero(physical(without_alias(key), plan)?, &data_type), of));
    }
    projected(key, plan, &of)
}

/// What follows the meeting of two rows: the residual condition, then the join's own columns. `position` says where a column of both sides
/// of the logical join, the left one's first, stands among the columns of both nodes.
pub(crate) fn join_output(join: &datafusion_expr::Join, position: impl Fn(usize) -> usize) -> Result<RowFunction> {
    let mut steps = Vec::new();
    if let Some(filter) = &join.filter {
        let both = join.left.schema().join(join.right.schema()).map_err(from_datafusion)?;
        steps.push(Step::Filter(move_columns(&predicate(filter, &both)?, &position)));
    }
    if join.schema.fields().is_empty() {
        return Ok(RowFunction { steps }.then(count_rows()));
    }
    let first = if join.join_type == JoinType::RightSemi { logical_width(&join.left) } else { 0 };
    let columns = join.schema.fields().iter().enumerate().map(|(i, f)| Projected::Column(position(first + i), Arc::clone(f)));
    steps.push(Step::Project(columns.collect()));
    Ok(RowFunction { steps })
}

pub(crate) fn nulls_meet(join: &datafusion_expr::Join) -> bool {
    join.null_equality == NullEquality::NullEqualsNull
}

/// Columns of the logical plan; its node may have more.
pub(crate) fn logical_width(plan: &LogicalPlan) -> usize {
    plan.schema().fields().len()
}

/// Whether a row function keeps all columns where they are.
fn is_whole(function: &RowFunction, width: usize) -> bool {
    match function.steps.as_slice() {
        [Step::Project(columns)] => {
            columns.len() == width && columns.iter().enumerate().all(|(i, c)| matches!(c, Projected::Column(from, _) if *from == i))
        }
        _ => false,
    }
}
