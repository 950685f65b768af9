//! `round`, `trunc`, `ceil`, `floor` and `sign` with PostgreSQL's result types and rounding.
//!
//! Of `numeric`, they are `numeric` with the digits after the point that were asked for, and a half is rounded away from zero. Of all
//! else they are `double precision`, and a half is rounded to even.
//!
//! # Known limitation
//! A number of digits that is not a literal cannot be part of a type: the result keeps the digits of the argument.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type};
use datafusion_common::{DataFusionError, Result, ScalarValue, exec_err, internal_err};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::bind::errors::no_function;
use crate::types::NUMERIC_PRECISION;

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Round,
    Trunc,
    Ceil,
    Floor,
    Sign,
}

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Rounding {
    kind: Kind,
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
}

impl Rounding {
    /// All of them.
    pub(super) fn all() -> Vec<Self> {
        let function = |kind, name, aliases: &[&str]| Self {
            kind,
            name,
            aliases: aliases.iter().map(ToString::to_string).collect(),
            signature: Signature::user_defined(Volatility::Immutable),
        };
        vec![
            function(Kind::Round, "round", &[]),
            function(Kind::Trunc, "trunc", &[]),
            function(Kind::Ceil, "ceil", &["ceiling"]),
            function(Kind::Floor, "floor", &[]),
            function(Kind::Sign, "sign", &["signum"]),
        ]
    }

    /// The decimal type of the result for one of this precision and scale.
    fn decimal(&self, precision: u8, scale: i8, places: Places) -> DataType {
        let whole = precision.saturating_add_signed(-scale);
        match (self.kind, places) {
            (Kind::Sign, _) => DataType::Decimal128(1, 0),
            (_, Places::Unknown) => DataType::Decimal128(precision.saturating_add(1).min(NUMERIC_PRECISION), scale),
            (kind, Places::Known(places)) => {
                let places = places.clamp(0, i64::from(NUMERIC_PRECISION)) as u8;
                let carry = u8::from(kind != Kind::Trunc);
                let needed = whole.saturating_add(carry).saturating_add(places).clamp(1, NUMERIC_PRECISION);
                // Numbers without a stated precision stay such.
                let precision = if precision == NUMERIC_PRECISION { precision } else { needed };
                DataType::Decimal128(precision, places as i8)
            }
        }
    }

    fn round_floats(&self, values: &Float64Array) -> Float64Array {
        values.unary(|x| match self.kind {
            Kind::Round => x.round_ties_even(),
            Kind::Trunc => x.trunc(),
            Kind::Ceil => x.ceil(),
            Kind::Floor => x.floor(),
            Kind::Sign if x > 0.0 => 1.0,
            Kind::Sign if x < 0.0 => -1.0,
            Kind::Sign if x.is_nan() => x,
            Kind::Sign => 0.0,
        })
    }

    /// `digits / 10^scale`, rounded to so many digits after the point, in units of `10^-to`. `None` when it has too many digits.
    fn round_digits(&self, digits: i128, scale: i8, places: i64, to: i8) -> Option<i128> {
        if self.kind == Kind::Sign {
            return Some(digits.signum());
        }
        let dropped = u32::try_from(i64::from(scale).saturating_sub(places)).unwrap_or(0);
        if dropped == 0 {
            return digits.checked_mul(power_of_ten(i64::from(to) - i64::from(scale))?);
        }
        let Some(unit) = 10_i128.checked_pow(dropped) else { return Some(0) };
        let (whole, rest) = (digits / unit, digits % unit);
        let carry = match self.kind {
            Kind::Round if rest.abs() >= unit - rest.abs() => rest.signum(),
            Kind::Ceil if rest > 0 => 1,
            Kind::Floor if rest < 0 => -1,
            _ => 0,
        };
        (whole + carry).checked_mul(power_of_ten(i64::from(to).saturating_sub(places))?)
    }

