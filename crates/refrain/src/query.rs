//! One-shot queries: a bound plan, over settled snapshots of what it reads, executed by DataFusion.
//!
//! ```text
//! optimize ─▶ what does it read? ─▶ read all of it at one epoch (reading) ─▶ run its recursions (recursion) ─▶ execute (executor)
//! ```
//! Everything is read at one epoch. Errors beside the data of what is read are the statement's error.

mod executor;
mod padding;
mod reading;
mod recursion;
mod scan;
mod why;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use refrain_dataflow::expression::evaluation_error;
use refrain_sql::{Bound, RelationKind, RelationSource};
use refrain_types::{Epoch, RelationId};

pub(crate) use executor::Executor;
pub(crate) use padding::padded;
pub(crate) use reading::{Reading, read_settled};
pub(crate) use scan::lookups;
pub(crate) use why::{Fact, derivation};

use scan::Given;

use crate::database::Database;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::planning;
use crate::relation::Relation;
use crate::session::Notice;
use crate::transaction::Uncommitted;

/// How relations are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// Wait until everything is settled at what was acknowledged before.
    Settled,
    /// Cut the ticks of views and read what they have.
    Eager,
    /// At an epoch of the past.
    AsOf(Epoch),
}

/// Who reads.
pub(crate) trait Reader: Sync {
    /// Something that the user should know.
    fn notice(&self, notice: Notice);

    /// What it alone sees of tables.
    fn uncommitted(&self) -> Uncommitted;
}

/// A query that is ready to read.
pub(crate) struct Prepared {
    plan: LogicalPlan,
    schema: SchemaRef,
    /// Tables and maintained views that it reads.
    pub reads: BTreeMap<RelationId, Arc<Relation>>,
    given: Given,
    database: Arc<Database>,
}

/// The rows of a query and the epoch at which they were read.
pub(crate) struct Rows {
    /// The schema as the user sees it.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// The epoch.
    pub epoch: Epoch,
}

impl Prepared {
    /// Optimizes a bound query.
    pub fn new(database: &Arc<Database>, bound: Bound) -> Result<Self> {
        let plan = planning::one_shot(database, bound.plan)?;
        let reads = relations_of(database, &plan)?;
        Ok(Self { plan, schema: bound.schema, reads, given: Given::new(), database: Arc::clone(database) })
    }

    /// The same over these rows, where it is bound to such that the statement has at hand.
    pub fn given(mut self, name: &'static str, rows: RecordBatch) -> Self {
        self.given.insert(name, rows);
        self
    }

    /// Whether it reads a maintained view, so that it may have to wait.
    pub fn reads_views(&self) -> bool {
        self.reads.values().any(|r| r.kind == crate::relation::RelationKind::View)
    }

    /// Reads and executes.
    pub async fn run(self, shared: &Arc<Shared>, mode: ReadMode, reader: &dyn Reader) -> Result<Rows> {
        let reading = match mode {
            ReadMode::Settled => read_settled(shared, &self.reads, reader).await?,
            ReadMode::Eager => reading::read_eager(shared, &self.reads, reader).await?,
            ReadMode::AsOf(epoch) => reading::read_as_of(shared, &self.reads, epoch, reader).await?,
        };
        self.run_over(shared, &reading).await
    }

    /// Executes over what has been read.
    pub async fn run_over(self, shared: &Arc<Shared>, reading: &Reading) -> Result<Rows> {
        reading.check_errors()?;
        let (plan, _) = recursion::run_recursions(shared, &self.database, self.plan, reading).await?;
        let plan = scan::with_providers(shared, plan, reading, &self.given)?;
        let batches = shared.executor.execute(&plan).await?;
        let schema = output_schema(&self.schema);
        let batches = batches.into_iter().filter(|b| b.num_rows() > 0).map(|batch| with_schema(&schema, &batch));
        Ok(Rows { batches: batches.collect::<Result<_>>()?, schema, epoch: reading.epoch })
    }
}

/// The tables and maintained views that a plan reads.
pub(crate) fn relations_of(database: &Database, plan: &LogicalPlan) -> Result<BTreeMap<RelationId, Arc<Relation>>> {
    let mut reads = BTreeMap::new();
    let found = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<RelationSource>()
            && let Some(relation) = database.relations.get(&source.relation)
        {
            reads.insert(source.relation, Arc::clone(relation));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found.map_err(execution_error)?;
    Ok(reads)
}

/// What DataFusion says of a plan of its own that it cannot run.
const UNORDERED_PARTITION: &str = "Expects PARTITION BY expression to be ordered";

/// An error of DataFusion, in PostgreSQL's words.
pub(crate) fn execution_error(error: DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::External(_) => refrain_sql::bind::errors::from_datafusion(error).into(),
        DataFusionError::NotImplemented(what) => Error::unsupported(what.lines().next().unwrap_or_default()),
        // Of a partition by a column that is constant.
        DataFusionError::Execution(what) | DataFusionError::Internal(what) if what.contains(UNORDERED_PARTITION) => {
            Error::unsupported("PARTITION BY a column that is constant is not supported in a query that is read once")
                .with_hint("Leave the column out of PARTITION BY, or make the query a materialized view.")
        }
        _ => evaluation_error(&error).into(),
    }
}

/// Whether a source is a table that the engine makes up.
fn is_system(source: &RelationSource) -> bool {
    source.kind == RelationKind::System
}

/// The columns as the user sees them. DataFusion does not always know that a column has no NULL where the binder does, or the other
/// way round; the rows tell.
fn output_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| Field::clone(f).with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn with_schema(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|e| Error::engine(format!("a query returned columns of other types than it was bound to: {e}")))
}
