//! `CREATE TABLE` and `TRUNCATE`: sqlparser's statements, with everything refused that we would not keep to.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    self, ColumnOption, DataType, Expr, GeneratedAs, IndexColumn, NullsDistinctOption, TableConstraint,
};

use super::{Parser, fold, relation_name, settings};
use crate::catalog::{ColumnDefinition, Identity};
use crate::error::{Result, SqlError, code};
use crate::statement::{ConstraintDefinition, ConstraintRule, CreateTable, Statement};
use crate::types::SqlType;

impl Parser<'_> {
    pub(super) fn create_table(&mut self) -> Result<Statement> {
        let statement = self.inner.parse_statement().map_err(|e| self.error(&e))?;
        let ast::Statement::CreateTable(create) = statement else { return self.refuse() };
        if create.query.is_some() {
            return Err(SqlError::unsupported("CREATE TABLE AS is not supported")
                .with_hint("Create the table, then fill it with INSERT … SELECT."));
        }
        if create.or_replace
            || create.temporary
            || create.like.is_some()
            || create.inherits.is_some()
            || create.partition_by.is_some()
        {
            return Err(SqlError::unsupported("this form of CREATE TABLE is not supported"));
        }
        let name = relation_name(&create.name)?;
        let (mut columns, mut constraints) = (Vec::with_capacity(create.columns.len()), Vec::new());
        for column in &create.columns {
            columns.push(column_definition(&name, column, &mut constraints)?);
        }
        for constraint in &create.constraints {
            constraints.push(table_constraint(constraint)?);
        }
        Ok(Statement::CreateTable(CreateTable {
            name,
            if_not_exists: create.if_not_exists,
            columns,
            constraints,
            append_only: append_only(&create.table_options)?,
        }))
    }

    pub(super) fn truncate(&mut self) -> Result<Statement> {
        let statement = self.inner.parse_statement().map_err(|e| self.error(&e))?;
        let ast::Statement::Truncate(truncate) = statement else { return self.refuse() };
        if truncate.partitions.is_some()
            || truncate.if_exists
            || truncate.on_cluster.is_some()
            || truncate.identity.is_some()
            || matches!(truncate.cascade, Some(ast::CascadeOption::Cascade))
        {
            return Err(SqlError::unsupported("this form of TRUNCATE is not supported"));
        }
        let tables = truncate.table_names.iter().map(|table| relation_name(&table.name));
        Ok(Statement::Truncate(tables.collect::<Result<_>>()?))
    }
}

pub(super) fn column_definition(
    table: &str,
    column: &ast::ColumnDef,
    constraints: &mut Vec<ConstraintDefinition>,
) -> Result<ColumnDefinition> {
    let name = fold(&column.name);
    let serial = serial(&column.data_type);
    let sql_type = serial.map_or_else(|| SqlType::from_ast(&column.data_type), Ok)?;
    let identity = serial.map(|sql_type| Identity::new(false, &sql_type, &[])).transpose()?;
    let mut definition = ColumnDefinition { name, sql_type, not_null: serial.is_some(), default: None, identity };
    let mut nullable = false;
    for option in &column.options {
        let conflict = |what: &str| {
            let name = &definition.name;
            SqlError::syntax(format!("{what} for column \"{name}\" of table \"{table}\""))
        };
        let own = vec![definition.name.clone()];
        let rule = match &option.option {
            ColumnOption::Null => {
                nullable = true;
                None
            }
            ColumnOption::NotNull => {
                definition.not_null = true;
                None
            }
            ColumnOption::Default(_) if definition.default.is_some() || serial.is_some() => {
                return Err(conflict("multiple default values specified"));
            }
            ColumnOption::Generated { generated_as, sequence_options, generation_expr: None, .. }
                if *generated_as != GeneratedAs::ExpStored =>
            {
                if definition.identity.is_some() {
                    return Err(conflict("multiple identity specifications"));
                }
                let always = *generated_as == GeneratedAs::Always;
                let options = sequence_options.as_deref().unwrap_or_default();
                definition.identity = Some(Identity::new(always, &definition.sql_type, options)?);
                definition.not_null = true;
                None
            }
            ColumnOption::Default(expression) => {
                definition.default = Some(expression.to_string());
                None
            }
            ColumnOption::PrimaryKey(key) if key.characteristics.is_none() => {
                Some(ConstraintRule::Key { columns: own, primary: true, nulls_equal: false })
            }
            ColumnOption::Unique(unique) if unique.characteristics.is_none() => Some(ConstraintRule::Key {
                columns: own,
                primary: false,
                nulls_equal: unique.nulls_distinct == NullsDistinctOption::NotDistinct,
            }),
            ColumnOption::Check(check) if check.enforced.is_none() => Some(check_rule(&check.expr)),
            other => {
                let message = format!("column constraint {other} of column \"{}\" is not supported", definition.name);
                return Err(SqlError::unsupported(message));
            }
        };
        if nullable && definition.not_null {
            return Err(conflict("conflicting NULL/NOT NULL declarations"));
        }
        if definition.default.is_some() && definition.identity.is_some() {
            return Err(conflict("both default and identity specified"));
        }
        constraints.extend(rule.map(|rule| ConstraintDefinition { name: option.name.as_ref().map(fold), rule }));
    }
    Ok(definition)
}

