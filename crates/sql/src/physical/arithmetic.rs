//! Division and negation.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::kernels::numeric::neg;
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use datafusion_common::Result;
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Literal};

/// `/` and `%`: division by zero is an error for floating point too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Division {
    operation: BinaryExpr,
}

impl Division {
    pub(super) fn new(operation: BinaryExpr) -> Self {
        Self { operation }
    }
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.fmt(f)
    }
}

impl PhysicalExpr for Division {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let dividend = self.operation.left().evaluate(batch)?;
        let divisor = self.operation.right().evaluate(batch)?;
        if divisor.data_type().is_floating() {
            let (left, right) = (dividend.to_array(batch.num_rows())?, divisor.to_array(batch.num_rows())?);
            if divides_by_zero(&left, &right) {
                return Err(ArrowError::DivideByZero.into());
            }
        }
        // The operands are evaluated; what is left of the operation is its kernel.
        let scalar_or_column = |value: ColumnarValue, at: usize| -> (Arc<dyn PhysicalExpr>, Option<ArrayRef>) {
            match value {
                ColumnarValue::Scalar(value) => (Arc::new(Literal::new(value)), None),
                ColumnarValue::Array(array) => (Arc::new(datafusion_physical_expr::expressions::Column::new("", at)), Some(array)),
            }
        };
        let (left, left_array) = scalar_or_column(dividend, 0);
        let (right, right_array) = scalar_or_column(divisor, usize::from(left_array.is_some()));
        let arrays = [left_array, right_array].into_iter().flatten().collect::<Vec<_>>();
        let fields = arrays.iter().map(|a| arrow::datatypes::Field::new("", a.data_type().clone(), true)).collect::<Vec<_>>();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let operands = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
        BinaryExpr::new(left, *self.operation.op(), right).evaluate(&operands)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.operation.return_field(input_schema)
    }

    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.operation.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.operation.nullable(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![self.operation.left(), self.operation.right()]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let op: Operator = *self.operation.op();
        Ok(Arc::new(Self::new(BinaryExpr::new(Arc::clone(&children[0]), op, Arc::clone(&children[1])))))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.fmt_sql(f)
    }
}

/// Whether some row that has both operands has zero for the second.
fn divides_by_zero(dividend: &ArrayRef, divisor: &ArrayRef) -> bool {
    let zero = |i: usize| match divisor.data_type() {
        DataType::Float32 => divisor.as_primitive::<Float32Type>().value(i) == 0.0,
        DataType::Float64 => divisor.as_primitive::<Float64Type>().value(i) == 0.0,
        _ => false,
    };
    (0..divisor.len()).any(|i| dividend.is_valid(i) && divisor.is_valid(i) && zero(i))
}

/// Unary minus that does not wrap.
#[derive(Debug, Clone, Eq)]
pub(super) struct Negation {
    operand: Arc<dyn PhysicalExpr>,
}

impl Negation {
    pub(super) fn new(operand: Arc<dyn PhysicalExpr>) -> Self {
        Self { operand }
    }
}

impl PartialEq for Negation {
    fn eq(&self, other: &Self) -> bool {
        self.operand.eq(&other.operand)
    }
}

impl Hash for Negation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operand.hash(state);
    }
}

impl fmt::Display for Negation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(- {})", self.operand)
    }
}

impl PhysicalExpr for Negation {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.operand.evaluate(batch)? {
            ColumnarValue::Array(values) => ColumnarValue::Array(neg(&values)?),
            ColumnarValue::Scalar(value) => {
                let negated = neg(&value.to_array()?)?;
                ColumnarValue::Scalar(datafusion_common::ScalarValue::try_from_array(&negated, 0)?)
            }
        })
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.operand.return_field(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.operand]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self::new(Arc::clone(&children[0]))))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-")?;
        self.operand.fmt_sql(f)
    }
}
