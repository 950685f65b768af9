//! Snapshots as tables of DataFusion: only the columns that are read are decoded, chunk by chunk, and each row comes as often as its
//! weight says. Where a filter asks for one value of each column of an index or a key, only the rows of that key are in the table.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{MemTable, TableType, provider_as_source};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;
use refrain_sql::catalog::Relation as Entry;
use refrain_sql::{FunctionRows, GivenRows, RelationSource};
use refrain_state::Dictionary;
use refrain_state::codec::decode_column;
use refrain_types::Delta;
use refrain_types::physical::physical_schema;

use super::{Reading, execution_error, is_system};
use crate::database::Database;
use crate::engine::Shared;
use crate::error::Result;
use crate::lookup::Key;
use crate::relation::{Snapshot, without_taken_out};
use crate::system_tables;

/// Rows of a batch that is handed to DataFusion, at most.
const BATCH_ROWS: usize = 8192;

/// Rows of the statement's own, by the names of what they are given for.
pub(super) type Given = BTreeMap<&'static str, RecordBatch>;

/// Puts tables in the place of the relations of a plan.
pub(super) fn with_providers(shared: &Arc<Shared>, plan: LogicalPlan, reading: &Reading, given: &Given) -> Result<LogicalPlan> {
    let replaced = plan.transform_down_with_subqueries(|node| {
        if let LogicalPlan::Filter(filter) = &node
            && let Some(found) = found_by_key(shared, filter, reading)
        {
            return Ok(Transformed::yes(LogicalPlan::Filter(found)));
        }
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        if let Some(source) = scan.source.downcast_ref::<GivenRows>() {
            let rows = given.get(source.name).expect("what a statement binds to rows at hand is given them");
            scan.source = provider_as_source(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?));
            return Ok(Transformed::yes(LogicalPlan::TableScan(scan)));
        }
        if let Some(rows) = scan.source.downcast_ref::<FunctionRows>() {
            let (schema, rows) = (scan.source.schema(), rows.clone());
            scan.source = provider_as_source(Arc::new(FunctionTable { rows, schema }));
            return Ok(Transformed::yes(LogicalPlan::TableScan(scan)));
        }
        let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let provider: Arc<dyn TableProvider> = if is_system(source) {
            system_tables::provider(shared, &source.name)
        } else {
            let (relation, snapshot) = reading.relations.get(&source.relation).expect("what a plan reads was read");
            Arc::new(SnapshotTable::new(shared, &relation.schema, snapshot))
        };
        scan.source = provider_as_source(provider);
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    });
    Ok(replaced.map_err(execution_error)?.data)
}

/// The same filter over the rows of one key, where it asks for such: it compares them again.
fn found_by_key(shared: &Shared, filter: &Filter, reading: &Reading) -> Option<Filter> {
    let LogicalPlan::TableScan(scan) = &*filter.input else { return None };
    let source = scan.source.downcast_ref::<RelationSource>()?;
    let (relation, snapshot) = reading.relations.get(&source.relation)?;
    let database = shared.database();
    let (columns, values) = key_of(database.catalog.get(relation.id)?, &filter.predicate)?;
    let key = Key::new(relation, columns, &values, &shared.dictionary)?;
    let found = shared.lookups.find(relation, snapshot, &key);
    let mut scan = scan.clone();
    scan.source = provider_as_source(Arc::new(SnapshotTable::new(shared, &relation.schema, &found)));
    Some(Filter::try_new(filter.predicate.clone(), Arc::new(LogicalPlan::TableScan(scan))).expect("only the rows are others"))
}

/// The columns by which the rows that a predicate asks for are found, and their values, if there are such.
fn key_of<'a>(entry: &'a Entry, predicate: &'a Expr) -> Option<(&'a [usize], Vec<&'a ScalarValue>)> {
    let equal = split_conjunction(predicate).into_iter().filter_map(equality);
    let position = |name: &str| entry.columns.iter().position(|column| column.name == name);
    let equal = equal.filter_map(|(column, value)| Some((position(column)?, value))).collect::<BTreeMap<_, _>>();
    let is_given = |columns: &&[usize]| columns.iter().all(|column| equal.contains_key(column));
    let columns = entry.found_by().filter(is_given).max_by_key(|columns| columns.len())?;
    Some((columns, columns.iter().map(|column| equal[column]).collect()))
}

