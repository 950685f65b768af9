//! `a ASOF JOIN b ON a.key = b.key AND a.at >= b.at`: each row of `a` meets the one of `b` that is nearest to it in time.
//!
//! It is written as a join with a condition more. A window function gives each row of `b` the next time of its key, from which on another is
//! nearer; what `a` has between the two meets this row. So nothing is remembered but the rows of both sides, and a change of `b` works out
//! anew the rows of its key alone. The form is DuckDB's and RisingWave's (their documentations, "ASOF join"); of rows of one time the last in
//! the order of all their columns is met.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, JoinType, Result, internal_err};
use datafusion_expr::expr::WindowFunction;
use datafusion_expr::utils::{conjunction, find_valid_equijoin_key_pair, split_conjunction};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, WindowFunctionDefinition, binary_expr,
};

use super::functions::FUNCTIONS;
use crate::error::SqlError;
use crate::parser::asof_join::MARK;

/// The column of the next time.
const NEXT: &str = "__refrain_next";

/// The function that marks such a join, by its name.
pub(super) fn mark(name: &str) -> Option<Arc<ScalarUDF>> {
    (name == MARK).then(|| Arc::new(ScalarUDF::new_from_impl(Mark { signature: Signature::nullary(Volatility::Volatile) })))
}

/// Puts joins with a window in the place of those that are marked.
pub(super) fn as_windows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_marked(&join)? => Ok(Transformed::yes(nearest(&join)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

fn is_marked(join: &Join) -> Result<bool> {
    join.filter.as_ref().map_or(Ok(false), |filter| filter.exists(|expr| Ok(is_mark(expr))))
}

fn is_mark(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == MARK)
}

fn nearest(join: &Join) -> Result<LogicalPlan> {
    let conjuncts = join.filter.as_ref().map_or(Vec::new(), split_conjunction);
    let (mut keys, mut conditions, mut time) = (Vec::new(), Vec::new(), None);
    for conjunct in conjuncts.into_iter().filter(|conjunct| !is_mark(conjunct)) {
        let (left, op, right) = sides(conjunct, join)?.ok_or_else(wrong)?;
        match op {
            Operator::Eq | Operator::IsNotDistinctFrom => keys.push(right),
            Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq if time.is_none() => time = Some((left, op, right)),
            _ => return Err(wrong().into()),
        }
        conditions.push(conjunct.clone());
    }
    let (left, op, right) = time.ok_or_else(wrong)?;
    let (is_back, not_yet) = match op {
        Operator::GtEq => (true, Operator::Lt),
        Operator::Gt => (true, Operator::LtEq),
        Operator::LtEq => (false, Operator::Gt),
        _ => (false, Operator::GtEq),
    };

    let columns = join.right.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
    let order =
        [right.clone().sort(is_back, false)].into_iter().chain(columns.iter().map(|column| column.clone().sort(true, false)));
    let lead = Arc::clone(FUNCTIONS.window.get("lead").expect("it is one of DataFusion's functions"));
    let next = Expr::from(WindowFunction::new(WindowFunctionDefinition::WindowUDF(lead), vec![right]));
    let next = next.partition_by(keys).order_by(order.collect()).build()?;
    let rows = LogicalPlanBuilder::from(join.right.as_ref().clone()).window(vec![next])?.build()?;
    let next = rows.schema().columns().pop().map(|column| Expr::Column(column).alias(NEXT));
    let rows = LogicalPlanBuilder::new(rows).project(columns.into_iter().chain(next))?.build()?;

    let next = Expr::Column(Column::from_name(NEXT));
    conditions.push(next.clone().is_null().or(binary_expr(left, not_yet, next)));
    let joined = LogicalPlanBuilder::from(join.left.as_ref().clone()).join_on(rows, join.join_type, conjunction(conditions))?;
    joined.project(join.schema.columns().into_iter().map(Expr::Column).collect::<Vec<_>>())?.build()
}

/// A comparison with what is of the left rows on its left.
fn sides(conjunct: &Expr, join: &Join) -> Result<Option<(Expr, Operator, Expr)>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else { return Ok(None) };
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return Ok(None);
    }
    let pair = find_valid_equijoin_key_pair(left, right, join.left.schema(), join.right.schema())?;
    Ok(pair
        .and_then(|(first, second)| if first == **left { Some((first, *op, second)) } else { Some((first, op.swap()?, second)) }))
}

fn wrong() -> SqlError {
    SqlError::unsupported("the condition of an ASOF JOIN is not supported").with_detail(
        "It is one comparison by <, <=, > or >= of a value of one side with one of the other, and any number of such equalities.",
    )
}

/// See [`mark`].
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    signature: Signature,
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        MARK
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("the mark of a join has no value")
    }
}
