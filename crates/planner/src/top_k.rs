//! `ORDER BY … LIMIT` and `DISTINCT ON`.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion_common::DFSchema;
use datafusion_expr::expr::Sort as SortExpr;
use datafusion_expr::{DistinctOn, FetchType, Limit, LogicalPlan, SkipType, Sort};
use refrain_plan::{Exchange, Node, NodeId, Operator, Projected, Properties, RowFunction, Sorting, Step, TopK};
use refrain_sql::Result;
use refrain_sql::bind::errors::from_datafusion;

use crate::aggregate::argument_column;
use crate::expression::{column, plus_zero, projected};
use crate::lower::Lowering;
use crate::refuse;

/// What is taken of the rows of a plan.
struct First<'a> {
    keys: &'a [datafusion_expr::Expr],
    order: &'a [SortExpr],
    offset: u64,
    limit: Option<u64>,
}

impl Lowering<'_> {
    /// The rows that a limit takes; in the order of the sort under it, if there is one.
    pub(crate) fn limit(&mut self, limit: &Limit) -> Result<NodeId> {
        let skip = limit.get_skip_type().map_err(from_datafusion)?;
        let fetch = limit.get_fetch_type().map_err(from_datafusion)?;
        let (SkipType::Literal(offset), FetchType::Literal(fetch)) = (skip, fetch) else { return Err(refuse::computed_limit()) };
        let first = First { keys: &[], order: &[], offset: offset as u64, limit: fetch.map(|fetch| fetch as u64) };
        let Some((plan, sort)) = sort_under(&limit.input) else { return self.first_rows(&limit.input, &first) };
        let of_sort = sort.fetch.map(|fetch| fetch as u64);
        let within = of_sort.map(|most| first.limit.map_or(most, |limit| limit.min(most.saturating_sub(first.offset))));
        let first = First { order: &sort.expr, limit: within.or(first.limit), ..first };
        let rows = self.first_rows(&sort.input, &first)?;
        self.substitutes.push((std::ptr::from_ref(plan), rows));
        let node = self.lower(&limit.input);
        self.substitutes.pop();
        node
    }

    /// The rows of a sort that takes the first of them.
    pub(crate) fn first_sorted(&mut self, sort: &Sort) -> Result<NodeId> {
        let limit = sort.fetch.map(|fetch| fetch as u64);
        self.first_rows(&sort.input, &First { keys: &[], order: &sort.expr, offset: 0, limit })
    }

    /// The first row of each group.
    pub(crate) fn distinct_on(&mut self, on: &DistinctOn) -> Result<NodeId> {
        let order = on.sort_expr.as_deref().unwrap_or_default();
        let rows = self.first_rows(&on.input, &First { keys: &on.on_expr, order, offset: 0, limit: Some(1) })?;
        let columns = on.select_expr.iter().zip(on.schema.fields()).map(|(e, f)| projected(e, on.input.schema(), f));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(self.builder.map(rows, RowFunction { steps: vec![Step::Project(columns)] }))
    }

    /// The plan's columns of the rows that are taken.
    fn first_rows(&mut self, input: &LogicalPlan, first: &First<'_>) -> Result<NodeId> {
        let node = self.lower(input)?;
        let own = Arc::clone(self.builder.schema(node));
        let width = own.fields().len();
        let mut columns = own.fields().iter().enumerate().map(|(i, f)| Projected::Column(i, Arc::clone(f))).collect::<Vec<_>>();
        let keys = first.keys.iter().map(|key| group_key(key, input.schema(), &own, &mut columns));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let order = first.order.iter().map(|by| order_column(by, input.schema(), &mut columns)).collect::<Result<Vec<_>>>()?;
        let extended =
            if columns.len() == width { node } else { self.builder.map(node, RowFunction { steps: vec![Step::Project(columns)] }) };
        let top = TopK { keys: keys.clone(), order, offset: first.offset, limit: first.limit };
        let from = self.builder.node(extended);
        let (schema, scope) = (Arc::clone(&from.schema), from.scope.clone());
        let properties = Properties { append_only: false, distinct: from.properties.distinct, partitioning: Some(keys.clone()) };
        let operator = Operator::TopK(top);
        let inputs = vec![(extended, Exchange::Hash(keys))];
        let taken = self.builder.add(Node { operator, inputs, schema, scope, properties });
        let schema = Arc::clone(self.builder.schema(taken));
        let narrowed = RowFunction::columns(&schema, &(0..width).collect::<Vec<_>>());
        Ok(if schema.fields().len() == width { taken } else { self.builder.map(taken, narrowed) })
    }
}

/// The column of a node of `own` rows by which an expression makes groups.
pub(crate) fn group_key(
    key: &datafusion_expr::Expr,
    schema: &DFSchema,
    own: &SchemaRef,
    columns: &mut Vec<Projected>,
) -> Result<usize> {
    let at = place(key, schema, columns)?;
    let field = FieldRef::clone(columns[at].field());
    if !field.data_type().is_floating() {
        return Ok(at);
    }
    // Of floating point, −0 and 0 are one key.
    let value = match &columns[at] {
        Projected::Computed(value, _) => Arc::clone(value),
        Projected::Column(from, _) => column(own, *from),
    };
    columns.push(Projected::Computed(plus_zero(value, field.data_type()), field));
    Ok(columns.len() - 1)
}

/// The column by which an expression orders rows, and how.
pub(crate) fn order_column(by: &SortExpr, schema: &DFSchema, columns: &mut Vec<Projected>) -> Result<Sorting> {
    let column = place(&by.expr, schema, columns)?;
    if let DataType::Interval(_) = columns[column].field().data_type() {
        return Err(refuse::order_of_intervals());
    }
    Ok(Sorting { column, descending: !by.asc, nulls_first: by.nulls_first })
}

/// The column that an expression is, or that is made of it.
pub(crate) fn place(expr: &datafusion_expr::Expr, schema: &DFSchema, columns: &mut Vec<Projected>) -> Result<usize> {
    match argument_column(expr, schema)? {
        Projected::Column(at, _) => Ok(at),
        computed @ Projected::Computed(..) => {
            columns.push(computed);
            Ok(columns.len() - 1)
        }
    }
}

/// The sort that gives the rows of a plan their order, if there is one.
fn sort_under(plan: &LogicalPlan) -> Option<(&LogicalPlan, &Sort)> {
    match plan {
        LogicalPlan::Sort(sort) => Some((plan, sort)),
        LogicalPlan::Projection(projection) => sort_under(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => sort_under(&alias.input),
        _ => None,
    }
}
