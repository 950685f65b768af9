//! `WITH RECURSIVE`, planned by us from the syntax tree, wherever a query may stand.
//!
//! DataFusion's own planning of recursive queries casts the recursive term to the types of the other, drops ORDER BY, and misses
//! references in subqueries. So each recursive query is planned by itself, innermost and first ones first: its two terms are
//! separate statements, with the definitions of the WITH queries that they see in front; the self-reference is a scan of a
//! [`WorkTable`](crate::source::WorkTable). The result is a [`RecursionNode`]; in the syntax tree, the definition of the recursive query
//! becomes `SELECT * FROM <a name>`, and that name stands for the node's plan. What is left has no recursion for DataFusion to plan.
//!
//! Deliberately not here: whether a recursion can be maintained. That is the planner's to say.
//!
//! # Known limitation
//! A recursive query cannot refer to columns of a query around it (LATERAL).

mod form;
mod key;
mod mutual;
mod node;
mod references;
mod search_cycle;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_expr::{Distinct, Extension, LogicalPlan};
use datafusion_sql::sqlparser::ast::{self, Cte, Query, SetExpr, SetQuantifier, VisitMut, VisitorMut, With};

pub use mutual::{Binding, Limit, MutualBlock, MutualNode};
pub(crate) use node::{Form, Terms};
pub use node::{KeyWinner, RecursionKey, RecursionNode};
use search_cycle::Added;

use crate::bind::context::Context;
use crate::bind::normalize::column_name;
use crate::bind::{plan_normalized, rename, storable};
use crate::error::{Result, SqlError, code};
use crate::parser::search_cycle::{Clauses, take_clauses};
use crate::parser::using_key::{self, UsingKey};
use crate::parser::{fold, mutually};
use crate::source::{PlanSource, WorkTable};

/// Plans every recursive query in a normalized query and leaves names in their places.
pub(crate) fn plan_recursions(context: &Context<'_>, query: &mut Query) -> Result<()> {
    let mut planner = RecursionPlanner { context, scopes: Vec::new() };
    match query.visit(&mut planner) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct RecursionPlanner<'a, 'b> {
    context: &'a Context<'b>,
    /// The WITH queries that are visible, by the query that defines them, outermost first.
    scopes: Vec<Vec<Cte>>,
}

impl VisitorMut for RecursionPlanner<'_, '_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        self.scopes.push(Vec::new());
        let Some(with) = &mut query.with else { return ControlFlow::Continue(()) };
        match self.with(with) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<SqlError> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }
}

