//! `CREATE [RECURSIVE] [MATERIALIZED] VIEW`, `SUBSCRIBE`: statements that keep the text of their query.

use datafusion_sql::sqlparser::tokenizer::Token;

use super::{Parser, fold, is_query_word, quoted, settings};
use crate::catalog::schema::split;
use crate::error::{Result, SqlError, code};
use crate::statement::{CreateView, Statement, Subscribe, SubscribeTarget};

/// What `CREATE RECURSIVE VIEW name (column, …) AS query` stands for.
fn recursive_query(name: &str, columns: &[String], query: &str) -> String {
    let (name, columns) = (quoted(split(name).1), columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", "));
    format!("WITH RECURSIVE {name} ({columns}) AS ({query}) SELECT {columns} FROM {name}")
}

impl Parser<'_> {
    pub(super) fn create_view(&mut self) -> Result<Statement> {
        self.expect_word("create")?;
        let or_replace = self.words(&["or", "replace"]);
        let recursive = self.word("recursive");
        let materialized = self.word("materialized");
        if !self.word("view") {
            return Err(self.unexpected(&self.inner.peek_token()));
        }
        if materialized && or_replace {
            return Err(SqlError::unsupported("CREATE OR REPLACE MATERIALIZED VIEW is not supported")
                .with_hint("Drop the materialized view first."));
        }
        let if_not_exists = materialized && self.words(&["if", "not", "exists"]);
        let name = self.relation()?;
        let mut columns = self.optional_columns()?;
        if recursive && columns.is_empty() {
            return Err(self.unexpected(&self.inner.peek_token()));
        }
        if self.peek_word("with") {
            return Err(SqlError::unsupported("options of a view are not supported"));
        }
        self.expect_word("as")?;
        let start = self.offset();
        let mut query = self.query()?;
        let mut query_text = self.text_since(start);
        if recursive {
            query_text = recursive_query(&name, &std::mem::take(&mut columns), &query_text);
            query = super::parse_query(&query_text)?;
        }
        if materialized && !self.words(&["with", "data"]) && self.peek_word("with") {
            return Err(SqlError::unsupported("WITH NO DATA is not supported"));
        }
        let view = CreateView { name, if_not_exists, or_replace, columns, query, query_text };
        Ok(if materialized { Statement::CreateMaterializedView(view) } else { Statement::CreateView(view) })
    }

    pub(super) fn subscribe(&mut self) -> Result<Statement> {
        self.expect_word("subscribe")?;
        self.word("to");
        let target = match self.inner.peek_token().token {
            Token::LParen => {
                self.expect(&Token::LParen)?;
                let target = self.subscribed_query()?;
                self.expect(&Token::RParen)?;
                target
            }
            Token::Word(w) if w.quote_style.is_none() && is_query_word(&w.value) => self.subscribed_query()?,
            _ => SubscribeTarget::Relation(self.relation()?),
        };
        let mut subscribe = Subscribe { target, snapshot: true, progress: false };
        if self.word("with") {
            self.expect(&Token::LParen)?;
            loop {
                self.subscribe_option(&mut subscribe)?;
                if !self.inner.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
        }
        Ok(Statement::Subscribe(subscribe))
    }

    fn subscribed_query(&mut self) -> Result<SubscribeTarget> {
        let start = self.offset();
        let query = self.query()?;
        Ok(SubscribeTarget::Query(query, self.text_since(start)))
    }

    /// `NAME [=] [TRUE | FALSE]`
    fn subscribe_option(&mut self, subscribe: &mut Subscribe) -> Result<()> {
        let name = fold(&self.identifier()?);
        let said = self.inner.consume_token(&Token::Eq);
        let value = match self.peek() {
            Token::Comma | Token::RParen if !said => true,
            _ => settings::boolean(&name, &self.value()?)?,
        };
        match name.as_str() {
            "snapshot" => subscribe.snapshot = value,
            "progress" => subscribe.progress = value,
            _ => return Err(SqlError::new(code::SYNTAX_ERROR, format!("unrecognized SUBSCRIBE option \"{name}\""))),
        }
        Ok(())
    }
}
