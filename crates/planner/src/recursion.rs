//! Recursions: a loop head, what it does itself, and the rest of its body.
//!
//! From the scan of the work table up to the top of the recursive term there is one path, for PostgreSQL allows one reference. Filters and
//! projections at its start, and the first join, are the head's own: the join is fused with it, filters and projections are its stage.
//! Where the path goes on after a second join, or the first join's keys have to be computed, the rest are ordinary nodes in the loop's
//! scope. Several terms have a path each, which meet in a union, and a path may lead through the base of a recursion inside: both are for
//! the general form.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::ScalarValue;
use datafusion_expr::{Distinct, Expr, Join, JoinType, LogicalPlan};
use datafusion_physical_expr::expressions::Literal;
use refrain_plan::{
    Exchange, FusedJoin, KeyWinner, LoopHead, LoopKey, LoopKind, Node, NodeId, Operator, Projected, Properties, RecursionLimit,
    RowFunction, Step,
};
use refrain_sql::{Limit, RecursionKey, RecursionNode, Result, TemporalNode, WorkTable};

use crate::builder::conforming;
use crate::expression::{predicate, projected, without_alias, without_negative_zero};
use crate::fuse::simplified;
use crate::join::{Side, join_output, key_expressions, logical_width, nulls_meet};
use crate::lower::{Lowering, count_rows, projection_function};
use crate::refuse;

mod division;
use division::Division;

/// What a loop head does by itself, as far as the path has been followed.
struct Start {
    /// The fused join, and its other side.
    join: Option<(FusedJoin, NodeId)>,
    /// Over the loop variable, then the other side.
    stage: RowFunction,
    /// How many nodes of the path, from its end, are done.
    done: usize,
}

