//! EXPLAIN: a stream plan as text, for people.
//!
//! The view stands at the top, what it reads below it, indented. A node that is read more than once is written where it is first
//! met; after that its number is enough. A loop is a block: what it starts from, what it joins with, what goes round.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use crate::{
    Aggregate, AggregateFunction, Exchange, GroupCall, KeyWinner, LoopHead, LoopKind, Node, NodeId, Operator, Projected,
    RecursionLimit, RowFunction, Step, StreamPlan, TopK,
};

/// The text of a plan, one line for each row of EXPLAIN's result.
#[must_use]
pub fn explain(plan: &StreamPlan) -> String {
    explain_with(plan, &|_| Measured::default())
}

/// What was measured of a node.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Follows what the node is.
    pub beside: String,
    /// A line of its own below it.
    pub below: Option<String>,
}

/// The text of a plan with what was measured of each node.
#[must_use]
pub fn explain_with(plan: &StreamPlan, measured: &dyn Fn(NodeId) -> Measured) -> String {
    let mut explain = Explain { plan, measured, text: String::new(), written: BTreeSet::new() };
    explain.node(plan.root, 0, "");
    explain.text.truncate(explain.text.trim_end().len());
    explain.text
}

struct Explain<'a> {
    plan: &'a StreamPlan,
    measured: &'a dyn Fn(NodeId) -> Measured,
    text: String,
    written: BTreeSet<NodeId>,
}

impl Explain<'_> {
    fn line(&mut self, depth: usize, line: &str) {
        writeln!(self.text, "{}{line}", "  ".repeat(depth)).expect("a string takes any text");
    }

    fn node(&mut self, id: NodeId, depth: usize, exchange: &str) {
        let node = self.plan.node(id);
        let name = node.operator.name();
        if !self.written.insert(id) {
            return self.line(depth, &format!("{name} #{id}, as above{exchange}"));
        }
        let what = describe(self.plan, node);
        let separator = if what.is_empty() { "" } else { ": " };
        let Measured { beside, below } = (self.measured)(id);
        self.line(depth, &format!("{name} #{id}{separator}{what}{}{exchange}{beside}", properties(node)));
        if let Some(below) = below {
            self.line(depth + 1, &below);
        }
        match &node.operator {
            Operator::LoopHead(head) => self.loop_block(node, head, depth + 1),
            // The head is above: what is inside its loop is written in its block.
            Operator::LoopBody => {}
            Operator::Variable(variable) => {
                let by = exchanged(&variable.exchange, &node.schema);
                self.line(depth + 1, &format!("goes round from{by}"));
                self.node(variable.feedback, depth + 2, "");
            }
            _ => self.inputs(node, depth + 1),
        }
    }

    fn inputs(&mut self, node: &Node, depth: usize) {
        for (input, by) in &node.inputs {
            let exchange = exchanged(by, &self.plan.node(*input).schema);
            self.node(*input, depth, &exchange);
        }
    }

    fn loop_block(&mut self, node: &Node, head: &LoopHead, depth: usize) {
        let input = |i: usize| node.inputs[i].0;
        let by = |i: usize| exchanged(&node.inputs[i].1, &self.plan.node(node.inputs[i].0).schema);
        let (base, other) = (by(0), head.join.as_ref().map(|_| by(1)));
        self.line(depth, "starts from");
        self.node(input(0), depth + 1, &base);
        let mut stage_names = own_names(&head.variable);
        if let (Some(join), Some(by)) = (&head.join, other) {
            let other = &self.plan.node(input(1)).schema;
            stage_names = both_names(&head.name, &head.variable, "other", other);
            let condition = condition(&head.name, &head.variable, &join.variable_keys, "other", other, &join.other_keys);
            let nulls = if join.nulls_meet { ", NULL meets NULL" } else { "" };
            self.line(depth, &format!("joins {condition}{nulls}, in the loop's own row store"));
            self.node(input(1), depth + 1, &by);
        }
        let partition = names(&head.variable, &head.partition);
        let to = if head.partition.is_empty() { "one worker".to_owned() } else { format!("workers by ({partition})") };
        let stage = row_function(&head.stage, stage_names);
        if !stage.is_empty() {
            self.line(depth, &format!("then {stage}"));
        }
        if let Some(feedback) = head.feedback {
            self.line(depth, "body");
            self.node(feedback, depth + 1, "");
        }
        let goes = if head.stays { "goes round without an exchange, on" } else { "goes round to" };
        self.line(depth, &format!("{goes} {to}"));
    }
}

