//! The rewriting: one match over a bound plan, from which comes a plan for each way in which it makes a row.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion_common::Column;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{
    Aggregate, Distinct, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan, Union,
};

use super::{Loop, Part, Traced, VIEW_PREFIX, Whole, Why, carried, number};
use crate::bind::errors::from_datafusion;
use crate::error::{Result, SqlError};
use crate::recursion::{MutualNode, RecursionNode};
use crate::source::{RelationSource, WorkTable};

/// Ways in which a row can be made, at most. Unions multiply where they are joined.
const WAYS_MAX: usize = 256;

/// The ways in which a query's rows are made.
pub(super) fn why(plan: &LogicalPlan) -> Result<Why> {
    let mut tracer = Tracer { next_loop: first_number(plan)?, ..Tracer::default() };
    let query = tracer.top(plan)?;
    Ok(Why { query, loops: tracer.loops })
}

/// A recursion as its terms see it, numbered.
#[derive(Clone)]
pub(super) struct Variable {
    pub table: Arc<WorkTable>,
    pub behind: bool,
}

#[derive(Default)]
pub(super) struct Tracer {
    next_loop: usize,
    next_column: usize,
    loops: BTreeMap<usize, Loop>,
    /// Recursions that are numbered, by the numbers that they and the bindings of blocks have in the plan.
    numbered: HashMap<usize, usize>,
    /// What work tables are in the terms that are being traced, by their numbers in the plan.
    variables: HashMap<usize, Variable>,
}

impl Tracer {
    /// What stands at the top: of the rows that are left when some are cut off, each is made as it would be without.
    fn top(&mut self, plan: &LogicalPlan) -> Result<Vec<Traced>> {
        match plan {
            LogicalPlan::Limit(limit) => self.top(&limit.input),
            LogicalPlan::Sort(sort) => self.top(&sort.input),
            LogicalPlan::Projection(projection) => {
                self.top(&projection.input)?.into_iter().map(|i| project(projection, i)).collect()
            }
            other => self.trace(other),
        }
    }

    pub(super) fn trace(&mut self, plan: &LogicalPlan) -> Result<Vec<Traced>> {
        self.refuse_hidden(plan)?;
        let ways = match plan {
            LogicalPlan::TableScan(scan) => vec![self.scan(plan, scan)?],
            LogicalPlan::Projection(projection) => {
                self.trace(&projection.input)?.into_iter().map(|input| project(projection, input)).collect::<Result<Vec<_>>>()?
            }
            LogicalPlan::Filter(filter) => {
                self.trace(&filter.input)?.into_iter().map(|input| select(filter, input)).collect::<Result<Vec<_>>>()?
            }
            LogicalPlan::SubqueryAlias(alias) => {
                self.trace(&alias.input)?.into_iter().map(|input| self.alias(alias, input)).collect::<Result<Vec<_>>>()?
            }
            LogicalPlan::Aggregate(aggregate) if is_distinct(aggregate) => {
                let group =
                    Projection::try_new(aggregate.group_expr.clone(), Arc::clone(&aggregate.input)).map_err(from_datafusion)?;
                self.trace(&aggregate.input)?.into_iter().map(|input| project(&group, input)).collect::<Result<Vec<_>>>()?
            }
            LogicalPlan::Distinct(Distinct::All(input)) => self.trace(input)?,
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.trace(&sort.input)?,
            LogicalPlan::Union(union) => self.union(union)?,
            LogicalPlan::Join(join) => self.join(join)?,
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => vec![whole(plan.clone())],
            LogicalPlan::Extension(_) => vec![self.recursion(plan)?],
            other => return Err(refused(other)),
        };
        if ways.len() > WAYS_MAX {
            return Err(SqlError::unsupported("EXPLAIN WHY of a query that joins so many unions is not supported"));
        }
        Ok(ways)
    }

    pub(super) fn fresh_loop(&mut self) -> usize {
        self.next_loop += 1;
        self.next_loop - 1
    }

    /// Makes a recursion or a binding known: the number that it has in the plan, its work table, and whether that is an iteration behind.
    pub(super) fn enter(&mut self, id: usize, variable: Variable) {
        self.variables.insert(id, variable);
    }

    pub(super) fn numbered(&mut self, id: usize, number: usize, traced: Loop) {
        self.numbered.insert(id, number);
        self.loops.insert(number, traced);
    }

    fn recursion(&mut self, plan: &LogicalPlan) -> Result<Traced> {
        let id = match (RecursionNode::of(plan), MutualNode::of(plan)) {
            (Some(node), _) => {
                if !self.numbered.contains_key(&node.id) {
                    self.refuse_inner(plan)?;
                    number::recursion(self, node)?;
                }
                node.id
            }
            (_, Some(node)) => {
                let id = node.block.bindings[node.index].id;
                if !self.numbered.contains_key(&id) {
                    self.refuse_inner(plan)?;
                    number::block(self, node)?;
                }
                id
            }
            _ => return Err(refused(plan)),
        };
        let number = self.numbered[&id];
        let rows = self.loops[&number].rows.clone();
        self.leaf(rows, Whole::Recursion(number), true)
    }

