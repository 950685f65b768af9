//! The plan under construction: nodes are added in topological order, equal nodes are one.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use refrain_plan::{
    Exchange, Join, LoopHead, Node, NodeId, Operator, Projected, Properties, RowFunction, Step, StreamPlan, Temporal,
};
use refrain_types::LoopId;

/// Nodes so far.
#[derive(Default)]
pub(crate) struct Builder {
    nodes: Vec<Node>,
    loops: u32,
}

impl Builder {
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    pub(crate) fn schema(&self, id: NodeId) -> &SchemaRef {
        &self.nodes[id].schema
    }

    pub(crate) fn next_loop(&mut self) -> LoopId {
        self.loops += 1;
        LoopId(self.loops - 1)
    }

    /// Adds a node, or finds the one that is there already.
    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        match self.nodes.iter().position(|n| same(n, &node)) {
            Some(there) => there,
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    /// Sets where a loop's rows come back, once its body is there.
    pub(crate) fn close_loop(&mut self, head: NodeId, feedback: NodeId) {
        match &mut self.nodes[head].operator {
            Operator::LoopHead(head) => head.feedback = Some(feedback),
            other => unreachable!("only a loop head can be closed, not {other:?}"),
        }
    }

    /// Sets what a variable is made of, once that is there.
    pub(crate) fn close_variable(&mut self, variable: NodeId, feedback: NodeId) {
        let all = (0..self.schema(feedback).fields().len()).collect();
        // Where equal rows are on one worker already, they go round there.
        let by = if self.node(feedback).properties.partitioning.is_some() { Exchange::Stay } else { Exchange::Hash(all) };
        match &mut self.nodes[variable].operator {
            Operator::Variable(variable) => (variable.feedback, variable.exchange) = (feedback, by),
            other => unreachable!("only a variable can be closed, not {other:?}"),
        }
    }

    /// A loop is complete. Where all that enters it only grows, and nothing in it takes a row back for another that comes, its rows
    /// only grow, too.
    pub(crate) fn close_scope(&mut self, scope: &[LoopId]) {
        let inside = |node: &Node| node.scope == scope;
        let from_outside_grows = |node: &Node| {
            let mut inputs = node.inputs.iter().map(|(input, _)| self.node(*input));
            inputs.all(|input| inside(input) || input.properties.append_only)
        };
        let grows = self.nodes.iter().filter(|node| inside(node)).all(|node| {
            // What has to be counted has to be kept.
            let is_limited = matches!(&node.operator, Operator::Variable(variable) if variable.limit.is_some());
            is_monotone(&node.operator) && !is_limited && from_outside_grows(node)
        });
        if grows {
            self.nodes.iter_mut().filter(|node| node.scope == scope).for_each(|node| node.properties.append_only = true);
        }
    }

    /// Whether nothing that goes round in a loop is taken back for a row that comes. Its variables are closed.
    pub(crate) fn goes_round_monotone(&self, id: LoopId) -> bool {
        let fed = self.nodes.iter().filter_map(|node| match &node.operator {
            Operator::Variable(variable) if variable.id == id => Some(variable.feedback),
            _ => None,
        });
        let mut waiting = fed.collect::<Vec<_>>();
        let mut seen = HashSet::new();
        while let Some(at) = waiting.pop() {
            let node = self.node(at);
            if node.scope.last() != Some(&id) || !seen.insert(at) {
                continue;
            }
            if !is_monotone(&node.operator) {
                return false;
            }
            waiting.extend(node.inputs.iter().map(|(input, _)| *input));
        }
        true
    }

    /// A node's rows inside a loop. Nothing is added for one that is there already.
    pub(crate) fn enter(&mut self, input: NodeId, scope: &[LoopId]) -> NodeId {
        let from = self.node(input);
        if from.scope == scope {
            return input;
        }
        assert_eq!(scope.split_last().map(|(_, outer)| outer), Some(from.scope.as_slice()), "a node enters one loop at a time");
        // Inside, a row that only ever comes may be derived again and again, unless all of the loop only grows: see `close_scope`.
        let properties = Properties { append_only: false, ..from.properties.clone() };
        let schema = Arc::clone(&from.schema);
        self.add(Node {
            operator: Operator::Enter,
            inputs: vec![(input, Exchange::Stay)],
            schema,
            scope: scope.to_vec(),
            properties,
        })
    }

    /// A node's rows outside the loop that it stands in.
    pub(crate) fn leave(&mut self, input: NodeId) -> NodeId {
        let from = self.node(input);
        let scope = from.scope.split_last().map(|(_, outer)| outer.to_vec()).expect("what leaves a loop stands in one");
        let (schema, properties) = (Arc::clone(&from.schema), from.properties.clone());
        self.add(Node { operator: Operator::Leave, inputs: vec![(input, Exchange::Stay)], schema, scope, properties })
    }

    /// Filters and projections over a node. Nothing is added for the identity.
    pub(crate) fn map(&mut self, input: NodeId, function: RowFunction) -> NodeId {
        if function.is_identity() {
            return input;
        }
        let from = self.node(input);
        let schema = function.output_schema(&from.schema);
        let properties = mapped(&from.properties, from.schema.fields().len(), &function);
        let scope = from.scope.clone();
        let inputs = vec![(input, Exchange::Stay)];
        self.add(Node { operator: Operator::Map(function), inputs, schema, scope, properties })
    }

    /// The node's rows under other fields of the same types: other nullability, other names.
    pub(crate) fn conform(&mut self, input: NodeId, schema: &SchemaRef) -> NodeId {
        let function = conforming(self.schema(input), schema);
        self.map(input, function)
    }

    pub(crate) fn join(&mut self, inputs: [NodeId; 2], join: Join) -> NodeId {
        let [left, right] = inputs.map(|i| self.node(i));
        let width = left.schema.fields().len() + right.schema.fields().len();
        let both = Properties {
            append_only: left.properties.append_only && right.properties.append_only,
            distinct: left.properties.distinct && right.properties.distinct,
            partitioning: None,
        };
        let properties = mapped(&both, width, &join.output);
        let schema = join.output.output_schema(&side_by_side(&left.schema, &right.schema));
        // Scopes nest: the deeper one is the join's, and the other input enters the loop there.
        let scope = if left.scope.len() >= right.scope.len() { left.scope.clone() } else { right.scope.clone() };
        let inputs =
            vec![(inputs[0], Exchange::Hash(join.left_keys.clone())), (inputs[1], Exchange::Hash(join.right_keys.clone()))];
        self.add(Node { operator: Operator::Join(join), inputs, schema, scope, properties })
    }

    /// Bag union. Its inputs stand in one scope and have the columns of `schema`.
    pub(crate) fn union(&mut self, inputs: Vec<NodeId>, schema: SchemaRef) -> NodeId {
        let append_only = inputs.iter().all(|n| self.node(*n).properties.append_only);
        let properties = Properties { append_only, ..Properties::default() };
        let scope = inputs.first().map_or(Vec::new(), |first| self.node(*first).scope.clone());
        let inputs = inputs.into_iter().map(|n| (n, Exchange::Stay)).collect();
        self.add(Node { operator: Operator::Union, inputs, schema, scope, properties })
    }

    /// A node's rows with the opposite weights.
    pub(crate) fn negate(&mut self, input: NodeId) -> NodeId {
        let from = self.node(input);
        let (schema, scope) = (Arc::clone(&from.schema), from.scope.clone());
        let properties = Properties { partitioning: from.properties.partitioning.clone(), ..Properties::default() };
        self.add(Node { operator: Operator::Negate, inputs: vec![(input, Exchange::Stay)], schema, scope, properties })
    }

    /// The rows whose time it is, by the rows of `clock`.
    pub(crate) fn temporal(&mut self, input: NodeId, temporal: Temporal, clock: NodeId) -> NodeId {
        let from = self.node(input);
        let grows = from.properties.append_only;
        let all = (0..from.schema.fields().len()).collect::<Vec<_>>();
        // A row meets what takes it back, so that neither is kept.
        let exchange = if grows || from.properties.partitioning.is_some() { Exchange::Stay } else { Exchange::Hash(all.clone()) };
        let partitioning = if exchange == Exchange::Stay { from.properties.partitioning.clone() } else { Some(all) };
        let properties =
            Properties { append_only: grows && temporal.until.is_none(), distinct: from.properties.distinct, partitioning };
        let (schema, scope) = (Arc::clone(&from.schema), from.scope.clone());
        let inputs = vec![(input, exchange), (clock, Exchange::Broadcast)];
        self.add(Node { operator: Operator::Temporal(temporal), inputs, schema, scope, properties })
    }

    /// States that a node's rows are proven to be distinct.
    pub(crate) fn set_distinct(&mut self, node: NodeId) {
        self.nodes[node].properties.distinct = true;
    }

    /// Each row once.
    pub(crate) fn distinct(&mut self, input: NodeId) -> NodeId {
        let from = self.node(input);
        if from.properties.distinct {
            return input;
        }
        let all = (0..from.schema.fields().len()).collect::<Vec<_>>();
        let properties = Properties { append_only: from.properties.append_only, distinct: true, partitioning: Some(all.clone()) };
        let (schema, scope) = (Arc::clone(&from.schema), from.scope.clone());
        self.add(Node { operator: Operator::Distinct, inputs: vec![(input, Exchange::Hash(all))], schema, scope, properties })
    }

    pub(crate) fn into_plan(self, root: NodeId) -> StreamPlan {
        StreamPlan { nodes: self.nodes, root }
    }
}

/// The columns of both sides of a join.
pub(crate) fn side_by_side(left: &Schema, right: &Schema) -> SchemaRef {
    Arc::new(Schema::new(left.fields().iter().chain(right.fields()).cloned().collect::<Vec<_>>()))
}

/// Moves the columns of `from` under the fields of `to`, by position; the identity where only names differ.
pub(crate) fn conforming(from: &Schema, to: &Schema) -> RowFunction {
    let same = |a: &Field, b: &Field| a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable();
    assert_eq!(from.fields().len(), to.fields().len(), "columns conform by position");
    if from.fields().iter().zip(to.fields()).all(|(a, b)| same(a, b)) {
        return RowFunction::default();
    }
    let columns = to.fields().iter().enumerate().map(|(i, f)| Projected::Column(i, Arc::clone(f)));
    RowFunction { steps: vec![Step::Project(columns.collect())] }
}

/// What is still known after a row function over `width` columns.
pub(crate) fn mapped(before: &Properties, width: usize, function: &RowFunction) -> Properties {
    let sources = function.column_sources(width);
    let target = |column: usize| sources.iter().position(|s| *s == Some(column));
    Properties {
        append_only: before.append_only,
        distinct: before.distinct && (0..width).all(|c| target(c).is_some()),
        partitioning: before.partitioning.as_ref().and_then(|by| by.iter().map(|c| target(*c)).collect()),
    }
}

/// Whether an operator of a loop takes no row back for one that comes.
fn is_monotone(operator: &Operator) -> bool {
    matches!(
        operator,
        Operator::Map(_)
            | Operator::Join(_)
            | Operator::Union
            | Operator::Distinct
            | Operator::Unnest(_)
            | Operator::Enter
            | Operator::Variable(_)
    )
}

fn same(a: &Node, b: &Node) -> bool {
    a.inputs == b.inputs && a.scope == b.scope && a.schema == b.schema && same_operator(&a.operator, &b.operator)
}

fn same_operator(a: &Operator, b: &Operator) -> bool {
    match (a, b) {
        (Operator::Source { relation: a, columns: c, .. }, Operator::Source { relation: b, columns: d, .. }) => a == b && c == d,
        (Operator::Constant(a), Operator::Constant(b)) => a == b,
        (Operator::Map(a), Operator::Map(b)) => a == b,
        (Operator::Join(a), Operator::Join(b)) => a == b,
        (Operator::Aggregate(a), Operator::Aggregate(b)) => a == b,
        (Operator::TopK(a), Operator::TopK(b)) => a == b,
        (Operator::Window(a), Operator::Window(b)) => a == b,
        (Operator::Fold(a), Operator::Fold(b)) => a == b,
        (Operator::Unnest(a), Operator::Unnest(b)) => a == b,
        (Operator::Temporal(a), Operator::Temporal(b)) => a == b,
        (Operator::Union, Operator::Union) | (Operator::Distinct, Operator::Distinct) => true,
        (Operator::Negate, Operator::Negate) => true,
        // A loop is found again by its recursion, and has one body. A variable is not found again: its binding knows it.
        (Operator::LoopHead(LoopHead { id: a, .. }), Operator::LoopHead(LoopHead { id: b, .. })) => a == b,
        (Operator::LoopBody, Operator::LoopBody) => true,
        (Operator::Enter, Operator::Enter) | (Operator::Leave, Operator::Leave) => true,
        _ => false,
    }
}
