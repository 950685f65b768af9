//! Nodes of a stream plan.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use refrain_types::{LoopId, OperatorId, RelationId};

use crate::RowFunction;

/// Position of a node in its plan. It is also the node's stable operator id: planning the same text over the same relations
/// numbers the nodes alike.
pub type NodeId = usize;

/// What a view computes. Nodes stand in topological order, but for the feedback edges of loop heads.
#[derive(Clone, Debug)]
pub struct StreamPlan {
    /// The nodes; inputs of a node have smaller ids.
    pub nodes: Vec<Node>,
    /// The node whose output is the view.
    pub root: NodeId,
}

/// One operator of a plan.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does.
    pub operator: Operator,
    /// Where its inputs come from, and how their rows find their worker.
    pub inputs: Vec<(NodeId, Exchange)>,
    /// Logical schema of its output.
    pub schema: SchemaRef,
    /// The loops that it stands in, outermost first.
    pub scope: Vec<LoopId>,
    /// What is proven about its output.
    pub properties: Properties,
}

/// What the planner proves about the rows of an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// No row is ever retracted.
    pub append_only: bool,
    /// No row has a weight other than 0 and 1 once settled.
    pub distinct: bool,
    /// Rows equal in these columns are on one worker; `None` when nothing is known.
    pub partitioning: Option<Vec<usize>>,
}

/// How the rows of an edge find their worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// They stay where they are.
    Stay,
    /// By a hash of these columns; no columns means that one worker gets them all.
    Hash(Vec<usize>),
    /// Every worker gets every row.
    Broadcast,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Operator {
    /// The change log of a table or view. No inputs.
    Source {
        /// The relation that is read.
        relation: RelationId,
        /// Its name, for EXPLAIN.
        name: String,
        /// Which of its columns are read, in this order.
        columns: Vec<usize>,
    },
    /// Rows that are there from the first tick on. No inputs. Logical.
    Constant(RecordBatch),
    /// Filters and projections.
    Map(RowFunction),
    /// Inner join of two inputs.
    Join(Join),
    /// Bag union of any number of inputs.
    Union,
    /// The rows of its single input with the opposite weights: a union with it takes rows away.
    Negate,
    /// Each row once, while its weight is positive.
    Distinct,
    /// One row per group.
    Aggregate(Aggregate),
    /// The first rows of each group.
    TopK(TopK),
    /// Window functions over the rows of each group.
    Window(Window),
    /// One row for each group, made of all of its rows.
    Fold(Fold),
    /// The elements of lists in the place of the lists.
    Unnest(Unnest),
    /// The rows of the first input whose time it is, by the clock that the second input is.
    Temporal(Temporal),
    /// A recursion. Its output are the rows that leave the loop.
    LoopHead(LoopHead),
    /// The rows that a loop head sends round, after its first stage: the start of the body. Its single input is the loop head.
    LoopBody,
    /// A binding of a recursion of any form, as it was one iteration before. No inputs; what it is made of goes round.
    Variable(Variable),
    /// Rows of its single input, which stands outside, are in the loop from iteration 0 on.
    Enter,
    /// Rows of its single input leave the innermost loop; their iterations are forgotten.
    Leave,
}

/// Inner join. A row of the left and a row of the right meet where the key columns are equal; `output` sees the columns of the
/// left, then those of the right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Join {
    /// Key columns of the left input.
    pub left_keys: Vec<usize>,
    /// Key columns of the right input, of the same types. No keys: every pair meets.
    pub right_keys: Vec<usize>,
    /// Whether NULL meets NULL. If not, rows with a NULL key meet nothing.
    pub nulls_meet: bool,
    /// Residual condition and projection, over left columns, then right columns.
    pub output: RowFunction,
    /// Nobody counts what comes out: a row that came once need not come again.
    pub uncounted: bool,
}

/// Grouping. The input's first `keys` columns are the group key, the others are arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Aggregate {
    /// How many leading columns of the input make the key. 0 means one group, which is there even for empty input.
    pub keys: usize,
    /// The aggregates, one output column each, after the key columns.
    pub calls: Vec<AggregateCall>,
}

