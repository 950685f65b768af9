//! `SEARCH` and `CYCLE`: columns that a recursive query's rows carry beside its own, as PostgreSQL defines them (`rewriteSearchCycle.c`).
//!
//! `SEARCH DEPTH FIRST` adds the path of rows that led to a row, `BREADTH FIRST` its depth and itself: ordered by it, rows come in that
//! order. `CYCLE` adds the path and whether it holds the row already; from such a row nothing is derived.
//!
//! The recursive term is planned without these columns, so that `*` does not mean them; then they are led through its plan, from the
//! scan of the work table to the top.
//!
//! # Known limitation
//! The recursive term cannot name the added columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::Column;
use datafusion_expr::{Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan, cast, when};
use datafusion_sql::sqlparser::ast::{self, SelectItem, SetExpr};

use super::node::Terms;
use super::types;
use crate::bind::context::Context;
use crate::bind::errors::from_datafusion;
use crate::bind::functions::path::PathFunction;
use crate::bind::plan_normalized;
use crate::error::{Result, SqlError, code};
use crate::parser::search_cycle::{Clauses, Cycle, Search};
use crate::source::WorkTable;
use crate::types::type_name;

const SEQUENCE: &str = "__refrain_sequence";
const MARK: &str = "__refrain_mark";
const PATH: &str = "__refrain_path";

/// PostgreSQL's rules for the terms of a query with such clauses.
pub(super) fn check_terms(name: &str, left: &SetExpr, right: &SetExpr, work_name: &str) -> Result<()> {
    for (side, term) in [("left", left), ("right", right)] {
        let mut term = term;
        while let SetExpr::Query(query) = term {
            term = &query.body;
        }
        if !matches!(term, SetExpr::Select(_) | SetExpr::Values(_)) {
            let message = format!("with a SEARCH or CYCLE clause, the {side} side of the UNION must be a SELECT");
            return Err(SqlError::syntax(message));
        }
        if side == "right" && !reads_at_top(term, work_name) {
            let message = format!(
                "with a SEARCH or CYCLE clause, the recursive reference to WITH query \"{name}\" must be at the top level of its \
                 right-hand SELECT"
            );
            return Err(SqlError::unsupported(message));
        }
    }
    Ok(())
}

/// Whether the work table stands in the FROM clause of the SELECT itself.
fn reads_at_top(term: &SetExpr, work_name: &str) -> bool {
    fn joined(tables: &ast::TableWithJoins, work_name: &str) -> bool {
        std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation)).any(|factor| match factor {
            ast::TableFactor::Table { name, .. } => name.to_string() == work_name,
            ast::TableFactor::NestedJoin { table_with_joins, .. } => joined(table_with_joins, work_name),
            _ => false,
        })
    }
    matches!(term, SetExpr::Select(select) if select.from.iter().any(|tables| joined(tables, work_name)))
}

/// The columns that the clauses add to a recursive query.
pub(super) struct Added {
    search: Option<Of<Search>>,
    cycle: Option<Of<Cycle>>,
    /// What `CYCLE` marks a row with that closes a cycle, and one that does not; of one type.
    values: Option<(Expr, Expr)>,
}

/// A clause and the numbers of the columns that it is by.
struct Of<Clause> {
    clause: Clause,
    columns: Vec<usize>,
}

impl Added {
    /// What the clauses say of a query with these columns.
    pub fn new(context: &Context<'_>, clauses: &Clauses, variable: &Schema) -> Result<Self> {
        let find = |kind: &str, names: &[String]| columns(kind, names, variable);
        let search = clauses.search.clone().map(|s| Ok(Of { columns: find("search", &s.columns)?, clause: s })).transpose()?;
        let cycle = clauses.cycle.clone().map(|c| Ok(Of { columns: find("cycle", &c.columns)?, clause: c })).transpose()?;
        let added = Self { search, cycle, values: None };
        added.check_names(variable)?;
        let Some(Of { clause, .. }) = &added.cycle else { return Ok(added) };
        let values = mark_values(context, &clause.values)?;
        Ok(Self { values: Some(values), ..added })
    }

