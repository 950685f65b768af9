//! The match over the logical plan.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::ScalarValue;
use datafusion_expr::{Distinct, Expr, LogicalPlan, TableScan};
use datafusion_physical_expr::expressions::Literal;
use refrain_plan::{Node, NodeId, Operator, Projected, Properties, RowFunction, Step};
use refrain_sql::{FunctionRows, MutualNode, RecursionNode, RelationSource, Result, SqlError, TemporalNode, WorkTable};
use refrain_types::SqlState;

use crate::builder::Builder;
use crate::expression::{predicate, projected, without_negative_zero};
use crate::mutual::Mutual;
use crate::recursion::scan_function;
use crate::{PlannerContext, constant, refuse};

/// Lowers plans into one stream plan.
pub(crate) struct Lowering<'a> {
    pub(crate) builder: Builder,
    pub(crate) context: &'a PlannerContext<'a>,
    /// Loop heads by the number of their recursion, so that a recursion that is named twice is one loop.
    pub(crate) recursions: HashMap<usize, NodeId>,
    /// Recursions of several bindings, by their number.
    pub(crate) mutuals: HashMap<usize, Mutual>,
    /// Logical nodes whose rows a node gives already: where the body of a loop begins.
    pub(crate) substitutes: Vec<(*const LogicalPlan, NodeId)>,
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(context: &'a PlannerContext<'a>) -> Self {
        Self { builder: Builder::default(), context, recursions: HashMap::new(), mutuals: HashMap::new(), substitutes: Vec::new() }
    }

    /// The whole view. The order of its rows is nobody's promise, so a sort at the top says nothing.
    pub(crate) fn top(&mut self, plan: &LogicalPlan) -> Result<NodeId> {
        let node = self.lower(plan)?;
        if plan.schema().fields().is_empty() {
            return Ok(node);
        }
        Ok(self.builder.conform(node, plan.schema().inner()))
    }

    pub(crate) fn lower(&mut self, plan: &LogicalPlan) -> Result<NodeId> {
        if let Some((_, node)) = self.substitutes.iter().find(|(replaced, _)| std::ptr::eq(*replaced, plan)) {
            return Ok(*node);
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(projection) => {
                let input = self.lower(&projection.input)?;
                let function = projection_function(plan)?;
                Ok(self.builder.map(input, function))
            }
            LogicalPlan::Filter(filter) => {
                let input = self.lower(&filter.input)?;
                let keep = Step::Filter(predicate(&filter.predicate, filter.input.schema())?);
                Ok(self.builder.map(input, RowFunction { steps: vec![keep] }))
            }
            LogicalPlan::SubqueryAlias(alias) => self.lower(&alias.input),
            LogicalPlan::Repartition(repartition) => self.lower(&repartition.input),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.lower(&sort.input),
            LogicalPlan::Sort(sort) => self.first_sorted(sort),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Distinct(Distinct::On(on)) => self.distinct_on(on),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.lower(input)?;
                // The head of a set loop does it.
                Ok(if self.in_linear_loop(input) { input } else { self.distinct(input) })
            }
            LogicalPlan::Union(union) => self.union(&union.inputs, union.schema.inner()),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::EmptyRelation(relation) => Ok(self.constant(constant::empty(relation))),
            LogicalPlan::Values(values) => Ok(self.constant(constant::values(values)?)),
            LogicalPlan::Extension(_) => match (RecursionNode::of(plan), MutualNode::of(plan), TemporalNode::of(plan)) {
                (Some(recursion), ..) => self.recursion(recursion),
                (_, Some(mutual), _) => self.mutual(mutual),
                (.., Some(temporal)) => self.temporal(temporal),
                _ => Err(refuse::node(plan)),
            },
            other => Err(refuse::node(other)),
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Result<NodeId> {
        if let Some(binding) = scan.source.downcast_ref::<WorkTable>() {
            return self.binding(binding, scan);
        }
        if let Some(function) = scan.source.downcast_ref::<FunctionRows>()
            && scan.fetch.is_none()
        {
            let rows = self.constant(constant::function_rows(function)?);
            let function = scan_function(scan, &scan.source.schema())?;
            return Ok(self.builder.map(rows, function));
        }
        let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
            return Err(SqlError::new(SqlState::INTERNAL_ERROR, format!("{} is not a relation", scan.table_name)));
        };
        if scan.fetch.is_some() || source.kind == refrain_sql::RelationKind::System {
            return Err(SqlError::unsupported(format!("reading {} is not supported in a materialized view", source.name)));
        }
        let table = scan.source.schema();
        let all = (0..table.fields().len()).collect::<Vec<_>>();
        let columns = scan.projection.clone().unwrap_or(all);
        let none = columns.is_empty();
        let columns = if none { vec![0] } else { columns };
        let fields = columns.iter().map(|c| Arc::clone(&table.fields()[*c])).collect::<Vec<_>>();
        let relation = source.relation;
        let properties = Properties { append_only: (self.context.append_only)(relation), ..Properties::default() };
        let node = self.builder.add(Node {
            operator: Operator::Source { relation, name: source.name.clone(), columns },
            inputs: Vec::new(),
            schema: Arc::new(Schema::new(fields)),
            scope: Vec::new(),
            properties,
        });
        if none {
            return Ok(self.builder.map(node, count_rows()));
        }
        let steps = scan.filters.iter().map(|f| Ok(Step::Filter(predicate(f, &scan.projected_schema)?)));
        let steps = steps.collect::<Result<Vec<_>>>()?;
        Ok(self.builder.map(node, RowFunction { steps }))
    }

    pub(crate) fn distinct(&mut self, input: NodeId) -> NodeId {
        let schema = Arc::clone(self.builder.schema(input));
        let all = (0..schema.fields().len()).collect::<Vec<_>>();
        let canonical = self.builder.map(input, without_negative_zero(&schema, &all));
        self.builder.distinct(canonical)
    }

    fn union(&mut self, inputs: &[Arc<LogicalPlan>], schema: &Arc<Schema>) -> Result<NodeId> {
        let schema = if schema.fields().is_empty() { constant::no_columns() } else { Arc::clone(schema) };
        let nodes = inputs.iter().map(|input| {
            let node = self.lower(input)?;
            Ok(self.builder.conform(node, &schema))
        });
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        self.union_of(nodes, &schema)
    }

    /// The rows of all nodes, as rows of `schema`. Those from outside a loop enter it where others are inside.
    pub(crate) fn union_of(&mut self, nodes: Vec<NodeId>, schema: &Arc<Schema>) -> Result<NodeId> {
        let nodes = nodes.into_iter().map(|node| self.builder.conform(node, schema)).collect::<Vec<_>>();
        self.check_loops(&nodes)?;
        let scope = nodes.iter().map(|n| &self.builder.node(*n).scope).max_by_key(|scope| scope.len());
        let scope = scope.cloned().unwrap_or_default();
        let nodes = nodes.into_iter().map(|n| self.builder.enter(n, &scope)).collect::<Vec<_>>();
        Ok(self.builder.union(nodes, Arc::clone(schema)))
    }

    pub(crate) fn constant(&mut self, batch: arrow::array::RecordBatch) -> NodeId {
        let schema = batch.schema();
        let properties = Properties { append_only: true, distinct: batch.num_rows() <= 1, partitioning: None };
        self.builder.add(Node { operator: Operator::Constant(batch), inputs: Vec::new(), schema, scope: Vec::new(), properties })
    }
}

