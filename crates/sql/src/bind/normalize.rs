//! What happens to a parsed query before DataFusion sees it: number literals get PostgreSQL's types, output columns its names.
//!
//! DataFusion takes every integer literal for a `bigint` and names columns after their expressions. So `1` becomes `CAST(1 AS int)`
//! here, and every output column that is not a plain column gets an alias. PostgreSQL lets two output columns have one name,
//! DataFusion does not: from the second on, such an alias carries a mark that [`column_name`] takes off again.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    self, CastKind, Expr, GroupByExpr, Ident, LimitClause, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias,
    TableFactor, Value, VisitMut, VisitorMut, WindowType,
};

use super::functions::UNNEST;
use crate::error::{Result, SqlError, code};
use crate::parser::{fold, parse_expression};
use crate::series::GENERATE_SERIES;
use crate::types::SqlType;

mod grouping;
mod time_windows;
mod windows;

use windows::Windows;

/// Between a column's name and what makes it unique.
const MARK: char = '\u{1}';

/// Whether columns that stand beside a `*` get a mark: it may have columns of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BesideAll {
    Marked,
    AsTheyAre,
}

/// Rewrites a query in place. Returns whether a column stands beside a `*`.
///
/// # Errors
/// For what DataFusion would plan wrongly.
pub(crate) fn normalize(node: &mut impl VisitMut, beside_all: BesideAll) -> Result<bool> {
    let mut normalizer = Normalizer { windows: Windows::default(), beside_all, is_beside_all: false };
    match node.visit(&mut normalizer) {
        ControlFlow::Continue(()) => Ok(normalizer.is_beside_all),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The name of an output column, without the mark.
pub(crate) fn column_name(name: &str) -> &str {
    name.split_once(MARK).map_or(name, |(name, _)| name)
}

struct Normalizer {
    windows: Windows,
    beside_all: BesideAll,
    is_beside_all: bool,
}

impl VisitorMut for Normalizer {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if let Some(error) = refused(query) {
            return ControlFlow::Break(error);
        }
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(by) = &mut order_by.kind
        {
            by.iter_mut().for_each(|e| keep_number(&mut e.expr));
        }
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter_mut().for_each(keep_number);
                offset.iter_mut().for_each(|o| keep_number(&mut o.value));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => [offset, limit].into_iter().for_each(keep_number),
            None => {}
        }
        query.fetch.iter_mut().filter_map(|f| f.quantity.as_mut()).for_each(keep_number);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        if let GroupByExpr::Expressions(by, _) = &mut select.group_by {
            grouping::without_repetitions(by);
            by.iter_mut().for_each(keep_number);
        }
        self.is_beside_all |= name_columns(&mut select.projection, self.beside_all);
        match self.windows.enter(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        match time_windows::expanded(factor) {
            Ok(None) => {}
            Ok(Some(query)) => {
                *factor = query;
                return ControlFlow::Continue(());
            }
            Err(error) => return ControlFlow::Break(error),
        }
        if let Err(error) = lists_in_from(factor) {
            return ControlFlow::Break(error);
        }
        if let TableFactor::Table { name, args: Some(_), alias, with_ordinality, .. } = factor {
            if *with_ordinality {
                return ControlFlow::Break(SqlError::unsupported("WITH ORDINALITY is not supported"));
            }
            name_function(name, alias);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        self.windows.leave(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        super::distinct_from::regroup(expr);
        match expr {
            Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") => {
                return ControlFlow::Break(SqlError::syntax("DEFAULT is not allowed in this context"));
            }
            Expr::Interval(interval) if interval_text(interval) => {
                let text =
                    std::mem::replace(&mut *interval.value, Expr::Wildcard(ast::helpers::attached_token::AttachedToken::empty()));
                *expr = typed(text, ast::DataType::Interval { fields: None, precision: None });
            }
            Expr::Interval(interval) => keep_number(&mut interval.value),
            Expr::Function(function) => {
                keep_places(function);
                count_rows(function);
                if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                    if let Err(error) = self.windows.resolve(spec) {
                        return ControlFlow::Break(error);
                    }
                    windows::keep_bounds(spec);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if let Expr::Function(function) = expr
            && let Some(WindowType::WindowSpec(spec)) = &mut function.over
        {
            windows::release_bounds(spec);
        }
        if let Err(error) = cut_to_length(expr) {
            return ControlFlow::Break(error);
        }
        let Expr::Value(value) = expr else { return ControlFlow::Continue(()) };
        if let Value::Number(digits, false) = &value.value
            && digits.replace('_', "").parse::<i32>().is_ok()
        {
            let number = std::mem::replace(expr, Expr::Wildcard(ast::helpers::attached_token::AttachedToken::empty()));
            *expr = typed(number, ast::DataType::Int(None));
        }
        ControlFlow::Continue(())
    }
}

/// `unnest` in FROM, behind LATERAL or not. Of one list the column has the name of the whole.
fn lists_in_from(factor: &mut TableFactor) -> Result<()> {
    if let TableFactor::Function { name, args, alias, with_ordinality, .. } = factor
        && !*with_ordinality
        && matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|name| fold(name) == UNNEST))
    {
        let expression = |argument: &ast::FunctionArg| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
            other => Err(SqlError::unsupported(format!("the argument {other} of unnest() is not supported"))),
        };
        let array_exprs = args.iter().map(expression).collect::<Result<Vec<_>>>()?;
        let (alias, with_offset, with_offset_alias) = (alias.take(), false, None);
        *factor = TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality: false };
    }
    if let TableFactor::UNNEST { alias, array_exprs, .. } = factor {
        let own_name = || TableAlias { explicit: true, name: Ident::new(UNNEST), columns: Vec::new(), at: None };
        let alias = alias.get_or_insert_with(own_name);
        if let ([_], true) = (array_exprs.as_slice(), alias.columns.is_empty()) {
            alias.columns.push(ast::TableAliasColumnDef { name: alias.name.clone(), data_type: None });
        }
    }
    Ok(())
}

