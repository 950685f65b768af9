//! `EXCEPT ALL` and `INTERSECT ALL`: a row comes as often as it is left over, or as often as both sides have it.
//!
//! DataFusion makes joins of them that only ask whether the other side has the row at all. Here equal rows of each side are numbered first,
//! and the number is compared, too: the third of some rows is gone if the other side has a third.

use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, JoinType, NullEquality, Result, TableReference};
use datafusion_expr::expr::WindowFunction;
use datafusion_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFunctionDefinition};

use super::functions::FUNCTIONS;

const LEFT: &str = "__left";
const RIGHT: &str = "__right";
const NUMBER: &str = "__number";

/// Puts bags in the place of the joins that DataFusion has made of set operations with ALL. Before anything is optimized, nothing else is a
/// join of this kind: those of set operations without ALL have a DISTINCT on their left, and for distinct rows it makes no difference.
pub(super) fn as_bags(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
        let is_set_operation = matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
            && join.null_equality == NullEquality::NullEqualsNull
            && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_));
        if !is_set_operation {
            return Ok(Transformed::no(node));
        }
        let (left, right) = (numbered(&join.left, LEFT)?, numbered(&join.right, RIGHT)?);
        let columns = |plan: &LogicalPlan| plan.schema().columns();
        let keys = (columns(&left), columns(&right));
        let joined =
            LogicalPlanBuilder::new(left).join_detailed(right, join.join_type, keys, None, NullEquality::NullEqualsNull)?;
        let names = join.schema.iter().enumerate().map(|(i, (qualifier, field))| {
            Expr::Column(Column::new(Some(TableReference::bare(LEFT)), name(i))).alias_qualified(qualifier.cloned(), field.name())
        });
        Ok(Transformed::yes(joined.project(names.collect::<Vec<_>>())?.build()?))
    })?;
    Ok(rewritten.data)
}

fn name(column: usize) -> String {
    format!("__{column}")
}

/// The rows of a side with a number that tells equal ones apart, from 1.
fn numbered(rows: &Arc<LogicalPlan>, side: &str) -> Result<LogicalPlan> {
    let columns = rows.schema().columns();
    let renamed = columns.into_iter().enumerate().map(|(i, column)| Expr::Column(column).alias(name(i)));
    let rows = LogicalPlanBuilder::from(rows.as_ref().clone()).project(renamed.collect::<Vec<_>>())?.build()?;
    let own = rows.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
    let row_number = Arc::clone(FUNCTIONS.window.get("row_number").expect("it is one of DataFusion's functions"));
    let number = Expr::from(WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number), Vec::new()));
    let number = number.partition_by(own.clone()).build()?;
    let numbers = LogicalPlanBuilder::new(rows).window(vec![number])?.build()?;
    let number = numbers.schema().columns().pop().map(|column| Expr::Column(column).alias(NUMBER));
    LogicalPlanBuilder::new(numbers).project(own.into_iter().chain(number))?.alias(side)?.build()
}