/// The row function of a `Projection`.
pub(crate) fn projection_function(plan: &LogicalPlan) -> Result<RowFunction> {
    let LogicalPlan::Projection(projection) = plan else { unreachable!("called for projections") };
    let input = projection.input.schema();
    if projection.expr.is_empty() {
        return Ok(count_rows());
    }
    let columns = projection.expr.iter().zip(projection.schema.fields()).map(|(e, f)| projected(e, input, f));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let unmoved = |(i, c): (usize, &Projected)| match c {
        Projected::Column(from, field) => *from == i && field.is_nullable() == input.field(i).is_nullable(),
        Projected::Computed(..) => false,
    };
    if columns.len() == input.fields().len() && columns.iter().enumerate().all(unmoved) {
        return Ok(RowFunction::default());
    }
    Ok(RowFunction { steps: vec![Step::Project(columns)] })
}

/// Rows without columns become rows of one constant.
pub(crate) fn count_rows() -> RowFunction {
    let row = Projected::Computed(Arc::new(Literal::new(ScalarValue::from(true))), Arc::clone(&constant::no_columns().fields()[0]));
    RowFunction { steps: vec![Step::Project(vec![row])] }
}

/// Whether an expression is a constant other than NULL.
pub(crate) fn is_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if !value.is_null())
}
