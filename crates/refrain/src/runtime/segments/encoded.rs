//! Rows as they come, encoded as segments on a thread of its own, one after the other.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use refrain_checkpoint::segment::{EPOCH_COLUMN, ITERATION_COLUMN, WEIGHT_COLUMN};
use refrain_checkpoint::{EncodedSegment, SegmentKind, Store};
use refrain_state::Dictionary;
use refrain_state::codec::{decode_batch_for_disk, is_text};
use refrain_types::errors::Errors;
use refrain_types::{Delta, Epoch, ErrorRow, Iteration, Weight};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Source, cannot_read, ended};
use crate::error::{Error, Result};

/// Rows of a segment are not more bytes, unless one row is: so they are in memory a few at a time, however many there are.
const SEGMENT_BYTES: usize = if cfg!(test) { 1 << 10 } else { 1 << 24 };
/// Rows that are looked up at once, before it is known how long texts are, and at most.
const ROWS_AT_ONCE: usize = if cfg!(test) { 125 } else { 1 << 16 };
const ROWS_AT_ONCE_MAX: usize = if cfg!(test) { 500 } else { 1 << 21 };

/// How rows become segments.
pub(super) struct Encoding {
    pub kind: SegmentKind,
    pub dictionary: Arc<Dictionary>,
    pub schema: SchemaRef,
}

/// A segment of rows and one of errors, as far as there are such.
#[derive(Default)]
pub(super) struct Both {
    pub rows: Option<EncodedSegment>,
    pub errors: Option<EncodedSegment>,
}

impl Encoding {
    fn encode(&self, slices: &[Slice]) -> Result<Both> {
        let hidden = Hidden::of(slices);
        let batches = slices.iter().filter(|slice| slice.rows.num_rows() > 0).map(|slice| hidden.batch(slice));
        let with_errors = slices.iter().filter(|slice| !slice.delta.errors.is_empty());
        let errors = with_errors.map(|slice| errors_batch(slice.epoch, &slice.delta.errors));
        Ok(Both { rows: self.segment(batches)?, errors: self.segment(errors)? })
    }

    fn segment(&self, batches: impl Iterator<Item = Result<RecordBatch>>) -> Result<Option<EncodedSegment>> {
        let batches = batches.collect::<Result<Vec<_>>>()?;
        Ok(if batches.is_empty() { None } else { Some(EncodedSegment::of(self.kind, &batches)?) })
    }
}

/// The rows of a source as segments, one after the other.
pub(super) enum Encoded {
    /// Where it is decided elsewhere which thread runs.
    Known(std::vec::IntoIter<Result<Both>>),
    /// From a thread of its own, which waits until they are taken: one, since workers have the other processors.
    Coming(mpsc::Receiver<Result<Both>>, Option<JoinHandle<()>>),
}

impl Encoded {
    pub fn of(store: &Store, encoding: Encoding, source: Source) -> Self {
        if store.environment().turns().is_some() {
            let mut all = Vec::new();
            encode_all(&encoding, source, &mut |encoded| {
                all.push(encoded);
                true
            });
            return Self::Known(all.into_iter());
        }
        let (sender, receiver) = mpsc::channel(1);
        let hand_over = move |encoded| sender.blocking_send(encoded).is_ok();
        Self::Coming(receiver, Some(tokio::task::spawn_blocking(move || encode_all(&encoding, source, &mut { hand_over }))))
    }

    pub async fn next(&mut self) -> Option<Result<Both>> {
        match self {
            Self::Known(encoded) => encoded.next(),
            Self::Coming(receiver, encoding) => {
                let encoded = receiver.recv().await;
                match encoding.take_if(|_| encoded.is_none()) {
                    Some(encoding) => ended(encoding.await).err().map(Err),
                    None => encoded,
                }
            }
        }
    }
}

/// Rows that have room in a segment.
struct Slice {
    epoch: Option<Epoch>,
    delta: Arc<Delta>,
    /// Those of the delta, as they are on disk.
    rows: RecordBatch,
    bytes: usize,
}

/// Hands over what a source says as segments, as long as `hand_over` says that they are wanted.
fn encode_all(encoding: &Encoding, source: Source, hand_over: &mut dyn FnMut(Result<Both>) -> bool) {
    let mut encoder = Encoder::new(encoding, hand_over);
    let all_said = source(&mut |epoch, piece| {
        if encoder.is_wanted {
            match piece.read() {
                Ok(delta) => encoder.take(epoch, delta),
                Err(e) => encoder.hand_over(Err(cannot_read(e))),
            }
        }
    });
    match all_said {
        Ok(()) => encoder.finish(),
        Err(error) => encoder.hand_over(Err(error)),
    }
}

/// Rows on their way into segments.
struct Encoder<'a> {
    encoding: &'a Encoding,
    hand_over: &'a mut dyn FnMut(Result<Both>) -> bool,
    is_wanted: bool,
    /// Rows with text, which are looked up together: so each text is once in what is written, not once in each delta.
    gathered: Vec<Arc<Delta>>,
    gathered_epoch: Option<Epoch>,
    gathered_rows: usize,
    /// So many are looked up at once: as many as have room in a segment, by the texts so far.
    rows_at_once: usize,
    /// The next segment.
    slices: Vec<Slice>,
    bytes: usize,
}

