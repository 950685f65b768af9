//! Expressions and conditions over the columns of one row, by their positions.

use crate::value::{Type, Value};

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// A column.
    Column(usize),
    /// A literal.
    Literal(Value, Type),
    /// `a + b`
    Add(Box<Self>, Box<Self>),
    /// `a - b`
    Subtract(Box<Self>, Box<Self>),
    /// `a % n`; the sign is that of `a`, and `n` is not 0.
    Modulo(Box<Self>, i64),
    /// `least(…)`, which passes over NULLs.
    Least(Vec<Self>),
    /// `greatest(…)`, which passes over NULLs.
    Greatest(Vec<Self>),
    /// `coalesce(…)`
    Coalesce(Vec<Self>),
    /// `nullif(a, b)`
    NullIf(Box<Self>, Box<Self>),
    /// `CASE WHEN … THEN … ELSE … END`
    Case {
        /// The condition.
        when: Box<Predicate>,
        /// What it is where the condition is true.
        then: Box<Self>,
        /// What it is elsewhere.
        otherwise: Box<Self>,
    },
}

impl Expr {
    /// A number.
    #[must_use]
    pub fn int(number: i64) -> Self {
        Self::Literal(Value::Int(number), Type::Int)
    }

    /// Its type over columns of these types.
    #[must_use]
    pub fn data_type(&self, input: &[Type]) -> Type {
        match self {
            Self::Column(at) => input[*at],
            Self::Literal(_, of) => *of,
            Self::Least(all) | Self::Greatest(all) | Self::Coalesce(all) => all[0].data_type(input),
            Self::NullIf(one, _) | Self::Case { then: one, .. } => one.data_type(input),
            Self::Add(..) | Self::Subtract(..) | Self::Modulo(..) => Type::Int,
        }
    }

    /// `self + number`
    #[must_use]
    pub fn plus(self, number: i64) -> Self {
        Self::Add(Box::new(self), Box::new(Self::int(number)))
    }
}

/// A comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `IS DISTINCT FROM`
    Distinct,
    /// `IS NOT DISTINCT FROM`
    NotDistinct,
}

/// A condition, which is true, false, or unknown.
#[derive(Clone, PartialEq, Debug)]
pub enum Predicate {
    /// TRUE.
    True,
    /// A comparison.
    Compare(Comparison, Expr, Expr),
    /// `IS NULL`
    IsNull(Expr),
    /// `IS NOT NULL`
    IsNotNull(Expr),
    /// `AND`
    And(Vec<Self>),
    /// `OR`
    Or(Vec<Self>),
    /// `NOT`
    Not(Box<Self>),
}

impl Predicate {
    /// `left = right`
    #[must_use]
    pub fn equal(left: Expr, right: Expr) -> Self {
        Self::Compare(Comparison::Equal, left, right)
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, one) | (one, Self::True) => one,
            (Self::And(mut all), one) => {
                all.push(one);
                Self::And(all)
            }
            (one, another) => Self::And(vec![one, another]),
        }
    }
}
