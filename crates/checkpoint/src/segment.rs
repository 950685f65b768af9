//! Segments: one immutable object with rows of one part of one operator (or of one relation) on one worker.
//!
//! Inside the frame ([`crate::object`]) is an Arrow IPC stream; columns may be dictionary arrays, each batch with a dictionary of
//! its own. Segments are additive Z-sets: the state is the sum of all that the manifest names, in any order. What the columns
//! mean is up to the writer; the hidden ones have the names below.
//!
//! A segment is read with its reference from the manifest, which repeats length and checksum: an object that is whole but is not
//! the one that was written is found out.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, Created};
use crate::error::{Damage, Error, Result};
use crate::numbers::UniqueId;
use crate::object::{self, ObjectKind};

/// Hidden column with the weight of each row, `Int64`.
pub const WEIGHT_COLUMN: &str = "__weight";
/// Hidden column with the iteration of each row, `UInt32`.
pub const ITERATION_COLUMN: &str = "__iteration";
/// Hidden column with the epoch of each change in a change log, `UInt64`.
pub const EPOCH_COLUMN: &str = "__epoch";

/// Folders of the two kinds.
pub(crate) const SEGMENT_FOLDER: &str = "segment";
pub(crate) const LOOP_FOLDER: &str = "loop";

/// Rows of more memory than this are decoded off the thread that drives I/O.
const DECODE_INLINE_BYTES_MAX: usize = 1 << 18;

/// More than a column takes beside its values.
const COLUMN_BYTES: usize = 1 << 8;

/// What a segment holds; it decides the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    /// State of an operator, or a result, or a change log: `segment/`.
    State,
    /// Feedback in flight: `loop/`.
    LoopLog,
}

impl SegmentKind {
    fn folder(self) -> &'static str {
        match self {
            Self::State => SEGMENT_FOLDER,
            Self::LoopLog => LOOP_FOLDER,
        }
    }

    fn object_kind(self) -> ObjectKind {
        match self {
            Self::State => ObjectKind::Segment,
            Self::LoopLog => ObjectKind::LoopLog,
        }
    }
}

/// How a manifest names a segment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRef {
    /// Name of the object, relative to the root of the store.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of the object.
    pub bytes: u64,
    /// Checksum of its payload.
    pub crc32: u32,
    /// A base (everything) rather than a changelog (what changed).
    pub full: bool,
    /// It was written at once with the segment before it in its list: the two are of one run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

impl SegmentRef {
    /// Its kind, which its folder tells.
    #[must_use]
    pub fn kind(&self) -> SegmentKind {
        if self.name.starts_with(LOOP_FOLDER) { SegmentKind::LoopLog } else { SegmentKind::State }
    }
}

/// The name of a segment to be.
pub(crate) fn segment_name(kind: SegmentKind, id: UniqueId) -> String {
    format!("{}/{id}.arrow", kind.folder())
}

/// Rows that are ready to be written as one segment.
pub struct EncodedSegment {
    kind: SegmentKind,
    rows: u64,
    framed: object::Framed,
}

impl EncodedSegment {
    /// Encodes rows. It takes as long as there are many: not on a thread that drives I/O.
    ///
    /// # Errors
    /// When Arrow cannot write them.
    ///
    /// # Panics
    /// When there is no batch, or when the batches differ in schema: a segment without rows is not written at all.
    pub fn of(kind: SegmentKind, batches: &[RecordBatch]) -> Result<Self> {
        let first = batches.first().expect("a segment has at least one batch");
        assert!(batches.iter().all(|b| b.schema() == first.schema()), "the batches of a segment have one schema");
        let rows = batches.iter().map(|b| b.num_rows() as u64).sum();
        let payload = encode(batches).map_err(|reason| Error::Encoding { object: kind.folder().to_owned(), reason })?;
        Ok(Self { kind, rows, framed: object::frame(kind.object_kind(), vec![payload]) })
    }

    /// Where it belongs.
    #[must_use]
    pub fn kind(&self) -> SegmentKind {
        self.kind
    }
}

