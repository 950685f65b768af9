//! The rows that `INSERT`, `DELETE` and `UPDATE` write, and those that they return, as queries.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion_sql::sqlparser::ast::{self, CastKind, Ident, SelectItem, SetExpr, TableAlias, TableFactor, Value};

use super::constraints::{default_expression, default_value, refuse_aggregates};
use super::context::Context;
use super::errors::from_datafusion;
use super::{Bound, bound, plan_query};
use crate::catalog::schema::written;
use crate::catalog::{Catalog, Column, Relation};
use crate::error::{Result, SqlError, code};
use crate::parser::fold;
use crate::source::GivenRows;
use crate::statement::{Delete, Insert, Update};
use crate::types::type_name;

/// The rows that an `INSERT` adds: the table's columns, in its order and of its types. A column that the statement does not name has
/// its default. Whether a NULL is allowed, how long a text may be, and what else must hold, is for the caller to check.
///
/// # Errors
/// When the table or a column does not exist, the number of values is not that of the columns, or a type does not fit.
pub fn bind_insert(catalog: &Catalog, insert: &Insert) -> Result<Bound> {
    let table = catalog.table(&insert.table)?;
    let targets = target_columns(table, &insert.columns)?;
    let mut source = insert.source.clone();
    type_literals(&mut source.body, table, &targets)?;
    let context = Context::new(catalog);
    let plan = plan_query(&context, &source)?;
    let width = plan.schema().fields().len();
    if width > targets.len() {
        return Err(SqlError::syntax("INSERT has more expressions than target columns"));
    }
    if width < targets.len() && !insert.columns.is_empty() {
        return Err(SqlError::syntax("INSERT has more target columns than expressions"));
    }
    refuse_numbers(&insert.source.body, table, &targets[..width])?;
    let values = plan.schema().columns();
    let row = table.columns.iter().enumerate().map(|(i, column)| match targets[..width].iter().position(|t| *t == i) {
        None => match default_value(catalog, column)? {
            Some(value) => Ok(value.alias(&column.name)),
            None => typed_null(&column.data_type()).map(|null| null.alias(&column.name)),
        },
        Some(at) => {
            let from = plan.schema().field(at).data_type();
            assigned(Expr::Column(values[at].clone()), from, column).map(|e| e.alias(&column.name))
        }
    });
    let row = row.collect::<Result<Vec<_>>>()?;
    Ok(bound(&context, project(plan, row)?))
}

/// The rows that a `DELETE` removes: the table's columns.
///
/// # Errors
/// When the table or a column does not exist, or the condition is not one.
pub fn bind_delete(catalog: &Catalog, delete: &Delete) -> Result<Bound> {
    let table = catalog.table(&delete.table)?;
    let context = Context::new(catalog);
    let mut selection = delete.selection.clone();
    if !delete.using.is_empty() {
        // As a join it would give rows as often as they meet others. As one it tells which names are not unique.
        let mut joined = table_query(table, delete.alias.as_ref(), selection.clone(), Vec::new())?;
        select_of(&mut joined).from.extend(delete.using.iter().cloned());
        plan_query(&context, &joined)?;
        let mut others = crate::parser::parse_query("SELECT 1")?;
        let select = select_of(&mut others);
        (select.from, select.selection) = (delete.using.clone(), selection);
        selection = Some(ast::Expr::Exists { subquery: others, negated: false });
    }
    let query = table_query(table, delete.alias.as_ref(), selection, Vec::new())?;
    let plan = plan_query(&context, &query)?;
    Ok(bound(&context, plan))
}

/// The rows that an `UPDATE` replaces: the table's columns as they are, then as they become.
///
/// # Errors
/// As [`bind_delete`]; and when a value does not fit its column.
pub fn bind_update(catalog: &Catalog, update: &Update) -> Result<Bound> {
    let table = catalog.table(&update.table)?;
    let context = Context::new(catalog);
    let values = typed_assignments(table, &update.assignments)?;
    let plan = if update.from.is_empty() {
        let query = table_query(table, update.alias.as_ref(), update.selection.clone(), items_of(&values).collect())?;
        plan_query(&context, &query)?
    } else {
        joined_rows(&context, table, update, &values)?
    };
    let columns = plan.schema().columns();
    let before = columns.iter().zip(&table.columns).map(|(c, t)| Ok(Expr::Column(c.clone()).alias(&t.name)));
    let row = before.chain(after_update(table, &plan, &values)).collect::<Result<Vec<_>>>()?;
    Ok(bound(&context, project(plan, row)?))
}

