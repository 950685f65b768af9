//! Recursions of several bindings: `WITH MUTUALLY RECURSIVE`.
//!
//! Bindings are lowered in their order, inside one loop. A reference to a binding that stands before reads what it is made of, in this
//! iteration; a reference to itself or to a later one reads its variable, which is one iteration behind. What only reads relations
//! stays outside the loop, and enters it where it meets rows of the loop.
//!
//! A recursion inside another one that it depends on has no loop of its own: its bindings go round with those of the outer one. Where
//! nothing that goes round is taken back for a row that comes, the least fixed point of all of them together is the one that the inner
//! recursion, worked out anew in each iteration of the outer, gives (Bekić's theorem; Bekić, Definable operations in general algebras,
//! 1969). Where something is, the recursion is refused.

use std::collections::{HashMap, HashSet};

use datafusion_expr::{LogicalPlan, TableScan};
use refrain_plan::{Exchange, Node, NodeId, Operator, Properties, RecursionLimit, Variable};
use refrain_sql::{Binding, MutualNode, RecursionNode, Result, SqlError, WorkTable};
use refrain_types::{LoopId, SqlState};

use crate::lower::Lowering;
use crate::recursion::{limited, scan_function};
use crate::refuse;

/// A recursion of several bindings as far as it is lowered.
pub(crate) struct Mutual {
    loop_id: LoopId,
    limit: Option<RecursionLimit>,
    /// Whether it goes round with a recursion around it.
    is_inner: bool,
    /// By the number of their work tables.
    bindings: HashMap<usize, State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Where the binding of the iteration before is read, if somebody does.
    variable: Option<NodeId>,
    /// What it is made of, once that is known.
    made_of: Option<NodeId>,
}