/// A function in FROM has its own name there, if it has no other, and the one column of a series the same.
fn name_function(function: &ast::ObjectName, alias: &mut Option<TableAlias>) {
    let Some(own) = function.0.last().and_then(ast::ObjectNamePart::as_ident).cloned() else { return };
    let alias = alias.get_or_insert_with(|| TableAlias { explicit: true, name: own.clone(), columns: Vec::new(), at: None });
    if alias.columns.is_empty() && fold(&own) == GENERATE_SERIES {
        alias.columns.push(ast::TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
}

fn typed(expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A cast to `varchar(n)` or `character(n)` takes what fits of a text. DataFusion's types have no length.
fn cut_to_length(expr: &mut Expr) -> Result<()> {
    let Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, data_type, .. } = &*expr else { return Ok(()) };
    let Ok(SqlType::Varchar(Some(length)) | SqlType::Char(length)) = SqlType::from_ast(data_type) else { return Ok(()) };
    let mut call = parse_expression(&format!("left(NULL, {length})"))?;
    if let Expr::Function(function) = &mut call
        && let ast::FunctionArguments::List(arguments) = &mut function.args
        && let Some(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(text))) = arguments.args.first_mut()
    {
        std::mem::swap(text, expr);
    }
    *expr = call;
    Ok(())
}

/// Whether an interval is nothing but a text, which we read ourselves.
fn interval_text(interval: &ast::Interval) -> bool {
    let is_text = matches!(interval.value.as_ref(), Expr::Value(v) if matches!(v.value, Value::SingleQuotedString(_)));
    is_text && interval.leading_field.is_none() && interval.last_field.is_none() && interval.fractional_seconds_precision.is_none()
}

/// How many digits to round to is part of the type of the result, where it is a literal: so it has to stay one.
fn keep_places(function: &mut ast::Function) {
    let is_rounding =
        |name: &ast::ObjectName| matches!(name.0.last().and_then(|n| n.as_ident()).map(fold).as_deref(), Some("round" | "trunc"));
    let ast::FunctionArguments::List(arguments) = &mut function.args else { return };
    if let [_, ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(places))] = arguments.args.as_mut_slice()
        && is_rounding(&function.name)
    {
        match places {
            Expr::UnaryOp { expr, .. } => keep_number(expr),
            other => keep_number(other),
        }
    }
}

/// `count(1)` counts rows. DataFusion gives it the name of `count(*)`, and two columns of one name it does not take.
fn count_rows(function: &mut ast::Function) {
    let ast::FunctionArguments::List(arguments) = &mut function.args else { return };
    let is_count = function.name.0.last().and_then(|n| n.as_ident()).is_some_and(|name| fold(name) == "count");
    if let ([ast::FunctionArg::Unnamed(argument)], None) = (arguments.args.as_mut_slice(), arguments.duplicate_treatment)
        && let ast::FunctionArgExpr::Expr(Expr::Value(value)) = argument
        && is_count
        && value.value != Value::Null
    {
        *argument = ast::FunctionArgExpr::Wildcard;
    }
}

/// Marks a number that is a position or a count, not a value. The flag is MySQL's `10L`, which nothing reads.
fn keep_number(expr: &mut Expr) {
    if let Expr::Value(value) = expr
        && let Value::Number(_, long) = &mut value.value
    {
        *long = true;
    }
}

fn refused(query: &Query) -> Option<SqlError> {
    if !query.locks.is_empty() {
        return Some(SqlError::unsupported("FOR UPDATE and FOR SHARE are not supported"));
    }
    let is_negative = |count: &Expr| matches!(count, Expr::UnaryOp { op: ast::UnaryOperator::Minus, .. });
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
        if limit.as_ref().is_some_and(is_negative) {
            return Some(SqlError::new(code::INVALID_LIMIT, "LIMIT must not be negative"));
        }
        if offset.as_ref().is_some_and(|offset| is_negative(&offset.value)) {
            return Some(SqlError::new(code::INVALID_OFFSET, "OFFSET must not be negative"));
        }
    }
    refused_set(&query.body)
}

