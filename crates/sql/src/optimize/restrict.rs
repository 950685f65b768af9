//! A recursion of which only some rows are read begins with fewer.
//!
//! A column that the recursive term takes over from row to row is the same in a row and in all that follows from it. So a condition on
//! such columns, which a filter asks of the recursion's rows, can be asked of its first ones: "all that can be reached from x" does not
//! compute what can be reached from anywhere else. (The constant propagation of Aho and Ullman, "Universality of Data Retrieval
//! Languages", POPL 1979: selections commute with a fixpoint on the columns that it does not change.)
//!
//! The closure of a relation can be worked out from either end, so it is turned round where the condition is on the column that it would
//! not take over: "all that x can be reached from" begins at x, too.
//!
//! A recursion that is read elsewhere in the statement without a condition stays as it is: it is computed once, for all readers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, NullEquality, Result as DataFusionResult};
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Distinct, Expr, Extension, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, TableScan};
use refrain_types::RelationId;

use crate::recursion::{MutualNode, RecursionNode};
use crate::source::{RelationSource, WorkTable};

/// What it is called where rules are switched off.
pub(super) const NAME: &str = "restrict_recursions";

/// Moves conditions into recursions. Returns `None` where there is nothing to move.
pub(super) fn restrict(plan: &LogicalPlan) -> DataFusionResult<Option<LogicalPlan>> {
    let mut readers = Readers::default();
    plan.apply_with_subqueries(|node| readers.see(node).map(|()| TreeNodeRecursion::Continue))?;
    let conditional = readers.only_conditional();
    if conditional.is_empty() {
        return Ok(None);
    }
    let mut next_id = readers.free_id;
    let mut ids = HashMap::new();
    let moved = plan.clone().transform_down_with_subqueries(|node| {
        let Some(divided) = divided(&node)?.filter(|divided| conditional.contains(&divided.recursion.id)) else {
            return Ok(Transformed::no(node));
        };
        let Divided { recursion, columns, moving, staying } = divided;
        let key = (recursion.id, moving.clone());
        let id = *ids.entry(key).or_insert_with(|| {
            next_id += 1;
            next_id - 1
        });
        let mut restricted = LogicalPlan::Extension(Extension { node: Arc::new(recursion.restricted(id, moving)?) });
        if let Some(Projection { expr, schema, .. }) = columns {
            restricted = LogicalPlan::Projection(Projection::try_new_with_schema(expr, Arc::new(restricted), schema)?);
        }
        Ok(Transformed::yes(match conjunction(staying) {
            None => restricted,
            Some(condition) => LogicalPlan::Filter(Filter::try_new(condition, Arc::new(restricted))?),
        }))
    })?;
    Ok(moved.transformed.then_some(moved.data))
}

/// How often each recursion is read, by its number, and which of them under a condition that can move.
#[derive(Default)]
struct Readers {
    seen: BTreeMap<usize, usize>,
    /// Under such a condition.
    under: BTreeMap<usize, usize>,
    /// A number that no recursion and no binding has, and none after it.
    free_id: usize,
}

impl Readers {
    fn see(&mut self, node: &LogicalPlan) -> DataFusionResult<()> {
        if let Some(recursion) = RecursionNode::of(node) {
            *self.seen.entry(recursion.id).or_default() += 1;
            self.free_id = self.free_id.max(recursion.id + 1);
        }
        if let Some(MutualNode { block, .. }) = MutualNode::of(node) {
            let ids = block.bindings.iter().map(|binding| binding.id).chain([block.id]);
            self.free_id = ids.fold(self.free_id, |free, id| free.max(id + 1));
        }
        if let Some(Divided { recursion, .. }) = divided(node)? {
            *self.under.entry(recursion.id).or_default() += 1;
        }
        Ok(())
    }

    /// The recursions that nobody reads without such a condition.
    fn only_conditional(&self) -> BTreeSet<usize> {
        self.under.iter().filter(|(id, under)| self.seen.get(id) == Some(under)).map(|(id, _)| *id).collect()
    }
}

/// A filter above a recursion.
struct Divided {
    /// Turned round if need be.
    recursion: RecursionNode,
    /// The columns of the recursion that the filter sees, if not all.
    columns: Option<Projection>,
    /// The conditions on columns that the recursion takes over, at least one. Its columns are meant.
    moving: Vec<Expr>,
    /// The others, as they stand.
    staying: Vec<Expr>,
}

