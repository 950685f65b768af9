//! A row function over physical deltas.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, new_empty_array,
};
use arrow::compute::{FilterBuilder, cast, concat};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef, UInt32Type};
use datafusion_common::ScalarValue;
use datafusion_expr_common::columnar_value::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Literal;
use refrain_plan::{Projected, RowFunction, Step};
use refrain_state::{Dictionary, encode_column};
use refrain_types::physical::{is_coded, physical_schema};
use refrain_types::{Delta, ErrorRow, OperatorId, SqlState, Weight};

use super::inputs::Inputs;
use super::message::{Failed, arrow_error, evaluation_error};
use super::small::{Program, ROWS_MAX};

/// A [`RowFunction`] ready to be applied to physical deltas.
#[derive(Debug)]
pub struct CompiledRowFunction {
    pub(super) steps: Vec<CompiledStep>,
    output: SchemaRef,
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) operator: OperatorId,
}

#[derive(Debug)]
pub(super) enum CompiledStep {
    Filter(Arc<Expressions>),
    Project { columns: Vec<Source>, expressions: Arc<Expressions>, schema: SchemaRef },
}

/// Where an output column of a projection comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A column of the step's input.
    Column(usize),
    /// One of the step's expressions.
    Expression(usize),
}

/// The expressions of one step and what they see.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    inputs: Inputs,
    pub(super) each: Vec<Expression>,
}

#[derive(Debug)]
pub(super) struct Expression {
    pub(super) evaluated: Arc<dyn PhysicalExpr>,
    /// Where it can be computed without kernels.
    pub(super) program: Option<Program>,
    /// Its logical type, as the plan states it.
    pub(super) data_type: DataType,
    pub(super) nullable: bool,
}

impl CompiledRowFunction {
    /// Compiles a function of rows of `input` (logical). Errors will name `operator`.
    #[must_use]
    pub fn new(function: &RowFunction, input: &SchemaRef, dictionary: Arc<Dictionary>, operator: OperatorId) -> Self {
        let mut schema = Arc::clone(input);
        let mut steps = Vec::with_capacity(function.steps.len());
        for step in &function.steps {
            match step {
                Step::Filter(condition) => {
                    let condition = [(condition, DataType::Boolean, true)];
                    steps.push(CompiledStep::Filter(Expressions::compile(&condition, &schema, &dictionary)));
                }
                Step::Project(columns) => {
                    let output = Arc::new(Schema::new(columns.iter().map(|c| FieldRef::clone(c.field())).collect::<Vec<_>>()));
                    steps.push(compile_projection(columns, &schema, physical_schema(&output), &dictionary));
                    schema = output;
                }
            }
        }
        Self { steps, output: physical_schema(&schema), dictionary, operator }
    }

    /// The physical schema of the output.
    #[must_use]
    pub fn output_schema(&self) -> &SchemaRef {
        &self.output
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.steps.is_empty()
    }

    /// The delta with the function applied to each row. Weights and iterations go with their rows. A row on which an expression fails
    /// becomes an error with its weight, beside those that are there already.
    #[must_use]
    pub fn apply(&self, mut delta: Delta) -> Delta {
        for step in &self.steps {
            while delta.num_rows() > 0 {
                match step.apply(&delta.rows, &self.dictionary) {
                    Ok(Applied::Rows(rows)) => {
                        delta.rows = rows;
                        break;
                    }
                    Ok(Applied::Kept(mask)) => {
                        delta = keep(delta, &mask);
                        break;
                    }
                    // Without the rows that failed the step is tried again; another of its expressions may fail on others.
                    Err(failed) => delta = self.set_aside(delta, failed),
                }
            }
        }
        if delta.num_rows() == 0 { Delta::of_errors(Arc::clone(&self.output), delta.errors) } else { delta }
    }

    /// Turns rows that failed into errors.
    fn set_aside(&self, mut delta: Delta, failed: Failed) -> Delta {
        let mut mask = vec![true; delta.num_rows()];
        let mut errors: BTreeMap<ErrorRow, Weight> = BTreeMap::new();
        for (row, (code, message)) in failed {
            mask[row] = false;
            *errors.entry(ErrorRow { operator: self.operator, code, message }).or_default() += delta.weight(row);
        }
        delta.errors.extend(errors.into_iter().filter(|(_, weight)| *weight != 0));
        keep(delta, &BooleanArray::from(mask))
    }
}

