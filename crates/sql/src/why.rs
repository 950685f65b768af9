//! `EXPLAIN WHY`: plans that give, beside each row of a query, the rows that it is made of.
//!
//! A plan is rewritten so that its rows carry the rows of everything that it reads (as in Glavic and Alonso, "Perm", ICDE 2009). It is done
//! to the bound plan, before any rule of the optimizer prunes a column or moves a condition. A union can make a row in several ways, each of
//! which is a plan of its own. A recursion is read with one more column: the first iteration that derives the row. So the derivation of a row
//! is found backwards, from iteration to iteration, and is a shortest one. How: [`Loop`].
//!
//! Materialized views that the statement names are put into the plan as their queries; those that stand in these queries are
//! relations, whose rows can be asked for in turn.
//!
//! Deliberately not here: running these plans (`refrain`).
//!
//! # Known limitation
//! Only what makes a row of single rows can be told: no aggregates, window functions, inner `LIMIT` and `DISTINCT ON`, no `USING KEY`.
//! What is not there (`EXCEPT`, `NOT EXISTS`) has no rows that could be shown.

mod join;
mod number;
mod trace;

use std::collections::BTreeMap;

use datafusion_common::{Column, ScalarValue};
use datafusion_expr::utils::conjunction;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion_sql::sqlparser::ast;

use crate::bind::context::{Context, Views};
use crate::bind::errors::from_datafusion;
use crate::bind::plan_query;
use crate::catalog::Catalog;
use crate::error::{Result, SqlError};
use crate::optimize;

/// The last column of a numbered recursion: the first iteration that derives the row, from 0.
pub const ITERATION: &str = "__refrain_iteration";

/// Of a view that can be told, the alias under which its query stands.
const VIEW_PREFIX: &str = "__refrain_view_";

/// A query, and the recursions that it reads.
#[derive(Debug)]
pub struct Why {
    /// The ways in which a row of the query can be made.
    pub query: Vec<Traced>,
    /// By their numbers: recursions with a head, and bindings of recursions of any form.
    pub loops: BTreeMap<usize, Loop>,
}

/// A recursion whose rows are numbered.
///
/// A row of iteration i is made, in one of the ways, of rows that the recursion had before. Each variable that the way reads says whether
/// it is one iteration behind; such rows have an iteration below i, others one up to i.
#[derive(Debug)]
pub struct Loop {
    /// The name of the recursive query.
    pub name: String,
    /// Its rows, each once, with their iterations in the column [`ITERATION`]; a plan of one node.
    pub rows: LogicalPlan,
    /// The ways in which a row can be made.
    pub ways: Vec<Traced>,
}

/// A plan whose rows carry the rows that they are made of.
#[derive(Clone, Debug)]
pub struct Traced {
    plan: LogicalPlan,
    /// How many columns it had, which come first.
    width: usize,
    /// What its rows are made of.
    pub inputs: Vec<Part>,
}

/// A row that a row is made of.
#[derive(Clone, Debug)]
pub struct Part {
    /// Of what it is a row.
    pub of: Whole,
    /// The columns that carry it.
    pub columns: Vec<String>,
    /// The column that carries its iteration, if it is one of a recursion.
    pub iteration: Option<String>,
    /// Of a view: what the row is made of.
    pub inputs: Vec<Part>,
}

/// What has rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whole {
    /// A table, a materialized view or a system table.
    Relation(String),
    /// A view whose query is part of the plan.
    View(String),
    /// A recursion, where it has ended; its number.
    Recursion(usize),
    /// A recursion, as its own terms see it.
    Variable {
        /// Its number.
        of: usize,
        /// Whether it is seen as it was one iteration before.
        behind: bool,
    },
}

/// Binds a query so that a row of it can be explained.
///
/// # Errors
/// As [`crate::bind_query`]; and `0A000` when the rows of the query are made of more than single rows.
pub fn bind_why(catalog: &Catalog, query: &ast::Query) -> Result<Why> {
    let context = Context::with_views(catalog, Views::Opened);
    let plan = plan_query(&context, query)?;
    optimize::refuse_unstable(&plan).map_err(|refused| {
        SqlError::unsupported("EXPLAIN WHY of a query whose value changes by itself is not supported").with_detail(refused.message)
    })?;
    trace::why(&optimize::decorrelate(plan)?)
}

/// A view's plan under the alias by which it is found again.
pub(crate) fn told(view: &str, plan: LogicalPlan) -> Result<LogicalPlan> {
    let alias = datafusion_common::TableReference::bare(format!("{VIEW_PREFIX}{view}"));
    LogicalPlanBuilder::new(plan).alias(alias).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

impl Why {
    /// All plans, for who wants to know what they read.
    pub fn plans(&self) -> impl Iterator<Item = &LogicalPlan> {
        let loops = self.loops.values().flat_map(|l| l.ways.iter().map(|way| &way.plan).chain([&l.rows]));
        self.query.iter().map(|way| &way.plan).chain(loops)
    }
}

impl Traced {
    /// What this row is made of: at most one row, with the columns that [`Part`]s name. Of several it is the one whose parts have the
    /// lowest iterations, in sum, which is the column [`ITERATION`], and then the first in the order of rows.
    ///
    /// # Errors
    /// When DataFusion cannot build the plan.
    pub fn made_of(&self, row: &[ScalarValue]) -> Result<LogicalPlan> {
        assert_eq!(row.len(), self.width, "the row is one of this plan");
        let columns = self.plan.schema().columns().into_iter().zip(row);
        let condition = conjunction(columns.map(|(column, value)| is(Expr::Column(column), value))).unwrap_or_else(|| lit(true));
        let iterations = self.parts().filter_map(|part| part.iteration.as_deref().map(carried));
        let sum = iterations.reduce(|a, b| a + b).unwrap_or_else(|| lit(0_i64)).alias(ITERATION);
        let parts = self.parts().flat_map(|part| part.columns.iter().chain(&part.iteration)).map(|name| carried(name));
        let columns = std::iter::once(sum).chain(parts).collect::<Vec<_>>();
        let plan = LogicalPlanBuilder::new(self.plan.clone()).filter(condition).and_then(|b| b.project(columns));
        let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
        let order = plan.schema().columns().into_iter().map(|column| Expr::Column(column).sort(true, false)).collect::<Vec<_>>();
        let first = LogicalPlanBuilder::new(plan).sort(order).and_then(|b| b.limit(0, Some(1)));
        first.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
    }

    /// The variables that it reads, each with whether it is one iteration behind.
    #[must_use]
    pub fn variables(&self) -> Vec<(usize, bool)> {
        let variables = self.parts().filter_map(|part| match part.of {
            Whole::Variable { of, behind } => Some((of, behind)),
            _ => None,
        });
        variables.collect()
    }

    /// All parts, those of views included.
    fn parts(&self) -> impl Iterator<Item = &Part> {
        let mut parts = Vec::new();
        collect(&self.inputs, &mut parts);
        parts.into_iter()
    }
}

fn collect<'a>(inputs: &'a [Part], into: &mut Vec<&'a Part>) {
    for part in inputs {
        into.push(part);
        collect(&part.inputs, into);
    }
}

/// A column that carries a part.
fn carried(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// Whether an expression has this value. A zero has no sign, as in a set.
fn is(expr: Expr, value: &ScalarValue) -> Expr {
    if value.is_null() {
        return expr.is_null();
    }
    let of = value.data_type();
    let expr = if of.is_floating() { expr + cast(lit(0_i32), of) } else { expr };
    expr.eq(Expr::Literal(value.clone(), None))
}
