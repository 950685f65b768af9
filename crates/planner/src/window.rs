//! Window functions.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortOptions, cast, filter};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion_common::{DataFusionError, Result as DataFusionResult, ScalarValue};
use datafusion_expr::expr::{NullTreatment, WindowFunction as Call};
use datafusion_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::window_state::WindowFrameContext;
use datafusion_expr::{Accumulator, Expr, LimitEffect, PartitionEvaluator, WindowFrame, WindowFunctionDefinition, WindowUDF};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::window::{StandardWindowExpr, StandardWindowFunctionExpr, WindowExpr};
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr};
use refrain_plan::{
    Exchange, GroupCall, GroupFunction, Node, NodeId, Operator, Projected, Properties, RowFunction, Sorting, Step, Window,
};
use refrain_sql::Result;
use refrain_sql::bind::errors::from_datafusion;

use crate::arguments::{Arguments, options};
use crate::expression::without_alias;
use crate::lower::Lowering;
use crate::refuse;
use crate::top_k::{group_key, order_column, place};

/// Functions over the same groups in the same order.
struct Group<'a> {
    keys: Vec<usize>,
    order: Vec<Sorting>,
    /// Each with its place among the columns of the plan.
    calls: Vec<(usize, &'a Call)>,
}

impl Lowering<'_> {
    pub(crate) fn window(&mut self, window: &datafusion_expr::Window) -> Result<NodeId> {
        let input = window.input.schema();
        let node = self.lower(&window.input)?;
        if !self.builder.node(node).scope.is_empty() {
            return Err(refuse::window_in_recursion(&window.window_expr));
        }
        let own = Arc::clone(self.builder.schema(node));
        let width = own.fields().len();
        let mut columns = own.fields().iter().enumerate().map(|(i, f)| Projected::Column(i, Arc::clone(f))).collect::<Vec<_>>();
        let mut groups: Vec<Group> = Vec::new();
        let mut arguments = Vec::new();
        for (at, expr) in window.window_expr.iter().enumerate() {
            let Expr::WindowFunction(call) = without_alias(expr) else { unreachable!("a window has window functions") };
            let params = &call.params;
            let keys = params.partition_by.iter().map(|key| group_key(key, input, &own, &mut columns));
            let keys = keys.collect::<Result<Vec<_>>>()?;
            let order = params.order_by.iter().map(|by| order_column(by, input, &mut columns)).collect::<Result<Vec<_>>>()?;
            arguments.push(Arguments::of(&params.args, params.filter.as_deref(), |expr| place(expr, input, &mut columns))?);
            match groups.iter_mut().find(|group| group.keys == keys && group.order == order) {
                Some(group) => group.calls.push((at, call)),
                None => groups.push(Group { keys, order, calls: vec![(at, call)] }),
            }
        }
        let extended = columns.len();
        let mut node = match extended == width {
            true => node,
            false => self.builder.map(node, RowFunction { steps: vec![Step::Project(columns)] }),
        };
        let mut places = vec![0; window.window_expr.len()];
        for group in groups {
            let schema = Arc::clone(self.builder.schema(node));
            let mut calls = Vec::with_capacity(group.calls.len());
            for (at, call) in group.calls {
                places[at] = schema.fields().len() + calls.len();
                let field = Arc::clone(&window.schema.fields()[input.fields().len() + at]);
                let function = function(call, &arguments[at], &schema, &group.order, &field).map_err(from_datafusion)?;
                calls.push(GroupCall { text: text(call), function, field });
            }
            node = self.windowed(node, Window { keys: group.keys, order: group.order, calls });
        }
        let schema = Arc::clone(self.builder.schema(node));
        // Rows without columns have one of ours.
        let wanted = (0..input.fields().len()).chain(places).collect::<Vec<_>>();
        let in_place = wanted.iter().copied().eq(0..schema.fields().len());
        Ok(if in_place { node } else { self.builder.map(node, RowFunction::columns(&schema, &wanted)) })
    }

    fn windowed(&mut self, input: NodeId, window: Window) -> NodeId {
        let from = self.builder.node(input);
        let scope = from.scope.clone();
        let fields = from.schema.fields().iter().cloned().chain(window.calls.iter().map(|call| Arc::clone(&call.field)));
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let keys = window.keys.clone();
        let properties = Properties { append_only: false, distinct: from.properties.distinct, partitioning: Some(keys.clone()) };
        let inputs = vec![(input, Exchange::Hash(keys))];
        self.builder.add(Node { operator: Operator::Window(window), inputs, schema, scope, properties })
    }
}

/// What is computed, and over what: other frames are other functions.
fn text(call: &Call) -> String {
    Expr::WindowFunction(Box::new(call.clone())).to_string()
}