    pub(super) fn scan(&mut self, plan: &LogicalPlan, scan: &TableScan) -> Result<Traced> {
        if let Some(table) = scan.source.downcast_ref::<WorkTable>() {
            let Some(Variable { table, behind }) = self.variables.get(&table.id).cloned() else { return Err(refused(plan)) };
            let of = Whole::Variable { of: table.id, behind };
            let rows = LogicalPlanBuilder::scan(scan.table_name.clone(), table, None).map_err(from_datafusion)?;
            // Inside, columns of SEARCH and CYCLE have other names than outside.
            let names = scan.source.schema();
            let named = rows.schema().columns().into_iter().enumerate().map(|(at, column)| match names.fields().get(at) {
                Some(field) if *field.name() != column.name => {
                    Expr::Column(column).alias_qualified(Some(scan.table_name.clone()), field.name())
                }
                _ => Expr::Column(column),
            });
            let named = named.collect::<Vec<_>>();
            let same = named.iter().all(|column| matches!(column, Expr::Column(_)));
            let rows = if same { rows } else { rows.project(named).map_err(from_datafusion)? };
            return self.leaf(rows.build().map_err(from_datafusion)?, of, true);
        }
        let Some(source) = scan.source.downcast_ref::<RelationSource>() else { return Err(refused(plan)) };
        self.leaf(plan.clone(), Whole::Relation(source.name.clone()), false)
    }

    /// Rows that carry themselves; the last column may be their iteration, which is none of their own.
    fn leaf(&mut self, rows: LogicalPlan, of: Whole, numbered: bool) -> Result<Traced> {
        let all = rows.schema().columns();
        let (own, iteration) = all.split_at(all.len() - usize::from(numbered));
        let (columns, carriers) = self.carriers(own);
        let (iteration, carrier) = self.carriers(iteration);
        let kept = own.iter().cloned().map(Expr::Column);
        let plan = projection(kept.chain(carriers).chain(carrier), rows)?;
        let part = Part { of, columns, iteration: iteration.into_iter().next(), inputs: Vec::new() };
        Ok(Traced { width: own.len(), plan, inputs: vec![part] })
    }

    /// Columns under names that are nobody else's.
    pub(super) fn carriers(&mut self, columns: &[Column]) -> (Vec<String>, Vec<Expr>) {
        let names = columns.iter().map(|_| {
            self.next_column += 1;
            format!("__refrain_why_{}", self.next_column)
        });
        let names = names.collect::<Vec<_>>();
        let carriers = columns.iter().zip(&names).map(|(column, name)| Expr::Column(column.clone()).alias(name));
        let carriers = carriers.collect();
        (names, carriers)
    }

    pub(super) fn alias(&mut self, alias: &SubqueryAlias, input: Traced) -> Result<Traced> {
        let names = carried_names(&input);
        let plan = SubqueryAlias::try_new(Arc::new(input.plan), alias.alias.clone()).map_err(from_datafusion)?;
        let plan = LogicalPlan::SubqueryAlias(plan);
        let own = plan.schema().columns()[..input.width].to_vec();
        let carriers = names.iter().map(|name| Expr::Column(Column::new(Some(alias.alias.clone()), name)).alias(name));
        let carriers = carriers.collect::<Vec<_>>();
        let (view, inputs) = match alias.alias.table().strip_prefix(VIEW_PREFIX) {
            None => (Vec::new(), input.inputs),
            Some(view) => {
                let (columns, rows) = self.carriers(&own);
                let of = Whole::View(view.to_owned());
                (rows, vec![Part { of, columns, iteration: None, inputs: input.inputs }])
            }
        };
        let plan = projection(own.into_iter().map(Expr::Column).chain(carriers).chain(view), plan)?;
        Ok(Traced { plan, inputs, ..input })
    }

    fn union(&mut self, union: &Union) -> Result<Vec<Traced>> {
        let mut ways = Vec::new();
        for input in &union.inputs {
            for way in self.trace(input)? {
                let own = way.plan.schema().columns().into_iter().zip(union.schema.iter());
                let own = own.map(|(from, (qualifier, to))| Expr::Column(from).alias_qualified(qualifier.cloned(), to.name()));
                let columns = own.chain(carriers_of(&way)).collect::<Vec<_>>();
                ways.push(Traced { plan: projection(columns, way.plan)?, ..way });
            }
        }
        Ok(ways)
    }