fn describe(plan: &StreamPlan, node: &Node) -> String {
    match &node.operator {
        Operator::Source { name, .. } => format!("{name} ({})", all_names(&node.schema)),
        Operator::Constant(rows) => match rows.num_rows() {
            1 => "1 row".to_owned(),
            n => format!("{n} rows"),
        },
        Operator::Map(function) => row_function(function, own_names(&plan.node(node.inputs[0].0).schema)),
        Operator::Join(join) => {
            let schema = |i: usize| &plan.node(node.inputs[i].0).schema;
            let mut text = condition("left", schema(0), &join.left_keys, "right", schema(1), &join.right_keys);
            if join.nulls_meet {
                text.push_str(", NULL meets NULL");
            }
            let output = row_function(&join.output, both_names("left", schema(0), "right", schema(1)));
            if output.is_empty() { text } else { format!("{text}, then {output}") }
        }
        Operator::Union | Operator::Negate | Operator::Distinct | Operator::LoopBody | Operator::Enter | Operator::Leave => {
            String::new()
        }
        Operator::Variable(variable) => {
            let rows = if node.keeps_iterations() { "one iteration before" } else { "no iterations kept" };
            format!("{} ({}), {rows}{}", variable.name, all_names(&node.schema), limit(variable.limit))
        }
        Operator::Aggregate(aggregate) => describe_aggregate(aggregate, &plan.node(node.inputs[0].0).schema),
        Operator::TopK(top) => describe_top_k(top, &node.schema),
        Operator::Window(window) => texts(&window.calls),
        Operator::Fold(fold) if fold.keys == 0 => texts(&fold.calls),
        Operator::Fold(fold) => {
            let keys = node.schema.fields()[..fold.keys].iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
            format!("{} by {}", texts(&fold.calls), keys.join(", "))
        }
        Operator::Unnest(unnest) => {
            let names = unnest.columns.iter().map(|column| node.schema.field(*column).name().as_str()).collect::<Vec<_>>();
            let also = if unnest.keeps_empty { ", of empty lists NULL" } else { "" };
            format!("{}{also}", names.join(", "))
        }
        Operator::Temporal(temporal) => {
            let name = |column: usize| node.schema.field(column).name();
            let from = temporal.from.map(|column| format!("from {}", name(column)));
            let until = temporal.until.map(|column| format!("until {}", name(column)));
            from.into_iter().chain(until).collect::<Vec<_>>().join(" ")
        }
        Operator::LoopHead(head) => {
            format!("{} ({}), {}{}", head.name, all_names(&head.variable), describe_kind(head), limit(head.limit))
        }
    }
}

fn limit(limit: Option<RecursionLimit>) -> String {
    limit.map_or(String::new(), |limit| {
        let then = if limit.fails { "then it fails" } else { "then it returns" };
        format!(", at most {} iterations, {then}", limit.iterations)
    })
}

fn describe_kind(head: &LoopHead) -> String {
    match &head.kind {
        LoopKind::Set => "set: iterations kept, rows may go".to_owned(),
        LoopKind::MonotoneSet => "monotone set: append-only inputs, no iterations kept".to_owned(),
        LoopKind::Bag => "bag: derivations counted by iteration".to_owned(),
        LoopKind::Keyed(key) | LoopKind::MonotoneKeyed(key) => {
            let name = |column: usize| head.variable.field(column).name().as_str();
            let row = match key.winner {
                KeyWinner::Latest => "latest row".to_owned(),
                KeyWinner::Least(column) => format!("row of least {}", name(column)),
                KeyWinner::Greatest(column) => format!("row of greatest {}", name(column)),
            };
            let kept = match &head.kind {
                LoopKind::MonotoneKeyed(_) => "append-only inputs, no iterations kept",
                _ => "iterations kept, rows may go",
            };
            format!("one row by ({}), the {row}: {kept}", names(&head.variable, &key.columns))
        }
    }
}

fn describe_aggregate(aggregate: &Aggregate, input: &Schema) -> String {
    let calls = aggregate.calls.iter().map(|call| {
        let function = match call.function {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::Avg => "avg",
        };
        format!("{function}({})", call.argument.map_or("*", |a| input.field(a).name()))
    });
    let calls = calls.collect::<Vec<_>>().join(", ");
    if aggregate.keys == 0 { calls } else { format!("{calls} by {}", names(input, &(0..aggregate.keys).collect::<Vec<_>>())) }
}