/// `ORDER BY … LIMIT`, of each group by itself. Rows that come at one place in the order are ordered by all of their columns, so that the
/// same rows are taken whatever the number of workers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopK {
    /// The columns that make the groups; none for one group of all rows.
    pub keys: Vec<usize>,
    /// What the rows of a group are ordered by.
    pub order: Vec<Sorting>,
    /// How many rows are passed over.
    pub offset: u64,
    /// How many are taken after that; `None` for all.
    pub limit: Option<u64>,
}

/// Window functions, over the same groups in the same order: each row of the input, with one column more for each function. Rows that come
/// at one place in the order are ordered by all of their columns, so that each gets the same value whatever the number of workers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The columns that make the groups; none for one group of all rows.
    pub keys: Vec<usize>,
    /// What the rows of a group are ordered by.
    pub order: Vec<Sorting>,
    /// The functions.
    pub calls: Vec<GroupCall>,
}

/// Aggregates that are worked out anew where a group is touched: one row for each group, its key and what the functions make of its rows.
/// The input's first `keys` columns are the group key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fold {
    /// How many leading columns of the input make the key. 0 means one group of all rows; of none there is no row.
    pub keys: usize,
    /// The functions.
    pub calls: Vec<GroupCall>,
}

/// A filter that compares columns of a row with the time: it lets a row through from one point in time on, until another. The time is the one
/// row of the second input, a column of microseconds since 1970 that only grows; every worker has it. While it is not known no row is let through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Temporal {
    /// The column with the first point in time at which the row is there; `None` for always.
    pub from: Option<usize>,
    /// The column with the first one at which it is not there any more; `None` for never.
    pub until: Option<usize>,
}

/// Each row once for every place of the longest of its lists, with what is at that place instead of each list: NULL where a list is shorter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unnest {
    /// The columns of lists.
    pub columns: Vec<usize>,
    /// Whether a row whose lists are all empty or NULL is there once, rather than not at all.
    pub keeps_empty: bool,
}

/// One function of the rows of a group.
#[derive(Clone, Debug)]
pub struct GroupCall {
    /// What is computed, for people. Calls over one input that read the same are the same.
    pub text: String,
    /// Computes it.
    pub function: Arc<dyn GroupFunction>,
    /// The column that it makes.
    pub field: FieldRef,
}

impl PartialEq for GroupCall {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.field) == (&other.text, &other.field)
    }
}

impl Eq for GroupCall {}

impl Hash for GroupCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.text, &self.field).hash(state);
    }
}

/// Computes something of the rows of a group.
pub trait GroupFunction: Debug + Send + Sync {
    /// A value for each row of a group, or in a [`Fold`] one for all of them. The rows are given in their order, logical, each as often as it
    /// is there.
    ///
    /// # Errors
    /// When the function fails on some row of the group.
    fn evaluate(&self, group: &RecordBatch) -> datafusion_common::Result<ArrayRef>;
}

/// A column that rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sorting {
    /// The column.
    pub column: usize,
    /// `DESC`
    pub descending: bool,
    /// `NULLS FIRST`
    pub nulls_first: bool,
}

/// One aggregate of a grouping.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AggregateCall {
    /// What is computed.
    pub function: AggregateFunction,
    /// The argument's column in the input; `None` for `count(*)`.
    pub argument: Option<usize>,
    /// Logical type of the result.
    pub result: DataType,
}

/// Aggregate functions that are maintained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Rows, or values that are not NULL.
    Count,
    /// Exact sum; NULL when there is no value.
    Sum,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Exact average; NULL when there is no value.
    Avg,
}