impl Lowering<'_> {
    pub(crate) fn recursion(&mut self, recursion: &RecursionNode) -> Result<NodeId> {
        if let Some(head) = self.recursions.get(&recursion.id) {
            return Ok(*head);
        }
        let variable = Arc::clone(recursion.variable());
        let mut paths = paths_to(&recursion.step, recursion.id);
        check_apart(recursion, &paths)?;
        let forms = paths.iter().map(|path| check_path(recursion, path)).collect::<Result<Vec<_>>>()?;
        if let Some(inside) = self.dependent(recursion)? {
            return Ok(inside);
        }
        let base = self.lower(&recursion.base)?;
        let base = self.builder.conform(base, &variable);
        let base = if recursion.distinct { self.canonical(base) } else { base };
        let Some(path) = paths.pop() else { return self.without_step(recursion, base) };
        if forms.len() > 1 || forms.contains(&Form::General) {
            if recursion.key.is_some() {
                return Err(refuse::in_keyed_recursion(&recursion.name));
            }
            return self.general(recursion, base);
        }

        // Without iterations nothing could be limited.
        let grows = self.sides_append_only(&path)? && recursion.limit.is_none() && self.builder.node(base).properties.append_only;
        let mut start = self.start(&variable, &path)?;
        let whole = start.done == path.len();
        if whole {
            let closing = self.closing(&start, recursion, &variable);
            start.stage.steps.extend(closing.steps);
        }
        let stage = simplified(std::mem::take(&mut start.stage), self.stage_width(&variable, start.join.as_ref()));
        let width = self.stage_width(&variable, start.join.as_ref());
        let join = start.join.as_ref().map(|(join, _)| join);
        let better_derives_better = |key: &LoopKey| {
            let join_keys = join.map_or(&[][..], |join| &join.variable_keys);
            whole && key.better_derives_better(&stage, join_keys, (&variable, width))
        };
        let kind = match (recursion.key.as_ref().map(loop_key), recursion.distinct, grows) {
            (Some(key), _, true) if better_derives_better(&key) => LoopKind::MonotoneKeyed(key),
            (Some(key), ..) => LoopKind::Keyed(key),
            (None, false, _) => LoopKind::Bag,
            (None, true, true) => LoopKind::MonotoneSet,
            (None, true, false) => LoopKind::Set,
        };
        // A key's row is replaced, whatever its inputs do.
        let append_only = grows && recursion.key.is_none();
        let all = (0..variable.fields().len()).collect::<Vec<_>>();
        let together = recursion.key.as_ref().map_or(&all, |key| &key.columns);
        let division = Division::of(together, join, whole.then(|| stage.column_sources(width)), |column| {
            self.builder.has_one_value(base, column)
        });
        let head = self.head(recursion, base, kind, append_only, start.join, (stage, division));
        self.recursions.insert(recursion.id, head);
        if !whole {
            let body = self.body(recursion, head, path[path.len() - start.done])?;
            self.builder.close_loop(head, body);
        }
        Ok(head)
    }

    /// A recursive term in which the optimizer found what names the query to be empty: what is left of it is derived once.
    fn without_step(&mut self, recursion: &RecursionNode, base: NodeId) -> Result<NodeId> {
        let node = match &recursion.key {
            Some(key) if is_empty(&recursion.step) => self.without_rounds(recursion, base, key),
            Some(_) => return Err(refuse::in_recursion(&recursion.name, "a condition that no row meets")),
            None => {
                let step = if is_empty(&recursion.step) { Vec::new() } else { vec![self.lower(&recursion.step)?] };
                let all = [vec![base], step].concat();
                let all = if let [base] = all[..] { base } else { self.union_of(all, recursion.variable())? };
                if recursion.distinct { self.distinct(all) } else { all }
            }
        };
        self.recursions.insert(recursion.id, node);
        Ok(node)
    }

    /// A keyed recursion of its base alone: one row for each key of it.
    fn without_rounds(&mut self, recursion: &RecursionNode, base: NodeId, key: &RecursionKey) -> NodeId {
        let nothing = Step::Filter(Arc::new(Literal::new(ScalarValue::from(false))));
        let division = Division { partition: key.columns.clone(), stays: true };
        let kind = LoopKind::Keyed(loop_key(key));
        self.head(recursion, base, kind, false, None, (RowFunction { steps: vec![nothing] }, division))
    }

    /// Rows of a set: equal values are equal rows.
    fn canonical(&mut self, node: NodeId) -> NodeId {
        let schema = Arc::clone(self.builder.schema(node));
        let all = (0..schema.fields().len()).collect::<Vec<_>>();
        self.builder.map(node, without_negative_zero(&schema, &all))
    }

    /// Whether whatever the path joins with only grows. Lowers these sides; the joins find them again.
    fn sides_append_only(&mut self, path: &[&LogicalPlan]) -> Result<bool> {
        let mut append_only = true;
        for pair in path.windows(2) {
            if let LogicalPlan::Join(join) = pair[0] {
                let other = if std::ptr::eq(join.left.as_ref(), pair[1]) { &join.right } else { &join.left };
                let other = self.lower(other)?;
                append_only &= self.builder.node(other).properties.append_only;
            }
        }
        Ok(append_only)
    }

    /// Follows the path from its end as far as the head can go by itself.
    fn start(&mut self, variable: &SchemaRef, path: &[&LogicalPlan]) -> Result<Start> {
        let mut start = Start { join: None, stage: RowFunction::default(), done: 0 };
        for at in (0..path.len()).rev() {
            let node = path[at];
            match node {
                LogicalPlan::TableScan(scan) => start.stage = scan_function(scan, variable)?,
                LogicalPlan::Projection(_) => start.stage = start.stage.then(projection_function(node)?),
                LogicalPlan::Filter(filter) => {
                    start.stage.steps.push(Step::Filter(predicate(&filter.predicate, filter.input.schema())?));
                }
                LogicalPlan::Aggregate(aggregate) => {
                    let fields = aggregate.schema.fields().iter();
                    let columns = aggregate.group_expr.iter().zip(fields).map(|(e, f)| projected(e, aggregate.input.schema(), f));
                    start.stage.steps.push(Step::Project(columns.collect::<Result<Vec<_>>>()?));
                }
                LogicalPlan::Join(join) => {
                    let fused = start.join.is_none() && self.fuse(variable, join, path[at + 1], &mut start)?;
                    if !fused {
                        return Ok(start);
                    }
                }
                // These pass rows on; DISTINCT does, too, for the head keeps a set.
                _ => {}
            }
            start.done += 1;
        }
        Ok(start)
    }

    /// Makes a join the head's own. Not when a key of the loop variable has to be computed: the head's rows are found by their columns.
    fn fuse(&mut self, variable: &SchemaRef, join: &Join, inner: &LogicalPlan, start: &mut Start) -> Result<bool> {
        let variable_is_left = std::ptr::eq(join.left.as_ref(), inner);
        let (left_keys, right_keys) = key_expressions(join)?;
        let (own, others) = if variable_is_left { (left_keys, right_keys) } else { (right_keys, left_keys) };
        let sources = start.stage.column_sources(variable.fields().len());
        let Some(variable_keys) = own.iter().map(|key| plain_key(key, inner, &sources, variable)).collect::<Option<Vec<_>>>()
        else {
            return Ok(false);
        };
        let other_plan = if variable_is_left { &join.right } else { &join.left };
        // With a further condition a row comes as often as it meets one, which a set and a row of each key do not count.
        let whole_side = join.join_type == JoinType::Inner || join.filter.is_some();
        let side = if whole_side { self.side(other_plan, &others) } else { self.distinct_keys(other_plan, &others) };
        let Side { node: other, keys: other_keys } = side?;
        let inner_width = start.stage.output_schema(variable).fields().len();
        let stage = widened(std::mem::take(&mut start.stage), variable.fields().len(), self.builder.schema(other));
        let left_width = logical_width(&join.left);
        let output = join_output(join, |i| match (variable_is_left, i.checked_sub(left_width)) {
            (true, None) => i,
            (true, Some(of_right)) => inner_width + of_right,
            (false, None) => inner_width + i,
            (false, Some(of_right)) => of_right,
        })?;
        start.stage = stage.then(output);
        let other_append_only = self.builder.node(other).properties.append_only;
        start.join = Some((FusedJoin { variable_keys, other_keys, nulls_meet: nulls_meet(join), other_append_only }, other));
        Ok(true)
    }

    fn stage_width(&self, variable: &SchemaRef, join: Option<&(FusedJoin, NodeId)>) -> usize {
        variable.fields().len() + join.map_or(0, |(_, other)| self.builder.schema(*other).fields().len())
    }

    /// From the stage's columns to the loop variable's.
    fn closing(&self, start: &Start, recursion: &RecursionNode, variable: &SchemaRef) -> RowFunction {
        let input = match &start.join {
            None => Arc::clone(variable),
            Some((_, other)) => crate::builder::side_by_side(variable, self.builder.schema(*other)),
        };
        let conformed = conforming(&start.stage.output_schema(&input), variable);
        let all = (0..variable.fields().len()).collect::<Vec<_>>();
        if recursion.distinct { conformed.then(without_negative_zero(variable, &all)) } else { conformed }
    }

    fn head(
        &mut self,
        recursion: &RecursionNode,
        base: NodeId,
        kind: LoopKind,
        append_only: bool,
        join: Option<(FusedJoin, NodeId)>,
        (stage, Division { partition, stays }): (RowFunction, Division),
    ) -> NodeId {
        let variable = Arc::clone(recursion.variable());
        let mut inputs = vec![(base, Exchange::Hash(partition.clone()))];
        inputs.extend(join.iter().map(|(join, other)| {
            let meets = partition == join.variable_keys;
            (*other, if meets { Exchange::Hash(join.other_keys.clone()) } else { Exchange::Broadcast })
        }));
        let properties = Properties { append_only, distinct: recursion.distinct, partitioning: Some(partition.clone()) };
        let head = LoopHead {
            id: self.builder.next_loop(),
            name: recursion.name.clone(),
            kind,
            variable: Arc::clone(&variable),
            partition,
            stays,
            join: join.map(|(join, _)| join),
            stage,
            feedback: None,
            limit: recursion.limit.map(limited),
        };
        self.builder.add(Node { operator: Operator::LoopHead(head), inputs, schema: variable, scope: Vec::new(), properties })
    }

    /// The rest of the recursive term, over the rows that the head sends round.
    fn body(&mut self, recursion: &RecursionNode, head: NodeId, from: &LogicalPlan) -> Result<NodeId> {
        let node = self.builder.node(head);
        let Operator::LoopHead(loop_head) = &node.operator else { unreachable!("the head was just made") };
        let input = match node.inputs.get(1) {
            None => Arc::clone(&loop_head.variable),
            Some((other, _)) => crate::builder::side_by_side(&loop_head.variable, self.builder.schema(*other)),
        };
        let body = Node {
            operator: Operator::LoopBody,
            inputs: vec![(head, Exchange::Stay)],
            schema: loop_head.stage.output_schema(&input),
            scope: vec![loop_head.id],
            properties: Properties { append_only: node.properties.append_only, ..Properties::default() },
        };
        let body = self.builder.add(body);
        self.substitutes.push((std::ptr::from_ref(from), body));
        let last = self.lower(&recursion.step);
        self.substitutes.pop();
        let last = self.builder.conform(last?, recursion.variable());
        Ok(if recursion.distinct { self.canonical(last) } else { last })
    }
}

