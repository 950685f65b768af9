//! `tumble` and `hop` in FROM: the rows of a relation, each once for every window of time that it falls into.
//!
//! They are written as queries, `date_bin` and filters over the relation, so that a view needs no operator and no state for them. Windows begin at
//! multiples of their distance since 1970-01-01 00:00, and a row that has no time is in none. Names, arguments and columns are RisingWave's
//! (its documentation, "Time window functions").

use datafusion_sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Interval, ObjectName, TableAlias, TableFactor, TableFunctionArgs, Value,
};

use crate::error::{Result, SqlError, code};
use crate::parser::{fold, parse_query, quoted, relation_name};

/// Windows that a row may be in.
const WINDOWS_MAX: i64 = 1_000;

/// The query that stands for a call of one of the functions; `None` where it is none.
pub(super) fn expanded(factor: &TableFactor) -> Result<Option<TableFactor>> {
    let TableFactor::Table { name, args: Some(args), alias, .. } = factor else { return Ok(None) };
    let function = match name.0.as_slice() {
        [part] => part.as_ident().map(fold),
        _ => None,
    };
    let arguments = arguments(args);
    let (relation, column, distance, size) = match (function.as_deref(), arguments.as_deref()) {
        (Some("tumble"), Some([relation, column, size])) => (relation, column, length(size)?, length(size)?),
        (Some("hop"), Some([relation, column, distance, size])) => (relation, column, length(distance)?, length(size)?),
        (Some(function @ ("tumble" | "hop")), _) => {
            let distance = if function == "hop" { "interval, " } else { "" };
            let message = format!("function {function}() takes a relation, a column, {distance}interval");
            return Err(SqlError::new(code::UNDEFINED_FUNCTION, message).with_hint("The interval is the size of a window."));
        }
        _ => return Ok(None),
    };
    let (relation, column) = (relation_name(&name_of(relation)?)?, fold(&column_of(column)?));
    let (table, at) = (quoted(&relation), quoted(&column));
    if (size - 1) / distance >= WINDOWS_MAX {
        let message = format!("a row would be in more than {WINDOWS_MAX} windows of time");
        return Err(SqlError::new(refrain_types::SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    let interval = |micros: i64| format!("interval '{micros} microseconds'");
    let windows = (0..=(size - 1) / distance).map(|back| {
        let start = format!("date_bin({}, {table}.{at}) - {}", interval(distance), interval(back * distance));
        let end = format!("{start} + {}", interval(size));
        format!("SELECT {table}.*, {start} AS window_start, {end} AS window_end FROM {table} WHERE {table}.{at} < {end}")
    });
    let subquery = parse_query(&windows.collect::<Vec<_>>().join(" UNION ALL "))?;
    let own_name = || TableAlias { explicit: true, name: Ident::with_quote('"', relation.clone()), columns: Vec::new(), at: None };
    let alias = Some(alias.clone().unwrap_or_else(own_name));
    Ok(Some(TableFactor::Derived { lateral: false, subquery, alias, sample: None }))
}

/// The arguments of a call, if they are nothing but expressions.
fn arguments(args: &TableFunctionArgs) -> Option<Vec<Expr>> {
    let expression = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    args.args.iter().map(expression).collect()
}

fn name_of(expr: &Expr) -> Result<ObjectName> {
    match expr {
        Expr::Identifier(name) => Ok(ObjectName::from(vec![name.clone()])),
        Expr::CompoundIdentifier(parts) => Ok(ObjectName::from(parts.clone())),
        other => Err(SqlError::syntax(format!("\"{other}\" is not the name of a relation"))),
    }
}

fn column_of(expr: &Expr) -> Result<Ident> {
    match expr {
        Expr::Identifier(name) => Ok(name.clone()),
        other => Err(SqlError::syntax(format!("\"{other}\" is not the name of a column"))),
    }
}

/// The length of a constant interval, in microseconds.
fn length(expr: &Expr) -> Result<i64> {
    let invalid = || {
        let message = format!("{expr} is not the size of a window of time");
        SqlError::new(code::INVALID_PARAMETER_VALUE, message).with_hint("Write a positive INTERVAL without months.")
    };
    let Expr::Interval(Interval { value, leading_field, last_field: None, .. }) = expr else { return Err(invalid()) };
    let Expr::Value(value) = value.as_ref() else { return Err(invalid()) };
    let text = match (&value.value, leading_field) {
        (Value::SingleQuotedString(text), None) => text.clone(),
        (Value::SingleQuotedString(text), Some(unit)) => format!("{text} {unit}"),
        _ => return Err(invalid()),
    };
    let interval = crate::physical::interval(&text).map_err(|_| invalid())?;
    let days = i64::from(interval.days).checked_mul(24 * 60 * 60 * 1_000_000);
    let micros = days.and_then(|days| days.checked_add(interval.nanoseconds / 1000));
    micros.filter(|micros| interval.months == 0 && *micros > 0).ok_or_else(invalid)
}
