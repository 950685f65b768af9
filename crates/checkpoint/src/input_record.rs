//! Records of the input log, and the bytes of its objects.
//!
//! An object holds the records of one group commit, a few or thousands, with contiguous epochs; its name is its first epoch. One
//! statement's records are always in one object, so a statement is in the log wholly or not at all. A *fence* is an object
//! without records that takes one epoch ([`crate::fence`]).
//!
//! ```text
//! payload = writer u128, generation u64, first epoch u64, last epoch u64, records u64, then per record
//!           epoch u64, kind u64 (0 DDL, 1 rows), relation u64, length u64, body, zeros up to a multiple of 8
//! ```

use arrow::array::RecordBatch;
use bytes::{BufMut, Bytes, BytesMut};
use refrain_types::{Epoch, Generation, RelationId};

use crate::error::{Error, Result};
use crate::numbers::UniqueId;
use crate::object::{self, Framed, HEADER_BYTES, ObjectKind};
use crate::segment;

/// Who uses the objects, for error messages.
pub(crate) const INPUT_LOG: &str = "the input log";

/// Folder of the objects.
pub(crate) const INPUT_FOLDER: &str = "input";

const PREAMBLE_BYTES: usize = 48;
const RECORD_HEADER_BYTES: usize = 32;

/// Size of every fence and of nothing else: any record makes an object larger.
pub(crate) const FENCE_BYTES: u64 = (HEADER_BYTES + PREAMBLE_BYTES) as u64;

/// One change of the database, durable before it is visible.
#[derive(Clone, Debug, PartialEq)]
pub struct InputRecord {
    /// The transaction that it belongs to.
    pub epoch: Epoch,
    /// What it does.
    pub change: InputChange,
}

/// What a record does.
#[derive(Clone, Debug, PartialEq)]
pub enum InputChange {
    /// A change of the catalog, in the engine's own JSON.
    Ddl(String),
    /// Changes of a table.
    Rows {
        /// The table.
        relation: RelationId,
        /// Logical rows, with weights in a column [`crate::segment::WEIGHT_COLUMN`] where they are not all 1.
        batches: Vec<RecordBatch>,
    },
}

/// A record as bytes, made where the statement runs, so that the group commit only strings them together.
pub(crate) struct EncodedRecord {
    pub epoch: Epoch,
    pub bytes: Bytes,
}

/// Name of the object whose first epoch is this, relative to the root of the store.
#[must_use]
pub fn input_name(first: Epoch) -> String {
    format!("{INPUT_FOLDER}/{:020}.arrow", first.0)
}

impl InputRecord {
    pub(crate) fn encode(&self) -> Result<EncodedRecord> {
        let (kind, relation, body) = match &self.change {
            InputChange::Ddl(json) => (0, 0, Bytes::copy_from_slice(json.as_bytes())),
            InputChange::Rows { relation, batches } if batches.is_empty() => (1, relation.0, Bytes::new()),
            InputChange::Rows { relation, batches } => {
                let rows = segment::encode(batches).map_err(|reason| Error::Encoding { object: INPUT_LOG.to_owned(), reason })?;
                (1, relation.0, rows)
            }
        };
        let mut bytes = BytesMut::with_capacity(RECORD_HEADER_BYTES + body.len().next_multiple_of(8));
        for number in [self.epoch.0, kind, relation, body.len() as u64] {
            bytes.put_u64_le(number);
        }
        bytes.put_slice(&body);
        bytes.put_bytes(0, body.len().next_multiple_of(8) - body.len());
        Ok(EncodedRecord { epoch: self.epoch, bytes: bytes.freeze() })
    }
}

/// An object of the input log.
#[derive(Debug)]
pub(crate) struct InputObject {
    pub writer: UniqueId,
    pub generation: Generation,
    pub last: Epoch,
    pub records: Vec<InputRecord>,
}

