//! PostgreSQL's types and the Arrow types that stand for them.
//!
//! The name of a type is PostgreSQL's (`character varying(10)`), and that is how the catalog stores it. Text types are all `Utf8`;
//! the length of `varchar(n)` and `char(n)` is a rule for what is written into a table, not a property of values in flight.
//!
//! # Known limitation
//! `numeric` without precision is `Decimal128(38, 10)`: 28 digits before and 10 after the point. PostgreSQL's has no such limit.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion_sql::sqlparser::ast::{self, ArrayElemTypeDef, CharacterLength, ExactNumberInfo, TimezoneInfo};

use crate::error::{Result, SqlError, code};

/// Precision of every `numeric` whose precision is not stated.
pub const NUMERIC_PRECISION: u8 = 38;
/// Scale of every `numeric` whose scale is not stated.
pub const NUMERIC_SCALE: i8 = 10;
/// The time zone in which `timestamp with time zone` is kept.
pub const UTC: &str = "+00:00";

/// A type of a column, as PostgreSQL names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// `smallint`
    SmallInt,
    /// `integer`
    Integer,
    /// `bigint`
    BigInt,
    /// `real`
    Real,
    /// `double precision`
    Double,
    /// `numeric` or `numeric(precision, scale)`
    Numeric(Option<(u8, i8)>),
    /// `text`
    Text,
    /// `character varying` or `character varying(n)`
    Varchar(Option<u32>),
    /// `character(n)`
    Char(u32),
    /// `boolean`
    Boolean,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `interval`
    Interval,
    /// `bytea`
    Bytea,
}

impl SqlType {
    /// The Arrow type of a column of this type.
    #[must_use]
    pub fn arrow(&self) -> DataType {
        match self {
            Self::SmallInt => DataType::Int16,
            Self::Integer => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Real => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Numeric(None) => DataType::Decimal128(NUMERIC_PRECISION, NUMERIC_SCALE),
            Self::Numeric(Some((precision, scale))) => DataType::Decimal128(*precision, *scale),
            Self::Text | Self::Varchar(_) | Self::Char(_) => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Bytea => DataType::Binary,
        }
    }

    /// The type that PostgreSQL would give a value of this Arrow type; `None` where it has no such type.
    #[must_use]
    pub fn from_arrow(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => Self::SmallInt,
            DataType::UInt16 | DataType::Int32 => Self::Integer,
            DataType::UInt32 | DataType::Int64 | DataType::UInt64 => Self::BigInt,
            DataType::Float16 | DataType::Float32 => Self::Real,
            DataType::Float64 => Self::Double,
            DataType::Decimal128(38, _) | DataType::Decimal256(_, _) => Self::Numeric(None),
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => Self::Numeric(Some((*p, *s))),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Self::Text,
            DataType::Boolean => Self::Boolean,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::TimestampTz,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Self::Bytea,
            DataType::Dictionary(_, value) => return Self::from_arrow(value),
            _ => return None,
        })
    }

    /// Reads a type of a parsed statement.
    ///
    /// # Errors
    /// `type "x" does not exist` for a type that neither PostgreSQL nor we know, `0A000` for one that we do not have yet.
    pub fn from_ast(data_type: &ast::DataType) -> Result<Self> {
        use ast::DataType as D;
        Ok(match data_type {
            D::SmallInt(None) | D::Int2(None) | D::Int16 => Self::SmallInt,
            D::Int(None) | D::Integer(None) | D::Int4(None) | D::Int32 => Self::Integer,
            D::BigInt(None) | D::Int8(None) | D::Int64 => Self::BigInt,
            D::Real | D::Float4 | D::Float32 => Self::Real,
            D::DoublePrecision | D::Double(ExactNumberInfo::None) | D::Float8 | D::Float64 | D::Float(ExactNumberInfo::None) => {
                Self::Double
            }
            D::Float(ExactNumberInfo::Precision(p)) if (1..=24).contains(p) => Self::Real,
            D::Float(ExactNumberInfo::Precision(p)) if (25..=53).contains(p) => Self::Double,
            D::Numeric(info) | D::Decimal(info) | D::Dec(info) => numeric(*info)?,
            D::Text | D::String(None) => Self::Text,
            D::Varchar(n) | D::CharacterVarying(n) | D::CharVarying(n) => Self::Varchar(length(n.as_ref(), "varchar")?),
            D::Char(n) | D::Character(n) => Self::Char(length(n.as_ref(), "char")?.unwrap_or(1)),
            D::Bool | D::Boolean => Self::Boolean,
            D::Date => Self::Date,
            D::Time(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Self::Time,
            D::Timestamp(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Self::Timestamp,
            D::Timestamp(None | Some(6), TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => Self::TimestampTz,
            D::Interval { fields: None, precision: None } => Self::Interval,
            D::Bytea => Self::Bytea,
            D::Custom(name, modifiers) if modifiers.is_empty() => return Self::from_name(&name.to_string().to_lowercase()),
            other => return Err(unsupported_type(&other.to_string().to_lowercase())),
        })
    }

    fn from_name(name: &str) -> Result<Self> {
        match name.strip_prefix("pg_catalog.").unwrap_or(name) {
            "timestamptz" => Ok(Self::TimestampTz),
            "bpchar" => Ok(Self::Text),
            "serial" | "bigserial" | "smallserial" | "uuid" | "json" | "jsonb" | "xml" | "inet" | "cidr" | "money" | "oid"
            | "timetz" => Err(unsupported_type(name)),
            _ => Err(SqlError::new(code::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))),
        }
    }

    /// Reads the name of a type, as [`fmt::Display`] writes it.
    ///
    /// # Errors
    /// As [`SqlType::from_ast`].
    pub fn parse(name: &str) -> Result<Self> {
        Self::from_ast(&crate::parser::parse_data_type(name)?)
    }

    /// Whether it holds text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Varchar(_) | Self::Char(_))
    }
}

