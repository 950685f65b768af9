//! Brings back what a checkpoint holds: the catalog, the rows of tables and views, and dataflows in mid-recursion.

use std::collections::BTreeMap;
use std::sync::Arc;

use refrain_checkpoint::{DataflowEntry, Manifest, RelationEntry, SegmentRef, Store};
use refrain_dataflow::{Part, Restored};
use refrain_plan::StreamPlan;
use refrain_plan::fingerprint::fingerprint;
use refrain_sql::Catalog;
use refrain_types::{Delta, Epoch};

use super::segments;
use super::views::View;
use crate::database::{Database, PlannedView};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::relation::{Change, Relation};

/// Restores the engine from a manifest. Returns the epoch up to which it holds everything.
pub(crate) async fn restore(shared: &Arc<Shared>, manifest: Manifest) -> Result<Epoch> {
    let contents = &manifest.contents;
    if contents.catalog.is_null() {
        // A fence over an empty store; the input log has it all.
        return Ok(contents.epoch);
    }
    let catalog: Catalog = serde_json::from_value(contents.catalog.clone())
        .map_err(|e| Error::io(format!("the catalog of checkpoint {} cannot be read: {e}", manifest.id)))?;
    let (database, views) = Database::of_catalog(catalog, shared.database().rules.clone(), &shared.visible)?;
    // The read point of tables first: views are settled at or before it.
    shared.visible.advance(contents.epoch);
    for relation in database.relations.values() {
        if let Some(entry) = contents.relations.iter().find(|e| e.id == relation.id) {
            restore_relation(shared, relation, entry, &manifest).await?;
        } else if !views.iter().any(|v| v.view.id == relation.id) {
            return Err(Error::io(format!("checkpoint {} does not hold table \"{}\"", manifest.id, relation.name)));
        }
    }
    let committed = super::capture::Committed {
        relations: contents.relations.iter().map(|e| (e.id, e.clone())).collect(),
        dataflows: contents.dataflows.iter().map(|e| (e.id.0, e.clone())).collect(),
    };
    shared.runtime.restore_committed(committed, database.relations.values());
    shared.set_database(database);
    let database = shared.database();
    let runtime = &shared.runtime;
    let mut all = Vec::new();
    for PlannedView { view, plan } in views {
        let sources = database.sources(&plan)?;
        let id = Database::dataflow(view.id);
        all.push(match contents.dataflows.iter().find(|d| d.id == id) {
            // One that was captured before its first tick has read nothing: it begins anew.
            Some(entry) if entry.tick.0 > 0 => {
                let restored = restore_dataflow(shared, entry, contents.epoch, &plan).await?;
                let view = View::restored(runtime, view, id, plan, sources, restored);
                view.show_iterations(&entry.loops);
                view
            }
            _ => View::new(runtime, view, id, plan, sources, contents.epoch),
        });
    }
    // Only now: a view that goes on lets go of what it has read, and the others must have said before what they still need.
    for view in all {
        runtime.start_view(view);
    }
    Ok(contents.epoch)
}

async fn restore_relation(shared: &Shared, relation: &Arc<Relation>, entry: &RelationEntry, manifest: &Manifest) -> Result<()> {
    let used_by = entry.used_by();
    let store = &shared.store;
    let read = |segments: Vec<SegmentRef>, errors: Vec<SegmentRef>| {
        let used_by = used_by.clone();
        async move { read_both(store, shared, relation, &segments, &errors, &used_by).await }
    };
    let result = read(entry.result.clone(), entry.result_errors.clone()).await?;
    let result = result.into_iter().map(|(_, delta)| delta).collect();
    let mut log: BTreeMap<Epoch, Vec<Arc<Delta>>> = BTreeMap::new();
    for (epoch, delta) in read(entry.log.clone(), entry.log_errors.clone()).await? {
        log.entry(epoch).or_default().push(delta);
    }
    // Readers were captured before: the log holds what the slowest of them has not consumed.
    let consumed = manifest.contents.dataflows.iter().filter_map(|d| d.consumed.get(&relation.id));
    let log_after = consumed.min().copied().unwrap_or(entry.epoch).min(entry.epoch);
    relation.restore(entry.epoch, result, log_after, log.into_iter().collect::<Vec<Change>>());
    let unsettled = read(entry.unsettled.clone(), entry.unsettled_errors.clone()).await?;
    if !unsettled.is_empty() {
        relation.set_unsettled(unsettled.into_iter().map(|(_, delta)| delta).collect());
    }
    Ok(())
}

async fn read_both(
    store: &Store,
    shared: &Shared,
    relation: &Relation,
    rows: &[SegmentRef],
    errors: &[SegmentRef],
    used_by: &str,
) -> Result<Vec<(Epoch, Arc<Delta>)>> {
    let mut deltas = segments::read(store, &shared.dictionary, &relation.schema, rows, used_by).await?;
    for (_, delta) in &mut deltas {
        // Rows of relations have no iterations.
        *delta = Arc::new(Delta { iterations: None, ..Delta::clone(delta) });
    }
    for (epoch, errors) in segments::read_errors(store, errors, used_by).await? {
        deltas.push((epoch, Arc::new(Delta::of_errors(Arc::clone(&relation.physical), errors))));
    }
    Ok(deltas)
}

async fn restore_dataflow(
    shared: &Shared,
    entry: &DataflowEntry,
    epoch: Epoch,
    plan: &Arc<StreamPlan>,
) -> Result<(Restored, Epoch)> {
    if fingerprint(plan) != entry.fingerprint {
        let message = format!("materialized view \"{}\" cannot be restored: its plan has changed since the checkpoint", entry.name);
        return Err(Error::io(message).with_hint("Open the store with the version that wrote it, or drop the view there."));
    }
    let mut restored = Restored { tick: entry.tick, parts: BTreeMap::new() };
    for operator in &entry.operators {
        let used_by = entry.used_by_operator(operator);
        let part =
            Part::of_name(&operator.part).ok_or_else(|| Error::io(format!("{used_by}: there is no part \"{}\"", operator.part)))?;
        let schema = refrain_dataflow::part::schema(plan, operator.operator, part)
            .ok_or_else(|| Error::io(format!("{used_by}: the plan has no such state")))?;
        let deltas = segments::read(&shared.store, &shared.dictionary, &schema, &operator.segments, &used_by).await?;
        restored.parts.insert((operator.operator, part), deltas.into_iter().map(|(_, d)| d).collect());
    }
    for log in &entry.loops {
        let used_by = entry.used_by_loop(log);
        let schema = refrain_dataflow::part::schema(plan, log.operator, Part::Log)
            .ok_or_else(|| Error::io(format!("{used_by}: the plan has no such loop")))?;
        let deltas = segments::read(&shared.store, &shared.dictionary, &schema, &log.log, &used_by).await?;
        restored.parts.insert((log.operator, Part::Log), deltas.into_iter().map(|(_, d)| d).collect());
    }
    // A view that reads nothing has taken in everything there was.
    let admitted = entry.consumed.values().min().copied().unwrap_or(epoch);
    Ok((restored, admitted))
}
