//! Expressions and conditions as SQL text, over the names of a row's columns.

use crate::expression::{Comparison, Expr, Predicate};

/// An expression.
pub(crate) fn expression(expr: &Expr, names: &[String]) -> String {
    let text = |expr: &Expr| expression(expr, names);
    let call = |name: &str, arguments: &[Expr]| format!("{name}({})", arguments.iter().map(text).collect::<Vec<_>>().join(", "));
    match expr {
        Expr::Column(at) => names[*at].clone(),
        Expr::Literal(value, of) => value.literal(*of),
        Expr::Add(a, b) => format!("({} + {})", text(a), text(b)),
        Expr::Subtract(a, b) => format!("({} - {})", text(a), text(b)),
        Expr::Modulo(a, n) => format!("({} % {n})", text(a)),
        Expr::Least(arguments) => call("least", arguments),
        Expr::Greatest(arguments) => call("greatest", arguments),
        Expr::Coalesce(arguments) => call("coalesce", arguments),
        Expr::NullIf(a, b) => format!("nullif({}, {})", text(a), text(b)),
        Expr::Case { when, then, otherwise } => {
            format!("CASE WHEN {} THEN {} ELSE {} END", predicate(when, names), text(then), text(otherwise))
        }
    }
}

/// A condition, in parentheses where it has to be.
pub(crate) fn predicate(condition: &Predicate, names: &[String]) -> String {
    let text = |expr: &Expr| expression(expr, names);
    let all = |parts: &[Predicate], word: &str| {
        let parts = parts.iter().map(|part| predicate(part, names)).collect::<Vec<_>>();
        format!("({})", parts.join(word))
    };
    match condition {
        Predicate::True => "TRUE".to_owned(),
        // Without parentheses, the parser takes all that follows, AND and OR included, for the right side.
        Predicate::Compare(comparison @ (Comparison::Distinct | Comparison::NotDistinct), a, b) => {
            format!("({} {} {})", text(a), symbol(*comparison), text(b))
        }
        Predicate::Compare(comparison, a, b) => format!("{} {} {}", text(a), symbol(*comparison), text(b)),
        Predicate::IsNull(a) => format!("{} IS NULL", text(a)),
        Predicate::IsNotNull(a) => format!("{} IS NOT NULL", text(a)),
        Predicate::And(parts) => all(parts, " AND "),
        Predicate::Or(parts) => all(parts, " OR "),
        Predicate::Not(part) => format!("NOT ({})", predicate(part, names)),
    }
}

fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
        Comparison::Distinct => "IS DISTINCT FROM",
        Comparison::NotDistinct => "IS NOT DISTINCT FROM",
    }
}