/// A recursion: the least collection that holds the base and everything that the body derives from it.
///
/// The head's inputs are the base and, if a join is fused, the other side of that join. What the first stage makes of the loop
/// variable either goes straight back to the head (`feedback` is `None`) or runs through body nodes that start at a
/// [`Operator::LoopBody`] node and end at the feedback node.
#[derive(Clone, Debug)]
pub struct LoopHead {
    /// The loop that this head opens.
    pub id: LoopId,
    /// The name of the recursive query, for people.
    pub name: String,
    /// Set or bag, monotone or not.
    pub kind: LoopKind,
    /// Logical schema of the loop variable.
    pub variable: SchemaRef,
    /// Columns of the loop variable by which its rows find their worker. If the loop `stays`, they are columns that a derived row
    /// takes over from the row it is derived from; else the fused join's key, else all.
    pub partition: Vec<usize>,
    /// Whether a derived row belongs to the worker that derives it, so that no rows are exchanged: the stage is the whole body and
    /// takes the columns of `partition` over. The other side of a fused join is broadcast unless the loop is divided by the join's key. Known as
    /// a decomposable recursion (Wolfson and Silberschatz, "Distributed Processing of Logic Programs", SIGMOD 1988).
    pub stays: bool,
    /// The join at the start of the body, fused with the head so that both share one row store.
    pub join: Option<FusedJoin>,
    /// What follows the join, or stands at the start of the body where there is none: over the loop variable's columns, then
    /// the other side's columns.
    pub stage: RowFunction,
    /// The node whose output goes round, exchanged by `partition`; `None` when the stage's own output does.
    pub feedback: Option<NodeId>,
    /// How often the recursion may go round. Only where iterations are kept.
    pub limit: Option<RecursionLimit>,
}

/// A binding of a recursion of any form: several references, other bindings beside it, operators that are not monotone.
///
/// The collection at iteration i is what the feedback node made of the bindings at iteration i − 1, at first nothing. Bindings of one
/// recursion have one loop; a binding that another one sees within the same iteration is read at its feedback node, not here.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The loop of the recursion.
    pub id: LoopId,
    /// The name of the binding, for people.
    pub name: String,
    /// The node that computes the binding, in the same loop.
    pub feedback: NodeId,
    /// How its rows find the worker where they go round: equal rows must meet.
    pub exchange: Exchange,
    /// How often the recursion may go round.
    pub limit: Option<RecursionLimit>,
}

/// What ends a recursion that does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecursionLimit {
    /// Bindings are worked out at most this often; at least 1.
    pub iterations: u32,
    /// Whether a recursion that has not ended then is an error, or has the result that it has then.
    pub fails: bool,
}

/// How a loop head treats its rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LoopKind {
    /// `UNION` over changing input: a set, kept with the iterations that derive each row.
    Set,
    /// `UNION` over append-only input with a monotone body: a set and nothing else.
    MonotoneSet,
    /// `UNION ALL`: a bag, kept with the iterations that derive each row.
    Bag,
    /// `USING KEY`: one row for each key, kept with the iterations that derive its candidates.
    Keyed(LoopKey),
    /// `USING KEY` over append-only input, where a better row derives better rows: the best row of each key and nothing else. It has a
    /// [`KeyWinner`] that compares. Where a row fails, that is an error while it has its key.
    MonotoneKeyed(LoopKey),
}

/// The key of a keyed recursion. Only a row that takes its key goes round.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoopKey {
    /// Its columns. The loop is divided by some of them.
    pub columns: Vec<usize>,
    /// Which of the rows that are derived for a key takes it, and the rows that had it before.
    pub winner: KeyWinner,
}

/// Which row takes a key. Of rows that are equal in this, the first by the other columns does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyWinner {
    /// One that is derived later, and is another.
    Latest,
    /// The one with the least value in this column; NULL is never less.
    Least(usize),
    /// The one with the greatest value in this column; NULL is never greater.
    Greatest(usize),
}

impl KeyWinner {
    /// The column that decides, if values do.
    #[must_use]
    pub fn column(self) -> Option<usize> {
        match self {
            Self::Latest => None,
            Self::Least(column) | Self::Greatest(column) => Some(column),
        }
    }
}

/// The join that a loop head computes itself. Its other side is the head's second input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FusedJoin {
    /// Key columns of the loop variable.
    pub variable_keys: Vec<usize>,
    /// Key columns of the other side, of the same types. No keys: every pair meets.
    pub other_keys: Vec<usize>,
    /// Whether NULL meets NULL.
    pub nulls_meet: bool,
    /// Whether the other side is append-only, so that it needs no index by row.
    pub other_append_only: bool,
}