impl Lowering<'_> {
    /// The rows of one binding, outside the loop, or in the loop of the recursion that this one goes round with.
    pub(crate) fn mutual(&mut self, mutual: &MutualNode) -> Result<NodeId> {
        if !self.mutuals.contains_key(&mutual.block.id) {
            self.lower_bindings(mutual)?;
        }
        let binding = &mutual.block.bindings[mutual.index];
        let Mutual { is_inner, bindings, .. } = &self.mutuals[&mutual.block.id];
        let made_of = bindings[&binding.id].made_of.expect("all bindings are lowered");
        let is_there = *is_inner || self.builder.node(made_of).scope.is_empty();
        Ok(if is_there { made_of } else { self.builder.leave(made_of) })
    }

    fn lower_bindings(&mut self, mutual: &MutualNode) -> Result<()> {
        let block = &mutual.block;
        let outer = self.around(&mutual.plans.iter().collect::<Vec<_>>(), block.limit.map(limited))?;
        let loop_id = self.begin(block.id, block.bindings.iter().map(|binding| binding.id), block.limit.map(limited), outer);
        for (binding, plan) in block.bindings.iter().zip(&mutual.plans) {
            let node = self.lower(plan)?;
            let node = self.builder.conform(node, &binding.schema);
            let scope = &self.builder.node(node).scope;
            if scope.iter().any(|outer| *outer != loop_id) {
                return Err(refuse::nested());
            }
            // What reads relations alone stays outside, and enters where it meets rows of the loop.
            self.state(block.id, binding.id).made_of = Some(node);
        }
        for Binding { id, .. } in &block.bindings {
            let State { variable, made_of } = *self.state(block.id, *id);
            if let (Some(variable), Some(made_of)) = (variable, made_of) {
                let made_of = self.builder.enter(made_of, &[loop_id]);
                self.builder.close_variable(variable, made_of);
            }
        }
        self.end(block.id)
    }

    /// The loop of the recursion around a recursion of these plans, if they depend on one.
    fn around(&self, plans: &[&LogicalPlan], limit: Option<RecursionLimit>) -> Result<Option<LoopId>> {
        let mut read = HashSet::new();
        plans.iter().for_each(|plan| work_tables(plan, &mut read));
        let outer = self.mutuals.values().find(|mutual| mutual.bindings.keys().any(|id| read.contains(id)));
        match outer {
            None => Ok(None),
            // Iterations of the inner one are counted with those of the outer.
            Some(outer) if outer.limit == limit && limit.is_none_or(|limit| limit.fails) => Ok(Some(outer.loop_id)),
            Some(_) => Err(refuse::nested_limit()),
        }
    }

    /// Begins a recursion, in a loop of its own where it depends on none around it.
    fn begin(
        &mut self,
        id: usize,
        bindings: impl Iterator<Item = usize>,
        limit: Option<RecursionLimit>,
        outer: Option<LoopId>,
    ) -> LoopId {
        let bindings = bindings.map(|binding| (binding, State::default())).collect();
        let loop_id = outer.unwrap_or_else(|| self.builder.next_loop());
        self.mutuals.insert(id, Mutual { loop_id, limit, is_inner: outer.is_some(), bindings });
        loop_id
    }

    /// All of a recursion is there. With the outermost, the loop is complete.
    fn end(&mut self, id: usize) -> Result<()> {
        let Mutual { loop_id, is_inner, .. } = self.mutuals[&id];
        if is_inner {
            return Ok(());
        }
        if self.mutuals.values().any(|mutual| mutual.is_inner && mutual.loop_id == loop_id)
            && !self.builder.goes_round_monotone(loop_id)
        {
            return Err(refuse::nested());
        }
        self.builder.close_scope(&[loop_id]);
        Ok(())
    }

    /// A recursive query whose term a loop head cannot do, as a recursion of one binding: the base and what the term makes of the binding,
    /// under `UNION` each row once.
    pub(crate) fn general(&mut self, recursion: &RecursionNode, base: NodeId) -> Result<NodeId> {
        let made_of = self.variable_of(recursion, base, None)?;
        let node = self.builder.leave(made_of);
        self.recursions.insert(recursion.id, node);
        Ok(node)
    }

    /// A recursive query that depends on a recursion around it, if it does: a binding beside the others.
    pub(crate) fn dependent(&mut self, recursion: &RecursionNode) -> Result<Option<NodeId>> {
        let Some(outer) = self.around(&[&recursion.base, &recursion.step], recursion.limit.map(limited))? else { return Ok(None) };
        if recursion.key.is_some() {
            return Err(refuse::nested());
        }
        let base = self.lower(&recursion.base)?;
        let base = self.builder.conform(base, recursion.variable());
        let made_of = self.variable_of(recursion, base, Some(outer))?;
        self.recursions.insert(recursion.id, made_of);
        Ok(Some(made_of))
    }

    /// What a recursive query of one binding is made of, which goes round in a loop of its own or in another's.
    fn variable_of(&mut self, recursion: &RecursionNode, base: NodeId, outer: Option<LoopId>) -> Result<NodeId> {
        let id = recursion.id;
        self.begin(id, std::iter::once(id), recursion.limit.map(limited), outer);
        let step = self.lower(&recursion.step)?;
        let all = self.union_of(vec![base, step], recursion.variable())?;
        let made_of = if recursion.distinct { self.distinct(all) } else { all };
        if let Some(variable) = self.state(id, id).variable {
            self.builder.close_variable(variable, made_of);
        }
        self.end(id)?;
        Ok(made_of)
    }

    /// Rows of a binding, as a query inside the recursion reads them.
    pub(crate) fn binding(&mut self, table: &WorkTable, scan: &TableScan) -> Result<NodeId> {
        let found = self.mutuals.iter().find(|(_, mutual)| mutual.bindings.contains_key(&table.id));
        let Some((block, loop_id)) = found.map(|(id, mutual)| (*id, mutual.loop_id)) else {
            let message = format!("recursive query \"{}\" is read outside itself", table.name);
            return Err(SqlError::new(SqlState::INTERNAL_ERROR, message));
        };
        let schema = scan.source.schema();
        let State { variable, made_of } = *self.state(block, table.id);
        let node = match made_of.or(variable) {
            Some(node) => node,
            None => {
                let (name, exchange, limit) = (table.name.clone(), Exchange::Stay, self.mutuals[&block].limit);
                let variable = Variable { id: loop_id, name, feedback: 0, exchange, limit };
                let (operator, scope) = (Operator::Variable(variable), vec![loop_id]);
                let properties = Properties::default();
                let node = self.builder.add(Node { operator, inputs: Vec::new(), schema: schema.clone(), scope, properties });
                self.state(block, table.id).variable = Some(node);
                node
            }
        };
        let function = scan_function(scan, &schema)?;
        Ok(self.builder.map(node, function))
    }

    /// Refuses an operator whose inputs stand in different loops.
    pub(crate) fn check_loops(&self, inputs: &[NodeId]) -> Result<()> {
        let mut scopes = inputs.iter().map(|input| &self.builder.node(*input).scope).filter(|scope| !scope.is_empty());
        let first = scopes.next();
        if scopes.all(|scope| Some(scope) == first) { Ok(()) } else { Err(refuse::nested()) }
    }

    /// Whether a loop is one of several bindings, in which operators do all of their work.
    pub(crate) fn is_mutual(&self, id: LoopId) -> bool {
        self.mutuals.values().any(|mutual| mutual.loop_id == id)
    }

    fn state(&mut self, block: usize, binding: usize) -> &mut State {
        let mutual = self.mutuals.get_mut(&block).expect("the recursion is being lowered");
        mutual.bindings.get_mut(&binding).expect("the binding is one of the recursion")
    }
}

/// The numbers of the work tables that a plan reads, but for those of recursions in it.
fn work_tables(plan: &LogicalPlan, read: &mut HashSet<usize>) {
    if let LogicalPlan::TableScan(scan) = plan {
        read.extend(scan.source.downcast_ref::<WorkTable>().map(|table| table.id));
    }
    plan.inputs().into_iter().for_each(|input| work_tables(input, read));
    // Nobody else reads them.
    if let Some(recursion) = RecursionNode::of(plan) {
        read.remove(&recursion.id);
    }
    if let Some(mutual) = MutualNode::of(plan) {
        for binding in &mutual.block.bindings {
            read.remove(&binding.id);
        }
    }
}