fn compile_projection(columns: &[Projected], input: &SchemaRef, output: SchemaRef, dictionary: &Dictionary) -> CompiledStep {
    let mut computed = Vec::new();
    let sources = columns.iter().map(|column| match column {
        Projected::Column(index, _) => Source::Column(*index),
        Projected::Computed(expression, field) => {
            computed.push((expression, field.data_type().clone(), field.is_nullable()));
            Source::Expression(computed.len() - 1)
        }
    });
    let columns = sources.collect();
    CompiledStep::Project { columns, expressions: Expressions::compile(&computed, input, dictionary), schema: output }
}

/// What a step makes of a batch.
enum Applied {
    /// Other rows, as many.
    Rows(RecordBatch),
    /// The rows where this is true.
    Kept(BooleanArray),
}

impl CompiledStep {
    fn apply(&self, rows: &RecordBatch, dictionary: &Dictionary) -> Result<Applied, Failed> {
        match self {
            Self::Filter(condition) => {
                let narrow = OnceCell::new();
                Ok(Applied::Kept(condition.evaluate(0, rows, &narrow, dictionary)?.as_boolean().clone()))
            }
            Self::Project { columns, expressions, schema } => {
                let narrow = OnceCell::new();
                let columns = columns.iter().map(|source| match source {
                    Source::Column(column) => Ok(Arc::clone(rows.column(*column))),
                    Source::Expression(index) => expressions.evaluate(*index, rows, &narrow, dictionary),
                });
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
                let projected = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options);
                Ok(Applied::Rows(projected.expect("each column was made for its field")))
            }
        }
    }
}

/// The rows where the mask is true, with their weights and iterations.
fn keep(delta: Delta, mask: &BooleanArray) -> Delta {
    let kept = mask.true_count();
    if kept == delta.num_rows() {
        return delta;
    }
    if kept == 0 {
        return Delta { errors: delta.errors, ..Delta::empty(delta.rows.schema()) };
    }
    let predicate = FilterBuilder::new(mask).optimize().build();
    let filter = |array: &dyn Array| predicate.filter(array).expect("the mask is as long as the batch");
    let columns = delta.rows.columns().iter().map(|column| filter(column)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(kept));
    let weights =
        delta.weights.map(|w| filter(&Int64Array::new(w, None)).as_primitive::<arrow::datatypes::Int64Type>().values().clone());
    let iterations = delta.iterations.map(|t| filter(&UInt32Array::new(t, None)).as_primitive::<UInt32Type>().values().clone());
    let rows = RecordBatch::try_new_with_options(delta.rows.schema(), columns, &options).expect("filtering keeps the schema");
    Delta { rows, weights, iterations, errors: delta.errors }
}

impl Expressions {
    fn compile(expressions: &[(&Arc<dyn PhysicalExpr>, DataType, bool)], input: &Schema, dictionary: &Dictionary) -> Arc<Self> {
        let (inputs, rewritten) = Inputs::of_expressions(expressions.iter().map(|(e, _, _)| *e), input, dictionary);
        let each = rewritten.into_iter().zip(expressions).map(|(evaluated, (_, data_type, nullable))| Expression {
            program: Program::compile(&evaluated, &inputs).filter(|program| program.is_of(data_type)),
            evaluated,
            data_type: data_type.clone(),
            nullable: *nullable,
        });
        let each = each.collect();
        Arc::new(Self { inputs, each })
    }

    /// The physical column of an expression's values, or the rows on which it fails.
    fn evaluate(
        &self,
        index: usize,
        rows: &RecordBatch,
        narrow: &OnceCell<RecordBatch>,
        dictionary: &Dictionary,
    ) -> Result<ArrayRef, Failed> {
        let expression = &self.each[index];
        if let (Some(program), true) = (&expression.program, rows.num_rows() < ROWS_MAX) {
            let values = program.evaluate(rows)?;
            return expression
                .checked(values.clone())
                .map_err(|error| (0..values.len()).filter(|row| values.is_null(*row)).map(|row| (row, error.clone())).collect());
        }
        if let Some(literal) = expression.evaluated.downcast_ref::<Literal>() {
            return expression
                .repeat(literal.value(), rows.num_rows(), dictionary)
                .map_err(|error| all_rows(rows.num_rows(), &error));
        }
        let narrow = narrow.get_or_init(|| self.inputs.narrow(rows, dictionary));
        match expression.evaluate(narrow, dictionary) {
            Ok(column) => Ok(column),
            Err(error) => expression.evaluate_in_parts(narrow, error, dictionary),
        }
    }
}