/// The rows that an `UPDATE … FROM` replaces, with the values that their columns get. A row that meets several others is there once, with one of
/// them; equal rows of a table are told apart by numbers.
fn joined_rows(context: &Context<'_>, table: &Relation, update: &Update, values: &[(usize, ast::Expr)]) -> Result<LogicalPlan> {
    let alias = update.alias.clone().unwrap_or_else(|| quoted(table.own_name()));
    let (name, number) = (written(&table.name), quoted("\u{1}number"));
    let mut query = crate::parser::parse_query(&format!(
        "SELECT {alias}.* FROM (SELECT *, row_number() OVER () AS {number} FROM {name}) AS {alias}"
    ))?;
    let select = select_of(&mut query);
    select.from.extend(update.from.iter().cloned());
    select.selection.clone_from(&update.selection);
    select.projection.extend(items_of(values));
    let plan = plan_query(context, &query)?;
    let mut columns = plan.schema().columns();
    let number = Expr::Column(columns.remove(table.columns.len()));
    let all = columns.into_iter().map(Expr::Column).collect();
    LogicalPlanBuilder::new(plan).distinct_on(vec![number], all, None).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// What `RETURNING` makes of rows of a table, which are given as [`GivenRows::STORED`].
///
/// # Errors
/// When an expression is not well formed.
pub fn bind_returning(catalog: &Catalog, table: &str, alias: Option<&Ident>, items: &[SelectItem]) -> Result<Bound> {
    let table = catalog.table(table)?;
    for item in items {
        refuse_aggregates(catalog, item, "RETURNING")?;
        refuse_hidden(item, table.own_name(), alias)?;
    }
    let context = Context::new(catalog);
    GivenRows::place(&context, GivenRows::STORED, table, &[]);
    let plan = plan_query(&context, &given_query(GivenRows::STORED, table.own_name(), alias, items.to_vec())?)?;
    Ok(bound(&context, plan))
}

/// A table that has another name in a statement does not have its own; rows that were not inserted are gone.
fn refuse_hidden(item: &SelectItem, table: &str, alias: Option<&Ident>) -> Result<()> {
    let seen = alias.map_or_else(|| table.to_owned(), fold);
    let found = ast::visit_expressions(item, |e| match e {
        ast::Expr::CompoundIdentifier(parts)
            if [table, "excluded"].contains(&fold(&parts[0]).as_str()) && fold(&parts[0]) != seen =>
        {
            ControlFlow::Break(fold(&parts[0]))
        }
        _ => ControlFlow::Continue(()),
    });
    let ControlFlow::Break(name) = found else { return Ok(()) };
    let error = SqlError::new(code::UNDEFINED_TABLE, format!("invalid reference to FROM-clause entry for table \"{name}\""));
    Err(if name == table { error.with_hint(format!("Perhaps you meant to reference the table alias \"{seen}\".")) } else { error })
}

/// The columns of an update and the values that they get.
pub(super) fn typed_assignments(table: &Relation, assignments: &[(String, ast::Expr)]) -> Result<Vec<(usize, ast::Expr)>> {
    let typed = assignments.iter().map(|(name, value)| {
        let column = find_column(table, name)?;
        if table.columns[column].identity.as_ref().is_some_and(|identity| identity.always) && !is_default(value) {
            let error = SqlError::new(code::GENERATED_ALWAYS, format!("column \"{name}\" can only be updated to DEFAULT"));
            return Err(error.with_detail(generated_always(name)));
        }
        let mut value = value.clone();
        type_literal(&mut value, &table.columns[column])?;
        Ok((column, value))
    });
    typed.collect()
}

/// The values of an update as columns of a query, behind those of the table.
pub(super) fn items_of(values: &[(usize, ast::Expr)]) -> impl Iterator<Item = SelectItem> {
    values.iter().map(|(i, e)| SelectItem::ExprWithAlias { expr: e.clone(), alias: quoted(&format!("\u{1}{i}")) })
}

/// The table's columns as an update leaves them. The plan has the columns as they are, then the values.
pub(super) fn after_update(
    table: &Relation,
    plan: &LogicalPlan,
    values: &[(usize, ast::Expr)],
) -> impl Iterator<Item = Result<Expr>> {
    let (width, columns) = (table.columns.len(), plan.schema().columns());
    table.columns.iter().enumerate().map(move |(i, column)| {
        let at = values.iter().position(|(c, _)| *c == i).map_or(i, |at| width + at);
        let value = assigned(Expr::Column(columns[at].clone()), plan.schema().field(at).data_type(), column)?;
        Ok(value.alias(format!("{}\u{1}new", column.name)))
    })
}

pub(super) fn project(plan: LogicalPlan, row: Vec<Expr>) -> Result<LogicalPlan> {
    LogicalPlanBuilder::new(plan).project(row).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

fn typed_null(data_type: &DataType) -> Result<Expr> {
    Ok(lit(ScalarValue::try_from(data_type).map_err(from_datafusion)?))
}

/// `SELECT items FROM given AS alias`, where the alias is the table's name unless the statement gives another.
pub(super) fn given_query(given: &str, table: &str, alias: Option<&Ident>, items: Vec<SelectItem>) -> Result<ast::Query> {
    let alias = alias.cloned().unwrap_or_else(|| quoted(table));
    let mut query = crate::parser::parse_query(&format!("SELECT 1 FROM {} AS {alias}", quoted(given)))?;
    let SetExpr::Select(select) = query.body.as_mut() else { unreachable!("a SELECT was parsed") };
    select.projection = items;
    Ok(*query)
}

/// `SELECT *, items FROM table AS alias WHERE selection`
fn table_query(
    table: &Relation,
    alias: Option<&Ident>,
    selection: Option<ast::Expr>,
    items: Vec<SelectItem>,
) -> Result<ast::Query> {
    let mut query = crate::parser::parse_query(&format!("SELECT * FROM {}", written(&table.name)))?;
    let select = select_of(&mut query);
    select.selection = selection;
    select.projection.extend(items);
    if let (Some(name), TableFactor::Table { alias, .. }) = (alias, &mut select.from[0].relation) {
        *alias = Some(TableAlias { explicit: true, name: name.clone(), columns: Vec::new(), at: None });
    }
    Ok(*query)
}

/// The SELECT that a query was parsed from.
fn select_of(query: &mut ast::Query) -> &mut ast::Select {
    let SetExpr::Select(select) = query.body.as_mut() else { unreachable!("a SELECT was parsed") };
    select
}

pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

fn find_column(table: &Relation, name: &str) -> Result<usize> {
    table.columns.iter().position(|c| c.name == name).ok_or_else(|| {
        SqlError::new(code::UNDEFINED_COLUMN, format!("column \"{name}\" of relation \"{}\" does not exist", table.own_name()))
    })
}

fn target_columns(table: &Relation, names: &[String]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    let mut seen = BTreeSet::new();
    names
        .iter()
        .map(|name| match seen.insert(name) {
            true => find_column(table, name),
            false => Err(SqlError::new(code::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))),
        })
        .collect()
}

/// A column that always numbers its rows takes `DEFAULT` alone.
fn refuse_numbers(body: &SetExpr, table: &Relation, targets: &[usize]) -> Result<()> {
    for (at, target) in targets.iter().enumerate() {
        let column = &table.columns[*target];
        let is_given = || match body {
            SetExpr::Values(values) => values.rows.iter().any(|row| row.content.get(at).is_some_and(|value| !is_default(value))),
            _ => true,
        };
        if column.identity.as_ref().is_some_and(|identity| identity.always) && is_given() {
            let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
            return Err(SqlError::new(code::GENERATED_ALWAYS, message)
                .with_detail(generated_always(&column.name))
                .with_hint("OVERRIDING is not supported; COPY takes rows with values of their own."));
        }
    }
    Ok(())
}

fn generated_always(column: &str) -> String {
    format!("Column \"{column}\" is an identity column defined as GENERATED ALWAYS.")
}

/// Strings and NULLs have no type of their own: they take the column's. In VALUES, numbers do so too, so that the rows of a column have
/// one type: PostgreSQL assigns each of them by itself. `DEFAULT` becomes the column's default.
fn type_literals(body: &mut SetExpr, table: &Relation, targets: &[usize]) -> Result<()> {
    match body {
        SetExpr::Values(values) => {
            for row in &mut values.rows {
                for (value, target) in row.content.iter_mut().zip(targets) {
                    let column = &table.columns[*target];
                    type_literal(value, column)?;
                    if is_number(value) && (column.data_type().is_numeric() || column.data_type() == DataType::Utf8) {
                        type_expression(value, column);
                    }
                }
            }
        }
        SetExpr::Select(select) => {
            for (item, target) in select.projection.iter_mut().zip(targets) {
                match item {
                    SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } if is_default(e) => {
                        return Err(SqlError::syntax("DEFAULT is not allowed in this context"));
                    }
                    SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => {
                        type_literal(e, &table.columns[*target])?;
                    }
                    _ => return Ok(()),
                }
            }
        }
        SetExpr::Query(query) => type_literals(&mut query.body, table, targets)?,
        _ => {}
    }
    Ok(())
}

