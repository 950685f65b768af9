//! How the bits of a physical value are read: as a number that is ordered as the values are.

use arrow::datatypes::DataType;
use refrain_types::physical::{fixed_width_bits, is_coded};

/// How the bits of a value are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// A whole number, or anything that is ordered as one, of so many bits.
    Signed(u32),
    Unsigned,
    Float32,
    Float64,
    /// An unscaled decimal of this scale.
    Decimal(i8),
    Code,
}

impl Domain {
    pub fn of(data_type: &DataType) -> Option<Self> {
        use DataType as D;
        Some(match data_type {
            D::Boolean | D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => Self::Unsigned,
            D::Float32 => Self::Float32,
            D::Float64 => Self::Float64,
            D::Decimal128(_, scale) => Self::Decimal(*scale),
            D::Interval(_) => return None,
            other if is_coded(other) => Self::Code,
            other => Self::Signed(fixed_width_bits(other)?),
        })
    }

    /// The value as a number that is ordered as the values are. NaN is the greatest float, −0 the one before 0.
    pub fn number(self, bits: u128) -> i128 {
        let signed = |width: u32| ((bits as i128) << (128 - width)) >> (128 - width);
        match self {
            Self::Signed(width) => signed(width),
            Self::Float32 => flip(signed(32), u128::from(u32::MAX >> 1)),
            Self::Float64 => flip(signed(64), u128::from(u64::MAX >> 1)),
            Self::Decimal(_) | Self::Unsigned | Self::Code => bits as i128,
        }
    }

    /// The inverse of [`Self::number`].
    pub fn bits(self, number: i128) -> u128 {
        match self {
            Self::Signed(width) => number as u128 & (u128::MAX >> (128 - width)),
            Self::Float32 => flip(number, u128::from(u32::MAX >> 1)) as u128 & u128::from(u32::MAX),
            Self::Float64 => flip(number, u128::from(u64::MAX >> 1)) as u128 & u128::from(u64::MAX),
            Self::Decimal(_) | Self::Unsigned | Self::Code => number as u128,
        }
    }

    pub fn float(self, bits: u128) -> f64 {
        if self == Self::Float32 { f64::from(f32::from_bits(bits as u32)) } else { f64::from_bits(bits as u64) }
    }
}

/// Negative floats are ordered by their bits downwards: the bits but for the sign are turned over.
fn flip(number: i128, magnitude: u128) -> i128 {
    if number < 0 { number ^ magnitude as i128 } else { number }
}