fn refused_set(body: &SetExpr) -> Option<SqlError> {
    match body {
        SetExpr::SetOperation { left, right, .. } => refused_set(left).or_else(|| refused_set(right)),
        SetExpr::Select(select) if select.into.is_some() => Some(SqlError::unsupported("SELECT INTO is not supported")),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            Some(SqlError::unsupported("statements that change data cannot stand inside a query"))
        }
        _ => None,
    }
}

/// Returns whether a column stands beside a `*`.
fn name_columns(items: &mut [SelectItem], beside_all: BesideAll) -> bool {
    let mut is_beside_all = false;
    let wildcard = items.iter().any(|i| matches!(i, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen: HashMap<String, usize> = HashMap::new();
    for item in items {
        let (expr, name, plain) = match item {
            SelectItem::UnnamedExpr(expr) => {
                let plain = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                let name = output_name(expr);
                (expr, name, plain)
            }
            SelectItem::ExprWithAlias { expr, alias } => (expr, fold(alias), false),
            _ => continue,
        };
        let count = seen.entry(name.clone()).or_insert(0);
        *count += 1;
        is_beside_all |= wildcard && plain;
        let is_marked = *count > 1 || wildcard && plain && beside_all == BesideAll::Marked;
        if plain && !is_marked {
            continue;
        }
        let unique = if is_marked { format!("{name}{MARK}{count}") } else { name };
        let placeholder = Expr::Wildcard(ast::helpers::attached_token::AttachedToken::empty());
        let expr = std::mem::replace(expr, placeholder);
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', unique) };
    }
    is_beside_all
}

/// PostgreSQL's name for an output column without an alias (its `FigureColname`).
fn output_name(expr: &Expr) -> String {
    strong_name(expr).or_else(|| weak_name(expr)).unwrap_or_else(|| "?column?".to_owned())
}

/// A name that a cast around the expression keeps.
fn strong_name(expr: &Expr) -> Option<String> {
    Some(match expr {
        Expr::Identifier(ident) => fold(ident),
        Expr::CompoundIdentifier(parts) => fold(parts.last()?),
        Expr::CompoundFieldAccess { root, .. } => return strong_name(root),
        Expr::Function(function) => function.name.0.last()?.as_ident().map(fold)?,
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => return strong_name(inner),
        Expr::Cast { expr, .. } => return strong_name(expr),
        Expr::Case { else_result: Some(other), .. } => return strong_name(other),
        Expr::Subquery(query) => return query_name(query),
        Expr::Exists { .. } => "exists".to_owned(),
        Expr::Array(_) => "array".to_owned(),
        Expr::Extract { .. } => "extract".to_owned(),
        Expr::Substring { .. } => "substring".to_owned(),
        Expr::Position { .. } => "position".to_owned(),
        Expr::Overlay { .. } => "overlay".to_owned(),
        Expr::Ceil { .. } => "ceil".to_owned(),
        Expr::Floor { .. } => "floor".to_owned(),
        Expr::AtTimeZone { .. } => "timezone".to_owned(),
        Expr::Trim { trim_where, .. } => match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim".to_owned(),
            Some(ast::TrimWhereField::Trailing) => "rtrim".to_owned(),
            _ => "btrim".to_owned(),
        },
        _ => return None,
    })
}

/// A name that something better replaces.
fn weak_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Cast { data_type, .. } => Some(internal_type_name(data_type)),
        Expr::TypedString(typed) => Some(internal_type_name(&typed.data_type)),
        Expr::Interval(_) => Some("interval".to_owned()),
        Expr::Case { .. } => Some("case".to_owned()),
        Expr::Nested(inner) => weak_name(inner),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => Some("bool".to_owned()),
        _ => None,
    }
}

fn query_name(query: &Query) -> Option<String> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    match select.projection.first()? {
        SelectItem::UnnamedExpr(expr) => Some(output_name(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
        _ => None,
    }
}

/// The name that PostgreSQL's catalog has for a type: `int4`, not `integer`.
fn internal_type_name(data_type: &ast::DataType) -> String {
    use crate::types::SqlType as T;
    let name = match T::from_ast(data_type) {
        Ok(T::SmallInt) => "int2",
        Ok(T::Integer) => "int4",
        Ok(T::BigInt) => "int8",
        Ok(T::Real) => "float4",
        Ok(T::Double) => "float8",
        Ok(T::Numeric(_)) => "numeric",
        Ok(T::Text) => "text",
        Ok(T::Varchar(_)) => "varchar",
        Ok(T::Char(_)) => "bpchar",
        Ok(T::Boolean) => "bool",
        Ok(T::Date) => "date",
        Ok(T::Time) => "time",
        Ok(T::Timestamp) => "timestamp",
        Ok(T::TimestampTz) => "timestamptz",
        Ok(T::Interval) => "interval",
        Ok(T::Bytea) => "bytea",
        Err(_) => "?column?",
    };
    name.to_owned()
}
