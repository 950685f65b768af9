//! Expressions over one row, with SQL's three-valued logic.

use std::cmp::Ordering;

use super::Stop;
use crate::expression::{Comparison, Expr, Predicate};
use crate::value::Value;

/// The value of an expression.
pub(crate) fn value(expr: &Expr, row: &[Value]) -> Result<Value, Stop> {
    match expr {
        Expr::Column(at) => Ok(row[*at]),
        Expr::Literal(value, _) => Ok(*value),
        Expr::Add(a, b) => arithmetic(value(a, row)?, value(b, row)?, |a, b| a + b),
        Expr::Subtract(a, b) => arithmetic(value(a, row)?, value(b, row)?, |a, b| a - b),
        Expr::Modulo(a, n) => arithmetic(value(a, row)?, Value::Int(*n), |a, n| a % n),
        Expr::Least(arguments) => extreme(arguments, row, Ordering::Less),
        Expr::Greatest(arguments) => extreme(arguments, row, Ordering::Greater),
        Expr::Coalesce(arguments) => {
            for argument in arguments {
                let value = value(argument, row)?;
                if value != Value::Null {
                    return Ok(value);
                }
            }
            Ok(Value::Null)
        }
        Expr::NullIf(a, b) => {
            let (a, b) = (value(a, row)?, value(b, row)?);
            Ok(if compare(Comparison::Equal, a, b) == Some(true) { Value::Null } else { a })
        }
        Expr::Case { when, then, otherwise } => value(if holds(when, row)? { then } else { otherwise }, row),
    }
}

/// Whether a condition is true.
pub(crate) fn holds(condition: &Predicate, row: &[Value]) -> Result<bool, Stop> {
    truth(condition, row).map(|truth| truth == Some(true))
}

/// `None` is unknown.
fn truth(condition: &Predicate, row: &[Value]) -> Result<Option<bool>, Stop> {
    match condition {
        Predicate::True => Ok(Some(true)),
        Predicate::Compare(comparison, a, b) => Ok(compare(*comparison, value(a, row)?, value(b, row)?)),
        Predicate::IsNull(a) => Ok(Some(value(a, row)? == Value::Null)),
        Predicate::IsNotNull(a) => Ok(Some(value(a, row)? != Value::Null)),
        Predicate::And(parts) => decided_by(false, parts, row),
        Predicate::Or(parts) => decided_by(true, parts, row),
        Predicate::Not(part) => Ok(truth(part, row)?.map(|truth| !truth)),
    }
}

/// AND is false if any part is, OR is true if any part is; else they are unknown if any part is.
fn decided_by(decisive: bool, parts: &[Predicate], row: &[Value]) -> Result<Option<bool>, Stop> {
    let truths = parts.iter().map(|part| truth(part, row)).collect::<Result<Vec<_>, _>>()?;
    if truths.contains(&Some(decisive)) {
        return Ok(Some(decisive));
    }
    Ok(if truths.contains(&None) { None } else { Some(!decisive) })
}

pub(super) fn compare(comparison: Comparison, a: Value, b: Value) -> Option<bool> {
    let any_null = a == Value::Null || b == Value::Null;
    match comparison {
        Comparison::Distinct => return Some(a != b),
        Comparison::NotDistinct => return Some(a == b),
        _ if any_null => return None,
        _ => {}
    }
    let order = a.cmp(&b);
    Some(match comparison {
        Comparison::Equal | Comparison::NotDistinct => order.is_eq(),
        Comparison::NotEqual | Comparison::Distinct => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

fn arithmetic(a: Value, b: Value, operation: fn(i64, i64) -> i64) -> Result<Value, Stop> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(operation(a, b)),
        (Value::Text(_), _) | (_, Value::Text(_)) => panic!("arithmetic is over numbers"),
        _ => Ok(Value::Null),
    }
}

/// A number, if it is within the range of `int`.
pub(super) fn int(number: i64) -> Result<Value, Stop> {
    i32::try_from(number).map(|_| Value::Int(number)).map_err(|_| Stop::OutOfRange)
}

/// The least or the greatest of the arguments that are not NULL.
fn extreme(arguments: &[Expr], row: &[Value], wanted: Ordering) -> Result<Value, Stop> {
    let mut best = Value::Null;
    for argument in arguments {
        let value = value(argument, row)?;
        if value != Value::Null && (best == Value::Null || value.cmp(&best) == wanted) {
            best = value;
        }
    }
    Ok(best)
}