/// Frames records as one object; no records make a fence at `first`.
pub(crate) fn encode_object(writer: UniqueId, generation: Generation, first: Epoch, records: &[EncodedRecord]) -> Framed {
    let last = records.last().map_or(first, |r| r.epoch);
    let mut preamble = BytesMut::with_capacity(PREAMBLE_BYTES);
    preamble.put_u128_le(writer.0);
    for number in [generation.0, first.0, last.0, records.len() as u64] {
        preamble.put_u64_le(number);
    }
    assert_eq!(preamble.len(), PREAMBLE_BYTES, "fences have a size of their own");
    let parts = std::iter::once(preamble.freeze()).chain(records.iter().map(|r| r.bytes.clone()));
    object::frame(ObjectKind::Input, parts.collect())
}

/// Reads and verifies the object that begins at `first`.
pub(crate) fn decode_object(first: Epoch, bytes: &Bytes) -> Result<InputObject> {
    let name = input_name(first);
    let (payload, _) = object::unframe(ObjectKind::Input, &name, INPUT_LOG, bytes)?;
    let mut reader = Reader { name: &name, payload };
    let writer = UniqueId(u128::from(reader.number()?) | (u128::from(reader.number()?) << 64));
    let generation = Generation(reader.number()?);
    let (found, last, count) = (reader.number()?, Epoch(reader.number()?), reader.number()?);
    if found != first.0 || last < first {
        return Err(reader.content(format!("it says that it holds epochs {found} to {last}")));
    }
    let mut records = Vec::new();
    let mut previous = Epoch(first.0.saturating_sub(1));
    for _ in 0..count {
        let record = reader.record()?;
        if !follows(previous, record.epoch) {
            return Err(reader.content(format!("epoch {} follows epoch {previous}", record.epoch)));
        }
        previous = record.epoch;
        records.push(record);
    }
    let complete = if count == 0 { last == first } else { previous == last && records[0].epoch == first };
    if !complete || !reader.payload.is_empty() {
        return Err(reader.content(format!("its {count} records do not end at epoch {last}")));
    }
    Ok(InputObject { writer, generation, last, records })
}

/// Epochs of a log are contiguous; several records may share one.
pub(crate) fn follows(previous: Epoch, epoch: Epoch) -> bool {
    epoch == previous || Some(epoch.0) == previous.0.checked_add(1)
}

struct Reader<'a> {
    name: &'a str,
    payload: Bytes,
}

impl Reader<'_> {
    fn content(&self, what: impl std::fmt::Display) -> Error {
        Error::content(self.name, INPUT_LOG, what)
    }

    fn take(&mut self, bytes: usize) -> Result<Bytes> {
        if bytes > self.payload.len() {
            return Err(self.content("a record goes on behind its end"));
        }
        Ok(self.payload.split_to(bytes))
    }

    fn number(&mut self) -> Result<u64> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes[..].try_into().expect("eight bytes were taken")))
    }

    fn record(&mut self) -> Result<InputRecord> {
        let (epoch, kind, relation, length) = (Epoch(self.number()?), self.number()?, self.number()?, self.number()?);
        let too_long = || self.content("a record goes on behind its end");
        let length = usize::try_from(length).map_err(|_| too_long())?;
        let padded = length.checked_next_multiple_of(8).ok_or_else(too_long)?;
        let body = self.take(padded)?.slice(..length);
        let change = match kind {
            0 => InputChange::Ddl(String::from_utf8(body.to_vec()).map_err(|e| self.content(e))?),
            1 if body.is_empty() => InputChange::Rows { relation: RelationId(relation), batches: Vec::new() },
            1 => {
                let batches = segment::decode(&body).map_err(|e| self.content(e))?;
                InputChange::Rows { relation: RelationId(relation), batches }
            }
            other => return Err(self.content(format!("records of kind {other} do not exist"))),
        };
        Ok(InputRecord { epoch, change })
    }
}

#[cfg(test)]
mod tests;