impl RecursionPlanner<'_, '_> {
    /// Plans the recursions of a WITH clause. Afterwards it is not recursive any more, and visiting it again changes nothing.
    fn with(&mut self, with: &mut With) -> Result<()> {
        let mark = mutually::take_mark(with);
        let behind = take_behind(with)?;
        let names = with.cte_tables.iter().map(|c| fold(&c.alias.name)).collect::<Vec<_>>();
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|n| !seen.insert(n.as_str())) {
            return Err(SqlError::new(code::DUPLICATE_ALIAS, format!("WITH query name \"{twice}\" specified more than once")));
        }
        let mut behind = names.iter().cloned().zip(behind).collect::<BTreeMap<_, _>>();
        let recursive = std::mem::replace(&mut with.recursive, false);
        if mark.mutually {
            if let Some(what) = behind.values().find_map(Behind::name) {
                return Err(SqlError::unsupported(format!("{what} in WITH MUTUALLY RECURSIVE is not supported")));
            }
            return self.mutual(with, mark.limit);
        }
        if recursive {
            order_by_dependency(&mut with.cte_tables)?;
        }
        for cte in &mut with.cte_tables {
            let name = fold(&cte.alias.name);
            let behind = behind.remove(&name).unwrap_or_default();
            if recursive && references::names(&mut cte.query).contains(&name) {
                self.recursive(cte, behind, mark.limit)?;
            } else if behind.name().is_some() {
                return Err(SqlError::syntax("WITH query is not recursive"));
            } else if let ControlFlow::Break(error) = cte.query.visit(self) {
                return Err(error);
            }
            self.scopes.last_mut().expect("the WITH clause's query has a scope").push(cte.clone());
        }
        Ok(())
    }

    /// Plans one recursive query and puts a name in the place of its definition.
    fn recursive(&mut self, cte: &mut Cte, Behind { key, clauses }: Behind, limit: Option<Limit>) -> Result<()> {
        let name = fold(&cte.alias.name);
        let id = self.context.next_recursion();
        let work_name = format!("__refrain_work_{id}");
        form::check(&name, &mut cte.query, &work_name, self.context.catalog().registered())?;
        let SetExpr::SetOperation { left, right, set_quantifier, .. } = *cte.query.body.clone() else {
            unreachable!("the form was checked")
        };
        let distinct = set_quantifier != SetQuantifier::All;
        if key.is_some() && !distinct {
            return Err(SqlError::unsupported("UNION ALL with USING KEY is not supported")
                .with_hint("Write UNION: a key has one row in either case."));
        }
        if !clauses.is_empty() {
            if key.is_some() {
                return Err(SqlError::unsupported("SEARCH or CYCLE with USING KEY is not supported"));
            }
            search_cycle::check_terms(&name, &left, &right, &work_name)?;
        }
        cte.query.body = left;
        let base = self.term(&mut cte.query)?;
        let base = storable(plan_normalized(self.context, base)?)?;
        let recursion = Recursion { context: self.context, id, name: &name, work_name, distinct, key, clauses, limit };
        // A recursion inside the recursive term may read the work table, so it is planned when that is there.
        let plan = recursion.plan(base, &cte.alias.columns, || {
            let mut step = Query { body: right.clone(), ..(*cte.query).clone() };
            self.term(&mut step)
        })?;

        let placed = format!("__refrain_recursion_{id}");
        *cte.query = *crate::parser::parse_query(&format!("SELECT * FROM {placed}"))?;
        cte.alias.columns.clear();
        self.context.place(placed, Arc::new(PlanSource::new(plan, None)));
        Ok(())
    }

    /// A term as a statement of its own: with all the WITH queries that it sees. Its recursions are planned.
    fn term(&mut self, query: &mut Query) -> Result<Query> {
        if let ControlFlow::Break(error) = query.visit(self) {
            return Err(error);
        }
        let mut term = self.statement(&Query { order_by: None, limit_clause: None, fetch: None, ..query.clone() })?;
        term.locks.clear();
        Ok(term)
    }

    /// A query as a statement of its own: with all the WITH queries that it sees.
    fn statement(&self, of: &Query) -> Result<Query> {
        let own = of.with.iter().flat_map(|w| &w.cte_tables);
        let visible = self.scopes.iter().flatten().chain(own).cloned().collect::<Vec<_>>();
        let mut seen = BTreeSet::new();
        if let Some(hidden) = visible.iter().map(|c| fold(&c.alias.name)).find(|n| !seen.insert(n.clone())) {
            return Err(SqlError::unsupported(format!(
                "a recursive query that sees two WITH queries named \"{hidden}\" is not supported"
            ))
            .with_hint("Rename one of them."));
        }
        let mut statement = of.clone();
        if !visible.is_empty() {
            let with_token = ast::helpers::attached_token::AttachedToken::empty();
            statement.with = Some(With { with_token, recursive: false, cte_tables: visible });
        }
        Ok(statement)
    }
}

/// What stands behind the name or the definition of a WITH query.
#[derive(Default)]
struct Behind {
    key: Option<UsingKey>,
    clauses: Clauses,
}

impl Behind {
    /// The name of what stands there, if anything does.
    fn name(&self) -> Option<&'static str> {
        match (&self.key, &self.clauses) {
            (Some(_), _) => Some("USING KEY"),
            (_, Clauses { search: Some(_), .. }) => Some("SEARCH"),
            (_, Clauses { cycle: Some(_), .. }) => Some("CYCLE"),
            _ => None,
        }
    }
}

/// Takes out of a WITH clause what stands behind each of its queries.
fn take_behind(with: &mut With) -> Result<Vec<Behind>> {
    // A key stands in front of its query, a clause behind it, so clauses go first.
    let clauses = take_clauses(with)?;
    let keys = using_key::take_keys(with)?;
    Ok(keys.into_iter().zip(clauses).map(|(key, clauses)| Behind { key, clauses }).collect())
}

