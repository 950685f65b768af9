//! Physical deltas as segments of a store, and back. On disk text is text; hidden columns behind those of the rows carry weights,
//! iterations and epochs. They are as narrow as their values, and left out where all weights are 1, all iterations or epochs 0.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type, UInt64Type};
use refrain_checkpoint::segment::{EPOCH_COLUMN, ITERATION_COLUMN, WEIGHT_COLUMN};
use refrain_checkpoint::{Attempt, SegmentKind, SegmentRef, Store};
use refrain_state::Dictionary;
use refrain_state::codec::{decode_batch_for_disk, encode_batch};
use refrain_types::errors::Errors;
use refrain_types::{Delta, Epoch, ErrorRow, OperatorId, SqlState};

use crate::error::{Error, Result};

/// Physical rows that are to be written as one segment, each delta with the epoch of its changes where that counts.
pub(super) type Rows = Vec<(Option<Epoch>, Arc<Delta>)>;

/// Writes the rows, of a logical schema, as a segment and their errors as another; nothing is written where there is nothing. `rows` is
/// called where it does not hold up I/O or the coordinator, however long it takes.
pub(super) async fn write(
    attempt: &Attempt,
    dictionary: &Arc<Dictionary>,
    (kind, full): (SegmentKind, bool),
    schema: &SchemaRef,
    rows: impl FnOnce() -> Rows + Send + 'static,
) -> Result<(Option<SegmentRef>, Option<SegmentRef>)> {
    let (dictionary, schema) = (Arc::clone(dictionary), Arc::clone(schema));
    let batches = tokio::task::spawn_blocking(move || {
        let rows = rows();
        let hidden = Hidden::of(&rows);
        let batches = rows.iter().filter(|(_, d)| d.num_rows() > 0);
        let batches = batches.map(|(epoch, delta)| hidden.batch(&dictionary, &schema, *epoch, delta));
        let errors = rows.iter().filter(|(_, d)| !d.errors.is_empty()).map(|(epoch, delta)| errors_batch(*epoch, &delta.errors));
        Ok::<_, Error>((batches.collect::<Result<Vec<_>>>()?, errors.collect::<Result<Vec<_>>>()?))
    });
    let (batches, errors) = batches.await.map_err(|e| Error::engine(e.to_string()))??;
    let written = if batches.is_empty() { None } else { Some(attempt.write_segment(kind, full, &batches).await?) };
    let written_errors = if errors.is_empty() { None } else { Some(attempt.write_segment(kind, full, &errors).await?) };
    Ok((written, written_errors))
}

/// The types of the hidden columns of a segment, where it has them.
#[derive(Debug, Default)]
struct Hidden {
    weights: Option<DataType>,
    iterations: Option<DataType>,
    epochs: Option<DataType>,
}

impl Hidden {
    fn of(rows: &Rows) -> Self {
        let (mut lightest, mut heaviest, mut last, mut epoch) = (1, 1, 0, 0);
        for (of, delta) in rows {
            epoch = epoch.max(of.map_or(0, |e| e.0));
            for weight in delta.weights.iter().flat_map(|weights| weights.iter()) {
                (lightest, heaviest) = (*weight.min(&lightest), *weight.max(&heaviest));
            }
            last = delta.iterations.iter().flat_map(|iterations| iterations.iter()).fold(last, |last, at| *at.max(&last));
        }
        let is_small = i8::try_from(lightest).is_ok() && i8::try_from(heaviest).is_ok();
        let iterations = match last {
            0..=0xff => DataType::UInt8,
            0x100..=0xffff => DataType::UInt16,
            _ => DataType::UInt32,
        };
        Self {
            weights: ((lightest, heaviest) != (1, 1)).then_some(if is_small { DataType::Int8 } else { DataType::Int64 }),
            iterations: (last > 0).then_some(iterations),
            epochs: (epoch > 0).then_some(DataType::UInt64),
        }
    }

