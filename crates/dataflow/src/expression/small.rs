//! Integer arithmetic, comparisons and logic on single rows, without kernels.
//!
//! Recursions often move a row at a time, and setting up a kernel costs more than the row. An expression made of columns and literals of
//! integers and booleans (or of codes, to compare), `+ - * / %`, comparisons, `AND OR NOT`, `IS [NOT] NULL` and widening casts is
//! computed here when a batch is small. Results and errors are those of the kernels on a batch of that one row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int16Array, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, UInt32Type};
use datafusion_common::ScalarValue;
use datafusion_expr_common::operator::Operator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal, NotExpr};
use refrain_types::SqlState;

use super::inputs::Inputs;
use super::message::{Failed, division_by_zero, out_of_range};

/// Batches of fewer rows than this are computed row by row: about here the kernels overtake.
pub(super) const ROWS_MAX: usize = 16;

/// An expression that can be computed on a row.
#[derive(Debug)]
pub(super) struct Program {
    root: Node,
    kind: Kind,
}

/// Types that are computed with; values of each are carried as `i64`, booleans as 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Int16,
    Int32,
    Int64,
    /// A code, NULL where it is 0.
    Code,
}

#[derive(Debug)]
enum Node {
    /// A column of the physical batch.
    Column(usize, Kind),
    Literal(Option<i64>),
    Arithmetic {
        operator: Operator,
        kind: Kind,
        /// Whether leaving the type is an error; if not it wraps.
        checked: bool,
        sides: Box<[Node; 2]>,
    },
    Compare(Operator, Box<[Node; 2]>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Not(Box<Node>),
    /// `IS NULL` if true, `IS NOT NULL` if false.
    IsNull(bool, Box<Node>),
}

/// Why a row has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    DivisionByZero,
    OutOfRange(Kind),
}

/// A row that is computed on.
pub(super) trait Cells {
    /// A value of this type, `None` where it is NULL.
    fn cell(&self, column: usize, kind: Kind) -> Option<i64>;
}

struct BatchRow<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl Cells for BatchRow<'_> {
    fn cell(&self, column: usize, kind: Kind) -> Option<i64> {
        let array = self.batch.column(column);
        let row = self.row;
        if kind == Kind::Code {
            let code = array.as_primitive::<UInt32Type>().value(row);
            return (code != 0).then_some(i64::from(code));
        }
        if array.is_null(row) {
            return None;
        }
        Some(match kind {
            Kind::Boolean => i64::from(array.as_boolean().value(row)),
            Kind::Int16 => i64::from(array.as_primitive::<Int16Type>().value(row)),
            Kind::Int32 => i64::from(array.as_primitive::<Int32Type>().value(row)),
            Kind::Int64 | Kind::Code => array.as_primitive::<Int64Type>().value(row),
        })
    }
}

impl Program {
    /// The program of an expression over the narrow batch of `inputs`, if it is of the sort that can be computed here.
    pub(super) fn compile(expression: &Arc<dyn PhysicalExpr>, inputs: &Inputs) -> Option<Self> {
        let (root, kind) = compile(expression, inputs)?;
        // Codes are there to be compared; a code that comes out would have to be encoded again.
        (kind != Kind::Code && !matches!(root, Node::Column(..) | Node::Literal(_))).then_some(Self { root, kind })
    }

    /// The bits of the result for one row, `None` where it is NULL.
    pub(super) fn value(&self, row: &impl Cells) -> Result<Option<u128>, (SqlState, String)> {
        match self.root.value(row) {
            Ok(value) => Ok(value.map(|value| self.kind.bits(value))),
            Err(failure) => Err(failure.message()),
        }
    }

    /// Whether its results are of this type.
    pub(super) fn is_of(&self, data_type: &DataType) -> bool {
        Kind::of(data_type) == Some(self.kind)
    }

