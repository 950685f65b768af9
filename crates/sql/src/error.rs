//! The error of this crate: what PostgreSQL would say, with its SQLSTATE.
//!
//! Errors of DataFusion's binder are put into PostgreSQL's words in [`crate::bind::errors`].

use std::fmt;

use datafusion_common::DataFusionError;
use refrain_types::SqlState;

/// Result with this crate's error.
pub type Result<T, E = SqlError> = std::result::Result<T, E>;

/// A statement that cannot be parsed, bound or optimized. Lower case, no period, the object named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct SqlError {
    /// SQLSTATE.
    pub code: SqlState,
    /// What is wrong.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where in the text.
    pub position: Option<Position>,
}

/// A place in a statement's text, both counted from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column in that line.
    pub column: u64,
}

/// The codes that this crate uses.
pub mod code {
    use refrain_types::SqlState;

    /// `feature_not_supported`
    pub const FEATURE_NOT_SUPPORTED: SqlState = SqlState(*b"0A000");
    /// `invalid_parameter_value`
    pub const INVALID_PARAMETER_VALUE: SqlState = SqlState(*b"22023");
    /// `sequence_generator_limit_exceeded`
    pub const SEQUENCE_LIMIT_EXCEEDED: SqlState = SqlState(*b"2200H");
    /// `generated_always`
    pub const GENERATED_ALWAYS: SqlState = SqlState(*b"428C9");
    /// `invalid_row_count_in_limit_clause`
    pub const INVALID_LIMIT: SqlState = SqlState(*b"2201W");
    /// `invalid_row_count_in_result_offset_clause`
    pub const INVALID_OFFSET: SqlState = SqlState(*b"2201X");
    /// `dependent_objects_still_exist`
    pub const DEPENDENT_OBJECTS_STILL_EXIST: SqlState = SqlState(*b"2BP01");
    /// `invalid_schema_name`
    pub const INVALID_SCHEMA_NAME: SqlState = SqlState(*b"3F000");
    /// `syntax_error`
    pub const SYNTAX_ERROR: SqlState = SqlState(*b"42601");
    /// `duplicate_column`
    pub const DUPLICATE_COLUMN: SqlState = SqlState(*b"42701");
    /// `ambiguous_column`
    pub const AMBIGUOUS_COLUMN: SqlState = SqlState(*b"42702");
    /// `undefined_column`
    pub const UNDEFINED_COLUMN: SqlState = SqlState(*b"42703");
    /// `undefined_object`
    pub const UNDEFINED_OBJECT: SqlState = SqlState(*b"42704");
    /// `duplicate_object`
    pub const DUPLICATE_OBJECT: SqlState = SqlState(*b"42710");
    /// `duplicate_alias`
    pub const DUPLICATE_ALIAS: SqlState = SqlState(*b"42712");
    /// `grouping_error`
    pub const GROUPING_ERROR: SqlState = SqlState(*b"42803");
    /// `datatype_mismatch`
    pub const DATATYPE_MISMATCH: SqlState = SqlState(*b"42804");
    /// `wrong_object_type`
    pub const WRONG_OBJECT_TYPE: SqlState = SqlState(*b"42809");
    /// `undefined_function`, for operators too
    pub const UNDEFINED_FUNCTION: SqlState = SqlState(*b"42883");
    /// `undefined_table`
    pub const UNDEFINED_TABLE: SqlState = SqlState(*b"42P01");
    /// `invalid_function_definition`
    pub const INVALID_FUNCTION_DEFINITION: SqlState = SqlState(*b"42P13");
    /// `undefined_parameter`
    pub const UNDEFINED_PARAMETER: SqlState = SqlState(*b"42P02");
    /// `duplicate_function`
    pub const DUPLICATE_FUNCTION: SqlState = SqlState(*b"42723");
    /// `duplicate_schema`
    pub const DUPLICATE_SCHEMA: SqlState = SqlState(*b"42P06");
    /// `reserved_name`
    pub const RESERVED_NAME: SqlState = SqlState(*b"42939");
    /// `duplicate_table`
    pub const DUPLICATE_TABLE: SqlState = SqlState(*b"42P07");
    /// `invalid_column_reference`
    pub const INVALID_COLUMN_REFERENCE: SqlState = SqlState(*b"42P10");
    /// `invalid_table_definition`
    pub const INVALID_TABLE_DEFINITION: SqlState = SqlState(*b"42P16");
    /// `invalid_object_definition`
    pub const INVALID_OBJECT_DEFINITION: SqlState = SqlState(*b"42P17");
    /// `indeterminate_datatype`
    pub const INDETERMINATE_DATATYPE: SqlState = SqlState(*b"42P18");
    /// `invalid_recursion`
    pub const INVALID_RECURSION: SqlState = SqlState(*b"42P19");
    /// `windowing_error`
    pub const WINDOWING_ERROR: SqlState = SqlState(*b"42P20");
    /// `cannot_coerce`
    pub const CANNOT_COERCE: SqlState = SqlState(*b"42846");
    /// `statement_too_complex`
    pub const STATEMENT_TOO_COMPLEX: SqlState = SqlState(*b"54001");
}

impl SqlError {
    /// An error with a code and a message.
    pub fn new(code: SqlState, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string(), detail: None, hint: None, position: None }
    }

    /// `feature_not_supported`.
    pub fn unsupported(message: impl fmt::Display) -> Self {
        Self::new(code::FEATURE_NOT_SUPPORTED, message)
    }

    /// `syntax_error`.
    pub fn syntax(message: impl fmt::Display) -> Self {
        Self::new(code::SYNTAX_ERROR, message)
    }

    /// `undefined_table` for a relation of this name.
    pub fn no_relation(name: impl fmt::Display) -> Self {
        Self::new(code::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
    }

    /// The same with a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The same with a position.
    #[must_use]
    pub fn at(mut self, line: u64, column: u64) -> Self {
        self.position = (line > 0).then_some(Position { line, column });
        self
    }
}

/// So that our error can travel through DataFusion's binder and optimizer; [`crate::bind::errors`] takes it out again.
impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}
