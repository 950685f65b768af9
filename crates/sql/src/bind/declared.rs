//! The types that the columns of a query were declared with. Arrow's types have no length, so `varchar(20)` is text in a plan; an output
//! column that is a table's column as it is keeps the type that the table says.

use datafusion_common::Column;
use datafusion_expr::{Distinct, Expr, JoinType, LogicalPlan};

use crate::source::{GivenRows, RelationSource};
use crate::types::SqlType;

/// The declared types of a plan's columns; `None` where a column is computed.
pub(super) fn declared_types(plan: &LogicalPlan) -> Vec<Option<SqlType>> {
    plan.schema().columns().iter().map(|column| declared(plan, column)).collect()
}

fn declared(plan: &LogicalPlan, column: &Column) -> Option<SqlType> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let columns = match scan.source.downcast_ref::<RelationSource>() {
                Some(relation) => &relation.columns,
                None => &scan.source.downcast_ref::<GivenRows>()?.columns,
            };
            columns.iter().find(|c| c.name == column.name)?.sql_type
        }
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.maybe_index_of_column(column)?;
            through(&projection.input, &projection.expr[at])
        }
        LogicalPlan::Aggregate(aggregate) => {
            let at = aggregate.schema.maybe_index_of_column(column)?;
            through(&aggregate.input, aggregate.group_expr.get(at)?)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let at = alias.schema.maybe_index_of_column(column)?;
            declared(&alias.input, &Column::from(alias.input.schema().qualified_field(at)))
        }
        LogicalPlan::Join(join) => {
            let sides = match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => vec![&join.left],
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => vec![&join.right],
                _ => vec![&join.left, &join.right],
            };
            sides.into_iter().find(|side| side.schema().has_column(column)).and_then(|side| declared(side, column))
        }
        LogicalPlan::Filter(filter) => declared(&filter.input, column),
        LogicalPlan::Sort(sort) => declared(&sort.input, column),
        LogicalPlan::Limit(limit) => declared(&limit.input, column),
        LogicalPlan::Distinct(Distinct::All(input)) => declared(input, column),
        _ => None,
    }
}

fn through(input: &LogicalPlan, expr: &Expr) -> Option<SqlType> {
    match expr {
        Expr::Alias(alias) => through(input, &alias.expr),
        Expr::Column(column) => declared(input, column),
        _ => None,
    }
}