fn function(
    call: &Call,
    arguments: &Arguments,
    schema: &SchemaRef,
    order: &[Sorting],
    field: &FieldRef,
) -> DataFusionResult<Arc<dyn GroupFunction>> {
    let params = &call.params;
    let ignore_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let frame = Arc::new(params.window_frame.clone());
    let name = field.name().clone();
    let args = arguments.physical(schema);
    let result = field.data_type().clone();
    match &call.fun {
        WindowFunctionDefinition::AggregateUDF(function) => {
            let builder = AggregateExprBuilder::new(Arc::clone(function), args.clone()).schema(Arc::clone(schema)).alias(name);
            let builder = builder.with_ignore_nulls(ignore_nulls);
            let aggregate = if params.distinct { builder.distinct().build()? } else { builder.build()? };
            let order = order.iter().map(|by| (by.column, options(by))).collect();
            Ok(Arc::new(Framed { aggregate, args, filter: arguments.filter, order, frame, result }))
        }
        WindowFunctionDefinition::WindowUDF(function) => {
            let fields = args.iter().map(|arg| arg.return_field(schema)).collect::<DataFusionResult<Vec<_>>>()?;
            let function = Standard { function: Arc::clone(function), name, args, fields, ignore_nulls };
            let order = order.iter().map(|by| PhysicalSortExpr {
                expr: Arc::new(Column::new(schema.field(by.column).name(), by.column)),
                options: options(by),
            });
            let whole = StandardWindowExpr::new(Arc::new(function), &[], &order.collect::<Vec<_>>(), frame);
            Ok(Arc::new(Evaluated { whole, result }))
        }
    }
}

/// A function that DataFusion has as a window function.
#[derive(Debug)]
struct Evaluated {
    whole: StandardWindowExpr,
    result: DataType,
}

impl GroupFunction for Evaluated {
    fn evaluate(&self, group: &RecordBatch) -> DataFusionResult<ArrayRef> {
        if group.num_rows() == 0 {
            return Ok(arrow::array::new_empty_array(&self.result));
        }
        Ok(cast(&self.whole.evaluate(group)?, &self.result)?)
    }
}

/// What DataFusion asks of a window function.
#[derive(Debug)]
struct Standard {
    function: Arc<WindowUDF>,
    name: String,
    args: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<FieldRef>,
    ignore_nulls: bool,
}

impl StandardWindowFunctionExpr for Standard {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn field(&self) -> DataFusionResult<FieldRef> {
        self.function.field(WindowUDFFieldArgs::new(&self.fields, &self.name))
    }

    fn expressions(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.function.expressions(ExpressionArgs::new(&self.args, &self.fields))
    }

    fn create_evaluator(&self) -> DataFusionResult<Box<dyn PartitionEvaluator>> {
        let args = PartitionEvaluatorArgs::new(&self.args, &self.fields, false, self.ignore_nulls);
        self.function.partition_evaluator_factory(args)
    }

    fn limit_effect(&self) -> LimitEffect {
        LimitEffect::Unknown
    }
}

/// An aggregate over the frame of each row. Where a frame begins as the one before and ends no earlier, what is new in it is added;
/// else it is worked out from its rows, so that nothing is ever subtracted and sums of floating point do not drift.
#[derive(Debug)]
struct Framed {
    aggregate: AggregateFunctionExpr,
    args: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<usize>,
    order: Vec<(usize, SortOptions)>,
    frame: Arc<WindowFrame>,
    result: DataType,
}

impl GroupFunction for Framed {
    fn evaluate(&self, group: &RecordBatch) -> DataFusionResult<ArrayRef> {
        let rows = group.num_rows();
        let args = self.args.iter().map(|arg| arg.evaluate(group)?.into_array(rows)).collect::<DataFusionResult<Vec<_>>>()?;
        let order = self.order.iter().map(|(column, _)| Arc::clone(group.column(*column))).collect::<Vec<_>>();
        let options = self.order.iter().map(|(_, options)| *options).collect();
        let mut frames = WindowFrameContext::new(Arc::clone(&self.frame), options);
        let (mut last, mut sum) = (0..0, self.aggregate.create_accumulator()?);
        let mut value = sum.evaluate()?;
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let frame = frames.calculate_range(&order, &last, rows, row)?;
            if frame != last {
                let is_longer = frame.start == last.start && frame.end >= last.end;
                if !is_longer {
                    sum = self.aggregate.create_accumulator()?;
                }
                let new = if is_longer { last.end..frame.end } else { frame.clone() };
                self.add(sum.as_mut(), &args, group, new)?;
                value = sum.evaluate()?;
                last = frame;
            }
            values.push(value.clone());
        }
        if values.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.result));
        }
        Ok(cast(&ScalarValue::iter_to_array(values)?, &self.result)?)
    }
}

impl Framed {
    fn add(&self, sum: &mut dyn Accumulator, args: &[ArrayRef], group: &RecordBatch, rows: Range<usize>) -> DataFusionResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut args = args.iter().map(|arg| arg.slice(rows.start, rows.len())).collect::<Vec<_>>();
        if let Some(column) = self.filter {
            let holds = group.column(column).slice(rows.start, rows.len());
            let holds = holds.as_boolean_opt().ok_or_else(|| DataFusionError::Internal("a filter is a condition".to_owned()))?;
            args = args.iter().map(|arg| filter(arg, holds)).collect::<Result<Vec<_>, _>>()?;
        }
        sum.update_batch(&args)
    }
}
