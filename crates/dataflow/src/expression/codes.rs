//! Predicates that codes answer, without a look at the values.
//!
//! Equal values have equal codes, so on text and binary columns `=`, `<>`, `IS [NOT] DISTINCT FROM` (between columns, and of a column
//! with a literal), `[NOT] IN` a list of literals and `IS [NOT] NULL` are rewritten to the same predicates on codes. A literal is coded
//! once, when the function is made.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr_common::operator::Operator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, in_list};
use refrain_state::Dictionary;

use super::inputs::Builder;

/// The expression over codes, if it is such a predicate.
pub(super) fn rewrite(
    expression: &Arc<dyn PhysicalExpr>,
    inputs: &mut Builder<'_>,
    dictionary: &Dictionary,
) -> Option<Arc<dyn PhysicalExpr>> {
    if let Some(binary) = expression.downcast_ref::<BinaryExpr>() {
        comparison(binary, inputs, dictionary)
    } else if let Some(list) = expression.downcast_ref::<InListExpr>() {
        membership(list, inputs, dictionary)
    } else if let Some(test) = expression.downcast_ref::<IsNullExpr>() {
        let column = coded_column(test.arg(), inputs)?;
        Some(Arc::new(IsNullExpr::new(inputs.column(column, true))))
    } else if let Some(test) = expression.downcast_ref::<IsNotNullExpr>() {
        let column = coded_column(test.arg(), inputs)?;
        Some(Arc::new(IsNotNullExpr::new(inputs.column(column, true))))
    } else {
        None
    }
}

fn comparison(binary: &BinaryExpr, inputs: &mut Builder<'_>, dictionary: &Dictionary) -> Option<Arc<dyn PhysicalExpr>> {
    use Operator::{Eq, IsDistinctFrom, IsNotDistinctFrom, NotEq};
    if !matches!(binary.op(), Eq | NotEq | IsDistinctFrom | IsNotDistinctFrom) {
        return None;
    }
    let column = |side| coded_column(side, inputs).map(|column| (column, family(inputs.data_type(column))));
    let (left, right) = match (column(binary.left()), column(binary.right())) {
        (Some((left, a)), Some((right, b))) if a == b => (inputs.column(left, true), inputs.column(right, true)),
        (Some((left, of)), None) => {
            let literal = literal(binary.right(), of, dictionary)?;
            (inputs.column(left, true), literal)
        }
        (None, Some((right, of))) => (literal(binary.left(), of, dictionary)?, inputs.column(right, true)),
        _ => return None,
    };
    Some(Arc::new(BinaryExpr::new(left, *binary.op(), right)))
}

fn membership(list: &InListExpr, inputs: &mut Builder<'_>, dictionary: &Dictionary) -> Option<Arc<dyn PhysicalExpr>> {
    let column = coded_column(list.expr(), inputs)?;
    let of = family(inputs.data_type(column));
    let literals = list.list().iter().map(|item| literal(item, of, dictionary)).collect::<Option<Vec<_>>>()?;
    let code = inputs.column(column, true);
    Some(in_list(code, literals, &list.negated(), &inputs.schema()).expect("codes are looked up among codes"))
}

/// Types whose values are coded by their bytes; equal within a family means equal bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Text,
    Binary,
    Other,
}

fn family(data_type: &DataType) -> Family {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Family::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Family::Binary,
        _ => Family::Other,
    }
}

/// Index of the column of text or binary that the expression is.
fn coded_column(expression: &Arc<dyn PhysicalExpr>, inputs: &Builder<'_>) -> Option<usize> {
    let index = expression.downcast_ref::<Column>()?.index();
    (family(inputs.data_type(index)) != Family::Other).then_some(index)
}

/// The code of a literal of this family.
fn literal(expression: &Arc<dyn PhysicalExpr>, of: Family, dictionary: &Dictionary) -> Option<Arc<dyn PhysicalExpr>> {
    use ScalarValue as S;
    let value = expression.downcast_ref::<Literal>()?.value();
    if family(&value.data_type()) != of {
        return None;
    }
    let bytes = match value {
        S::Utf8(text) | S::LargeUtf8(text) | S::Utf8View(text) => text.as_ref().map(String::as_bytes),
        S::Binary(bytes) | S::LargeBinary(bytes) | S::BinaryView(bytes) => bytes.as_deref(),
        _ => return None,
    };
    Some(Arc::new(Literal::new(S::UInt32(bytes.map(|bytes| dictionary.intern(bytes))))))
}
