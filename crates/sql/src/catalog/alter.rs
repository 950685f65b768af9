//! `ALTER TABLE`: what becomes of a table's definition. A table whose columns or name change is another relation: nothing has to be
//! said about who has seen half of either.

use std::collections::BTreeSet;

use datafusion_sql::sqlparser::ast;
use refrain_types::RelationId;

use super::constraint::{self, Constraint, ConstraintKind};
use super::schema::{beside, split};
use super::{Catalog, Column, Relation, RelationKind, already_exists};
use crate::error::{Result, SqlError, code};
use crate::parser;
use crate::statement::{AlterTable, TableAction};

/// What `ALTER TABLE` has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredTable {
    /// The table so far.
    pub before: RelationId,
    /// The table from now on: another one, unless only defaults and constraints are others.
    pub after: RelationId,
    /// For each of its columns, which one it was; `None` for one that is added.
    pub columns: Vec<Option<usize>>,
    /// What was skipped, in PostgreSQL's words.
    pub notices: Vec<String>,
}

/// A table on the way from one definition to the other.
struct Altering {
    table: Relation,
    columns: Vec<Option<usize>>,
    notices: Vec<String>,
}

impl Catalog {
    /// Alters a table.
    ///
    /// # Errors
    /// As PostgreSQL's, and where a view depends on the table whose columns or name would change (`2BP01`, `0A000`).
    pub fn alter_table(&mut self, alter: &AlterTable) -> Result<AlteredTable> {
        let table = self.relation(&alter.name)?.clone();
        if table.kind != RelationKind::Table {
            let message = format!("ALTER action {} cannot be performed on relation \"{}\"", name_of(&alter.actions), alter.name);
            return Err(SqlError::new(code::WRONG_OBJECT_TYPE, message));
        }
        let before = table.clone();
        let columns = (0..table.columns.len()).map(Some).collect();
        let mut altering = Altering { table, columns, notices: Vec::new() };
        for action in &alter.actions {
            if changes_rows(action) {
                self.check_no_view_depends_on(&before, action)?;
            }
            if let TableAction::RenameTable(name) = action
                && self.is_taken(&beside(&alter.name, name))
            {
                return Err(already_exists(name));
            }
            altering.act(action)?;
        }
        let Altering { table, columns, notices } = altering;
        if table.columns.is_empty() {
            return Err(SqlError::unsupported("a table without columns is not supported"));
        }
        let shape = |table: &Relation| (table.name.clone(), table.columns.iter().map(Column::field).collect::<Vec<_>>());
        // A statement that has looked at its rows already would not see a new check, and has to find that the table is another one.
        let is_same = shape(&table) == shape(&before)
            && columns.iter().copied().eq((0..columns.len()).map(Some))
            && !alter.actions.iter().any(|action| matches!(action, TableAction::AddConstraint(c) if !c.is_key()));
        let after = if is_same {
            self.relations.insert(before.id, table);
            before.id
        } else {
            self.remove(before.id);
            let id = self.add(&table.name, RelationKind::Table, table.columns, table.append_only, None)?;
            let added = self.relations.get_mut(&id).expect("it has just been added");
            (added.constraints, added.indexes) = (table.constraints, table.indexes);
            id
        };
        Ok(AlteredTable { before: before.id, after, columns, notices })
    }

    fn check_no_view_depends_on(&self, table: &Relation, action: &TableAction) -> Result<()> {
        let dependents = self.dependents(&BTreeSet::from([table.id]));
        let Some((view, _)) = dependents.first() else { return Ok(()) };
        let (table, what) = (&table.name, format!("{} {}", view.kind, view.name));
        Err(match action {
            TableAction::DropColumn { name, .. } => {
                let message = format!("cannot drop column {name} of table {table} because other objects depend on it");
                let error = SqlError::new(code::DEPENDENT_OBJECTS_STILL_EXIST, message);
                error.with_detail(format!("{what} depends on table {table}"))
            }
            _ => SqlError::unsupported(format!("cannot alter table \"{table}\" because {what} depends on it"))
                .with_hint("Drop the view, alter the table, and create the view again."),
        })
    }
}

