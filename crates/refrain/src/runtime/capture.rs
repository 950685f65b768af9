//! What a checkpoint holds of each dataflow and relation: taken under the schedule's lock, by reference, and written later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use refrain_checkpoint::{Attempt, DataflowEntry, LoopEntry, OperatorEntry, RelationEntry, SegmentKind, SegmentRef};
use refrain_dataflow::{Captured, LoopGauge, Part};
use refrain_plan::StreamPlan;
use refrain_plan::fingerprint::fingerprint;
use refrain_state::Dictionary;
use refrain_types::{Delta, Epoch, OperatorId, RelationId};

use super::segments;
use super::views::View;
use crate::error::Result;
use crate::relation::{ReaderId, Relation};

/// More changelogs than this of one part, and the next capture is a base.
const CHANGELOGS_MAX: usize = 24;

/// What the last committed checkpoint holds, to which the next one adds.
#[derive(Clone, Debug, Default)]
pub(super) struct Committed {
    pub relations: BTreeMap<RelationId, RelationEntry>,
    pub dataflows: BTreeMap<u64, DataflowEntry>,
}

impl Committed {
    /// The names of all segments in it.
    pub fn segment_names(&self) -> BTreeSet<String> {
        let relations = self.relations.values().flat_map(RelationEntry::segments);
        let operators = self.dataflows.values().flat_map(|d| &d.operators).flat_map(|o| &o.segments);
        relations.chain(operators).map(|s| s.name.clone()).collect()
    }
}

/// A relation at its capture.
#[derive(Debug)]
pub(super) struct CapturedRelation {
    pub relation: Arc<Relation>,
    epoch: Epoch,
    /// Rows of the result that are new since the committed checkpoint, or all.
    result: Vec<Arc<Delta>>,
    full: bool,
    /// Changes that some captured reader has not consumed.
    log: Vec<(Epoch, Arc<Delta>)>,
    unsettled: Vec<Arc<Delta>>,
    /// `unsettled` is everything, not what came since the committed checkpoint.
    unsettled_full: bool,
}

/// A dataflow at its capture.
#[derive(Debug)]
pub(super) struct CapturedDataflow {
    entry: DataflowEntry,
    plan: Arc<StreamPlan>,
    /// How far each loop has come.
    iterations: BTreeMap<OperatorId, u32>,
    parts: Vec<Captured>,
    pub relation: CapturedRelation,
}

/// The log of a relation is kept from here on until the checkpoint that is under way has captured it.
#[derive(Debug)]
pub(super) struct Position {
    pub relation: Arc<Relation>,
    reader: ReaderId,
    pub consumed: Epoch,
}

impl Drop for Position {
    fn drop(&mut self) {
        self.relation.drop_reader(self.reader);
    }
}

/// Keeps the log of each result from its last captured epoch on, so that the next capture finds what changed.
pub(super) type ResultPins = BTreeMap<RelationId, Position>;

impl CapturedRelation {
    /// The relation as it stands. `positions` are those of its readers, captured before it. `lost`: what was captured last is in no
    /// store.
    pub fn take(
        relation: &Arc<Relation>,
        epoch: Epoch,
        (committed, pins, lost): (&Committed, &ResultPins, bool),
        positions: &[Position],
    ) -> Self {
        let before = committed.relations.get(&relation.id).filter(|e| e.result.len() < CHANGELOGS_MAX);
        let pinned = pins.get(&relation.id).map(|pin| pin.consumed);
        let (result, full) = match (before, pinned) {
            (Some(entry), Some(pinned)) if pinned == entry.epoch => {
                let changes = relation.changes(pinned, epoch);
                (changes.into_iter().flat_map(|(_, deltas)| deltas).collect(), false)
            }
            _ => {
                let snapshot = relation.snapshot_at(epoch);
                let mut chunks = snapshot.chunks;
                if !snapshot.errors.is_empty() {
                    chunks.push(Arc::new(Delta::of_errors(Arc::clone(&relation.physical), snapshot.errors)));
                }
                (chunks, true)
            }
        };
        let consumed = positions.iter().filter(|p| p.relation.id == relation.id).map(|p| p.consumed).min();
        let log = consumed.map_or(Vec::new(), |consumed| relation.changes(consumed.min(epoch), epoch));
        let log = log.into_iter().flat_map(|(epoch, deltas)| deltas.into_iter().map(move |d| (epoch, d))).collect();
        let adds = |e: &RelationEntry| e.unsettled.len() + e.unsettled_errors.len() < CHANGELOGS_MAX;
        let all = lost || !committed.relations.get(&relation.id).is_some_and(adds);
        let (unsettled, unsettled_full) = relation.capture_unsettled(all);
        Self { relation: Arc::clone(relation), epoch, result, full, log, unsettled, unsettled_full }
    }

    /// Writes it. `committed` is what the last checkpoint held of it.
    pub async fn write(
        &self,
        attempt: &Attempt,
        dictionary: &Arc<Dictionary>,
        committed: Option<&RelationEntry>,
    ) -> Result<RelationEntry> {
        let schema = &self.relation.schema;
        let plain = |deltas: &[Arc<Delta>]| {
            let rows = deltas.iter().map(|d| (None, Arc::clone(d))).collect();
            move || rows
        };
        let mut entry =
            RelationEntry { id: self.relation.id, name: self.relation.name.clone(), epoch: self.epoch, ..RelationEntry::default() };
        if let Some(before) = committed.filter(|_| !self.full) {
            entry.result.clone_from(&before.result);
            entry.result_errors.clone_from(&before.result_errors);
        }
        let state = SegmentKind::State;
        let (result, errors) = segments::write(attempt, dictionary, (state, self.full), schema, plain(&self.result)).await?;
        entry.result.extend(result);
        entry.result_errors.extend(errors);
        let log = self.log.iter().map(|(epoch, d)| (Some(*epoch), Arc::clone(d))).collect();
        let (log, errors) = segments::write(attempt, dictionary, (state, true), schema, move || log).await?;
        entry.log.extend(log);
        entry.log_errors.extend(errors);
        if let Some(before) = committed.filter(|_| !self.unsettled_full) {
            entry.unsettled.clone_from(&before.unsettled);
            entry.unsettled_errors.clone_from(&before.unsettled_errors);
        }
        let unsettled = plain(&self.unsettled);
        let (unsettled, errors) = segments::write(attempt, dictionary, (state, self.unsettled_full), schema, unsettled).await?;
        entry.unsettled.extend(unsettled);
        entry.unsettled_errors.extend(errors);
        Ok(entry)
    }
}