impl Node {
    /// Whether rows on its output carry iterations, and the operator remembers them with its rows. Not where nothing in a loop is ever
    /// retracted: what is derived is derived, whenever that was.
    #[must_use]
    pub fn keeps_iterations(&self) -> bool {
        !self.scope.is_empty() && !self.properties.append_only
    }
}

impl Operator {
    /// What it is called, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Source { .. } => "Source",
            Self::Constant(_) => "Constant",
            Self::Map(_) => "Map",
            Self::Join(_) => "Join",
            Self::Union => "Union",
            Self::Negate => "Negate",
            Self::Distinct => "Distinct",
            Self::Aggregate(_) => "Aggregate",
            Self::TopK(_) => "TopK",
            Self::Window(_) => "Window",
            Self::Fold(_) => "Fold",
            Self::Unnest(_) => "Unnest",
            Self::Temporal(_) => "Temporal",
            Self::LoopHead(_) => "Loop",
            Self::LoopBody => "Loop body",
            Self::Variable(_) => "Variable",
            Self::Enter => "Enter",
            Self::Leave => "Leave",
        }
    }
}

impl StreamPlan {
    /// The node with this id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// Logical schema of the view.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.nodes[self.root].schema
    }

    /// The operator id of a node.
    ///
    /// # Panics
    /// When the plan has more than 2³² nodes.
    #[must_use]
    pub fn operator_id(node: NodeId) -> OperatorId {
        OperatorId(u32::try_from(node).expect("a plan has far fewer nodes"))
    }

    /// The sources, in order of their ids.
    pub fn sources(&self) -> impl Iterator<Item = (NodeId, RelationId)> + '_ {
        self.nodes.iter().enumerate().filter_map(|(id, node)| match &node.operator {
            Operator::Source { relation, .. } => Some((id, *relation)),
            _ => None,
        })
    }

    /// The loops with their names, each once, in the order of their nodes. A recursion of several bindings has the name of its first.
    #[must_use]
    pub fn loops(&self) -> Vec<(LoopId, &str)> {
        let mut loops: Vec<(LoopId, &str)> = Vec::new();
        for node in &self.nodes {
            let (id, name) = match &node.operator {
                Operator::LoopHead(head) => (head.id, &head.name),
                Operator::Variable(variable) => (variable.id, &variable.name),
                _ => continue,
            };
            if loops.iter().all(|(other, _)| *other != id) {
                loops.push((id, name));
            }
        }
        loops
    }

    /// The operators that keep the order of a loop, each with the number of its loop in [`Self::loops`].
    #[must_use]
    pub fn loop_keepers(&self) -> Vec<(NodeId, usize)> {
        let loops = self.loops();
        let keepers = self.nodes.iter().enumerate().filter_map(|(node, n)| match &n.operator {
            Operator::LoopHead(head) => Some((node, head.id)),
            Operator::Variable(variable) => Some((node, variable.id)),
            _ => None,
        });
        keepers.filter_map(|(node, id)| Some((node, loops.iter().position(|(other, _)| *other == id)?))).collect()
    }

    /// How many operators take the rows of a node, inside its own scope. Rows of a union are those of its inputs.
    #[must_use]
    pub fn readers_inside(&self, id: NodeId) -> usize {
        let scope = &self.node(id).scope;
        let readers = self.nodes.iter().enumerate().map(|(reader, node)| {
            let times = node.inputs.iter().filter(|(input, _)| *input == id).count();
            match &node.operator {
                Operator::Variable(variable) if variable.feedback == id => 1,
                Operator::LoopHead(head) if head.feedback == Some(id) => 1,
                _ if times == 0 => 0,
                Operator::Union if node.scope == *scope => times * self.readers_inside(reader),
                Operator::Leave => times,
                _ if node.scope == *scope => times,
                _ => 0,
            }
        });
        readers.sum()
    }

    /// The loop heads, in order of their ids.
    pub fn loop_heads(&self) -> impl Iterator<Item = (NodeId, &LoopHead)> + '_ {
        self.nodes.iter().enumerate().filter_map(|(id, node)| match &node.operator {
            Operator::LoopHead(head) => Some((id, head)),
            _ => None,
        })
    }
}
