//! What travels on the edges of a dataflow: a delta, and sometimes the worker that it is for.

use std::io::Write;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use refrain_state::{RowLayout, hash_words};
use refrain_types::{Delta, ErrorRow, OperatorId, SqlState};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use timely::Accountable;
use timely::communication::Push;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::channels::{ContainerBytes, Message};
use timely::progress::Stamp;

/// The container of every edge.
#[derive(Clone, Debug, Default)]
pub struct Parcel {
    /// `None` only for a container that was emptied.
    pub delta: Option<Delta>,
    /// The worker it is for, where the sender has worked it out already.
    pub target: Option<usize>,
}

/// The builder of containers that are made elsewhere.
pub type Parcels = NoopBuilder<Parcel>;

impl From<Delta> for Parcel {
    fn from(delta: Delta) -> Self {
        Self { delta: Some(delta), target: None }
    }
}

impl Accountable for Parcel {
    fn record_count(&self) -> i64 {
        let records = self.delta.as_ref().map_or(0, |d| d.num_rows() + d.errors.len());
        i64::try_from(records).expect("a delta has far fewer rows")
    }
}

/// The worker that has the rows of this key hash. Workers own ranges of the high bits.
#[inline]
#[must_use]
pub fn worker_of(hash: u64, peers: usize) -> usize {
    ((u128::from(hash) * peers as u128) >> 64) as usize
}

/// The layout in which keys are hashed to find their worker: the same for both sides of a join, whether or not they may be NULL.
#[must_use]
pub fn exchange_layout(schema: &Schema, columns: &[usize]) -> RowLayout {
    let types = columns.iter().map(|c| (schema.field(*c).data_type().clone(), false)).collect::<Vec<_>>();
    RowLayout::of_types(&types)
}

/// Sends each row to the worker of its key.
#[derive(Debug)]
pub struct ByKey {
    columns: Vec<usize>,
    layout: RowLayout,
    keys: Vec<u64>,
    rows: Vec<Vec<u64>>,
}

impl ByKey {
    /// By a hash of these columns of the logical `schema`; no columns means worker 0.
    #[must_use]
    pub fn new(schema: &Schema, columns: &[usize], peers: usize) -> Self {
        Self {
            columns: columns.to_vec(),
            layout: exchange_layout(schema, columns),
            keys: Vec::new(),
            rows: vec![Vec::new(); peers],
        }
    }

    fn assign(&mut self, delta: &Delta) {
        let peers = self.rows.len();
        for rows in &mut self.rows {
            rows.clear();
        }
        if self.columns.is_empty() {
            self.rows[0].extend(0..delta.num_rows() as u64);
            return;
        }
        self.keys.clear();
        self.layout.pack_for_hash(&delta.rows, &self.columns, &mut self.keys);
        for (row, key) in self.keys.chunks_exact(self.layout.words()).enumerate() {
            self.rows[worker_of(hash_words(key), peers)].push(row as u64);
        }
    }
}

