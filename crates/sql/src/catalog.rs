//! The catalog: tables, views and materialized views, by name and by id, and who depends on whom.
//!
//! Pure data, serializable; whoever holds it decides when a change is durable. Relations get ids in the order in which they are
//! created, so that repeating the same statements gives the same ids. Names are folded (`crate::parser::fold`) before they come here.

mod alter;
mod constraint;
mod dependencies;
mod function;
mod identity;
mod index;
pub mod schema;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use refrain_types::RelationId;
use serde::{Deserialize, Serialize};

pub use alter::AlteredTable;
pub use constraint::{Constraint, ConstraintKind, Key};
pub use dependencies::DropPlan;
use function::DefinedFunction;
pub use function::{FunctionDefinition, Parameter};
pub use identity::Identity;
pub use index::Index;

use crate::bind::Registered;
use crate::error::{Result, SqlError, code};
use crate::statement::CreateTable;
use crate::types::SqlType;

/// The schemas of system tables: what the engine tells about itself, and about relations in the words of the standard. Nothing can be created
/// in them.
pub const SYSTEM_SCHEMAS: [&str; 2] = ["refrain", "information_schema"];

/// So many bits of an identity's key are the place of its column, the others the table that it was created with.
const IDENTITY_BITS: u32 = 16;

/// The relation that tells views the time.
const CLOCK: &str = "refrain.clock";

/// System tables have ids from here on; they are not stored.
const SYSTEM_IDS: u64 = 1 << 62;

/// The schema of the system table that a name is one of, if it is.
#[must_use]
pub fn system_schema(name: &str) -> Option<&'static str> {
    let (schema, _) = name.split_once('.')?;
    SYSTEM_SCHEMAS.into_iter().find(|known| *known == schema)
}

/// All relations of a database.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "stored::StoredCatalog", into = "stored::StoredCatalog")]
pub struct Catalog {
    /// The id that the next relation gets.
    next_id: u64,
    relations: BTreeMap<RelationId, Relation>,
    names: BTreeMap<String, RelationId>,
    /// The schemas that were created.
    schemas: BTreeSet<String>,
    /// The functions that were defined, each after those that it calls.
    defined: Vec<DefinedFunction>,
    /// Not stored: whoever opens the store again registers them again.
    registered: Registered,
}

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// Rows that statements write.
    Table,
    /// A query that is put in place of the name.
    View,
    /// A query whose result is maintained.
    MaterializedView,
    /// Rows that the engine tells about itself.
    System,
    /// The one row by which views that ask for the time know it. The engine writes it.
    Clock,
}

/// A table, view, materialized view or system table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Its id.
    #[serde(with = "stored::id")]
    pub id: RelationId,
    /// Its name, with that of its schema in front unless it is `public`.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// Its columns.
    pub columns: Vec<Column>,
    /// For a table: rows are never deleted or changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub append_only: bool,
    /// For a table: what must hold for its rows; the primary key first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// Columns by whose values its rows are found, beside those of its keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
    /// For a view: what it was created from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<ViewDefinition>,
}

/// The text of a view and what it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewDefinition {
    /// The query as it was written.
    pub query: String,
    /// Names that replace those of the query's first columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The relations that the query names.
    #[serde(with = "stored::ids")]
    pub depends_on: BTreeSet<RelationId>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// PostgreSQL's name of its type; for a list or another type that PostgreSQL lacks, `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql_type: Option<SqlType>,
    /// The type of its values, where `sql_type` does not say it.
    #[serde(with = "stored::arrow_type", default, skip_serializing_if = "Option::is_none")]
    arrow_type: Option<DataType>,
    /// Whether it is never NULL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_null: bool,
    /// For a column of a table: the expression, as text, whose value a row has that is inserted without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// For a column of a table: how it numbers the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// A column of `CREATE TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub sql_type: SqlType,
    /// `NOT NULL`
    pub not_null: bool,
    /// `DEFAULT`, as text.
    pub default: Option<String>,
    /// `GENERATED … AS IDENTITY`
    pub identity: Option<Identity>,
}

