//! What must hold for every stream plan. The planner checks it before it hands a plan out; a dataflow may rely on it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion_physical_expr::PhysicalExpr;

use crate::{Exchange, LoopHead, LoopKind, Node, NodeId, Operator, Projected, RowFunction, Step, StreamPlan};

/// Checks all invariants of a plan.
///
/// # Errors
/// A sentence that names the node and what does not hold. It is a bug of whoever made the plan.
pub fn validate(plan: &StreamPlan) -> Result<(), String> {
    if plan.root >= plan.nodes.len() {
        return Err(format!("the root {} is not there", plan.root));
    }
    for (id, node) in plan.nodes.iter().enumerate() {
        let name = node.operator.name();
        let holds = |what: &str, holds: bool| if holds { Ok(()) } else { Err(format!("node {id} ({name}): {what}")) };
        holds("its inputs come before it", inputs_come_first(id, node))?;
        holds("it has as many inputs as its operator takes", arity_fits(node))?;
        holds("the columns of its exchanges are there", exchanges_exist(plan, node))?;
        holds("its scope is that of its inputs", scopes_nest(plan, node))?;
        holds("its columns are what its operator makes", schema_fits(plan, node))?;
        holds("its keys are columns of one type on both sides, and its inputs are exchanged by them", keys_fit(plan, node))?;
        holds(
            "only the other side of a loop's join and a clock are broadcast, and rows that stay take the columns of its partition over",
            stays_fits(plan, id, node),
        )?;
        holds("its iterations are kept where they are limited", limit_fits(node))?;
        holds("the rows of a key of a loop are on one worker", key_meets(node))?;
        holds("a row of a key that is better derives better rows", better_derives_better(plan, id, node))?;
        holds("what comes back to the loop is its variable, from inside its scope", feedback_fits(plan, id, node))?;
    }
    holds_for_root(plan)
}

/// The view's rows are outside all loops.
fn holds_for_root(plan: &StreamPlan) -> Result<(), String> {
    if plan.node(plan.root).scope.is_empty() { Ok(()) } else { Err("the root stands in a loop".to_owned()) }
}

/// Nodes stand in topological order; only feedback goes against it. The dataflow renders them in this order.
fn inputs_come_first(id: NodeId, node: &Node) -> bool {
    node.inputs.iter().all(|(input, _)| *input < id)
}

fn arity_fits(node: &Node) -> bool {
    let count = node.inputs.len();
    match &node.operator {
        Operator::Source { .. } | Operator::Constant(_) | Operator::Variable(_) => count == 0,
        Operator::Map(_) | Operator::Negate | Operator::Distinct | Operator::Aggregate(_) => count == 1,
        Operator::TopK(_) | Operator::Window(_) | Operator::Fold(_) | Operator::Unnest(_) => count == 1,
        Operator::LoopBody | Operator::Enter | Operator::Leave => count == 1,
        Operator::Join(_) | Operator::Temporal(_) => count == 2,
        Operator::Union => count >= 1,
        Operator::LoopHead(head) => count == 1 + usize::from(head.join.is_some()),
    }
}

fn exchanges_exist(plan: &StreamPlan, node: &Node) -> bool {
    node.inputs.iter().all(|(input, exchange)| match exchange {
        Exchange::Stay | Exchange::Broadcast => true,
        Exchange::Hash(columns) => in_range(columns, &plan.node(*input).schema),
    })
}

/// A node stands in the deepest scope of its inputs, and theirs are prefixes of it; only a loop's body and what enters go one deeper,
/// and only its head and what leaves come out.
fn scopes_nest(plan: &StreamPlan, node: &Node) -> bool {
    let input_scope = || &plan.node(node.inputs[0].0).scope;
    match &node.operator {
        Operator::Variable(variable) => return node.scope.last() == Some(&variable.id),
        Operator::Enter => return node.scope.split_last().is_some_and(|(_, outer)| outer == input_scope().as_slice()),
        Operator::Leave => return input_scope().split_last().is_some_and(|(_, outer)| outer == node.scope),
        Operator::Union
        | Operator::Negate
        | Operator::Distinct
        | Operator::Aggregate(_)
        | Operator::TopK(_)
        | Operator::Window(_)
        | Operator::Fold(_)
        | Operator::Unnest(_)
        | Operator::Map(_) => {
            return node.inputs.iter().all(|(input, _)| plan.node(*input).scope == node.scope);
        }
        _ => {}
    }
    let prefixes = node.inputs.iter().all(|(input, _)| node.scope.starts_with(&plan.node(*input).scope));
    let deepest = node.inputs.iter().map(|(input, _)| plan.node(*input).scope.len()).max().unwrap_or(0);
    let entered = match &node.operator {
        Operator::LoopBody => match &plan.node(node.inputs[0].0).operator {
            Operator::LoopHead(head) if node.scope.last() == Some(&head.id) => 1,
            _ => return false,
        },
        _ => 0,
    };
    prefixes && node.scope.len() == deepest + entered
}

