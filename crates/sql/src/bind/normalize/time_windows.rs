//! `tumble`, `hop` and `session` in FROM: the rows of a relation, each once for every window of time that it falls into.
//!
//! They are written as queries over the relation, `date_bin` and filters or window functions, so that a view needs no operator for them. Windows
//! of `tumble` and `hop` begin at multiples of their distance since 1970-01-01 00:00; those of `session` with a row, of all rows or of those with
//! one key, and end when for the length of the gap there was none. A row that has no time is in none. Names, arguments and columns are RisingWave's
//! (its documentation, "Time window functions"), and the gap Flink's ("Window TVF", session).

use datafusion_sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, FunctionArg, FunctionArgExpr, Ident, Interval, ObjectName, Query, SelectItem, SetExpr, TableAlias,
    TableFactor, TableFunctionArgs, Value,
};

use crate::catalog::schema::{split, written};
use crate::error::{Result, SqlError, code};
use crate::parser::{fold, parse_query, quoted, relation_name};

/// Windows that a row may be in.
const WINDOWS_MAX: i64 = 1_000;

/// Whether a row begins a session, and the number of its session.
const HELPERS: [&str; 2] = ["__refrain_begins", "__refrain_session"];

/// The query that stands for a call of one of the functions; `None` where it is none.
pub(super) fn expanded(factor: &TableFactor) -> Result<Option<TableFactor>> {
    let TableFactor::Table { name, args: Some(args), alias, .. } = factor else { return Ok(None) };
    let function = match name.0.as_slice() {
        [part] => part.as_ident().map(fold),
        _ => None,
    };
    let arguments = arguments(args);
    let (relation, subquery) = match (function.as_deref(), arguments.as_deref()) {
        (Some("tumble"), Some([relation, column, size])) => {
            let source = Source::new(relation, column)?;
            let size = length(size)?;
            (source.relation.clone(), source.hop(size, size)?)
        }
        (Some("hop"), Some([relation, column, distance, size])) => {
            let source = Source::new(relation, column)?;
            (source.relation.clone(), source.hop(length(distance)?, length(size)?)?)
        }
        (Some("session"), Some([relation, column, gap, keys @ ..])) => {
            let source = Source::new(relation, column)?;
            let keys = keys.iter().map(|key| Ok(source.column(&column_of(key)?))).collect::<Result<Vec<_>>>()?;
            (source.relation.clone(), source.session(length(gap)?, &keys)?)
        }
        (Some(function @ ("tumble" | "hop" | "session")), _) => {
            let (arguments, hint) = match function {
                "tumble" => ("interval", "The interval is the size of a window."),
                "hop" => ("interval, interval", "The intervals are from one window to the next, and the size of a window."),
                _ => ("interval and columns", "The interval is the gap between sessions, and the columns are their key."),
            };
            let message = format!("function {function}() takes a relation, a column, {arguments}");
            return Err(SqlError::new(code::UNDEFINED_FUNCTION, message).with_hint(hint));
        }
        _ => return Ok(None),
    };
    let own_name =
        || TableAlias { explicit: true, name: Ident::with_quote('"', split(&relation).1), columns: Vec::new(), at: None };
    let alias = Some(alias.clone().unwrap_or_else(own_name));
    Ok(Some(TableFactor::Derived { lateral: false, subquery, alias, sample: None }))
}

/// The rows that fall into windows, and their time.
struct Source {
    relation: String,
    /// Its name as it is written in FROM.
    from: String,
    /// And before a column.
    table: String,
    /// The column of the time as it is written.
    at: String,
}

impl Source {
    fn new(relation: &Expr, column: &Expr) -> Result<Self> {
        let relation = relation_name(&name_of(relation)?)?;
        let (from, table) = (written(&relation), quoted(split(&relation).1));
        let at = format!("{table}.{}", quoted(&fold(&column_of(column)?)));
        Ok(Self { relation, from, table, at })
    }

    fn column(&self, column: &Ident) -> String {
        format!("{}.{}", self.table, quoted(&fold(column)))
    }

    /// Windows of a size, each at a distance from the one before.
    fn hop(&self, distance: i64, size: i64) -> Result<Box<Query>> {
        if (size - 1) / distance >= WINDOWS_MAX {
            let message = format!("a row would be in more than {WINDOWS_MAX} windows of time");
            return Err(SqlError::new(refrain_types::SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let Self { from, table, at, .. } = self;
        let windows = (0..=(size - 1) / distance).map(|back| {
            let start = format!("date_bin({}, {at}) - {}", interval(distance), interval(back * distance));
            let end = format!("{start} + {}", interval(size));
            format!("SELECT {table}.*, {start} AS window_start, {end} AS window_end FROM {from} WHERE {at} < {end}")
        });
        parse_query(&windows.collect::<Vec<_>>().join(" UNION ALL "))
    }

    /// Windows that end when for the length of a gap there is no row of their key.
    fn session(&self, gap: i64, keys: &[String]) -> Result<Box<Query>> {
        let Self { from, table, at, .. } = self;
        let gap = interval(gap);
        let [begins, session] = HELPERS.map(|name| format!("{table}.{name}"));
        let [begins_as, session_as] = HELPERS;
        let of = |more: Option<&str>| {
            let by = keys.iter().map(String::as_str).chain(more).collect::<Vec<_>>();
            if by.is_empty() { String::new() } else { format!("PARTITION BY {}", by.join(", ")) }
        };
        let (key, key_and_session) = (of(None), of(Some(&session)));
        let marked = format!(
            "SELECT {table}.*, CASE WHEN {at} < lag({at}) OVER ({key} ORDER BY {at}) + {gap} THEN 0 ELSE 1 END AS {begins_as} \
             FROM {from} WHERE {at} IS NOT NULL"
        );
        let numbered =
            format!("SELECT {table}.*, sum({begins}) OVER ({key} ORDER BY {at}) AS {session_as} FROM ({marked}) AS {table}");
        // The interval of nothing makes a timestamp of a date.
        let start = format!("min({at} + {}) OVER ({key_and_session})", interval(0));
        let end = format!("max({at} + {gap}) OVER ({key_and_session})");
        let windows = format!("SELECT {table}.*, {start} AS window_start, {end} AS window_end FROM ({numbered}) AS {table}");
        let mut query = parse_query(&windows)?;
        // PostgreSQL's dialect has no words for it.
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Some(SelectItem::QualifiedWildcard(_, options)) = select.projection.first_mut()
        {
            let helpers = HELPERS.map(|name| ObjectName::from(vec![Ident::new(name)]));
            options.opt_exclude = Some(ExcludeSelectItem::Multiple(helpers.to_vec()));
        }
        Ok(query)
    }
}

fn interval(micros: i64) -> String {
    format!("interval '{micros} microseconds'")
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
