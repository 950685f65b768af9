//! `INSERT`, `DELETE`, `UPDATE`: sqlparser's statements, with everything refused that we would not carry out.

use datafusion_sql::sqlparser::ast::{
    self, AssignmentTarget, FromTable, OnConflictAction, OnInsert, TableFactor, TableObject, TableWithJoins,
};

use super::{Parser, fold, plain_name, relation_name};
use crate::error::{Result, SqlError, code};
use crate::statement::{ConflictTarget, ConflictUpdate, Delete, Insert, OnConflict, Statement, Update};

impl Parser<'_> {
    pub(super) fn insert(&mut self) -> Result<Statement> {
        let ast::Statement::Insert(insert) = self.inner.parse_statement().map_err(|e| self.error(&e))? else {
            return self.refuse();
        };
        refuse_if(insert.overwrite || insert.replace_into || insert.or.is_some(), "this form of INSERT")?;
        let TableObject::TableName(table) = &insert.table else {
            return Err(SqlError::unsupported("INSERT into a function is not supported"));
        };
        let columns = insert.columns.iter().map(column_name).collect::<Result<Vec<_>>>()?;
        let source = match insert.source {
            Some(source) => source,
            None => super::parse_query("VALUES (DEFAULT)")?,
        };
        Ok(Statement::Insert(Insert {
            table: relation_name(table)?,
            alias: insert.table_alias.map(|alias| alias.alias),
            columns,
            source,
            on_conflict: insert.on.map(on_conflict).transpose()?,
            returning: insert.returning.unwrap_or_default(),
        }))
    }

    pub(super) fn delete(&mut self) -> Result<Statement> {
        let ast::Statement::Delete(delete) = self.inner.parse_statement().map_err(|e| self.error(&e))? else {
            return self.refuse();
        };
        refuse_if(!delete.tables.is_empty() || delete.limit.is_some() || !delete.order_by.is_empty(), "this form of DELETE")?;
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [target] = from.as_slice() else { return Err(SqlError::unsupported("DELETE from several tables is not supported")) };
        let (table, alias) = target_table(target, "DELETE")?;
        let (using, returning) = (delete.using.unwrap_or_default(), delete.returning.unwrap_or_default());
        refuse_returning_all(&using, &returning)?;
        Ok(Statement::Delete(Delete { table, alias, using, selection: delete.selection, returning }))
    }

    pub(super) fn update(&mut self) -> Result<Statement> {
        let ast::Statement::Update(update) = self.inner.parse_statement().map_err(|e| self.error(&e))? else {
            return self.refuse();
        };
        let from = match update.from {
            None => Vec::new(),
            Some(ast::UpdateTableFromKind::AfterSet(from)) => from,
            Some(ast::UpdateTableFromKind::BeforeSet(_)) => return Err(SqlError::unsupported("FROM before SET is not supported")),
        };
        refuse_if(update.or.is_some() || update.limit.is_some() || !update.order_by.is_empty(), "this form of UPDATE")?;
        let (table, alias) = target_table(&update.table, "UPDATE")?;
        let returning = update.returning.unwrap_or_default();
        refuse_returning_all(&from, &returning)?;
        Ok(Statement::Update(Update {
            table,
            alias,
            assignments: assigned(update.assignments)?,
            from,
            selection: update.selection,
            returning,
        }))
    }
}

/// `*` would have the columns of all of them.
fn refuse_returning_all(others: &[TableWithJoins], returning: &[ast::SelectItem]) -> Result<()> {
    let all = returning.iter().any(|item| matches!(item, ast::SelectItem::Wildcard(_)));
    let refused =
        SqlError::unsupported("RETURNING * of several tables is not supported").with_hint("Name the table: RETURNING t.*.");
    if all && !others.is_empty() { Err(refused) } else { Ok(()) }
}

/// `SET column = value, …`
fn assigned(assignments: Vec<ast::Assignment>) -> Result<Vec<(String, ast::Expr)>> {
    let mut assigned: Vec<(String, ast::Expr)> = Vec::with_capacity(assignments.len());
    for assignment in assignments {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(SqlError::unsupported("SET (column, …) = … is not supported"));
        };
        let name = column_name(name)?;
        if assigned.iter().any(|(n, _)| *n == name) {
            return Err(SqlError::new(code::SYNTAX_ERROR, format!("multiple assignments to same column \"{name}\"")));
        }
        assigned.push((name, assignment.value));
    }
    Ok(assigned)
}

fn on_conflict(on: OnInsert) -> Result<OnConflict> {
    let OnInsert::OnConflict(on) = on else {
        return Err(SqlError::unsupported("INSERT … ON DUPLICATE KEY UPDATE is not supported").with_hint("Use ON CONFLICT."));
    };
    let target = match on.conflict_target {
        None => None,
        Some(ast::ConflictTarget::Columns(columns)) => Some(ConflictTarget::Columns(columns.iter().map(fold).collect())),
        Some(ast::ConflictTarget::OnConstraint(name)) => Some(ConflictTarget::Constraint(plain_name(&name)?)),
    };
    let update = match on.action {
        OnConflictAction::DoNothing => None,
        OnConflictAction::DoUpdate(update) => {
            Some(ConflictUpdate { assignments: assigned(update.assignments)?, selection: update.selection })
        }
    };
    if update.is_some() && target.is_none() {
        return Err(SqlError::syntax("ON CONFLICT DO UPDATE requires inference specification or constraint name")
            .with_hint("For example, ON CONFLICT (column_name)."));
    }
    Ok(OnConflict { target, update })
}

fn refuse_if(there: bool, what: &str) -> Result<()> {
    if there { Err(SqlError::unsupported(format!("{what} is not supported"))) } else { Ok(()) }
}

fn column_name(name: &ast::ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(ident)] => Ok(fold(ident)),
        _ => Err(SqlError::unsupported(format!("assignment to {name} is not supported"))),
    }
}

fn target_table(target: &TableWithJoins, statement: &str) -> Result<(String, Option<ast::Ident>)> {
    match &target.relation {
        TableFactor::Table { name, alias, args: None, .. } if target.joins.is_empty() => {
            Ok((relation_name(name)?, alias.as_ref().map(|a| a.name.clone())))
        }
        other => Err(SqlError::unsupported(format!("{statement} of {other} is not supported"))),
    }
}
