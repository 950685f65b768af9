//! `refrain fork`: a checkpoint of one store as the beginning of another.

use std::fmt;

use refrain_checkpoint::{Location, fork as fork_store};
use refrain_types::CheckpointId;

use crate::environment::SystemEnvironment;
use crate::error::Result;

/// What was copied. `Display` is a line for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forked {
    /// The number of the checkpoint, in both stores.
    pub checkpoint: u64,
    /// Its objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Makes a checkpoint of the store `source`, the newest if none is named, the beginning of the store `target`, which must be empty. What
/// was written behind the checkpoint is not part of it. The source is only read, and may be in use. A fork that was interrupted may be
/// tried again.
///
/// # Errors
/// When there is no such checkpoint, one of its objects is missing or damaged, the target is not empty, or it cannot be written.
pub async fn fork(source: &str, target: &str, checkpoint: Option<u64>) -> Result<Forked> {
    let (source, target) = (Location::parse(source, false)?, Location::parse(target, true)?);
    let environment = SystemEnvironment::shared();
    let forked = fork_store(&source, &target, checkpoint.map(CheckpointId), environment.as_ref()).await?;
    Ok(Forked { checkpoint: forked.checkpoint.0, objects: forked.objects, bytes: forked.bytes })
}

impl fmt::Display for Forked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint {}: {} objects, {} bytes", self.checkpoint, self.objects, self.bytes)
    }
}