fn all_rows(rows: usize, error: &(SqlState, String)) -> Failed {
    (0..rows).map(|row| (row, error.clone())).collect()
}

impl Expression {
    fn evaluate(&self, narrow: &RecordBatch, dictionary: &Dictionary) -> Result<ArrayRef, (SqlState, String)> {
        match self.evaluated.evaluate(narrow).map_err(|error| evaluation_error(&error))? {
            ColumnarValue::Array(values) => {
                assert_eq!(values.len(), narrow.num_rows(), "an expression has one value for each row");
                self.physical(values, dictionary)
            }
            ColumnarValue::Scalar(value) => self.repeat(&value, narrow.num_rows(), dictionary),
        }
    }

    /// The column that has one value in each row.
    pub(super) fn repeat(&self, value: &ScalarValue, rows: usize, dictionary: &Dictionary) -> Result<ArrayRef, (SqlState, String)> {
        let single = self.physical(value.to_array().map_err(|error| evaluation_error(&error))?, dictionary)?;
        if rows == 1 {
            return Ok(single);
        }
        if is_coded(&self.data_type) {
            let code = single.as_primitive::<UInt32Type>().value(0);
            return Ok(Arc::new(UInt32Array::new(vec![code; rows].into(), None)));
        }
        let value = ScalarValue::try_from_array(&single, 0).map_err(|error| evaluation_error(&error))?;
        value.to_array_of_size(rows).map_err(|error| evaluation_error(&error))
    }

    fn physical(&self, logical: ArrayRef, dictionary: &Dictionary) -> Result<ArrayRef, (SqlState, String)> {
        // Some functions return another form of the type that they announce (a view of text, say).
        let logical = if *logical.data_type() == self.data_type {
            logical
        } else {
            cast(&logical, &self.data_type).map_err(|error| arrow_error(&error))?
        };
        Ok(encode_column(dictionary, &self.checked(logical)?))
    }

    fn checked(&self, values: ArrayRef) -> Result<ArrayRef, (SqlState, String)> {
        if !self.nullable && values.logical_null_count() > 0 {
            return Err(self.unexpected_null());
        }
        Ok(values)
    }

    pub(super) fn unexpected_null(&self) -> (SqlState, String) {
        (SqlState::INTERNAL_ERROR, format!("expression {} is null where it is declared not null", self.evaluated))
    }

    /// Finds the rows on which evaluation fails, by halving. If there are none (the batch as a whole is at fault, by its size), the
    /// column is put together from parts.
    fn evaluate_in_parts(
        &self,
        narrow: &RecordBatch,
        error: (SqlState, String),
        dictionary: &Dictionary,
    ) -> Result<ArrayRef, Failed> {
        let (mut parts, mut failed) = (Vec::new(), Vec::new());
        self.halve(narrow, 0, error, dictionary, &mut parts, &mut failed);
        if !failed.is_empty() {
            return Err(failed);
        }
        let parts = parts.iter().map(|part| part as &dyn Array).collect::<Vec<_>>();
        match parts[..] {
            [] => Ok(new_empty_array(&refrain_types::physical::physical_type(&self.data_type))),
            _ => concat(&parts).map_err(|error| all_rows(narrow.num_rows(), &arrow_error(&error))),
        }
    }

    fn halve(
        &self,
        narrow: &RecordBatch,
        first: usize,
        error: (SqlState, String),
        dictionary: &Dictionary,
        parts: &mut Vec<ArrayRef>,
        failed: &mut Failed,
    ) {
        let rows = narrow.num_rows();
        if rows <= 1 {
            failed.extend((rows == 1).then_some((first, error)));
            return;
        }
        for (offset, length) in [(0, rows / 2), (rows / 2, rows - rows / 2)] {
            let half = narrow.slice(offset, length);
            match self.evaluate(&half, dictionary) {
                Ok(column) => parts.push(column),
                Err(error) => self.halve(&half, first + offset, error, dictionary, parts, failed),
            }
        }
    }
}

#[cfg(test)]
mod tests;
