//! Opening a store, and what an open store is.
//!
//! Opening for writing takes the store over ([`crate::fence`]); opening for reading writes nothing. Either way the newest
//! manifest, or the one that is asked for, is found, read and checked; the segments that it names are read by whoever restores them
//! ([`Store::read_segment`]), and the input log behind it with [`Store::read_input`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use arrow::array::RecordBatch;
use refrain_types::{CheckpointId, Environment, Epoch, Generation};

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::fence;
use crate::garbage::{self, Abandoned, Collected};
use crate::input_log::InputLog;
use crate::input_reader::{self, InputReader};
use crate::location::{Location, LocationKind};
use crate::manifest::{CHECKPOINT_LIST, MANIFEST_FOLDER, Manifest, manifest_name};
use crate::numbers::UniqueId;
use crate::segment::{self, SegmentRef};

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is written; a writer may be at work.
    Read,
    /// The same for one checkpoint, without the input log behind it: the store as it was then.
    At(CheckpointId),
    /// Whoever wrote before is fenced.
    Write,
}

/// An open store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub location: Location,
    pub environment: Arc<dyn Environment>,
    /// `None` when opened for reading.
    pub writer: Option<Arc<Writer>>,
}

/// What the parts of one opening for writing share.
pub(crate) struct Writer {
    pub id: UniqueId,
    pub generation: Generation,
    /// Id of the newest manifest that is known to be in the store. A commit holds the lock.
    pub newest: tokio::sync::Mutex<CheckpointId>,
    /// Last epoch that is durable in the input log.
    pub durable_epoch: AtomicU64,
    /// Set once another writer has been met; nothing is written after that.
    pub fenced: OnceLock<Error>,
    /// Objects of attempts that did not commit.
    pub abandoned: Mutex<Vec<Abandoned>>,
}

/// A store, as it was found.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Generation of this writer; when reading, that of the newest manifest, 0 in an empty store.
    pub generation: Generation,
    /// The newest checkpoint, possibly as a fence carries it on; `None` when no checkpoint was ever taken: begin with the empty
    /// database and the whole input log.
    pub manifest: Option<Manifest>,
    /// The input log to append to; `None` when reading.
    pub input_log: Option<InputLog>,
    /// The first epoch that is not in the input log. Epochs before it that [`Store::read_input`] does not yield were taken by
    /// fences and changed nothing.
    pub next_epoch: Epoch,
    /// What earlier writers left behind and was removed, or why that could not be done; never a reason not to go on.
    pub swept: Result<Collected>,
}

impl Store {
    /// The time and the chance that it was opened with.
    #[must_use]
    pub fn environment(&self) -> &dyn Environment {
        &*self.shared.environment
    }

    /// Opens the store at a URL or path ([`Location::parse`]).
    ///
    /// # Errors
    /// Whatever is damaged, missing or of a later format, by name; [`Error::Fenced`] when somebody else opens it at the same time.
    ///
    /// # Panics
    /// Outside a tokio runtime, unless the store is private memory: the input log is written by a task of the runtime.
    pub async fn open(url: &str, environment: Arc<dyn Environment>, mode: Mode) -> Result<Opened> {
        let location = Location::parse(url, mode == Mode::Write)?;
        Self::open_at(location, environment, mode).await
    }

    /// Opens the store at a location.
    pub async fn open_at(location: Location, environment: Arc<dyn Environment>, mode: Mode) -> Result<Opened> {
        match mode {
            Mode::Read => Self::open_reading(location, environment).await,
            Mode::At(id) => Self::open_checkpoint(location, environment, id).await,
            Mode::Write => Self::open_writing(location, environment).await,
        }
    }

    async fn open_reading(location: Location, environment: Arc<dyn Environment>) -> Result<Opened> {
        let bucket = &location.bucket;
        let manifest = newest_manifest(bucket).await?;
        let captured = manifest.as_ref().map_or(Epoch(0), |m| m.contents.epoch);
        let next_epoch = input_reader::end_of_log(bucket, captured).await?;
        let generation = manifest.as_ref().map_or(Generation(0), |m| m.generation);
        let store = Self { shared: Arc::new(Shared { location, environment, writer: None }) };
        let manifest = manifest.filter(|m| !m.contents.is_origin());
        Ok(Opened { store, generation, manifest, input_log: None, next_epoch, swept: Ok(Collected::default()) })
    }

    async fn open_checkpoint(location: Location, environment: Arc<dyn Environment>, id: CheckpointId) -> Result<Opened> {
        let manifest = checkpoint(&location, id).await?;
        let (generation, next_epoch) = (manifest.generation, manifest.contents.epoch.next());
        let store = Self { shared: Arc::new(Shared { location, environment, writer: None }) };
        Ok(Opened { store, generation, manifest: Some(manifest), input_log: None, next_epoch, swept: Ok(Collected::default()) })
    }

