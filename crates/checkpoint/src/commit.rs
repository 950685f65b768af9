//! Uploading the segments of a checkpoint and committing it.
//!
//! An [`Attempt`] writes segments, in any order and many at once, or takes them over from another, and then its manifest, as the last
//! object and by create-if-absent. So a checkpoint is complete or invisible. This is the place where it is decided that a checkpoint is
//! complete: [`Attempt::commit`] returns [`CommitOutcome::Committed`].
//!
//! A put without a clear answer is read back: ours means committed. While that is not known ([`CommitOutcome::Unknown`]) nothing
//! of the attempt is deleted, and [`Attempt::read_back`] asks again. An attempt that is given up (dropped) in that state may
//! still turn out to have committed; that is harmless, since the next attempt holds everything since the last *known* commit:
//! it finds the place of its manifest taken by its own writer and moves on to the next.
//!
//! A manifest gets its id when it is put, exactly one above the newest. An attempt that aborts before that never had one, so
//! ids have no gaps, and the next manifest of a fenced writer collides ([`crate::fence`]). Should the fence manifest have been
//! collected while the writer slept, the list of manifests, looked at after the put, shows a higher one: fenced all the same.

use std::sync::Mutex;

use refrain_types::CheckpointId;

use crate::bucket::Created;
use crate::error::{Error, Result};
use crate::garbage::Abandoned;
use crate::manifest::{Contents, MANIFEST_FOLDER, Manifest, manifest_name};
use crate::numbers::UniqueId;
use crate::open::{self, Store};
use crate::segment::{self, EncodedSegment, SegmentRef};

/// One try to take a checkpoint. Dropped without a commit, its objects become garbage.
#[derive(Debug)]
pub struct Attempt {
    store: Store,
    id: UniqueId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Names of the objects that were, or may have been, written.
    written: Vec<String>,
    /// Manifests that were, or may have been, put: this one read back decides.
    put: Option<Box<Manifest>>,
    committed: bool,
}

/// How a commit went.
#[derive(Debug)]
pub enum CommitOutcome {
    /// The checkpoint is complete.
    Committed(Box<Manifest>),
    /// Another writer has the store. This engine must stop.
    Fenced(Error),
    /// The checkpoint is not in the store; the query goes on, the changes are part of the next one.
    Failed(Error),
    /// It may be in the store or may still come: ask again with [`Attempt::read_back`], or give up.
    Unknown(Error),
}

impl Store {
    /// Begins an attempt. That one is in flight at a time is up to the caller ([`crate::protocol`]).
    ///
    /// # Panics
    /// When the store was opened for reading.
    #[must_use]
    pub fn begin(&self) -> Attempt {
        let _ = self.writer();
        Attempt { store: self.clone(), id: UniqueId(self.shared.environment.unique()), state: Mutex::default() }
    }
}

impl Attempt {
    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Writes a segment; whether it is a base. The object is in the store when this returns.
    pub async fn write_segment(&self, segment: EncodedSegment, full: bool) -> Result<SegmentRef> {
        self.store.writer().check_not_fenced()?;
        let name = segment::segment_name(segment.kind(), UniqueId(self.store.shared.environment.unique()));
        self.lock().written.push(name.clone());
        segment::write(self.store.bucket(), name, full, segment).await
    }

    /// Takes a segment over that another attempt has written and that is to be in this one's manifest: it is garbage now when this one is.
    pub fn take_over(&self, other: &Self, segment: &SegmentRef) {
        other.lock().written.retain(|name| *name != segment.name);
        self.lock().written.push(segment.name.clone());
    }

    /// Puts the manifest.
    ///
    /// # Panics
    /// When an invariant of the contents does not hold ([`Contents::broken_invariant`]), when they are ahead of the durable input
    /// log, or when the attempt has committed already.
    pub async fn commit(&self, contents: Contents) -> CommitOutcome {
        let writer = self.store.writer();
        if let Err(error) = writer.check_not_fenced() {
            return CommitOutcome::Fenced(error);
        }
        assert!(!self.lock().committed, "an attempt commits once");
        assert!(contents.epoch <= writer.durable_epoch(), "what a checkpoint holds was durable before it was visible");
        let mut newest = writer.newest.lock().await;
        let mut manifest = Manifest {
            id: newest.next(),
            generation: writer.generation,
            writer: writer.id,
            attempt: self.id,
            created_unix_ms: self.store.shared.environment.unix_millis(),
            fence_of: None,
            contents,
        };
        loop {
            let bytes = manifest.encode();
            self.lock().put = Some(Box::new(manifest.clone()));
            let unclear = match self.store.bucket().create(&manifest_name(manifest.id), bytes.into()).await {
                Created::Yes => return self.confirm(&mut newest, manifest).await,
                Created::Exists => None,
                Created::Unclear(error) => Some(error),
            };
            match self.judge(&mut newest, manifest, unclear).await {
                Judged::Outcome(outcome) => return outcome,
                Judged::TakenByOurselves(taken) => {
                    *newest = taken.id;
                    manifest = Manifest { id: taken.id.next(), ..*taken };
                }
            }
        }
    }