fn schema_fits(plan: &StreamPlan, node: &Node) -> bool {
    let input = |i: usize| &plan.node(node.inputs[i].0).schema;
    match &node.operator {
        Operator::Source { columns, .. } => columns.len() == node.schema.fields().len() && !columns.is_empty(),
        Operator::Constant(rows) => alike(&rows.schema(), &node.schema),
        Operator::Map(function) => makes(function, input(0), &node.schema),
        Operator::Join(join) => makes(&join.output, &side_by_side(input(0), input(1)), &node.schema),
        Operator::Union => (0..node.inputs.len()).all(|i| alike(input(i), &node.schema)),
        Operator::Negate | Operator::Distinct => alike(input(0), &node.schema),
        Operator::Aggregate(aggregate) => {
            let arguments = aggregate.calls.iter().filter_map(|c| c.argument).collect::<Vec<_>>();
            let results = aggregate.calls.iter().zip(node.schema.fields().iter().skip(aggregate.keys));
            node.schema.fields().len() == aggregate.keys + aggregate.calls.len()
                && aggregate.keys <= input(0).fields().len()
                && (0..aggregate.keys).all(|k| alike_field(input(0).field(k), node.schema.field(k)))
                && in_range(&arguments, input(0))
                && results.into_iter().all(|(call, field)| call.result == *field.data_type())
        }
        Operator::TopK(top) => {
            let by = top.order.iter().map(|by| by.column).collect::<Vec<_>>();
            alike(input(0), &node.schema) && in_range(&by, input(0))
        }
        Operator::Window(window) => {
            let by = window.order.iter().map(|by| by.column).collect::<Vec<_>>();
            let (input, width) = (input(0), input(0).fields().len());
            let made = window.calls.iter().map(|call| &call.field).eq(node.schema.fields().iter().skip(width));
            let kept = input.fields().iter().zip(node.schema.fields()).all(|(a, b)| alike_field(a, b));
            kept && made && node.schema.fields().len() == width + window.calls.len() && in_range(&by, input)
        }
        Operator::Fold(fold) => {
            let made = fold.calls.iter().map(|call| &call.field).eq(node.schema.fields().iter().skip(fold.keys));
            let is_key = |k: usize| k < input(0).fields().len() && alike_field(input(0).field(k), node.schema.field(k));
            node.schema.fields().len() == fold.keys + fold.calls.len() && (0..fold.keys).all(is_key) && made
        }
        Operator::Unnest(unnest) => {
            let fields = input(0).fields().iter().zip(node.schema.fields()).enumerate();
            let mut places = fields.map(|(i, (from, to))| match (from.data_type(), unnest.columns.contains(&i)) {
                (DataType::List(element), true) => element.data_type() == to.data_type() && to.is_nullable(),
                (other, false) => other == to.data_type(),
                _ => false,
            });
            input(0).fields().len() == node.schema.fields().len() && places.all(|fits| fits)
        }
        Operator::Temporal(temporal) => {
            let bounds = temporal.from.into_iter().chain(temporal.until).collect::<Vec<_>>();
            let is_time = |field: &FieldRef| matches!(field.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _));
            let times = |schema: &SchemaRef, columns: &[usize]| columns.iter().all(|c| is_time(&schema.fields()[*c]));
            let by_the_clock = input(1).fields().len() == 1 && times(input(1), &[0]);
            alike(input(0), &node.schema) && in_range(&bounds, input(0)) && times(input(0), &bounds) && by_the_clock
        }
        Operator::LoopHead(head) => alike(&head.variable, &node.schema) && alike(input(0), &head.variable),
        Operator::Variable(_) => true,
        Operator::Enter | Operator::Leave => alike(input(0), &node.schema),
        Operator::LoopBody => match &plan.node(node.inputs[0].0).operator {
            Operator::LoopHead(head) => makes(&head.stage, &stage_input(plan, node.inputs[0].0, head), &node.schema),
            _ => false,
        },
    }
}