/// Gives a string, a NULL or `DEFAULT` the column's type.
pub(super) fn type_literal(expr: &mut ast::Expr, column: &Column) -> Result<()> {
    let Some(sql_type) = column.sql_type else { return Ok(()) };
    let is_default = is_default(expr);
    if is_default {
        *expr = default_expression(column)?.unwrap_or_else(|| ast::Expr::Value(Value::Null.into()));
    }
    let is_null = matches!(expr, ast::Expr::Value(v) if matches!(v.value, Value::Null));
    let is_open = is_null || matches!(expr, ast::Expr::Value(v) if matches!(v.value, Value::SingleQuotedString(_)));
    if is_open && (!sql_type.is_text() || is_default && is_null) {
        type_expression(expr, column);
    }
    Ok(())
}

fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(i) if i.quote_style.is_none() && fold(i) == "default")
}

/// Casts to the column's type.
fn type_expression(expr: &mut ast::Expr, column: &Column) {
    let Some(sql_type) = column.sql_type else { return };
    let data_type = crate::parser::parse_data_type(&sql_type.to_string()).expect("the name of a type can be parsed");
    let inner = Box::new(expr.clone());
    *expr = ast::Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None };
}

/// Whether an expression is a number, and can be nothing else.
fn is_number(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(value) => matches!(value.value, Value::Number(..)),
        ast::Expr::Nested(expr) | ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus | ast::UnaryOperator::Plus, expr } => {
            is_number(expr)
        }
        ast::Expr::BinaryOp { left, op, right } => {
            use ast::BinaryOperator as B;
            let arithmetic = matches!(op, B::Plus | B::Minus | B::Multiply | B::Divide | B::Modulo);
            arithmetic && is_number(left) && is_number(right)
        }
        _ => false,
    }
}

/// A value on its way into a column: cast where PostgreSQL has an assignment cast, refused where it has none.
pub(super) fn assigned(value: Expr, from: &DataType, column: &Column) -> Result<Expr> {
    let to = column.data_type();
    if *from == to {
        return Ok(value);
    }
    if !assignable(from, &to) {
        let message =
            format!("column \"{}\" is of type {} but expression is of type {}", column.name, column.type_name(), type_name(from));
        return Err(SqlError::new(code::DATATYPE_MISMATCH, message).with_hint("You will need to rewrite or cast the expression."));
    }
    Ok(cast(value, to))
}

pub(super) fn assignable(from: &DataType, to: &DataType) -> bool {
    let is_time = |t: &DataType| matches!(t, DataType::Date32 | DataType::Timestamp(..));
    from.is_null()
        || matches!(to, DataType::Utf8)
        || from.is_numeric() && to.is_numeric()
        || is_time(from) && is_time(to)
        || matches!((from, to), (DataType::Timestamp(..), DataType::Time64(_)) | (DataType::Time64(_), DataType::Interval(_)))
}
