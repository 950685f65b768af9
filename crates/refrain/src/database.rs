//! The catalog with the relations that stand behind it, as one immutable value: a statement takes the current one and sees no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use refrain_plan::StreamPlan;
use refrain_sql::catalog::{Relation as Entry, RelationKind as EntryKind};
use refrain_sql::{Catalog, Rules};
use refrain_types::{DataflowId, RelationId};

use crate::error::{Error, Result};
use crate::planning;
use crate::relation::{EpochClock, Relation};
use crate::system_tables;

/// Tables, views, and what holds their rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    /// Names, columns, definitions, dependencies.
    pub catalog: Catalog,
    /// The relations that have rows: tables and maintained views.
    pub relations: BTreeMap<RelationId, Arc<Relation>>,
    /// What plans are optimized with.
    pub rules: Rules,
}

/// A maintained view that has to be started.
#[derive(Clone, Debug)]
pub(crate) struct PlannedView {
    /// Where its rows go.
    pub view: Arc<Relation>,
    /// What computes them.
    pub plan: Arc<StreamPlan>,
}

impl Database {
    /// Nothing but the system tables.
    pub fn empty(rules: Rules) -> Self {
        let mut catalog = Catalog::default();
        system_tables::define(&mut catalog);
        Self { catalog, relations: BTreeMap::new(), rules }
    }

    /// Plans everything that a catalog holds, as recovery does. The relations are empty; the views stand in an order in which each
    /// comes after what it reads.
    pub fn of_catalog(mut catalog: Catalog, rules: Rules, visible: &Arc<EpochClock>) -> Result<(Self, Vec<PlannedView>)> {
        system_tables::define(&mut catalog);
        let entries = catalog.relations().cloned().collect::<Vec<_>>();
        let mut database = Self { catalog, relations: BTreeMap::new(), rules };
        let mut views = Vec::new();
        for entry in entries {
            match entry.kind {
                EntryKind::Table | EntryKind::Clock => database.add_table(&entry, visible),
                EntryKind::MaterializedView => {
                    let view = database.add_view(&entry, visible);
                    views.push(view.map_err(|e| e.said_of(&format!("materialized view \"{}\" cannot be restored", entry.name)))?);
                }
                EntryKind::View | EntryKind::System => {}
            }
        }
        Ok((database, views))
    }

    /// The rows of a table that the catalog has.
    pub fn add_table(&mut self, entry: &Entry, visible: &Arc<EpochClock>) {
        let table = Relation::table(entry.id, &entry.name, entry.schema(), entry.append_only, visible);
        self.relations.insert(entry.id, table);
    }

    /// The relation that tells views the time. It is added if there is none.
    pub fn clock(&mut self, visible: &Arc<EpochClock>) -> Arc<Relation> {
        if self.catalog.clock().is_none() {
            let id = self.catalog.create_clock();
            let entry = self.catalog.get(id).expect("it has just been added").clone();
            self.add_table(&entry, visible);
        }
        let entry = self.catalog.clock().expect("it was added unless it was there");
        Arc::clone(self.relations.get(&entry.id).expect("a table of the catalog has rows"))
    }

    /// The rows of a maintained view that the catalog has, and its plan.
    pub fn add_view(&mut self, entry: &Entry, visible: &Arc<EpochClock>) -> Result<PlannedView> {
        let definition = entry.definition.as_ref().expect("a view has a definition");
        let bound = refrain_sql::bind::bind_stored_view(&self.catalog, definition)?;
        let plan = Arc::new(planning::maintained(self, bound.plan)?);
        let same = |(is, says): (&FieldRef, &FieldRef)| is.data_type() == says.data_type();
        let (is, says) = (plan.schema(), entry.schema());
        if is.fields().len() != says.fields().len() || !is.fields().iter().zip(says.fields()).all(same) {
            return Err(Error::engine(format!("the columns of \"{}\" are not of the types that it was created with", entry.name)));
        }
        let append_only = plan.node(plan.root).properties.append_only;
        let view = Relation::view(entry.id, &entry.name, entry.schema(), append_only, visible);
        self.relations.insert(entry.id, Arc::clone(&view));
        Ok(PlannedView { view, plan })
    }

    /// The relation with this id.
    pub fn relation(&self, id: RelationId) -> Result<&Arc<Relation>> {
        self.relations.get(&id).ok_or_else(|| Error::statement("42P01", format!("relation with id {id} does not exist")))
    }

    /// The table of this name, for a statement that writes it.
    pub fn table(&self, name: &str) -> Result<(&Entry, &Arc<Relation>)> {
        let entry = self.catalog.table(name)?;
        Ok((entry, self.relations.get(&entry.id).expect("a table of the catalog has rows")))
    }

    /// The relations that a plan reads.
    pub fn sources(&self, plan: &StreamPlan) -> Result<BTreeMap<RelationId, Arc<Relation>>> {
        plan.sources().map(|(_, id)| Ok((id, Arc::clone(self.relation(id)?)))).collect()
    }

    /// The dataflow of a maintained view: it has the view's number, for as long as the view exists.
    pub fn dataflow(view: RelationId) -> DataflowId {
        DataflowId(view.0)
    }
}