    fn check_names(&self, variable: &Schema) -> Result<()> {
        let sequence = self.search.as_ref().map(|s| &s.clause.sequence);
        let (mark, path) = self.cycle.as_ref().map(|c| (&c.clause.mark, &c.clause.path)).unzip();
        let names = [("search sequence", sequence), ("cycle mark", mark), ("cycle path", path)];
        let names = names.into_iter().filter_map(|(what, name)| Some((what, name?))).collect::<Vec<_>>();
        for (what, name) in &names {
            if variable.fields().iter().any(|field| field.name() == *name) {
                return Err(SqlError::syntax(format!("{what} column name \"{name}\" already used in WITH query column list")));
            }
        }
        for (i, (what, name)) in names.iter().enumerate() {
            if let Some((other, _)) = names[i + 1..].iter().find(|(_, other)| other == name) {
                return Err(SqlError::syntax(format!("{what} column name and {other} column name are the same")));
            }
        }
        Ok(())
    }

    /// The recursive query with the columns added.
    pub fn to(&self, recursion: usize, Terms { variable, base, step }: Terms) -> Result<Terms> {
        let first = self.exprs(&base, None)?;
        let base = project(base, first)?;
        let hidden = self.hidden(base.schema().as_arrow(), variable.fields().len());
        let inside = widened(&variable, hidden.iter().cloned());
        let lead = Lead { added: self, recursion, work_table: inside };
        let (step, before) = lead.through(step)?.ok_or_else(lost)?;
        let own = variable.fields().len();
        let next = self.exprs(&step, Some(&before))?;
        // The columns led through stand behind the query's own.
        let next = next.into_iter().enumerate().filter(|(i, _)| *i < own || *i >= own + before.len()).map(|(_, e)| e);
        let step = project(step, next.collect())?;
        let named = hidden.into_iter().map(|field| {
            let name = self.name_of(field.name());
            field.with_name(name)
        });
        Ok(Terms { variable: widened(&variable, named), base, step })
    }

    /// The columns of a term, and behind them the added ones: as they begin, or as they follow from those of the row before.
    fn exprs(&self, term: &LogicalPlan, before: Option<&[Column]>) -> Result<Vec<Expr>> {
        let all = term.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
        let of = |columns: &[usize]| columns.iter().map(|column| all[*column].clone()).collect::<Vec<_>>();
        let column = |name: &str| {
            let column = before.into_iter().flatten().find(|column| column.name == name);
            column.map(|column| Expr::Column(column.clone()))
        };
        let call = |function: PathFunction, so_far: Option<Expr>, columns: &[usize]| {
            function.udf().call(so_far.into_iter().chain(of(columns)).collect())
        };
        let mut exprs = all.clone();
        if let Some(Of { clause, columns }) = &self.search {
            let so_far = column(SEQUENCE);
            let function = match (clause.breadth_first, so_far.is_some()) {
                (false, false) => PathFunction::Start,
                (false, true) => PathFunction::Extended,
                (true, false) => PathFunction::FirstLevel,
                (true, true) => PathFunction::NextLevel,
            };
            exprs.push(call(function, so_far, columns).alias(SEQUENCE));
        }
        if let (Some(Of { columns, .. }), Some((value, default))) = (&self.cycle, &self.values) {
            let Some(path) = column(PATH) else {
                exprs.push(default.clone().alias(MARK));
                exprs.push(call(PathFunction::Start, None, columns).alias(PATH));
                return Ok(exprs);
            };
            let closes = call(PathFunction::Holds, Some(path.clone()), columns);
            let mark = when(closes, value.clone()).otherwise(default.clone()).map_err(from_datafusion)?;
            exprs.push(mark.alias(MARK));
            exprs.push(call(PathFunction::Extended, Some(path), columns).alias(PATH));
        }
        Ok(exprs)
    }

