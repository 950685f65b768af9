//! `CREATE INDEX` and `DROP INDEX`.

use super::{Parser, fold, plain_name, relation_name};
use crate::error::{Result, SqlError, code};
use crate::statement::{CreateIndex, DropIndex, Statement};
use datafusion_sql::sqlparser::ast::{self, IndexType};

impl Parser<'_> {
    pub(super) fn create_index(&mut self) -> Result<Statement> {
        let statement = self.inner.parse_statement().map_err(|e| self.error(&e))?;
        let ast::Statement::CreateIndex(create) = statement else { return self.refuse() };
        if create.unique {
            return Err(SqlError::unsupported("CREATE UNIQUE INDEX is not supported")
                .with_hint("Add a constraint to the table: ALTER TABLE … ADD UNIQUE (…)."));
        }
        if create.predicate.is_some() {
            return Err(SqlError::unsupported("an index of some rows (WHERE) is not supported"));
        }
        if !create.include.is_empty() || !create.with.is_empty() || create.nulls_distinct.is_some() {
            return Err(SqlError::unsupported("options of CREATE INDEX are not supported"));
        }
        check_method(create.using.as_ref())?;
        let name = create.name.as_ref().map(plain_name).transpose()?;
        let columns = create.columns.iter().map(column).collect::<Result<_>>()?;
        let relation = relation_name(&create.table_name)?;
        Ok(Statement::CreateIndex(CreateIndex { name, if_not_exists: create.if_not_exists, relation, columns }))
    }

    /// `DROP INDEX [CONCURRENTLY] [IF EXISTS] name, … [CASCADE | RESTRICT]`
    pub(super) fn drop_index(&mut self) -> Result<Statement> {
        self.inner.next_token();
        self.inner.next_token();
        self.word("concurrently");
        let if_exists = self.words(&["if", "exists"]);
        let names = self.listed(Self::relation)?;
        if !self.word("cascade") {
            self.word("restrict");
        }
        Ok(Statement::DropIndex(DropIndex { names, if_exists }))
    }
}

/// Nothing depends on how rows are found, so those that find equal values are taken alike.
fn check_method(method: Option<&IndexType>) -> Result<()> {
    match method {
        None | Some(IndexType::BTree | IndexType::Hash) => Ok(()),
        Some(IndexType::Custom(name)) => {
            Err(SqlError::new(code::UNDEFINED_OBJECT, format!("access method \"{}\" does not exist", fold(name))))
        }
        Some(other) => {
            Err(SqlError::unsupported(format!("access method \"{}\" is not supported", other.to_string().to_lowercase())))
        }
    }
}

fn column(column: &ast::IndexColumn) -> Result<String> {
    if let Some(class) = &column.operator_class {
        return Err(SqlError::unsupported(format!("operator class \"{class}\" is not supported")));
    }
    match &column.column.expr {
        ast::Expr::Identifier(name) => Ok(fold(name)),
        _ => Err(SqlError::unsupported("an index of an expression is not supported")),
    }
}
