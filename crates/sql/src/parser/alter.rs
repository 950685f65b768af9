//! `ALTER TABLE` and `ALTER MATERIALIZED VIEW`.

use datafusion_sql::sqlparser::ast::{self, AlterColumnOperation, AlterTableOperation, DropBehavior, RenameTableNameKind};
use datafusion_sql::sqlparser::tokenizer::Token;

use super::table::{column_definition, table_constraint};
use super::{Parser, fold, plain_name, relation_name};
use crate::error::{Result, SqlError, code};
use crate::statement::{AlterTable, AlterView, Statement, TableAction};

impl Parser<'_> {
    pub(super) fn alter(&mut self) -> Result<Statement> {
        if super::mutually::is_word(&self.inner.peek_nth_token(1), "table") {
            self.alter_table()
        } else {
            self.alter_materialized_view()
        }
    }

    fn alter_table(&mut self) -> Result<Statement> {
        let statement = self.inner.parse_statement().map_err(|e| self.error(&e))?;
        let ast::Statement::AlterTable(alter) = statement else { return self.refuse() };
        if alter.location.is_some() || alter.on_cluster.is_some() || alter.table_type.is_some() {
            return Err(SqlError::unsupported("this form of ALTER TABLE is not supported"));
        }
        let name = relation_name(&alter.name)?;
        let actions = alter.operations.iter().map(|operation| table_actions(&name, operation));
        let actions = actions.collect::<Result<Vec<_>>>()?.concat();
        Ok(Statement::AlterTable(AlterTable { name, if_exists: alter.if_exists, actions }))
    }

    /// `ALTER MATERIALIZED VIEW [IF EXISTS] name { SET (recursion_limit = n) | RESET (recursion_limit) }`
    fn alter_materialized_view(&mut self) -> Result<Statement> {
        if !self.words(&["alter", "materialized", "view"]) {
            return self.refuse();
        }
        let if_exists = self.words(&["if", "exists"]);
        let name = self.relation()?;
        let sets = self.word("set");
        if !sets && !self.word("reset") {
            let action = self.inner.peek_token();
            return match action.token {
                Token::Word(_) => Err(SqlError::unsupported("this form of ALTER MATERIALIZED VIEW is not supported")
                    .with_hint("It sets or resets (recursion_limit).")),
                _ => Err(self.unexpected(&action)),
            };
        }
        self.expect(&Token::LParen)?;
        let parameter = super::fold(&self.identifier()?);
        if parameter != "recursion_limit" {
            return Err(SqlError::new(code::INVALID_PARAMETER_VALUE, format!("unrecognized parameter \"{parameter}\"")));
        }
        let recursion_limit = if sets {
            self.expect(&Token::Eq)?;
            let value = self.value()?;
            let limit = value.parse::<u32>().map_err(|_| out_of_range(&value))?;
            Some(limit).filter(|limit| *limit > 0)
        } else {
            None
        };
        self.expect(&Token::RParen)?;
        Ok(Statement::AlterMaterializedView(AlterView { name, if_exists, recursion_limit }))
    }
}

fn out_of_range(value: &str) -> SqlError {
    let message = format!("{value} is outside the valid range for parameter \"recursion_limit\" (0 .. {})", u32::MAX);
    SqlError::new(code::INVALID_PARAMETER_VALUE, message)
}

fn table_actions(table: &str, operation: &AlterTableOperation) -> Result<Vec<TableAction>> {
    let cascades = |behavior: &Option<DropBehavior>| matches!(behavior, Some(DropBehavior::Cascade));
    let action = match operation {
        AlterTableOperation::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
            let mut constraints = Vec::new();
            let column = column_definition(table, column_def, &mut constraints)?;
            TableAction::AddColumn { column, constraints, if_not_exists: *if_not_exists }
        }
        AlterTableOperation::DropColumn { column_names, if_exists, drop_behavior, .. } => {
            let cascade = cascades(drop_behavior);
            let drop = |name| TableAction::DropColumn { name: fold(name), if_exists: *if_exists, cascade };
            return Ok(column_names.iter().map(drop).collect());
        }
        AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
            TableAction::RenameColumn { from: fold(old_column_name), to: fold(new_column_name) }
        }
        AlterTableOperation::RenameTable { table_name: RenameTableNameKind::To(name) } => {
            TableAction::RenameTable(plain_name(name)?)
        }
        AlterTableOperation::AlterColumn { column_name, op } => {
            let column = fold(column_name);
            match op {
                AlterColumnOperation::SetDefault { value } => TableAction::SetDefault { column, default: Some(value.to_string()) },
                AlterColumnOperation::DropDefault => TableAction::SetDefault { column, default: None },
                AlterColumnOperation::SetNotNull => TableAction::SetNotNull { column, not_null: true },
                AlterColumnOperation::DropNotNull => TableAction::SetNotNull { column, not_null: false },
                _ => return Err(unsupported(operation)),
            }
        }
        AlterTableOperation::AddConstraint { constraint, not_valid: false } => {
            TableAction::AddConstraint(table_constraint(constraint)?)
        }
        AlterTableOperation::DropConstraint { if_exists, name, .. } => {
            TableAction::DropConstraint { name: fold(name), if_exists: *if_exists }
        }
        AlterTableOperation::RenameConstraint { old_name, new_name } => {
            TableAction::RenameConstraint { from: fold(old_name), to: fold(new_name) }
        }
        _ => return Err(unsupported(operation)),
    };
    Ok(vec![action])
}

fn unsupported(operation: &AlterTableOperation) -> SqlError {
    SqlError::unsupported(format!("ALTER TABLE … {operation} is not supported"))
}
