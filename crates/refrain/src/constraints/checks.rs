//! The checks of a table, ready to be evaluated.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use refrain_sql::catalog::Relation as Entry;
use refrain_sql::finish_query_expr;

use crate::database::Database;
use crate::display;
use crate::error::{Error, Result};
use crate::planning;
use crate::query::execution_error;

/// What `CHECK` says of the rows of one table.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    table: String,
    /// The columns of the table that the first stage sees; all where that is not said.
    columns: Option<Vec<usize>>,
    /// Each stage sees the columns that the one before gives. The last gives a column for each check.
    stages: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    names: Vec<String>,
}

impl Checks {
    /// The checks of a table.
    pub fn of(database: &Database, entry: &Entry) -> Result<Self> {
        let Some(bound) = refrain_sql::bind_checks(&database.catalog, entry)? else { return Ok(Self::default()) };
        let names = bound.schema.fields().iter().map(|f| f.name().clone()).collect();
        let mut checks = Self { table: entry.name.clone(), columns: None, stages: Vec::new(), names };
        let mut plan = planning::one_shot(database, bound.plan)?;
        loop {
            plan = match plan {
                LogicalPlan::Projection(projection) => {
                    checks.stages.push(physical(&projection.expr, projection.input.schema())?);
                    Arc::unwrap_or_clone(projection.input)
                }
                LogicalPlan::SubqueryAlias(alias) => Arc::unwrap_or_clone(alias.input),
                LogicalPlan::TableScan(scan) => {
                    checks.columns = scan.projection;
                    checks.stages.reverse();
                    return Ok(checks);
                }
                other => return Err(Error::unsupported(format!("a check of table \"{}\" is not supported: {other}", entry.name))),
            }
        }
    }

    /// That no check is false for any of these rows of the table.
    ///
    /// # Errors
    /// `23514` for the first row for which one is; and the errors of the expressions.
    pub fn check(&self, rows: &RecordBatch) -> Result<()> {
        if self.stages.is_empty() {
            return Ok(());
        }
        let seen = match &self.columns {
            Some(columns) => rows.project(columns).map_err(|e| Error::engine(e.to_string()))?,
            None => rows.clone(),
        };
        let results = self.stages.iter().try_fold(seen, |batch, stage| evaluate(stage, &batch))?;
        let is_false = |column: &ArrayRef, row| column.as_boolean_opt().is_some_and(|c| c.is_valid(row) && !c.value(row));
        for row in 0..rows.num_rows() {
            if let Some(check) = results.columns().iter().position(|column| is_false(column, row)) {
                let (table, name) = (&self.table, &self.names[check]);
                let values = rows.columns().iter().map(|c| display::value(c, row).unwrap_or_else(|| "null".to_owned()));
                let detail = format!("Failing row contains ({}).", values.collect::<Vec<_>>().join(", "));
                let message = format!("new row for relation \"{table}\" violates check constraint \"{name}\"");
                return Err(Error::data("23514", message).with_detail(detail));
            }
        }
        Ok(())
    }
}

fn physical(exprs: &[Expr], input: &DFSchemaRef) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    let (properties, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let physical = exprs.iter().map(|expr| create_physical_expr(expr, input, &properties, &context).map(finish_query_expr));
    physical.collect::<datafusion::error::Result<_>>().map_err(execution_error)
}

fn evaluate(stage: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<RecordBatch> {
    let (rows, schema) = (batch.num_rows(), batch.schema());
    let mut columns = Vec::with_capacity(stage.len());
    let mut fields = Vec::with_capacity(stage.len());
    for expr in stage {
        let values = expr.evaluate(batch).and_then(|values| values.into_array(rows)).map_err(execution_error)?;
        let field = expr.return_field(&schema).map_err(execution_error)?;
        fields.push(Arc::new(field.as_ref().clone().with_nullable(true).with_data_type(values.data_type().clone())));
        columns.push(values);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(|e| Error::engine(e.to_string()))
}