impl Column {
    /// The column of a table.
    #[must_use]
    pub fn of_definition(definition: &ColumnDefinition) -> Self {
        let ColumnDefinition { name, sql_type, not_null, default, identity } = definition.clone();
        Self { name, sql_type: Some(sql_type), arrow_type: None, not_null, default, identity }
    }

    /// What a row has in it that comes without it, for people; empty where that is NULL.
    #[must_use]
    pub fn default_name(&self) -> String {
        match &self.identity {
            Some(identity) => identity.to_string(),
            None => self.default.clone().unwrap_or_default(),
        }
    }

    /// The column of a view.
    #[must_use]
    pub fn of_field(field: &Field) -> Self {
        let sql_type = SqlType::from_arrow(field.data_type());
        let said = sql_type.is_some_and(|t| t.arrow() == *field.data_type());
        Self {
            name: field.name().clone(),
            sql_type,
            arrow_type: (!said).then(|| field.data_type().clone()),
            identity: None,
            not_null: !field.is_nullable(),
            default: None,
        }
    }

    /// The same with a type that says more, such as a length.
    ///
    /// # Panics
    /// When its values are of another type.
    #[must_use]
    pub fn with_type(self, sql_type: SqlType) -> Self {
        assert_eq!(sql_type.arrow(), self.data_type(), "the values stay what they are");
        Self { sql_type: Some(sql_type), arrow_type: None, ..self }
    }

    /// The Arrow type of its values.
    ///
    /// # Panics
    /// Never for a column made by this module: one of the two types is there.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        self.arrow_type.clone().unwrap_or_else(|| self.sql_type.expect("a column has a type").arrow())
    }

    /// The Arrow field.
    #[must_use]
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.data_type(), !self.not_null)
    }

    /// The name of its type, for people.
    #[must_use]
    pub fn type_name(&self) -> String {
        self.sql_type.map_or_else(|| crate::types::type_name(&self.data_type()), |t| t.to_string())
    }
}

impl Relation {
    /// The Arrow schema.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(Column::field).collect::<Vec<_>>()))
    }

    /// The keys of a table, each with the name of its constraint.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &Key)> {
        self.constraints.iter().filter_map(|c| Some((c.name.as_str(), c.key()?)))
    }

    /// A constraint as it is written in `CREATE TABLE`.
    #[must_use]
    pub fn definition_of(&self, constraint: &Constraint) -> String {
        match &constraint.kind {
            ConstraintKind::Check(expression) => format!("CHECK ({expression})"),
            ConstraintKind::Key(Key { columns, primary, nulls_equal }) => {
                let kind = if *primary { "PRIMARY KEY" } else { "UNIQUE" };
                let nulls = if *nulls_equal { " NULLS NOT DISTINCT" } else { "" };
                let names = columns.iter().map(|i| self.columns[*i].name.as_str()).collect::<Vec<_>>();
                format!("{kind}{nulls} ({})", names.join(", "))
            }
        }
    }

    /// The relations that its query names; none for a table.
    #[must_use]
    pub fn depends_on(&self) -> BTreeSet<RelationId> {
        self.definition.as_ref().map(|d| d.depends_on.clone()).unwrap_or_default()
    }
}

