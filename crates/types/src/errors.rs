//! Errors as data: what an expression that fails on a row puts beside the data.

use std::fmt;

use crate::{OperatorId, Weight};

/// A five-letter SQLSTATE.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    /// `cardinality_violation`
    pub const CARDINALITY_VIOLATION: Self = Self(*b"21000");
    /// `division_by_zero`
    pub const DIVISION_BY_ZERO: Self = Self(*b"22012");
    /// `numeric_value_out_of_range`
    pub const NUMERIC_VALUE_OUT_OF_RANGE: Self = Self(*b"22003");
    /// `invalid_text_representation`
    pub const INVALID_TEXT_REPRESENTATION: Self = Self(*b"22P02");
    /// `datetime_field_overflow`
    pub const DATETIME_FIELD_OVERFLOW: Self = Self(*b"22008");
    /// `data_exception`, where nothing closer is known
    pub const DATA_EXCEPTION: Self = Self(*b"22000");
    /// `program_limit_exceeded`
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self(*b"54000");
    /// `internal_error`
    pub const INTERNAL_ERROR: Self = Self(*b"XX000");

    /// Reads a code of five ASCII letters or digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 5] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a code is made of ASCII letters and digits")
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error beside the data. Errors form a Z-set of their own: two bad rows with the same message have weight 2, and the view
/// is well again when the weight is back at 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ErrorRow {
    /// The node of the plan that evaluated the expression.
    pub operator: OperatorId,
    /// SQLSTATE of the error.
    pub code: SqlState,
    /// What PostgreSQL would say.
    pub message: String,
}

/// Errors with their weights.
pub type Errors = Vec<(ErrorRow, Weight)>;