/// A filter above a recursion, or above columns of it, if a condition of the filter can move.
fn divided(node: &LogicalPlan) -> DataFusionResult<Option<Divided>> {
    let LogicalPlan::Filter(filter) = node else { return Ok(None) };
    let columns = match filter.input.as_ref() {
        LogicalPlan::Projection(projection) => Some(projection),
        _ => None,
    };
    let input = columns.map_or(&filter.input, |projection| &projection.input);
    let Some(recursion) = RecursionNode::of(input) else { return Ok(None) };
    let of_recursion = |column: &Column| {
        let index = filter.input.schema().maybe_index_of_column(column)?;
        columns.map_or(Some(index), |projection| column_of(&projection.expr[index], input))
    };
    let divide = |kept: &BTreeSet<usize>| {
        let moves = |condition: &&Expr| {
            let columns = condition.column_refs();
            let on_kept = columns.iter().all(|column| of_recursion(column).is_some_and(|i| kept.contains(&i)));
            !columns.is_empty() && on_kept && !asks_for_value(condition) && !condition.is_volatile() && !holds_subquery(condition)
        };
        split_conjunction(&filter.predicate).into_iter().partition::<Vec<_>, _>(moves)
    };
    let (mut moving, mut staying) = divide(&recursion.kept_columns());
    let mut turned_round = None;
    if moving.is_empty() {
        let Some(closure) = Closure::of(recursion) else { return Ok(None) };
        (moving, staying) = divide(&closure.derived.iter().copied().collect());
        if moving.is_empty() {
            return Ok(None);
        }
        turned_round = Some(closure.turned_round()?);
    }
    let translated = |condition: Expr| {
        condition.transform(|e| match &e {
            Expr::Column(column) => {
                let index = of_recursion(column).expect("only conditions on its columns move");
                Ok(Transformed::yes(Expr::from(input.schema().qualified_field(index))))
            }
            _ => Ok(Transformed::no(e)),
        })
    };
    let moving = moving.into_iter().map(|c| translated(c.clone()).map(|t| t.data)).collect::<DataFusionResult<Vec<_>>>()?;
    let recursion = turned_round.unwrap_or_else(|| recursion.clone());
    Ok(Some(Divided { recursion, columns: columns.cloned(), moving, staying: staying.into_iter().cloned().collect() }))
}

/// The optimizer asks this of the keys of every join, and would ask it again each time that it is moved. It keeps most rows.
fn asks_for_value(condition: &Expr) -> bool {
    matches!(condition, Expr::IsNotNull(of) if matches!(without_alias(of), Expr::Column(_)))
}

fn holds_subquery(condition: &Expr) -> bool {
    let is = |e: &Expr| matches!(e, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_));
    condition.exists(|e| Ok(is(e))).unwrap_or(true)
}

impl RecursionNode {
    /// The columns that a derived row has from the row that it is derived from. Of a keyed recursion, only those of its key: they decide
    /// which rows have to do with each other.
    fn kept_columns(&self) -> BTreeSet<usize> {
        let Some(origins) = origins(&self.step, self.id) else { return BTreeSet::new() };
        let kept = (0..origins.len()).filter(|column| origins[*column] == Some(*column));
        kept.filter(|column| self.key.as_ref().is_none_or(|key| key.columns.contains(column))).collect()
    }

    /// The same recursion under another number, begun with the rows of its base that meet these conditions on its columns.
    fn restricted(&self, id: usize, conditions: Vec<Expr>) -> DataFusionResult<Self> {
        let (from, to) = (self.variable(), self.base.schema());
        let of_base = |condition: Expr| {
            condition.transform(|e| match e {
                Expr::Column(column) => {
                    let (qualifier, field) = to.qualified_field(from.index_of(&column.name)?);
                    Ok(Transformed::yes(Expr::from((qualifier, field))))
                }
                other => Ok(Transformed::no(other)),
            })
        };
        let conditions = conditions.into_iter().map(|c| of_base(c).map(|t| t.data)).collect::<DataFusionResult<Vec<_>>>()?;
        let condition = conjunction(conditions).expect("there is a condition");
        let base = LogicalPlan::Filter(Filter::try_new(condition, Arc::new(self.base.clone()))?);
        let step = self.step.clone().transform_down_with_subqueries(|node| Ok(renumbered(node, self.id, id)))?.data;
        Ok(self.with_terms(id, base, step))
    }
}

