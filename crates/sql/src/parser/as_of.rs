//! `query AS OF epoch`, at the end of a statement.
//!
//! To sqlparser `AS OF` would be an alias. In PostgreSQL an alias is not followed by a number, so the two words before a number that ends
//! the statement are made one token, at which sqlparser ends the query.

use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::Parser;
use crate::error::{Result, SqlError, code};
use crate::statement::Statement;

/// In place of the words: nothing that can be part of a query.
const MARK: Token = Token::Char('\u{1}');

/// The tokens with a mark in place of each `AS OF` before a number that ends a statement.
pub(super) fn rewritten(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut at = 0;
    while let Some(places) = clause_from(&tokens, at) {
        let [first, second, number] = places;
        tokens[first].token = MARK;
        tokens.drain(first + 1..=second);
        at = number - (second - first);
    }
    tokens
}

/// Where the next clause stands: both words and the number.
fn clause_from(tokens: &[TokenWithSpan], from: usize) -> Option<[usize; 3]> {
    let mut words = (from..tokens.len()).filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_)));
    let mut last = [words.next()?, words.next()?, words.next()?];
    loop {
        let next = words.next();
        let ends = next.is_none_or(|at| matches!(tokens[at].token, Token::SemiColon | Token::EOF));
        let [first, second, number] = last;
        let is_clause = is(&tokens[first], "as") && is(&tokens[second], "of") && matches!(tokens[number].token, Token::Number(..));
        if ends && is_clause {
            return Some(last);
        }
        last = [second, number, next?];
    }
}

fn is(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(Word { value, quote_style: None, .. }) if value.eq_ignore_ascii_case(word))
}

impl Parser<'_> {
    /// `query [AS OF epoch]`
    pub(super) fn read(&mut self) -> Result<Statement> {
        let query: Box<ast::Query> = self.query()?;
        if !self.inner.consume_token(&MARK) {
            return Ok(Statement::Query(query));
        }
        let text = self.value()?;
        let epoch =
            text.parse().map_err(|_| SqlError::new(code::INVALID_PARAMETER_VALUE, format!("\"{text}\" is not an epoch")))?;
        Ok(Statement::AsOf(query, epoch))
    }

    /// That there is no such clause where none is taken.
    pub(super) fn refuse_as_of(&self) -> Result<()> {
        if self.peek() != MARK {
            return Ok(());
        }
        let start = self.inner.peek_token().span.start;
        Err(SqlError::unsupported("AS OF is not supported in this statement")
            .with_hint("SELECT … AS OF reads the past.")
            .at(start.line, start.column))
    }
}
