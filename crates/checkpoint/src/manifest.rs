//! The manifest: what a checkpoint is.
//!
//! `manifest/<id, 20 digits>.json` is JSON that a person can read: an envelope with format, length and checksum around the body.
//! A checkpoint exists from the moment its manifest does, and is never changed. Manifests are numbered without gaps: a writer
//! puts its next one exactly after the newest it knows, so that two writers always collide ([`crate::fence`]).
//!
//! The invariants of the body are named predicates, asserted before a manifest is written and checked after one is read.
//!
//! Not here: what the catalog says (opaque JSON of the engine) and what the columns of a segment mean.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use refrain_types::{CheckpointId, DataflowId, Epoch, Generation, OperatorId, RelationId, Tick};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Damage, Error, Result};
use crate::numbers::{self, UniqueId};
use crate::segment::SegmentRef;

/// Newest manifest format that this version reads, and the one that it writes.
pub const MANIFEST_FORMAT: u16 = 1;

/// A checkpoint, or a fence: the state of the newest checkpoint carried on by a process that opened the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its number, part of its name.
    #[serde(with = "numbers")]
    pub id: CheckpointId,
    /// Generation of its writer.
    #[serde(with = "numbers")]
    pub generation: Generation,
    /// The process, or rather the opening, that wrote it.
    pub writer: UniqueId,
    /// Tells the attempts of one writer apart.
    pub attempt: UniqueId,
    /// Wall clock of the writer, for people only.
    pub created_unix_ms: u64,
    /// For a fence: the checkpoint whose contents it carries on; 0 in a store without one.
    #[serde(with = "numbers::option", default, skip_serializing_if = "Option::is_none")]
    pub fence_of: Option<CheckpointId>,
    /// What the engine restores.
    pub contents: Contents,
}

/// What the engine puts into a checkpoint and finds there again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// Position of the input log that the tables were captured at: later epochs are read from the log.
    #[serde(with = "numbers")]
    pub epoch: Epoch,
    /// Whatever the engine needs to plan its views again.
    pub catalog: serde_json::Value,
    /// Tables and views.
    pub relations: Vec<RelationEntry>,
    /// Running dataflows.
    pub dataflows: Vec<DataflowEntry>,
}

/// The result and the change log of a table or view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationEntry {
    /// Its id.
    #[serde(with = "numbers")]
    pub id: RelationId,
    /// Its name, for error messages.
    pub name: String,
    /// The epoch of its result: where it was captured, not where it last changed.
    #[serde(with = "numbers")]
    pub epoch: Epoch,
    /// Rows at `epoch`, as one or more additive Z-sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub result: Vec<SegmentRef>,
    /// Errors at `epoch`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub result_errors: Vec<SegmentRef>,
    /// Changes by epoch that some reader has not consumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<SegmentRef>,
    /// The errors of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_errors: Vec<SegmentRef>,
    /// Output of ticks that have not settled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<SegmentRef>,
    /// The errors of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsettled_errors: Vec<SegmentRef>,
}

/// A dataflow at its cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataflowEntry {
    /// Its id.
    #[serde(with = "numbers")]
    pub id: DataflowId,
    /// Name of its view, for error messages.
    pub name: String,
    /// Fingerprint of its plan; state fits only the plan that made it.
    pub fingerprint: String,
    /// The tick that the cut closed.
    #[serde(with = "numbers")]
    pub tick: Tick,
    /// Everything up to here is reflected fully.
    #[serde(with = "numbers")]
    pub settled_epoch: Epoch,
    /// Up to where it has consumed the change log of each relation that it reads.
    #[serde(with = "numbers::map")]
    pub consumed: BTreeMap<RelationId, Epoch>,
    /// Pieces of the next epoch that it has admitted already.
    pub pieces: u64,
    /// State of every stateful operator, one entry per part, also where there are no rows.
    pub operators: Vec<OperatorEntry>,
    /// Every loop, also where nothing was in flight.
    pub loops: Vec<LoopEntry>,
}

