//! Defaults and checks of a table: what they may say, and what they come to.

use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Field};
use datafusion_common::tree_node::TreeNode;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility};
use datafusion_sql::sqlparser::ast::{self, SelectItem, SetExpr};

use super::context::Context;
use super::errors::from_datafusion;
use super::functions::numbering;
use super::write::{assigned, quoted, type_literal};
use super::{Bound, bound, plan_query};
use crate::catalog::{Catalog, Column, Relation};
use crate::error::{Result, SqlError, code};
use crate::parser::{fold, parse_expression, table};
use crate::source::GivenRows;
use crate::types::type_name;

/// Checks the defaults and the checks of a table that is created.
///
/// # Errors
/// When one of them is not well formed, in PostgreSQL's words.
pub fn check_table(catalog: &Catalog, relation: &Relation) -> Result<()> {
    for column in &relation.columns {
        let default = bind_default(catalog, column)?;
        // What is written as a text is read now; what is computed is computed when a row needs it.
        let is_text = |text: &String| parse_expression(text).is_ok_and(|e| is_text(&e));
        if let Some(default) = default.filter(|_| column.default.as_ref().is_some_and(is_text)) {
            crate::optimize_query(default.plan)?;
        }
    }
    if let Some(checks) = bind_checks(catalog, relation)? {
        crate::optimize_query(checks.plan)?;
    }
    Ok(())
}

fn is_text(expression: &ast::Expr) -> bool {
    matches!(expression, ast::Expr::Value(value) if matches!(value.value, ast::Value::SingleQuotedString(_)))
}

/// What a row has in a column that it comes without; `None` where that is NULL.
pub(super) fn default_expression(column: &Column) -> Result<Option<ast::Expr>> {
    let number = column.identity.as_ref().map(numbering::call);
    number.as_ref().or(column.default.as_ref()).map(|text| parse_expression(text)).transpose()
}

/// The value of a column that an INSERT does not name; `None` where it has no default.
pub(super) fn default_value(catalog: &Catalog, column: &Column) -> Result<Option<Expr>> {
    let Some(mut expression) = default_expression(column)? else { return Ok(None) };
    if !table::columns_of(&expression).is_empty() {
        return Err(SqlError::unsupported("cannot use column reference in DEFAULT expression"));
    }
    refuse_subqueries(&expression, "DEFAULT expression")?;
    refuse_aggregates(catalog, &expression, "DEFAULT expressions")?;
    type_literal(&mut expression, column)?;
    let mut query = crate::parser::parse_query("SELECT 1")?;
    let SetExpr::Select(select) = query.body.as_mut() else { unreachable!("a SELECT was parsed") };
    select.projection = vec![SelectItem::UnnamedExpr(expression)];
    match plan_query(&Context::new(catalog), &query)? {
        LogicalPlan::Projection(projection) if matches!(*projection.input, LogicalPlan::EmptyRelation(_)) => {
            let value = projection.expr[0].clone().unalias();
            let from = projection.schema.field(0).data_type().clone();
            if from == column.data_type() {
                return Ok(Some(value));
            }
            let fits = assigned(value, &from, column);
            fits.map(Some)
                .map_err(|error| SqlError { message: error.message.replace(" but expression", " but default expression"), ..error })
        }
        _ => Err(SqlError::unsupported(format!("the default of column \"{}\" is not supported", column.name))),
    }
}

/// The value of a column that rows come without, as a plan of one column over nothing; `None` where it has no default.
///
/// # Errors
/// When the default is not well formed.
pub fn bind_default(catalog: &Catalog, column: &Column) -> Result<Option<Bound>> {
    let Some(value) = default_value(catalog, column)? else { return Ok(None) };
    let plan = LogicalPlanBuilder::empty(true).project(vec![value.alias(&column.name)]).and_then(LogicalPlanBuilder::build);
    Ok(Some(bound(&Context::new(catalog), plan.map_err(from_datafusion)?)))
}

/// Whether the default of a column, if it has one, is the same whenever it is worked out.
///
/// # Errors
/// As [`bind_default`].
pub fn default_is_immutable(catalog: &Catalog, column: &Column) -> Result<bool> {
    let Some(value) = default_value(catalog, column)? else { return Ok(true) };
    let changes = |expr: &Expr| {
        Ok(matches!(expr, Expr::ScalarFunction(function) if function.func.signature().volatility != Volatility::Immutable))
    };
    Ok(!value.exists(changes).map_err(from_datafusion)?)
}

/// The values of a table's checks over rows of it, which are given as [`GivenRows::STORED`]: a column for each, in the order in which
/// PostgreSQL looks at them, by name.
///
/// # Errors
/// When a check is not well formed.
pub fn bind_checks(catalog: &Catalog, relation: &Relation) -> Result<Option<Bound>> {
    let mut checks = relation.constraints.iter().filter_map(|c| Some((&c.name, c.check()?))).collect::<Vec<_>>();
    checks.sort_unstable();
    if checks.is_empty() {
        return Ok(None);
    }
    let context = Context::new(catalog);
    GivenRows::place(&context, GivenRows::STORED, relation, &[]);
    let truth = Column::of_field(&Field::new("check", DataType::Boolean, true));
    let mut items = Vec::with_capacity(checks.len());
    for (name, check) in checks {
        let mut expr = parse_expression(check)?;
        type_literal(&mut expr, &truth)?;
        refuse_subqueries(&expr, "check constraint")?;
        refuse_aggregates(catalog, &expr, "check constraints")?;
        items.push(SelectItem::ExprWithAlias { expr, alias: quoted(name) });
    }
    let plan = plan_query(&context, &super::write::given_query(GivenRows::STORED, relation.own_name(), None, items)?)?;
    for field in plan.schema().fields() {
        if *field.data_type() != DataType::Boolean {
            let message = format!("argument of CHECK must be type boolean, not type {}", type_name(field.data_type()));
            return Err(SqlError::new(code::DATATYPE_MISMATCH, message));
        }
    }
    Ok(Some(bound(&context, plan)))
}

pub(super) fn refuse_subqueries(expression: &ast::Expr, place: &str) -> Result<()> {
    let found = ast::visit_expressions(expression, |e| match e {
        ast::Expr::Subquery(_) | ast::Expr::InSubquery { .. } | ast::Expr::Exists { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    if found.is_break() { Err(SqlError::unsupported(format!("cannot use subquery in {place}"))) } else { Ok(()) }
}

/// Refuses aggregate and window functions where each row stands by itself.
pub(super) fn refuse_aggregates(catalog: &Catalog, expression: &impl ast::Visit, place: &str) -> Result<()> {
    let refused = |code, what: &str| Err(SqlError::new(code, format!("{what} functions are not allowed in {place}")));
    let found = ast::visit_expressions(expression, |e| match e {
        ast::Expr::Function(function) if function.over.is_some() => ControlFlow::Break((code::WINDOWING_ERROR, "window")),
        ast::Expr::Function(function) => match function.name.0.last().and_then(ast::ObjectNamePart::as_ident).map(fold) {
            Some(name) if catalog.registered().is_aggregate(&name) => ControlFlow::Break((code::GROUPING_ERROR, "aggregate")),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break((code, what)) => refused(code, what),
        ControlFlow::Continue(()) => Ok(()),
    }
}
