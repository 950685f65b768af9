//! `CREATE`, `ALTER` and `DROP`. The input log keeps the statement as it was written; recovery carries it out again.

use std::sync::Arc;

use refrain_sql::catalog::schema::{beside, split};
use refrain_sql::catalog::{DropPlan, RelationKind, ViewDefinition};
use refrain_sql::statement::{
    AlterView, CreateIndex, CreateSchema, CreateTable, CreateView, Drop, DropFunction, DropIndex, DropSchema,
};
use refrain_sql::{Bound, Statement};
use refrain_types::{Delta, Epoch, RelationId};
use serde::{Deserialize, Serialize};

use crate::clock::Micros;
use crate::database::{Database, PlannedView};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::relation::{Relation, RelationKind as Rows, publish_together};
use crate::session::{Notice, Outcome, Session};

/// What the input log keeps of a statement.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    statement: String,
    /// What the clock was set to, in microseconds since 1970, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    now: Option<Micros>,
}

/// What a statement will do: checked, planned, not yet done.
pub(super) struct Change {
    pub database: Database,
    pub start: Option<PlannedView>,
    /// A table that is new, and its rows; or the clock, and what sets it.
    pub fill: Option<(Arc<Relation>, Vec<Arc<Delta>>)>,
    /// What the clock is set to.
    pub now: Option<Micros>,
    pub drop: Vec<Arc<Relation>>,
    /// A table that has other keys.
    pub rekeyed: Option<RelationId>,
    pub tag: &'static str,
    pub notices: Vec<Notice>,
}

impl Change {
    /// To this, and nothing else.
    pub fn to(database: Database, tag: &'static str) -> Self {
        Self { database, start: None, fill: None, now: None, drop: Vec::new(), rekeyed: None, tag, notices: Vec::new() }
    }
}

/// Carries out a statement that changes the catalog.
pub(crate) async fn run(session: &Session, statement: &Statement, text: &str) -> Result<Outcome> {
    let shared = session.shared();
    let turn = shared.exclusive_turn().await?;
    let (tag, notices) = match prepare(shared, statement, shared.micros())? {
        Prepared::Nothing { tag, notices } => (tag, notices),
        Prepared::Change(change) => {
            let outcome = (change.tag, change.notices.clone());
            let record = Record { statement: text.to_owned(), now: change.now };
            let json = serde_json::to_string(&record).expect("a text can be written as JSON");
            shared.write_ddl(turn, json, move |shared, epoch| apply(shared, *change, epoch)).await?;
            outcome
        }
    };
    notices.into_iter().for_each(|notice| session.notice(notice));
    Ok(Outcome::done(tag))
}

/// Carries out a statement of the input log.
pub(crate) fn replay(shared: &Arc<Shared>, json: &str, epoch: Epoch) -> Result<()> {
    let damaged = |reason: String| Error::io(format!("the input log cannot be carried out again at epoch {epoch}: {reason}"));
    let record: Record = serde_json::from_str(json).map_err(|e| damaged(e.to_string()))?;
    let (statement, _) = refrain_sql::parse(&record.statement)?.pop().ok_or_else(|| damaged("a statement is empty".to_owned()))?;
    match prepare(shared, &statement, record.now.unwrap_or_default())
        .map_err(|e| damaged(format!("{} ({})", e.message(), record.statement)))?
    {
        Prepared::Change(change) => apply(shared, *change, epoch),
        Prepared::Nothing { .. } => return Err(damaged(format!("there is nothing to do for {}", record.statement))),
    }
    Ok(())
}

