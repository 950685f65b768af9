//! Subqueries that stand for a value: at most one row, or it is an error of whoever needs the value.
//!
//! One whose plan is not of one row in any case becomes a pair: its least value and how many rows there are. `single_row` of the two is the
//! value, or PostgreSQL's error. So the error stands where the value is used, and heals when the rows that are too many go. One that refers
//! to the query around it becomes a pair when it is bound: DataFusion would refuse it, and makes a join of it now. In maintained views the
//! others do, too, and are joined to each row of the query around them; queries that are read once compute their values first.
//!
//! # Known limitation
//! Only conditions and output columns are looked at, not arguments of aggregates.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, Result as DataFusionResult, ScalarValue, exec_err, internal_datafusion_err};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::{
    ColumnarValue, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Subquery, Volatility, lit,
};
use datafusion_functions_aggregate::expr_fn::{count, min};

/// Makes pairs of the subqueries that refer to the query around them.
pub(crate) fn correlated_as_pairs(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| as_pairs(node, |subquery| !subquery.outer_ref_columns.is_empty()))?;
    Ok(rewritten.data)
}

/// Makes joins of those that do not.
pub(super) fn as_joins(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let mut joined = 0;
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let node = as_pairs(node, |_| true)?;
        let changed = node.transformed;
        Ok(match node.data {
            LogicalPlan::Filter(filter) => {
                let (input, mut predicate) = join(&filter.input, vec![filter.predicate.clone()], &mut joined)?;
                match input {
                    None => Transformed::new_transformed(LogicalPlan::Filter(filter), changed),
                    Some(input) => {
                        let columns = filter.input.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
                        let filtered = Filter::try_new(predicate.remove(0), Arc::new(input))?;
                        let plan = LogicalPlanBuilder::new(LogicalPlan::Filter(filtered)).project(columns)?.build()?;
                        Transformed::yes(plan)
                    }
                }
            }
            LogicalPlan::Projection(projection) => {
                let names = NamePreserver::new(&LogicalPlan::Projection(projection.clone()));
                let saved = projection.expr.iter().map(|expr| names.save(expr)).collect::<Vec<_>>();
                let (input, exprs) = join(&projection.input, projection.expr.clone(), &mut joined)?;
                match input {
                    None => Transformed::new_transformed(LogicalPlan::Projection(projection), changed),
                    Some(input) => {
                        let exprs = exprs.into_iter().zip(saved).map(|(expr, name)| name.restore(expr)).collect();
                        Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?))
                    }
                }
            }
            other => Transformed::new_transformed(other, changed),
        })
    })?;
    Ok(rewritten.data)
}

/// The same node with each of these values as a pair that tells how many rows it comes from.
fn as_pairs(node: LogicalPlan, these: impl Fn(&Subquery) -> bool) -> DataFusionResult<Transformed<LogicalPlan>> {
    if !matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Projection(_)) {
        return Ok(Transformed::no(node));
    }
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        let pairs = expr.transform_up(|expr| match expr {
            Expr::ScalarSubquery(subquery) if these(&subquery) && !is_one_row(&subquery.subquery) => {
                Ok(Transformed::yes(pair(&subquery)?))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(pairs.update_data(|expr| name.restore(expr)))
    })
}

/// Whether a plan gives one row, whatever there is.
fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Projection(projection) => is_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_one_row(&alias.input),
        LogicalPlan::Sort(sort) => sort.fetch.is_none() && is_one_row(&sort.input),
        _ => false,
    }
}

fn pair(subquery: &Subquery) -> DataFusionResult<Expr> {
    let of = |aggregate: Expr| -> DataFusionResult<Expr> {
        let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).aggregate(Vec::<Expr>::new(), vec![aggregate])?;
        let subquery = Subquery { subquery: Arc::new(plan.build()?), ..subquery.clone() };
        Ok(Expr::ScalarSubquery(subquery))
    };
    let value = Expr::Column(Column::from(subquery.subquery.schema().qualified_field(0)));
    Ok(ScalarUDF::new_from_impl(SingleRow::new()).call(vec![of(min(value))?, of(count(lit(1i64)))?]))
}

/// Joins the subqueries of expressions that refer to nothing around them; no input where there are none.
fn join(input: &LogicalPlan, exprs: Vec<Expr>, joined: &mut usize) -> DataFusionResult<(Option<LogicalPlan>, Vec<Expr>)> {
    let mut plan = None;
    let exprs = exprs.into_iter().map(|expr| {
        let replaced = expr.transform_up(|expr| {
            let Expr::ScalarSubquery(subquery) = &expr else { return Ok(Transformed::no(expr)) };
            if !subquery.outer_ref_columns.is_empty() || !is_one_row(&subquery.subquery) || refers_outside(&subquery.subquery)? {
                return Ok(Transformed::no(expr));
            }
            let name = format!("__value_{joined}");
            *joined += 1;
            let value = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).alias(name.clone())?.build()?;
            let column = Expr::Column(Column::from(value.schema().qualified_field(0)));
            let left = plan.take().unwrap_or_else(|| input.clone());
            plan = Some(LogicalPlanBuilder::from(left).cross_join(value)?.build()?);
            Ok(Transformed::yes(column))
        })?;
        Ok(replaced.data)
    });
    let exprs = exprs.collect::<DataFusionResult<Vec<_>>>()?;
    Ok((plan, exprs))
}

/// Whether a plan has a reference to a query around it, however deep.
fn refers_outside(plan: &LogicalPlan) -> DataFusionResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.contains_outer_reference();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// `single_row(value, rows)`: the value, unless it is of more than one row.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleRow {
    signature: Signature,
}

impl SingleRow {
    fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SingleRow {
    fn name(&self) -> &str {
        "single_row"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let [value, rows] = <[ColumnarValue; 2]>::try_from(args.args)
            .map_err(|_| internal_datafusion_err!("single_row takes a value and a count"))?;
        let too_many = match &rows {
            ColumnarValue::Scalar(ScalarValue::Int64(rows)) => rows.is_some_and(|rows| rows > 1),
            ColumnarValue::Scalar(_) => false,
            ColumnarValue::Array(rows) => rows.as_primitive::<Int64Type>().iter().flatten().any(|rows| rows > 1),
        };
        if too_many {
            return exec_err!("more than one row returned by a subquery used as an expression");
        }
        Ok(value)
    }
}