impl Catalog {
    /// The relation of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Relation> {
        self.names.get(name).and_then(|id| self.relations.get(id))
    }

    /// The relation of this name.
    ///
    /// # Errors
    /// `42P01` when there is none.
    pub fn relation(&self, name: &str) -> Result<&Relation> {
        self.find(name).ok_or_else(|| SqlError::no_relation(name))
    }

    /// The table of this name, for a statement that writes it.
    ///
    /// # Errors
    /// `42P01` when there is no such relation, `42809` when it is something else.
    pub fn table(&self, name: &str) -> Result<&Relation> {
        let relation = self.relation(name)?;
        let cannot = |what: &str| Err(SqlError::new(code::WRONG_OBJECT_TYPE, format!("cannot change {what} \"{name}\"")));
        match relation.kind {
            RelationKind::Table => Ok(relation),
            RelationKind::View => cannot("view"),
            RelationKind::MaterializedView => cannot("materialized view"),
            RelationKind::System | RelationKind::Clock => cannot("system table"),
        }
    }

    /// The relation with this id.
    #[must_use]
    pub fn get(&self, id: RelationId) -> Option<&Relation> {
        self.relations.get(&id)
    }

    /// All relations, system tables too, in the order in which they were created.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    /// Adds a table.
    ///
    /// # Errors
    /// `42P07` when the name is taken, `42701` when a column is named twice; when its keys name other columns, or it has two primary ones.
    pub fn create_table(&mut self, create: &CreateTable) -> Result<RelationId> {
        let mut columns = create.columns.iter().map(Column::of_definition).collect::<Vec<_>>();
        let name = schema::split(&create.name).1;
        let constraints = constraint::resolve(name, &mut columns, &create.constraints)?;
        for (at, column) in (0..).zip(&mut columns) {
            if let Some(identity) = &mut column.identity {
                // The table that is another one later keeps it, so it is of this one alone.
                identity.of_column((self.next_id << IDENTITY_BITS) | at, name, &column.name);
            }
        }
        let id = self.add(&create.name, RelationKind::Table, columns, create.append_only, None)?;
        self.relations.get_mut(&id).expect("it has just been added").constraints = constraints;
        Ok(id)
    }

    /// Adds a view or a materialized view, with the columns of its bound query.
    ///
    /// # Errors
    /// As [`Catalog::create_table`].
    pub fn create_view(
        &mut self,
        name: &str,
        kind: RelationKind,
        columns: Vec<Column>,
        definition: ViewDefinition,
    ) -> Result<RelationId> {
        self.add(name, kind, columns, false, Some(definition))
    }

    /// Puts another query in the place of a view's, as `CREATE OR REPLACE VIEW` does.
    ///
    /// # Errors
    /// When it is not a view, or a column that it had is gone or has changed (`42P16`).
    pub fn replace_view(&mut self, name: &str, columns: Vec<Column>, definition: ViewDefinition) -> Result<RelationId> {
        let view = self.relation(name)?;
        if view.kind != RelationKind::View {
            return Err(SqlError::new(code::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a view")));
        }
        check_column_names(&columns)?;
        check_replacement(&view.columns, &columns)?;
        let id = view.id;
        let dependents = self.dependents(&BTreeSet::from([id]));
        if dependents.iter().any(|(r, _)| definition.depends_on.contains(&r.id)) || definition.depends_on.contains(&id) {
            let message = format!("infinite recursion detected in rules for relation \"{name}\"");
            return Err(SqlError::new(code::INVALID_OBJECT_DEFINITION, message));
        }
        if let Some((maintained, _)) = dependents.iter().find(|(r, _)| r.kind == RelationKind::MaterializedView) {
            let message = format!("cannot replace view {name} because materialized view {} depends on it", maintained.name);
            return Err(SqlError::new(code::DEPENDENT_OBJECTS_STILL_EXIST, message));
        }
        let view = self.relations.get_mut(&id).expect("the view was found by name");
        view.columns = columns;
        view.definition = Some(definition);
        Ok(id)
    }

    /// Puts another definition in the place of a materialized view's. It is another relation then: what it was gave other rows.
    ///
    /// # Errors
    /// When a materialized view depends on it (`2BP01`).
    pub fn replace_materialized_view(&mut self, id: RelationId, definition: ViewDefinition) -> Result<RelationId> {
        let mut dependents = self.dependents(&BTreeSet::from([id]));
        dependents.retain(|(relation, _)| relation.kind == RelationKind::MaterializedView);
        if let Some(error) = dependencies::maintained_in_the_way(self.get(id), &dependents) {
            return Err(error);
        }
        let view = self.remove(id).ok_or_else(|| SqlError::no_relation(format!("with id {id}")))?;
        let new = self.add(&view.name, view.kind, view.columns, view.append_only, Some(definition))?;
        self.relations.get_mut(&new).expect("it has just been added").indexes = view.indexes;
        for definition in self.relations.values_mut().filter_map(|relation| relation.definition.as_mut()) {
            if definition.depends_on.remove(&id) {
                definition.depends_on.insert(new);
            }
        }
        Ok(new)
    }

    /// Adds a system table, `<schema>.<name>`. Not stored: the engine adds its own each time it opens.
    ///
    /// # Panics
    /// When the first part of its name is no schema of system tables.
    pub fn define_system_table(&mut self, name: &str, schema: &Schema) -> RelationId {
        assert!(system_schema(name).is_some(), "a system table is in a schema of its own");
        let count = self.relations.range(RelationId(SYSTEM_IDS)..).count();
        let id = RelationId(SYSTEM_IDS + u64::try_from(count).expect("a count fits"));
        let name = name.to_owned();
        let columns = schema.fields().iter().map(|f| Column::of_field(f)).collect();
        self.names.insert(name.clone(), id);
        let relation = Relation {
            id,
            name,
            kind: RelationKind::System,
            columns,
            append_only: false,
            constraints: Vec::new(),
            indexes: Vec::new(),
            definition: None,
        };
        self.relations.insert(id, relation);
        id
    }

    /// The relation that tells views the time, once there is one that asked for it.
    #[must_use]
    pub fn clock(&self) -> Option<&Relation> {
        self.find(CLOCK)
    }

    /// The relation that tells views the time: one row with one column. Unlike other system tables it is stored.
    pub fn create_clock(&mut self) -> RelationId {
        let now = ColumnDefinition {
            name: "now".to_owned(),
            sql_type: SqlType::TimestampTz,
            not_null: true,
            default: None,
            identity: None,
        };
        self.insert(CLOCK, RelationKind::Clock, vec![Column::of_definition(&now)], false, None)
    }

    /// Takes relations out, as [`Catalog::plan_drop`] named them.
    pub fn remove(&mut self, id: RelationId) -> Option<Relation> {
        let relation = self.relations.remove(&id)?;
        self.names.remove(&relation.name);
        Some(relation)
    }

    fn add(
        &mut self,
        name: &str,
        kind: RelationKind,
        columns: Vec<Column>,
        append_only: bool,
        definition: Option<ViewDefinition>,
    ) -> Result<RelationId> {
        if let Some(schema) = system_schema(name) {
            return Err(SqlError::new(refrain_types::SqlState(*b"42501"), format!("permission denied for schema {schema}")));
        }
        self.check_schema_of(name)?;
        if self.is_taken(name) {
            return Err(already_exists(name));
        }
        check_column_names(&columns)?;
        Ok(self.insert(name, kind, columns, append_only, definition))
    }

    fn insert(
        &mut self,
        name: &str,
        kind: RelationKind,
        columns: Vec<Column>,
        append_only: bool,
        definition: Option<ViewDefinition>,
    ) -> RelationId {
        let id = RelationId(self.next_id);
        self.next_id += 1;
        self.names.insert(name.to_owned(), id);
        let (constraints, indexes) = (Vec::new(), Vec::new());
        let name = name.to_owned();
        self.relations.insert(id, Relation { id, name, kind, columns, append_only, constraints, indexes, definition });
        id
    }
}

fn already_exists(name: &str) -> SqlError {
    SqlError::new(code::DUPLICATE_TABLE, format!("relation \"{}\" already exists", schema::split(name).1))
}

fn check_column_names(columns: &[Column]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match columns.iter().find(|c| !seen.insert(&c.name)) {
        Some(twice) => Err(SqlError::new(code::DUPLICATE_COLUMN, format!("column \"{}\" specified more than once", twice.name))),
        None => Ok(()),
    }
}

fn check_replacement(before: &[Column], after: &[Column]) -> Result<()> {
    let invalid = |message: String| Err(SqlError::new(code::INVALID_TABLE_DEFINITION, message));
    if after.len() < before.len() {
        return invalid("cannot drop columns from view".to_owned());
    }
    for (before, after) in before.iter().zip(after) {
        if before.name != after.name {
            return invalid(format!("cannot change name of view column \"{}\" to \"{}\"", before.name, after.name));
        }
        if before.data_type() != after.data_type() {
            let (from, to) = (before.type_name(), after.type_name());
            return invalid(format!("cannot change data type of view column \"{}\" from {from} to {to}", before.name));
        }
    }
    Ok(())
}

impl fmt::Display for RelationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::System | Self::Clock => "system table",
        })
    }
}