    /// The fields of the added columns, as the base has them, by the names that they have inside.
    fn hidden(&self, base: &Schema, own: usize) -> Vec<Field> {
        let fields = base.fields().iter().skip(own);
        fields.map(|f| Field::new(f.name(), f.data_type().clone(), f.name() == MARK)).collect()
    }

    /// The name that the statement gives an added column.
    fn name_of(&self, hidden: &str) -> String {
        let cycle = self.cycle.as_ref().map(|of| &of.clause);
        let name = match hidden {
            MARK => cycle.map(|cycle| &cycle.mark),
            PATH => cycle.map(|cycle| &cycle.path),
            _ => self.search.as_ref().map(|of| &of.clause.sequence),
        };
        name.cloned().unwrap_or_default()
    }
}

/// Leads the added columns through the plan of a recursive term.
struct Lead<'a> {
    added: &'a Added,
    recursion: usize,
    /// The columns of the work table, the added ones among them.
    work_table: SchemaRef,
}

impl Lead<'_> {
    /// The plan with the columns in its output, and their names there; `None` if the work table is not under it.
    fn through(&self, plan: LogicalPlan) -> Result<Option<(LogicalPlan, Vec<Column>)>> {
        Ok(match plan {
            LogicalPlan::TableScan(scan) => self.scan(&scan)?,
            LogicalPlan::Projection(projection) => self
                .under(&projection.input)?
                .map(|(input, columns)| {
                    let exprs = projection.expr.into_iter().chain(columns.iter().cloned().map(Expr::Column)).collect();
                    Ok((LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input)).map_err(from_datafusion)?), columns))
                })
                .transpose()?,
            LogicalPlan::SubqueryAlias(alias) => self
                .under(&alias.input)?
                .map(|(input, columns)| {
                    let columns = columns.into_iter().map(|c| Column::new(Some(alias.alias.clone()), c.name)).collect();
                    let plan = SubqueryAlias::try_new(Arc::new(input), alias.alias).map_err(from_datafusion)?;
                    Ok((LogicalPlan::SubqueryAlias(plan), columns))
                })
                .transpose()?,
            LogicalPlan::Filter(mut filter) => self.under(&filter.input)?.map(|(input, columns)| {
                filter.input = Arc::new(input);
                (LogicalPlan::Filter(filter), columns)
            }),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                self.under(&input)?.map(|(input, columns)| (LogicalPlan::Distinct(Distinct::All(Arc::new(input))), columns))
            }
            LogicalPlan::Join(join) => {
                let (left, right) = (self.under(&join.left)?, self.under(&join.right)?);
                let Some((left, right, columns)) = (match (left, right) {
                    (Some((left, columns)), _) => Some((Arc::new(left), join.right, columns)),
                    (None, Some((right, columns))) => Some((join.left, Arc::new(right), columns)),
                    (None, None) => None,
                }) else {
                    return Ok(None);
                };
                let plan = Join::try_new(
                    left,
                    right,
                    join.on,
                    join.filter,
                    join.join_type,
                    join.join_constraint,
                    join.null_equality,
                    join.null_aware,
                );
                Some((LogicalPlan::Join(plan.map_err(from_datafusion)?), columns))
            }
            other => match other
                .inputs()
                .into_iter()
                .try_fold(false, |found, input| Ok::<_, SqlError>(found || self.through(input.clone())?.is_some()))?
            {
                false => None,
                true => {
                    return Err(SqlError::unsupported(format!(
                        "{} in the recursive term of a query with a SEARCH or CYCLE clause is not supported",
                        other.display()
                    )));
                }
            },
        })
    }

    fn under(&self, input: &Arc<LogicalPlan>) -> Result<Option<(LogicalPlan, Vec<Column>)>> {
        self.through(LogicalPlan::clone(input))
    }

    /// The scan of the work table with all of its columns, without the rows that close a cycle.
    fn scan(&self, scan: &TableScan) -> Result<Option<(LogicalPlan, Vec<Column>)>> {
        let Some(table) = scan.source.downcast_ref::<WorkTable>().filter(|table| table.id == self.recursion) else {
            return Ok(None);
        };
        let source = Arc::new(WorkTable::new(table.id, table.name.clone(), Arc::clone(&self.work_table)));
        let column = |name: &str| Column::new(Some(scan.table_name.clone()), name);
        let mut plan = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None).map_err(from_datafusion)?;
        if let Some((value, _)) = &self.added.values {
            plan = plan.filter(Expr::Column(column(MARK)).not_eq(value.clone())).map_err(from_datafusion)?;
        }
        let added = self.work_table.fields().iter().map(|field| field.name());
        let added = added.filter(|name| [SEQUENCE, MARK, PATH].contains(&name.as_str()));
        Ok(Some((plan.build().map_err(from_datafusion)?, added.map(|name| column(name)).collect())))
    }
}