/// Whether a plan is seen to give no rows.
fn is_empty(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::EmptyRelation(empty) => !empty.produce_one_row,
        LogicalPlan::Extension(_) => false,
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => false,
        _ => matches!(plan.inputs()[..], [input] if is_empty(input)),
    }
}

/// The limit as a plan has it.
pub(crate) fn limited(Limit { iterations, fails }: Limit) -> RecursionLimit {
    RecursionLimit { iterations, fails }
}

fn loop_key(key: &RecursionKey) -> LoopKey {
    let winner = match key.winner {
        refrain_sql::KeyWinner::Latest => KeyWinner::Latest,
        refrain_sql::KeyWinner::Least(column) => KeyWinner::Least(column),
        refrain_sql::KeyWinner::Greatest(column) => KeyWinner::Greatest(column),
    };
    LoopKey { columns: key.columns.clone(), winner }
}

/// The nodes from a plan down to each scan of a work table.
fn paths_to(plan: &LogicalPlan, id: usize) -> Vec<Vec<&LogicalPlan>> {
    if let LogicalPlan::TableScan(scan) = plan {
        return scan.source.downcast_ref::<WorkTable>().filter(|w| w.id == id).map(|_| vec![plan]).into_iter().collect();
    }
    let mut paths = plan.inputs().into_iter().flat_map(|input| paths_to(input, id)).collect::<Vec<_>>();
    paths.iter_mut().for_each(|path| path.insert(0, plan));
    paths
}