    fn round_decimals(&self, values: &ArrayRef, places: Option<&ArrayRef>, precision: u8, to: i8) -> Result<Decimal128Array> {
        let values = values.as_primitive::<Decimal128Type>();
        let places = places.map(|p| cast(p, &DataType::Int64)).transpose()?;
        let places = places.as_ref().map(|p| p.as_primitive::<Int64Type>());
        let limit = 10_i128.pow(u32::from(precision));
        let one = |row: usize| {
            if values.is_null(row) || places.is_some_and(|p| p.is_null(row)) {
                return Ok(None);
            }
            let places = places.map_or(0, |p| p.value(row));
            match self.round_digits(values.value(row), values.scale(), places, to) {
                Some(rounded) if rounded.abs() < limit => Ok(Some(rounded)),
                _ => exec_err!("numeric field overflow"),
            }
        };
        let rounded = (0..values.len()).map(one).collect::<Result<Decimal128Array>>()?;
        Ok(rounded.with_precision_and_scale(precision, to)?)
    }
}

/// How many digits after the point are asked for.
#[derive(Clone, Copy)]
enum Places {
    Known(i64),
    Unknown,
}

/// `None` where it does not fit.
fn power_of_ten(exponent: i64) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).unwrap_or(0))
}

/// The numeric type that an exact number is taken as.
fn exact(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => DataType::Decimal128(5, 0),
        DataType::UInt16 | DataType::Int32 => DataType::Decimal128(10, 0),
        DataType::UInt32 | DataType::Int64 | DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal256(_, s) => DataType::Decimal128(NUMERIC_PRECISION, *s),
        DataType::Null => DataType::Decimal128(NUMERIC_PRECISION, crate::types::NUMERIC_SCALE),
        _ => return None,
    })
}

impl ScalarUDFImpl for Rounding {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // A literal number of digits comes as a bigint, which it is not.
        let said = |t: &DataType| if *t == DataType::Int64 { DataType::Int32 } else { t.clone() };
        let none = || match types {
            [of, places] => DataFusionError::from(no_function(self.name, &[of.clone(), said(places)])),
            _ => DataFusionError::from(no_function(self.name, types)),
        };
        match types {
            [of] if of.is_decimal() => Ok(vec![exact(of).ok_or_else(none)?]),
            [of] if of.is_numeric() || of.is_null() => Ok(vec![DataType::Float64]),
            [of, places] if matches!(self.kind, Kind::Round | Kind::Trunc) => {
                // A literal has to stay one, so its type is left as it is.
                let places = match places {
                    DataType::Int16 | DataType::Int32 | DataType::Int64 => places.clone(),
                    DataType::Null => DataType::Int32,
                    _ => return Err(none()),
                };
                Ok(vec![exact(of).ok_or_else(none)?, places])
            }
            _ => Err(none()),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on its arguments", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let places = match args.scalar_arguments.get(1) {
            None => Places::Known(0),
            Some(None) => Places::Unknown,
            Some(Some(literal)) => match literal.cast_to(&DataType::Int64)? {
                ScalarValue::Int64(Some(places)) => Places::Known(places),
                _ => Places::Known(0),
            },
        };
        let data_type = match args.arg_fields[0].data_type() {
            DataType::Decimal128(precision, scale) => self.decimal(*precision, *scale, places),
            _ => DataType::Float64,
        };
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name, data_type, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let rounded: ArrayRef = match args.return_type() {
            DataType::Decimal128(precision, scale) => {
                Arc::new(self.round_decimals(&columns[0], columns.get(1), *precision, *scale)?)
            }
            _ => Arc::new(self.round_floats(columns[0].as_primitive::<Float64Type>())),
        };
        if is_scalar {
            ScalarValue::try_from_array(&rounded, 0).map(ColumnarValue::Scalar)
        } else {
            Ok(ColumnarValue::Array(rounded))
        }
    }
}
