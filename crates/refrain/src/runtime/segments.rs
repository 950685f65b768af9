//! Physical deltas as segments of a store, and back. On disk text is text; hidden columns behind those of the rows carry weights,
//! iterations and epochs. They are as narrow as their values, and left out where all weights are 1, all iterations or epochs 0.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, UInt32Type, UInt64Type};
use futures::future::try_join_all;
use refrain_checkpoint::segment::{EPOCH_COLUMN, ITERATION_COLUMN, WEIGHT_COLUMN};
use refrain_checkpoint::{Attempt, Contents, SegmentKind, SegmentRef, Store};
use refrain_dataflow::loop_log::Piece;
use refrain_state::Dictionary;
use refrain_state::codec::encode_batch;
use refrain_types::errors::Errors;
use refrain_types::{Delta, Epoch, ErrorRow, OperatorId, SqlState};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use super::merges::{Merges, Part};
use crate::error::{Error, Result};
use crate::progress::{Progress, ProgressCallback};
use crate::relation::consolidate_by_iteration;

mod encoded;

use encoded::{Both, Encoded, Encoding};

/// Physical rows that are to be written as one segment, each delta with the epoch of its changes where that counts.
pub(super) type Rows = Vec<(Option<Epoch>, Arc<Delta>)>;

/// Rows that are to be written, however many: it says some at a time, and is asked where that holds up neither I/O nor the coordinator.
pub(super) type Source = Box<dyn FnOnce(&mut dyn FnMut(Option<Epoch>, Piece)) -> Result<()> + Send>;

/// Segments of one part of a state, or of one relation.
#[derive(Clone, Debug, Default)]
pub(super) struct Segments {
    pub rows: Vec<SegmentRef>,
    pub errors: Vec<SegmentRef>,
}

/// Where to write.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub attempt: &'a Attempt,
    pub dictionary: &'a Arc<Dictionary>,
    pub merges: &'a Merges,
}

/// What is to be written, and how.
#[derive(Clone, Copy)]
pub(super) struct Writing<'a> {
    pub target: Target<'a>,
    /// Logical schema of the rows.
    pub schema: &'a SchemaRef,
    /// For error messages.
    pub used_by: &'a str,
}

/// A source of rows that are there.
pub(super) fn source(rows: Rows) -> Source {
    Box::new(move |each| {
        rows.into_iter().for_each(|(epoch, delta)| each(epoch, delta.into()));
        Ok(())
    })
}

impl Writing<'_> {
    /// Writes rows, and their errors, as segments; none where there is nothing. `full`: they are all that there are.
    pub async fn write(self, kind: SegmentKind, (full, errors_full): (bool, bool), rows: Source) -> Result<Segments> {
        let (attempt, mut written) = (self.target.attempt, Segments::default());
        let encoding = Encoding { kind, dictionary: Arc::clone(self.target.dictionary), schema: Arc::clone(self.schema) };
        let mut encoded = Encoded::of(self.store(), encoding, rows);
        while let Some(next) = encoded.next().await {
            let Both { rows, errors } = next?;
            for (segment, full, all) in [(rows, full, &mut written.rows), (errors, errors_full, &mut written.errors)] {
                let Some(segment) = segment else { continue };
                let continues = !all.is_empty();
                all.push(SegmentRef { continues, ..attempt.write_segment(segment, full).await? });
            }
        }
        Ok(written)
    }

    /// Adds changes to what is in segments already, and asks for those that have become many to be merged.
    pub async fn extend(self, before: Segments, rows: Source) -> Result<Segments> {
        let Segments { rows: mut old, errors: mut old_errors } = before;
        let Target { attempt, merges, .. } = self.target;
        merges.apply(&mut old, attempt);
        merges.apply(&mut old_errors, attempt);
        let written = self.write(SegmentKind::State, (old.is_empty(), old_errors.is_empty()), rows).await?;
        for (part, all, written) in [(Part::Rows, &mut old, written.rows), (Part::Errors, &mut old_errors, written.errors)] {
            if !written.is_empty() {
                all.extend(written);
                merges.ask(part, all, self.schema, self.used_by);
            }
        }
        Ok(Segments { rows: old, errors: old_errors })
    }

    fn store(&self) -> &Store {
        self.target.attempt.store()
    }
}