/// Equal keys meet on one worker: both sides are exchanged by their keys, and a key has one type.
fn keys_fit(plan: &StreamPlan, node: &Node) -> bool {
    let exchanged = |i: usize, by: &[usize]| matches!(&node.inputs[i].1, Exchange::Hash(columns) if columns == by);
    let is_there = |i: usize, by: &[usize]| {
        let (input, exchange) = &node.inputs[i];
        *exchange == Exchange::Stay && plan.node(*input).properties.partitioning.as_deref() == Some(by)
    };
    let schema = |i: usize| &plan.node(node.inputs[i].0).schema;
    match &node.operator {
        Operator::Join(join) => {
            let types = one_type(&join.left_keys, schema(0), &join.right_keys, schema(1));
            let meets = |i: usize, by: &[usize]| exchanged(i, by) || is_there(i, by);
            types && meets(0, &join.left_keys) && meets(1, &join.right_keys)
        }
        Operator::LoopHead(LoopHead { join: Some(join), partition, variable, .. }) => {
            let types = one_type(&join.variable_keys, variable, &join.other_keys, schema(1));
            let meets = exchanged(1, &join.other_keys) && *partition == join.variable_keys;
            types && exchanged(0, partition) && (meets || node.inputs[1].1 == Exchange::Broadcast)
        }
        Operator::LoopHead(head) => in_range(&head.partition, &head.variable) && exchanged(0, &head.partition),
        Operator::Aggregate(aggregate) => exchanged(0, &(0..aggregate.keys).collect::<Vec<_>>()),
        Operator::TopK(top) => exchanged(0, &top.keys),
        Operator::Window(window) => exchanged(0, &window.keys),
        Operator::Fold(fold) => exchanged(0, &(0..fold.keys).collect::<Vec<_>>()),
        Operator::Distinct => matches!(node.inputs[0].1, Exchange::Hash(_)),
        // Outside of loops, whose rows would come by iteration and not by time.
        Operator::Temporal(_) => node.inputs[1].1 == Exchange::Broadcast && node.scope.is_empty(),
        _ => true,
    }
}

/// A loop that stays takes the columns of its partition over; only the other side of a loop's join, and a clock, may be broadcast.
fn stays_fits(plan: &StreamPlan, id: NodeId, node: &Node) -> bool {
    let broadcast = |i: usize| node.inputs.get(i).is_some_and(|(_, exchange)| *exchange == Exchange::Broadcast);
    let head = match &node.operator {
        Operator::LoopHead(head) => head,
        Operator::Temporal(_) => return !broadcast(0),
        _ => return !(0..node.inputs.len()).any(broadcast),
    };
    let sources = head.stage.column_sources(stage_input(plan, id, head).fields().len());
    let taken_over = head.partition.iter().all(|column| sources.get(*column) == Some(&Some(*column)));
    !broadcast(0) && (!head.stays || (head.feedback.is_none() && taken_over))
}

fn limit_fits(node: &Node) -> bool {
    match &node.operator {
        Operator::LoopHead(head) => {
            head.limit.is_none() || !matches!(head.kind, LoopKind::MonotoneSet | LoopKind::MonotoneKeyed(_))
        }
        Operator::Variable(variable) => variable.limit.is_none() || node.keeps_iterations(),
        _ => true,
    }
}

/// A keyed loop is divided by some columns of its key, and the column that decides is not one of them.
fn key_meets(node: &Node) -> bool {
    let Operator::LoopHead(LoopHead { kind: LoopKind::Keyed(key) | LoopKind::MonotoneKeyed(key), partition, variable, .. }) =
        &node.operator
    else {
        return true;
    };
    let decides = key.winner.column();
    partition.iter().all(|column| key.columns.contains(column))
        && in_range(&key.columns, variable)
        && decides.is_none_or(|column| in_range(&[column], variable) && !key.columns.contains(&column))
}

