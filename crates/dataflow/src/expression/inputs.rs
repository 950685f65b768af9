//! The columns that the expressions of one step see.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt32Type};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use refrain_state::{Dictionary, decode_column};

use super::codes;

/// A narrow batch: just the columns that expressions name, decoded or as codes.
#[derive(Debug)]
pub(super) struct Inputs {
    columns: Vec<Input>,
    schema: SchemaRef,
}

/// A column of the narrow batch.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// Which column of the physical batch.
    pub(super) column: usize,
    /// Whether it is seen as its codes, NULL where the code is 0.
    pub(super) as_code: bool,
    field: FieldRef,
}

impl Default for Inputs {
    fn default() -> Self {
        Self { columns: Vec::new(), schema: Arc::new(Schema::empty()) }
    }
}

impl Inputs {
    /// Rewrites expressions over `input` (logical) to expressions over the narrow batch of what they name.
    pub(super) fn of_expressions<'a>(
        expressions: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
        input: &Schema,
        dictionary: &Dictionary,
    ) -> (Self, Vec<Arc<dyn PhysicalExpr>>) {
        let mut builder = Builder { input, columns: Vec::new() };
        let rewritten = expressions.map(|expression| builder.rewrite(expression, dictionary)).collect();
        let schema = builder.schema();
        (Self { columns: builder.columns, schema }, rewritten)
    }

    /// What column `index` of the narrow batch is.
    pub(super) fn input(&self, index: usize) -> &Input {
        &self.columns[index]
    }

    /// The schema of the narrow batch.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The narrow batch of a physical one.
    pub(super) fn narrow(&self, physical: &RecordBatch, dictionary: &Dictionary) -> RecordBatch {
        let columns = self.columns.iter().map(|input| {
            let column = physical.column(input.column);
            if input.as_code { code_column(column) } else { decode_column(dictionary, column, input.field.data_type()) }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(physical.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.collect(), &options)
            .expect("the batch has the schema that the function was made for")
    }
}

/// Codes as a column in which NULL is NULL.
fn code_column(column: &ArrayRef) -> ArrayRef {
    let codes = column.as_primitive::<UInt32Type>();
    if codes.values().contains(&0) {
        let nulls = NullBuffer::from_iter(codes.values().iter().map(|code| *code != 0));
        Arc::new(UInt32Array::new(codes.values().clone(), Some(nulls)))
    } else {
        Arc::clone(column)
    }
}

pub(super) struct Builder<'a> {
    input: &'a Schema,
    columns: Vec<Input>,
}

impl Builder<'_> {
    fn rewrite(&mut self, expression: &Arc<dyn PhysicalExpr>, dictionary: &Dictionary) -> Arc<dyn PhysicalExpr> {
        let rewritten = Arc::clone(expression).transform_down(|expression| {
            if let Some(on_codes) = codes::rewrite(&expression, self, dictionary) {
                return Ok(Transformed::new(on_codes, true, TreeNodeRecursion::Jump));
            }
            match expression.downcast_ref::<Column>() {
                Some(column) => Ok(Transformed::new(self.column(column.index(), false), true, TreeNodeRecursion::Jump)),
                None => Ok(Transformed::no(expression)),
            }
        });
        rewritten.expect("columns may be replaced anywhere in an expression").data
    }

    /// The logical type of a column of the input.
    pub(super) fn data_type(&self, column: usize) -> &DataType {
        self.input.field(column).data_type()
    }

    /// The column of the narrow batch that shows a column of the input.
    pub(super) fn column(&mut self, column: usize, as_code: bool) -> Arc<dyn PhysicalExpr> {
        let found = self.columns.iter().position(|input| input.column == column && input.as_code == as_code);
        let index = found.unwrap_or_else(|| {
            let field = self.input.field(column);
            let data_type = if as_code { DataType::UInt32 } else { field.data_type().clone() };
            let field = Arc::new(Field::new(field.name(), data_type, field.is_nullable()));
            self.columns.push(Input { column, as_code, field });
            self.columns.len() - 1
        });
        Arc::new(Column::new(self.columns[index].field.name(), index))
    }

    /// The schema of the narrow batch so far.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(|input| Arc::clone(&input.field)).collect::<Vec<_>>()))
    }
}