impl Distributor<Parcel> for ByKey {
    fn partition<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, parcel: &mut Parcel, stamp: &Stamp<T>, pushers: &mut [P]) {
        let Some(mut delta) = parcel.delta.take() else { return };
        if let Some(target) = parcel.target {
            Message::push_at(&mut delta.into(), stamp.clone(), &mut pushers[target]);
            return;
        }
        self.assign(&delta);
        let mut errors = std::mem::take(&mut delta.errors);
        for (rows, pusher) in self.rows.iter().zip(pushers) {
            let errors = std::mem::take(&mut errors);
            if rows.is_empty() && errors.is_empty() {
                continue;
            }
            let part = if rows.len() == delta.num_rows() { delta.clone() } else { take_rows(&delta, rows) };
            Message::push_at(&mut Delta { errors, ..part }.into(), stamp.clone(), pusher);
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

/// Sends each parcel to the worker that it is for.
#[derive(Debug)]
pub struct ToTarget;

/// The same rows for every worker, and each error for one. A distributor must not do this: timely counts records where they are sent
/// and where they are taken in, and with more taken in than sent it believes that others have arrived, too.
pub fn copies(mut delta: Delta, peers: usize) -> impl Iterator<Item = Parcel> {
    let mut errors = std::mem::take(&mut delta.errors);
    (0..peers).map(move |target| {
        let delta = Delta { errors: std::mem::take(&mut errors), ..delta.clone() };
        Parcel { delta: Some(delta), target: Some(target) }
    })
}

impl Distributor<Parcel> for ToTarget {
    fn partition<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, parcel: &mut Parcel, stamp: &Stamp<T>, pushers: &mut [P]) {
        let Some(delta) = parcel.delta.take() else { return };
        let target = parcel.target.expect("whoever sends it has said for whom it is");
        Message::push_at(&mut delta.into(), stamp.clone(), &mut pushers[target]);
    }

    fn flush<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

/// These rows of a delta, without its errors.
///
/// # Panics
/// When a row does not exist.
#[must_use]
pub fn take_rows(delta: &Delta, rows: &[u64]) -> Delta {
    let indices = UInt64Array::from_iter_values(rows.iter().copied());
    Delta {
        rows: take_record_batch(&delta.rows, &indices).expect("the rows exist"),
        weights: delta.weights.as_ref().map(|w| rows.iter().map(|r| w[*r as usize]).collect()),
        iterations: delta.iterations.as_ref().map(|t| rows.iter().map(|r| t[*r as usize]).collect()),
        errors: Vec::new(),
    }
}

/// What stands beside the Arrow data when a parcel goes to another process.
#[derive(Serialize, Deserialize, Default)]
struct Beside {
    target: Option<usize>,
    /// Whether the batch ends in columns of weights and of iterations.
    weights: bool,
    iterations: bool,
    errors: Vec<(u32, [u8; 5], String, i64)>,
}

impl ContainerBytes for Parcel {
    fn from_bytes(bytes: timely::bytes::arc::Bytes) -> Self {
        decoded(&bytes).expect("a peer of this version wrote it")
    }

    fn length_in_bytes(&self) -> usize {
        let (beside, arrow) = self.encoded();
        16 + (beside.len() + arrow.len()).next_multiple_of(8)
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        let (beside, arrow) = self.encoded();
        let length = beside.len() + arrow.len();
        let write = |writer: &mut W| {
            writer.write_all(&(beside.len() as u64).to_le_bytes())?;
            writer.write_all(&(arrow.len() as u64).to_le_bytes())?;
            writer.write_all(&beside)?;
            writer.write_all(&arrow)?;
            writer.write_all(&[0u8; 8][..length.next_multiple_of(8) - length])
        };
        write(writer).expect("timely hands out a buffer of the length that was asked for");
    }
}

fn decoded(bytes: &[u8]) -> Result<Parcel, Box<dyn std::error::Error + Send + Sync>> {
    let mut rest = bytes;
    let mut take = |length: usize| {
        let (taken, after) = rest.split_at_checked(length).ok_or("it ends too early")?;
        rest = after;
        Ok::<_, &str>(taken)
    };
    let [beside_bytes, arrow_bytes] =
        [take(8)?, take(8)?].map(|of| u64::from_le_bytes(of.try_into().expect("eight bytes")) as usize);
    if arrow_bytes == 0 {
        return Ok(Parcel::default());
    }
    let beside: Beside = serde_json::from_slice(take(beside_bytes)?)?;
    let mut reader = arrow::ipc::reader::StreamReader::try_new(take(arrow_bytes)?, None)?;
    let batch = reader.next().ok_or("it has no batch")??;
    let width = batch.num_columns() - usize::from(beside.weights) - usize::from(beside.iterations);
    let weights = beside.weights.then(|| column::<Int64Array>(&batch, width).values().clone());
    let iterations = beside.iterations.then(|| column::<UInt32Array>(&batch, batch.num_columns() - 1).values().clone());
    let rows = batch.project(&(0..width).collect::<Vec<_>>())?;
    let error =
        |(operator, code, message, weight)| (ErrorRow { operator: OperatorId(operator), code: SqlState(code), message }, weight);
    let delta = Delta { rows, weights, iterations, errors: beside.errors.into_iter().map(error).collect() };
    Ok(Parcel { delta: Some(delta), target: beside.target })
}

/// A delta as bytes, as it goes to another process.
pub(crate) fn encode(delta: Delta) -> Vec<u8> {
    let mut bytes = Vec::new();
    Parcel::from(delta).into_bytes(&mut bytes);
    bytes
}

/// The delta that was encoded.
///
/// # Errors
/// When these are other bytes.
pub(crate) fn decode(bytes: &[u8]) -> std::io::Result<Delta> {
    let parcel = decoded(bytes).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))?;
    parcel.delta.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

fn column<A: Clone + 'static>(batch: &RecordBatch, index: usize) -> A {
    batch.column(index).as_any().downcast_ref::<A>().expect("the sender put it there").clone()
}

impl Parcel {
    fn encoded(&self) -> (Vec<u8>, Vec<u8>) {
        let Some(delta) = &self.delta else { return (Vec::new(), Vec::new()) };
        let mut fields = delta.rows.schema().fields().to_vec();
        let mut columns = delta.rows.columns().to_vec();
        let mut append = |name: &str, data_type: DataType, column: ArrayRef| {
            fields.push(Arc::new(Field::new(name, data_type, false)));
            columns.push(column);
        };
        if let Some(weights) = &delta.weights {
            append("__weight", DataType::Int64, Arc::new(Int64Array::new(weights.clone(), None)));
        }
        if let Some(iterations) = &delta.iterations {
            append("__iteration", DataType::UInt32, Arc::new(UInt32Array::new(iterations.clone(), None)));
        }
        let schema = Arc::new(Schema::new(fields));
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(delta.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options).expect("columns of one length");
        let mut arrow = Vec::new();
        let mut writer = arrow::ipc::writer::StreamWriter::try_new(&mut arrow, &schema).expect("memory takes every byte");
        writer.write(&batch).and_then(|()| writer.finish()).expect("memory takes every byte");
        drop(writer);
        let errors = delta.errors.iter().map(|(e, w)| (e.operator.0, e.code.0, e.message.clone(), *w)).collect();
        let beside =
            Beside { target: self.target, weights: delta.weights.is_some(), iterations: delta.iterations.is_some(), errors };
        (serde_json::to_vec(&beside).expect("memory takes every byte"), arrow)
    }
}

#[cfg(test)]
mod tests;
