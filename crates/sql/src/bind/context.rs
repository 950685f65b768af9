//! What DataFusion's binder asks of us: tables, functions, types, options.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result as DataFusionResult, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion_sql::sqlparser::ast;
use refrain_types::RelationId;

use super::functions::{FUNCTIONS, Function, numbering};
use crate::catalog::schema::PUBLIC;
use crate::catalog::{Catalog, Relation, RelationKind};
use crate::error::{Result, SqlError};
use crate::source::{Named, PlanSource, RelationSource};
use crate::table_function::FunctionRows;

/// The options under which everything is bound and optimized.
pub(crate) static OPTIONS: LazyLock<ConfigOptions> = LazyLock::new(|| {
    let mut options = ConfigOptions::new();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.default_null_ordering = "nulls_max".to_owned();
    options.sql_parser.dialect = datafusion_common::config::Dialect::PostgreSQL;
    options.execution.time_zone = Some(crate::types::UTC.to_owned());
    options.optimizer.filter_null_join_keys = true;
    options
});

/// How the views that a statement names get into its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Views {
    /// Plain ones as their queries, materialized ones as relations.
    Read,
    /// The same, and each plain one stands under an alias that says which it is.
    Told,
    /// Materialized ones as their queries, too, under such an alias. Views inside of them are `Told`.
    Opened,
}

/// The names that one statement sees.
pub(crate) struct Context<'a> {
    catalog: &'a Catalog,
    how: Views,
    named: Named,
    /// Working tables and planned recursions, by the names that `crate::recursion` gave them.
    placed: RefCell<HashMap<String, Arc<dyn TableSource>>>,
    /// Views that are planned already, so that a view that is named twice has one plan, with one set of recursions.
    views: RefCell<HashMap<(RelationId, Views), LogicalPlan>>,
    /// Views that are being planned. DataFusion looks up names that a WITH query hides, too, so a view can seem to read itself.
    planning: RefCell<BTreeSet<RelationId>>,
    /// How many recursions the statement has, those in its views included.
    recursions: RefCell<usize>,
}

