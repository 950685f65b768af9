//! Aggregates without accumulators of ours: every function of DataFusion, with DISTINCT, FILTER and ORDER BY, worked out anew of the rows of
//! each group that is touched. So do those of ours beside them, and those of which several take other values once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{SortColumn, cast, filter_record_batch, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::row::{RowConverter, SortField};
use datafusion_common::{DataFusionError, Result as DataFusionResult, internal_datafusion_err};
use datafusion_expr::expr::{AggregateFunction as Call, NullTreatment};
use datafusion_expr::{Expr, lit};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr};
use refrain_plan::{
    Exchange, Fold, GroupCall, GroupFunction, Node, NodeId, Operator, Projected, Properties, RowFunction, Sorting, Step,
};
use refrain_sql::Result;
use refrain_sql::bind::errors::from_datafusion;

use crate::aggregate::argument_column;
use crate::arguments::{Arguments, options};
use crate::expression::{projected, without_alias, without_negative_zero};
use crate::lower::Lowering;
use crate::refuse;

/// The columns that a fold reads: the keys, then what its functions take.
struct Columns<'a> {
    input: &'a datafusion_common::DFSchema,
    projected: Vec<Projected>,
    /// What the columns behind the keys are.
    exprs: Vec<Expr>,
    keys: usize,
}

impl Columns<'_> {
    fn place(&mut self, expr: &Expr) -> Result<usize> {
        if let Some(at) = self.exprs.iter().position(|known| known == expr) {
            return Ok(self.keys + at);
        }
        self.projected.push(argument_column(expr, self.input)?);
        self.exprs.push(expr.clone());
        Ok(self.projected.len() - 1)
    }
}

impl Lowering<'_> {
    pub(crate) fn fold(&mut self, aggregate: &datafusion_expr::Aggregate) -> Result<NodeId> {
        let input_schema = aggregate.input.schema();
        let node = self.lower(&aggregate.input)?;
        let keys = aggregate.group_expr.len();
        let mut columns = Columns { input: input_schema, projected: Vec::new(), exprs: Vec::new(), keys };
        for (expr, field) in aggregate.group_expr.iter().zip(aggregate.schema.fields()) {
            columns.projected.push(projected(expr, input_schema, field)?);
        }
        let mut takes = Vec::with_capacity(aggregate.aggr_expr.len());
        for expr in &aggregate.aggr_expr {
            let Expr::AggregateFunction(call) = without_alias(expr) else { return Err(refuse::aggregate(expr)) };
            takes.push((call, Takes::of(call, keys == 0, &mut columns)?));
        }
        let projected = columns.projected;
        let prepared = self.builder.map(node, RowFunction { steps: vec![Step::Project(projected)] });
        let schema = Arc::clone(self.builder.schema(prepared));
        let mut prepared = self.builder.map(prepared, without_negative_zero(&schema, &(0..keys).collect::<Vec<_>>()));
        if keys == 0 {
            prepared = self.with_a_row_that_does_not_count(prepared);
        }
        let schema = Arc::clone(self.builder.schema(prepared));
        let mut calls = Vec::with_capacity(takes.len());
        for ((call, takes), field) in takes.into_iter().zip(&aggregate.schema.fields()[keys..]) {
            let function = takes.function(call, &schema, field).map_err(from_datafusion)?;
            // One that does not take these arguments says so now, not of each group.
            function.aggregate.create_accumulator().map_err(from_datafusion)?;
            let text = Expr::AggregateFunction(call.clone()).human_display().to_string();
            calls.push(GroupCall {
                text,
                function: Arc::new(function),
                field: Arc::new(field.as_ref().clone().with_nullable(true)),
            });
        }
        let by = (0..keys).collect::<Vec<_>>();
        let fields = schema.fields()[..keys].iter().cloned().chain(calls.iter().map(|call| Arc::clone(&call.field)));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let scope = self.builder.node(prepared).scope.clone();
        let properties = Properties { append_only: false, distinct: true, partitioning: Some(by.clone()) };
        let operator = Operator::Fold(Fold { keys, calls });
        Ok(self.builder.add(Node { operator, inputs: vec![(prepared, Exchange::Hash(by))], schema, scope, properties }))
    }

    /// One group of everything is there even of nothing: it has a row of NULLs, whose filters do not hold.
    fn with_a_row_that_does_not_count(&mut self, input: NodeId) -> NodeId {
        let fields = self.builder.schema(input).fields().iter().map(|f| Field::clone(f).with_nullable(true)).collect::<Vec<_>>();
        let schema = Arc::new(Schema::new(fields));
        let nulls = schema.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let row = RecordBatch::try_new(Arc::clone(&schema), nulls).expect("any column may hold a NULL");
        let input = self.builder.conform(input, &schema);
        let scope = self.builder.node(input).scope.clone();
        let row = self.constant(row);
        let row = self.builder.enter(row, &scope);
        self.builder.union(vec![input, row], schema)
    }
}