    async fn open_writing(location: Location, environment: Arc<dyn Environment>) -> Result<Opened> {
        let id = UniqueId(environment.unique());
        let manifest = fence::take_over(&location.bucket, environment.as_ref(), id).await?;
        let generation = manifest.generation;
        let fence_epoch = fence::fence_input_log(&location.bucket, &manifest).await?;
        let writer = Arc::new(Writer {
            id,
            generation,
            newest: tokio::sync::Mutex::new(manifest.id),
            durable_epoch: AtomicU64::new(fence_epoch.0),
            fenced: OnceLock::new(),
            abandoned: Mutex::default(),
        });
        let swept = garbage::sweep_orphans(&location, manifest.id).await;
        let keep = location.kind != LocationKind::Private;
        let input_log = InputLog::new(location.bucket.clone(), Arc::clone(&writer), Arc::clone(&environment), keep);
        let store = Self { shared: Arc::new(Shared { location, environment, writer: Some(writer) }) };
        let manifest = Some(manifest).filter(|m| !m.contents.is_origin());
        Ok(Opened { store, generation, manifest, input_log: Some(input_log), next_epoch: fence_epoch.next(), swept })
    }

    /// Where it is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.shared.location
    }

    /// Reads and verifies a segment. `used_by` goes into the error: `operator 3 (distinct, emissions) of view "closure"`.
    pub async fn read_segment(&self, segment: &SegmentRef, used_by: &str) -> Result<Vec<RecordBatch>> {
        segment::read(self.bucket(), segment, used_by).await
    }

    /// The records of the input log after `after` and before `before`, in order; a gap is an error.
    #[must_use]
    pub fn read_input(&self, after: Epoch, before: Epoch) -> InputReader {
        InputReader::new(self.bucket().clone(), after, before)
    }

    /// Removes what only checkpoints older than the newest `retained` need, of which there is at least one, and objects of aborted ones
    /// ([`crate::garbage`]).
    pub async fn collect_garbage(&self, retained: usize) -> Result<Collected> {
        garbage::collect(self.bucket(), self.writer(), retained).await
    }

    /// Whether another writer has been met; the engine must stop then.
    #[must_use]
    pub fn fenced(&self) -> Option<Error> {
        self.shared.writer.as_ref().and_then(|w| w.fenced.get().cloned())
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        &self.shared.location.bucket
    }

    pub(crate) fn writer(&self) -> &Arc<Writer> {
        self.shared.writer.as_ref().expect("whoever writes has opened the store for writing")
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.shared.writer.as_ref().map(|w| w.generation);
        f.debug_struct("Store").field("location", &self.shared.location).field("generation", &generation).finish()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checkpoint = self.manifest.as_ref().map(|m| m.id);
        f.debug_struct("Opened")
            .field("store", &self.store)
            .field("checkpoint", &checkpoint)
            .field("next_epoch", &self.next_epoch)
            .finish()
    }
}

impl Writer {
    /// The error of a fenced writer.
    pub fn check_not_fenced(&self) -> Result<()> {
        self.fenced.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Notes that another writer was met, and returns the error that everybody gets from now on.
    pub fn fence(&self, error: Error) -> Error {
        self.fenced.get_or_init(|| error).clone()
    }

    pub fn durable_epoch(&self) -> Epoch {
        Epoch(self.durable_epoch.load(Ordering::Acquire))
    }
}

/// The manifest with the highest id; `None` only in an empty store.
///
/// A writer puts its fence manifest before anything of its generation enters the input log. So a log that is there without a
/// manifest, or that is of a later generation than the newest manifest, means that manifests are missing. It is read first, lest
/// somebody who opens the store right now be taken for that.
pub(crate) async fn newest_manifest(bucket: &Bucket) -> Result<Option<Manifest>> {
    let log_generation = input_reader::last_object(bucket).await?.map(|object| object.generation);
    let manifest = match bucket.list_numbered(MANIFEST_FOLDER, ".json").await?.last() {
        Some((id, _)) => Some(read_manifest(bucket, CheckpointId(*id)).await?),
        None => None,
    };
    if log_generation > manifest.as_ref().map(|m| m.generation) {
        let next = manifest.map_or(CheckpointId(1), |m| m.id.next());
        return Err(Error::Missing { object: manifest_name(next), used_by: CHECKPOINT_LIST.to_owned() });
    }
    Ok(manifest)
}

/// The manifest of a checkpoint, or of a fence that carries one on. One that is not there is an error that tells which are.
pub(crate) async fn checkpoint(location: &Location, id: CheckpointId) -> Result<Manifest> {
    let ids = location.bucket.list_numbered(MANIFEST_FOLDER, ".json").await?.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let absent = || Error::NoCheckpoint { id, store: location.url.clone(), there: ids.clone() };
    if !ids.contains(&id.0) {
        return Err(absent());
    }
    let manifest = read_manifest(&location.bucket, id).await?;
    if manifest.contents.is_origin() { Err(absent()) } else { Ok(manifest) }
}

/// Reads and verifies a manifest.
pub(crate) async fn read_manifest(bucket: &Bucket, id: CheckpointId) -> Result<Manifest> {
    let name = manifest_name(id);
    let bytes = bucket.get(&name, CHECKPOINT_LIST).await?;
    Manifest::decode(&name, &bytes)
}
