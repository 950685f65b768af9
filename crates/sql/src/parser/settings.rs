//! `SET`, `RESET`, `SHOW`, and the values they take.

use datafusion_sql::sqlparser::tokenizer::Token;

use super::{Parser, fold};
use crate::error::{Result, SqlError, code};
use crate::statement::{Show, Statement};

impl Parser<'_> {
    pub(super) fn set(&mut self) -> Result<Statement> {
        self.expect_word("set")?;
        if !self.word("session") && self.word("local") {
            return Err(SqlError::unsupported("SET LOCAL is not supported"));
        }
        if self.words(&["time", "zone"]) {
            let value = self.value()?;
            return Ok(Statement::Set { name: "timezone".to_owned(), value: Some(value) });
        }
        let name = self.setting_name()?;
        if !self.inner.consume_token(&Token::Eq) {
            self.expect_word("to")?;
        }
        let value = if self.word("default") { None } else { Some(self.value()?) };
        Ok(Statement::Set { name, value })
    }

    pub(super) fn reset(&mut self) -> Result<Statement> {
        self.expect_word("reset")?;
        if self.word("all") {
            return Ok(Statement::Reset(None));
        }
        Ok(Statement::Reset(Some(self.setting_name()?)))
    }

    pub(super) fn show(&mut self) -> Result<Statement> {
        self.expect_word("show")?;
        let show = if self.word("all") {
            Show::All
        } else if self.word("tables") {
            Show::Tables
        } else if self.word("views") || self.words(&["materialized", "views"]) {
            Show::Views
        } else if self.word("functions") {
            Show::Functions
        } else if self.word("columns") {
            if !self.word("from") {
                self.expect_word("in")?;
            }
            Show::Columns(self.relation()?)
        } else if self.word("constraints") {
            if !self.word("from") {
                self.expect_word("in")?;
            }
            Show::Constraints(self.relation()?)
        } else if self.word("indexes") {
            if !self.word("from") {
                self.expect_word("in")?;
            }
            Show::Indexes(self.relation()?)
        } else if self.words(&["time", "zone"]) {
            Show::Setting("timezone".to_owned())
        } else {
            Show::Setting(self.setting_name()?)
        };
        Ok(Statement::Show(show))
    }

    fn setting_name(&mut self) -> Result<String> {
        let mut name = fold(&self.identifier()?);
        while self.inner.consume_token(&Token::Period) {
            name = format!("{name}.{}", fold(&self.identifier()?));
        }
        Ok(name.to_lowercase())
    }

    /// A word, a number or a string, as text.
    pub(super) fn value(&mut self) -> Result<String> {
        let sign = if self.inner.consume_token(&Token::Minus) { "-" } else { "" };
        let token = self.inner.peek_token();
        let value = match &token.token {
            Token::Number(number, _) => format!("{sign}{number}"),
            Token::Word(word) if sign.is_empty() => {
                if word.quote_style.is_some() {
                    word.value.clone()
                } else {
                    word.value.to_lowercase()
                }
            }
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) if sign.is_empty() => text.clone(),
            _ => return Err(self.unexpected(&token)),
        };
        self.inner.next_token();
        Ok(value)
    }
}

/// A boolean in one of PostgreSQL's spellings.
pub(super) fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.trim_matches('\'').to_lowercase().as_str() {
        "true" | "on" | "1" | "yes" | "t" => Ok(true),
        "false" | "off" | "0" | "no" | "f" => Ok(false),
        _ => Err(SqlError::new(code::SYNTAX_ERROR, format!("{name} requires a Boolean value"))),
    }
}