fn renumbered(node: LogicalPlan, from: usize, to: usize) -> Transformed<LogicalPlan> {
    let LogicalPlan::TableScan(scan) = &node else { return Transformed::no(node) };
    let Some(table) = scan.source.downcast_ref::<WorkTable>().filter(|table| table.id == from) else {
        return Transformed::no(node);
    };
    let source = Arc::new(WorkTable::new(to, table.name.clone(), datafusion_expr::TableSource::schema(table)));
    Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan.clone() }))
}

/// A recursion that is the closure of its base: `t = b UNION SELECT t.kept, b.derived FROM t JOIN b ON t.derived = b.kept`.
struct Closure<'a> {
    recursion: &'a RecursionNode,
    kept: Vec<usize>,
    derived: Vec<usize>,
}

impl<'a> Closure<'a> {
    fn of(recursion: &'a RecursionNode) -> Option<Self> {
        let kept = recursion.kept_columns().into_iter().collect::<Vec<_>>();
        let derived = (0..recursion.variable().fields().len()).filter(|c| !kept.contains(c)).collect::<Vec<_>>();
        let (join, outputs) = joined(&recursion.step)?;
        if recursion.key.is_some() || join.join_type != JoinType::Inner || join.filter.is_some() {
            return None;
        }
        let work = |side: &LogicalPlan| origins(side, recursion.id);
        let (table, other, table_is_left) = match (work(&join.left), work(&join.right)) {
            (Some(table), None) => (table, &join.right, true),
            (None, Some(table)) => (table, &join.left, false),
            _ => return None,
        };
        let keys = join.on.iter().map(|(left, right)| {
            let (own, others) = if table_is_left { (left, right) } else { (right, left) };
            let own = column_of(own, if table_is_left { &join.left } else { &join.right })?;
            Some((table[own]?, column_of(others, other)?))
        });
        let keys = keys.collect::<Option<HashMap<_, _>>>()?;
        let nulls = join.null_equality == NullEquality::NullEqualsNothing;
        let (base, of_base) = relation_columns(&recursion.base, &[])?;
        let key_columns = keys.values().copied().collect::<Vec<_>>();
        let (relation, of_other) = relation_columns(other, &key_columns)?;
        let offset = if table_is_left { join.left.schema().fields().len() } else { 0 };
        // Of each column that is derived: what it meets is what stands in the place of a kept column in the base, and it becomes what
        // stands in its own place there. In their order, for the columns are pairs.
        let closes = kept.iter().zip(&derived).all(|(kept, derived)| {
            let meets = keys.get(derived).map(|other| of_other[*other]);
            let becomes = outputs[*derived].and_then(|at| at.checked_sub(offset)).and_then(|at| of_other.get(at));
            meets == Some(of_base[*kept]) && becomes == Some(&of_base[*derived])
        });
        let fits = nulls && base == relation && kept.len() == derived.len() && keys.len() == derived.len();
        (fits && closes).then_some(Self { recursion, kept, derived })
    }

    /// `t = b UNION SELECT b.kept, t.derived FROM b JOIN t ON b.derived = t.kept`
    fn turned_round(&self) -> DataFusionResult<RecursionNode> {
        let recursion = self.recursion;
        let variable = recursion.variable();
        let name = |column: usize| variable.field(column).name().as_str();
        let work = Arc::new(WorkTable::new(recursion.id, recursion.name.clone(), Arc::clone(variable)));
        let base = LogicalPlanBuilder::new(recursion.base.clone()).alias("__refrain_base")?;
        let table = LogicalPlanBuilder::scan("__refrain_work", work, None)?.build()?;
        let of = |relation: &str, column: usize| Column::new(Some(relation), name(column));
        let on = self.derived.iter().zip(&self.kept);
        let (left, right) = on.map(|(d, k)| (of("__refrain_base", *d), of("__refrain_work", *k))).unzip::<_, _, Vec<_>, Vec<_>>();
        let columns = (0..variable.fields().len()).map(|column| {
            let relation = if self.kept.contains(&column) { "__refrain_base" } else { "__refrain_work" };
            Expr::Column(of(relation, column)).alias(name(column))
        });
        let step = base.join(table, JoinType::Inner, (left, right), None)?.project(columns.collect::<Vec<_>>())?.build()?;
        Ok(recursion.with_terms(recursion.id, recursion.base.clone(), step))
    }
}

