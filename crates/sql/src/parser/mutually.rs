//! `WITH [MUTUALLY] RECURSIVE [([RETURN AT | ERROR AT] RECURSION LIMIT n)]`, of which sqlparser knows `WITH RECURSIVE`: among the tokens
//! it is turned into that, with a first query whose name is a mark. [`take_mark`] takes it out of the syntax tree again.

use std::iter::Peekable;
use std::ops::Range;

use datafusion_sql::sqlparser::ast::With;
use datafusion_sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::{byte_offset, fold, line_starts, unexpected};
use crate::error::{Result, SqlError, code};

const MARK: &str = "__refrain_recursion";

/// What stands between `WITH` and the first query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// `MUTUALLY`
    pub mutually: bool,
    /// The recursion limit.
    pub limit: Option<Limit>,
}

/// How often the bindings of a recursion may be worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// At most this often; at least 1.
    pub iterations: u32,
    /// Whether a recursion that has not ended then is an error, or has the result that it has then.
    pub fails: bool,
}

/// The tokens as sqlparser knows them.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    if !tokens.iter().any(|token| is_word(token, "mutually") || is_word(token, "limit")) {
        return Ok(tokens);
    }
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = Rest(tokens.into_iter().peekable());
    while let Some(token) = rest.0.next() {
        let after_with = out.iter().rev().find(|t| !is_space(t)).is_some_and(|before| is_word(before, "with"));
        // Without RECURSIVE it is a name: `WITH mutually AS (…)`.
        let behind = if after_with && is_word(&token, "mutually") { rest.next_if(|t| is_word(t, "recursive")) } else { None };
        let mutually = behind.is_some();
        let recursive = behind.unwrap_or(token);
        let span = recursive.span;
        let may_limit = mutually || (after_with && is_word(&recursive, "recursive"));
        out.push(recursive);
        let limit = if may_limit { rest.limit()? } else { None };
        if !mutually && limit.is_none() {
            continue;
        }
        let limit =
            limit.map_or_else(|| "0".to_owned(), |l| format!("{}_{}", if l.fails { "error" } else { "return" }, l.iterations));
        let mark = format!(" {MARK}_{}_{limit} AS (SELECT 1), ", if mutually { "mutual" } else { "single" });
        let mark = Tokenizer::new(&PostgreSqlDialect {}, &mark).tokenize().map_err(|e| SqlError::syntax(e.message))?;
        out.extend(mark.into_iter().map(|token| TokenWithSpan { token, span }));
    }
    Ok(out)
}

/// The text of a statement with this limit in each of its recursions that has none; `None` if there is no such. Recursions fail at it.
///
/// # Errors
/// When the text has no tokens.
pub fn with_recursion_limit(sql: &str, iterations: u32) -> Result<Option<String>> {
    let mut edits = Vec::new();
    for recursion in recursions(sql)? {
        if recursion.limit.is_none() {
            edits.push((recursion.end..recursion.end, fails_at(iterations)));
        }
    }
    Ok(edited(sql, edits))
}

/// The text of a query with this limit, or none, for all of its recursions; `None` if it has no recursion. What is done at a limit
/// stays as it is written.
///
/// # Errors
/// When the text has no tokens.
pub fn with_other_recursion_limit(sql: &str, iterations: Option<u32>) -> Result<Option<String>> {
    let edits = recursions(sql)?.into_iter().map(|Recursion { end, limit }| match (limit, iterations) {
        (None, Some(iterations)) => (end..end, fails_at(iterations)),
        (None, None) => (end..end, String::new()),
        (Some(limit), Some(iterations)) => (limit.number, iterations.to_string()),
        (Some(limit), None) => (end..limit.end, String::new()),
    });
    Ok(edited(sql, edits.collect()))
}

fn fails_at(iterations: u32) -> String {
    format!(" (ERROR AT RECURSION LIMIT {iterations})")
}

/// The text with other texts in the place of some of its parts, in their order; `None` without any.
fn edited(sql: &str, edits: Vec<(Range<usize>, String)>) -> Option<String> {
    let mut text = sql.to_owned();
    let any = !edits.is_empty();
    for (part, by) in edits.into_iter().rev() {
        text.replace_range(part, &by);
    }
    any.then_some(text)
}