impl CapturedDataflow {
    /// The dataflow of a view that is between two ticks, with what its operators handed over.
    pub fn take(view: &View, parts: Vec<Captured>, relation: CapturedRelation) -> Self {
        let admitted = view.admitted.unwrap_or(Epoch(0));
        let entry = DataflowEntry {
            id: view.control.id,
            name: view.relation.name.clone(),
            fingerprint: fingerprint(&view.plan),
            tick: view.tick,
            settled_epoch: view.relation.settled(),
            consumed: view.sources.keys().map(|id| (*id, admitted)).collect(),
            pieces: 0,
            operators: Vec::new(),
            loops: Vec::new(),
        };
        let iteration = |gauge: &LoopGauge| u32::try_from(gauge.iteration.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let keepers = view.plan.loop_keepers().into_iter();
        let iterations =
            keepers.map(|(node, number)| (StreamPlan::operator_id(node), iteration(&view.control.loops[number]))).collect();
        Self { entry, plan: Arc::clone(&view.plan), iterations, parts, relation }
    }

    /// Writes it. Returns its entry and that of its view's rows.
    pub async fn write(
        self,
        attempt: &Attempt,
        dictionary: &Arc<Dictionary>,
        committed: &Committed,
    ) -> Result<(DataflowEntry, RelationEntry)> {
        let before = committed.dataflows.get(&self.entry.id.0);
        let mut entry = self.entry;
        let mut parts: BTreeMap<(OperatorId, Part), Vec<Captured>> = BTreeMap::new();
        for part in self.parts {
            parts.entry((part.operator, part.part)).or_default().push(part);
        }
        let mut loops: BTreeMap<OperatorId, LoopEntry> = BTreeMap::new();
        for ((operator, part), captured) in parts {
            let name = operator_name(&self.plan, operator);
            // All workers hand over the same way: everything, or what changed.
            let full = captured.iter().all(|c| c.full);
            let schema = Arc::clone(&captured[0].schema);
            let rows = || captured.into_iter().flat_map(Captured::into_deltas).map(|d| (None, Arc::new(d))).collect();
            let kind = if part.is_in_flight() { SegmentKind::LoopLog } else { SegmentKind::State };
            let (written, _) = segments::write(attempt, dictionary, (kind, full), &schema, rows).await?;
            let mut all: Vec<SegmentRef> = Vec::new();
            if !full {
                let same = before.and_then(|b| b.operators.iter().find(|o| o.operator == operator && o.part == part.name()));
                all.extend(same.into_iter().flat_map(|o| o.segments.iter().cloned()));
            }
            if part == Part::Log {
                let iteration = self.iterations.get(&operator).copied().unwrap_or(0);
                let begun = || LoopEntry { operator, name: name.clone(), iteration, ..LoopEntry::default() };
                let entry = loops.entry(operator).or_insert_with(begun);
                entry.rows += written.as_ref().map_or(0, |w| w.rows);
                entry.bytes += written.as_ref().map_or(0, |w| w.bytes);
                entry.log.extend(written);
                continue;
            }
            all.extend(written);
            entry.operators.push(OperatorEntry { operator, name, part: part.name().to_owned(), segments: all });
        }
        entry.loops = loops.into_values().collect();
        let relation = self.relation.write(attempt, dictionary, committed.relations.get(&self.relation.relation.id)).await?;
        Ok((entry, relation))
    }
}

/// Whether some part has so many changelogs that the next capture should be a base.
pub(super) fn wants_base(committed: &Committed, dataflow: u64) -> bool {
    committed.dataflows.get(&dataflow).is_none_or(|d| d.operators.iter().any(|o| o.segments.len() >= CHANGELOGS_MAX))
}

fn operator_name(plan: &StreamPlan, operator: OperatorId) -> String {
    let node = plan.node(operator.0 as usize);
    match &node.operator {
        refrain_plan::Operator::LoopHead(head) => format!("loop {}", head.name),
        refrain_plan::Operator::Variable(variable) => format!("loop {}", variable.name),
        refrain_plan::Operator::Join(_) => "join".to_owned(),
        refrain_plan::Operator::Distinct => "distinct".to_owned(),
        refrain_plan::Operator::Aggregate(_) => "aggregate".to_owned(),
        refrain_plan::Operator::TopK(_) => "top-k".to_owned(),
        _ => "operator".to_owned(),
    }
}

impl Position {
    /// A view's position in each of its sources.
    pub fn of(view: &View) -> Vec<Self> {
        // Before its first tick a view has read nothing: it reads a snapshot, not the log.
        let Some(consumed) = view.admitted else { return Vec::new() };
        view.sources.values().map(|s| Self::at(&s.relation, consumed)).collect()
    }

    /// A reader of `relation` that has consumed everything up to `consumed`.
    pub fn at(relation: &Arc<Relation>, consumed: Epoch) -> Self {
        Self { relation: Arc::clone(relation), reader: relation.register_reader_at(consumed), consumed }
    }
}