/// For people: of which relations a plan that is read once finds its rows by a key, and by which columns.
pub(crate) fn lookups(database: &Database, plan: &LogicalPlan) -> Vec<String> {
    let mut found = Vec::new();
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Filter(filter) = node
            && let LogicalPlan::TableScan(scan) = &*filter.input
            && let Some(source) = scan.source.downcast_ref::<RelationSource>()
            && let Some(entry) = database.catalog.get(source.relation)
            && let Some((columns, _)) = key_of(entry, &filter.predicate)
        {
            let names = columns.iter().map(|column| entry.columns[*column].name.as_str()).collect::<Vec<_>>();
            found.push(format!("Read once, rows of \"{}\" are found by ({})", entry.name, names.join(", ")));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// The column and the value of `column = value`.
fn equality(expr: &Expr) -> Option<(&str, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => {
            Some((&column.name, value))
        }
        _ => None,
    }
}

/// A snapshot as a table.
#[derive(Debug)]
pub(super) struct SnapshotTable {
    schema: SchemaRef,
    /// No weight is negative.
    chunks: Vec<Arc<Delta>>,
    dictionary: Arc<Dictionary>,
    partitions: usize,
}

impl SnapshotTable {
    /// `schema` is logical.
    pub fn new(shared: &Shared, schema: &SchemaRef, snapshot: &Snapshot) -> Self {
        let chunks = without_taken_out(&physical_schema(schema), &snapshot.chunks);
        let dictionary = Arc::clone(&shared.dictionary);
        Self { schema: Arc::clone(schema), chunks, dictionary, partitions: shared.executor.partitions() }
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&columns)?);
        let share = self.chunks.len().div_ceil(self.partitions).max(1);
        let part = |chunks: &[Arc<Delta>]| -> Arc<dyn PartitionStream> {
            let dictionary = Arc::clone(&self.dictionary);
            Arc::new(Part { schema: Arc::clone(&schema), columns: columns.clone(), chunks: chunks.to_vec(), dictionary })
        };
        let mut parts = self.chunks.chunks(share).map(part).collect::<Vec<_>>();
        if parts.is_empty() {
            parts.push(part(&[]));
        }
        Ok(Arc::new(StreamingTableExec::try_new(schema, parts, None, vec![], false, limit)?))
    }
}

/// Some chunks of a snapshot.
#[derive(Debug)]
struct Part {
    /// Of the columns that are read.
    schema: SchemaRef,
    columns: Vec<usize>,
    chunks: Vec<Arc<Delta>>,
    dictionary: Arc<Dictionary>,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, columns, dictionary) = (Arc::clone(&self.schema), self.columns.clone(), Arc::clone(&self.dictionary));
        let slices = self.chunks.clone().into_iter().flat_map(slices);
        let batches = slices.flat_map(move |slice| {
            let rows = decode(&dictionary, &schema, &columns, &slice);
            Expanded { rows, slice, row: 0, repeated: 0 }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(batches.map(Ok))))
    }
}

/// A function in FROM as a table: its rows are made as they are read.
#[derive(Clone, Debug)]
struct FunctionTable {
    rows: FunctionRows,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for FunctionTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let part: Arc<dyn PartitionStream> = Arc::new(self.clone());
        Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(&self.schema), vec![part], projection, vec![], false, limit)?))
    }
}

impl PartitionStream for FunctionTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.rows.batches().unwrap_or_else(|error| Box::new(iter::once(Err(error))));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(batches)))
    }
}

/// A chunk in pieces of [`BATCH_ROWS`].
fn slices(chunk: Arc<Delta>) -> impl Iterator<Item = Delta> {
    (0..chunk.num_rows()).step_by(BATCH_ROWS).map(move |offset| chunk.slice(offset, BATCH_ROWS.min(chunk.num_rows() - offset)))
}

fn decode(dictionary: &Dictionary, schema: &SchemaRef, columns: &[usize], slice: &Delta) -> RecordBatch {
    let decoded = columns.iter().zip(schema.fields()).map(|(column, field)| {
        let physical: &ArrayRef = slice.rows.column(*column);
        decode_column(dictionary, physical, field.data_type())
    });
    let options = RecordBatchOptions::new().with_row_count(Some(slice.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), decoded.collect(), &options).expect("rows of a relation have its schema")
}

/// The rows of a batch, each as often as its weight says, in batches of [`BATCH_ROWS`].
struct Expanded {
    rows: RecordBatch,
    slice: Delta,
    /// The row that comes next, and how often it has come.
    row: usize,
    repeated: u64,
}

impl Iterator for Expanded {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        let rows = self.slice.num_rows();
        if self.row >= rows {
            return None;
        }
        if self.slice.weights.as_ref().is_none_or(|w| w.iter().all(|w| *w == 1)) {
            self.row = rows;
            return Some(self.rows.clone());
        }
        let mut indices = Vec::with_capacity(BATCH_ROWS);
        while self.row < rows && indices.len() < BATCH_ROWS {
            let weight = u64::try_from(self.slice.weight(self.row)).expect("no weight is negative after consolidation");
            let room = BATCH_ROWS - indices.len();
            let count = usize::try_from(weight - self.repeated).map_or(room, |left| left.min(room));
            indices.extend(std::iter::repeat_n(self.row as u64, count));
            self.repeated += count as u64;
            if self.repeated == weight {
                (self.row, self.repeated) = (self.row + 1, 0);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
        let indices = UInt64Array::from(indices);
        let columns = self.rows.columns().iter().map(|c| take(c, &indices, None).expect("the indices lie in the batch"));
        Some(RecordBatch::try_new_with_options(self.rows.schema(), columns.collect(), &options).expect("the schema is the same"))
    }
}