/// One part of the state of an operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorEntry {
    /// Its stable id in the plan.
    #[serde(with = "numbers")]
    pub operator: OperatorId,
    /// What it is, for error messages.
    pub name: String,
    /// Which of its Z-sets.
    pub part: String,
    /// Bases and changelogs of all workers; their sum is the state.
    pub segments: Vec<SegmentRef>,
}

/// A loop that was held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopEntry {
    /// Its head's stable id in the plan.
    #[serde(with = "numbers")]
    pub operator: OperatorId,
    /// What it is, for error messages.
    pub name: String,
    /// The feedback in flight, all workers.
    pub log: Vec<SegmentRef>,
    /// Rows in flight.
    pub rows: u64,
    /// Bytes of the log on disk.
    pub bytes: u64,
    /// The iteration that it was in, for people.
    pub iteration: u32,
}

/// A segment and who uses it, in words.
pub struct SegmentUse<'a> {
    /// The segment.
    pub segment: &'a SegmentRef,
    /// For error messages: `operator 3 (distinct, derivations) of view "closure"`.
    pub used_by: String,
}

impl RelationEntry {
    /// Its segments.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentRef> {
        let rows = [&self.result, &self.log, &self.unsettled];
        let errors = [&self.result_errors, &self.log_errors, &self.unsettled_errors];
        rows.into_iter().chain(errors).flatten()
    }

    /// For error messages.
    #[must_use]
    pub fn used_by(&self) -> String {
        format!("relation \"{}\"", self.name)
    }
}

impl DataflowEntry {
    /// For error messages.
    #[must_use]
    pub fn used_by_operator(&self, entry: &OperatorEntry) -> String {
        format!("operator {} ({}, {}) of view \"{}\"", entry.operator, entry.name, entry.part, self.name)
    }

    /// For error messages.
    #[must_use]
    pub fn used_by_loop(&self, entry: &LoopEntry) -> String {
        format!("the loop at operator {} ({}) of view \"{}\"", entry.operator, entry.name, self.name)
    }
}

impl Contents {
    /// No checkpoint was ever taken: the empty database.
    #[must_use]
    pub fn is_origin(&self) -> bool {
        self.epoch == Epoch(0) && self.relations.is_empty() && self.dataflows.is_empty() && self.catalog.is_null()
    }

    /// Every segment, with who uses it.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentUse<'_>> {
        let mut uses = Vec::new();
        for relation in &self.relations {
            uses.extend(relation.segments().map(|segment| SegmentUse { segment, used_by: relation.used_by() }));
        }
        for dataflow in &self.dataflows {
            for entry in &dataflow.operators {
                let used_by = dataflow.used_by_operator(entry);
                uses.extend(entry.segments.iter().map(|segment| SegmentUse { segment, used_by: used_by.clone() }));
            }
            for entry in &dataflow.loops {
                let used_by = dataflow.used_by_loop(entry);
                uses.extend(entry.log.iter().map(|segment| SegmentUse { segment, used_by: used_by.clone() }));
            }
        }
        uses
    }

    /// The first invariant that does not hold, in words.
    #[must_use]
    pub fn broken_invariant(&self) -> Option<&'static str> {
        type Check = (fn(&Contents) -> bool, &'static str);
        let checks: [Check; 5] = [
            (Self::ids_are_unique, "two relations or two dataflows have one id"),
            (Self::parts_are_unique, "one part of an operator, or one loop, is there twice"),
            (Self::segments_are_named_once, "a segment is named twice"),
            (Self::readers_are_captured_first, "a dataflow has consumed what its input does not have"),
            (Self::nothing_is_ahead_of_the_input_log, "something is ahead of the input log"),
        ];
        checks.into_iter().find(|(holds, _)| !holds(self)).map(|(_, words)| words)
    }

    /// State is found by id: with two entries of one id, one of them would be lost without a word.
    fn ids_are_unique(&self) -> bool {
        all_distinct(self.relations.iter().map(|r| r.id)) && all_distinct(self.dataflows.iter().map(|d| d.id))
    }

    /// Likewise for operators, of which nested loops have several kinds of parts.
    fn parts_are_unique(&self) -> bool {
        self.dataflows.iter().all(|d| {
            all_distinct(d.operators.iter().map(|o| (o.operator, &o.part))) && all_distinct(d.loops.iter().map(|l| l.operator))
        })
    }

    /// Segments are summed: one that is named twice would double its rows.
    fn segments_are_named_once(&self) -> bool {
        all_distinct(self.segments().iter().map(|u| &u.segment.name))
    }

    /// Readers are captured before what they read, so a reader is never ahead of its input. Otherwise, after a restore, the input
    /// would produce again what the reader already has.
    fn readers_are_captured_first(&self) -> bool {
        let positions: BTreeMap<_, _> = self.relations.iter().map(|r| (r.id, r.epoch)).collect();
        let consumed = self.dataflows.iter().flat_map(|d| &d.consumed);
        consumed.into_iter().all(|(relation, epoch)| positions.get(relation).is_some_and(|position| epoch <= position))
    }

    /// Tables are captured last, at `epoch`; recovery re-admits what comes after it and nothing else.
    fn nothing_is_ahead_of_the_input_log(&self) -> bool {
        self.relations.iter().all(|r| r.epoch <= self.epoch) && self.dataflows.iter().all(|d| d.settled_epoch <= self.epoch)
    }
}

