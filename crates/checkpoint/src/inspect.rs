//! A description of a store, read without changing it, every object verified.
//!
//! Problems do not end the inspection: each is a line that names the object and who uses it. A writer may be at work meanwhile: a checkpoint
//! whose manifest it has collected by the end is left out, with what is said of its objects.

use std::collections::{BTreeMap, BTreeSet};

use refrain_types::{CheckpointId, Epoch, Generation, OperatorId, RelationId};

use crate::bucket::{Bucket, Listed};
use crate::error::{Error, Result};
use crate::input_reader;
use crate::input_record::{FENCE_BYTES, INPUT_FOLDER, input_name};
use crate::location::Location;
use crate::manifest::{DataflowEntry, MANIFEST_FOLDER, Manifest, SegmentUse};
use crate::open;
use crate::segment::{self, LOOP_FOLDER, SEGMENT_FOLDER, SegmentRef};

/// What is in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreReport {
    /// As given.
    pub url: String,
    /// Checkpoints and fences, newest first.
    pub checkpoints: Vec<CheckpointReport>,
    /// The input log.
    pub input_log: InputLogReport,
    /// Segments and loop logs that no manifest names: being uploaded, or left behind.
    pub unreferenced: Size,
    /// What is wrong, one line each; none in a sound store.
    pub problems: Vec<String>,
}

/// Objects, rows in them and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Objects.
    pub objects: u64,
    /// Rows; 0 where that is not known.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A checkpoint, or a fence that carries one on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Its id.
    pub id: CheckpointId,
    /// Generation of its writer.
    pub generation: Generation,
    /// For a fence, the checkpoint that it carries on; 0 in a store without one.
    pub fence_of: Option<CheckpointId>,
    /// Position of the input log.
    pub epoch: Epoch,
    /// When it was written.
    pub created_unix_ms: u64,
    /// How long ago that is.
    pub age_ms: u64,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// All that it names.
    pub size: Size,
    /// Tables and views.
    pub relations: Vec<RelationReport>,
    /// State of operators.
    pub operators: Vec<OperatorReport>,
    /// Loops.
    pub loops: Vec<LoopReport>,
}

/// A table or view in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationReport {
    /// Its id.
    pub id: RelationId,
    /// Its name.
    pub name: String,
    /// The epoch of its result.
    pub epoch: Epoch,
    /// Its result.
    pub result: Size,
    /// Its change log and its unsettled output.
    pub log: Size,
}

/// One part of the state of an operator in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorReport {
    /// Name of its view.
    pub view: String,
    /// Its id.
    pub operator: OperatorId,
    /// What it is.
    pub name: String,
    /// Which of its Z-sets.
    pub part: String,
    /// All segments.
    pub size: Size,
    /// Those of them that are bases.
    pub bases: Size,
}

/// A loop in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopReport {
    /// Name of its view.
    pub view: String,
    /// Its head.
    pub operator: OperatorId,
    /// What it is.
    pub name: String,
    /// The iteration that it was in.
    pub iteration: u32,
    /// Its log.
    pub log: Size,
}

/// The input log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputLogReport {
    /// All objects.
    pub size: Size,
    /// Those of them that are fences.
    pub fences: u64,
    /// The last epoch that is there.
    pub last_epoch: Epoch,
    /// Records that a recovery from the newest checkpoint reads.
    pub tail_records: u64,
}

impl Size {
    fn of<'a>(segments: impl IntoIterator<Item = &'a SegmentRef>) -> Self {
        segments.into_iter().fold(Self::default(), |mut size, s| {
            size.add(s.rows, s.bytes);
            size
        })
    }

    fn add(&mut self, rows: u64, bytes: u64) {
        self.objects += 1;
        self.rows += rows;
        self.bytes += bytes;
    }
}

/// Reads and verifies everything in a store. `now_unix_ms` is for ages.
///
/// # Errors
/// Only when the store cannot be listed; everything else is a problem in the report.
pub async fn inspect(location: &Location, now_unix_ms: u64) -> Result<StoreReport> {
    let bucket = &location.bucket;
    let mut report = StoreReport { url: location.url.clone(), ..StoreReport::default() };
    // The input log first: the newest checkpoint then begins in what is listed, however much is collected later.
    let inputs = bucket.list_numbered(INPUT_FOLDER, ".arrow").await?;
    // Segments before manifests: those of a checkpoint that commits meanwhile are then counted as unreferenced at worst.
    let mut segments = bucket.list(SEGMENT_FOLDER).await?;
    segments.extend(bucket.list(LOOP_FOLDER).await?);
    let (mut manifests, mut unreadable) = (Vec::new(), Vec::new());
    for (id, listed) in bucket.list_numbered(MANIFEST_FOLDER, ".json").await?.into_iter().rev() {
        match open::read_manifest(bucket, CheckpointId(id)).await {
            Ok(manifest) => manifests.push((manifest, listed)),
            Err(error) => unreadable.push((id, error.to_string())),
        }
    }
    let problems = verify_segments(bucket, &manifests, &segments, &mut report).await;
    let captured = manifests.first().map_or(Epoch(0), |(m, _)| m.contents.epoch);
    // A manifest is collected before its segments.
    let there = bucket.list_numbered(MANIFEST_FOLDER, ".json").await?.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>();
    manifests.retain(|(manifest, _)| there.contains(&manifest.id.0));
    let named = manifests.iter().flat_map(|(m, _)| m.contents.segments()).map(|u| u.segment.name.as_str()).collect::<BTreeSet<_>>();
    report.problems.extend(unreadable.into_iter().filter(|(id, _)| there.contains(id)).map(|(_, problem)| problem));
    report.problems.extend(problems.into_iter().filter(|(name, _)| named.contains(name.as_str())).map(|(_, problem)| problem));
    report.checkpoints = manifests.iter().map(|(m, listed)| describe(m, listed.bytes, now_unix_ms)).collect();
    inspect_input_log(bucket, inputs, captured, &mut report).await;
    Ok(report)
}

