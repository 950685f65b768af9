//! Completion of keywords and of the names of tables and views.

use std::sync::{Arc, Mutex, PoisonError};

use reedline::{Completer, CompletionResult, Span, Suggestion};

const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "APPEND_ONLY",
    "AS",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "CASCADE",
    "CASE",
    "CAST",
    "CHECKPOINT",
    "COLUMNS",
    "COPY",
    "COUNT",
    "CREATE",
    "CROSS",
    "CSV",
    "DATE",
    "DELETE",
    "DELIMITER",
    "DESC",
    "DISTINCT",
    "DOUBLE PRECISION",
    "DROP",
    "ELSE",
    "END",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FORMAT",
    "FROM",
    "GROUP BY",
    "HAVING",
    "HEADER",
    "IN",
    "INDEX",
    "INNER",
    "INSERT INTO",
    "INT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MATERIALIZED VIEW",
    "MAX",
    "MIN",
    "NOT",
    "NULL",
    "NUMERIC",
    "OFFSET",
    "ON",
    "OR",
    "ORDER BY",
    "PROGRESS",
    "RECURSIVE",
    "RESET",
    "RESTRICT",
    "SELECT",
    "SET",
    "SHOW",
    "SMALLINT",
    "SNAPSHOT",
    "SUBSCRIBE",
    "SUM",
    "TABLE",
    "TABLES",
    "TEXT",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "UNION",
    "UPDATE",
    "USING",
    "VALUES",
    "VARCHAR",
    "VIEW",
    "VIEWS",
    "WHEN",
    "WHERE",
    "WHY",
    "WITH",
];

/// The names that exist, which the shell keeps up to date.
pub(crate) type Names = Arc<Mutex<Vec<String>>>;

/// Completes the word before the cursor.
pub(crate) struct WordCompleter {
    names: Names,
}

impl WordCompleter {
    pub(crate) fn new(names: Names) -> Self {
        Self { names }
    }

    /// Where the word before the cursor begins, and what it may become: names first.
    fn candidates(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = &line[..cursor];
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .map_or(0, |i| i + before[i..].chars().next().map_or(0, char::len_utf8));
        let word = before[start..].to_lowercase();
        if word.is_empty() {
            return (start, Vec::new());
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names.iter().filter(|name| name.starts_with(&word)).cloned();
        // A keyword comes in the case that the word is typed in.
        let upper = before[start..].starts_with(char::is_uppercase);
        let keywords = KEYWORDS.iter().filter(|keyword| keyword.to_lowercase().starts_with(&word));
        let keywords = keywords.map(|keyword| if upper { (*keyword).to_owned() } else { keyword.to_lowercase() });
        (start, names.chain(keywords).collect())
    }
}

impl Completer for WordCompleter {
    fn complete(&mut self, line: &str, cursor: usize) -> CompletionResult {
        let (start, candidates) = self.candidates(line, cursor);
        let suggestions = candidates.into_iter().map(|value| Suggestion {
            value,
            span: Span::new(start, cursor),
            append_whitespace: true,
            ..Suggestion::default()
        });
        CompletionResult::Fresh { suggestions: suggestions.collect(), partial: None }
    }
}

#[cfg(test)]
mod tests;
