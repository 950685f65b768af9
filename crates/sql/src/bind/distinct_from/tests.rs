//! Where the right side of IS DISTINCT FROM ends.

use datafusion_sql::sqlparser::ast::{SelectItem, SetExpr};

use super::*;

fn regrouped(text: &str) -> String {
    let query = crate::parser::parse_query(&format!("SELECT {text}")).expect("it can be parsed");
    let SetExpr::Select(select) = *query.body else { panic!("{text}") };
    let SelectItem::UnnamedExpr(mut expr) = select.projection[0].clone() else { panic!("{text}") };
    regroup(&mut expr);
    parenthesized(&expr)
}

fn parenthesized(expr: &Expr) -> String {
    match expr {
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", parenthesized(left), parenthesized(right)),
        Expr::IsDistinctFrom(left, right) => format!("[{} ≠ {}]", parenthesized(left), parenthesized(right)),
        Expr::IsNotDistinctFrom(left, right) => format!("[{} = {}]", parenthesized(left), parenthesized(right)),
        Expr::UnaryOp { op, expr } => format!("{op}({})", parenthesized(expr)),
        Expr::Nested(inner) => format!("{{{}}}", parenthesized(inner)),
        other => other.to_string(),
    }
}

#[test]
fn the_right_side_ends_before_and_and_or() {
    for (text, expected) in [
        ("a IS DISTINCT FROM 3", "[a ≠ 3]"),
        ("a IS DISTINCT FROM 3 AND b", "([a ≠ 3] AND b)"),
        ("p AND a IS NOT DISTINCT FROM 3 OR q", "((p AND [a = 3]) OR q)"),
        ("p OR a IS DISTINCT FROM 3 AND q AND r", "(p OR (([a ≠ 3] AND q) AND r))"),
        ("NOT a IS DISTINCT FROM b + 1 AND c IS DISTINCT FROM d OR e", "((NOT([a ≠ (b + 1)]) AND [c ≠ d]) OR e)"),
        ("a IS DISTINCT FROM (3 AND b)", "[a ≠ {(3 AND b)}]"),
        ("a OR b AND c", "(a OR (b AND c))"),
    ] {
        assert_eq!(regrouped(text), expected, "{text}");
    }
}