/// Reads each segment once, however many manifests name it. Returns the names of those with a problem, and the problems.
async fn verify_segments(
    bucket: &Bucket,
    manifests: &[(Manifest, Listed)],
    listed: &[Listed],
    report: &mut StoreReport,
) -> Vec<(String, String)> {
    let (mut verified, mut problems) = (BTreeSet::new(), Vec::new());
    for SegmentUse { segment, used_by } in manifests.iter().flat_map(|(m, _)| m.contents.segments()) {
        if !verified.insert(segment.name.as_str()) {
            continue;
        }
        if let Err(error) = segment::read(bucket, segment, &used_by).await {
            problems.push((segment.name.clone(), error.to_string()));
        }
    }
    for object in listed.iter().filter(|l| !verified.contains(l.name.as_str())) {
        report.unreferenced.add(0, object.bytes);
    }
    problems
}

async fn inspect_input_log(bucket: &Bucket, inputs: Vec<(u64, Listed)>, captured: Epoch, report: &mut StoreReport) {
    let log = &mut report.input_log;
    log.last_epoch = captured;
    // The object before, which has gone since it was listed: where it ended is not known.
    let mut is_collected = false;
    for (first, listed) in inputs {
        log.fences += u64::from(listed.bytes == FENCE_BYTES);
        // What a recovery reads is contiguous; below that, collected objects leave gaps.
        let expected = log.last_epoch.next();
        let is_known = !std::mem::take(&mut is_collected);
        if is_known && Epoch(first) > expected {
            report.problems.push(format!("object \"{}\" of the input log is missing", input_name(expected)));
        }
        match input_reader::read_object(bucket, Epoch(first)).await {
            Ok(object) => {
                log.size.add(object.records.len() as u64, listed.bytes);
                log.tail_records += object.records.iter().filter(|r| r.epoch > captured).count() as u64;
                log.last_epoch = log.last_epoch.max(object.last);
            }
            Err(Error::Missing { .. }) => {
                is_collected = true;
                log.last_epoch = log.last_epoch.max(Epoch(first));
            }
            Err(error) => {
                log.size.add(0, listed.bytes);
                log.last_epoch = log.last_epoch.max(Epoch(first));
                report.problems.push(error.to_string());
            }
        }
    }
}

fn describe(manifest: &Manifest, manifest_bytes: u64, now_unix_ms: u64) -> CheckpointReport {
    let contents = &manifest.contents;
    let distinct: BTreeMap<_, _> = contents.segments().iter().map(|u| (u.segment.name.as_str(), u.segment)).collect();
    CheckpointReport {
        id: manifest.id,
        generation: manifest.generation,
        fence_of: manifest.fence_of,
        epoch: contents.epoch,
        created_unix_ms: manifest.created_unix_ms,
        age_ms: now_unix_ms.saturating_sub(manifest.created_unix_ms),
        manifest_bytes,
        size: Size::of(distinct.into_values()),
        relations: contents.relations.iter().map(describe_relation).collect(),
        operators: contents.dataflows.iter().flat_map(describe_operators).collect(),
        loops: contents.dataflows.iter().flat_map(describe_loops).collect(),
    }
}

fn describe_relation(relation: &crate::manifest::RelationEntry) -> RelationReport {
    let result = Size::of(relation.result.iter().chain(&relation.result_errors));
    let logs = [&relation.log, &relation.log_errors, &relation.unsettled, &relation.unsettled_errors];
    let log = Size::of(logs.into_iter().flatten());
    RelationReport { id: relation.id, name: relation.name.clone(), epoch: relation.epoch, result, log }
}

fn describe_operators(dataflow: &DataflowEntry) -> impl Iterator<Item = OperatorReport> {
    dataflow.operators.iter().map(|o| OperatorReport {
        view: dataflow.name.clone(),
        operator: o.operator,
        name: o.name.clone(),
        part: o.part.clone(),
        size: Size::of(&o.segments),
        bases: Size::of(o.segments.iter().filter(|s| s.full)),
    })
}

fn describe_loops(dataflow: &DataflowEntry) -> impl Iterator<Item = LoopReport> {
    dataflow.loops.iter().map(|l| LoopReport {
        view: dataflow.name.clone(),
        operator: l.operator,
        name: l.name.clone(),
        iteration: l.iteration,
        log: Size::of(&l.log),
    })
}
