//! What is done when a store is opened: the newest checkpoint is restored, then the input log after it is carried out again.
//!
//! A record of the log does what its statement did, through the same functions, without being logged again.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use refrain_checkpoint::segment::WEIGHT_COLUMN;
use refrain_checkpoint::{InputChange, Manifest};
use refrain_state::codec::encode_batch;
use refrain_types::{Delta, Epoch};

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
                let deltas = batches.iter().map(|batch| delta(shared, batch)).collect::<Result<Vec<_>>>()?;
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

/// Logged rows, physical, with their weights.
fn delta(shared: &Shared, batch: &RecordBatch) -> Result<Arc<Delta>> {
    let weights = batch.schema().index_of(WEIGHT_COLUMN).ok();
    let columns = (0..batch.num_columns()).filter(|i| Some(*i) != weights).collect::<Vec<_>>();
    let rows = batch.project(&columns).map_err(|e| Error::io(e.to_string()))?;
    let physical = encode_batch(&shared.dictionary, &rows);
    Ok(Arc::new(match weights.map(|i| batch.column(i)) {
        None => Delta::insertions(physical),
        Some(weights) if *weights.data_type() == arrow::datatypes::DataType::Int64 => {
            Delta::weighted(physical, weights.as_primitive::<Int64Type>().values().to_vec())
        }
        Some(_) => return Err(Error::io("the weights of a record of the input log are not integers")),
    }))
}