impl<'a> Encoder<'a> {
    fn new(encoding: &'a Encoding, hand_over: &'a mut dyn FnMut(Result<Both>) -> bool) -> Self {
        Self {
            encoding,
            hand_over,
            is_wanted: true,
            gathered: Vec::new(),
            gathered_epoch: None,
            gathered_rows: 0,
            rows_at_once: ROWS_AT_ONCE,
            slices: Vec::new(),
            bytes: 0,
        }
    }

    fn hand_over(&mut self, encoded: Result<Both>) {
        self.is_wanted &= encoded.is_ok() & (self.hand_over)(encoded);
    }

    fn take(&mut self, epoch: Option<Epoch>, delta: Arc<Delta>) {
        if !self.encoding.schema.fields().iter().any(|field| is_text(field.data_type())) {
            return self.add(epoch, delta);
        }
        if self.gathered_epoch != epoch || self.gathered_rows + delta.num_rows() > self.rows_at_once {
            self.add_gathered();
        }
        self.gathered_epoch = epoch;
        self.gathered_rows += delta.num_rows();
        self.gathered.push(delta);
    }

    fn add_gathered(&mut self) {
        self.gathered_rows = 0;
        match std::mem::take(&mut self.gathered).as_slice() {
            [] => {}
            [one] => self.add(self.gathered_epoch, Arc::clone(one)),
            several => self.add(self.gathered_epoch, Arc::new(Delta::concat(several))),
        }
    }

    /// Adds rows to the next segments, in slices that have room in one.
    fn add(&mut self, epoch: Option<Epoch>, delta: Arc<Delta>) {
        let count = delta.num_rows();
        if count <= self.rows_at_once {
            let rows = decode_batch_for_disk(&self.encoding.dictionary, &delta.rows, &self.encoding.schema);
            let bytes = size_bytes(&rows, &delta);
            if let Some(bytes_of_row) = bytes.checked_div(count) {
                self.rows_at_once = (SEGMENT_BYTES / bytes_of_row.max(1)).clamp(ROWS_AT_ONCE, ROWS_AT_ONCE_MAX);
            }
            if bytes <= SEGMENT_BYTES || count < 2 {
                return self.push(Slice { epoch, delta, rows, bytes });
            }
        }
        let half = if count > self.rows_at_once { self.rows_at_once } else { count / 2 };
        self.add(epoch, Arc::new(delta.slice(0, half)));
        self.add(epoch, Arc::new(delta.slice(half, count - half)));
    }

    fn push(&mut self, slice: Slice) {
        if self.bytes + slice.bytes > SEGMENT_BYTES && !self.slices.is_empty() {
            self.end_segment();
        }
        self.bytes += slice.bytes;
        self.slices.push(slice);
    }

    fn end_segment(&mut self) {
        let slices = std::mem::take(&mut self.slices);
        self.bytes = 0;
        if self.is_wanted && !slices.is_empty() {
            self.hand_over(self.encoding.encode(&slices));
        }
    }

    fn finish(mut self) {
        self.add_gathered();
        self.end_segment();
    }
}

/// Bytes of memory of rows as they are on disk, and of what else is written of their delta.
fn size_bytes(rows: &RecordBatch, delta: &Delta) -> usize {
    let columns = rows.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum::<usize>();
    let hidden = 8 * usize::from(delta.weights.is_some()) + 4 * usize::from(delta.iterations.is_some());
    let errors = delta.errors.iter().map(|(error, _)| error.message.len() + size_of::<ErrorRow>()).sum::<usize>();
    columns + delta.num_rows() * hidden + errors
}

/// The types of the hidden columns of a segment, where it has them.
#[derive(Debug, Default)]
struct Hidden {
    weights: Option<DataType>,
    iterations: Option<DataType>,
    epochs: Option<DataType>,
}

impl Hidden {
    fn of(slices: &[Slice]) -> Self {
        let (mut lightest, mut heaviest, mut last, mut epoch) = (1, 1, 0, 0);
        for Slice { epoch: of, delta, .. } in slices {
            epoch = epoch.max(of.map_or(0, |e| e.0));
            // Each alone over the whole buffer, as vectors.
            if let Some(weights) = &delta.weights {
                lightest = weights.iter().copied().fold(lightest, Weight::min);
                heaviest = weights.iter().copied().fold(heaviest, Weight::max);
            }
            if let Some(iterations) = &delta.iterations {
                last = iterations.iter().copied().fold(last, Iteration::max);
            }
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

    fn batch(&self, slice: &Slice) -> Result<RecordBatch> {
        let Slice { epoch, delta, rows, .. } = slice;
        let mut fields = rows.schema().fields().to_vec();
        let mut columns = rows.columns().to_vec();
        let mut append = |name: &str, data_type: &Option<DataType>, column: &dyn Fn() -> ArrayRef| {
            let Some(data_type) = data_type else { return Ok(()) };
            fields.push(Arc::new(Field::new(name, data_type.clone(), false)));
            columns.push(cast(&column(), data_type).map_err(|e| Error::engine(e.to_string()))?);
            Ok::<_, Error>(())
        };
        let count = delta.num_rows();
        let weights =
            || delta.weights.as_ref().map_or_else(|| Int64Array::from_value(1, count), |w| Int64Array::new(w.clone(), None));
        append(WEIGHT_COLUMN, &self.weights, &|| Arc::new(weights()))?;
        let iterations =
            || delta.iterations.as_ref().map_or_else(|| UInt32Array::from_value(0, count), |i| UInt32Array::new(i.clone(), None));
        append(ITERATION_COLUMN, &self.iterations, &|| Arc::new(iterations()))?;
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
