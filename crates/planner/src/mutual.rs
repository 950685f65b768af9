//! Recursions of several bindings: `WITH MUTUALLY RECURSIVE`.
//!
//! Bindings are lowered in their order, inside one loop. A reference to a binding that stands before reads what it is made of, in this
//! iteration; a reference to itself or to a later one reads its variable, which is one iteration behind. What only reads relations
//! stays outside the loop, and enters it where it meets rows of the loop.

use std::collections::HashMap;

use datafusion_expr::TableScan;
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
    /// The rows of one binding, outside the loop.
    pub(crate) fn mutual(&mut self, mutual: &MutualNode) -> Result<NodeId> {
        if !self.mutuals.contains_key(&mutual.block.id) {
            self.lower_bindings(mutual)?;
        }
        let binding = &mutual.block.bindings[mutual.index];
        let made_of = self.mutuals[&mutual.block.id].bindings[&binding.id].made_of;
        let made_of = made_of.expect("all bindings are lowered");
        Ok(if self.builder.node(made_of).scope.is_empty() { made_of } else { self.builder.leave(made_of) })
    }

    fn lower_bindings(&mut self, mutual: &MutualNode) -> Result<()> {
        let block = &mutual.block;
        let loop_id = self.builder.next_loop();
        let bindings = block.bindings.iter().map(|binding| (binding.id, State::default())).collect();
        let limit = block.limit.map(limited);
        self.mutuals.insert(block.id, Mutual { loop_id, limit, bindings });
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
        self.builder.close_scope(&[loop_id]);
        Ok(())
    }

    /// A recursive query whose term a loop head cannot do, as a recursion of one binding: the base and what the term makes of the binding,
    /// under `UNION` each row once.
    pub(crate) fn general(&mut self, recursion: &RecursionNode, base: NodeId) -> Result<NodeId> {
        let (id, loop_id) = (recursion.id, self.builder.next_loop());
        let bindings = HashMap::from([(id, State::default())]);
        self.mutuals.insert(id, Mutual { loop_id, limit: recursion.limit.map(limited), bindings });
        let step = self.lower(&recursion.step)?;
        let all = self.union_of(vec![base, step], recursion.variable())?;
        if self.builder.node(all).scope != [loop_id] {
            return Err(refuse::nested());
        }
        let made_of = if recursion.distinct { self.distinct(all) } else { all };
        if let Some(variable) = self.state(id, id).variable {
            self.builder.close_variable(variable, made_of);
        }
        self.builder.close_scope(&[loop_id]);
        let node = self.builder.leave(made_of);
        self.recursions.insert(id, node);
        Ok(node)
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
