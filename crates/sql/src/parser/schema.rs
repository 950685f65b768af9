//! `CREATE SCHEMA` and `DROP SCHEMA`.

use super::{Parser, part};
use crate::error::Result;
use crate::statement::{CreateSchema, DropSchema, Statement};

impl Parser<'_> {
    /// `CREATE SCHEMA [IF NOT EXISTS] name`
    pub(super) fn create_schema(&mut self) -> Result<Statement> {
        self.expect_word("create")?;
        self.expect_word("schema")?;
        let if_not_exists = self.words(&["if", "not", "exists"]);
        let name = self.schema_name()?;
        Ok(Statement::CreateSchema(CreateSchema { name, if_not_exists }))
    }

    /// `DROP SCHEMA [IF EXISTS] name, … [CASCADE | RESTRICT]`
    pub(super) fn drop_schema(&mut self) -> Result<Statement> {
        self.expect_word("drop")?;
        self.expect_word("schema")?;
        let if_exists = self.words(&["if", "exists"]);
        let names = self.listed(Self::schema_name)?;
        let cascade = self.cascade();
        Ok(Statement::DropSchema(DropSchema { names, if_exists, cascade }))
    }

    fn schema_name(&mut self) -> Result<String> {
        part(&self.identifier()?)
    }
}
