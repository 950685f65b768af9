//! Who names whom in a WITH clause, and where a recursive query may name itself.
//!
//! The rules and their order are those of PostgreSQL's `checkWellFormedRecursion` (`parse_cte.c`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut, With,
};

use crate::bind::Registered;
use crate::error::{Result, SqlError, code};
use crate::parser::fold;

/// What can do what PostgreSQL's form cannot.
pub(super) const MUTUAL_HINT: &str = "WITH MUTUALLY RECURSIVE name (column type, …) AS (…) takes references of any form.";

/// Where a reference stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the recursive term may name its query.
    Allowed,
    NonRecursiveTerm,
    Subquery,
    OuterJoin,
    Intersect,
    Except,
}

/// Walks a query and sees every relation that it names, but for those that a WITH query inside hides.
pub(super) struct References<'a> {
    /// The query whose references matter; `None` collects all names.
    target: Option<&'a str>,
    /// What a reference becomes.
    work_name: &'a str,
    hidden: Vec<String>,
    names: BTreeSet<String>,
    count: usize,
}

/// The relations that a query names without a schema.
pub(super) fn names(query: &mut Query) -> BTreeSet<String> {
    let mut all = References::all();
    all.query(query, Place::Allowed).expect("only references to a target can be wrong");
    all.names
}

/// The same of an operand of a set operation.
pub(super) fn names_in(body: &mut SetExpr) -> BTreeSet<String> {
    let mut all = References::all();
    all.set_expression(body, Place::Allowed).expect("only references to a target can be wrong");
    all.names
}

impl<'a> References<'a> {
    fn all() -> Self {
        References { target: None, work_name: "", hidden: Vec::new(), names: BTreeSet::new(), count: 0 }
    }

    pub(super) fn of(target: &'a str, work_name: &'a str) -> Self {
        References { target: Some(target), work_name, hidden: Vec::new(), names: BTreeSet::new(), count: 0 }
    }

    pub(super) fn query(&mut self, query: &mut Query, place: Place) -> Result<()> {
        let outside = self.hidden.len();
        if let Some(with) = &mut query.with {
            self.with(with, place)?;
        }
        self.set_expression(&mut query.body, place)?;
        self.expressions(&mut query.order_by)?;
        self.expressions(&mut query.limit_clause)?;
        self.expressions(&mut query.fetch)?;
        self.hidden.truncate(outside);
        Ok(())
    }

    /// The definitions of a WITH clause; their names stay hidden until the caller shows them again.
    pub(super) fn with(&mut self, with: &mut With, place: Place) -> Result<()> {
        if with.recursive {
            self.hidden.extend(with.cte_tables.iter().map(|c| fold(&c.alias.name)));
        }
        for cte in &mut with.cte_tables {
            self.query(&mut cte.query, place)?;
            self.hidden.push(fold(&cte.alias.name));
        }
        Ok(())
    }