    fn batch(&self, dictionary: &Dictionary, schema: &SchemaRef, epoch: Option<Epoch>, delta: &Delta) -> Result<RecordBatch> {
        let rows = decode_batch_for_disk(dictionary, &delta.rows, schema);
        let mut fields = rows.schema().fields().to_vec();
        let mut columns = rows.columns().to_vec();
        let mut append = |name: &str, data_type: &Option<DataType>, column: &dyn Fn() -> ArrayRef| {
            let Some(data_type) = data_type else { return Ok(()) };
            fields.push(Arc::new(Field::new(name, data_type.clone(), false)));
            columns.push(cast(&column(), data_type).map_err(|e| Error::engine(e.to_string()))?);
            Ok::<_, Error>(())
        };
        let count = delta.num_rows();
        append(WEIGHT_COLUMN, &self.weights, &|| Arc::new(Int64Array::from_iter_values((0..count).map(|i| delta.weight(i)))))?;
        let iterations = || Arc::new(UInt32Array::from_iter_values((0..count).map(|i| delta.iteration(i)))) as ArrayRef;
        append(ITERATION_COLUMN, &self.iterations, &iterations)?;
        append(EPOCH_COLUMN, &self.epochs, &|| Arc::new(UInt64Array::from_value(epoch.map_or(0, |e| e.0), count)))?;
        assemble(fields, columns, count)
    }
}

fn errors_batch(epoch: Option<Epoch>, errors: &Errors) -> Result<RecordBatch> {
    let field = |name, data_type| Arc::new(Field::new(name, data_type, false));
    let fields = vec![
        field("operator", DataType::UInt32),
        field("code", DataType::Utf8),
        field("message", DataType::Utf8),
        field(WEIGHT_COLUMN, DataType::Int64),
        field(EPOCH_COLUMN, DataType::UInt64),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(errors.iter().map(|(e, _)| e.operator.0))),
        Arc::new(StringArray::from_iter_values(errors.iter().map(|(e, _)| e.code.as_str()))),
        Arc::new(StringArray::from_iter_values(errors.iter().map(|(e, _)| e.message.as_str()))),
        Arc::new(Int64Array::from_iter_values(errors.iter().map(|(_, w)| *w))),
        Arc::new(UInt64Array::from_value(epoch.map_or(0, |e| e.0), errors.len())),
    ];
    assemble(fields, columns, errors.len())
}

fn assemble(fields: Vec<Arc<Field>>, columns: Vec<ArrayRef>, count: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(|e| Error::engine(e.to_string()))
}

/// Reads rows back: physical deltas with the epochs under which they were written.
pub(super) async fn read(
    store: &Store,
    dictionary: &Dictionary,
    schema: &SchemaRef,
    segments: &[SegmentRef],
    used_by: &str,
) -> Result<Vec<(Epoch, Arc<Delta>)>> {
    let mut deltas = Vec::new();
    for segment in segments {
        for batch in store.read_segment(segment, used_by).await? {
            let damaged = |what: &str| Error::io(format!("segment \"{}\" of {used_by} {what}", segment.name));
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
            let physical = RecordBatch::try_new_with_options(
                wanted,
                physical.columns().to_vec(),
                &RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
            )
            .map_err(|e| damaged(&e.to_string()))?;
            let delta = Delta {
                rows: physical,
                weights: weights.map(|weights| weights.as_primitive::<Int64Type>().values().clone()),
                iterations: iterations.map(|iterations| iterations.as_primitive::<UInt32Type>().values().clone()),
                errors: Vec::new(),
            };
            let epoch = epochs.and_then(|epochs| epochs.as_primitive::<UInt64Type>().values().first().copied()).unwrap_or(0);
            deltas.push((Epoch(epoch), Arc::new(delta)));
        }
    }
    Ok(deltas)
}

/// Reads errors back.
pub(super) async fn read_errors(store: &Store, segments: &[SegmentRef], used_by: &str) -> Result<Vec<(Epoch, Errors)>> {
    let mut all = Vec::new();
    for segment in segments {
        for batch in store.read_segment(segment, used_by).await? {
            let damaged = || Error::io(format!("segment \"{}\" of {used_by} does not hold errors", segment.name));
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
            all.push((Epoch(epochs.values().first().copied().unwrap_or(0)), errors));
        }
    }
    Ok(all)
}