/// Where `WITH [MUTUALLY] RECURSIVE` ends in a text, and the limit behind it.
struct Recursion {
    end: usize,
    limit: Option<LimitText>,
}

struct LimitText {
    number: Range<usize>,
    /// Behind the parenthesis.
    end: usize,
}

fn recursions(sql: &str) -> Result<Vec<Recursion>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|e| SqlError::syntax(e.message))?;
    let tokens = tokens.iter().filter(|token| !is_space(token)).collect::<Vec<_>>();
    let lines = line_starts(sql);
    let place = |token: &TokenWithSpan| byte_offset(sql, &lines, token.span.start)..byte_offset(sql, &lines, token.span.end);
    let begin = (1..tokens.len()).filter(|i| {
        let before = if is_word(tokens[i - 1], "mutually") { i.checked_sub(2) } else { Some(i - 1) };
        before.is_some_and(|before| is_word(tokens[before], "with")) && is_word(tokens[*i], "recursive")
    });
    let recursions = begin.map(|i| {
        let open = tokens.get(i + 1).is_some_and(|next| next.token == Token::LParen);
        let behind = tokens[i + 1..].iter().take_while(|token| open && token.token != Token::RParen);
        let number = behind.clone().find(|token| matches!(token.token, Token::Number(..)));
        let close = tokens.get(i + 1 + behind.count());
        let limit = number.zip(close).map(|(number, close)| LimitText { number: place(number), end: place(close).end });
        Recursion { end: place(tokens[i]).end, limit }
    });
    Ok(recursions.collect())
}

/// The tokens that are left.
struct Rest(Peekable<std::vec::IntoIter<TokenWithSpan>>);

impl Rest {
    /// Takes the next token that is not white space, if it is so.
    fn next_if(&mut self, is: impl Fn(&TokenWithSpan) -> bool) -> Option<TokenWithSpan> {
        while self.0.next_if(is_space).is_some() {}
        self.0.next_if(is)
    }

    /// Takes a token that has to come next.
    fn expect(&mut self, is: impl Fn(&TokenWithSpan) -> bool) -> Result<TokenWithSpan> {
        match self.next_if(is) {
            Some(token) => Ok(token),
            None => Err(match self.0.peek() {
                Some(found) => unexpected(&found.token.to_string(), found.token == Token::EOF, found.span.start),
                None => SqlError::syntax("syntax error at end of input"),
            }),
        }
    }

    fn limit(&mut self) -> Result<Option<Limit>> {
        if self.next_if(|t| t.token == Token::LParen).is_none() {
            return Ok(None);
        }
        let returns = self.next_if(|t| is_word(t, "return")).is_some();
        if returns || self.next_if(|t| is_word(t, "error")).is_some() {
            self.expect(|t| is_word(t, "at"))?;
        }
        self.expect(|t| is_word(t, "recursion"))?;
        self.expect(|t| is_word(t, "limit"))?;
        self.next_if(|t| t.token == Token::Eq);
        let number = self.expect(|t| matches!(t.token, Token::Number(..)))?;
        let text = number.token.to_string();
        let Some(iterations) = text.parse::<u32>().ok().filter(|n| *n > 0) else {
            let error =
                SqlError::new(code::INVALID_PARAMETER_VALUE, format!("recursion limit {text} is not between 1 and {}", u32::MAX));
            return Err(error.at(number.span.start.line, number.span.start.column));
        };
        self.expect(|t| t.token == Token::RParen)?;
        Ok(Some(Limit { iterations, fails: !returns }))
    }
}

pub(super) fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

pub(super) fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// Takes the mark out of a WITH clause.
pub(crate) fn take_mark(with: &mut With) -> Mark {
    let name = with.cte_tables.first().map(|cte| fold(&cte.alias.name)).unwrap_or_default();
    let Some(rest) = name.strip_prefix(MARK).and_then(|rest| rest.strip_prefix('_')) else { return Mark::default() };
    with.cte_tables.remove(0);
    let (kind, limit) = rest.split_once('_').unwrap_or((rest, ""));
    let limit = limit.split_once('_').and_then(|(then, n)| Some(Limit { iterations: n.parse().ok()?, fails: then == "error" }));
    Mark { mutually: kind == "mutual", limit }
}
