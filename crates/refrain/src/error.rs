//! The error that every call of the facade returns: PostgreSQL's words with its SQLSTATE, detail and hint apart.
//!
//! Errors of the other crates are turned into this one where they cross into the facade, nowhere else.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use refrain_sql::SqlError;
use refrain_types::SqlState;
use refrain_types::errors::Errors;

/// What went wrong, for a caller that acts differently by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The statement is wrong, or asks for what does not exist; nothing changed.
    Statement,
    /// The data is wrong: a value that cannot be stored, or an error row in what was read.
    Data,
    /// What was asked is not supported.
    Unsupported,
    /// The statement was cancelled, by the user or by `statement_timeout`.
    Cancelled,
    /// Reading or writing the store or a file failed.
    Io,
    /// Another process has opened the store for writing; this engine writes no more.
    Fenced,
    /// The engine has failed or is closed; it has to be opened again.
    Engine,
}

/// An error of the facade. `Display` is the message alone.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    code: Cow<'static, str>,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<Position>,
}

/// A place in the text of a statement, both counted from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column in that line.
    pub column: u64,
}

/// A result of the facade.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind, with a SQLSTATE and a message.
    pub(crate) fn new(kind: ErrorKind, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, code: code.into(), message: message.into(), detail: None, hint: None, position: None }))
    }

    /// A statement that is wrong.
    pub(crate) fn statement(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Statement, code, message)
    }

    /// A value that is wrong.
    pub(crate) fn data(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, code, message)
    }

    /// What is not supported.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, "0A000", message)
    }

    /// A store or a file that could not be read or written.
    pub(crate) fn io(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Io, "58030", message)
    }

    /// The engine is of no more use.
    pub(crate) fn engine(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Engine, "XX000", message)
    }

    /// A statement that has panicked.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::statement("XX000", format!("internal error: {}", message.unwrap_or("a statement has panicked")))
    }

    /// The engine has been closed.
    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Engine, "57P01", "the engine has been closed")
    }

    /// The statement was cancelled by the user.
    pub(crate) fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "57014", "canceling statement due to user request")
    }

    /// The statement took longer than `statement_timeout`.
    pub(crate) fn timed_out() -> Self {
        Self::new(ErrorKind::Cancelled, "57014", "canceling statement due to statement timeout")
    }

    /// The least error of a relation that is not empty of them, as the statement's error.
    pub(crate) fn of_rows(relation: &str, errors: &Errors) -> Option<Self> {
        let (first, _) = errors.iter().filter(|(_, w)| *w != 0).min_by(|a, b| a.0.cmp(&b.0))?;
        let rows = errors.iter().map(|(_, w)| w.max(&0)).sum::<i64>();
        let plural = if rows == 1 { "row fails" } else { "rows fail" };
        let error = Self::data(first.code.to_string(), first.message.clone())
            .with_detail(format!("{rows} {plural} while \"{relation}\" is maintained; it is well again when they are deleted"));
        // The only limit that rows run into is that of a recursion.
        Some(if first.code == SqlState::PROGRAM_LIMIT_EXCEEDED {
            error.with_hint("With RETURN AT RECURSION LIMIT the query shows what there is by then, and EXPLAIN WHY of it which rows one is derived from.")
        } else {
            error
        })
    }

    /// The same, which begins with what it is about.
    pub(crate) fn said_of(mut self, what: &str) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// The same with a detail.
    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The same with a hint.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// SQLSTATE, five letters or digits.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The message: lower case, no full stop.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// More about what went wrong.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Where in the statement it was noticed.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<(SqlState, String)> for Error {
    fn from((code, message): (SqlState, String)) -> Self {
        Self::data(code.to_string(), message)
    }
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        let kind = match error.code.as_str() {
            "0A000" => ErrorKind::Unsupported,
            code if code.starts_with("22") => ErrorKind::Data,
            _ => ErrorKind::Statement,
        };
        let mut ours = Self::new(kind, error.code.to_string(), error.message);
        ours.0.detail = error.detail;
        ours.0.hint = error.hint;
        ours.0.position = error.position.map(|p| Position { line: p.line, column: p.column });
        ours
    }
}

impl From<refrain_checkpoint::Error> for Error {
    fn from(error: refrain_checkpoint::Error) -> Self {
        if error.is_fenced() {
            return Self::new(ErrorKind::Fenced, "25006", error.to_string())
                .with_hint("Only one process may write to a store. This one is out of date and has to be ended.");
        }
        if matches!(error, refrain_checkpoint::Error::NoCheckpoint { .. }) {
            return Self::statement("42704", error.to_string());
        }
        Self::io(error.to_string())
    }
}
