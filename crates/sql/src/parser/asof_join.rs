//! `a ASOF [LEFT] JOIN b ON condition`, which sqlparser knows in another form alone: among the tokens it becomes `a [LEFT] JOIN b ON mark() AND
//! condition`, where the call of a function that has no other use says which join it is.

use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::mutually::{is_space, is_word};
use super::unexpected;
use super::using_key::made;
use crate::error::Result;

/// The name of the function. No function that can be named begins so.
pub(crate) const MARK: &str = "\u{1}asof";

/// The tokens as sqlparser knows them.
///
/// # Errors
/// When such a join has no `ON`.
pub(super) fn rewritten(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut at = 0;
    while let Some(join) = (at..tokens.len()).find(|at| join_at(&tokens, *at)) {
        let Some(on) = condition_of(&tokens, join) else {
            let token = &tokens[join];
            return Err(unexpected(&token.token.to_string(), false, token.span.start).with_hint("Write ASOF JOIN … ON …."));
        };
        let span = tokens[on].span;
        tokens.splice(on + 1..on + 1, made(&format!(" \"{MARK}\"() AND "), span)?);
        tokens.remove(join);
        at = join;
    }
    Ok(tokens)
}

/// Whether `ASOF [LEFT [OUTER] | INNER] JOIN` begins at a token, behind a relation.
fn join_at(tokens: &[TokenWithSpan], at: usize) -> bool {
    if !is_word(&tokens[at], "asof") {
        return false;
    }
    let before = tokens[..at].iter().rev().find(|token| !is_space(token));
    let behind_relation = before.is_some_and(|token| match &token.token {
        Token::Word(_) => {
            !["as", "from", "join", "lateral", "only", "using", "update", "into"].iter().any(|word| is_word(token, word))
        }
        Token::RParen => true,
        _ => false,
    });
    let mut then = tokens[at + 1..].iter().filter(|token| !is_space(token));
    let kind = ["left", "outer", "inner"];
    behind_relation && then.find(|token| !kind.iter().any(|word| is_word(token, word))).is_some_and(|token| is_word(token, "join"))
}

/// Where the `ON` of a join stands.
fn condition_of(tokens: &[TokenWithSpan], join: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(join) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return None,
            Token::RParen => depth -= 1,
            Token::SemiColon => return None,
            _ if depth == 0 && is_word(token, "on") => return Some(at),
            _ => {}
        }
    }
    None
}
