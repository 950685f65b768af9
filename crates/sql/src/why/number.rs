//! Recursions with one more column: the first iteration that derives a row.
//!
//! PostgreSQL's form becomes a recursion with a key: all columns are the key, and the row with the least iteration has it. So it begins with
//! fewer rows where the recursion would. Any other form becomes one of bindings, each the least iteration of each row by `GROUP BY`; what is
//! monotone derives the same rows as a set that it derives as a bag, so `UNION ALL` is numbered alike.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{Distinct, Expr, Extension, Join, JoinType, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion_functions::core::expr_fn::greatest;
use datafusion_functions_aggregate::expr_fn::min;

use super::join::{joined, pair};
use super::trace::{Tracer, Variable, project, select, unsupported, whole};
use super::{ITERATION, Loop, Traced, Whole, carried};
use crate::bind::errors::from_datafusion;
use crate::error::Result;
use crate::recursion::{Binding, Form, KeyWinner, Limit, MutualBlock, MutualNode, RecursionKey, RecursionNode, Terms};
use crate::source::WorkTable;

/// Numbers a recursion of PostgreSQL's form.
pub(super) fn recursion(tracer: &mut Tracer, node: &RecursionNode) -> Result<()> {
    if node.key.is_some() {
        return Err(unsupported(&format!("recursive query \"{}\" with USING KEY", node.name))
            .with_hint("A row that had a key for a while may be gone; keep the path in a column."));
    }
    let number = tracer.fresh_loop();
    let variable = with_iteration(node.variable());
    let table = Arc::new(WorkTable::new(number, node.name.clone(), Arc::clone(&variable)));
    tracer.enter(node.id, Variable { table, behind: true });
    let base = tracer.trace(&node.base)?;
    let step = tracer.trace(&node.step)?;
    let rows = match along(tracer, &node.step)? {
        Some(step) => keyed(number, node, &variable, &step)?,
        None => {
            let id = tracer.fresh_loop();
            let binding = Binding { id: number, name: node.name.clone(), schema: variable };
            let rows = least(&binding, base.iter().chain(&step))?;
            mutual(&block_of(id, vec![binding], node.limit), &[rows], 0)?
        }
    };
    let ways = [base, step].concat();
    tracer.numbered(node.id, number, Loop { name: node.name.clone(), rows, ways });
    Ok(())
}

/// Numbers the bindings of a recursion of any form.
pub(super) fn block(tracer: &mut Tracer, node: &MutualNode) -> Result<()> {
    let of = &node.block;
    let numbered =
        of.bindings.iter().map(|b| Binding { id: tracer.fresh_loop(), name: b.name.clone(), schema: with_iteration(&b.schema) });
    let numbered = numbered.collect::<Vec<_>>();
    let (mut ways, mut plans) = (Vec::new(), Vec::new());
    for (at, plan) in node.plans.iter().enumerate() {
        for (other, (before, binding)) in of.bindings.iter().zip(&numbered).enumerate() {
            let table = Arc::new(WorkTable::new(binding.id, binding.name.clone(), Arc::clone(&binding.schema)));
            // Bindings that stand before are seen as they are in this iteration.
            tracer.enter(before.id, Variable { table, behind: other >= at });
        }
        let traced = tracer.trace(plan)?;
        plans.push(least(&numbered[at], &traced)?);
        ways.push(traced);
    }
    let (id, names) = (tracer.fresh_loop(), of.bindings.iter());
    let numbers = numbered.iter().map(|binding| binding.id).collect::<Vec<_>>();
    let block = block_of(id, numbered, of.limit);
    for (at, ((binding, ways), number)) in names.zip(ways).zip(numbers).enumerate() {
        let rows = mutual(&block, &plans, at)?;
        tracer.numbered(binding.id, number, Loop { name: binding.name.clone(), rows, ways });
    }
    Ok(())
}