/// What some deltas add up to. Where no row is taken back, that is all of them.
pub(super) fn added_up(physical: &SchemaRef, pieces: &[Piece]) -> Result<Vec<Piece>> {
    let deltas = pieces.iter().map(|piece| piece.read().map_err(cannot_read)).collect::<Result<Vec<_>>>()?;
    if deltas.iter().all(|delta| delta.weights.is_none() && delta.errors.is_empty()) {
        return Ok(deltas.into_iter().map(Piece::from).collect());
    }
    Ok(consolidate_by_iteration(physical, &deltas).into_iter().map(|delta| Arc::new(delta).into()).collect())
}

fn cannot_read(error: io::Error) -> Error {
    Error::io(format!("a temporary file cannot be read: {error}"))
}

/// Does work that takes its time on a thread of its own, unless it is decided elsewhere which thread runs.
pub(super) async fn aside<T: Send + 'static>(store: &Store, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if store.environment().turns().is_some() {
        return work();
    }
    ended(tokio::task::spawn_blocking(work).await)?
}

/// What became of work on a thread of its own.
fn ended<T>(work: std::result::Result<T, JoinError>) -> Result<T> {
    work.map_err(|failed| match failed.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Error::engine("the engine is closed"),
    })
}

/// So many segments are read and decoded at once: reading waits for the store, decoding takes a processor.
pub(super) const SEGMENTS_AT_ONCE: usize = 8;

/// Reads segments of a store back, several at once.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    store: &'a Store,
    dictionary: &'a Arc<Dictionary>,
    at_once: Semaphore,
    progress: Option<ProgressCallback>,
    /// Bytes and rows that are read, and the bytes of all that is to be read.
    read: Mutex<(u64, u64)>,
    total: u64,
}

impl<'a> Reading<'a> {
    /// Reads without saying so.
    pub fn of(store: &'a Store, dictionary: &'a Arc<Dictionary>) -> Self {
        Self { store, dictionary, at_once: Semaphore::new(SEGMENTS_AT_ONCE), progress: None, read: Mutex::default(), total: 0 }
    }

    /// Reads all that a checkpoint has but loop logs, and says how far it is.
    pub fn of_checkpoint(
        store: &'a Store,
        dictionary: &'a Arc<Dictionary>,
        all: &Contents,
        progress: Option<ProgressCallback>,
    ) -> Self {
        let bytes = all.segments().iter().map(|segment_use| segment_use.segment.bytes).sum::<u64>();
        let logs = all.dataflows.iter().flat_map(|dataflow| &dataflow.loops).flat_map(|entry| &entry.log);
        let total = bytes - logs.map(|segment| segment.bytes).sum::<u64>();
        Self { progress, total, ..Self::of(store, dictionary) }
    }

    /// Physical deltas in the order in which they were written, with their epochs.
    pub async fn rows(&self, schema: &SchemaRef, segments: &[SegmentRef], used_by: &str) -> Result<Vec<(Epoch, Arc<Delta>)>> {
        self.all(segments, used_by, |batches, whose| {
            let (dictionary, schema) = (Arc::clone(self.dictionary), Arc::clone(schema));
            move || batches.iter().map(|batch| of_disk(&dictionary, &schema, batch, &whose)).collect()
        })
        .await
    }

    /// Errors in the order in which they were written, with their epochs.
    pub async fn errors(&self, segments: &[SegmentRef], used_by: &str) -> Result<Vec<(Epoch, Errors)>> {
        self.all(segments, used_by, |batches, whose| move || batches.iter().map(|batch| errors_of_disk(batch, &whose)).collect())
            .await
    }

    /// The same without their epochs, each segment's as a delta without rows.
    pub async fn errors_as_deltas(&self, schema: &SchemaRef, segments: &[SegmentRef], used_by: &str) -> Result<Vec<Piece>> {
        let physical = refrain_types::physical::physical_schema(schema);
        let read = self.errors(segments, used_by).await?;
        Ok(read.into_iter().map(|(_, errors)| Arc::new(Delta::of_errors(Arc::clone(&physical), errors)).into()).collect())
    }

