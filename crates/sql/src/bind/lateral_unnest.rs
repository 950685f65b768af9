//! `FROM t, unnest(t.list)`: the lists of each row of `t` are taken apart beside the row. DataFusion plans a lateral join of it, which none of
//! its rules takes apart.

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, JoinType, NullHandling, Result, ScalarValue, UnnestOptions};
use datafusion_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Unnest};

/// What the lists are called in between.
const LIST: &str = "__refrain_list";

/// Puts the rows with their lists in the place of lateral joins of rows with lists.
pub(super) fn beside_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
        match lists(join) {
            Some(lists) => Ok(Transformed::yes(taken_apart(join, &lists)?)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(rewritten.data)
}

/// The lists that the right side of a lateral join takes apart, if it does nothing else.
fn lists(join: &Join) -> Option<Vec<Expr>> {
    let named = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        other => other,
    };
    let LogicalPlan::Subquery(subquery) = named else { return None };
    let condition_is_true =
        join.filter.as_ref().is_none_or(|filter| matches!(filter, Expr::Literal(ScalarValue::Boolean(Some(true)), _)));
    if !(join.on.is_empty() && (condition_is_true || join.join_type == JoinType::Inner)) {
        return None;
    }
    let mut plan = subquery.subquery.as_ref();
    let unnest = loop {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => plan = &alias.input,
            LogicalPlan::Projection(projection) => plan = &projection.input,
            LogicalPlan::Unnest(unnest) => break unnest,
            _ => return None,
        }
    };
    let Unnest { input, list_type_columns, .. } = unnest;
    let LogicalPlan::Projection(projection) = input.as_ref() else { return None };
    let is_all = matches!(projection.input.as_ref(), LogicalPlan::EmptyRelation(_))
        && matches!(join.join_type, JoinType::Inner | JoinType::Left)
        && [list_type_columns.len(), projection.expr.len()] == [join.right.schema().fields().len(); 2]
        && list_type_columns.iter().all(|(_, list)| list.depth == 1);
    is_all.then(|| projection.expr.clone())
}

fn taken_apart(join: &Join, lists: &[Expr]) -> Result<LogicalPlan> {
    let names = (0..lists.len()).map(|i| format!("{LIST}{i}")).collect::<Vec<_>>();
    let own = join.left.schema().columns();
    let lists = lists.iter().zip(&names).map(|(list, name)| Ok(of_row(list.clone())?.unalias().alias(name)));
    let lists = lists.collect::<Result<Vec<_>>>()?;
    let rows = LogicalPlanBuilder::from(join.left.as_ref().clone());
    let rows = rows.project(own.iter().cloned().map(Expr::Column).chain(lists).collect::<Vec<_>>())?;
    let null_handling = if join.join_type == JoinType::Left { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
    let options = UnnestOptions { null_handling, ..UnnestOptions::default() };
    let columns = names.iter().map(Column::from_name).collect();
    let rows = rows.unnest_columns_with_options(columns, options)?;
    let elements =
        join.schema.iter().skip(own.len()).zip(&names).map(|((qualifier, field), name)| {
            Expr::Column(Column::from_name(name)).alias_qualified(qualifier.cloned(), field.name())
        });
    let elements = elements.collect::<Vec<_>>();
    let rows = rows.project(own.into_iter().map(Expr::Column).chain(elements).collect::<Vec<_>>())?;
    match &join.filter {
        Some(filter) if join.join_type == JoinType::Inner => rows.filter(filter.clone())?.build(),
        _ => rows.build(),
    }
}

/// An expression of the rows of the left side.
fn of_row(expr: Expr) -> Result<Expr> {
    let columns = expr.transform(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(columns.data)
}
