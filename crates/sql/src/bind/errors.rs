//! DataFusion's errors in PostgreSQL's words.
//!
//! DataFusion tells most errors apart by their text only, so this reads texts. What is not recognised keeps DataFusion's words.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion_common::{DataFusionError, SchemaError, TableReference};
use refrain_types::SqlState;

use super::normalize::column_name;
use crate::error::{SqlError, code};

/// `syntax_error_or_access_rule_violation`, where nothing closer is known.
const NOT_BOUND: SqlState = SqlState(*b"42000");

const NO_FUNCTION_HINT: &str = "No function matches the given name and argument types. You might need to add explicit type casts.";
const NO_OPERATOR_HINT: &str = "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// An error of the binder or the optimizer, in PostgreSQL's words.
#[must_use]
pub fn from_datafusion(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<SqlError>() {
            Ok(ours) => *ours,
            Err(other) => SqlError::new(SqlState::INTERNAL_ERROR, other),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Collection(errors) => {
            errors.into_iter().next().map_or_else(|| SqlError::new(SqlState::INTERNAL_ERROR, "no error"), from_datafusion)
        }
        DataFusionError::Shared(inner) => from_shared(&inner),
        DataFusionError::SchemaError(error, _) => of_schema(&error),
        DataFusionError::SQL(error, _) => SqlError::syntax(error),
        DataFusionError::NotImplemented(message) => SqlError::unsupported(format!("not supported: {}", first_line(&message))),
        DataFusionError::ArrowError(error, _) => of_arrow(&error),
        DataFusionError::Plan(message) => of_plan(&message),
        DataFusionError::Execution(message) => of_execution(first_line(&message)),
        DataFusionError::Internal(message) => SqlError::new(SqlState::INTERNAL_ERROR, first_line(&message)),
        other => SqlError::new(SqlState::INTERNAL_ERROR, other.strip_backtrace()),
    }
}

/// As [`from_datafusion`], for an error that others hold too.
fn from_shared(error: &DataFusionError) -> SqlError {
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<SqlError>() {
            Some(ours) => ours.clone(),
            None => SqlError::new(SqlState::INTERNAL_ERROR, inner),
        },
        DataFusionError::SchemaError(error, _) => of_schema(error),
        DataFusionError::ArrowError(error, _) => of_arrow(error),
        DataFusionError::Plan(message) => of_plan(message),
        DataFusionError::Execution(message) => of_execution(first_line(message)),
        other => SqlError::new(SqlState::INTERNAL_ERROR, other.strip_backtrace()),
    }
}

/// The errors of [`crate::physical`] are in PostgreSQL's words already.
fn of_execution(message: &str) -> SqlError {
    if let Some(ours) = of_coercion(message) {
        return ours;
    }
    let state = if ["date", "time", "interval"].iter().any(|t| message.starts_with(&format!("invalid input syntax for type {t}"))) {
        SqlState(*b"22007")
    } else if message.starts_with("invalid input syntax") {
        SqlState::INVALID_TEXT_REPRESENTATION
    } else if message == "division by zero" {
        SqlState::DIVISION_BY_ZERO
    } else if ["date/time field value", "interval field value", "interval"]
        .iter()
        .any(|t| message.starts_with(&format!("{t} out of range")))
    {
        SqlState::DATETIME_FIELD_OVERFLOW
    } else if message.contains("out of range") || message == "numeric field overflow" {
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    } else {
        SqlState::DATA_EXCEPTION
    };
    SqlError::new(state, message)
}

fn of_schema(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = column_name(&field.name);
            match &field.relation {
                None => SqlError::new(code::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")),
                Some(table) if valid_fields.iter().any(|f| f.relation.as_ref().is_some_and(|r| r.resolved_eq(table))) => {
                    SqlError::new(code::UNDEFINED_COLUMN, format!("column {}.{name} does not exist", table.table()))
                }
                Some(table) => missing_from(table),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            let name = column_name(&field.name);
            SqlError::new(code::AMBIGUOUS_COLUMN, format!("column reference \"{name}\" is ambiguous"))
        }
        SchemaError::DuplicateQualifiedField { qualifier, .. } => {
            SqlError::new(code::DUPLICATE_ALIAS, format!("table name \"{}\" specified more than once", qualifier.table()))
        }
        // The name of an expression, in which DataFusion leaves casts out.
        SchemaError::DuplicateUnqualifiedField { name } if name.contains(['(', '.']) => differ_by_casts(),
        SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new(code::DUPLICATE_COLUMN, format!("column \"{}\" specified more than once", column_name(name)))
        }
    }
}

/// PostgreSQL's error for a call that no function takes.
pub(crate) fn no_function(name: &str, arguments: &[DataType]) -> SqlError {
    let types = arguments.iter().map(crate::types::type_name).collect::<Vec<_>>().join(", ");
    SqlError::new(code::UNDEFINED_FUNCTION, format!("function {name}({types}) does not exist")).with_hint(NO_FUNCTION_HINT)
}