/// The numbers of the columns that a clause names.
fn columns(kind: &str, names: &[String], variable: &Schema) -> Result<Vec<usize>> {
    let mut seen = BTreeSet::new();
    let find = |name: &String| {
        let column = variable.fields().iter().position(|field| field.name() == name);
        let column = column.ok_or_else(|| SqlError::syntax(format!("{kind} column \"{name}\" not in WITH query column list")))?;
        if !seen.insert(column) {
            let message = format!("{kind} column \"{name}\" specified more than once");
            return Err(SqlError::new(code::DUPLICATE_COLUMN, message));
        }
        Ok(column)
    };
    names.iter().map(find).collect()
}

/// The two values of a mark, of one type.
fn mark_values(context: &Context<'_>, (value, default): &(ast::Expr, ast::Expr)) -> Result<(Expr, Expr)> {
    let ((value, of_value), (default, of_default)) = (constant(context, value)?, constant(context, default)?);
    let common = match (&of_value, &of_default) {
        (DataType::Null, DataType::Null) => Some(DataType::Utf8),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (a, b) => types::common(a, b),
    };
    let common = common.ok_or_else(|| {
        let message = format!("CYCLE types {} and {} cannot be matched", type_name(&of_value), type_name(&of_default));
        SqlError::new(code::DATATYPE_MISMATCH, message)
    })?;
    let of_type = |expr: Expr, from: &DataType| if *from == common { expr } else { cast(expr, common.clone()) };
    Ok((of_type(value, &of_value), of_type(default, &of_default)))
}

fn constant(context: &Context<'_>, value: &ast::Expr) -> Result<(Expr, DataType)> {
    if !matches!(value, ast::Expr::Value(_) | ast::Expr::Cast { .. } | ast::Expr::TypedString(_) | ast::Expr::UnaryOp { .. }) {
        return Err(SqlError::syntax(format!("syntax error at or near \"{value}\"")));
    }
    let mut query = crate::parser::parse_query("SELECT 1")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(value.clone())];
    }
    let plan = plan_normalized(context, *query)?;
    let data_type = plan.schema().field(0).data_type().clone();
    let LogicalPlan::Projection(Projection { mut expr, .. }) = plan else { return Err(lost()) };
    expr.pop().map(|expr| (expr.unalias(), data_type)).ok_or_else(lost)
}

fn widened(variable: &SchemaRef, added: impl Iterator<Item = Field>) -> SchemaRef {
    let own = variable.fields().iter().map(|field| Field::clone(field));
    Arc::new(Schema::new(own.chain(added).collect::<Vec<_>>()))
}

fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    LogicalPlanBuilder::new(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

fn lost() -> SqlError {
    SqlError::new(refrain_types::SqlState::INTERNAL_ERROR, "a SEARCH or CYCLE clause lost its recursive query")
}