/// What can run a recursive term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A loop head: the term is a chain of filters, projections and inner joins.
    Linear,
    /// A variable, and the term as operators of any kind. It makes of each row what it makes of it alone, or nothing of it at all, so what
    /// it makes of all rows is what it makes of those of each iteration.
    General,
}

/// How a recursive term can run; refuses what neither form can do.
fn check_path(recursion: &RecursionNode, path: &[&LogicalPlan]) -> Result<Form> {
    let mut form = Form::Linear;
    for (at, node) in path.iter().enumerate() {
        if is_general(recursion, node, path.get(at + 1).copied()) {
            form = Form::General;
            continue;
        }
        let wrong = match node {
            LogicalPlan::TableScan(_) | LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => None,
            LogicalPlan::SubqueryAlias(_) | LogicalPlan::Repartition(_) => None,
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => None,
            LogicalPlan::Join(join) => check_join(join, path[at + 1]),
            LogicalPlan::Distinct(Distinct::All(_)) if recursion.distinct => None,
            LogicalPlan::Aggregate(aggregate) if recursion.distinct && aggregate.aggr_expr.is_empty() => None,
            LogicalPlan::Distinct(_) => Some("DISTINCT"),
            LogicalPlan::Aggregate(_) => Some("GROUP BY"),
            LogicalPlan::Union(_) => Some("UNION"),
            LogicalPlan::Window(_) => Some("a window function"),
            LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => Some("LIMIT"),
            LogicalPlan::Extension(_) if TemporalNode::of(node).is_some() => return Err(refuse::time_in_recursion()),
            LogicalPlan::Extension(_) => Some("another recursive query"),
            _ => return Err(refuse::node(node)),
        };
        if let Some(what) = wrong {
            return Err(refuse::in_recursion(&recursion.name, what));
        }
    }
    Ok(form)
}