pub(super) enum Prepared {
    Change(Box<Change>),
    Nothing { tag: &'static str, notices: Vec<Notice> },
}

/// `now` is the time, for the first view that asks for it.
fn prepare(shared: &Arc<Shared>, statement: &Statement, now: Micros) -> Result<Prepared> {
    let database = shared.database();
    match statement {
        Statement::CreateTable(create) => create_table(shared, &database, create),
        Statement::CreateView(create) => create_view(&database, create),
        Statement::CreateMaterializedView(create) => create_materialized_view(shared, &database, create, now),
        Statement::AlterTable(alter) => super::alter_table::prepare(shared, &database, alter),
        Statement::AlterMaterializedView(alter) => alter_materialized_view(shared, &database, alter),
        Statement::CreateSchema(create) => create_schema(&database, create),
        Statement::DropSchema(drop) => drop_schemas(&database, drop),
        Statement::CreateFunction(create) => {
            let mut database = Database::clone(&database);
            database.catalog.create_function(create.definition.clone(), create.or_replace)?;
            Ok(change(database, "CREATE FUNCTION"))
        }
        Statement::DropFunction(drop) => drop_functions(&database, drop),
        Statement::CreateIndex(create) => create_index(&database, create),
        Statement::DropIndex(drop) => drop_indexes(&database, drop),
        Statement::Drop(drop) => drop_relations(&database, drop),
        _ => Err(Error::engine("a statement that does not change the catalog was taken for one that does")),
    }
}

/// Does what was prepared. The epoch is durable.
fn apply(shared: &Arc<Shared>, change: Change, epoch: Epoch) {
    let Change { database, start, fill, drop, rekeyed, .. } = change;
    // Before anybody finds the table.
    if let Some((table, rows)) = fill {
        publish_together(epoch, vec![(table, rows)]);
    }
    let sources = start.as_ref().map(|s| database.sources(&s.plan).expect("what a view reads was there when it was planned"));
    shared.lookups.keep(&database.catalog);
    shared.set_database(database);
    rekeyed.into_iter().for_each(|table| shared.keys.forget(table));
    for relation in drop {
        shared.row_indexes.forget(relation.id);
        shared.keys.forget(relation.id);
        if relation.kind == Rows::View {
            shared.runtime.drop_view(Database::dataflow(relation.id));
            let altered = shared.database().catalog.find(&relation.name).is_some();
            relation.end(if altered {
                Error::statement("55000", format!("materialized view \"{}\" was altered", relation.name))
                    .with_hint("Read it again: it has other rows now.")
            } else {
                Error::statement("42P01", format!("relation \"{}\" does not exist", relation.name))
            });
        }
    }
    shared.visible.advance(epoch);
    if let (Some(PlannedView { view, plan }), Some(sources)) = (start, sources) {
        let dataflow = Database::dataflow(view.id);
        let started = shared.runtime.create_view(Arc::clone(&view), dataflow, plan, sources, epoch);
        if let Err(error) = started {
            view.end(error);
        }
    }
    shared.run_clock();
    shared.runtime.pump();
}

fn create_table(shared: &Shared, database: &Database, create: &CreateTable) -> Result<Prepared> {
    if create.if_not_exists && database.catalog.find(&create.name).is_some() {
        return Ok(exists(split(&create.name).1, "CREATE TABLE"));
    }
    let mut database = Database::clone(database);
    let id = database.catalog.create_table(create)?;
    let entry = database.catalog.get(id).expect("it has just been added").clone();
    refrain_sql::check_table(&database.catalog, &entry)?;
    database.add_table(&entry, &shared.visible);
    Ok(change(database, "CREATE TABLE"))
}

fn create_view(database: &Database, create: &CreateView) -> Result<Prepared> {
    let bound = refrain_sql::bind_view(&database.catalog, create)?;
    let mut database = Database::clone(database);
    let definition = definition(create, &bound);
    let is_there = database.catalog.find(&create.name).is_some_and(|r| r.kind == RelationKind::View);
    if create.or_replace && is_there {
        database.catalog.replace_view(&create.name, bound.columns(), definition)?;
    } else {
        database.catalog.create_view(&create.name, RelationKind::View, bound.columns(), definition)?;
    }
    Ok(change(database, "CREATE VIEW"))
}

fn create_materialized_view(shared: &Shared, database: &Database, create: &CreateView, now: Micros) -> Result<Prepared> {
    let tag = "CREATE MATERIALIZED VIEW";
    if create.if_not_exists && database.catalog.find(&create.name).is_some() {
        return Ok(exists(split(&create.name).1, tag));
    }
    let bound = refrain_sql::bind_view(&database.catalog, create)?;
    let mut database = Database::clone(database);
    let mut definition = definition(create, &bound);
    let clock = refrain_sql::tells_time(&bound.plan).then(|| database.clock(&shared.visible));
    definition.depends_on.extend(clock.as_ref().map(|clock| clock.id));
    let id = database.catalog.create_view(&create.name, RelationKind::MaterializedView, bound.columns(), definition)?;
    let entry = database.catalog.get(id).expect("it has just been added").clone();
    let start = Some(database.add_view(&entry, &shared.visible)?);
    // It may have stood still while nobody asked it.
    let set = clock.map(|clock| {
        let deltas = shared.set_clock(&clock, now).into_iter().map(|(_, delta)| delta).collect::<Vec<_>>();
        (clock, deltas)
    });
    let now = set.is_some().then_some(now);
    let fill = set.filter(|(_, deltas)| !deltas.is_empty());
    Ok(Prepared::Change(Box::new(Change { start, fill, now, ..Change::to(database, tag) })))
}

/// A view with another recursion limit is another view under the same name: it is worked out from the start.
fn alter_materialized_view(shared: &Shared, database: &Database, alter: &AlterView) -> Result<Prepared> {
    let tag = "ALTER MATERIALIZED VIEW";
    let name = &alter.name;
    let entry = match database.catalog.find(name) {
        None if alter.if_exists => {
            let notices = vec![Notice::new(format!("relation \"{name}\" does not exist, skipping"))];
            return Ok(Prepared::Nothing { tag, notices });
        }
        None => return Err(Error::statement("42P01", format!("relation \"{name}\" does not exist"))),
        Some(entry) => entry,
    };
    let definition = entry.definition.as_ref().filter(|_| entry.kind == RelationKind::MaterializedView);
    let Some(definition) = definition else {
        return Err(Error::statement("42809", format!("\"{name}\" is not a materialized view")));
    };
    let Some(query) = refrain_sql::parser::with_other_recursion_limit(&definition.query, alter.recursion_limit)? else {
        return Err(Error::statement("42809", format!("materialized view \"{name}\" has no recursion")));
    };
    let definition = ViewDefinition { query, ..definition.clone() };
    let mut altered = Database::clone(database);
    let id = altered.catalog.replace_materialized_view(entry.id, definition)?;
    let gone = altered.relations.remove(&entry.id).into_iter().collect();
    let entry = altered.catalog.get(id).expect("it has just been added").clone();
    let planned = altered.add_view(&entry, &shared.visible)?;
    Ok(Prepared::Change(Box::new(Change { start: Some(planned), drop: gone, ..Change::to(altered, tag) })))
}

/// What a `DROP` is called.
pub(super) fn drop_tag(drop: &Drop) -> &'static str {
    match drop.kind {
        RelationKind::View => "DROP VIEW",
        RelationKind::MaterializedView => "DROP MATERIALIZED VIEW",
        _ => "DROP TABLE",
    }
}