/// Whether rows, their types or the name of the table may change.
fn changes_rows(action: &TableAction) -> bool {
    match action {
        TableAction::AddColumn { .. }
        | TableAction::DropColumn { .. }
        | TableAction::RenameColumn { .. }
        | TableAction::RenameTable(_)
        | TableAction::SetNotNull { .. } => true,
        TableAction::AddConstraint(constraint) => constraint.is_primary_key() || !constraint.is_key(),
        TableAction::SetDefault { .. } | TableAction::DropConstraint { .. } | TableAction::RenameConstraint { .. } => false,
    }
}

fn name_of(actions: &[TableAction]) -> &'static str {
    match actions.first() {
        Some(TableAction::AddColumn { .. }) => "ADD COLUMN",
        Some(TableAction::DropColumn { .. }) => "DROP COLUMN",
        Some(TableAction::RenameColumn { .. }) => "RENAME COLUMN",
        Some(TableAction::RenameTable(_)) | None => "RENAME",
        Some(TableAction::SetDefault { .. }) => "ALTER COLUMN ... SET DEFAULT",
        Some(TableAction::SetNotNull { not_null: true, .. }) => "ALTER COLUMN ... SET NOT NULL",
        Some(TableAction::SetNotNull { .. }) => "ALTER COLUMN ... DROP NOT NULL",
        Some(TableAction::AddConstraint(_)) => "ADD CONSTRAINT",
        Some(TableAction::DropConstraint { .. }) => "DROP CONSTRAINT",
        Some(TableAction::RenameConstraint { .. }) => "RENAME CONSTRAINT",
    }
}

impl Altering {
    fn refuse_identity(&self, at: usize) -> Result<()> {
        let (table, column) = (self.table.own_name(), &self.table.columns[at]);
        if column.identity.is_none() {
            return Ok(());
        }
        Err(SqlError::syntax(format!("column \"{}\" of relation \"{table}\" is an identity column", column.name)))
    }

    fn act(&mut self, action: &TableAction) -> Result<()> {
        match action {
            TableAction::AddColumn { column, constraints, if_not_exists } => {
                if self.position(&column.name).is_some() {
                    let message = format!("column \"{}\" of relation \"{}\" already exists", column.name, self.table.own_name());
                    return self.skip_if(*if_not_exists, code::DUPLICATE_COLUMN, message);
                }
                if column.identity.is_some() {
                    return Err(SqlError::unsupported("adding an identity column is not supported")
                        .with_hint("Create another table with it, then INSERT … SELECT."));
                }
                self.table.columns.push(Column::of_definition(column));
                self.columns.push(None);
                self.add_constraints(constraints)
            }
            TableAction::DropColumn { name, if_exists, .. } => match self.position(name) {
                Some(at) => self.drop_column(at),
                None => self.skip_if(*if_exists, code::UNDEFINED_COLUMN, self.no_column(name)),
            },
            TableAction::RenameColumn { from, to } => self.rename_column(from, to),
            TableAction::RenameTable(name) => {
                self.table.name = beside(&self.table.name, name);
                Ok(())
            }
            TableAction::SetDefault { column, default } => {
                let at = self.column(column)?;
                self.refuse_identity(at)?;
                self.table.columns[at].default.clone_from(default);
                Ok(())
            }
            TableAction::SetNotNull { column, not_null } => {
                let at = self.column(column)?;
                if !not_null {
                    self.refuse_identity(at)?;
                }
                let is_in_primary_key = self.table.keys().any(|(_, key)| key.primary && key.columns.contains(&at));
                if !not_null && is_in_primary_key {
                    return Err(SqlError::new(code::INVALID_TABLE_DEFINITION, format!("column \"{column}\" is in a primary key")));
                }
                self.table.columns[at].not_null = *not_null;
                Ok(())
            }
            TableAction::AddConstraint(definition) => self.add_constraints(std::slice::from_ref(definition)),
            TableAction::DropConstraint { name, if_exists } => match self.constraint(name) {
                Some(at) => {
                    self.table.constraints.remove(at);
                    Ok(())
                }
                None => {
                    let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", self.table.own_name());
                    self.skip_if(*if_exists, code::UNDEFINED_OBJECT, message)
                }
            },
            TableAction::RenameConstraint { from, to } => {
                let table = self.table.own_name();
                let Some(at) = self.constraint(from) else {
                    let message = format!("constraint \"{from}\" for table \"{table}\" does not exist");
                    return Err(SqlError::new(code::UNDEFINED_OBJECT, message));
                };
                if self.constraint(to).is_some() {
                    let message = format!("constraint \"{to}\" for relation \"{table}\" already exists");
                    return Err(SqlError::new(code::DUPLICATE_OBJECT, message));
                }
                self.table.constraints[at].name.clone_from(to);
                Ok(())
            }
        }
    }

