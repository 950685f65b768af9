//! An object store that fails on demand, for tests.
//!
//! Faults are queued; each waits for its operation on an object whose name contains its text, strikes once and is gone. A store that is
//! down fails at everything.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Semaphore;

/// The operation that a fault waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A put.
    Put,
    /// A get.
    Get,
    /// A delete.
    Delete,
    /// A listing; its name is the prefix.
    List,
}

/// What happens then.
#[derive(Clone, Debug)]
pub enum Effect {
    /// It is done: an operation that is let pass before another one fails.
    Nothing,
    /// An error, and nothing is done.
    FailBefore,
    /// It is done, and an error comes back.
    FailAfter,
    /// The operation waits for the gate, then is done.
    Delay(Gate),
    /// It is done, and the answer waits for the gate.
    DelayAnswer(Gate),
    /// Only this many bytes are read.
    ShortRead(usize),
    /// This bit of what is read is another.
    BitFlip(usize),
}

impl Effect {
    async fn before(&self) -> Result<()> {
        match self {
            Self::FailBefore => return Err(injected()),
            Self::Delay(gate) => gate.pass().await,
            _ => {}
        }
        Ok(())
    }

    async fn after(&self) -> Result<()> {
        match self {
            Self::FailAfter => return Err(injected()),
            Self::DelayAnswer(gate) => gate.pass().await,
            _ => {}
        }
        Ok(())
    }
}

/// Holds operations up until it is opened. It tells when one has arrived.
#[derive(Clone, Debug)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { arrived: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    /// Waits until an operation has arrived.
    pub async fn arrival(&self) {
        self.arrived.acquire().await.expect("a gate is never closed for good").forget();
    }

    /// Lets one operation pass.
    pub fn open(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.open.acquire().await.expect("a gate is never closed for good").forget();
    }
}

#[derive(Debug)]
struct Fault {
    operation: Operation,
    name: String,
    effect: Effect,
}

/// Says what happens at each operation on an object.
pub type Decide = dyn Fn(Operation, &str) -> Effect + Send + Sync;

/// An object store that fails on demand.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    decide: Option<Arc<Decide>>,
    faults: Arc<Mutex<Vec<Fault>>>,
    is_down: Arc<AtomicBool>,
}

impl FaultyStore {
    /// Without faults yet.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, decide: None, faults: Arc::default(), is_down: Arc::default() }
    }

    /// With the faults that are decided, operation by operation.
    #[must_use]
    pub fn deciding(inner: Arc<dyn ObjectStore>, decide: impl Fn(Operation, &str) -> Effect + Send + Sync + 'static) -> Self {
        Self { decide: Some(Arc::new(decide)), ..Self::new(inner) }
    }

    /// Whether every operation fails until this is called again.
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Queues a fault for the next operation on an object whose name contains `name`.
    pub fn inject(&self, operation: Operation, name: &str, effect: Effect) {
        self.lock().push(Fault { operation, name: name.to_owned(), effect });
    }

    /// Faults that have not struck.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.faults.lock().expect("nothing panics while it holds this lock")
    }

    fn strike(&self, operation: Operation, name: &str) -> Effect {
        if self.is_down.load(Ordering::Relaxed) {
            return Effect::FailBefore;
        }
        if let Some(decide) = &self.decide {
            return decide(operation, name);
        }
        let mut faults = self.lock();
        let found = faults.iter().position(|f| f.operation == operation && name.contains(&f.name));
        found.map_or(Effect::Nothing, |found| faults.remove(found).effect)
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with faults", self.inner)
    }
}

fn injected() -> Error {
    Error::Generic { store: "faulty", source: "injected fault".into() }
}

/// What a read returns, spoilt.
async fn spoil(result: GetResult, effect: &Effect) -> Result<GetResult> {
    let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
    let mut bytes = result.bytes().await?.to_vec();
    match effect {
        Effect::ShortRead(length) => bytes.truncate(*length),
        Effect::BitFlip(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
        _ => {}
    }
    let payload = GetResultPayload::Stream(futures::stream::once(async move { Ok(Bytes::from(bytes)) }).boxed());
    Ok(GetResult { payload, meta, range, attributes })
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let effect = self.strike(Operation::Put, location.as_ref());
        effect.before().await?;
        let result = self.inner.put_opts(location, payload, options).await?;
        effect.after().await?;
        Ok(result)
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let effect = self.strike(Operation::Get, location.as_ref());
        effect.before().await?;
        let result = self.inner.get_opts(location, options).await?;
        effect.after().await?;
        match effect {
            Effect::ShortRead(_) | Effect::BitFlip(_) => spoil(result, &effect).await,
            _ => Ok(result),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let one_by_one = locations.and_then(move |location| {
            let this = this.clone();
            async move {
                let effect = this.strike(Operation::Delete, location.as_ref());
                effect.before().await?;
                let one = futures::stream::once(async move { Ok(location) }).boxed();
                let deleted = this.inner.delete_stream(one).try_next().await?.ok_or_else(injected)?;
                effect.after().await?;
                Ok(deleted)
            }
        });
        one_by_one.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let name = prefix.map_or("", |p| p.as_ref());
        match self.strike(Operation::List, name) {
            Effect::FailBefore | Effect::FailAfter => futures::stream::once(async { Err(injected()) }).boxed(),
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
