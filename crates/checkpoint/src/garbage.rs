//! Garbage: what no retained checkpoint needs.
//!
//! Retained are the newest checkpoints, as many as is asked for, with the fences among and after them, every segment that they name, and
//! the input log behind the [`LOG_CHECKPOINTS`] newest. Everything is deleted by name, and only names that nobody can come to need are
//! candidates:
//!
//! - segments of manifests that are not retained (a manifest never names a segment that the manifest before it does not name,
//!   unless its own attempt wrote it, or took it over from one that never commits);
//! - segments of attempts that did not commit, once a manifest is in the store that is newer than the one the attempt may have put;
//! - input log objects whose last epoch is captured by the newest checkpoints, but no fences ([`crate::fence`]).
//!
//! A fenced writer that does not know it yet therefore deletes nothing that its successor uses. Only right after an opening,
//! when nothing is being uploaded, whole folders are swept.
//!
//! # Known limitations
//! All manifests that are there are read after each commit, and segments are not merged here.

use std::collections::BTreeSet;
use std::sync::Arc;

use refrain_types::CheckpointId;

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::input_record::{FENCE_BYTES, INPUT_FOLDER};
use crate::local;
use crate::location::{Location, LocationKind};
use crate::manifest::{MANIFEST_FOLDER, Manifest, manifest_name};
use crate::open::{self, Writer};
use crate::segment::{LOOP_FOLDER, SEGMENT_FOLDER};

/// Checkpoints behind which the input log is kept: the newest, and the one before it, should the newest turn out damaged.
pub const LOG_CHECKPOINTS: usize = 2;

/// Objects of an attempt that did not commit.
pub(crate) struct Abandoned {
    pub names: Vec<String>,
    /// A manifest with a higher id than this makes them garbage.
    pub newest: CheckpointId,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests.
    pub manifests: u64,
    /// Segments and loop logs.
    pub segments: u64,
    /// Objects of the input log.
    pub inputs: u64,
    /// Staging files of a local directory.
    pub staging_files: u64,
}

/// Collects garbage after a commit. Another run continues what a failed one has not done.
pub(crate) async fn collect(bucket: &Bucket, writer: &Arc<Writer>, retained: usize) -> Result<Collected> {
    writer.check_not_fenced()?;
    // No commit runs meanwhile, so none is in doubt that is not listed as abandoned.
    let newest = writer.newest.lock().await;
    let manifests = read_all(bucket, &manifest_ids(bucket).await?).await?;
    let (expendable, retained) = manifests.split_at(newest_checkpoints(&manifests, retained));
    if let Some(other) = retained.iter().find(|m| m.id > *newest && m.writer != writer.id) {
        return Err(writer.fence(Error::Fenced { object: manifest_name(other.id), generation: other.generation }));
    }
    let needed = names_of(retained);
    let mut names = names_of(expendable);
    let abandoned = std::mem::take(&mut *writer.abandoned.lock().expect("nothing panics while it holds this lock"));
    let (garbage, doubtful): (Vec<_>, Vec<_>) = abandoned.into_iter().partition(|a| a.newest < *newest);
    names.extend(garbage.into_iter().flat_map(|a| a.names));
    let names: Vec<_> = names.difference(&needed).cloned().collect();
    // What a failure leaves over is garbage for the next run.
    let mut left = LeftOver { writer, doubtful, names, newest: *newest };
    let mut collected = Collected::default();
    for manifest in expendable {
        bucket.delete(&manifest_name(manifest.id)).await?;
        collected.manifests += 1;
    }
    while let Some(name) = left.names.last() {
        bucket.delete(name).await?;
        left.names.pop();
        collected.segments += 1;
    }
    collected.inputs = collect_inputs(bucket, &retained[newest_checkpoints(retained, LOG_CHECKPOINTS)..]).await?;
    Ok(collected)
}

/// Where the newest `count` checkpoints begin among manifests; at the first where there are not so many.
fn newest_checkpoints(manifests: &[Manifest], count: usize) -> usize {
    let checkpoints = manifests.iter().enumerate().rev().filter(|(_, manifest)| manifest.fence_of.is_none());
    checkpoints.map(|(at, _)| at).nth(count.max(1) - 1).unwrap_or(0)
}

/// Puts back what was not deleted, whatever the reason.
struct LeftOver<'a> {
    writer: &'a Writer,
    doubtful: Vec<Abandoned>,
    names: Vec<String>,
    newest: CheckpointId,
}

impl Drop for LeftOver<'_> {
    fn drop(&mut self) {
        let mut abandoned = self.writer.abandoned.lock().expect("nothing panics while it holds this lock");
        abandoned.append(&mut self.doubtful);
        if !self.names.is_empty() {
            let newest = CheckpointId(self.newest.0.saturating_sub(1));
            abandoned.push(Abandoned { names: std::mem::take(&mut self.names), newest });
        }
    }
}

async fn collect_inputs(bucket: &Bucket, needed: &[Manifest]) -> Result<u64> {
    let Some(captured) = needed.iter().map(|m| m.contents.epoch).min() else { return Ok(0) };
    let objects = bucket.list_numbered(INPUT_FOLDER, ".arrow").await?;
    let mut deleted = 0;
    for pair in objects.windows(2) {
        let [(_, object), (next, _)] = pair else { unreachable!("windows of two") };
        // Contiguous, so the object ends right before the next one begins; across a gap it ends even earlier.
        if *next <= captured.0 + 1 && object.bytes != FENCE_BYTES {
            bucket.delete(&object.name).await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Removes what killed processes left: staging files, and segments that no manifest names.
///
/// The segments are listed before the manifests. So if `fence` is still the newest manifest afterwards, nobody who opened the
/// store later can have written any of them, and nobody who opened it earlier can still commit them.
pub(crate) async fn sweep_orphans(location: &Location, fence: CheckpointId) -> Result<Collected> {
    let bucket = &location.bucket;
    let mut collected = Collected::default();
    let mut names = BTreeSet::new();
    for folder in [SEGMENT_FOLDER, LOOP_FOLDER] {
        names.extend(bucket.list(folder).await?.into_iter().map(|l| l.name));
    }
    let ids = manifest_ids(bucket).await?;
    if ids.last() != Some(&fence) {
        return Ok(collected);
    }
    let needed = names_of(&read_all(bucket, &ids).await?);
    for name in names.difference(&needed) {
        bucket.delete(name).await?;
        collected.segments += 1;
    }
    if let LocationKind::Directory(root) = &location.kind {
        let folders = [MANIFEST_FOLDER, INPUT_FOLDER, SEGMENT_FOLDER, LOOP_FOLDER];
        let swept = local::sweep_staging(root, &folders);
        let refused = |e: std::io::Error| Error::Location { url: location.url.clone(), reason: e.to_string() };
        collected.staging_files = swept.map_err(refused)?;
    }
    Ok(collected)
}

async fn manifest_ids(bucket: &Bucket) -> Result<Vec<CheckpointId>> {
    Ok(bucket.list_numbered(MANIFEST_FOLDER, ".json").await?.into_iter().map(|(id, _)| CheckpointId(id)).collect())
}

async fn read_all(bucket: &Bucket, ids: &[CheckpointId]) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::with_capacity(ids.len());
    for id in ids {
        manifests.push(open::read_manifest(bucket, *id).await?);
    }
    Ok(manifests)
}

fn names_of(manifests: &[Manifest]) -> BTreeSet<String> {
    manifests.iter().flat_map(|m| m.contents.segments()).map(|u| u.segment.name.clone()).collect()
}