fn all_distinct<T: Ord>(items: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    let mut items = items;
    items.all(|item| seen.insert(item))
}

/// Name of the manifest with this id, relative to the root of the store.
#[must_use]
pub fn manifest_name(id: CheckpointId) -> String {
    format!("{MANIFEST_FOLDER}/{:020}.json", id.0)
}

/// Folder of the manifests.
pub(crate) const MANIFEST_FOLDER: &str = "manifest";

/// For error messages.
pub(crate) const CHECKPOINT_LIST: &str = "the list of checkpoints";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    format: u16,
    length: u64,
    crc32: u32,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Manifest {
    /// The bytes of its object.
    ///
    /// # Panics
    /// When an invariant does not hold: a wrong checkpoint is worse than none.
    pub(crate) fn encode(&self) -> Bytes {
        if let Some(words) = self.contents.broken_invariant() {
            panic!("a checkpoint must not be written: {words}");
        }
        let body = serde_json::to_string_pretty(self).expect("a manifest has only text keys and finite numbers");
        let crc32 = crc32fast::hash(body.as_bytes());
        let length = body.len();
        Bytes::from(format!(
            "{{\n\"format\": {MANIFEST_FORMAT},\n\"length\": {length},\n\"crc32\": {crc32},\n\"body\": {body}\n}}\n"
        ))
    }

    /// Reads the object `name`.
    pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let content = |what: &dyn std::fmt::Display| Error::content(name, CHECKPOINT_LIST, what);
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|e| content(&e))?;
        let body = envelope.body.get();
        if envelope.format > MANIFEST_FORMAT {
            return Err(Error::NewerFormat { object: name.to_owned(), found: envelope.format, supported: MANIFEST_FORMAT });
        }
        let (found, crc32) = (body.len() as u64, crc32fast::hash(body.as_bytes()));
        let damage = match envelope {
            Envelope { format: 0, .. } => Some(Damage::UnknownFormat(0)),
            Envelope { length, .. } if found < length => Some(Damage::Short { expected: length, found }),
            Envelope { length, .. } if found > length => Some(Damage::Long { expected: length, found }),
            Envelope { crc32: expected, .. } if crc32 != expected => Some(Damage::Checksum { expected, found: crc32 }),
            _ => None,
        };
        if let Some(damage) = damage {
            return Err(Error::damaged(name, CHECKPOINT_LIST, damage));
        }
        let manifest: Self = serde_json::from_str(body).map_err(|e| content(&e))?;
        if manifest_name(manifest.id) != name {
            return Err(content(&format_args!("it says that it is checkpoint {}", manifest.id)));
        }
        match manifest.contents.broken_invariant() {
            Some(words) => Err(content(&words)),
            None => Ok(manifest),
        }
    }
}

#[cfg(test)]
mod tests;
