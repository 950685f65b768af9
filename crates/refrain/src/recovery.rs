//! What is done when a store is opened: the newest checkpoint is restored, then the input log after it is carried out again.
//!
//! A record of the log does what its statement did, through the same functions, without being logged again.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use refrain_checkpoint::segment::WEIGHT_COLUMN;
use refrain_checkpoint::{InputChange, Manifest};
use refrain_state::codec::encode_batch;
use refrain_types::{Delta, Epoch, RelationId, Weight};

use crate::database::Database;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::progress::ProgressCallback;
use crate::relation::publish_together;
use crate::statements::ddl;

/// Brings an engine that has just been started to where the store is.
pub(crate) async fn recover(
    shared: &Arc<Shared>,
    manifest: Option<Manifest>,
    next_epoch: Epoch,
    progress: Option<ProgressCallback>,
) -> Result<()> {
    let captured = match manifest {
        Some(manifest) => crate::runtime::restore(shared, manifest, progress).await?,
        None => Epoch(0),
    };
    shared.visible.advance(captured);
    let mut records = shared.store.read_input(captured, next_epoch);
    // What a statement wrote to several tables are several records of one epoch.
    let mut together: Option<(Epoch, Vec<_>)> = None;
    while let Some(record) = records.next().await? {
        if let Some((epoch, changes)) = together.take_if(|(epoch, _)| *epoch != record.epoch) {
            publish_together(epoch, changes);
        }
        match record.change {
            InputChange::Ddl(json) => ddl::replay(shared, &json, record.epoch)?,
            InputChange::Rows { relation, batches } => {
                let database = shared.database();
                let table = database.relation(relation).map_err(|_| {
                    Error::io(format!("the input log changes relation {relation} at epoch {}, which does not exist", record.epoch))
                })?;
                let batches = batches.iter().map(weighted).collect::<Result<Vec<_>>>()?;
                for (rows, _) in &batches {
                    pass_numbers(&database, relation, rows);
                }
                let deltas = batches.into_iter().map(|(rows, weights)| delta(shared, &rows, weights)).collect();
                together.get_or_insert_with(|| (record.epoch, Vec::new())).1.push((Arc::clone(table), deltas));
            }
        }
    }
    if let Some((epoch, changes)) = together {
        publish_together(epoch, changes);
    }
    // Epochs that fences took change nothing.
    shared.visible.advance(Epoch(next_epoch.0.saturating_sub(1)));
    shared.runtime.pump();
    Ok(())
}

/// Logged rows, and their weights where they are not all 1.
fn weighted(batch: &RecordBatch) -> Result<(RecordBatch, Option<Vec<Weight>>)> {
    let weights = batch.schema().index_of(WEIGHT_COLUMN).ok();
    let columns = (0..batch.num_columns()).filter(|i| Some(*i) != weights).collect::<Vec<_>>();
    let rows = batch.project(&columns).map_err(|e| Error::io(e.to_string()))?;
    match weights.map(|i| batch.column(i).as_primitive_opt::<Int64Type>()) {
        None => Ok((rows, None)),
        Some(Some(weights)) => Ok((rows, Some(weights.values().to_vec()))),
        Some(None) => Err(Error::io("the weights of a record of the input log are not integers")),
    }
}

fn delta(shared: &Shared, rows: &RecordBatch, weights: Option<Vec<Weight>>) -> Arc<Delta> {
    let physical = encode_batch(&shared.dictionary, rows);
    Arc::new(match weights {
        None => Delta::insertions(physical),
        Some(weights) => Delta::weighted(physical, weights),
    })
}

/// The numbers that rows of a table have are given to no other row.
fn pass_numbers(database: &Database, table: RelationId, rows: &RecordBatch) {
    let columns = database.catalog.get(table).map_or(&[][..], |entry| &entry.columns);
    for (column, values) in columns.iter().zip(rows.columns()) {
        if let Some(identity) = &column.identity {
            let numbers = cast(values, &DataType::Int64).expect("an identity column has whole numbers");
            identity.pass(numbers.as_primitive::<Int64Type>().iter().flatten());
        }
    }
}
