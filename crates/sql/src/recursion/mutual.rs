//! `WITH MUTUALLY RECURSIVE`: bindings with declared types, which may refer to each other and to themselves in any way.
//!
//! The syntax and its meaning are Materialize's: bindings begin empty and are worked out in their order, again and again, until an
//! iteration changes nothing. Each binding's query is planned as a statement of its own, in which the bindings are scans of
//! [`WorkTable`]s.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, DFSchemaRef, Result as DataFusionResult, plan_err};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_sql::sqlparser::ast::{Cte, VisitMut, With};

use super::{RecursionPlanner, types};
use crate::bind::errors::from_datafusion;
use crate::bind::{plan_normalized, rename, storable};
use crate::error::{Result, SqlError, code};
pub use crate::parser::mutually::Limit;
use crate::parser::{fold, parse_query, quoted};
use crate::source::{PlanSource, WorkTable};
use crate::types::{arrow_type, type_name};

/// The bindings of one `WITH MUTUALLY RECURSIVE`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct MutualBlock {
    /// Which recursion; unique in a statement.
    pub id: usize,
    /// In their order.
    pub bindings: Vec<Binding>,
    /// How often they may go round.
    pub limit: Option<Limit>,
}

/// What is declared of a binding.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The number of its work table.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
}

/// The rows of one binding of a recursion of several, where the recursion ends.
///
/// Its inputs are the queries of all bindings. They scan [`WorkTable`]s with the bindings' numbers.
#[derive(Clone, Debug)]
pub struct MutualNode {
    /// The recursion; nodes of the same one share it.
    pub block: Arc<MutualBlock>,
    /// The query of each binding.
    pub plans: Vec<LogicalPlan>,
    /// Which binding.
    pub index: usize,
    schema: DFSchemaRef,
}

impl MutualNode {
    pub(crate) fn new(block: Arc<MutualBlock>, plans: Vec<LogicalPlan>, index: usize) -> Result<Self> {
        let schema = DFSchema::try_from(Schema::clone(&block.bindings[index].schema)).map_err(from_datafusion)?;
        Ok(Self { block, plans, index, schema: Arc::new(schema) })
    }

    /// The node of a plan's root, if it is a binding of such a recursion.
    #[must_use]
    pub fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl UserDefinedLogicalNodeCore for MutualNode {
    fn name(&self) -> &'static str {
        "MutualRecursion"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.plans.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MutualRecursion: {}", self.block.bindings[self.index].name)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        if !exprs.is_empty() || inputs.len() != self.plans.len() {
            return plan_err!("a recursion has one input for each binding, and no expressions");
        }
        Ok(Self { plans: inputs, ..self.clone() })
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(self.block.bindings.iter().map(|binding| (0..binding.schema.fields().len()).collect()).collect())
    }
}

impl PartialEq for MutualNode {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.block == other.block && self.plans == other.plans
    }
}

impl Eq for MutualNode {}

impl Hash for MutualNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.block.id, self.index).hash(state);
        self.plans.hash(state);
    }
}

impl PartialOrd for MutualNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| (node.block.id, node.index);
        if self == other { Some(Ordering::Equal) } else { key(self).partial_cmp(&key(other)).filter(|o| o.is_ne()) }
    }
}

impl RecursionPlanner<'_, '_> {
    /// Plans the bindings of a WITH clause and puts names in the places of their definitions.
    pub(super) fn mutual(&mut self, with: &mut With, limit: Option<Limit>) -> Result<()> {
        let mut bindings = with.cte_tables.iter().map(|cte| self.declared(cte)).collect::<Result<Vec<_>>>()?;
        let scope = self.scopes.len() - 1;
        for binding in &bindings {
            self.scopes[scope].push(named(&binding.name, &work_name(binding))?);
        }
        // Bindings begin empty, so a column holds no NULL unless some query makes one.
        let plans = loop {
            let plans = self.plans(with, &bindings)?;
            let widened = bindings.iter().zip(&plans).map(|(binding, plan)| widened(binding, plan)).collect::<Vec<_>>();
            if widened == bindings {
                break plans;
            }
            bindings = widened;
        };
        self.scopes[scope].clear();
        let block = Arc::new(MutualBlock { id: self.context.next_recursion(), bindings, limit });
        for (index, (cte, binding)) in with.cte_tables.iter_mut().zip(&block.bindings).enumerate() {
            let node = MutualNode::new(Arc::clone(&block), plans.clone(), index)?;
            let placed = format!("__refrain_recursion_{}", binding.id);
            let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
            self.context.place(placed.clone(), Arc::new(PlanSource::new(plan, None)));
            *cte = named(&binding.name, &placed)?;
            self.scopes[scope].push(cte.clone());
        }
        Ok(())
    }