fn with_iteration(variable: &SchemaRef) -> SchemaRef {
    let fields = variable.fields().iter().map(|field| Field::clone(field)).chain([Field::new(ITERATION, DataType::Int64, true)]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A recursive term whose rows carry nothing but the row of the variable that they are derived from, where that is one row: along the path
/// to the variable the term is a chain of filters, projections and joins with what does not depend on it.
fn along(tracer: &mut Tracer, plan: &LogicalPlan) -> Result<Option<Traced>> {
    Ok(match plan {
        LogicalPlan::TableScan(scan) => Some(tracer.scan(plan, scan)?),
        LogicalPlan::Projection(of) => along(tracer, &of.input)?.map(|input| project(of, input)).transpose()?,
        LogicalPlan::Filter(of) => along(tracer, &of.input)?.map(|input| select(of, input)).transpose()?,
        LogicalPlan::SubqueryAlias(of) => along(tracer, &of.input)?.map(|input| tracer.alias(of, input)).transpose()?,
        LogicalPlan::Distinct(Distinct::All(input)) => along(tracer, input)?,
        LogicalPlan::Sort(of) if of.fetch.is_none() => along(tracer, &of.input)?,
        LogicalPlan::Join(join) => {
            match (join.join_type, tracer.reads_variable(&join.left)?, tracer.reads_variable(&join.right)?) {
                (JoinType::Inner, true, false) => {
                    let left = along(tracer, &join.left)?;
                    left.map(|left| pair(join, left, whole(LogicalPlan::clone(&join.right)))).transpose()?
                }
                (JoinType::Inner, false, true) => {
                    let right = along(tracer, &join.right)?;
                    right.map(|right| pair(join, whole(LogicalPlan::clone(&join.left)), right)).transpose()?
                }
                (JoinType::LeftSemi, true, false) => along(tracer, &join.left)?.map(|left| partnered(join, left)).transpose()?,
                _ => None,
            }
        }
        _ => None,
    })
}

/// The rows of the left that have a partner. What they carry is theirs.
fn partnered(join: &Join, left: Traced) -> Result<Traced> {
    let plan = joined(join, Arc::new(left.plan), Arc::clone(&join.right), JoinType::LeftSemi)?;
    Ok(Traced { plan, ..left })
}

fn keyed(number: usize, node: &RecursionNode, variable: &SchemaRef, step: &Traced) -> Result<LogicalPlan> {
    let width = node.variable().fields().len();
    let key = RecursionKey { columns: (0..width).collect(), winner: KeyWinner::Least(width) };
    let base = numbered(variable, &node.base, lit(0_i64))?;
    let step = numbered(variable, &step.plan, iteration(step))?;
    let form = Form { distinct: true, key: Some(key), limit: node.limit };
    let node = RecursionNode::new(number, node.name.clone(), form, Terms { variable: Arc::clone(variable), base, step })?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// Rows of all ways, each once, with its least iteration.
fn least<'a>(binding: &Binding, ways: impl IntoIterator<Item = &'a Traced>) -> Result<LogicalPlan> {
    let mut all = None;
    for way in ways {
        let rows = numbered(&binding.schema, &way.plan, iteration(way))?;
        all = Some(match all {
            None => LogicalPlanBuilder::new(rows),
            Some(others) => LogicalPlanBuilder::union(others, rows).map_err(from_datafusion)?,
        });
    }
    let all = all.expect("there is a way to make a row");
    let names = binding.schema.fields().iter().map(|field| carried(field.name())).collect::<Vec<_>>();
    let (iteration, own) = names.split_last().expect("the iteration is a column");
    let least = all.aggregate(own.to_vec(), [min(iteration.clone()).alias(ITERATION)]);
    least.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// The first columns of a plan under the names of `variable`, and an iteration as the last.
fn numbered(variable: &SchemaRef, plan: &LogicalPlan, iteration: Expr) -> Result<LogicalPlan> {
    let fields = &variable.fields()[..variable.fields().len() - 1];
    let own = plan.schema().columns().into_iter().zip(fields).map(|(column, field)| Expr::Column(column).alias(field.name()));
    let columns = own.chain([iteration.alias(ITERATION)]).collect::<Vec<_>>();
    LogicalPlanBuilder::new(plan.clone()).project(columns).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// The iteration in which a row is made of rows of these iterations.
fn iteration(way: &Traced) -> Expr {
    let variables = way.parts().filter_map(|part| match (&part.of, &part.iteration) {
        (Whole::Variable { behind, .. }, Some(column)) => {
            Some(if *behind { carried(column) + lit(1_i64) } else { carried(column) })
        }
        _ => None,
    });
    let mut variables = variables.collect::<Vec<_>>();
    match variables.len() {
        0 => lit(0_i64),
        1 => variables.remove(0),
        _ => greatest(variables),
    }
}

fn block_of(id: usize, bindings: Vec<Binding>, limit: Option<Limit>) -> Arc<MutualBlock> {
    Arc::new(MutualBlock { id, bindings, limit })
}

fn mutual(block: &Arc<MutualBlock>, plans: &[LogicalPlan], index: usize) -> Result<LogicalPlan> {
    let node = MutualNode::new(Arc::clone(block), plans.to_vec(), index)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}