/// The type of a column that is `serial`: one that numbers its rows unless they have numbers.
fn serial(data_type: &DataType) -> Option<SqlType> {
    let DataType::Custom(name, modifiers) = data_type else { return None };
    match name.to_string().to_lowercase().as_str() {
        _ if !modifiers.is_empty() => None,
        "smallserial" | "serial2" => Some(SqlType::SmallInt),
        "serial" | "serial4" => Some(SqlType::Integer),
        "bigserial" | "serial8" => Some(SqlType::BigInt),
        _ => None,
    }
}

pub(super) fn table_constraint(constraint: &TableConstraint) -> Result<ConstraintDefinition> {
    let unsupported = || SqlError::unsupported(format!("table constraint {constraint} is not supported"));
    let (name, rule) = match constraint {
        TableConstraint::PrimaryKey(key) if key.characteristics.is_none() => {
            let columns = key_columns(&key.columns).ok_or_else(unsupported)?;
            (&key.name, ConstraintRule::Key { columns, primary: true, nulls_equal: false })
        }
        TableConstraint::Unique(unique) if unique.characteristics.is_none() => {
            let columns = key_columns(&unique.columns).ok_or_else(unsupported)?;
            let nulls_equal = unique.nulls_distinct == NullsDistinctOption::NotDistinct;
            (&unique.name, ConstraintRule::Key { columns, primary: false, nulls_equal })
        }
        TableConstraint::Check(check) if check.enforced.is_none() => (&check.name, check_rule(&check.expr)),
        _ => return Err(unsupported()),
    };
    Ok(ConstraintDefinition { name: name.as_ref().map(fold), rule })
}

/// The names of a key's columns; `None` where something else stands in their place.
fn key_columns(columns: &[IndexColumn]) -> Option<Vec<String>> {
    let name = |column: &IndexColumn| match &column.column.expr {
        Expr::Identifier(name) if column.operator_class.is_none() => Some(fold(name)),
        _ => None,
    };
    columns.iter().map(name).collect()
}

fn check_rule(expression: &Expr) -> ConstraintRule {
    let mut columns = columns_of(expression);
    let column = columns.pop_first().filter(|_| columns.is_empty());
    ConstraintRule::Check { expression: expression.to_string(), column }
}

/// The columns that an expression names.
pub(crate) fn columns_of(expression: &Expr) -> BTreeSet<String> {
    let mut columns = BTreeSet::new();
    let _ = ast::visit_expressions(expression, |e| {
        match e {
            Expr::Identifier(name) => drop(columns.insert(fold(name))),
            Expr::CompoundIdentifier(parts) => columns.extend(parts.last().map(fold)),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    columns
}

fn append_only(options: &ast::CreateTableOptions) -> Result<bool> {
    let options = match options {
        ast::CreateTableOptions::None => return Ok(false),
        ast::CreateTableOptions::With(options) => options,
        _ => return Err(SqlError::unsupported("options of a table other than WITH (…) are not supported")),
    };
    let mut append_only = false;
    for option in options {
        match option {
            ast::SqlOption::KeyValue { key, value } if fold(key) == "append_only" => {
                append_only = settings::boolean("append_only", &value.to_string())?;
            }
            ast::SqlOption::Ident(key) if fold(key) == "append_only" => append_only = true,
            ast::SqlOption::KeyValue { key, .. } | ast::SqlOption::Ident(key) => {
                return Err(SqlError::new(code::INVALID_PARAMETER_VALUE, format!("unrecognized parameter \"{}\"", fold(key))));
            }
            other => return Err(SqlError::unsupported(format!("table option {other} is not supported"))),
        }
    }
    Ok(append_only)
}
