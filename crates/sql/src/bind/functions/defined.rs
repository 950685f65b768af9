//! Functions that `CREATE FUNCTION` defines: an expression of their parameters.
//!
//! The expression is bound as a query over a row of parameters, and optimized and evaluated as such. So its errors are a query's, and a
//! view that calls it sees a function like others.

use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array};
use arrow::compute::{filter_record_batch, is_not_null, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Result as DataFusionResult, internal_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::sqlparser::ast;
use refrain_types::RelationId;

use crate::bind::constraints::{refuse_aggregates, refuse_subqueries};
use crate::bind::context::Context;
use crate::bind::errors::from_datafusion;
use crate::bind::functions::is_now;
use crate::bind::write::{assignable, given_query, project, type_literal};
use crate::catalog::{Catalog, Column, ColumnDefinition, FunctionDefinition, Relation, RelationKind};
use crate::error::{Result, SqlError, code};
use crate::parser::{fold, parse_expression};
use crate::source::GivenRows;
use crate::types::{SqlType, type_name};

type Step = Vec<Arc<dyn PhysicalExpr>>;

/// See the module.
#[derive(Debug)]
struct Defined {
    definition: FunctionDefinition,
    signature: Signature,
    /// Each makes the row that the next one is over; the last one makes the value.
    steps: Vec<Step>,
    /// The parameters that the first is over.
    parameters: Vec<usize>,
}

/// Binds a function that is defined, or that was.
///
/// # Errors
/// When its expression is not well formed, is not of the type that the function returns, or holds what a function may not.
pub fn bind_function(catalog: &Catalog, definition: &FunctionDefinition) -> Result<Arc<ScalarUDF>> {
    let relation = row_of_parameters(definition)?;
    let mut body = parse_expression(&definition.body)?;
    name_parameters(&mut body, &relation)?;
    refuse_subqueries(&body, "function body")?;
    refuse_aggregates(catalog, &body, "function bodies")?;
    let context = Context::new(catalog);
    GivenRows::place(&context, GivenRows::STORED, &relation, &[]);
    let query = given_query(GivenRows::STORED, &relation.name, None, vec![ast::SelectItem::UnnamedExpr(body)])?;
    let plan = crate::bind::plan_query(&context, &query)?;
    let volatility = volatility(&plan)?;
    let (is, returns) = (plan.schema().field(0).data_type().clone(), definition.returns.arrow());
    if !assignable(&is, &returns) && is != returns {
        let message = format!("return type mismatch in function declared to return {}", definition.returns);
        return Err(SqlError::new(code::INVALID_FUNCTION_DEFINITION, message)
            .with_detail(format!("Actual return type is {}.", type_name(&is))));
    }
    let value = cast(Expr::Column(plan.schema().columns().remove(0)), returns);
    let plan = crate::optimize_query(project(plan, vec![value])?)?;
    let types = relation.columns.iter().map(Column::data_type).collect::<Vec<_>>();
    let signature = if types.is_empty() { Signature::nullary(volatility) } else { Signature::exact(types, volatility) };
    let (steps, parameters) = steps(plan, &relation)?;
    Ok(Arc::new(ScalarUDF::new_from_impl(Defined { definition: definition.clone(), signature, steps, parameters })))
}

/// Gives strings and NULLs that are arguments of defined functions the types of the parameters: they have none of their own.
pub(in crate::bind) fn type_literals(catalog: &Catalog, query: &mut ast::Query) {
    let _: ControlFlow<()> = ast::visit_expressions_mut(query, |expr| {
        if let ast::Expr::Function(ast::Function { name, args: ast::FunctionArguments::List(list), .. }) = expr
            && let Some(name) = name.0.last().and_then(ast::ObjectNamePart::as_ident).map(fold)
            && let Some(definition) = catalog.defined_functions().find(|definition| definition.name == name)
        {
            for (argument, parameter) in list.args.iter_mut().zip(&definition.parameters) {
                if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value @ ast::Expr::Value(_))) = argument {
                    type_literal(value, &column_of("", parameter.sql_type)).expect("a value is no DEFAULT");
                }
            }
        }
        ControlFlow::Continue(())
    });
}

fn column_of(name: &str, sql_type: SqlType) -> Column {
    Column::of_definition(&ColumnDefinition { name: name.to_owned(), sql_type, not_null: false, default: None, identity: None })
}

/// The parameters as the columns of a table that has the function's name. One without a name is known by its number.
fn row_of_parameters(definition: &FunctionDefinition) -> Result<Relation> {
    let mut columns = Vec::<Column>::with_capacity(definition.parameters.len());
    for (number, parameter) in (1..).zip(&definition.parameters) {
        let name = parameter.name.clone().unwrap_or_else(|| format!("${number}"));
        if columns.iter().any(|other| other.name == name) {
            let message = format!("parameter name \"{name}\" used more than once");
            return Err(SqlError::new(code::INVALID_FUNCTION_DEFINITION, message));
        }
        columns.push(column_of(&name, parameter.sql_type));
    }
    let name = definition.name.clone();
    Ok(Relation {
        id: RelationId(0),
        name,
        kind: RelationKind::Table,
        columns,
        append_only: false,
        constraints: Vec::new(),
        indexes: Vec::new(),
        definition: None,
    })
}

