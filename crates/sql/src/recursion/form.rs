//! The form of a recursive query: PostgreSQL's `base UNION [ALL] term`, and ours of several terms, `base UNION term UNION term`.

use datafusion_sql::sqlparser::ast::{self, Query, SetExpr, SetOperator, SetQuantifier};

use super::references::{self, Place, References};
use crate::bind::Registered;
use crate::error::{Result, SqlError, code};

/// PostgreSQL's rules for a recursive query; afterwards it is a UNION of what does not name the query itself and of what does, where
/// the work table has the query's place.
///
/// In PostgreSQL the second of two terms would make the first a part of the non-recursive term. Here the operands of such a chain that
/// name the query are all recursive terms, each with one reference, and the others are where the recursion begins.
pub(super) fn check(name: &str, query: &mut Query, work_name: &str, functions: &Registered) -> Result<()> {
    let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, .. } = query.body.as_ref() else {
        let message = format!("recursive query \"{name}\" does not have the form non-recursive-term UNION [ALL] recursive-term");
        return Err(SqlError::new(code::INVALID_RECURSION, message));
    };
    if !matches!(set_quantifier, SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None) {
        return Err(SqlError::unsupported(format!("UNION {set_quantifier} is not supported")));
    }
    let quantifier = *set_quantifier;
    let (mut base, mut terms) = operands(name, &mut query.body);
    References::of(name, work_name).set_expression(&mut base, Place::NonRecursiveTerm)?;
    let mut with_aggregates = Ok(());
    for term in &mut terms {
        let mut references = References::of(name, work_name);
        references.set_expression(term, Place::Allowed)?;
        with_aggregates = with_aggregates.and_then(|()| references.check_aggregates(term, functions));
    }
    if let Some(with) = &mut query.with {
        References::of(name, work_name).with(with, Place::Subquery)?;
    }
    refuse_order_and_limit(query)?;
    with_aggregates?;
    // Whatever the terms give twice, the set holds once.
    let step = terms.into_iter().reduce(|all, term| union(all, term, SetQuantifier::All));
    let step = step.ok_or_else(|| SqlError::syntax("a recursive query has a recursive term"))?;
    *query.body = union(base, step, quantifier);
    Ok(())
}

fn refuse_order_and_limit(query: &Query) -> Result<()> {
    let not_implemented = |what: &str| Err(SqlError::unsupported(format!("{what} in a recursive query is not implemented")));
    if query.order_by.is_some() {
        return not_implemented("ORDER BY");
    }
    match &query.limit_clause {
        Some(ast::LimitClause::LimitOffset { offset: Some(_), .. } | ast::LimitClause::OffsetCommaLimit { .. }) => {
            return not_implemented("OFFSET");
        }
        Some(ast::LimitClause::LimitOffset { limit: Some(_), .. }) => return not_implemented("LIMIT"),
        _ => {}
    }
    if query.fetch.is_some() {
        return not_implemented("LIMIT");
    }
    Ok(())
}

/// Where a recursion begins, and its recursive terms. A union of two operands is taken as it is.
fn operands(name: &str, body: &mut SetExpr) -> (SetExpr, Vec<SetExpr>) {
    let SetExpr::SetOperation { left, right, set_quantifier, .. } = body else { unreachable!("called for a union") };
    let quantifier = *set_quantifier;
    let of_chain = |operand: &SetExpr| matches!(operand, SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, .. } if *set_quantifier == quantifier);
    if !of_chain(left) || !references::names_in(left).contains(name) {
        return (SetExpr::clone(left), vec![SetExpr::clone(right)]);
    }
    let (mut base, mut terms) = operands(name, left);
    if references::names_in(right).contains(name) {
        terms.push(SetExpr::clone(right));
    } else {
        base = union(base, SetExpr::clone(right), quantifier);
    }
    (base, terms)
}

fn union(left: SetExpr, right: SetExpr, set_quantifier: SetQuantifier) -> SetExpr {
    SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left: Box::new(left), right: Box::new(right) }
}
