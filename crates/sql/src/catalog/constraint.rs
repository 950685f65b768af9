//! What must hold for the rows of a table, besides types and NOT NULL: keys and checks. And the names that PostgreSQL gives them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Column;
use crate::error::{Result, SqlError, code};
use crate::statement::{ConstraintDefinition, ConstraintRule};

/// A constraint of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// Its name, unique in the table.
    pub name: String,
    /// What must hold.
    pub kind: ConstraintKind,
}

/// What a constraint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    /// `PRIMARY KEY`, `UNIQUE`: no two rows are equal in these columns.
    Key(Key),
    /// `CHECK`: the expression, as text, is not false.
    Check(String),
}

/// Columns in which no two rows are equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Positions of the columns, in the order in which they were named.
    pub columns: Vec<usize>,
    /// Whether it is the primary key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub primary: bool,
    /// `NULLS NOT DISTINCT`: a NULL is equal to a NULL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nulls_equal: bool,
}

impl Constraint {
    /// The key, where it is one.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        match &self.kind {
            ConstraintKind::Key(key) => Some(key),
            ConstraintKind::Check(_) => None,
        }
    }

    /// The expression, where it is a check.
    #[must_use]
    pub fn check(&self) -> Option<&str> {
        match &self.kind {
            ConstraintKind::Check(expression) => Some(expression),
            ConstraintKind::Key(_) => None,
        }
    }
}

/// The constraints of a table, with names: the primary key first, then as they were written. Columns of the primary key become NOT NULL.
pub(super) fn resolve(table: &str, columns: &mut [Column], definitions: &[ConstraintDefinition]) -> Result<Vec<Constraint>> {
    add(table, columns, Vec::new(), definitions)
}

/// Likewise, beside those that the table has already.
pub(super) fn add(
    table: &str,
    columns: &mut [Column],
    mut constraints: Vec<Constraint>,
    definitions: &[ConstraintDefinition],
) -> Result<Vec<Constraint>> {
    let mut names = constraints.iter().map(|c| c.name.clone()).collect::<BTreeSet<_>>();
    for definition in definitions {
        if let Some(name) = &definition.name
            && !names.insert(name.clone())
        {
            let is_check = matches!(definition.rule, ConstraintRule::Check { .. });
            return Err(if is_check && constraints.is_empty() {
                SqlError::new(code::DUPLICATE_OBJECT, format!("check constraint \"{name}\" already exists"))
            } else if is_check {
                let message = format!("constraint \"{name}\" for relation \"{table}\" already exists");
                SqlError::new(code::DUPLICATE_OBJECT, message)
            } else {
                SqlError::new(code::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"))
            });
        }
    }
    for definition in definitions {
        let (kind, stem) = match &definition.rule {
            ConstraintRule::Key { columns: named, primary, nulls_equal } => {
                let what = if *primary { "primary key" } else { "unique" };
                let key = Key { columns: positions(columns, named, what)?, primary: *primary, nulls_equal: *nulls_equal };
                let stem = if *primary { format!("{table}_pkey") } else { format!("{table}_{}_key", named.join("_")) };
                (ConstraintKind::Key(key), stem)
            }
            ConstraintRule::Check { expression, column } => {
                let stem = column.as_ref().map_or_else(|| format!("{table}_check"), |column| format!("{table}_{column}_check"));
                (ConstraintKind::Check(expression.clone()), stem)
            }
        };
        let name = definition.name.clone().unwrap_or_else(|| {
            let numbered = (1..).map(|n| format!("{stem}{n}"));
            let free = std::iter::once(stem.clone()).chain(numbered).find(|name| !names.contains(name));
            free.expect("there are more numbers than names")
        });
        names.insert(name.clone());
        constraints.push(Constraint { name, kind });
    }
    let is_primary = |c: &Constraint| c.key().is_some_and(|key| key.primary);
    if constraints.iter().filter(|c| is_primary(c)).count() > 1 {
        let message = format!("multiple primary keys for table \"{table}\" are not allowed");
        return Err(SqlError::new(code::INVALID_TABLE_DEFINITION, message));
    }
    constraints.sort_by_key(|c| !is_primary(c));
    for column in constraints.iter().filter(|c| is_primary(c)).filter_map(Constraint::key).flat_map(|key| &key.columns) {
        columns[*column].not_null = true;
    }
    Ok(constraints)
}

fn positions(columns: &[Column], names: &[String], what: &str) -> Result<Vec<usize>> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let at = columns
            .iter()
            .position(|c| c.name == *name)
            .ok_or_else(|| SqlError::new(code::UNDEFINED_COLUMN, format!("column \"{name}\" named in key does not exist")))?;
        if found.contains(&at) {
            let message = format!("column \"{name}\" appears twice in {what} constraint");
            return Err(SqlError::new(code::DUPLICATE_COLUMN, message));
        }
        found.push(at);
    }
    Ok(found)
}