    /// Whether a plan reads a recursion that is being traced.
    pub(super) fn reads_variable(&self, plan: &LogicalPlan) -> Result<bool> {
        let mut found = false;
        let looked = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(table) = scan.source.downcast_ref::<WorkTable>()
            {
                found |= self.variables.contains_key(&table.id);
            }
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        looked.map(|_| found).map_err(from_datafusion)
    }

    /// The iterations of a recursion that depends on one around it are not those in which its rows come first.
    fn refuse_inner(&self, recursion: &LogicalPlan) -> Result<()> {
        if self.reads_variable(recursion)? {
            return Err(unsupported("a recursion that depends on the recursion around it"));
        }
        Ok(())
    }

    /// A subquery that is no join shows none of its rows, so it may not be where those of a recursion come from.
    fn refuse_hidden(&self, plan: &LogicalPlan) -> Result<()> {
        let mut subqueries = Vec::new();
        let looked = plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::ScalarSubquery(subquery) => subqueries.push(Arc::clone(&subquery.subquery)),
                    Expr::Exists(exists) => subqueries.push(Arc::clone(&exists.subquery.subquery)),
                    Expr::InSubquery(inside) => subqueries.push(Arc::clone(&inside.subquery.subquery)),
                    Expr::SetComparison(comparison) => subqueries.push(Arc::clone(&comparison.subquery.subquery)),
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        });
        looked.map_err(from_datafusion)?;
        for subquery in subqueries {
            if self.reads_variable(&subquery)? {
                return Err(unsupported("a recursion that is read in a subquery"));
            }
        }
        Ok(())
    }
}

/// The number from which on recursions have none.
fn first_number(plan: &LogicalPlan) -> Result<usize> {
    let mut next = 0;
    let looked = plan.apply_with_subqueries(|node| {
        if let Some(node) = RecursionNode::of(node) {
            next = next.max(node.id + 1);
        }
        if let Some(node) = MutualNode::of(node) {
            next = node.block.bindings.iter().map(|binding| binding.id + 1).fold(next.max(node.block.id + 1), usize::max);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    looked.map(|_| next).map_err(from_datafusion)
}

/// A plan whose rows carry nothing.
pub(super) fn whole(plan: LogicalPlan) -> Traced {
    Traced { width: plan.schema().fields().len(), plan, inputs: Vec::new() }
}

pub(super) fn project(of: &Projection, input: Traced) -> Result<Traced> {
    let columns = of.expr.iter().cloned().chain(carriers_of(&input)).collect::<Vec<_>>();
    Ok(Traced { width: of.expr.len(), plan: projection(columns, input.plan)?, ..input })
}

pub(super) fn select(of: &Filter, input: Traced) -> Result<Traced> {
    let plan = Filter::try_new(of.predicate.clone(), Arc::new(input.plan)).map_err(from_datafusion)?;
    Ok(Traced { plan: LogicalPlan::Filter(plan), ..input })
}

/// The columns that carry what rows are made of, which are the last.
pub(super) fn carriers_of(traced: &Traced) -> Vec<Expr> {
    carried_names(traced).iter().map(|name| carried(name)).collect()
}

fn carried_names(traced: &Traced) -> Vec<String> {
    traced.parts().flat_map(|part| part.columns.iter().chain(&part.iteration)).cloned().collect()
}

pub(super) fn projection(columns: impl IntoIterator<Item = Expr>, input: LogicalPlan) -> Result<LogicalPlan> {
    let columns = columns.into_iter().collect();
    Projection::try_new(columns, Arc::new(input)).map(LogicalPlan::Projection).map_err(from_datafusion)
}

/// Whether an aggregate only makes equal rows one.
fn is_distinct(aggregate: &Aggregate) -> bool {
    aggregate.aggr_expr.is_empty() && !aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
}

pub(super) fn unsupported(what: &str) -> SqlError {
    SqlError::unsupported(format!("EXPLAIN WHY of {what} is not supported"))
}

pub(super) fn refused(plan: &LogicalPlan) -> SqlError {
    match plan {
        LogicalPlan::Aggregate(_) => {
            unsupported("a row that is made of a group of rows").with_hint("Ask for a row of what is aggregated.")
        }
        LogicalPlan::Window(_) => unsupported("window functions").with_hint("Ask for a row of what they are computed over."),
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => {
            unsupported("a query with LIMIT inside").with_hint("Ask for a row of the query without it.")
        }
        LogicalPlan::Distinct(_) => unsupported("DISTINCT ON").with_hint("Ask for a row of the query without it."),
        LogicalPlan::Join(join) => unsupported(&format!("a join of kind {}", join.join_type)),
        LogicalPlan::Unnest(_) => unsupported("unnest()"),
        LogicalPlan::Subquery(_) => unsupported("a subquery that could not be turned into a join").with_hint("Write it as a join."),
        other => unsupported(&other.display().to_string()),
    }
}