/// Refuses paths that meet in anything but a union: the recursive term sees the rows of one iteration, and pairs of them are not pairs of
/// all rows.
fn check_apart(recursion: &RecursionNode, paths: &[Vec<&LogicalPlan>]) -> Result<()> {
    for (i, path) in paths.iter().enumerate() {
        for other in &paths[..i] {
            let common = path.iter().zip(other).take_while(|(a, b)| std::ptr::eq(**a, **b)).count();
            if !matches!(path[common - 1], LogicalPlan::Union(_)) {
                return Err(refuse::in_recursion(&recursion.name, "a join of a WITH query with itself"));
            }
        }
    }
    Ok(())
}

/// Whether a node on the path is for the general form: a union, a join that keeps rows of the reference's side without a partner, one under
/// `UNION ALL` that keeps a row once however many partners meet its condition, or a recursion that begins with what the reference gives.
/// Under `UNION ALL` that has to be one of `UNION ALL`, too: else it would derive once what it derives in each iteration.
fn is_general(recursion: &RecursionNode, node: &LogicalPlan, inner: Option<&LogicalPlan>) -> bool {
    if let (Some(nested), Some(inner)) = (RecursionNode::of(node), inner) {
        let begins = std::ptr::eq(&raw const nested.base, inner);
        return begins && recursion.key.is_none() && nested.key.is_none() && (recursion.distinct || !nested.distinct);
    }
    match (node, inner) {
        (LogicalPlan::Union(_), _) => true,
        (LogicalPlan::Join(join), Some(inner)) => match join.join_type {
            JoinType::Left | JoinType::LeftAnti => std::ptr::eq(join.left.as_ref(), inner),
            JoinType::Right | JoinType::RightAnti => std::ptr::eq(join.right.as_ref(), inner),
            JoinType::LeftSemi => join.filter.is_some() && !recursion.distinct && std::ptr::eq(join.left.as_ref(), inner),
            JoinType::RightSemi => join.filter.is_some() && !recursion.distinct && std::ptr::eq(join.right.as_ref(), inner),
            _ => false,
        },
        _ => false,
    }
}

fn check_join(join: &Join, inner: &LogicalPlan) -> Option<&'static str> {
    let on_the_left = std::ptr::eq(join.left.as_ref(), inner);
    match join.join_type {
        JoinType::Inner => None,
        JoinType::LeftSemi if on_the_left => None,
        JoinType::RightSemi if !on_the_left => None,
        JoinType::LeftSemi | JoinType::RightSemi => Some("IN or EXISTS"),
        JoinType::LeftAnti | JoinType::RightAnti => Some("EXCEPT, NOT IN or NOT EXISTS"),
        JoinType::LeftMark | JoinType::RightMark => Some("a subquery"),
        _ => Some("an outer join"),
    }
}

pub(crate) fn scan_function(scan: &datafusion_expr::TableScan, variable: &SchemaRef) -> Result<RowFunction> {
    let mut function = match &scan.projection {
        None => RowFunction::default(),
        Some(columns) if columns.is_empty() => count_rows(),
        Some(columns) if columns.iter().copied().eq(0..variable.fields().len()) => RowFunction::default(),
        Some(columns) => RowFunction::columns(variable, columns),
    };
    for filter in &scan.filters {
        function.steps.push(Step::Filter(predicate(filter, &scan.projected_schema)?));
    }
    Ok(function)
}

/// The column of the loop variable that a key is, if it is one. Floating point is not: as a key it has to be computed.
fn plain_key(key: &Expr, inner: &LogicalPlan, sources: &[Option<usize>], variable: &SchemaRef) -> Option<usize> {
    let Expr::Column(column) = without_alias(key) else { return None };
    let at = inner.schema().maybe_index_of_column(column)?;
    sources[at].filter(|c| !variable.field(*c).data_type().is_floating())
}

/// A row function over the first `width` columns, with the columns of `other` kept behind them.
fn widened(function: RowFunction, mut width: usize, other: &SchemaRef) -> RowFunction {
    let steps = function.steps.into_iter().map(|step| match step {
        Step::Filter(condition) => Step::Filter(condition),
        Step::Project(mut columns) => {
            let kept = columns.len();
            columns.extend(other.fields().iter().enumerate().map(|(i, f)| Projected::Column(width + i, Arc::clone(f))));
            width = kept;
            Step::Project(columns)
        }
    });
    RowFunction { steps: steps.collect() }
}
