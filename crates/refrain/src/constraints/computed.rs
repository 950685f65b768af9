//! Expressions over the rows at hand, without a query: columns that are computed of a batch.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use refrain_sql::{Bound, finish_query_expr};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::planning;
use crate::query::execution_error;

/// The columns of a plan that only computes.
#[derive(Debug)]
pub(super) struct Computed {
    /// The columns of the rows that the first stage sees; all where that is not said.
    columns: Option<Vec<usize>>,
    /// Each stage sees the columns that the one before gives.
    stages: Vec<Vec<Arc<dyn PhysicalExpr>>>,
}

impl Computed {
    /// What a plan computes of the rows that it scans, or of nothing.
    ///
    /// # Errors
    /// When it does something else, too; `what` says for whom.
    pub fn of(database: &Database, bound: Bound, what: &str) -> Result<Self> {
        let mut computed = Self { columns: None, stages: Vec::new() };
        let mut plan = planning::one_shot(database, bound.plan)?;
        loop {
            plan = match plan {
                LogicalPlan::Projection(projection) => {
                    computed.stages.push(physical(&projection.expr, projection.input.schema())?);
                    Arc::unwrap_or_clone(projection.input)
                }
                LogicalPlan::SubqueryAlias(alias) => Arc::unwrap_or_clone(alias.input),
                LogicalPlan::TableScan(scan) => {
                    computed.columns = scan.projection;
                    break;
                }
                LogicalPlan::EmptyRelation(_) => {
                    computed.columns = Some(Vec::new());
                    break;
                }
                other => return Err(Error::unsupported(format!("{what} is not supported: {}", other.display()))),
            }
        }
        computed.stages.reverse();
        Ok(computed)
    }

    /// The columns, of these rows.
    ///
    /// # Errors
    /// When an expression fails on some row.
    pub fn evaluate(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let seen = match &self.columns {
            Some(columns) => rows.project(columns).map_err(|e| Error::engine(e.to_string()))?,
            None => rows.clone(),
        };
        self.stages.iter().try_fold(seen, |batch, stage| evaluate(stage, &batch))
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