    /// The query of each binding, over bindings of these columns.
    fn plans(&mut self, with: &With, bindings: &[Binding]) -> Result<Vec<LogicalPlan>> {
        for binding in bindings {
            let table = WorkTable::new(binding.id, binding.name.clone(), Arc::clone(&binding.schema));
            self.context.place(work_name(binding), Arc::new(table));
        }
        let mut plans = Vec::with_capacity(bindings.len());
        for (cte, binding) in with.cte_tables.iter().zip(bindings) {
            let mut query = cte.query.clone();
            if let ControlFlow::Break(error) = query.visit(self) {
                return Err(error);
            }
            let plan = plan_normalized(self.context, self.statement(&query)?)?;
            plans.push(conformed(binding, plan)?);
        }
        Ok(plans)
    }

    /// A binding as it is declared. That its columns may be NULL is still to be seen.
    fn declared(&self, cte: &Cte) -> Result<Binding> {
        let name = fold(&cte.alias.name);
        if cte.alias.columns.is_empty() {
            return Err(SqlError::syntax(format!("WITH MUTUALLY RECURSIVE query \"{name}\" needs a list of typed columns"))
                .with_hint(format!("Write {name} (column type, …) AS (…).")));
        }
        let field = |column: &datafusion_sql::sqlparser::ast::TableAliasColumnDef| {
            let column_name = fold(&column.name);
            let Some(declared) = &column.data_type else {
                let message = format!("column \"{column_name}\" of WITH MUTUALLY RECURSIVE query \"{name}\" has no type");
                return Err(SqlError::syntax(message));
            };
            Ok(Field::new(column_name, arrow_type(declared)?, false))
        };
        let fields = cte.alias.columns.iter().map(field).collect::<Result<Vec<_>>>()?;
        let twice = fields.iter().enumerate().find(|(i, f)| fields[..*i].iter().any(|other| other.name() == f.name()));
        if let Some((_, field)) = twice {
            return Err(SqlError::new(code::DUPLICATE_COLUMN, format!("column \"{}\" specified more than once", field.name())));
        }
        Ok(Binding { id: self.context.next_recursion(), name, schema: Arc::new(Schema::new(fields)) })
    }
}

/// The name of a binding's work table.
fn work_name(binding: &Binding) -> String {
    format!("__refrain_work_{}", binding.id)
}

/// A binding whose columns may be NULL where they may so far, or where its query makes NULLs.
fn widened(binding: &Binding, plan: &LogicalPlan) -> Binding {
    let fields = binding.schema.fields().iter().zip(plan.schema().fields());
    let fields = fields.map(|(field, made)| field.as_ref().clone().with_nullable(field.is_nullable() || made.is_nullable()));
    Binding { id: binding.id, name: binding.name.clone(), schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())) }
}

/// `name AS (SELECT * FROM source)`.
fn named(name: &str, source: &str) -> Result<Cte> {
    let text = format!("WITH {} AS (SELECT * FROM {source}) SELECT 1", quoted(name));
    let query = parse_query(&text)?;
    Ok(query.with.expect("it was just written").cte_tables.remove(0))
}

/// A binding's query with the declared columns.
fn conformed(binding: &Binding, plan: LogicalPlan) -> Result<LogicalPlan> {
    let fields = plan.schema().fields();
    if fields.len() != binding.schema.fields().len() {
        let (declared, given) = (binding.schema.fields().len(), fields.len());
        let message = format!(
            "WITH MUTUALLY RECURSIVE query \"{}\" declares {declared} columns, but its query returns {given}",
            binding.name
        );
        return Err(SqlError::new(code::INVALID_COLUMN_REFERENCE, message));
    }
    let stored = storable(plan.clone())?;
    for ((given, untyped), declared) in stored.schema().fields().iter().zip(fields).zip(binding.schema.fields()) {
        if *untyped.data_type() != DataType::Null && !types::are_alike(given.data_type(), declared.data_type()) {
            let message = format!(
                "WITH MUTUALLY RECURSIVE query \"{}\" declares column \"{}\" as {}, but its query returns {}",
                binding.name,
                declared.name(),
                type_name(declared.data_type()),
                type_name(given.data_type())
            );
            return Err(SqlError::new(code::DATATYPE_MISMATCH, message).with_hint("Cast it in the query."));
        }
    }
    let names = binding.schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    rename(types::cast_columns(stored, &binding.schema)?, &names)
}
