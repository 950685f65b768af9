//! A parsed query and the catalog to a bound logical plan.
//!
//! The path of a query: [`normalize`] gives literals and columns PostgreSQL's types and names; [`crate::recursion`] plans the recursive
//! queries in it, wherever they stand; DataFusion's binder does the rest, and its analyzer coerces types, so that the columns are known as
//! they will be; the output columns get types that a table may have. Nothing is optimized yet: that is [`crate::optimize`].

mod aggregates;
mod asof_join;
mod conflict;
mod constraints;
pub(crate) mod context;
mod declared;
mod distinct_from;
pub mod errors;
pub(crate) mod functions;
mod lateral_unnest;
pub(crate) mod normalize;
mod operators;
mod ranking;
mod set_operations;
#[cfg(test)]
pub(crate) mod tests;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion_sql::planner::SqlToRel;
use datafusion_sql::sqlparser::ast;
use refrain_types::RelationId;

pub use conflict::{BoundConflict, PAIR, bind_conflict};
pub use constraints::{bind_checks, bind_default, check_table, default_is_immutable};
pub use functions::{Function, Registered, bind_function};
pub use write::{bind_delete, bind_insert, bind_returning, bind_update};

use crate::catalog::{Catalog, Column, ViewDefinition};
use crate::error::{Result, SqlError, code};
use crate::statement::CreateView;
use context::Context;
use errors::from_datafusion;
use normalize::BesideAll;

/// A bound query.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The plan, coerced and not optimized.
    pub plan: LogicalPlan,
    /// Its output as the user sees it. Positions and types are the plan's; names may occur twice.
    pub schema: SchemaRef,
    /// The relations that the query names, plain views included (not what the views name).
    pub depends_on: BTreeSet<RelationId>,
}

impl Bound {
    /// The columns of a view of this query. One that is a table's column as it is has the type that it was declared with there.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        let declared = declared::declared_types(&self.plan);
        let columns = self.schema.fields().iter().zip(declared).map(|(field, declared)| match declared {
            Some(declared) if declared.arrow() == *field.data_type() => Column::of_field(field).with_type(declared),
            _ => Column::of_field(field),
        });
        columns.collect()
    }
}

/// Binds a query that stands by itself.
///
/// # Errors
/// With PostgreSQL's words and codes when a name does not exist, types do not fit, or a recursion is not well formed.
pub fn bind_query(catalog: &Catalog, query: &ast::Query) -> Result<Bound> {
    let context = Context::new(catalog);
    let plan = plan_query(&context, query)?;
    Ok(bound(&context, plan))
}

/// Binds the query of a view that is created.
///
/// # Errors
/// As [`bind_query`]; and when the view's columns do not have different names.
pub fn bind_view(catalog: &Catalog, view: &CreateView) -> Result<Bound> {
    bind_definition(catalog, &view.query, &view.columns)
}

/// Binds a view that the catalog holds.
///
/// # Errors
/// As [`bind_view`]; none for what the catalog has accepted, unless something that it depends on is gone.
pub fn bind_stored_view(catalog: &Catalog, definition: &ViewDefinition) -> Result<Bound> {
    bind_definition(catalog, &*crate::parser::parse_query(&definition.query)?, &definition.columns)
}

fn bind_definition(catalog: &Catalog, query: &ast::Query, columns: &[String]) -> Result<Bound> {
    let context = Context::new(catalog);
    let plan = plan_view_query(&context, query, columns)?;
    Ok(bound(&context, plan))
}

fn bound(context: &Context<'_>, plan: LogicalPlan) -> Bound {
    let fields = plan.schema().fields().iter();
    let fields = fields.map(|f| Field::new(normalize::column_name(f.name()), f.data_type().clone(), f.is_nullable()));
    Bound { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), depends_on: context.named(), plan }
}

/// Plans a query; the output has types that a table may have.
pub(crate) fn plan_query(context: &Context<'_>, query: &ast::Query) -> Result<LogicalPlan> {
    let plan = |beside_all| {
        let mut query = query.clone();
        let is_beside_all = normalize::normalize(&mut query, beside_all);
        functions::type_literals(context.catalog(), &mut query);
        let planned = is_beside_all.clone().and_then(|_| {
            crate::recursion::plan_recursions(context, &mut query)?;
            storable(plan_normalized(context, query)?)
        });
        (planned, is_beside_all.unwrap_or(false))
    };
    // Who names a column of a subquery does not know of marks; that two columns have one name shows when it is planned.
    match plan(BesideAll::AsTheyAre) {
        (Err(error), true) => plan(BesideAll::Marked).0.map_err(|_| error),
        (planned, _) => planned,
    }
}

/// Plans the query of a view, with the names of its column list.
pub(crate) fn plan_view_query(context: &Context<'_>, query: &ast::Query, columns: &[String]) -> Result<LogicalPlan> {
    let plan = plan_query(context, query)?;
    if columns.len() > plan.schema().fields().len() {
        return Err(SqlError::syntax("CREATE VIEW specifies more column names than columns"));
    }
    let names = plan.schema().fields().iter().enumerate();
    let names = names.map(|(i, f)| columns.get(i).cloned().unwrap_or_else(|| normalize::column_name(f.name()).to_owned()));
    let names = names.collect::<Vec<_>>();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|n| !seen.insert(n.as_str())) {
        return Err(SqlError::new(code::DUPLICATE_COLUMN, format!("column \"{twice}\" specified more than once")));
    }
    rename(plan, &names)
}

/// Plans a query that is normalized and has no recursion left in it.
pub(crate) fn plan_normalized(context: &Context<'_>, query: ast::Query) -> Result<LogicalPlan> {
    let planner = SqlToRel::new(context);
    let plan = planner.sql_statement_to_plan(ast::Statement::Query(Box::new(query))).map_err(from_datafusion)?;
    operators::check_unions(&plan).map_err(from_datafusion)?;
    let plan = lateral_unnest::beside_rows(plan).and_then(set_operations::as_bags).and_then(asof_join::as_windows);
    let plan = plan.map_err(from_datafusion)?;
    let plan = crate::optimize::scalar_subqueries::correlated_as_pairs(plan).map_err(from_datafusion)?;
    crate::optimize::coerce(operators::name_compared(plan).map_err(from_datafusion)?)
}

/// Gives the columns of a plan other names. A sort at the top stays at the top.
pub(crate) fn rename(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan> {
    let same = plan.schema().iter().zip(names).all(|((qualifier, f), name)| qualifier.is_none() && f.name() == name);
    if same {
        return Ok(plan);
    }
    let columns = plan.schema().columns().into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name));
    let columns = columns.collect::<Vec<_>>();
    LogicalPlanBuilder::new(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// Casts the output columns whose type no table has: DataFusion's unsigned counts, nanoseconds, the untyped NULL.
pub(crate) fn storable(plan: LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().fields().iter().all(|f| storable_type(f.data_type()) == *f.data_type()) {
        return Ok(plan);
    }
    let columns = plan.schema().iter().map(|(qualifier, field)| {
        let column = Expr::from((qualifier, field));
        let data_type = storable_type(field.data_type());
        if data_type == *field.data_type() { column } else { cast(column, data_type).alias(field.name()) }
    });
    let columns = columns.collect::<Vec<_>>();
    LogicalPlanBuilder::new(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

fn storable_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Null | DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal256(_, s) => DataType::Decimal128(crate::types::NUMERIC_PRECISION, *s),
        DataType::Dictionary(_, value) => storable_type(value),
        other => other.clone(),
    }
}
