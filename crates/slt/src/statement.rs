//! What the modes have to know about a statement: does it make or drop a view, set something, insert literal rows.

use crate::lexer::{Token, tokens};

/// A statement as far as the modes care.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Statement<'a> {
    /// `CREATE TABLE`.
    CreateTable {
        /// Its name.
        name: String,
        /// Whether any rows may be added for a while: the table can be changed, and has no keys and no checks.
        takes_noise: bool,
    },
    /// `CREATE [MATERIALIZED] VIEW`.
    CreateView {
        /// Its name.
        name: String,
        /// Whether it is maintained.
        materialized: bool,
    },
    /// `ALTER MATERIALIZED VIEW`.
    AlterView {
        /// Its name.
        name: String,
    },
    /// `INSERT INTO … VALUES …` and nothing behind it.
    InsertValues(InsertValues<'a>),
    /// `SET` and `RESET`: they belong to the session, which does not survive a restart.
    Set,
    /// `SELECT` and what else only reads.
    Read,
    /// Everything else.
    Other,
}

/// An insertion of literal rows.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct InsertValues<'a> {
    /// The table.
    pub(crate) table: String,
    /// The text up to and with `VALUES`.
    pub(crate) head: &'a str,
    /// The rows, each with its parentheses.
    pub(crate) rows: Vec<&'a str>,
}

impl<'a> Statement<'a> {
    /// Looks at the words of a statement.
    pub(crate) fn of(sql: &'a str) -> Self {
        let (tokens, _) = tokens(sql);
        let is = |i: usize, keyword: &str| tokens.get(i).is_some_and(|t| t.is(keyword));
        match tokens.first() {
            Some(t) if t.is("create") => create(&tokens),
            Some(t) if t.is("alter") && is(2, "view") => {
                let name = name_at(&tokens, if is(3, "if") { 5 } else { 3 });
                name.map_or(Self::Other, |(name, _)| Self::AlterView { name })
            }
            Some(t) if t.is("insert") && is(1, "into") => insert(sql, &tokens).map_or(Self::Other, Self::InsertValues),
            Some(t) if t.is("set") || t.is("reset") => Self::Set,
            Some(t) if ["select", "with", "values", "show", "explain", "subscribe"].iter().any(|k| t.is(k)) => Self::Read,
            Some(t) if t.is_symbol("(") => Self::Read,
            _ => Self::Other,
        }
    }
}

fn create<'a>(tokens: &[Token<'_>]) -> Statement<'a> {
    let mut at = 1;
    let materialized = tokens.get(at).is_some_and(|t| t.is("materialized"));
    at += usize::from(materialized);
    let is_table = tokens.get(at).is_some_and(|t| t.is("table"));
    let is_view = tokens.get(at).is_some_and(|t| t.is("view"));
    at += 1;
    if tokens.get(at).is_some_and(|t| t.is("if")) {
        at += 3;
    }
    match name_at(tokens, at).map(|(name, _)| name) {
        Some(name) if is_table => Statement::CreateTable { name, takes_noise: !tokens.iter().any(forbids_noise) },
        Some(name) if is_view => Statement::CreateView { name, materialized },
        _ => Statement::Other,
    }
}

/// The name of a relation, with its schema in front of a dot unless that is `public`, and what comes behind it.
fn name_at(tokens: &[Token<'_>], at: usize) -> Option<(String, usize)> {
    let first = tokens.get(at)?.name();
    match tokens.get(at + 2) {
        Some(second) if tokens[at + 1].is_symbol(".") && first == "public" => Some((second.name(), at + 3)),
        Some(second) if tokens[at + 1].is_symbol(".") => Some((format!("{first}.{}", second.name()), at + 3)),
        _ => Some((first, at + 1)),
    }
}

/// The name of a relation as it is written in a statement.
pub(crate) fn quoted(name: &str) -> String {
    name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect::<Vec<_>>().join(".")
}

/// A word of `CREATE TABLE` after which rows cannot just come and go.
fn forbids_noise(token: &Token<'_>) -> bool {
    ["append_only", "primary", "unique", "check"].iter().any(|word| token.is(word))
}

fn insert<'a>(sql: &'a str, tokens: &[Token<'a>]) -> Option<InsertValues<'a>> {
    let (table, mut at) = name_at(tokens, 2)?;
    if tokens.get(at)?.is_symbol("(") {
        at = close(tokens, at)? + 1;
    }
    if !tokens.get(at)?.is("values") {
        return None;
    }
    let head = &sql[..tokens[at].span.end];
    let mut rows = Vec::new();
    loop {
        let open = at + 1;
        if !tokens.get(open)?.is_symbol("(") {
            return None;
        }
        at = close(tokens, open)?;
        rows.push(&sql[tokens[open].span.start..tokens[at].span.end]);
        at += 1;
        match tokens.get(at) {
            None => return Some(InsertValues { table, head, rows }),
            Some(t) if t.is_symbol(",") => {}
            Some(_) => return None,
        }
    }
}

/// Where the parenthesis that opens at `open` closes.
fn close(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth -= 1;
            if depth == 0 {
                return Some(i);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