fn describe_top_k(top: &TopK, schema: &Schema) -> String {
    let by = top.order.iter().map(|by| {
        let direction = if by.descending { " DESC" } else { "" };
        let nulls = match (by.descending, by.nulls_first) {
            (false, true) => " NULLS FIRST",
            (true, false) => " NULLS LAST",
            _ => "",
        };
        format!("{}{direction}{nulls}", schema.field(by.column).name())
    });
    let by = by.collect::<Vec<_>>().join(", ");
    let rows = top.limit.map_or("all rows".to_owned(), |limit| format!("first {limit}"));
    let order = if by.is_empty() { String::new() } else { format!(" ordered by {by}") };
    let of = if top.keys.is_empty() { String::new() } else { format!(" of each ({})", names(schema, &top.keys)) };
    let after = if top.offset == 0 { String::new() } else { format!(" after {}", top.offset) };
    format!("{rows}{of}{order}{after}")
}

fn condition(
    left_name: &str,
    left: &Schema,
    left_keys: &[usize],
    right_name: &str,
    right: &Schema,
    right_keys: &[usize],
) -> String {
    if left_keys.is_empty() {
        return "every pair".to_owned();
    }
    let pairs = left_keys.iter().zip(right_keys);
    let pairs = pairs.map(|(l, r)| format!("{left_name}.{} = {right_name}.{}", left.field(*l).name(), right.field(*r).name()));
    pairs.collect::<Vec<_>>().join(" and ")
}

/// A row function over columns that are called `names`.
fn row_function(function: &RowFunction, mut names: Vec<String>) -> String {
    let mut steps = Vec::with_capacity(function.steps.len());
    for step in &function.steps {
        match step {
            Step::Filter(condition) => steps.push(format!("filter {}", expression(condition, &names))),
            Step::Project(columns) => {
                let columns = columns.iter().map(|column| match column {
                    Projected::Column(from, field) => (names[*from].clone(), field.name().clone()),
                    Projected::Computed(expr, field) => (expression(expr, &names), field.name().clone()),
                });
                let columns = columns.collect::<Vec<_>>();
                let texts = columns.iter().map(|(what, name)| {
                    let said = what == name || what.rsplit_once('.').is_some_and(|(_, last)| last == name);
                    if said { what.clone() } else { format!("{what} as {name}") }
                });
                steps.push(format!("project {}", texts.collect::<Vec<_>>().join(", ")));
                names = columns.into_iter().map(|(_, name)| name).collect();
            }
        }
    }
    steps.join(", then ")
}

/// An expression as SQL, its columns under the names that they have here.
fn expression(expr: &Arc<dyn PhysicalExpr>, names: &[String]) -> String {
    struct AsSql<'a>(&'a dyn PhysicalExpr);
    impl fmt::Display for AsSql<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt_sql(f)
        }
    }
    let named = Arc::clone(expr).transform_up(|e| match e.downcast_ref::<Column>() {
        Some(column) => {
            Ok(Transformed::yes(Arc::new(Column::new(&names[column.index()], column.index())) as Arc<dyn PhysicalExpr>))
        }
        None => Ok(Transformed::no(e)),
    });
    AsSql(named.expect("an expression takes columns in the place of columns").data.as_ref()).to_string()
}

/// The columns of two sides; where both have a name, with the side in front.
fn both_names(left_name: &str, left: &Schema, right_name: &str, right: &Schema) -> Vec<String> {
    let qualified = |side: &str, name: &str, other: &Schema| {
        if other.fields().iter().any(|f| f.name() == name) { format!("{side}.{name}") } else { name.to_owned() }
    };
    let of_left = left.fields().iter().map(|f| qualified(left_name, f.name(), right));
    of_left.chain(right.fields().iter().map(|f| qualified(right_name, f.name(), left))).collect()
}

fn own_names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|f| f.name().clone()).collect()
}

fn exchanged(exchange: &Exchange, schema: &Schema) -> String {
    match exchange {
        Exchange::Stay => String::new(),
        Exchange::Hash(columns) if columns.is_empty() => " → one worker".to_owned(),
        Exchange::Broadcast => " → every worker".to_owned(),
        Exchange::Hash(columns) => format!(" → workers by ({})", names(schema, columns)),
    }
}

fn properties(node: &Node) -> String {
    let known = [(node.properties.append_only, "append-only"), (node.properties.distinct, "distinct")];
    let known = known.into_iter().filter_map(|(holds, name)| holds.then_some(name)).collect::<Vec<_>>();
    if known.is_empty() { String::new() } else { format!(" [{}]", known.join(", ")) }
}

fn names(schema: &Schema, columns: &[usize]) -> String {
    columns.iter().map(|c| schema.field(*c).name().as_str()).collect::<Vec<_>>().join(", ")
}

fn texts(calls: &[GroupCall]) -> String {
    calls.iter().map(|call| call.text.as_str()).collect::<Vec<_>>().join(", ")
}

fn all_names(schema: &Schema) -> String {
    names(schema, &(0..schema.fields().len()).collect::<Vec<_>>())
}