    /// What `decode` makes of the batches of each segment.
    async fn all<T: Send + 'static, D: FnOnce() -> Result<Vec<T>> + Send + 'static>(
        &self,
        segments: &[SegmentRef],
        used_by: &str,
        decode: impl Fn(Vec<RecordBatch>, String) -> D,
    ) -> Result<Vec<T>> {
        let decode = &decode;
        let all = segments.iter().map(|segment| async move {
            let _turn = self.at_once.acquire().await;
            let batches = self.store.read_segment(segment, used_by).await?;
            let decoded = aside(self.store, decode(batches, format!("segment \"{}\" of {used_by}", segment.name))).await?;
            self.report(segment);
            Ok::<_, Error>(decoded)
        });
        Ok(try_join_all(all).await?.into_iter().flatten().collect())
    }

    fn report(&self, segment: &SegmentRef) {
        let Some(progress) = &self.progress else { return };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = (read.0 + segment.bytes, read.1 + segment.rows);
        progress.report(Progress::new(read.0, self.total, read.1));
    }
}

pub(super) fn of_disk(
    dictionary: &Dictionary,
    schema: &SchemaRef,
    batch: &RecordBatch,
    whose: &str,
) -> Result<(Epoch, Arc<Delta>)> {
    let damaged = |what: &str| Error::io(format!("{whose} {what}"));
    let width = schema.fields().len();
    if batch.num_columns() < width {
        return Err(damaged(&format!("has {} columns where {width} are expected", batch.num_columns())));
    }
    let found = batch.schema();
    let hidden = |name: &str, data_type: DataType| {
        let behind = found.fields().iter().zip(batch.columns()).skip(width).find(|(field, _)| field.name() == name);
        behind.map(|(_, column)| cast(column, &data_type)).transpose().map_err(|e| damaged(&e.to_string()))
    };
    let weights = hidden(WEIGHT_COLUMN, DataType::Int64)?;
    let iterations = hidden(ITERATION_COLUMN, DataType::UInt32)?;
    let epochs = hidden(EPOCH_COLUMN, DataType::UInt64)?;
    let rows = batch.project(&(0..width).collect::<Vec<_>>()).map_err(|e| damaged(&e.to_string()))?;
    let physical = encode_batch(dictionary, &rows);
    let wanted = refrain_types::physical::physical_schema(schema);
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let physical = RecordBatch::try_new_with_options(wanted, physical.columns().to_vec(), &options);
    let delta = Delta {
        rows: physical.map_err(|e| damaged(&e.to_string()))?,
        weights: weights.map(|weights| weights.as_primitive::<Int64Type>().values().clone()),
        iterations: iterations.map(|iterations| iterations.as_primitive::<UInt32Type>().values().clone()),
        errors: Vec::new(),
    };
    let epoch = epochs.and_then(|epochs| epochs.as_primitive::<UInt64Type>().values().first().copied()).unwrap_or(0);
    Ok((Epoch(epoch), Arc::new(delta)))
}

fn errors_of_disk(batch: &RecordBatch, whose: &str) -> Result<(Epoch, Errors)> {
    let damaged = || Error::io(format!("{whose} does not hold errors"));
    let [operator, code, message, weight, epoch] = batch.columns() else { return Err(damaged()) };
    let operators = operator.as_primitive_opt::<UInt32Type>().ok_or_else(damaged)?;
    let codes = code.as_string_opt::<i32>().ok_or_else(damaged)?;
    let messages = message.as_string_opt::<i32>().ok_or_else(damaged)?;
    let weights = weight.as_primitive_opt::<Int64Type>().ok_or_else(damaged)?;
    let epochs = epoch.as_primitive_opt::<UInt64Type>().ok_or_else(damaged)?;
    let mut errors = Errors::new();
    for i in 0..batch.num_rows() {
        let error = ErrorRow {
            operator: OperatorId(operators.value(i)),
            code: SqlState::parse(codes.value(i)).ok_or_else(damaged)?,
            message: messages.value(i).to_owned(),
        };
        errors.push((error, weights.value(i)));
    }
    Ok((Epoch(epochs.values().first().copied().unwrap_or(0)), errors))
}

#[cfg(test)]
mod tests;