    /// The column of results for a physical batch, or the rows that fail.
    pub(super) fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, Failed> {
        let mut values = [None; ROWS_MAX];
        let rows = batch.num_rows();
        let values = &mut values[..rows];
        let mut failed = Vec::new();
        for (row, value) in values.iter_mut().enumerate() {
            match self.root.value(&BatchRow { batch, row }) {
                Ok(computed) => *value = computed,
                Err(failure) => failed.push((row, failure.message())),
            }
        }
        if failed.is_empty() { Ok(self.kind.column(values)) } else { Err(failed) }
    }
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            _ => return None,
        })
    }

    fn is_integer(self) -> bool {
        matches!(self, Self::Int16 | Self::Int32 | Self::Int64)
    }

    /// The value, if it is one of this type.
    fn narrowed(self, value: i64) -> Option<i64> {
        match self {
            Self::Int16 => i16::try_from(value).ok().map(i64::from),
            Self::Int32 => i32::try_from(value).ok().map(i64::from),
            _ => Some(value),
        }
    }

    fn wrapped(self, value: i64) -> i64 {
        match self {
            Self::Int16 => i64::from(value as i16),
            Self::Int32 => i64::from(value as i32),
            _ => value,
        }
    }

    /// The value as a physical cell holds it.
    fn bits(self, value: i64) -> u128 {
        match self {
            Self::Int16 => u128::from(value as u16),
            Self::Int32 | Self::Code => u128::from(value as u32),
            Self::Boolean | Self::Int64 => u128::from(value as u64),
        }
    }

    /// The inverse of [`Self::bits`].
    pub(super) fn value(self, bits: u128) -> i64 {
        match self {
            Self::Int16 => i64::from(bits as i16),
            Self::Int32 => i64::from(bits as i32),
            Self::Boolean | Self::Int64 | Self::Code => bits as i64,
        }
    }

    fn column(self, values: &[Option<i64>]) -> ArrayRef {
        let values = values.iter().copied();
        match self {
            Self::Boolean => Arc::new(values.map(|v| v.map(|v| v != 0)).collect::<BooleanArray>()),
            Self::Int16 => Arc::new(values.map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
            Self::Int32 => Arc::new(values.map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
            Self::Int64 | Self::Code => Arc::new(values.collect::<Int64Array>()),
        }
    }
}

impl Failure {
    fn message(self) -> (SqlState, String) {
        match self {
            Self::DivisionByZero => division_by_zero(),
            Self::OutOfRange(Kind::Int16) => out_of_range("smallint"),
            Self::OutOfRange(Kind::Int32) => out_of_range("integer"),
            Self::OutOfRange(_) => out_of_range("bigint"),
        }
    }
}

fn compile(expression: &Arc<dyn PhysicalExpr>, inputs: &Inputs) -> Option<(Node, Kind)> {
    if let Some(column) = expression.downcast_ref::<Column>() {
        let input = inputs.input(column.index());
        let kind = if input.as_code { Kind::Code } else { Kind::of(inputs.schema().field(column.index()).data_type())? };
        return Some((Node::Column(input.column, kind), kind));
    }
    if let Some(literal) = expression.downcast_ref::<Literal>() {
        return compile_literal(literal.value());
    }
    if let Some(binary) = expression.downcast_ref::<BinaryExpr>() {
        return compile_binary(binary, inputs);
    }
    if let Some(not) = expression.downcast_ref::<NotExpr>() {
        let (argument, kind) = compile(not.arg(), inputs)?;
        return (kind == Kind::Boolean).then(|| (Node::Not(Box::new(argument)), kind));
    }
    if let Some(test) = expression.downcast_ref::<IsNullExpr>() {
        return Some((Node::IsNull(true, Box::new(compile(test.arg(), inputs)?.0)), Kind::Boolean));
    }
    if let Some(test) = expression.downcast_ref::<IsNotNullExpr>() {
        return Some((Node::IsNull(false, Box::new(compile(test.arg(), inputs)?.0)), Kind::Boolean));
    }
    let cast = expression.downcast_ref::<CastExpr>()?;
    let (argument, from) = compile(cast.expr(), inputs)?;
    let to = Kind::of(cast.cast_type())?;
    let widens = matches!((from, to), (Kind::Int16, Kind::Int32 | Kind::Int64) | (Kind::Int32, Kind::Int64));
    (widens || (from == to && from.is_integer())).then_some((argument, to))
}

fn compile_literal(value: &ScalarValue) -> Option<(Node, Kind)> {
    let (value, kind) = match value {
        ScalarValue::Boolean(value) => (value.map(i64::from), Kind::Boolean),
        ScalarValue::Int16(value) => (value.map(i64::from), Kind::Int16),
        ScalarValue::Int32(value) => (value.map(i64::from), Kind::Int32),
        ScalarValue::Int64(value) => (*value, Kind::Int64),
        ScalarValue::UInt32(value) => (value.map(i64::from), Kind::Code),
        _ => return None,
    };
    Some((Node::Literal(value), kind))
}

fn compile_binary(binary: &BinaryExpr, inputs: &Inputs) -> Option<(Node, Kind)> {
    use Operator as O;
    let (left, kind) = compile(binary.left(), inputs)?;
    let (right, other) = compile(binary.right(), inputs)?;
    if kind != other {
        return None;
    }
    let operator = *binary.op();
    let sides = Box::new([left, right]);
    match operator {
        O::Plus | O::Minus | O::Multiply | O::Divide | O::Modulo if kind.is_integer() => {
            let checked =
                BinaryExpr::new(Arc::clone(binary.left()), operator, Arc::clone(binary.right())).with_fail_on_overflow(true);
            Some((Node::Arithmetic { operator, kind, checked: checked == *binary, sides }, kind))
        }
        O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::IsDistinctFrom | O::IsNotDistinctFrom => {
            Some((Node::Compare(operator, sides), Kind::Boolean))
        }
        O::And if kind == Kind::Boolean => Some((Node::And(sides), kind)),
        O::Or if kind == Kind::Boolean => Some((Node::Or(sides), kind)),
        _ => None,
    }
}

impl Node {
    fn value(&self, row: &impl Cells) -> Result<Option<i64>, Failure> {
        match self {
            Self::Column(column, kind) => Ok(row.cell(*column, *kind)),
            Self::Literal(value) => Ok(*value),
            Self::Arithmetic { operator, kind, checked, sides } => {
                let [left, right] = [sides[0].value(row)?, sides[1].value(row)?];
                left.zip(right).map(|(left, right)| arithmetic(*operator, *kind, *checked, left, right)).transpose()
            }
            Self::Compare(operator, sides) => Ok(compare(*operator, sides[0].value(row)?, sides[1].value(row)?).map(i64::from)),
            // The right side of a decided AND or OR is not computed, so that it cannot fail.
            Self::And(sides) => match sides[0].value(row)? {
                Some(0) => Ok(Some(0)),
                left => Ok(match (left, sides[1].value(row)?) {
                    (_, Some(0)) => Some(0),
                    (Some(_), Some(_)) => Some(1),
                    _ => None,
                }),
            },
            Self::Or(sides) => match sides[0].value(row)? {
                Some(1) => Ok(Some(1)),
                left => Ok(match (left, sides[1].value(row)?) {
                    (_, Some(1)) => Some(1),
                    (Some(_), Some(_)) => Some(0),
                    _ => None,
                }),
            },
            Self::Not(argument) => Ok(argument.value(row)?.map(|value| 1 - value)),
            Self::IsNull(wanted, argument) => Ok(Some(i64::from(argument.value(row)?.is_none() == *wanted))),
        }
    }
}

fn arithmetic(operator: Operator, kind: Kind, checked: bool, left: i64, right: i64) -> Result<i64, Failure> {
    if matches!(operator, Operator::Divide | Operator::Modulo) && right == 0 {
        return Err(Failure::DivisionByZero);
    }
    let (exact, wrapped, checked) = match operator {
        Operator::Plus => (left.checked_add(right), left.wrapping_add(right), checked),
        Operator::Minus => (left.checked_sub(right), left.wrapping_sub(right), checked),
        Operator::Multiply => (left.checked_mul(right), left.wrapping_mul(right), checked),
        // Division has no wrapping form; the remainder of the least number by −1 is 0.
        Operator::Divide => (left.checked_div(right), 0, true),
        _ => (Some(left.wrapping_rem(right)), 0, true),
    };
    if checked { exact.and_then(|value| kind.narrowed(value)).ok_or(Failure::OutOfRange(kind)) } else { Ok(kind.wrapped(wrapped)) }
}

fn compare(operator: Operator, left: Option<i64>, right: Option<i64>) -> Option<bool> {
    match operator {
        Operator::IsDistinctFrom => return Some(left != right),
        Operator::IsNotDistinctFrom => return Some(left == right),
        _ => {}
    }
    let (left, right) = left.zip(right)?;
    Some(match operator {
        Operator::Eq => left == right,
        Operator::NotEq => left != right,
        Operator::Lt => left < right,
        Operator::LtEq => left <= right,
        Operator::Gt => left > right,
        _ => left >= right,
    })
}

#[cfg(test)]
mod tests;