/// What an aggregate takes.
struct Takes {
    arguments: Arguments,
    order: Vec<Sorting>,
}

impl Takes {
    fn of(call: &Call, is_filtered: bool, columns: &mut Columns<'_>) -> Result<Self> {
        let params = &call.params;
        let all = is_filtered.then(|| lit(true));
        let filter = params.filter.as_deref().or(all.as_ref());
        let arguments = Arguments::of(&params.args, filter, |expr| columns.place(expr))?;
        let order = params.order_by.iter().map(|by| {
            let column = columns.place(&by.expr)?;
            if let DataType::Interval(_) = columns.projected[column].field().data_type() {
                return Err(refuse::order_of_intervals());
            }
            Ok(Sorting { column, descending: !by.asc, nulls_first: by.nulls_first })
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        Ok(Self { arguments, order })
    }

    fn function(self, call: &Call, schema: &Arc<Schema>, field: &Field) -> DataFusionResult<Function> {
        let arguments = self.arguments.physical(schema);
        let mut builder = AggregateExprBuilder::new(Arc::clone(&call.func), arguments.clone())
            .schema(Arc::clone(schema))
            .alias(field.name())
            .with_ignore_nulls(call.params.null_treatment == Some(NullTreatment::IgnoreNulls));
        // Of an ordered set (`WITHIN GROUP`) the order is an argument.
        if call.func.supports_within_group_clause() {
            let order = self.order.iter().map(|by| PhysicalSortExpr {
                expr: Arc::new(Column::new(schema.field(by.column).name(), by.column)),
                options: options(by),
            });
            builder = builder.order_by(order.collect());
        }
        Ok(Function {
            aggregate: builder.build()?,
            arguments,
            filter: self.arguments.filter,
            order: self.order,
            distinct: call.params.distinct,
            result: field.data_type().clone(),
        })
    }
}

/// An aggregate, which sees the rows that count in their order, and where it is DISTINCT each value once.
#[derive(Debug)]
struct Function {
    aggregate: AggregateFunctionExpr,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<usize>,
    order: Vec<Sorting>,
    distinct: bool,
    result: DataType,
}

impl GroupFunction for Function {
    fn evaluate(&self, group: &RecordBatch) -> DataFusionResult<ArrayRef> {
        let mut rows = match self.filter {
            None => group.clone(),
            Some(filter) => {
                let holds = group.column(filter).as_boolean_opt();
                filter_record_batch(group, holds.ok_or_else(|| internal_datafusion_err!("a filter is a condition"))?)?
            }
        };
        if !self.order.is_empty() {
            rows = take_record_batch(&rows, &self.sorted(&rows)?)?;
        }
        let count = rows.num_rows();
        let evaluate = |argument: &Arc<dyn PhysicalExpr>| argument.evaluate(&rows)?.into_array(count);
        let mut arguments = self.arguments.iter().map(evaluate).collect::<DataFusionResult<Vec<_>>>()?;
        if self.distinct {
            let first = first_of_equals(&arguments)?;
            arguments =
                arguments.iter().map(|values| Ok(arrow::compute::filter(values, &first)?)).collect::<DataFusionResult<_>>()?;
        }
        let mut accumulator = self.aggregate.create_accumulator()?;
        if arguments.first().is_none_or(|values| !values.is_empty()) {
            accumulator.update_batch(&arguments)?;
        }
        let value = accumulator.evaluate()?.to_array_of_size(1)?;
        Ok(cast(&value, &self.result)?)
    }
}

impl Function {
    /// Rows by the order of the aggregate, then as they are.
    fn sorted(&self, rows: &RecordBatch) -> DataFusionResult<UInt32Array> {
        let count = u32::try_from(rows.num_rows()).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let by = self.order.iter().map(|by| SortColumn { values: Arc::clone(rows.column(by.column)), options: Some(options(by)) });
        let place = SortColumn { values: Arc::new(UInt32Array::from_iter_values(0..count)), options: None };
        Ok(lexsort_to_indices(&by.chain([place]).collect::<Vec<_>>(), None)?)
    }
}

/// Which rows are the first of those that are equal to them.
fn first_of_equals(columns: &[ArrayRef]) -> DataFusionResult<BooleanArray> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(columns)?;
    let mut seen = std::collections::HashSet::new();
    Ok(rows.iter().map(|row| Some(seen.insert(row))).collect())
}
