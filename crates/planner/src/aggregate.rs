//! GROUP BY.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion_common::DFSchema;
use datafusion_expr::expr::AggregateFunction as Call;
use datafusion_expr::{Expr, ExprSchemable, lit, when};
use refrain_plan::{
    Aggregate, AggregateCall, AggregateFunction, Exchange, Node, NodeId, Operator, Projected, Properties, RowFunction, Step,
};
use refrain_sql::Result;
use refrain_sql::bind::errors::from_datafusion;

use crate::expression::{projected, without_alias, without_negative_zero};
use crate::lower::{Lowering, is_constant};

/// One aggregate: the function, its argument (none for `count(*)`), and whether it takes each value once.
struct Wanted {
    function: AggregateFunction,
    argument: Option<Expr>,
    distinct: bool,
}

impl Lowering<'_> {
    pub(crate) fn aggregate(&mut self, aggregate: &datafusion_expr::Aggregate) -> Result<NodeId> {
        let input_schema = aggregate.input.schema();
        let keys = aggregate.group_expr.len();
        let Some(wanted) = aggregate.aggr_expr.iter().map(wanted).collect::<Option<Vec<_>>>().filter(|w| share_distinct(w)) else {
            return self.fold(aggregate);
        };
        let input = self.lower(&aggregate.input)?;

        let mut columns = Vec::with_capacity(keys + wanted.len());
        for (expr, field) in aggregate.group_expr.iter().zip(aggregate.schema.fields()) {
            columns.push(projected(expr, input_schema, field)?);
        }
        let mut arguments: Vec<Expr> = Vec::new();
        for argument in wanted.iter().filter_map(|w| w.argument.as_ref()) {
            if !arguments.contains(argument) {
                columns.push(argument_column(argument, input_schema)?);
                arguments.push(argument.clone());
            }
        }
        if columns.is_empty() {
            return Ok(self.count_all(input, aggregate, &wanted));
        }
        let prepared = self.builder.map(input, RowFunction { steps: vec![Step::Project(columns)] });
        let prepared_schema = Arc::clone(self.builder.schema(prepared));
        let key_columns = (0..keys).collect::<Vec<_>>();
        let prepared = self.builder.map(prepared, without_negative_zero(&prepared_schema, &key_columns));
        if wanted.is_empty() {
            // The head of a set loop takes each row once.
            let of_set = self.builder.node(prepared).scope.last().is_some_and(|inner| !self.is_mutual(*inner));
            return Ok(if of_set { prepared } else { self.builder.distinct(prepared) });
        }
        let prepared = if wanted.iter().any(|w| w.distinct) { self.distinct(prepared) } else { prepared };
        let position = |argument: &Expr| keys + arguments.iter().position(|a| a == argument).expect("every argument has a column");
        let calls = wanted.iter().zip(&aggregate.schema.fields()[keys..]).map(|(w, field)| AggregateCall {
            function: w.function,
            argument: w.argument.as_ref().map(position),
            result: field.data_type().clone(),
        });
        let calls = calls.collect();
        Ok(self.grouped(prepared, aggregate.schema.inner(), Aggregate { keys, calls }))
    }

    /// Aggregates that read no column: `count(*)` of everything.
    fn count_all(&mut self, input: NodeId, aggregate: &datafusion_expr::Aggregate, wanted: &[Wanted]) -> NodeId {
        let calls = wanted.iter().zip(aggregate.schema.fields()).map(|(w, field)| AggregateCall {
            function: w.function,
            argument: None,
            result: field.data_type().clone(),
        });
        let calls = calls.collect();
        self.grouped(input, aggregate.schema.inner(), Aggregate { keys: 0, calls })
    }

    fn grouped(&mut self, input: NodeId, schema: &Arc<Schema>, aggregate: Aggregate) -> NodeId {
        let from = self.builder.node(input);
        let by = (0..aggregate.keys).collect::<Vec<_>>();
        // Keys keep what is known about them; the plan's schema may claim less.
        let fields = schema.fields().iter().enumerate().map(|(i, field)| {
            let nullable = if i < aggregate.keys { from.schema.field(i).is_nullable() } else { field.is_nullable() };
            Field::new(field.name(), field.data_type().clone(), nullable)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = Properties { append_only: false, distinct: true, partitioning: Some(by.clone()) };
        let scope = from.scope.clone();
        self.builder.add(Node {
            operator: Operator::Aggregate(aggregate),
            inputs: vec![(input, Exchange::Hash(by))],
            schema,
            scope,
            properties,
        })
    }
}

/// Whether DISTINCT makes no difference.
fn indifferent(function: AggregateFunction) -> bool {
    matches!(function, AggregateFunction::Min | AggregateFunction::Max)
}

/// Whether one DISTINCT of the rows serves all aggregates, if there is one.
fn share_distinct(wanted: &[Wanted]) -> bool {
    let same = |w: &Wanted| w.argument == wanted[0].argument;
    !wanted.iter().any(|w| w.distinct) || wanted.iter().all(|w| same(w) && (w.distinct || indifferent(w.function)))
}

/// An aggregate that has an accumulator of ours.
fn wanted(expr: &Expr) -> Option<Wanted> {
    let Expr::AggregateFunction(call) = without_alias(expr) else { return None };
    let function = match call.func.name() {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        "avg" => AggregateFunction::Avg,
        _ => return None,
    };
    let argument = argument(call, function)?;
    let distinct = call.params.distinct && argument.is_some() && !indifferent(function);
    Some(Wanted { function, argument, distinct })
}

/// The argument, NULL where the FILTER does not hold; `Some(None)` for `count(*)`, `None` where there is not one argument.
fn argument(call: &Call, function: AggregateFunction) -> Option<Option<Expr>> {
    let [argument] = call.params.args.as_slice() else { return None };
    let counts_rows = function == AggregateFunction::Count && is_constant(argument) && !call.params.distinct;
    match &call.params.filter {
        None if counts_rows => Some(None),
        None => Some(Some(argument.clone())),
        Some(filter) => {
            let value = if counts_rows { lit(true) } else { argument.clone() };
            Some(Some(when(filter.as_ref().clone(), value).end().ok()?))
        }
    }
}

/// A column of a plan, or one that is computed of its columns.
pub(crate) fn argument_column(argument: &Expr, schema: &DFSchema) -> Result<Projected> {
    let data_type = argument.get_type(schema).map_err(from_datafusion)?;
    let nullable = argument.nullable(schema).map_err(from_datafusion)?;
    let name = match argument {
        Expr::Column(column) => column.name.clone(),
        other => other.human_display().to_string(),
    };
    projected(argument, schema, &Field::new(name, data_type, nullable))
}
