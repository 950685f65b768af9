//! Reading the input log: records in order, and where the log ends.
//!
//! Objects are contiguous from the last captured epoch on, so the name of the next one is known, and a gap is a missing object.
//! Below the captured epoch objects may have been collected; only fences stay.

use std::collections::VecDeque;

use refrain_types::Epoch;

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::input_record::{self, INPUT_FOLDER, INPUT_LOG, InputObject, InputRecord, input_name};

/// Records of the input log in order. Memory is bounded by one object.
#[derive(Debug)]
pub struct InputReader {
    bucket: Bucket,
    /// The first epoch that has not been read.
    position: Epoch,
    before: Epoch,
    started: bool,
    records: VecDeque<InputRecord>,
}

impl InputReader {
    pub(crate) fn new(bucket: Bucket, after: Epoch, before: Epoch) -> Self {
        Self { bucket, position: after.next(), before, started: false, records: VecDeque::new() }
    }

    /// The next record, `None` at the end.
    ///
    /// # Errors
    /// [`Error::Missing`] names the object that a gap should hold; damage names the object that is damaged. Neither is ever
    /// passed over.
    pub async fn next(&mut self) -> Result<Option<InputRecord>> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Ok(Some(record));
            }
            if self.position >= self.before {
                return Ok(None);
            }
            let from = self.position;
            let object = self.next_object().await?;
            let wanted = |r: &InputRecord| r.epoch >= from && r.epoch < self.before;
            self.records.extend(object.records.into_iter().filter(wanted));
            self.position = object.last.next();
        }
    }

    /// The object that holds `position`. Only the first may begin before it: a checkpoint captures in the middle of a group.
    async fn next_object(&mut self) -> Result<InputObject> {
        let mut first = self.position;
        if !self.started {
            self.started = true;
            let objects = self.bucket.list_numbered(INPUT_FOLDER, ".arrow").await?;
            let at_or_before = objects.iter().rev().find(|(number, _)| *number <= self.position.0);
            first = at_or_before.map_or(self.position, |(number, _)| Epoch(*number));
        }
        let object = read_object(&self.bucket, first).await?;
        if object.last < self.position {
            return Err(Error::Missing { object: input_name(self.position), used_by: INPUT_LOG.to_owned() });
        }
        Ok(object)
    }
}

pub(crate) async fn read_object(bucket: &Bucket, first: Epoch) -> Result<InputObject> {
    let bytes = bucket.get(&input_name(first), INPUT_LOG).await?;
    input_record::decode_object(first, &bytes)
}

/// The object with the highest epochs.
pub(crate) async fn last_object(bucket: &Bucket) -> Result<Option<InputObject>> {
    match bucket.list_numbered(INPUT_FOLDER, ".arrow").await?.last() {
        Some((first, _)) => read_object(bucket, Epoch(*first)).await.map(Some),
        None => Ok(None),
    }
}

/// The first epoch that no object holds, where everything up to `captured` may have been collected.
pub(crate) async fn end_of_log(bucket: &Bucket, captured: Epoch) -> Result<Epoch> {
    let last = last_object(bucket).await?.map_or(captured, |object| object.last);
    Ok(last.max(captured).next())
}
