//! What cannot be maintained, named.

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, LogicalPlan};
use refrain_sql::{Result, SqlError};

const SELECT_HINT: &str = "A one-shot SELECT over the materialized view can do it.";

fn refused(what: impl std::fmt::Display) -> SqlError {
    SqlError::unsupported(format!("{what} is not supported in a materialized view"))
}

/// Refuses an expression that is not a function of one row.
pub(crate) fn expression(expr: &Expr) -> Result<()> {
    let mut error = None;
    expr.apply(|e| {
        error = match e {
            Expr::ScalarSubquery(_) => Some(refused("a subquery that gives one value").with_hint("Write it as a join.")),
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => {
                Some(refused("a subquery that could not be turned into a join").with_hint("Write it as a join."))
            }
            Expr::OuterReferenceColumn(_, column) => Some(refused(format!("a reference to column {column} of an outer query"))),
            Expr::WindowFunction(window) => Some(window_function(&window.fun.to_string())),
            Expr::Unnest(_) => Some(refused("unnest()")),
            Expr::GroupingSet(_) => Some(refused("GROUPING SETS, CUBE or ROLLUP")),
            Expr::Placeholder(placeholder) => Some(refused(format!("parameter {}", placeholder.id))),
            _ => None,
        };
        Ok(if error.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .expect("looking cannot fail");
    error.map_or(Ok(()), Err)
}

fn window_function(name: &str) -> SqlError {
    refused(format!("window function {name}")).with_hint(SELECT_HINT)
}

/// The error for a node that cannot be maintained.
pub(crate) fn node(plan: &LogicalPlan) -> SqlError {
    match plan {
        LogicalPlan::Subquery(_) => refused("a subquery that could not be turned into a join"),
        other => refused(other.display().to_string()),
    }
}

/// The error for what `unnest` does beside taking lists apart.
pub(crate) fn unnest_of_no_list() -> SqlError {
    refused("unnest() of anything but lists of values")
}

/// The error for a condition on the time in a loop.
pub(crate) fn time_in_recursion() -> SqlError {
    SqlError::unsupported("a condition that compares the reference of a recursive query to itself with the time is not supported")
        .with_hint("Compare the rows of the tables with it that the recursive term joins, in a WITH query or a view of their own.")
}

/// The error for a condition on the time where nothing tells it.
pub(crate) fn no_clock() -> SqlError {
    SqlError::unsupported("function now() is supported in a materialized view alone, not in a query that is subscribed to")
        .with_hint("Create a materialized view, and subscribe to that.")
}

/// The error for window functions in a loop.
pub(crate) fn window_in_recursion(functions: &[Expr]) -> SqlError {
    let name = functions.iter().find_map(|e| match crate::expression::without_alias(e) {
        Expr::WindowFunction(f) => Some(f.fun.to_string()),
        _ => None,
    });
    let name = name.unwrap_or_default();
    SqlError::unsupported(format!("window function {name} over the reference of a recursive query to itself is not supported"))
}

/// The error for a limit that is not a number.
pub(crate) fn computed_limit() -> SqlError {
    refused("LIMIT or OFFSET with anything but a number").with_hint(SELECT_HINT)
}

/// The error for a limit in an order that has none of its own.
pub(crate) fn order_of_intervals() -> SqlError {
    refused("ORDER BY an interval with LIMIT").with_hint("Order by extract(epoch FROM …).")
}

/// The error for NOT IN over several keys of which some may be NULL.
pub(crate) fn not_in() -> SqlError {
    refused("NOT IN over columns that may be NULL, in a subquery that refers to the query around it").with_hint("Use NOT EXISTS.")
}

/// The error for an aggregate that cannot be maintained.
pub(crate) fn aggregate(expr: &Expr) -> SqlError {
    let name = match crate::expression::without_alias(expr) {
        Expr::AggregateFunction(call) => format!("{}()", call.func.name()),
        other => other.human_display().to_string(),
    };
    refused(format!("aggregate {name}"))
}

/// The error for a recursion that depends on one around it, where rows that go round can be taken back.
pub(crate) fn nested() -> SqlError {
    SqlError::unsupported(
        "a recursive query inside another recursive query that it depends on is not supported with aggregates, negation, outer joins, \
         LIMIT or USING KEY in either",
    )
    .with_hint("Make its query a binding of the outer one, under WITH MUTUALLY RECURSIVE.")
}

/// The error for a limit of a recursion that goes round with another one.
pub(crate) fn nested_limit() -> SqlError {
    SqlError::unsupported(
        "a recursion limit for one of two recursive queries of which the inner depends on the outer is not supported",
    )
    .with_hint("Write the same ERROR AT RECURSION LIMIT for both: they go round together, and are counted together.")
}

/// The error for something between a recursive query's reference to itself and the top of its recursive term.
pub(crate) fn in_recursion(name: &str, what: &str) -> SqlError {
    SqlError::unsupported(format!("{what} over the reference of recursive query \"{name}\" to itself is not supported"))
        .with_hint("Between the reference and the top of the recursive term, use WHERE, expressions and inner joins.")
}

/// The error for a recursive term that a keyed recursion cannot have.
pub(crate) fn in_keyed_recursion(name: &str) -> SqlError {
    SqlError::unsupported(format!(
        "UNION or a join that keeps rows without a partner in the recursive term of query \"{name}\" is not supported with USING KEY"
    ))
    .with_hint("WITH MUTUALLY RECURSIVE name (column type, …) AS (…) with GROUP BY can do it.")
}
