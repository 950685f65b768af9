//! `WITH MUTUALLY RECURSIVE`, which sqlparser does not know: among the tokens it is turned into `WITH RECURSIVE`, with a first query whose
//! name is a mark. [`take_mark`] takes it out of the syntax tree again.

use datafusion_sql::sqlparser::ast::With;
use datafusion_sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::fold;
use crate::error::{Result, SqlError};

const MARK: &str = "__refrain_mutually";

/// The tokens as sqlparser knows them.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let is_word = |token: &TokenWithSpan, word: &str| matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
    if !tokens.iter().any(|token| is_word(token, "mutually")) {
        return Ok(tokens);
    }
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let after_with = out.iter().rev().find(|t| !is_space(t)).is_some_and(|before| is_word(before, "with"));
        if !(after_with && is_word(&token, "mutually")) {
            out.push(token);
            continue;
        }
        while rest.peek().is_some_and(is_space) {
            rest.next();
        }
        let Some(recursive) = rest.next_if(|t| is_word(t, "recursive")) else {
            // It may be a name: `WITH mutually AS (…)`.
            out.push(token);
            continue;
        };
        while rest.peek().is_some_and(is_space) {
            rest.next();
        }
        if let Some(options) = rest.peek().filter(|t| t.token == Token::LParen) {
            let error = SqlError::unsupported("options of WITH MUTUALLY RECURSIVE are not supported");
            return Err(error.at(options.span.start.line, options.span.start.column));
        }
        let span = recursive.span;
        out.push(recursive);
        let mark = Tokenizer::new(&PostgreSqlDialect {}, &format!(" {MARK} AS (SELECT 1), ")).tokenize();
        let mark = mark.map_err(|e| SqlError::syntax(e.message))?;
        out.extend(mark.into_iter().map(|token| TokenWithSpan { token, span }));
    }
    Ok(out)
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// Takes the mark out of a WITH clause; whether it was there.
pub(crate) fn take_mark(with: &mut With) -> bool {
    let marked = with.cte_tables.first().is_some_and(|cte| fold(&cte.alias.name) == MARK);
    if marked {
        with.cte_tables.remove(0);
    }
    marked
}
