//! The tables that a logical plan scans: relations, the working tables of recursions, rows at hand, and names that stand for a whole plan.
//!
//! None of them takes filters, so filters stay in the plan where the planner sees them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{LogicalPlan, TableSource};
use refrain_types::RelationId;

use crate::bind::context::Context;
use crate::catalog::{Column, Relation, RelationKind};

/// The relations that a statement names, collected while it is bound.
pub(crate) type Named = Arc<Mutex<BTreeSet<RelationId>>>;

/// A table, a materialized view or a system table.
#[derive(Debug)]
pub struct RelationSource {
    /// Its id.
    pub relation: RelationId,
    /// Its name.
    pub name: String,
    /// What it is; never a plain view.
    pub kind: RelationKind,
    /// Whether the catalog says that its rows never go.
    pub append_only: bool,
    /// Its columns.
    pub columns: Vec<Column>,
    schema: SchemaRef,
    named: Named,
}

impl RelationSource {
    pub(crate) fn new(relation: &Relation, named: Named) -> Self {
        Self {
            relation: relation.id,
            name: relation.name.clone(),
            kind: relation.kind,
            append_only: relation.append_only,
            columns: relation.columns.clone(),
            schema: relation.schema(),
            named,
        }
    }
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// DataFusion asks when it plans a scan, and only then; so this is where a name is known to be used. (It also looks up tables
    /// that a CTE of the same name hides.)
    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        note(&self.named, self.relation);
        None
    }
}

/// The rows of a recursion's last iteration, as its recursive term sees them.
#[derive(Debug)]
pub struct WorkTable {
    /// Which recursion; unique in a statement.
    pub id: usize,
    /// The name of the recursive query.
    pub name: String,
    schema: SchemaRef,
}

impl WorkTable {
    pub(crate) fn new(id: usize, name: String, schema: SchemaRef) -> Self {
        Self { id, name, schema }
    }
}

impl TableSource for WorkTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// Rows of a table that a statement has at hand, and not the table's. Who executes the plan has them.
#[derive(Debug)]
pub struct GivenRows {
    /// Which: one of the names below.
    pub name: &'static str,
    /// The columns of the table that they are of.
    pub columns: Vec<Column>,
    schema: SchemaRef,
}

impl GivenRows {
    /// Rows that are in the table, or will be.
    pub const STORED: &str = "\u{1}stored";
    /// Rows of an `INSERT` that met others.
    pub const EXCLUDED: &str = "\u{1}excluded";

    /// Makes `name` stand for rows of a table, with 64-bit numbers of these names in front.
    pub(crate) fn place(context: &Context<'_>, name: &'static str, table: &Relation, numbers: &[&str]) {
        let numbers = numbers.iter().map(|number| Field::new(*number, DataType::Int64, false));
        let fields = numbers.chain(table.columns.iter().map(Column::field)).collect::<Vec<_>>();
        let columns = table.columns.clone();
        context.place(name.to_owned(), Arc::new(Self { name, columns, schema: Arc::new(Schema::new(fields)) }));
    }
}

impl TableSource for GivenRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// A name that stands for a plan: a view, or a recursive query that is planned already.
pub(crate) struct PlanSource {
    plan: LogicalPlan,
    /// The view, where it is one, and who collects the names.
    view: Option<(RelationId, Named)>,
}

impl PlanSource {
    pub(crate) fn new(plan: LogicalPlan, view: Option<(RelationId, Named)>) -> Self {
        Self { plan, view }
    }
}

impl TableSource for PlanSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.plan.schema().inner())
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        if let Some((view, named)) = &self.view {
            note(named, *view);
        }
        Some(Cow::Borrowed(&self.plan))
    }
}

fn note(named: &Named, relation: RelationId) {
    named.lock().expect("nothing panics while it holds the lock").insert(relation);
}
