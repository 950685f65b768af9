//! Schemas: what the names of relations begin with. Relations outside of `public` are known as `schema.name`, and indexes are in the schema of
//! their relation.

use std::collections::BTreeSet;

use super::dependencies::{DropNotice, DropPlan, cascade_notice, in_the_way};
use super::{Catalog, Relation, SYSTEM_SCHEMAS};
use crate::error::{Result, SqlError, code};
use crate::statement::DropSchema;

/// The schema of names that say none.
pub const PUBLIC: &str = "public";

/// Schema and name of what is known by a name.
#[must_use]
pub fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or((PUBLIC, name))
}

/// The name by which something in the schema of a relation is known.
#[must_use]
pub fn beside(relation: &str, name: &str) -> String {
    match relation.split_once('.') {
        Some((schema, _)) => format!("{schema}.{name}"),
        None => name.to_owned(),
    }
}

/// A name as it is written in a query, whatever is in it.
#[must_use]
pub fn written(name: &str) -> String {
    let parts = name.split('.').map(crate::parser::quoted).collect::<Vec<_>>();
    parts.join(".")
}

impl Relation {
    /// Its name without its schema.
    #[must_use]
    pub fn own_name(&self) -> &str {
        split(&self.name).1
    }
}

impl Catalog {
    /// The schemas that were created, by name.
    pub fn schemas(&self) -> impl Iterator<Item = &str> {
        self.schemas.iter().map(String::as_str)
    }

    /// Whether there is a schema of this name.
    #[must_use]
    pub fn has_schema(&self, name: &str) -> bool {
        name == PUBLIC || SYSTEM_SCHEMAS.contains(&name) || self.schemas.contains(name)
    }

    /// Adds a schema.
    ///
    /// # Errors
    /// `42P06` when there is one of this name, `42939` for names that PostgreSQL keeps.
    pub fn create_schema(&mut self, name: &str) -> Result<()> {
        if self.has_schema(name) {
            return Err(SqlError::new(code::DUPLICATE_SCHEMA, format!("schema \"{name}\" already exists")));
        }
        if name.starts_with("pg_") {
            return Err(SqlError::new(code::RESERVED_NAME, format!("unacceptable schema name \"{name}\""))
                .with_detail("The prefix \"pg_\" is reserved for system schemas."));
        }
        self.schemas.insert(name.to_owned());
        Ok(())
    }

    /// Decides what a `DROP SCHEMA` takes out: schemas, and the relations in them and those that depend on these. Changes nothing.
    ///
    /// # Errors
    /// `3F000` when one does not exist, `2BP01` when something is in it and CASCADE is not said, or it is one of the system's.
    pub fn plan_drop_schemas(&self, drop: &DropSchema) -> Result<(Vec<String>, DropPlan)> {
        let (mut named, mut notices) = (Vec::new(), Vec::new());
        for name in &drop.names {
            if SYSTEM_SCHEMAS.contains(&name.as_str()) || name == PUBLIC {
                let message = format!("cannot drop schema {name} because it is required by the database system");
                return Err(SqlError::new(code::DEPENDENT_OBJECTS_STILL_EXIST, message));
            }
            if self.schemas.contains(name) {
                named.push(name.clone());
            } else if drop.if_exists {
                notices.push(DropNotice { message: format!("schema \"{name}\" does not exist, skipping"), detail: None });
            } else {
                return Err(no_schema(name));
            }
        }
        let inside =
            self.relations().filter(|relation| named.iter().any(|schema| schema == split(&relation.name).0)).collect::<Vec<_>>();
        let ids = inside.iter().map(|relation| relation.id).collect::<BTreeSet<_>>();
        let outside = self.dependents(&ids);
        if !(inside.is_empty() || drop.cascade) {
            let in_schema = inside.iter().map(|relation| (*relation, format!("schema {}", split(&relation.name).0)));
            return Err(in_the_way(&named.iter().map(|name| format!("schema {name}")).collect::<Vec<_>>(), in_schema, &outside));
        }
        let gone = inside.into_iter().chain(outside.iter().map(|(view, _)| *view)).collect::<Vec<_>>();
        notices.extend(cascade_notice(&gone));
        let relations = self.dependents_first(gone.iter().map(|relation| relation.id).collect());
        Ok((named, DropPlan { relations, notices }))
    }

    /// Takes schemas out, in which nothing is left.
    pub fn remove_schemas(&mut self, names: &[String]) {
        self.schemas.retain(|schema| !names.contains(schema));
    }

    /// An error when a name begins with a schema that is not there.
    pub(super) fn check_schema_of(&self, name: &str) -> Result<()> {
        let (schema, _) = split(name);
        if self.has_schema(schema) { Ok(()) } else { Err(no_schema(schema)) }
    }
}

pub(super) fn no_schema(name: &str) -> SqlError {
    SqlError::new(code::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
}