fn drop_relations(database: &Database, drop: &Drop) -> Result<Prepared> {
    let plan = database.catalog.plan_drop(drop)?;
    Ok(dropped_relations(database, drop_tag(drop), &[], plan))
}

fn create_schema(database: &Database, create: &CreateSchema) -> Result<Prepared> {
    let (tag, name) = ("CREATE SCHEMA", &create.name);
    if create.if_not_exists && database.catalog.has_schema(name) {
        return Ok(Prepared::Nothing { tag, notices: vec![Notice::new(format!("schema \"{name}\" already exists, skipping"))] });
    }
    let mut database = Database::clone(database);
    database.catalog.create_schema(name)?;
    Ok(change(database, tag))
}

fn drop_schemas(database: &Database, drop: &DropSchema) -> Result<Prepared> {
    let (schemas, plan) = database.catalog.plan_drop_schemas(drop)?;
    Ok(dropped_relations(database, "DROP SCHEMA", &schemas, plan))
}

/// Takes out relations, and the schemas that are empty then.
fn dropped_relations(database: &Database, tag: &'static str, schemas: &[String], plan: DropPlan) -> Prepared {
    let notices = plan.notices.into_iter().map(|n| Notice::new(n.message).with_detail(n.detail)).collect();
    if plan.relations.is_empty() && schemas.is_empty() {
        return Prepared::Nothing { tag, notices };
    }
    let mut database = Database::clone(database);
    let mut gone = Vec::new();
    for id in plan.relations {
        database.catalog.remove(id);
        gone.extend(database.relations.remove(&id));
    }
    database.catalog.remove_schemas(schemas);
    Prepared::Change(Box::new(Change { drop: gone, notices, ..Change::to(database, tag) }))
}

fn drop_functions(database: &Database, drop: &DropFunction) -> Result<Prepared> {
    let tag = "DROP FUNCTION";
    let mut database = Database::clone(database);
    let skipped = database.catalog.drop_functions(drop)?;
    Ok(dropped(database, tag, drop.functions.len(), &skipped))
}

fn create_index(database: &Database, create: &CreateIndex) -> Result<Prepared> {
    let tag = "CREATE INDEX";
    let is_taken = |name: &&String| database.catalog.is_taken(&beside(&create.relation, name));
    if let Some(name) = create.name.as_ref().filter(|name| create.if_not_exists && is_taken(name)) {
        return Ok(exists(name, tag));
    }
    let mut database = Database::clone(database);
    database.catalog.create_index(create)?;
    Ok(change(database, tag))
}

fn drop_indexes(database: &Database, drop: &DropIndex) -> Result<Prepared> {
    let tag = "DROP INDEX";
    let mut database = Database::clone(database);
    let skipped = database.catalog.drop_indexes(drop)?;
    Ok(dropped(database, tag, drop.names.len(), &skipped))
}

/// So many were named, of which some were skipped.
fn dropped(database: Database, tag: &'static str, named: usize, skipped: &[String]) -> Prepared {
    let notices = skipped.iter().map(Notice::new).collect::<Vec<_>>();
    if skipped.len() == named {
        return Prepared::Nothing { tag, notices };
    }
    Prepared::Change(Box::new(Change { notices, ..Change::to(database, tag) }))
}

fn change(database: Database, tag: &'static str) -> Prepared {
    Prepared::Change(Box::new(Change::to(database, tag)))
}

fn exists(name: &str, tag: &'static str) -> Prepared {
    Prepared::Nothing { tag, notices: vec![Notice::new(format!("relation \"{name}\" already exists, skipping"))] }
}

fn definition(create: &CreateView, bound: &Bound) -> ViewDefinition {
    let depends_on: std::collections::BTreeSet<RelationId> = bound.depends_on.clone();
    ViewDefinition { query: create.query_text.clone(), columns: create.columns.clone(), depends_on }
}