/// The Arrow type of a parsed type, lists included. For casts and literals.
pub(crate) fn arrow_type(data_type: &ast::DataType) -> Result<DataType> {
    match data_type {
        ast::DataType::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) => {
            Ok(DataType::List(Arc::new(Field::new_list_field(arrow_type(element)?, true))))
        }
        other => Ok(SqlType::from_ast(other)?.arrow()),
    }
}

/// PostgreSQL's name of an Arrow type, for messages.
#[must_use]
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(element) | DataType::LargeList(element) => format!("{}[]", type_name(element.data_type())),
        DataType::Struct(_) => "record".to_owned(),
        DataType::Null => "unknown".to_owned(),
        DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric".to_owned(),
        other => SqlType::from_arrow(other).map_or_else(|| other.to_string(), |t| t.to_string()),
    }
}

fn unsupported_type(name: &str) -> SqlError {
    SqlError::unsupported(format!("type {name} is not supported"))
}

fn numeric(info: ExactNumberInfo) -> Result<SqlType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(SqlType::Numeric(None)),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let out_of_range = |what: String| SqlError::new(code::INVALID_PARAMETER_VALUE, what);
    let narrow = u8::try_from(precision).ok().filter(|p| (1..=NUMERIC_PRECISION).contains(p));
    let narrow = narrow.ok_or_else(|| out_of_range(format!("NUMERIC precision {precision} must be between 1 and 38")))?;
    let scale = i8::try_from(scale).ok().filter(|s| *s >= 0 && s.unsigned_abs() <= narrow);
    let scale = scale.ok_or_else(|| out_of_range(format!("NUMERIC scale must be between 0 and precision {precision}")))?;
    Ok(SqlType::Numeric(Some((narrow, scale))))
}

fn length(length: Option<&CharacterLength>, name: &str) -> Result<Option<u32>> {
    match length {
        None => Ok(None),
        Some(CharacterLength::IntegerLength { length, .. }) => match u32::try_from(*length) {
            Ok(0) => Err(SqlError::new(code::INVALID_PARAMETER_VALUE, format!("length for type {name} must be at least 1"))),
            Ok(n) if n <= 10_485_760 => Ok(Some(n)),
            _ => Err(SqlError::new(code::INVALID_PARAMETER_VALUE, format!("length for type {name} cannot exceed 10485760"))),
        },
        Some(CharacterLength::Max) => Err(unsupported_type(&format!("{name}(max)"))),
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallInt => f.write_str("smallint"),
            Self::Integer => f.write_str("integer"),
            Self::BigInt => f.write_str("bigint"),
            Self::Real => f.write_str("real"),
            Self::Double => f.write_str("double precision"),
            Self::Numeric(None) => f.write_str("numeric"),
            Self::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            Self::Text => f.write_str("text"),
            Self::Varchar(None) => f.write_str("character varying"),
            Self::Varchar(Some(n)) => write!(f, "character varying({n})"),
            Self::Char(n) => write!(f, "character({n})"),
            Self::Boolean => f.write_str("boolean"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time without time zone"),
            Self::Timestamp => f.write_str("timestamp without time zone"),
            Self::TimestampTz => f.write_str("timestamp with time zone"),
            Self::Interval => f.write_str("interval"),
            Self::Bytea => f.write_str("bytea"),
        }
    }
}

/// Written as its name.
impl serde::Serialize for SqlType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Read by its name.
impl<'de> serde::Deserialize<'de> for SqlType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}
