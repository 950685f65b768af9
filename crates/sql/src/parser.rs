//! Text to [`Statement`]s: our statements on top of sqlparser's expressions and queries, in PostgreSQL's dialect.
//!
//! Statements that sqlparser does not know, or knows in another form, are parsed here word by word; queries, expressions, types and
//! `CREATE TABLE` are sqlparser's. What we do not have is refused by name, a syntax error says where it is.

mod alter;
mod as_of;
pub(crate) mod asof_join;
mod copy;
mod dml;
mod function;
mod identity;
mod index;
pub(crate) mod mutually;
mod reserved;
mod schema;
pub(crate) mod search_cycle;
mod settings;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod transaction;
pub(crate) mod using_key;
mod view;

use datafusion_sql::sqlparser::ast::{self, Ident, ObjectName, ObjectNamePart};
use datafusion_sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser as AstParser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::catalog::RelationKind;
use crate::catalog::schema::PUBLIC;
use crate::error::{Result, SqlError, code};
use crate::statement::{Analyze, Drop, Statement};

pub use mutually::{with_other_recursion_limit, with_recursion_limit};

/// Nested parentheses and operators that a statement may have.
const NESTING_MAX: usize = 200;

/// Parses a script. Each statement comes with the text that it was parsed from, without the semicolon.
///
/// # Errors
/// `42601` for a syntax error, with its position; `0A000` for a statement that is not supported.
pub fn parse(sql: &str) -> Result<Vec<(Statement, String)>> {
    let mut parser = Parser::new(sql)?;
    let mut statements = Vec::new();
    loop {
        while parser.inner.consume_token(&Token::SemiColon) {}
        if parser.peek() == Token::EOF {
            return Ok(statements);
        }
        let start = parser.offset();
        let statement = parser.statement()?;
        parser.expect_end()?;
        statements.push((statement, parser.text_since(start)));
    }
}

/// Parses a query alone, as the catalog stores it for a view.
///
/// # Errors
/// As [`parse`].
pub fn parse_query(sql: &str) -> Result<Box<ast::Query>> {
    let mut parser = Parser::new(sql)?;
    let query = parser.query()?;
    parser.expect_end()?;
    Ok(query)
}

pub(crate) fn parse_data_type(name: &str) -> Result<ast::DataType> {
    let mut parser = Parser::new(name)?;
    parser.inner.parse_data_type().map_err(|e| parser.error(&e))
}

/// Parses an expression alone, as the catalog stores it for a default or a check.
pub(crate) fn parse_expression(text: &str) -> Result<ast::Expr> {
    let mut parser = Parser::new(text)?;
    let expression = parser.inner.parse_expr().map_err(|e| parser.error(&e))?;
    parser.expect_end()?;
    Ok(expression)
}

/// The name by which the catalog knows a relation: folded, with its schema in front of a dot unless that is `public`.
///
/// # Errors
/// When the name has more than two parts, or one with a dot in it.
pub fn relation_name(name: &ObjectName) -> Result<String> {
    let parts = name.0.iter().map(ObjectNamePart::as_ident).collect::<Option<Vec<_>>>();
    match parts.as_deref() {
        Some([name]) => part(name),
        Some([schema, name]) => match part(schema)?.as_str() {
            PUBLIC => part(name),
            schema => Ok(format!("{schema}.{}", part(name)?)),
        },
        _ => Err(SqlError::unsupported(format!("cross-database references are not implemented: {name}"))),
    }
}

/// A name that says no schema.
fn plain_name(name: &ObjectName) -> Result<String> {
    let plain = relation_name(name)?;
    if plain.contains('.') { Err(SqlError::syntax("syntax error at or near \".\"")) } else { Ok(plain) }
}

/// A name in which no dot is.
fn part(ident: &Ident) -> Result<String> {
    let name = fold(ident);
    if name.contains('.') { Err(SqlError::unsupported(format!("a name with a dot is not supported: {ident}"))) } else { Ok(name) }
}

/// An identifier as PostgreSQL reads it: lower case unless quoted.
#[must_use]
pub fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// An identifier that is read as this name, whatever is in it.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

