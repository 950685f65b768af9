//! Functions in FROM: `generate_series`, and those that a program registers.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::{DFSchema, DataFusionError, Result as DataFusionResult, ScalarValue};
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, ExprSchemable, TableSource};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;

use crate::bind::errors::from_datafusion;
use crate::bind::{Function, Registered};
use crate::error::{Result, SqlError, code};
use crate::series::{GENERATE_SERIES, Series};
use crate::types::type_name;

/// Rows of a function, a batch at a time.
pub type Batches = Box<dyn Iterator<Item = DataFusionResult<RecordBatch>> + Send>;

/// A function of a program that stands in FROM: for some values it gives a table. For the same values it gives the same rows each time:
/// a view that calls it reads them when it is created and when the store is opened.
pub trait TableFunction: Debug + Send + Sync {
    /// What SQL calls it.
    fn name(&self) -> &str;

    /// The columns of what it gives for some values.
    ///
    /// # Errors
    /// When it takes no such values. `DataFusionError::Plan` says so with a message of its own, `NotImplemented` that there is no function of
    /// these types (`42883`).
    fn schema(&self, arguments: &[ScalarValue]) -> DataFusionResult<SchemaRef>;

    /// The rows for some values, with the columns that [`schema`](Self::schema) has told.
    ///
    /// # Errors
    /// What makes the statement fail that calls it; so does an error among the batches.
    fn rows(&self, arguments: &[ScalarValue]) -> DataFusionResult<Batches>;
}

/// A call of a function in FROM: a table whose rows are made as they are read.
#[derive(Clone, Debug)]
pub struct FunctionRows {
    name: String,
    schema: SchemaRef,
    rows: Rows,
}

#[derive(Clone)]
enum Rows {
    Series(Series),
    Registered(Arc<dyn TableFunction>, Vec<ScalarValue>),
}

impl FunctionRows {
    /// A call, whose arguments are constant.
    pub(crate) fn of_call(registered: &Registered, name: &str, arguments: &[Expr]) -> Result<Self> {
        let values = arguments.iter().map(|argument| constant(name, argument));
        let none = || Err(no_such_function(name, &types(arguments)?, &registered.names(|f| matches!(f, Function::Table(_)))));
        if name == GENERATE_SERIES {
            let series = Series::of(arguments, &values.collect::<Result<Vec<_>>>()?)?;
            return Ok(Self { name: name.to_owned(), schema: Arc::clone(series.schema()), rows: Rows::Series(series) });
        }
        let Some(Function::Table(function)) = registered.get(name) else {
            return none();
        };
        let values = values.collect::<Result<Vec<_>>>()?;
        let schema = match function.schema(&values) {
            Err(DataFusionError::NotImplemented(_)) => return none(),
            schema => schema.map_err(from_datafusion)?,
        };
        Ok(Self { name: name.to_owned(), schema, rows: Rows::Registered(function, values) })
    }

    /// What the function is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rows, from the first.
    ///
    /// # Errors
    /// When the function fails.
    pub fn batches(&self) -> DataFusionResult<Batches> {
        let (function, arguments) = match &self.rows {
            Rows::Series(series) => return Ok(Box::new(series.batches().map(Ok))),
            Rows::Registered(function, arguments) => (function, arguments),
        };
        let (name, schema) = (self.name.clone(), Arc::clone(&self.schema));
        let told = move |batch: RecordBatch| {
            let as_told = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec());
            as_told.map_err(|e| {
                DataFusionError::Execution(format!("function {name} gives rows of other columns than it has told: {e}"))
            })
        };
        Ok(Box::new(function.rows(arguments)?.map(move |batch| batch.and_then(&told))))
    }
}

impl TableSource for FunctionRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Debug for Rows {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Series(series) => series.fmt(f),
            Self::Registered(function, arguments) => f.debug_tuple(function.name()).field(arguments).finish(),
        }
    }
}

/// Refuses a call of a function that there is not in FROM, where there are also these others.
pub(crate) fn no_such_function(name: &str, types: &[DataType], others: &[String]) -> SqlError {
    let types = types.iter().map(type_name).collect::<Vec<_>>().join(", ");
    let others = others.iter().map(|other| format!(", {other}")).collect::<String>();
    SqlError::new(code::UNDEFINED_FUNCTION, format!("function {name}({types}) does not exist"))
        .with_hint(format!("Functions in FROM are {GENERATE_SERIES}, of integers, or of timestamps and an interval{others}."))
}

fn types(arguments: &[Expr]) -> Result<Vec<DataType>> {
    let empty = DFSchema::empty();
    arguments.iter().map(|argument| argument.get_type(&empty).map_err(from_datafusion)).collect()
}

/// The value of an expression that reads nothing.
fn constant(name: &str, argument: &Expr) -> Result<ScalarValue> {
    let schema = Arc::new(DFSchema::empty());
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::clone(&schema)).build());
    let simplified = simplifier.coerce(argument.clone(), &schema).and_then(|coerced| simplifier.simplify(coerced));
    match simplified.map_err(from_datafusion)? {
        Expr::Literal(value, _) => Ok(value),
        other => Err(SqlError::unsupported(format!("arguments of {name} have to be constant, and {other} is not"))),
    }
}
