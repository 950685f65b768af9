//! The arguments of functions over groups of rows, which are columns or constants.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, Literal};
use refrain_plan::Sorting;
use refrain_sql::Result;

/// Where the arguments of a call are.
pub(crate) struct Arguments {
    values: Vec<Argument>,
    /// The column that says which rows count.
    pub(crate) filter: Option<usize>,
}

/// A column, or a constant, which functions look at as such.
enum Argument {
    Column(usize),
    Constant(ScalarValue),
}

impl Arguments {
    /// Places them, those that are no constants, with `place`.
    pub(crate) fn of(args: &[Expr], filter: Option<&Expr>, mut place: impl FnMut(&Expr) -> Result<usize>) -> Result<Self> {
        let values = args.iter().map(|argument| match argument {
            Expr::Literal(value, _) => Ok(Argument::Constant(value.clone())),
            other => Ok(Argument::Column(place(other)?)),
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        Ok(Self { values, filter: filter.map(place).transpose()? })
    }

    /// Them as expressions over the rows of a group.
    pub(crate) fn physical(&self, schema: &SchemaRef) -> Vec<Arc<dyn PhysicalExpr>> {
        let physical = self.values.iter().map(|argument| match argument {
            Argument::Column(at) => Arc::new(Column::new(schema.field(*at).name(), *at)) as Arc<dyn PhysicalExpr>,
            Argument::Constant(value) => Arc::new(Literal::new(value.clone())),
        });
        physical.collect()
    }
}

/// How Arrow calls the directions of a sorting.
pub(crate) fn options(by: &Sorting) -> SortOptions {
    SortOptions { descending: by.descending, nulls_first: by.nulls_first }
}
