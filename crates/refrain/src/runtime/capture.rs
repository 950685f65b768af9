//! What a checkpoint holds of each dataflow and relation: taken under the schedule's lock, by reference, and written later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use refrain_checkpoint::{DataflowEntry, LoopEntry, OperatorEntry, RelationEntry, SegmentKind, SegmentRef};
use refrain_dataflow::{Captured, LoopGauge, Part};
use refrain_plan::StreamPlan;
use refrain_plan::fingerprint::fingerprint;
use refrain_types::{Delta, Epoch, OperatorId, RelationId};

use super::segments::{Segments, Source, Target, Writing, aside, source};
use super::views::View;
use crate::error::Result;
use crate::relation::{ReaderId, Relation};

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
        let before = committed.relations.get(&relation.id);
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
        let (unsettled, unsettled_full) = relation.capture_unsettled(lost || before.is_none());
        Self { relation: Arc::clone(relation), epoch, result, full, log, unsettled, unsettled_full }
    }

    /// Writes it. `committed` is what the last checkpoint held of it.
    pub async fn write(&self, target: Target<'_>, committed: Option<&RelationEntry>) -> Result<RelationEntry> {
        let (schema, used_by) = (&self.relation.schema, format!("relation \"{}\"", self.relation.name));
        let writing = Writing { target, schema, used_by: &used_by };
        let plain = |deltas: &[Arc<Delta>]| source(deltas.iter().map(|d| (None, Arc::clone(d))).collect());
        let of = |rows: &[SegmentRef], errors: &[SegmentRef]| Segments { rows: rows.to_vec(), errors: errors.to_vec() };
        let result = committed.filter(|_| !self.full).map(|e| of(&e.result, &e.result_errors)).unwrap_or_default();
        let unsettled = committed.filter(|_| !self.unsettled_full).map(|e| of(&e.unsettled, &e.unsettled_errors));
        let unsettled = unsettled.unwrap_or_default();
        let result = writing.extend(result, plain(&self.result)).await?;
        let log = self.log.iter().map(|(epoch, d)| (Some(*epoch), Arc::clone(d))).collect();
        let log = writing.write(SegmentKind::State, (true, true), source(log)).await?;
        let unsettled = writing.extend(unsettled, plain(&self.unsettled)).await?;
        let entry = RelationEntry {
            id: self.relation.id,
            name: self.relation.name.clone(),
            epoch: self.epoch,
            result: result.rows,
            result_errors: result.errors,
            log: log.rows,
            log_errors: log.errors,
            unsettled: unsettled.rows,
            unsettled_errors: unsettled.errors,
        };
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
            // Worked out when it is written: a loop waits for this.
            fingerprint: String::new(),
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
    pub async fn write(self, target: Target<'_>, committed: &Committed) -> Result<(DataflowEntry, RelationEntry)> {
        let before = committed.dataflows.get(&self.entry.id.0);
        let mut entry = DataflowEntry { fingerprint: fingerprint(&self.plan), ..self.entry };
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
            let used_by = format!("operator {operator} ({name}, {}) of view \"{}\"", part.name(), entry.name);
            let writing = Writing { target, schema: &schema, used_by: &used_by };
            let rows: Source = Box::new(|each| {
                captured.into_iter().for_each(|c| c.each_piece(&mut |piece| each(None, piece)));
                Ok(())
            });
            let segments = if part.is_in_flight() {
                writing.write(SegmentKind::LoopLog, (true, true), rows).await?.rows
            } else {
                let operators = before.filter(|_| !full).map(|b| b.operators.as_slice()).unwrap_or_default();
                let same = operators.iter().find(|o| o.operator == operator && o.part == part.name());
                let before = same.map(|o| o.segments.clone()).unwrap_or_default();
                writing.extend(Segments { rows: before, errors: Vec::new() }, rows).await?.rows
            };
            if part == Part::Log {
                let iteration = self.iterations.get(&operator).copied().unwrap_or(0);
                let begun = || LoopEntry { operator, name: name.clone(), iteration, ..LoopEntry::default() };
                let entry = loops.entry(operator).or_insert_with(begun);
                entry.rows += segments.iter().map(|s| s.rows).sum::<u64>();
                entry.bytes += segments.iter().map(|s| s.bytes).sum::<u64>();
                entry.log.extend(segments);
                continue;
            }
            entry.operators.push(OperatorEntry { operator, name, part: part.name().to_owned(), segments });
        }
        entry.loops = loops.into_values().collect();
        let relation = self.relation.write(target, committed.relations.get(&self.relation.relation.id)).await?;
        let tidied = Arc::clone(&self.relation.relation);
        aside(target.attempt.store(), move || {
            tidied.tidy_unsettled();
            Ok(())
        })
        .await?;
        Ok((entry, relation))
    }
}

pub(super) fn operator_name(plan: &StreamPlan, operator: OperatorId) -> String {
    let node = plan.node(operator.0 as usize);
    match &node.operator {
        refrain_plan::Operator::LoopHead(head) => format!("loop {}", head.name),
        refrain_plan::Operator::Variable(variable) => format!("loop {}", variable.name),
        refrain_plan::Operator::Join(_) => "join".to_owned(),
        refrain_plan::Operator::Distinct => "distinct".to_owned(),
        refrain_plan::Operator::Aggregate(_) => "aggregate".to_owned(),
        refrain_plan::Operator::TopK(_) => "top-k".to_owned(),
        refrain_plan::Operator::Window(_) => "window".to_owned(),
        refrain_plan::Operator::Fold(_) => "aggregate".to_owned(),
        refrain_plan::Operator::Temporal(_) => "temporal filter".to_owned(),
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