struct Parser<'a> {
    sql: &'a str,
    /// Byte offset of the start of each line.
    lines: Vec<usize>,
    inner: AstParser<'a>,
}

impl<'a> Parser<'a> {
    fn new(sql: &'a str) -> Result<Self> {
        static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};
        let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location();
        let lines = line_starts(sql);
        let tokens = tokens.map_err(|e| untokenized(&e.message, &sql[byte_offset(sql, &lines, e.location)..], e.location))?;
        let tokens = search_cycle::rewritten(using_key::rewritten(mutually::rewritten(tokens)?)?)?;
        let tokens =
            identity::rewritten(as_of::rewritten(asof_join::rewritten(tokens)?)).into_iter().map(without_foreign_keyword).collect();
        let inner = AstParser::new(&DIALECT).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens);
        Ok(Self { sql, lines, inner })
    }

    fn statement(&mut self) -> Result<Statement> {
        let token = self.inner.peek_token();
        let Token::Word(word) = &token.token else {
            return match token.token {
                Token::LParen => self.read(),
                _ => Err(self.unexpected(&token)),
            };
        };
        match word.value.to_lowercase().as_str() {
            "create" => self.create(),
            "alter" => self.alter(),
            "drop" => self.drop_statement(),
            "insert" => self.insert(),
            "delete" => self.delete(),
            "update" => self.update(),
            "truncate" => self.truncate(),
            "copy" => self.copy(),
            "select" | "with" | "values" | "table" => self.read(),
            "subscribe" => self.subscribe(),
            "checkpoint" => self.after_word(Statement::Checkpoint),
            "explain" => self.explain(),
            "show" => self.show(),
            "set" => self.set(),
            "reset" => self.reset(),
            "begin" | "start" => self.begin(),
            "commit" | "end" => self.commit(),
            "rollback" | "abort" => self.rollback(),
            "savepoint" => self.savepoint(),
            "release" => self.release(),
            _ => self.refuse(),
        }
    }

    /// A statement that PostgreSQL or sqlparser knows is not supported; anything else is a syntax error.
    fn refuse<T>(&mut self) -> Result<T> {
        let first = self.inner.peek_token();
        let Token::Word(word) = &first.token else { return Err(self.unexpected(&first)) };
        if word.keyword == Keyword::NoKeyword || word.quote_style.is_some() {
            return Err(self.unexpected(&first));
        }
        let two_words = ["alter", "create", "drop", "refresh", "comment", "import", "security"];
        let mut name = word.value.to_uppercase();
        if two_words.contains(&word.value.to_lowercase().as_str())
            && let Token::Word(second) = &self.inner.peek_nth_token(1).token
        {
            name = format!("{name} {}", second.value.to_uppercase());
        }
        Err(SqlError::unsupported(format!("{name} is not supported")).at(first.span.start.line, first.span.start.column))
    }

    fn create(&mut self) -> Result<Statement> {
        let second = match self.inner.peek_nth_token(1).token {
            Token::Word(word) => word.value.to_lowercase(),
            _ => String::new(),
        };
        match second.as_str() {
            "table" => self.create_table(),
            "schema" => self.create_schema(),
            "function" => self.create_function(),
            "index" | "unique" => self.create_index(),
            "or" if matches!(self.inner.peek_nth_token(3).token, Token::Word(w) if w.keyword == Keyword::FUNCTION) => {
                self.create_function()
            }
            "view" | "materialized" | "or" | "recursive" => self.create_view(),
            _ => self.refuse(),
        }
    }

    fn drop_statement(&mut self) -> Result<Statement> {
        let second = self.inner.peek_nth_token(1);
        let kind = match &second.token {
            Token::Word(w) if w.keyword == Keyword::SCHEMA => return self.drop_schema(),
            Token::Word(w) if w.keyword == Keyword::FUNCTION => return self.drop_function(),
            Token::Word(w) if w.keyword == Keyword::INDEX => return self.drop_index(),
            Token::Word(w) if w.keyword == Keyword::TABLE => RelationKind::Table,
            Token::Word(w) if w.keyword == Keyword::VIEW => RelationKind::View,
            Token::Word(w) if w.keyword == Keyword::MATERIALIZED => RelationKind::MaterializedView,
            _ => return self.refuse(),
        };
        self.inner.next_token();
        self.inner.next_token();
        if kind == RelationKind::MaterializedView {
            self.expect_word("view")?;
        }
        let if_exists = self.words(&["if", "exists"]);
        let names = self.listed(Self::relation)?;
        let cascade = self.cascade();
        Ok(Statement::Drop(Drop { kind, names, if_exists, cascade }))
    }

    /// One or more, between commas.
    fn listed<T>(&mut self, one: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.inner.consume_token(&Token::Comma) {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// `[CASCADE | RESTRICT]`
    fn cascade(&mut self) -> bool {
        let cascade = self.word("cascade");
        if !cascade {
            self.word("restrict");
        }
        cascade
    }

    /// `EXPLAIN ANALYZE query | MATERIALIZED VIEW name`
    fn analyze(&mut self) -> Result<Statement> {
        if self.words(&["materialized", "view"]) {
            return Ok(Statement::Analyze(Analyze::View(self.relation()?)));
        }
        match self.statement()? {
            Statement::Query(query) => Ok(Statement::Analyze(Analyze::Query(query))),
            _ => Err(SqlError::unsupported("EXPLAIN ANALYZE of this statement is not supported")
                .with_hint("It explains a query, or MATERIALIZED VIEW name.")),
        }
    }

    /// `EXPLAIN WHY query`
    fn why(&mut self) -> Result<Statement> {
        match self.statement()? {
            Statement::Query(query) => Ok(Statement::Why(query)),
            _ => Err(SqlError::unsupported("EXPLAIN WHY of this statement is not supported")
                .with_hint("It explains a row of a query: EXPLAIN WHY SELECT … WHERE ….")),
        }
    }

    fn explain(&mut self) -> Result<Statement> {
        self.expect_word("explain")?;
        if self.word("analyze") {
            return self.analyze();
        }
        if self.word("why") {
            return self.why();
        }
        self.word("verbose");
        if self.peek() == Token::LParen && !matches!(self.inner.peek_nth_token(1).token, Token::Word(w) if is_query_word(&w.value))
        {
            return Err(SqlError::unsupported("options of EXPLAIN are not supported"));
        }
        Ok(Statement::Explain(Box::new(self.statement()?)))
    }

    fn query(&mut self) -> Result<Box<ast::Query>> {
        let query = self.inner.parse_query().map_err(|e| self.error(&e))?;
        match reserved::reserved_relation(&query) {
            Some(word) => Err(unexpected(&word.value, false, word.span.start)),
            None => Ok(query),
        }
    }

    fn identifier(&mut self) -> Result<Ident> {
        self.inner.parse_identifier().map_err(|e| self.error(&e))
    }

    fn relation(&mut self) -> Result<String> {
        let name = self.inner.parse_object_name(false).map_err(|e| self.error(&e))?;
        relation_name(&name)
    }

    /// `(name, …)` where it is there.
    fn optional_columns(&mut self) -> Result<Vec<String>> {
        let mut columns = Vec::new();
        if self.inner.consume_token(&Token::LParen) {
            loop {
                columns.push(fold(&self.identifier()?));
                if !self.inner.consume_token(&Token::Comma) {
                    break;
                }
            }
            self.expect(&Token::RParen)?;
        }
        Ok(columns)
    }

    fn peek(&self) -> Token {
        self.inner.peek_token().token
    }

    fn peek_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    /// Takes a word if it comes next.
    fn word(&mut self, word: &str) -> bool {
        let there = self.peek_word(word);
        if there {
            self.inner.next_token();
        }
        there
    }

    /// Takes all of the words, or none.
    fn words(&mut self, words: &[&str]) -> bool {
        let there = words.iter().enumerate().all(
            |(i, word)| matches!(self.inner.peek_nth_token(i).token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word)),
        );
        if there {
            words.iter().for_each(|_| drop(self.inner.next_token()));
        }
        there
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.word(word) { Ok(()) } else { Err(self.unexpected(&self.inner.peek_token())) }
    }

    fn expect(&mut self, token: &Token) -> Result<()> {
        if self.inner.consume_token(token) { Ok(()) } else { Err(self.unexpected(&self.inner.peek_token())) }
    }

    fn expect_end(&mut self) -> Result<()> {
        self.refuse_as_of()?;
        match self.peek() {
            Token::EOF | Token::SemiColon => Ok(()),
            _ => Err(self.unexpected(&self.inner.peek_token())),
        }
    }

    fn after_word(&mut self, statement: Statement) -> Result<Statement> {
        self.inner.next_token();
        Ok(statement)
    }

    fn unexpected(&self, token: &TokenWithSpan) -> SqlError {
        unexpected(&token.token.to_string(), token.token == Token::EOF, token.span.start)
    }

    /// A syntax error of sqlparser, in PostgreSQL's words where they can be found.
    fn error(&self, error: &ParserError) -> SqlError {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return SqlError::new(code::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                    .with_hint("Nest expressions and queries less deeply.");
            }
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let (text, location) = message.rsplit_once(" at Line: ").map_or((message.as_str(), None), |(text, place)| {
            let mut numbers = place.split(", Column: ").map(|n| n.trim().parse::<u64>().ok());
            (text, numbers.next().flatten().zip(numbers.next().flatten()))
        });
        let location = location.map_or(Location { line: 0, column: 0 }, |(line, column)| Location { line, column });
        match text.rsplit_once(", found: ") {
            Some((_, found)) => unexpected(found, found == "EOF", location),
            None => SqlError::syntax(text).at(location.line, location.column),
        }
    }

    /// Byte offset of the next token.
    fn offset(&self) -> usize {
        match self.inner.peek_token() {
            TokenWithSpan { token: Token::EOF, .. } => self.sql.len(),
            token => byte_offset(self.sql, &self.lines, token.span.start),
        }
    }

    fn text_since(&self, start: usize) -> String {
        let text = &self.sql[start..self.offset()];
        text.trim_end().trim_end_matches(';').trim_end().to_owned()
    }
}