    pub(super) fn set_expression(&mut self, body: &mut SetExpr, place: Place) -> Result<()> {
        match body {
            SetExpr::Select(select) => self.select(select, place),
            SetExpr::Query(query) => self.query(query, place),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let all = *set_quantifier == SetQuantifier::All;
                let (left_place, right_place) = match (place, &*op) {
                    (Place::Allowed, SetOperator::Intersect) if all => (Place::Intersect, Place::Intersect),
                    (Place::Allowed, SetOperator::Except) if all => (Place::Except, Place::Except),
                    (Place::Allowed, SetOperator::Except) => (Place::Allowed, Place::Except),
                    _ => (place, place),
                };
                self.set_expression(left, left_place)?;
                self.set_expression(right, right_place)
            }
            other => self.expressions(other),
        }
    }

    fn select(&mut self, select: &mut Select, place: Place) -> Result<()> {
        for from in &mut select.from {
            self.table_with_joins(from, place)?;
        }
        self.expressions(&mut select.projection)?;
        self.expressions(&mut select.distinct)?;
        self.expressions(&mut select.selection)?;
        self.expressions(&mut select.group_by)?;
        self.expressions(&mut select.having)?;
        self.expressions(&mut select.named_window)
    }

    fn table_with_joins(&mut self, from: &mut TableWithJoins, place: Place) -> Result<()> {
        let nullable = |place| if place == Place::Allowed { Place::OuterJoin } else { place };
        // A later RIGHT or FULL join can put NULLs in the place of everything to its left.
        let right_or_full =
            |op: &JoinOperator| matches!(op, JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_));
        let mut last_nulling = from.joins.iter().rposition(|j| right_or_full(&j.join_operator));
        let first = if last_nulling.is_some() { nullable(place) } else { place };
        self.table_factor(&mut from.relation, first)?;
        for (i, join) in from.joins.iter_mut().enumerate() {
            if last_nulling == Some(i) {
                last_nulling = None;
            }
            let right_is_nullable = matches!(
                join.join_operator,
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) | JoinOperator::FullOuter(_) | JoinOperator::OuterApply
            );
            let right = if right_is_nullable || last_nulling.is_some() { nullable(place) } else { place };
            self.table_factor(&mut join.relation, right)?;
            if let Some(JoinConstraint::On(condition)) = constraint(&mut join.join_operator) {
                self.expressions(condition)?;
            }
        }
        Ok(())
    }

    fn table_factor(&mut self, factor: &mut TableFactor, place: Place) -> Result<()> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => self.relation(name, alias, place),
            TableFactor::Derived { subquery, .. } => self.query(subquery, place),
            TableFactor::NestedJoin { table_with_joins, .. } => self.table_with_joins(table_with_joins, place),
            other => self.expressions(other),
        }
    }

    fn relation(&mut self, name: &mut ObjectName, alias: &mut Option<TableAlias>, place: Place) -> Result<()> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return Ok(()) };
        let relation = fold(ident);
        if self.hidden.contains(&relation) {
            return Ok(());
        }
        if self.target == Some(relation.as_str()) {
            self.self_reference(&relation, place)?;
            if alias.is_none() {
                *alias = Some(TableAlias { explicit: true, name: ident.clone(), columns: Vec::new(), at: None });
            }
            *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new(self.work_name))]);
        }
        self.names.insert(relation);
        Ok(())
    }

    fn self_reference(&mut self, name: &str, place: Place) -> Result<()> {
        let wrong = |place: &str| {
            let message = format!("recursive reference to query \"{name}\" must not appear {place}");
            Err(SqlError::new(code::INVALID_RECURSION, message).with_hint(MUTUAL_HINT))
        };
        match place {
            Place::NonRecursiveTerm => return wrong("within its non-recursive term"),
            Place::Subquery => return wrong("within a subquery"),
            Place::OuterJoin => return wrong("within an outer join"),
            Place::Intersect => return wrong("within INTERSECT"),
            Place::Except => return wrong("within EXCEPT"),
            Place::Allowed => self.count += 1,
        }
        if self.count > 1 { wrong("more than once") } else { Ok(()) }
    }

    /// The queries inside expressions.
    fn expressions(&mut self, node: &mut impl VisitMut) -> Result<()> {
        match node.visit(&mut Subqueries { references: self, depth: 0 }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// A SELECT that names the recursive query itself must not aggregate.
    pub(super) fn check_aggregates(&self, step: &SetExpr, functions: &Registered) -> Result<()> {
        match step {
            SetExpr::Query(query) => self.check_aggregates(&query.body, functions),
            SetExpr::SetOperation { left, right, .. } => {
                self.check_aggregates(left, functions)?;
                self.check_aggregates(right, functions)
            }
            SetExpr::Select(select) => select.from.iter().try_for_each(|from| self.check_from(select, from, functions)),
            _ => Ok(()),
        }
    }

    fn check_from(&self, select: &Select, from: &TableWithJoins, functions: &Registered) -> Result<()> {
        for factor in std::iter::once(&from.relation).chain(from.joins.iter().map(|j| &j.relation)) {
            match factor {
                TableFactor::Table { name, .. } if name.to_string() == self.work_name && aggregates(select, functions) => {
                    let message = "aggregate functions are not allowed in a recursive query's recursive term";
                    return Err(SqlError::new(code::INVALID_RECURSION, message).with_hint(MUTUAL_HINT));
                }
                TableFactor::Derived { subquery, .. } => self.check_aggregates(&subquery.body, functions)?,
                TableFactor::NestedJoin { table_with_joins, .. } => self.check_from(select, table_with_joins, functions)?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    use JoinOperator as J;
    match operator {
        J::Join(c)
        | J::Inner(c)
        | J::Left(c)
        | J::LeftOuter(c)
        | J::Right(c)
        | J::RightOuter(c)
        | J::FullOuter(c)
        | J::CrossJoin(c) => Some(c),
        _ => None,
    }
}

struct Subqueries<'r, 'a> {
    references: &'r mut References<'a>,
    depth: usize,
}

impl VisitorMut for Subqueries<'_, '_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        match if self.depth == 1 { self.references.query(query, Place::Subquery) } else { Ok(()) } {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Whether a SELECT has an aggregate of its own, not one of a subquery.
fn aggregates(select: &Select, functions: &Registered) -> bool {
    let mut finder = AggregateFinder { functions, depth: 0 };
    let in_items = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => e.visit(&mut finder).is_break(),
        _ => false,
    });
    let in_groups =
        matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.iter().any(|e| e.visit(&mut finder).is_break()));
    in_items || in_groups || select.having.as_ref().is_some_and(|e| e.visit(&mut finder).is_break())
}

struct AggregateFinder<'a> {
    functions: &'a Registered,
    depth: usize,
}

impl Visitor for AggregateFinder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(Function { name, over: None, .. }) if self.depth == 0 => {
                let name = name.0.last().and_then(ObjectNamePart::as_ident).map(fold).unwrap_or_default();
                if self.functions.is_aggregate(&name) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