/// The join at the top of a plan, and for each column of the plan the column of the join that it is.
fn joined(plan: &LogicalPlan) -> Option<(&Join, Vec<Option<usize>>)> {
    match plan {
        LogicalPlan::Join(join) => Some((join, (0..plan.schema().fields().len()).map(Some).collect())),
        LogicalPlan::SubqueryAlias(alias) => joined(&alias.input),
        LogicalPlan::Projection(projection) => {
            let (join, inner) = joined(&projection.input)?;
            Some((join, projection.expr.iter().map(|expr| inner[column_of(expr, &projection.input)?]).collect()))
        }
        _ => None,
    }
}

fn column_of(expr: &Expr, input: &LogicalPlan) -> Option<usize> {
    match without_alias(expr) {
        Expr::Column(column) => input.schema().maybe_index_of_column(column),
        _ => None,
    }
}

/// The relation whose rows a plan gives, all of them but perhaps those with NULL in one of `keys`; and which of its columns they are.
fn relation_columns(plan: &LogicalPlan, keys: &[usize]) -> Option<(RelationId, Vec<usize>)> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let relation = scan.source.downcast_ref::<RelationSource>()?;
            let not_null = scan.filters.iter().all(|filter| asks_for_key(filter, plan, keys));
            let all = 0..datafusion_expr::TableSource::schema(relation).fields().len();
            let columns = scan.projection.clone().unwrap_or_else(|| all.collect());
            (not_null && scan.fetch.is_none()).then_some((relation.relation, columns))
        }
        LogicalPlan::SubqueryAlias(alias) => relation_columns(&alias.input, keys),
        LogicalPlan::Filter(filter) => {
            let asks = split_conjunction(&filter.predicate).into_iter().all(|part| asks_for_key(part, &filter.input, keys));
            relation_columns(&filter.input, keys).filter(|_| asks)
        }
        LogicalPlan::Projection(projection) => {
            let columns = projection.expr.iter().map(|expr| column_of(expr, &projection.input)).collect::<Option<Vec<_>>>()?;
            let keys = keys.iter().map(|key| columns[*key]).collect::<Vec<_>>();
            let (relation, inner) = relation_columns(&projection.input, &keys)?;
            Some((relation, columns.into_iter().map(|column| inner[column]).collect()))
        }
        _ => None,
    }
}

/// Whether a condition only asks that one of these columns is not NULL.
fn asks_for_key(condition: &Expr, input: &LogicalPlan, columns: &[usize]) -> bool {
    match condition {
        Expr::IsNotNull(of) => column_of(of, input).is_some_and(|column| columns.contains(&column)),
        _ => false,
    }
}

/// For each column of a plan, the column of the work table that it is; `None` where the plan does not read it, or by a node through
/// which columns are not followed.
fn origins(plan: &LogicalPlan, id: usize) -> Option<Vec<Option<usize>>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let table = scan.source.downcast_ref::<WorkTable>().filter(|table| table.id == id)?;
            let all = 0..datafusion_expr::TableSource::schema(table).fields().len();
            Some(scan.projection.clone().unwrap_or_else(|| all.collect()).into_iter().map(Some).collect())
        }
        LogicalPlan::Projection(projection) => {
            let inner = origins(&projection.input, id)?;
            Some(projection.expr.iter().map(|expr| inner[column_of(expr, &projection.input)?]).collect())
        }
        LogicalPlan::Filter(filter) => origins(&filter.input, id),
        LogicalPlan::SubqueryAlias(alias) => origins(&alias.input, id),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => origins(&sort.input, id),
        LogicalPlan::Distinct(Distinct::All(input)) => origins(input, id),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => {
                let [left, right] = [&join.left, &join.right].map(|side| (origins(side, id), side.schema().fields().len()));
                let none = |width| vec![None; width];
                match (left, right) {
                    ((Some(left), _), (None, width)) => Some([left, none(width)].concat()),
                    ((None, width), (Some(right), _)) => Some([none(width), right].concat()),
                    _ => None,
                }
            }
            JoinType::LeftSemi => origins(&join.left, id),
            JoinType::RightSemi => origins(&join.right, id),
            _ => None,
        },
        _ => None,
    }
}

fn without_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => without_alias(&alias.expr),
        other => other,
    }
}