/// Puts every WITH query behind those that it names, as PostgreSQL does under RECURSIVE.
fn order_by_dependency(ctes: &mut Vec<Cte>) -> Result<()> {
    let names = ctes.iter().map(|c| fold(&c.alias.name)).collect::<BTreeSet<_>>();
    let waiting = std::mem::take(ctes).into_iter().map(|mut cte| {
        let own = fold(&cte.alias.name);
        let mut needs = references::names(&mut cte.query);
        needs.retain(|n| names.contains(n) && *n != own);
        (cte, needs)
    });
    let mut waiting = waiting.collect::<Vec<_>>();
    while !waiting.is_empty() {
        let Some(ready) = waiting.iter().position(|(_, needs)| needs.is_empty()) else {
            let error = SqlError::unsupported("mutual recursion between WITH items is not implemented");
            return Err(error.with_hint(references::MUTUAL_HINT));
        };
        let (cte, _) = waiting.remove(ready);
        let name = fold(&cte.alias.name);
        for (_, needs) in &mut waiting {
            needs.remove(&name);
        }
        ctes.push(cte);
    }
    Ok(())
}

/// One recursive query whose terms are statements.
struct Recursion<'a, 'b> {
    context: &'a Context<'b>,
    id: usize,
    name: &'a str,
    work_name: String,
    distinct: bool,
    key: Option<UsingKey>,
    clauses: Clauses,
    limit: Option<Limit>,
}

impl Recursion<'_, '_> {
    /// Plans the recursive term over the columns of the other. Where it makes NULLs that the columns do not allow, or numerics of
    /// another scale, the columns are widened and it is planned again.
    fn plan(
        &self,
        base: LogicalPlan,
        aliases: &[ast::TableAliasColumnDef],
        mut step: impl FnMut() -> Result<Query>,
    ) -> Result<LogicalPlan> {
        let mut variable = self.variable(&base, aliases)?;
        loop {
            let work_table = WorkTable::new(self.id, self.name.to_owned(), Arc::clone(&variable));
            self.context.place(self.work_name.clone(), Arc::new(work_table));
            let planned = storable(self.without_distinct(plan_normalized(self.context, step()?)?))?;
            let widened = types::widened(self.name, &variable, planned.schema().inner())?;
            if widened == variable {
                let names = variable.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
                let base = rename(types::cast_columns(base, &variable)?, &names)?;
                let step = rename(types::cast_columns(planned, &variable)?, &names)?;
                let key = self.key.as_ref().map(|key| key::resolved(key, &variable)).transpose()?;
                let form = Form { distinct: self.distinct, key, limit: self.limit };
                let mut terms = Terms { variable, base, step };
                if !self.clauses.is_empty() {
                    terms = Added::new(self.context, &self.clauses, &terms.variable)?.to(self.id, terms)?;
                }
                let node = RecursionNode::new(self.id, self.name.to_owned(), form, terms)?;
                return Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }));
            }
            variable = widened;
        }
    }

    /// A recursive term without a DISTINCT that says what UNION says of it.
    fn without_distinct(&self, step: LogicalPlan) -> LogicalPlan {
        match step {
            LogicalPlan::Distinct(Distinct::All(rows)) if self.distinct => Arc::unwrap_or_clone(rows),
            step => step,
        }
    }

    /// The columns as the non-recursive term has them, under the names of the column list.
    fn variable(&self, base: &LogicalPlan, aliases: &[ast::TableAliasColumnDef]) -> Result<SchemaRef> {
        let fields = base.schema().fields();
        if aliases.len() > fields.len() {
            let message = format!(
                "WITH query \"{}\" has {} columns available but {} columns specified",
                self.name,
                fields.len(),
                aliases.len()
            );
            return Err(SqlError::new(code::INVALID_COLUMN_REFERENCE, message));
        }
        let mut seen = BTreeSet::new();
        let fields = fields.iter().enumerate().map(|(i, field)| {
            let name = aliases.get(i).map_or_else(|| column_name(field.name()).to_owned(), |a| fold(&a.name));
            let unique = if seen.insert(name.clone()) { name } else { format!("{name}\u{1}{i}") };
            Field::new(unique, field.data_type().clone(), field.is_nullable())
        });
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }
}