/// Puts the names of parameters in the place of their numbers.
fn name_parameters(body: &mut ast::Expr, parameters: &Relation) -> Result<()> {
    let named = ast::visit_expressions_mut(body, |expr| {
        let ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Placeholder(text), .. }) = &*expr else {
            return ControlFlow::Continue(());
        };
        let number = text.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        match number.and_then(|number| parameters.columns.get(number.checked_sub(1)?)) {
            Some(column) => {
                *expr = ast::Expr::Identifier(ast::Ident::with_quote('"', &column.name));
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(SqlError::new(code::UNDEFINED_PARAMETER, format!("there is no parameter {text}"))),
        }
    });
    match named {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// That of the function whose value changes most easily.
fn volatility(plan: &LogicalPlan) -> Result<Volatility> {
    let (mut volatility, mut now) = (Volatility::Immutable, None);
    let found = plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr {
                    let of_call = call.func.signature().volatility;
                    now = now.take().or_else(|| is_now(call.func.name()).then(|| call.func.name().to_owned()));
                    if of_call == Volatility::Volatile || volatility == Volatility::Immutable {
                        volatility = of_call;
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found.map_err(from_datafusion)?;
    match now {
        Some(name) => Err(SqlError::unsupported(format!("function {name}() in a function is not supported"))),
        None => Ok(volatility),
    }
}

/// The projections of a plan over the row of parameters, and which parameters the first of them is over.
fn steps(mut plan: LogicalPlan, parameters: &Relation) -> Result<(Vec<Step>, Vec<usize>)> {
    let mut steps = Vec::new();
    while let LogicalPlan::Projection(projection) = plan {
        let schema = projection.input.schema();
        let (properties, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let step = projection.expr.iter().map(|expr| create_physical_expr(expr, schema, &properties, &planning));
        let step = step.map(|expr| Ok(crate::finish_physical_expr(expr.map_err(from_datafusion)?)));
        steps.push(step.collect::<Result<Vec<_>>>()?);
        plan = Arc::unwrap_or_clone(projection.input);
    }
    steps.reverse();
    if !matches!(plan, LogicalPlan::TableScan(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::EmptyRelation(_)) {
        return Err(SqlError::unsupported("such an expression in a function is not supported"));
    }
    let position = |field: &Arc<Field>| parameters.columns.iter().position(|column| column.name == *field.name());
    let parameters = plan.schema().fields().iter().map(|field| position(field).expect("the row is one of parameters"));
    Ok((steps, parameters.collect()))
}

impl Defined {
    fn of_rows(&self, arguments: &RecordBatch) -> DataFusionResult<ArrayRef> {
        let mut row = arguments.project(&self.parameters)?;
        for step in &self.steps {
            let columns = step.iter().map(|expr| expr.evaluate(&row).and_then(|value| value.into_array(row.num_rows())));
            row = rows(columns.collect::<DataFusionResult<Vec<_>>>()?, row.num_rows())?;
        }
        Ok(Arc::clone(row.column(0)))
    }

    /// The value of the rows in which no argument is NULL; of the others it is.
    fn of_rows_without_null(&self, arguments: &RecordBatch) -> DataFusionResult<ArrayRef> {
        let mut asked = BooleanArray::from(vec![true; arguments.num_rows()]);
        for column in arguments.columns() {
            asked = arrow::compute::and(&asked, &is_not_null(column)?)?;
        }
        if asked.true_count() == asked.len() {
            return self.of_rows(arguments);
        }
        if asked.true_count() == 0 {
            return Ok(new_null_array(&self.definition.returns.arrow(), asked.len()));
        }
        let values = self.of_rows(&filter_record_batch(arguments, &asked)?)?;
        let mut next = 0..;
        let places = asked.values().iter().map(|asked| if asked { next.next() } else { None });
        Ok(take(&values, &places.collect::<UInt64Array>(), None)?)
    }
}

/// Columns as rows, whatever they are called.
fn rows(columns: Vec<ArrayRef>, count: usize) -> DataFusionResult<RecordBatch> {
    let fields = columns.iter().enumerate().map(|(i, column)| Field::new(i.to_string(), column.data_type().clone(), true));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(count)))?)
}

impl PartialEq for Defined {
    fn eq(&self, other: &Self) -> bool {
        self.definition == other.definition
    }
}

impl Eq for Defined {}

impl Hash for Defined {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.definition.name, &self.definition.body).hash(state);
    }
}

impl ScalarUDFImpl for Defined {
    fn name(&self) -> &str {
        &self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.definition.returns.arrow())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let count = arguments.number_rows;
        let columns = arguments.args.iter().map(|argument| argument.to_array(count)).collect::<DataFusionResult<Vec<_>>>()?;
        if columns.len() != self.definition.parameters.len() {
            return internal_err!("{} takes {} arguments", self.definition.name, self.definition.parameters.len());
        }
        let arguments = rows(columns, count)?;
        let value = if self.definition.strict { self.of_rows_without_null(&arguments) } else { self.of_rows(&arguments) };
        Ok(ColumnarValue::Array(value?))
    }
}
