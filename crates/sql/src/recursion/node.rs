//! The node that stands for a recursion in a logical plan.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::{DFSchema, DFSchemaRef, Result as DataFusionResult, plan_err};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::bind::errors::from_datafusion;
use crate::error::Result;
use crate::parser::mutually::Limit;

/// `USING KEY`: one row for each key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecursionKey {
    /// The columns of the key.
    pub columns: Vec<usize>,
    /// Which row a key has.
    pub winner: KeyWinner,
}

/// Which of the rows that are derived for a key it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyWinner {
    /// The one that was derived last.
    Latest,
    /// The one with the least value in this column.
    Least(usize),
    /// The one with the greatest value in this column.
    Greatest(usize),
}

/// A recursive query: the least collection that holds the base and whatever the step derives from it.
///
/// Its inputs are the base and the step; the step scans a [`WorkTable`](crate::source::WorkTable) with this node's id, once. Both have the
/// node's columns, by position. Optimizer rules work inside the inputs; nothing is pushed into them, and no column is pruned.
#[derive(Clone, Debug)]
pub struct RecursionNode {
    /// Which recursion; the same number is on the work table. Unique in a statement; copies of one recursion share it.
    pub id: usize,
    /// The number that it had when it was made. A copy that begins with fewer rows has another number and keeps this.
    pub original: usize,
    /// The name of the recursive query.
    pub name: String,
    /// `UNION`, not `UNION ALL`.
    pub distinct: bool,
    /// `USING KEY`, which goes with `UNION`.
    pub key: Option<RecursionKey>,
    /// How often it may go round.
    pub limit: Option<Limit>,
    /// The rows to begin with.
    pub base: LogicalPlan,
    /// The rows that follow from rows.
    pub step: LogicalPlan,
    schema: DFSchemaRef,
}

/// A recursive query's columns and its two terms.
pub(crate) struct Terms {
    pub variable: SchemaRef,
    pub base: LogicalPlan,
    pub step: LogicalPlan,
}

/// What is said of a recursion beside its terms.
pub(crate) struct Form {
    pub distinct: bool,
    pub key: Option<RecursionKey>,
    pub limit: Option<Limit>,
}

impl RecursionNode {
    pub(crate) fn new(
        id: usize,
        name: String,
        Form { distinct, key, limit }: Form,
        Terms { variable, base, step }: Terms,
    ) -> Result<Self> {
        let schema = DFSchema::try_from(Schema::clone(&variable)).map_err(from_datafusion)?;
        Ok(Self { id, original: id, name, distinct, key, limit, base, step, schema: Arc::new(schema) })
    }

    /// The same recursion with other terms, whose work table has this number.
    pub(crate) fn with_terms(&self, id: usize, base: LogicalPlan, step: LogicalPlan) -> Self {
        Self { id, base, step, ..self.clone() }
    }

    /// The columns.
    #[must_use]
    pub fn variable(&self) -> &SchemaRef {
        self.schema.inner()
    }

    /// The node of a plan's root, if it is a recursion.
    #[must_use]
    pub fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl UserDefinedLogicalNodeCore for RecursionNode {
    fn name(&self) -> &'static str {
        "Recursion"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.base, &self.step]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_some() { " USING KEY" } else { "" };
        write!(f, "Recursion: {}{key} {}", self.name, if self.distinct { "UNION" } else { "UNION ALL" })
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        let [base, step] = <[LogicalPlan; 2]>::try_from(inputs).or_else(|_| plan_err!("a recursion has two inputs"))?;
        if !exprs.is_empty() {
            return plan_err!("a recursion has no expressions");
        }
        Ok(Self { base, step, ..self.clone() })
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let all = (0..self.schema.fields().len()).collect::<Vec<_>>();
        Some(vec![all.clone(), all])
    }
}

impl PartialEq for RecursionNode {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.distinct, &self.key, self.limit) == (other.id, other.distinct, &other.key, other.limit)
            && self.base == other.base
            && self.step == other.step
    }
}

impl Eq for RecursionNode {}

impl Hash for RecursionNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.id, self.distinct, &self.key, self.limit).hash(state);
        self.base.hash(state);
        self.step.hash(state);
    }
}

impl PartialOrd for RecursionNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other { Some(Ordering::Equal) } else { self.id.partial_cmp(&other.id).filter(|o| o.is_ne()) }
    }
}
