//! Fencing: never two writers.
//!
//! Who opens a store for writing puts two objects, each exactly where the previous writer would put its next one:
//!
//! 1. the *fence manifest*: the next manifest id, a higher generation, the contents of the newest checkpoint carried on;
//! 2. the *fence of the input log*: an empty object that takes the next epoch. If that position is taken, by a statement of the
//!    previous writer that came first, it is read as part of the log, and the fence goes behind it.
//!
//! Everything is create-if-absent, manifest ids have no gaps, and neither have epochs. So the previous writer's next commit and
//! its next append collide, whatever it was doing and however long it slept, and it stops with [`Error::Fenced`]. What it
//! acknowledged before is in the log that the new writer reads. Of two that open at once, the one with the lower generation
//! finds itself fenced.
//!
//! Fences of the input log are never collected as garbage, since a sleeping writer must find its place taken even after years;
//! a manifest that collides with nothing any more, since the fence manifest has been collected, is found out by the look at the
//! list of manifests that ends each commit ([`crate::commit`]).

use refrain_types::{CheckpointId, Environment, Epoch, Generation};

use crate::bucket::{Bucket, Created};
use crate::error::{Error, Result};
use crate::input_reader;
use crate::input_record::{self, InputObject, input_name};
use crate::manifest::{Contents, Manifest, manifest_name};
use crate::numbers::UniqueId;
use crate::open;

/// Openings that come in between at most; more than that is not competition but a store that lies.
const TRIES_MAX: usize = 1_000;

/// Puts the fence manifest and returns it.
pub(crate) async fn take_over(bucket: &Bucket, environment: &dyn Environment, writer: UniqueId) -> Result<Manifest> {
    let attempt = UniqueId(environment.unique());
    let mut last = None;
    for _ in 0..TRIES_MAX {
        let fence = fence_after(open::newest_manifest(bucket).await?, environment, writer, attempt);
        let name = manifest_name(fence.id);
        match bucket.create(&name, fence.encode().into()).await {
            Created::Yes => return Ok(fence),
            Created::Exists => {}
            // Whatever is there now is read as the newest manifest; if it is not ours, the next place is tried.
            Created::Unclear(error) => last = Some(error),
        }
        match bucket.get_if_there(&name).await? {
            Some(bytes) if Manifest::decode(&name, &bytes)?.attempt == attempt => return Ok(fence),
            Some(_) => {}
            None => return Err(last.take().unwrap_or_else(|| store_lies(&name))),
        }
    }
    Err(store_lies(&manifest_name(CheckpointId(0))))
}

fn fence_after(newest: Option<Manifest>, environment: &dyn Environment, writer: UniqueId, attempt: UniqueId) -> Manifest {
    let (id, generation, fence_of, contents) = match newest {
        Some(m) => (m.id.next(), m.generation.next(), m.fence_of.unwrap_or(m.id), m.contents),
        None => (CheckpointId(1), Generation(1), CheckpointId(0), Contents::default()),
    };
    let created_unix_ms = environment.unix_millis();
    Manifest { id, generation, writer, attempt, created_unix_ms, fence_of: Some(fence_of), contents }
}

/// Puts the fence of the input log and returns the epoch that it takes.
pub(crate) async fn fence_input_log(bucket: &Bucket, fence: &Manifest) -> Result<Epoch> {
    let mut position = input_reader::end_of_log(bucket, fence.contents.epoch).await?;
    for _ in 0..TRIES_MAX {
        let name = input_name(position);
        let framed = input_record::encode_object(fence.writer, fence.generation, position, &[]);
        let unclear = match bucket.create(&name, framed.payload).await {
            Created::Yes => return Ok(position),
            Created::Exists => None,
            Created::Unclear(error) => Some(error),
        };
        let Some(bytes) = bucket.get_if_there(&name).await? else {
            return Err(unclear.unwrap_or_else(|| store_lies(&name)));
        };
        let InputObject { writer, generation, last, .. } = input_record::decode_object(position, &bytes)?;
        if writer == fence.writer {
            return Ok(position);
        }
        if generation > fence.generation {
            return Err(Error::Fenced { object: name, generation });
        }
        position = last.next();
    }
    Err(store_lies(&input_name(position)))
}

/// An object that both exists and does not.
fn store_lies(object: &str) -> Error {
    Error::Missing { object: object.to_owned(), used_by: "the store, which says that it exists".to_owned() }
}
