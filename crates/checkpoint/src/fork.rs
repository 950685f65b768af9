//! A fork: a checkpoint of one store as the beginning of another.
//!
//! The objects of the checkpoint are copied as they are, each read and verified, and then a manifest that names them: so the fork is
//! there as a whole or not at all. What the input log holds behind the checkpoint is not part of it. The source is only read, and
//! may be in use.

use futures::{StreamExt, TryStreamExt};
use refrain_types::{CheckpointId, Environment};

use crate::bucket::Created;
use crate::error::{Error, Result};
use crate::input_record::INPUT_FOLDER;
use crate::location::Location;
use crate::manifest::{MANIFEST_FOLDER, Manifest, SegmentUse, manifest_name};
use crate::numbers::UniqueId;
use crate::open;
use crate::segment;

/// Objects that are copied at the same time.
const AT_ONCE: usize = 8;

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forked {
    /// The checkpoint, which has the same number in both stores.
    pub checkpoint: CheckpointId,
    /// Segments and loop logs.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Makes a checkpoint of `source`, the newest if none is named, the beginning of `target`, which must hold neither a checkpoint nor
/// input. A fork that was interrupted may be tried again.
///
/// # Errors
/// When there is no such checkpoint, one of its objects is missing or damaged, the target is not empty, or it cannot be written.
pub async fn fork(
    source: &Location,
    target: &Location,
    checkpoint: Option<CheckpointId>,
    environment: &dyn Environment,
) -> Result<Forked> {
    let manifest = match checkpoint {
        Some(id) => open::checkpoint(source, id).await?,
        None => newest(source).await?,
    };
    for folder in [MANIFEST_FOLDER, INPUT_FOLDER] {
        if !target.bucket.list(folder).await?.is_empty() {
            let reason = "a fork begins in an empty store, and this one is not".to_owned();
            return Err(Error::Location { url: target.url.clone(), reason });
        }
    }
    let uses = manifest.contents.segments();
    let copies = uses.iter().map(|of| copy(source, target, of));
    futures::stream::iter(copies).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    let [writer, attempt] = [(); 2].map(|()| UniqueId(environment.unique()));
    let forked =
        Forked { checkpoint: manifest.id, objects: uses.len() as u64, bytes: uses.iter().map(|of| of.segment.bytes).sum() };
    let manifest = Manifest { writer, attempt, fence_of: None, created_unix_ms: environment.unix_millis(), ..manifest };
    create(target, &manifest_name(manifest.id), manifest.encode().into()).await?;
    Ok(forked)
}

async fn newest(source: &Location) -> Result<Manifest> {
    let manifest = open::newest_manifest(&source.bucket).await?;
    let none = || Error::Location { url: source.url.clone(), reason: "it has no checkpoint to be forked".to_owned() };
    manifest.filter(|manifest| !manifest.contents.is_origin()).ok_or_else(none)
}

async fn copy(source: &Location, target: &Location, of: &SegmentUse<'_>) -> Result<()> {
    let bytes = segment::read_bytes(&source.bucket, of.segment, &of.used_by).await?;
    match target.bucket.create(&of.segment.name, bytes.into()).await {
        Created::Yes => Ok(()),
        // Names are unique: it is from a fork that was interrupted, if it is whole.
        Created::Exists => segment::read_bytes(&target.bucket, of.segment, &of.used_by).await.map(drop),
        Created::Unclear(error) => Err(error),
    }
}

async fn create(target: &Location, name: &str, payload: object_store::PutPayload) -> Result<()> {
    match target.bucket.create(name, payload).await {
        Created::Yes => Ok(()),
        Created::Exists => {
            Err(Error::Location { url: target.url.clone(), reason: "somebody else has begun to write to it".to_owned() })
        }
        Created::Unclear(error) => Err(error),
    }
}
