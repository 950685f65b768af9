//! Values, rows, and how both are written.

use std::fmt;

/// The type of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// `int`
    Int,
    /// `text`
    Text,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "int",
            Self::Text => "text",
        })
    }
}

/// A value. Equal values are those that GROUP BY takes as equal: NULL is equal to NULL here, and comes first in the order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number within the range of `int`.
    Int(i64),
    /// A text of a fixed few.
    Text(&'static str),
}

impl Value {
    /// As the engine displays it; `None` is NULL.
    #[must_use]
    pub fn text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Int(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.to_owned()),
        }
    }

    /// As a literal of this type.
    #[must_use]
    pub fn literal(self, of: Type) -> String {
        match self {
            Self::Null => format!("CAST(NULL AS {of})"),
            _ => self.to_string(),
        }
    }
}

/// As a literal whose type is known from where it stands.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Int(number) if *number < 0 => write!(f, "({number})"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "'{text}'"),
        }
    }
}

/// A row.
pub type Row = Vec<Value>;

/// A row as it stands in VALUES.
#[must_use]
pub fn row_text(row: &[Value]) -> String {
    format!("({})", row.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
}
