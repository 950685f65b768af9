//! What the tests share: places for stores, an environment without chance, rows, and short ways to write them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use object_store::memory::InMemory;
use refrain_checkpoint::faults::FaultyStore;
use refrain_checkpoint::{
    Attempt, CommitOutcome, Contents, DataflowEntry, EncodedSegment, Error, InputChange, InputRecord, Location, LoopEntry,
    Manifest, Mode, Opened, OperatorEntry, RelationEntry, SegmentKind, Store,
};
use refrain_types::environment::Sleep;
use refrain_types::{CheckpointId, DataflowId, Environment, Epoch, OperatorId, RelationId};

/// Ids that count up, and a clock that stands still.
#[derive(Debug, Default)]
pub struct Counting(AtomicU64);

impl Environment for Counting {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn unix_millis(&self) -> u64 {
        1_700_000_000_000
    }

    fn unique(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A store that can be opened again and again, by one environment.
pub struct Place {
    pub location: Location,
    pub faults: FaultyStore,
    pub environment: Arc<dyn Environment>,
    directory: Option<PathBuf>,
}

impl Place {
    pub fn in_memory() -> Self {
        Self::of(Arc::new(InMemory::new()), None)
    }

    pub fn in_directory(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("refrain-checkpoint-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let store = refrain_checkpoint::local::LocalStore::open(&path, true).unwrap();
        Self::of(Arc::new(store), Some(path))
    }

    fn of(objects: Arc<dyn object_store::ObjectStore>, directory: Option<PathBuf>) -> Self {
        let faults = FaultyStore::new(objects);
        let location = Location::of_objects(Arc::new(faults.clone()));
        Self { location, faults, environment: Arc::new(Counting::default()), directory }
    }

    pub async fn try_open(&self) -> Result<Opened, Error> {
        Store::open_at(self.location.clone(), Arc::clone(&self.environment), Mode::Write).await
    }

    pub async fn open(&self) -> Opened {
        self.try_open().await.unwrap()
    }

    pub async fn open_reading(&self) -> Opened {
        Store::open_at(self.location.clone(), Arc::clone(&self.environment), Mode::Read).await.unwrap()
    }

    pub async fn open_at(&self, id: u64) -> Result<Opened, Error> {
        Store::open_at(self.location.clone(), Arc::clone(&self.environment), Mode::At(CheckpointId(id))).await
    }

    /// Names and sizes of all objects of a folder.
    pub async fn list(&self, folder: &str) -> Vec<(String, u64)> {
        use futures::TryStreamExt;
        use object_store::ObjectStore;
        let prefix = object_store::path::Path::from(folder);
        let mut found: Vec<_> =
            self.faults.list(Some(&prefix)).map_ok(|m| (m.location.to_string(), m.size)).try_collect().await.unwrap();
        found.sort();
        found
    }

    pub async fn read(&self, name: &str) -> Vec<u8> {
        use object_store::ObjectStoreExt;
        self.faults.get(&name.into()).await.unwrap().bytes().await.unwrap().to_vec()
    }

    /// Replaces an object behind everybody's back.
    pub async fn overwrite(&self, name: &str, bytes: Vec<u8>) {
        use object_store::ObjectStoreExt;
        self.faults.put(&name.into(), bytes.into()).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        use object_store::ObjectStoreExt;
        self.faults.delete(&name.into()).await.unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(path) = &self.directory {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

pub fn rows(numbers: impl IntoIterator<Item = i64>) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(numbers))]).unwrap()
}

pub fn segment(kind: SegmentKind, rows: RecordBatch) -> EncodedSegment {
    EncodedSegment::of(kind, &[rows]).unwrap()
}

pub fn insert(epoch: Epoch, number: i64) -> InputRecord {
    InputRecord { epoch, change: InputChange::Rows { relation: RelationId(1), batches: vec![rows([number])] } }
}

/// Inserts numbers, one statement each, and waits for each.
pub async fn insert_all(opened: &Opened, numbers: impl IntoIterator<Item = i64>) {
    let log = opened.input_log.as_ref().unwrap();
    for number in numbers {
        log.append(&[insert(log.next_epoch(), number)]).unwrap().await.unwrap();
    }
}

/// The numbers that the input log holds after an epoch.
pub async fn logged(opened: &Opened, after: Epoch) -> Result<Vec<i64>, Error> {
    let mut reader = opened.store.read_input(after, opened.next_epoch);
    let mut found = Vec::new();
    while let Some(record) = reader.next().await? {
        let InputChange::Rows { batches, .. } = record.change else { continue };
        for batch in batches {
            found.extend(batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values());
        }
    }
    Ok(found)
}

/// One table, one view with one operator and one loop; everything captured at the durable end of the input log.
pub async fn upload(attempt: &Attempt, opened: &Opened, number: i64) -> Result<Contents, Error> {
    let epoch = opened.input_log.as_ref().unwrap().durable_epoch();
    let table = attempt.write_segment(segment(SegmentKind::State, rows([number])), true).await?;
    let state = attempt.write_segment(segment(SegmentKind::State, rows([number, number])), false).await?;
    let log = attempt.write_segment(segment(SegmentKind::LoopLog, rows([number, number, number])), false).await?;
    let relation = RelationEntry { id: RelationId(1), name: "t".into(), epoch, result: vec![table], ..Default::default() };
    let operator =
        OperatorEntry { operator: OperatorId(3), name: "distinct".into(), part: "emissions".into(), segments: vec![state] };
    let head =
        LoopEntry { operator: OperatorId(4), name: "r".into(), rows: log.rows, bytes: log.bytes, iteration: 7, log: vec![log] };
    let dataflow =
        DataflowEntry { id: DataflowId(1), name: "v".into(), operators: vec![operator], loops: vec![head], ..Default::default() };
    Ok(Contents { epoch, catalog: serde_json::json!({"number": number}), relations: vec![relation], dataflows: vec![dataflow] })
}

pub async fn checkpoint(opened: &Opened, number: i64) -> CommitOutcome {
    let attempt = opened.store.begin();
    let contents = upload(&attempt, opened, number).await.unwrap();
    attempt.commit(contents).await
}

pub fn committed(outcome: CommitOutcome) -> Manifest {
    match outcome {
        CommitOutcome::Committed(manifest) => *manifest,
        other => panic!("{other:?}"),
    }
}

/// The number of a checkpoint, from its catalog, every segment of it read.
pub async fn restored(opened: &Opened) -> Result<Option<i64>, Error> {
    let Some(manifest) = &opened.manifest else { return Ok(None) };
    for used in manifest.contents.segments() {
        opened.store.read_segment(used.segment, &used.used_by).await?;
    }
    Ok(manifest.contents.catalog["number"].as_i64())
}

pub fn captured(opened: &Opened) -> Epoch {
    opened.manifest.as_ref().map_or(Epoch(0), |m| m.contents.epoch)
}