/// `TOP` is a word like others in PostgreSQL; sqlparser takes it for a keyword in any dialect.
fn without_foreign_keyword(mut token: TokenWithSpan) -> TokenWithSpan {
    if let Token::Word(word) = &mut token.token
        && word.keyword == Keyword::TOP
    {
        word.keyword = Keyword::NoKeyword;
    }
    token
}

/// Byte offset of the start of each line.
fn line_starts(sql: &str) -> Vec<usize> {
    std::iter::once(0).chain(sql.match_indices('\n').map(|(i, _)| i + 1)).collect()
}

fn byte_offset(sql: &str, lines: &[usize], location: Location) -> usize {
    let line = usize::try_from(location.line).map_or(0, |l| l.saturating_sub(1));
    let start = lines.get(line).copied().unwrap_or(sql.len());
    let column = usize::try_from(location.column).map_or(0, |c| c.saturating_sub(1));
    sql[start..].char_indices().nth(column).map_or(sql.len(), |(i, _)| start + i)
}

/// An error of the tokenizer, in PostgreSQL's words; `rest` is the text from there on.
fn untokenized(message: &str, rest: &str, at: Location) -> SqlError {
    let what = match message {
        "Unterminated string literal" => "unterminated quoted string",
        m if m.starts_with("Expected close delimiter") => "unterminated quoted identifier",
        m if m.starts_with("Unterminated dollar-quoted") => "unterminated dollar-quoted string",
        m if m.contains("multi-line comment") => "unterminated /* comment",
        other => return SqlError::syntax(other).at(at.line, at.column),
    };
    let near = if rest.is_empty() { String::new() } else { format!(" at or near \"{rest}\"") };
    SqlError::syntax(format!("{what}{near}")).at(at.line, at.column)
}

fn unexpected(found: &str, end: bool, at: Location) -> SqlError {
    let error = if end {
        SqlError::syntax("syntax error at end of input")
    } else {
        SqlError::syntax(format!("syntax error at or near \"{found}\""))
    };
    error.at(at.line, at.column)
}

fn is_query_word(word: &str) -> bool {
    ["select", "with", "values", "table"].iter().any(|w| word.eq_ignore_ascii_case(w))
}