/// Two expressions of which DataFusion makes columns of one name.
fn differ_by_casts() -> SqlError {
    SqlError::unsupported("two function calls or groups that differ by casts alone are not supported in one query")
        .with_hint("Cast one of them in a subquery of FROM.")
}

fn missing_from(table: &TableReference) -> SqlError {
    SqlError::new(code::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{}\"", table.table()))
}

fn of_arrow(error: &ArrowError) -> SqlError {
    match error {
        ArrowError::DivideByZero => SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(message) => SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, first_line(message)),
        ArrowError::CastError(message) | ArrowError::ParseError(message) => {
            SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, first_line(message))
        }
        other => SqlError::new(SqlState::DATA_EXCEPTION, other),
    }
}

fn of_plan(message: &str) -> SqlError {
    let line = first_line(message);
    if line.contains("require unique expression names") {
        return differ_by_casts();
    }
    if let Some(name) = between(line, "Invalid function '", "'") {
        return SqlError::new(code::UNDEFINED_FUNCTION, format!("function {name} does not exist")).with_hint(NO_FUNCTION_HINT);
    }
    if let Some(ours) = of_coercion(line) {
        return ours;
    }
    if let Some(name) = between(line, "'", "' does not support zero arguments") {
        return SqlError::new(code::UNDEFINED_FUNCTION, format!("function {name}() does not exist")).with_hint(NO_FUNCTION_HINT);
    }
    if let Some(name) = between(line, "call to '", "'").or_else(|| between(line, "Function '", "'")) {
        let types = between(line, "coercion from ", " to the signature")
            .or_else(|| between(line, "coercion from ", " failed"))
            .or_else(|| between(line, "coercion from [", "]"));
        let types = types.map(|t| t.trim_matches(['[', ']'])).unwrap_or_default();
        return SqlError::new(code::UNDEFINED_FUNCTION, format!("function {name}({}) does not exist", type_list(types)))
            .with_hint(NO_FUNCTION_HINT);
    }
    if let Some(operation) =
        between(line, "for comparison operation ", "\n").or_else(|| line.split_once("for comparison operation ").map(|p| p.1))
    {
        return no_operator(operation);
    }
    if let Some(operation) = between(line, "Cannot coerce arithmetic expression ", " to valid types") {
        return no_operator(operation);
    }
    if line.contains("must be in GROUP BY or an aggregate function") || line.contains("must appear in the GROUP BY") {
        let column = between(line, "column \"", "\" must appear").unwrap_or("?");
        let message = format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
        return SqlError::new(code::GROUPING_ERROR, message);
    }
    if line.contains("different number of columns") || line.contains("same number of columns") {
        let operation = ["UNION", "INTERSECT", "EXCEPT"].into_iter().find(|o| line.to_uppercase().contains(o)).unwrap_or("UNION");
        return SqlError::syntax(format!("each {operation} query must have the same number of columns"));
    }
    if let Some(found) = line.split_once("non-boolean predicate").and_then(|(_, rest)| rest.rsplit_once(" returning ")) {
        let message = format!("argument of WHERE must be type boolean, not type {}", type_list(found.1));
        return SqlError::new(code::DATATYPE_MISMATCH, message);
    }
    if let Some(name) = between(line, "WITH query name \"", "\" specified more than once") {
        return SqlError::new(code::DUPLICATE_ALIAS, format!("WITH query name \"{name}\" specified more than once"));
    }
    if line.starts_with("Cannot automatically convert") || line.contains("Unsupported CAST from") {
        return SqlError::new(code::CANNOT_COERCE, lower_first(line));
    }
    SqlError::new(NOT_BOUND, lower_first(line))
}

/// The error of a function of ours that does not take its arguments.
fn of_coercion(line: &str) -> Option<SqlError> {
    let (_, ours) = line.split_once("user-defined coercion failed with: External error: ")?;
    let message = ours.split(". No function matches").next().unwrap_or(ours);
    Some(SqlError::new(code::UNDEFINED_FUNCTION, message).with_hint(NO_FUNCTION_HINT))
}

/// `Utf8 + Int64` in PostgreSQL's words.
fn no_operator(operation: &str) -> SqlError {
    let mut parts = operation.split_whitespace();
    let (left, op) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let right = parts.collect::<Vec<_>>().join(" ");
    let message = format!("operator does not exist: {} {op} {}", type_list(left), type_list(&right));
    SqlError::new(code::UNDEFINED_FUNCTION, message).with_hint(NO_OPERATOR_HINT)
}

/// Arrow's names of types as PostgreSQL's.
fn type_list(types: &str) -> String {
    let one = |name: &str| name.trim().parse().map_or_else(|_| name.trim().to_lowercase(), |t| crate::types::type_name(&t));
    match types.parse() {
        Ok(single) => crate::types::type_name(&single),
        Err(_) => types.split(',').map(one).collect::<Vec<_>>().join(", "),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

fn first_line(message: &str) -> &str {
    message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(message).lines().next().unwrap_or(message)
}

fn lower_first(line: &str) -> String {
    let mut characters = line.chars();
    let first = characters.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}", characters.as_str().trim_end_matches('.'))
}
