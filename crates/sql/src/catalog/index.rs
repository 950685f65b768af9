//! Indexes: columns by whose values rows of a table or a materialized view are found. Their names are beside those of relations.

use serde::{Deserialize, Serialize};

use super::schema::{beside, split};
use super::{Catalog, Key, Relation, RelationKind, already_exists};
use crate::error::{Result, SqlError, code};
use crate::statement::{CreateIndex, DropIndex};

/// An index of a table or a materialized view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name, unique among indexes and relations.
    pub name: String,
    /// Positions of the columns, in the order in which they were named.
    pub columns: Vec<usize>,
}

impl Relation {
    /// The columns by whose values rows can be found: those of indexes and keys.
    pub fn found_by(&self) -> impl Iterator<Item = &[usize]> {
        let keys = self.keys().map(|(_, key)| key.columns.as_slice());
        keys.chain(self.indexes.iter().map(|index| index.columns.as_slice()))
    }

    /// An index as it is created.
    #[must_use]
    pub fn definition_of_index(&self, index: &Index) -> String {
        let names = index.columns.iter().map(|i| self.columns[*i].name.as_str()).collect::<Vec<_>>();
        format!("CREATE INDEX {} ON {} ({})", split(&index.name).1, self.name, names.join(", "))
    }

    /// A column goes, with the indexes that name it.
    pub(super) fn drop_indexes_of(&mut self, column: usize) {
        self.indexes.retain(|index| !index.columns.contains(&column));
        let later = self.indexes.iter_mut().flat_map(|index| &mut index.columns).filter(|at| **at > column);
        later.for_each(|at| *at -= 1);
    }
}

impl Catalog {
    /// Whether a relation or an index has this name.
    #[must_use]
    pub fn is_taken(&self, name: &str) -> bool {
        self.find(name).is_some() || self.with_index(name).is_some()
    }

    /// Adds an index.
    ///
    /// # Errors
    /// `42P01` when there is no such relation, `42809` when it has no rows of its own, `42703` when it has no such column, `42P07` when the
    /// name is taken.
    pub fn create_index(&mut self, create: &CreateIndex) -> Result<()> {
        let relation = self.relation(&create.relation)?;
        check_kind(relation)?;
        let position = |name: &String| {
            let missing = || SqlError::new(code::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"));
            relation.columns.iter().position(|column| column.name == *name).ok_or_else(missing)
        };
        let columns = create.columns.iter().map(position).collect::<Result<Vec<_>>>()?;
        let name = match create.name.as_ref().map(|name| beside(&create.relation, name)) {
            Some(name) if self.is_taken(&name) || self.with_key(&name).is_some() => {
                return Err(already_exists(&name));
            }
            Some(name) => name,
            None => {
                let stem = beside(&create.relation, &format!("{}_{}_idx", relation.own_name(), create.columns.join("_")));
                let numbered = (1..).map(|n| format!("{stem}{n}"));
                let free = std::iter::once(stem.clone()).chain(numbered).find(|name| !self.is_taken(name));
                free.expect("there are more numbers than names")
            }
        };
        let id = relation.id;
        self.relations.get_mut(&id).expect("it was found by its name").indexes.push(Index { name, columns });
        Ok(())
    }

    /// Takes indexes out. Returns what was skipped, in PostgreSQL's words.
    ///
    /// # Errors
    /// `42704` when there is none of such a name, `42809` when that is a relation, `2BP01` when it is that of a key.
    pub fn drop_indexes(&mut self, drop: &DropIndex) -> Result<Vec<String>> {
        let mut skipped = Vec::new();
        for name in &drop.names {
            let Some(id) = self.with_index(name).map(|relation| relation.id) else {
                skipped.push(self.no_index(name, drop.if_exists)?);
                continue;
            };
            let indexes = &mut self.relations.get_mut(&id).expect("it has just been found").indexes;
            indexes.retain(|index| index.name != *name);
        }
        Ok(skipped)
    }

    fn no_index(&self, name: &str, skips: bool) -> Result<String> {
        if let Some(relation) = self.find(name) {
            let kind = relation.kind.to_string();
            return Err(SqlError::new(code::WRONG_OBJECT_TYPE, format!("\"{name}\" is not an index"))
                .with_hint(format!("Use DROP {} to remove a {kind}.", kind.to_uppercase())));
        }
        if let Some(table) = self.with_key(name).map(|(table, _)| &table.name) {
            let name = split(name).1;
            let message = format!("cannot drop index {name} because constraint {name} on table {table} requires it");
            return Err(SqlError::new(code::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_hint(format!("You can drop constraint {name} on table {table} instead.")));
        }
        let missing = self
            .check_schema_of(name)
            .err()
            .unwrap_or_else(|| SqlError::new(code::UNDEFINED_OBJECT, format!("index \"{}\" does not exist", split(name).1)));
        if skips { Ok(format!("{}, skipping", missing.message)) } else { Err(missing) }
    }

    /// The relation that has an index of this name.
    pub(super) fn with_index(&self, name: &str) -> Option<&Relation> {
        self.relations().find(|relation| relation.indexes.iter().any(|index| index.name == name))
    }

    fn with_key(&self, name: &str) -> Option<(&Relation, &Key)> {
        self.relations()
            .find_map(|relation| Some((relation, relation.keys().find(|(key, _)| beside(&relation.name, key) == name)?.1)))
    }
}

fn check_kind(relation: &Relation) -> Result<()> {
    let name = &relation.name;
    match relation.kind {
        RelationKind::Table | RelationKind::MaterializedView => Ok(()),
        RelationKind::View => Err(SqlError::new(code::WRONG_OBJECT_TYPE, format!("cannot create index on relation \"{name}\""))
            .with_detail("This operation is not supported for views.")),
        RelationKind::System | RelationKind::Clock => {
            Err(SqlError::new(refrain_types::SqlState(*b"42501"), format!("permission denied: \"{name}\" is a system catalog")))
        }
    }
}