impl std::fmt::Debug for EncodedSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncodedSegment").field("kind", &self.kind).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Writes a segment as the object `name`.
pub(crate) async fn write(bucket: &Bucket, name: String, full: bool, segment: EncodedSegment) -> Result<SegmentRef> {
    let EncodedSegment { rows, framed, .. } = segment;
    let written = SegmentRef { name, rows, bytes: framed.bytes, crc32: framed.crc32, full, continues: false };
    let unclear = match bucket.create(&written.name, framed.payload).await {
        Created::Yes => return Ok(written),
        Created::Exists => None,
        Created::Unclear(error) => Some(error),
    };
    // Names are unique, so what is there can only be ours, from a try whose answer was lost; reading it verifies that.
    match read(bucket, &written, "the checkpoint being written").await {
        Ok(_) => Ok(written),
        Err(error) => Err(unclear.unwrap_or(error)),
    }
}

/// Reads and verifies a segment.
pub(crate) async fn read(bucket: &Bucket, segment: &SegmentRef, used_by: &str) -> Result<Vec<RecordBatch>> {
    let bytes = bucket.get(&segment.name, used_by).await?;
    let large = bytes.len() > DECODE_INLINE_BYTES_MAX;
    let (segment, used_by) = (segment.clone(), used_by.to_owned());
    off_thread(large, move || verify(&segment, &used_by, &bytes)).await
}

/// The bytes of a segment as they are, verified.
pub(crate) async fn read_bytes(bucket: &Bucket, segment: &SegmentRef, used_by: &str) -> Result<Bytes> {
    let bytes = bucket.get(&segment.name, used_by).await?;
    let (segment, used_by, read) = (segment.clone(), used_by.to_owned(), bytes.clone());
    off_thread(bytes.len() > DECODE_INLINE_BYTES_MAX, move || verify(&segment, &used_by, &read)).await?;
    Ok(bytes)
}

fn verify(segment: &SegmentRef, used_by: &str, bytes: &Bytes) -> Result<Vec<RecordBatch>> {
    let name = segment.name.as_str();
    let (payload, crc32) = object::unframe(segment.kind().object_kind(), name, used_by, bytes)?;
    let expected = segment.crc32;
    if crc32 != expected {
        return Err(Error::damaged(name, used_by, Damage::Checksum { expected, found: crc32 }));
    }
    let batches = decode(&payload).map_err(|e| Error::content(name, used_by, e))?;
    let rows = batches.iter().map(|b| b.num_rows() as u64).sum::<u64>();
    if rows != segment.rows || bytes.len() as u64 != segment.bytes {
        let (expected_rows, expected_bytes, found_bytes) = (segment.rows, segment.bytes, bytes.len());
        let what = format!("{rows} rows and {found_bytes} bytes instead of {expected_rows} and {expected_bytes}");
        return Err(Error::content(name, used_by, what));
    }
    Ok(batches)
}

/// Rows as an Arrow IPC stream.
pub(crate) fn encode(batches: &[RecordBatch]) -> Result<Bytes, String> {
    let first = batches.first().expect("a stream has at least one batch");
    let columns = batches.iter().flat_map(RecordBatch::columns).map(|column| column.to_data());
    let room = columns.map(|column| column.get_slice_memory_size().unwrap_or(0) + COLUMN_BYTES).sum();
    let mut writer = StreamWriter::try_new(Vec::with_capacity(room), &first.schema()).map_err(|e| e.to_string())?;
    for batch in batches {
        writer.write(batch).map_err(|e| e.to_string())?;
    }
    writer.into_inner().map(Bytes::from).map_err(|e| e.to_string())
}

/// Inverse of [`encode`]; fixed-width columns share the memory of `payload`.
pub(crate) fn decode(payload: &Bytes) -> Result<Vec<RecordBatch>, String> {
    let mut buffer = Buffer::from(payload.clone());
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    while !buffer.is_empty() {
        match decoder.decode(&mut buffer) {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => break,
            Err(e) => return Err(e.to_string()),
        }
    }
    decoder.finish().map_err(|e| e.to_string())?;
    Ok(batches)
}

/// Runs `work` where it does not hold up I/O, if it is `large` and there is a runtime.
async fn off_thread<T: Send + 'static>(large: bool, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if large => match runtime.spawn_blocking(work).await {
            Ok(done) => done,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(cancelled) => Err(Error::Store {
                    object: "of a segment".to_owned(),
                    action: "encode or decode",
                    source: Arc::new(object_store::Error::JoinError { source: cancelled }),
                }),
            },
        },
        _ => work(),
    }
}

#[cfg(test)]
mod tests;