/// Where only the best row of a key is kept: see [`crate::LoopKey::better_derives_better`].
fn better_derives_better(plan: &StreamPlan, id: NodeId, node: &Node) -> bool {
    let Operator::LoopHead(head) = &node.operator else { return true };
    let LoopKind::MonotoneKeyed(key) = &head.kind else { return true };
    let width = stage_input(plan, id, head).fields().len();
    let variable_keys = head.join.as_ref().map_or(&[][..], |join| &join.variable_keys);
    head.feedback.is_none() && key.better_derives_better(&head.stage, variable_keys, (&head.variable, width))
}

fn feedback_fits(plan: &StreamPlan, id: NodeId, node: &Node) -> bool {
    if let Operator::Variable(variable) = &node.operator {
        let fits = |last: &Node| last.scope == node.scope && alike(&last.schema, &node.schema);
        return plan.nodes.get(variable.feedback).is_some_and(fits);
    }
    let Operator::LoopHead(head) = &node.operator else { return true };
    match head.feedback {
        None => makes(&head.stage, &stage_input(plan, id, head), &head.variable),
        Some(feedback) => plan.nodes.get(feedback).is_some_and(|last| {
            let mut inside = node.scope.clone();
            inside.push(head.id);
            feedback > id && last.scope == inside && alike(&last.schema, &head.variable)
        }),
    }
}

/// What a head's stage sees: the loop variable, then the other side of the fused join.
fn stage_input(plan: &StreamPlan, id: NodeId, head: &LoopHead) -> SchemaRef {
    match plan.node(id).inputs.get(1) {
        Some((other, _)) if head.join.is_some() => side_by_side(&head.variable, &plan.node(*other).schema),
        _ => SchemaRef::clone(&head.variable),
    }
}

fn side_by_side(left: &Schema, right: &Schema) -> SchemaRef {
    SchemaRef::new(Schema::new(left.fields().iter().chain(right.fields()).cloned().collect::<Vec<_>>()))
}

/// Whether a row function over `input` reads columns that are there, as what they are, and makes `output`.
fn makes(function: &RowFunction, input: &SchemaRef, output: &Schema) -> bool {
    let mut schema = SchemaRef::clone(input);
    for step in &function.steps {
        match step {
            Step::Filter(keep) if !is_of_type(keep, &schema, &DataType::Boolean) => return false,
            Step::Project(columns) if !columns.iter().all(|c| column_fits(c, &schema)) => return false,
            Step::Project(columns) => {
                schema = SchemaRef::new(Schema::new(columns.iter().map(|c| FieldRef::clone(c.field())).collect::<Vec<_>>()));
            }
            Step::Filter(_) => {}
        }
    }
    alike(&schema, output)
}

/// Whether a column says what type its values have. Operators take the field's word for it.
fn column_fits(column: &Projected, input: &Schema) -> bool {
    match column {
        Projected::Column(i, field) => input.fields().get(*i).is_some_and(|from| from.data_type() == field.data_type()),
        Projected::Computed(expr, field) => is_of_type(expr, input, field.data_type()),
    }
}

fn is_of_type(expr: &Arc<dyn PhysicalExpr>, input: &Schema, data_type: &DataType) -> bool {
    expr.data_type(input).is_ok_and(|t| t == *data_type)
}

fn one_type(left: &[usize], left_schema: &Schema, right: &[usize], right_schema: &Schema) -> bool {
    left.len() == right.len()
        && in_range(left, left_schema)
        && in_range(right, right_schema)
        && left.iter().zip(right).all(|(l, r)| left_schema.field(*l).data_type() == right_schema.field(*r).data_type())
}

fn in_range(columns: &[usize], schema: &Schema) -> bool {
    columns.iter().all(|c| *c < schema.fields().len())
}

/// Equal but for names.
fn alike(a: &Schema, b: &Schema) -> bool {
    a.fields().len() == b.fields().len() && a.fields().iter().zip(b.fields()).all(|(a, b)| alike_field(a, b))
}

fn alike_field(a: &Field, b: &Field) -> bool {
    a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
}