    fn position(&self, column: &str) -> Option<usize> {
        self.table.columns.iter().position(|c| c.name == column)
    }

    fn constraint(&self, name: &str) -> Option<usize> {
        self.table.constraints.iter().position(|c| c.name == name)
    }

    fn no_column(&self, name: &str) -> String {
        format!("column \"{name}\" of relation \"{}\" does not exist", self.table.own_name())
    }

    fn column(&self, name: &str) -> Result<usize> {
        self.position(name).ok_or_else(|| SqlError::new(code::UNDEFINED_COLUMN, self.no_column(name)))
    }

    fn skip_if(&mut self, skips: bool, code: refrain_types::SqlState, message: String) -> Result<()> {
        if !skips {
            return Err(SqlError::new(code, message));
        }
        self.notices.push(format!("{message}, skipping"));
        Ok(())
    }

    fn add_constraints(&mut self, definitions: &[crate::statement::ConstraintDefinition]) -> Result<()> {
        let table = &mut self.table;
        let before = std::mem::take(&mut table.constraints);
        table.constraints = constraint::add(split(&table.name).1, &mut table.columns, before, definitions)?;
        Ok(())
    }

    /// A column goes with the constraints that name it.
    fn drop_column(&mut self, at: usize) -> Result<()> {
        let name = self.table.columns.remove(at).name;
        self.columns.remove(at);
        let mut kept = Vec::new();
        for mut constraint in std::mem::take(&mut self.table.constraints) {
            let names_it = match &mut constraint.kind {
                ConstraintKind::Key(key) => {
                    let names_it = key.columns.contains(&at);
                    key.columns.iter_mut().filter(|column| **column > at).for_each(|column| *column -= 1);
                    names_it
                }
                ConstraintKind::Check(text) => parser::table::columns_of(&parser::parse_expression(text)?).contains(&name),
            };
            kept.extend((!names_it).then_some(constraint));
        }
        self.table.constraints = kept;
        self.table.drop_indexes_of(at);
        Ok(())
    }

    fn rename_column(&mut self, from: &str, to: &str) -> Result<()> {
        let Some(at) = self.position(from) else {
            return Err(SqlError::new(code::UNDEFINED_COLUMN, format!("column \"{from}\" does not exist")));
        };
        if self.position(to).is_some() {
            let message = format!("column \"{to}\" of relation \"{}\" already exists", self.table.own_name());
            return Err(SqlError::new(code::DUPLICATE_COLUMN, message));
        }
        to.clone_into(&mut self.table.columns[at].name);
        for Constraint { kind, .. } in &mut self.table.constraints {
            if let ConstraintKind::Check(text) = kind {
                *text = renamed(text, from, to)?;
            }
        }
        Ok(())
    }
}

/// An expression in which a column has another name.
fn renamed(text: &str, from: &str, to: &str) -> Result<String> {
    let mut expression = parser::parse_expression(text)?;
    let rename = |name: &mut ast::Ident| {
        if parser::fold(name) == from {
            *name = ast::Ident::with_quote('"', to);
        }
    };
    let _ = ast::visit_expressions_mut(&mut expression, |e| {
        match e {
            ast::Expr::Identifier(name) => rename(name),
            ast::Expr::CompoundIdentifier(parts) => parts.last_mut().map_or((), rename),
            _ => {}
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    Ok(expression.to_string())
}