impl<'a> Context<'a> {
    pub(crate) fn catalog(&self) -> &'a Catalog {
        self.catalog
    }

    pub(crate) fn new(catalog: &'a Catalog) -> Self {
        Self::with_views(catalog, Views::Read)
    }

    pub(crate) fn with_views(catalog: &'a Catalog, how: Views) -> Self {
        Self {
            catalog,
            how,
            named: Arc::default(),
            placed: RefCell::default(),
            views: RefCell::default(),
            planning: RefCell::default(),
            recursions: RefCell::default(),
        }
    }

    /// The relations that the statement names itself, plain views included.
    pub(crate) fn named(&self) -> BTreeSet<RelationId> {
        self.named.lock().expect("nothing panics while it holds the lock").clone()
    }

    pub(crate) fn next_recursion(&self) -> usize {
        let mut count = self.recursions.borrow_mut();
        *count += 1;
        *count - 1
    }

    /// Makes a name stand for a source, before any relation of that name.
    pub(crate) fn place(&self, name: String, source: Arc<dyn TableSource>) {
        self.placed.borrow_mut().insert(name, source);
    }

    fn source(&self, name: &TableReference) -> Result<Arc<dyn TableSource>> {
        if let TableReference::Bare { table } = name
            && let Some(source) = self.placed.borrow().get(table.as_ref())
        {
            return Ok(Arc::clone(source));
        }
        let full_name = match name {
            TableReference::Bare { table } if !table.contains('.') => table.to_string(),
            TableReference::Bare { table } => return Err(SqlError::no_relation(table)),
            TableReference::Partial { schema, table } if schema.as_ref() == PUBLIC => table.to_string(),
            TableReference::Partial { schema, table } => format!("{schema}.{table}"),
            other => return Err(SqlError::unsupported(format!("cross-database references are not implemented: {other}"))),
        };
        let relation = self.catalog.relation(&full_name)?;
        match (relation.kind, self.how) {
            (RelationKind::View, _) | (RelationKind::MaterializedView, Views::Opened) => {
                let plan = self.view_plan(relation)?;
                Ok(Arc::new(PlanSource::new(plan, Some((relation.id, Arc::clone(&self.named))))))
            }
            _ => Ok(Arc::new(RelationSource::new(relation, Arc::clone(&self.named)))),
        }
    }

    /// The plan of a view. Its own names are collected elsewhere: a statement depends on the view, the view on them.
    fn view_plan(&self, view: &Relation) -> Result<LogicalPlan> {
        let key = (view.id, self.how);
        if let Some(plan) = self.views.borrow().get(&key) {
            return Ok(plan.clone());
        }
        if !self.planning.borrow_mut().insert(view.id) {
            return Err(SqlError::no_relation(&view.name));
        }
        let definition = view.definition.as_ref().expect("a view has a definition");
        let inner = Context {
            catalog: self.catalog,
            how: if view.kind == RelationKind::MaterializedView { Views::Told } else { self.how },
            named: Arc::new(Mutex::default()),
            placed: RefCell::default(),
            views: RefCell::new(self.views.take()),
            planning: RefCell::new(self.planning.take()),
            recursions: RefCell::new(self.recursions.take()),
        };
        let query = crate::parser::parse_query(&definition.query)?;
        let plan = super::plan_view_query(&inner, &query, &definition.columns);
        self.views.replace(inner.views.take());
        self.planning.replace(inner.planning.take());
        self.planning.borrow_mut().remove(&view.id);
        self.recursions.replace(inner.recursions.take());
        let plan = if self.how == Views::Read { plan? } else { crate::why::told(&view.name, plan?)? };
        self.views.borrow_mut().insert(key, plan.clone());
        Ok(plan)
    }
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> DataFusionResult<Arc<dyn TableSource>> {
        Ok(self.source(&name)?)
    }

    fn get_table_function_source(&self, name: &str, arguments: Vec<Expr>) -> DataFusionResult<Arc<dyn TableSource>> {
        Ok(Arc::new(FunctionRows::of_call(self.catalog.registered(), name, &arguments)?))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &FUNCTIONS.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        match self.catalog.registered().get(name) {
            Some(Function::Scalar(function)) => Some(function),
            Some(_) => None,
            None => {
                let of_catalog = self.catalog.defined_function(name).cloned().or_else(|| numbering::find(self.catalog, name));
                of_catalog.or_else(|| super::asof_join::mark(name)).or_else(|| FUNCTIONS.scalar_or_missing(name))
            }
        }
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        match self.catalog.registered().get(name) {
            Some(Function::Aggregate(function)) => Some(function),
            _ => FUNCTIONS.aggregate.get(name).cloned(),
        }
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        match self.catalog.registered().get(name) {
            Some(Function::Window(function)) => Some(function),
            _ => FUNCTIONS.window.get(name).cloned(),
        }
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &OPTIONS
    }

    fn udf_names(&self) -> Vec<String> {
        sorted_names(FUNCTIONS.scalar.keys(), self.catalog.registered().names(|f| matches!(f, Function::Scalar(_))))
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        sorted_names(FUNCTIONS.aggregate.keys(), self.catalog.registered().names(|f| matches!(f, Function::Aggregate(_))))
    }

    fn udwf_names(&self) -> Vec<String> {
        sorted_names(FUNCTIONS.window.keys(), self.catalog.registered().names(|f| matches!(f, Function::Window(_))))
    }
}

fn sorted_names<'a>(names: impl Iterator<Item = &'a String>, registered: Vec<String>) -> Vec<String> {
    names.cloned().chain(registered).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Types in casts and literals are PostgreSQL's.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> DataFusionResult<Option<FieldRef>> {
        Ok(Some(Arc::new(Field::new("", crate::types::arrow_type(sql_type)?, true))))
    }
}