    /// Asks again after [`CommitOutcome::Unknown`].
    ///
    /// # Panics
    /// When no commit was tried.
    pub async fn read_back(&self) -> CommitOutcome {
        let mut newest = self.store.writer().newest.lock().await;
        let manifest = self.lock().put.clone().expect("only an attempt whose commit was tried is read back");
        let absent = Error::Missing { object: manifest_name(manifest.id), used_by: "the checkpoint being committed".to_owned() };
        match self.judge(&mut newest, *manifest, Some(absent.clone())).await {
            Judged::Outcome(outcome) => outcome,
            Judged::TakenByOurselves(_) => CommitOutcome::Failed(absent),
        }
    }

    /// What the object at the place of `manifest` says. `unclear` is why the put is in doubt; without it, something is known to be
    /// there.
    async fn judge(&self, newest: &mut CheckpointId, manifest: Manifest, unclear: Option<Error>) -> Judged {
        let writer = self.store.writer();
        let name = manifest_name(manifest.id);
        let there = match self.store.bucket().get_if_there(&name).await {
            Ok(Some(bytes)) => Manifest::decode(&name, &bytes),
            Ok(None) => {
                let outcome = match unclear {
                    Some(error) => CommitOutcome::Failed(error),
                    None => CommitOutcome::Unknown(Error::Missing {
                        object: name,
                        used_by: crate::manifest::CHECKPOINT_LIST.to_owned(),
                    }),
                };
                return Judged::Outcome(outcome);
            }
            Err(error) => return Judged::Outcome(CommitOutcome::Unknown(unclear.unwrap_or(error))),
        };
        Judged::Outcome(match there {
            Ok(there) if there.attempt == manifest.attempt => self.confirm(newest, manifest).await,
            Ok(there) if there.writer == manifest.writer => return Judged::TakenByOurselves(Box::new(manifest)),
            Ok(there) => CommitOutcome::Fenced(writer.fence(Error::Fenced { object: name, generation: there.generation })),
            // Only a later version of refrain, so another process, writes that.
            Err(error @ Error::NewerFormat { .. }) => CommitOutcome::Fenced(writer.fence(error)),
            Err(error) => CommitOutcome::Unknown(error),
        })
    }

    /// The manifest is in the store; a higher one means that the store was taken over long ago.
    async fn confirm(&self, newest: &mut CheckpointId, manifest: Manifest) -> CommitOutcome {
        let bucket = self.store.bucket();
        let highest = match bucket.list_numbered(MANIFEST_FOLDER, ".json").await {
            Ok(listed) => listed.last().map_or(manifest.id, |(id, _)| CheckpointId(*id)),
            Err(error) => return CommitOutcome::Unknown(error),
        };
        if highest > manifest.id {
            match open::read_manifest(bucket, highest).await {
                // A later attempt has committed since; this one is asked about late.
                Ok(other) if other.writer == manifest.writer => {}
                Ok(other) => {
                    let error = Error::Fenced { object: manifest_name(highest), generation: other.generation };
                    return CommitOutcome::Fenced(self.store.writer().fence(error));
                }
                Err(error) => return CommitOutcome::Unknown(error),
            }
        }
        *newest = highest;
        self.lock().committed = true;
        self.leave_unused(&manifest);
        CommitOutcome::Committed(Box::new(manifest))
    }

    /// Segments that were written and are not in the manifest, because their upload was tried again, say.
    fn leave_unused(&self, manifest: &Manifest) {
        let used = manifest.contents.segments();
        let used = used.iter().map(|u| u.segment.name.as_str()).collect::<std::collections::BTreeSet<_>>();
        let names = std::mem::take(&mut self.lock().written).into_iter().filter(|name| !used.contains(name.as_str())).collect();
        self.abandon(names, CheckpointId(manifest.id.0 - 1));
    }

    fn abandon(&self, names: Vec<String>, newest: CheckpointId) {
        if !names.is_empty() {
            let mut abandoned = self.store.writer().abandoned.lock().expect("nothing panics while it holds this lock");
            abandoned.push(Abandoned { names, newest });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

enum Judged {
    Outcome(CommitOutcome),
    /// An earlier attempt of this writer landed late at the place of this manifest.
    TakenByOurselves(Box<Manifest>),
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let state = std::mem::take(&mut *self.lock());
        if !state.committed {
            // A manifest that may still appear keeps its objects until a higher one is there.
            let newest = state.put.map_or(CheckpointId(0), |m| CheckpointId(m.id.0 - 1));
            self.abandon(state.written, newest);
        }
    }
}
