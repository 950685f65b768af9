//! `SEARCH … SET …` and `CYCLE … SET … USING …` behind a WITH query, which sqlparser does not know: among the tokens a clause becomes a
//! query of its own behind the one that it belongs to, whose name is a mark and whose columns are what the clause names.
//! [`take_clauses`] takes it out of the syntax tree again.

use datafusion_sql::sqlparser::ast::{Expr, SelectItem, SetExpr, With};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::mutually::{is_space, is_word};
use super::using_key::{made, matching};
use super::{fold, unexpected};
use crate::error::{Result, SqlError};

const MARK: &str = "__refrain_behind";

/// What stands behind a WITH query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clauses {
    /// `SEARCH`
    pub search: Option<Search>,
    /// `CYCLE`
    pub cycle: Option<Cycle>,
}

impl Clauses {
    pub fn is_empty(&self) -> bool {
        self.search.is_none() && self.cycle.is_none()
    }
}

/// `SEARCH { DEPTH | BREADTH } FIRST BY columns SET sequence`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    /// `BREADTH`
    pub breadth_first: bool,
    /// The columns of the order.
    pub columns: Vec<String>,
    /// The column that is added.
    pub sequence: String,
}

/// `CYCLE columns SET mark [TO value DEFAULT default] USING path`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cycle {
    /// The columns that tell a row that was there before.
    pub columns: Vec<String>,
    /// The column that says whether the row closes a cycle.
    pub mark: String,
    /// What it says of one that does, and of one that does not.
    pub values: (Expr, Expr),
    /// The column of the rows on the way.
    pub path: String,
}

/// The tokens as sqlparser knows them.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    if !tokens.iter().any(|token| is_word(token, "search") || is_word(token, "cycle")) {
        return Ok(tokens);
    }
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let behind = out.iter().rev().find(|token| !is_space(token)).is_some_and(|before| before.token == Token::RParen);
        match if behind { clause_at(&tokens, at)? } else { None } {
            None => {
                out.push(tokens[at].clone());
                at += 1;
            }
            Some((clause, end)) => {
                out.extend(clause);
                at = end;
            }
        }
    }
    Ok(out)
}

/// The clause that begins at a token, as sqlparser knows it, and where it ends.
fn clause_at(tokens: &[TokenWithSpan], at: usize) -> Result<Option<(Vec<TokenWithSpan>, usize)>> {
    let mut words = Words { tokens, at };
    let span = tokens[at].span;
    let kind = if words.take_words(&["search", "depth", "first", "by"]) {
        "depth"
    } else if words.take_words(&["search", "breadth", "first", "by"]) {
        "breadth"
    } else if words.take_words(&["cycle"]) {
        "cycle"
    } else {
        return Ok(None);
    };
    // `SELECT (1) cycle FROM …` is none.
    let Some(mut items) = words.names().ok().filter(|_| words.take_words(&["set"])) else { return Ok(None) };
    items.extend(words.name()?);
    if kind == "cycle" {
        let values = if words.take_words(&["to"]) {
            let mut values = made(", ", span)?;
            values.extend(words.value("default")?);
            values.extend(made(", ", span)?);
            values.extend(words.value("using")?);
            values
        } else {
            words.expect("using")?;
            made(", TRUE, FALSE", span)?
        };
        items.extend(made(", ", span)?);
        items.extend(words.name()?);
        items.extend(values);
    }
    // A comma that follows belongs to the next query of the clause.
    let mut clause = made(&format!(", {MARK}_{kind} AS (SELECT "), span)?;
    clause.extend(items);
    clause.extend(made(") ", span)?);
    Ok(Some((clause, words.at)))
}

