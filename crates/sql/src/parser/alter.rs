//! `ALTER MATERIALIZED VIEW`.

use datafusion_sql::sqlparser::tokenizer::Token;

use super::Parser;
use crate::error::{Result, SqlError, code};
use crate::statement::{AlterView, Statement};

impl Parser<'_> {
    /// `ALTER MATERIALIZED VIEW [IF EXISTS] name { SET (recursion_limit = n) | RESET (recursion_limit) }`
    pub(super) fn alter(&mut self) -> Result<Statement> {
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