/// A place among the tokens.
struct Words<'a> {
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl Words<'_> {
    /// The place of the next token that is not white space.
    fn next(&self) -> Option<usize> {
        (self.at..self.tokens.len()).find(|i| !is_space(&self.tokens[*i]))
    }

    /// Goes past these words if they all come next, in this order.
    fn take_words(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        for word in words {
            match self.next().filter(|at| is_word(&self.tokens[*at], word)) {
                Some(at) => self.at = at + 1,
                None => {
                    self.at = start;
                    return false;
                }
            }
        }
        true
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        if self.take_words(&[word]) { Ok(()) } else { Err(self.wrong()) }
    }

    fn is_name(&self) -> bool {
        self.next().is_some_and(|at| matches!(self.tokens[at].token, Token::Word(_)))
    }

    fn name(&mut self) -> Result<[TokenWithSpan; 1]> {
        let name = self.next().filter(|_| self.is_name()).ok_or_else(|| self.wrong())?;
        self.at = name + 1;
        Ok([self.tokens[name].clone()])
    }

    /// Names with commas between them, and one behind them.
    fn names(&mut self) -> Result<Vec<TokenWithSpan>> {
        let mut names = Vec::new();
        loop {
            names.extend(self.name()?);
            let next = self.next().ok_or_else(|| self.wrong())?;
            if self.tokens[next].token != Token::Comma {
                names.extend(made(", ", self.tokens[next].span)?);
                return Ok(names);
            }
            names.push(self.tokens[next].clone());
            self.at = next + 1;
        }
    }

    /// A constant, up to the word behind it.
    fn value(&mut self, upto: &str) -> Result<Vec<TokenWithSpan>> {
        let start = self.at;
        while let Some(next) = self.next() {
            if is_word(&self.tokens[next], upto) && next > start {
                self.at = next + 1;
                return Ok(self.tokens[start..next].to_vec());
            }
            match &self.tokens[next].token {
                Token::LParen => {
                    let group = matching(self.tokens.iter().enumerate().skip(next), &Token::LParen, &Token::RParen);
                    self.at = group.ok_or_else(|| self.wrong())? + 1;
                }
                Token::Comma | Token::RParen | Token::SemiColon | Token::EOF => break,
                _ if ["default", "using"].iter().any(|word| is_word(&self.tokens[next], word)) => break,
                _ => self.at = next + 1,
            }
        }
        Err(self.wrong())
    }

    fn wrong(&self) -> SqlError {
        match self.next().map(|at| &self.tokens[at]) {
            Some(token) => unexpected(&token.token.to_string(), token.token == Token::EOF, token.span.start),
            None => SqlError::syntax("syntax error at end of input"),
        }
    }
}

/// Takes the marks out of a WITH clause: for each query that is left, what stood behind it.
///
/// # Errors
/// When a query has two clauses of a kind, or `CYCLE` before `SEARCH`.
pub(crate) fn take_clauses(with: &mut With) -> Result<Vec<Clauses>> {
    let mut clauses: Vec<Clauses> = Vec::with_capacity(with.cte_tables.len());
    let mut left = Vec::with_capacity(with.cte_tables.len());
    for cte in std::mem::take(&mut with.cte_tables) {
        let name = fold(&cte.alias.name);
        let Some(kind) = name.strip_prefix(MARK) else {
            clauses.push(Clauses::default());
            left.push(cte);
            continue;
        };
        let of = clauses.last_mut().filter(|clauses| clauses.cycle.is_none());
        let Some(of) = of else { return Err(SqlError::syntax("syntax error at or near \"CYCLE\"")) };
        let mut items = items(&cte.query.body)?;
        if kind == "_cycle" {
            let default = items.pop().ok_or_else(wrong)?;
            let values = (items.pop().ok_or_else(wrong)?, default);
            let mut names = names(items)?;
            let path = names.pop().ok_or_else(wrong)?;
            let mark = names.pop().ok_or_else(wrong)?;
            of.cycle = Some(Cycle { columns: names, mark, values, path });
        } else if of.search.is_some() {
            return Err(SqlError::syntax("syntax error at or near \"SEARCH\""));
        } else {
            let mut names = names(items)?;
            let sequence = names.pop().ok_or_else(wrong)?;
            of.search = Some(Search { breadth_first: kind == "_breadth", columns: names, sequence });
        }
    }
    with.cte_tables = left;
    Ok(clauses)
}

fn items(body: &SetExpr) -> Result<Vec<Expr>> {
    let SetExpr::Select(select) = body else { return Err(wrong()) };
    let items = select.projection.iter().map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Ok(expr.clone()),
        _ => Err(wrong()),
    });
    items.collect()
}

fn names(items: Vec<Expr>) -> Result<Vec<String>> {
    let names = items.iter().map(|item| match item {
        Expr::Identifier(ident) => Ok(fold(ident)),
        _ => Err(wrong()),
    });
    names.collect()
}

fn wrong() -> SqlError {
    SqlError::syntax("SEARCH and CYCLE take names of columns, and constants behind TO and DEFAULT")
}
