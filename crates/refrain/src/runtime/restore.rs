//! Brings back what a checkpoint holds: the catalog, the rows of tables and views, and dataflows in mid-recursion.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use futures::try_join;
use refrain_checkpoint::{Contents, DataflowEntry, Manifest, RelationEntry, SegmentRef};
use refrain_dataflow::{Part, Restored};
use refrain_plan::StreamPlan;
use refrain_plan::fingerprint::fingerprint;
use refrain_sql::Catalog;
use refrain_types::{Delta, Epoch, OperatorId};

use super::Runtime;
use super::segments::Reading;
use super::views::View;
use crate::database::{Database, PlannedView};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::progress::ProgressCallback;
use crate::relation::{Change, Relation};

mod logs;

use logs::Logs;

/// Restores the engine from a manifest. Returns the epoch up to which it holds everything.
pub(crate) async fn restore(shared: &Arc<Shared>, manifest: Manifest, progress: Option<ProgressCallback>) -> Result<Epoch> {
    let contents = &manifest.contents;
    if contents.catalog.is_null() {
        // A fence over an empty store; the input log has it all.
        return Ok(contents.epoch);
    }
    let catalog: Catalog = serde_json::from_value(contents.catalog.clone())
        .map_err(|e| Error::io(format!("the catalog of checkpoint {} cannot be read: {e}", manifest.id)))?;
    let empty = shared.database();
    let catalog = catalog.with_functions(empty.catalog.registered().clone())?;
    let (database, views) = Database::of_catalog(catalog, empty.rules.clone(), &shared.visible)?;
    // The read point of tables first: views are settled at or before it.
    shared.visible.advance(contents.epoch);
    let reading = Reading::of_checkpoint(&shared.store, &shared.dictionary, contents, progress);
    let relations = restore_relations(&reading, &database, &views, &manifest);
    let (_, dataflows) = try_join!(relations, read_dataflows(&reading, &views, contents))?;
    let committed = super::capture::Committed {
        relations: contents.relations.iter().map(|e| (e.id, e.clone())).collect(),
        dataflows: contents.dataflows.iter().map(|e| (e.id.0, e.clone())).collect(),
    };
    shared.runtime.restore_committed(committed, database.relations.values());
    shared.set_database(database);
    let database = shared.database();
    let runtime = &shared.runtime;
    let (mut all, mut logs) = (Vec::new(), Vec::new());
    for (PlannedView { view, plan }, read) in views.into_iter().zip(dataflows) {
        let sources = database.sources(&plan)?;
        let id = Database::dataflow(view.id);
        all.push(match read {
            Some((entry, restored)) => {
                let mut view = View::restored(runtime, view, id, plan, sources, restored);
                view.show_captured(&entry.loops);
                if !view.coming.is_empty() {
                    let loops = entry.loops.iter().map(|of| (of.clone(), entry.used_by_loop(of)));
                    logs.push(Logs { control: Arc::clone(&view.control), loops: loops.collect() });
                }
                view
            }
            None => View::new(runtime, view, id, plan, sources, contents.epoch),
        });
    }
    // Only now: a view that goes on lets go of what it has read, and the others must have said before what they still need.
    for view in all {
        runtime.start_view(view);
    }
    logs::read(shared, logs);
    Ok(contents.epoch)
}

async fn restore_relations(reading: &Reading<'_>, database: &Database, views: &[PlannedView], manifest: &Manifest) -> Result<()> {
    let all = database.relations.values().map(|relation| async move {
        let is_view = views.iter().any(|v| v.view.id == relation.id);
        let is_captured = manifest.contents.dataflows.iter().any(|d| d.id == Database::dataflow(relation.id));
        match manifest.contents.relations.iter().find(|e| e.id == relation.id) {
            Some(_) if is_view && !is_captured => Err(lacks(manifest, "the state of view", relation)),
            Some(entry) => restore_relation(reading, relation, entry, manifest).await,
            // It was created while the checkpoint was taken.
            None if is_view && !is_captured => Ok(()),
            None if is_view => Err(lacks(manifest, "the rows of view", relation)),
            None => Err(lacks(manifest, "table", relation)),
        }
    });
    try_join_all(all).await.map(drop)
}

fn lacks(manifest: &Manifest, what: &str, of: &Relation) -> Error {
    Error::io(format!("checkpoint {} does not hold {what} \"{}\"", manifest.id, of.name))
}

/// The state of the dataflow of each view, where a checkpoint has it.
async fn read_dataflows<'a>(
    reading: &Reading<'_>,
    views: &[PlannedView],
    contents: &'a Contents,
) -> Result<Vec<Option<(&'a DataflowEntry, (Restored, Epoch))>>> {
    let all = views.iter().map(|PlannedView { view, plan }| async move {
        let id = Database::dataflow(view.id);
        match contents.dataflows.iter().find(|d| d.id == id) {
            // One that was captured before its first tick has read nothing: it begins anew.
            Some(entry) if entry.tick.0 > 0 => Ok(Some((entry, read_dataflow(reading, entry, contents.epoch, plan).await?))),
            _ => Ok(None),
        }
    });
    try_join_all(all).await
}

async fn restore_relation(reading: &Reading<'_>, relation: &Relation, entry: &RelationEntry, manifest: &Manifest) -> Result<()> {
    let (result, log, unsettled) = try_join!(
        read_both(reading, relation, entry, &entry.result, &entry.result_errors),
        read_both(reading, relation, entry, &entry.log, &entry.log_errors),
        read_both(reading, relation, entry, &entry.unsettled, &entry.unsettled_errors),
    )?;
    let result = result.into_iter().map(|(_, delta)| delta).collect();
    let mut by_epoch: BTreeMap<Epoch, Vec<Arc<Delta>>> = BTreeMap::new();
    for (epoch, delta) in log {
        by_epoch.entry(epoch).or_default().push(delta);
    }
    // Readers were captured before: the log holds what the slowest of them has not consumed.
    let consumed = manifest.contents.dataflows.iter().filter_map(|d| d.consumed.get(&relation.id));
    let log_after = consumed.min().copied().unwrap_or(entry.epoch).min(entry.epoch);
    relation.restore(entry.epoch, result, log_after, by_epoch.into_iter().collect::<Vec<Change>>());
    if !unsettled.is_empty() {
        relation.set_unsettled(unsettled.into_iter().map(|(_, delta)| delta).collect());
    }
    Ok(())
}

async fn read_both(
    reading: &Reading<'_>,
    relation: &Relation,
    entry: &RelationEntry,
    rows: &[SegmentRef],
    errors: &[SegmentRef],
) -> Result<Vec<(Epoch, Arc<Delta>)>> {
    let used_by = entry.used_by();
    let (mut deltas, errors) = try_join!(reading.rows(&relation.schema, rows, &used_by), reading.errors(errors, &used_by))?;
    for (_, delta) in &mut deltas {
        // Rows of relations have no iterations.
        *delta = Arc::new(Delta { iterations: None, ..Delta::clone(delta) });
    }
    let errors = errors.into_iter().map(|(epoch, errors)| (epoch, Delta::of_errors(Arc::clone(&relation.physical), errors)));
    deltas.extend(errors.map(|(epoch, delta)| (epoch, Arc::new(delta))));
    Ok(deltas)
}

async fn read_dataflow(
    reading: &Reading<'_>,
    entry: &DataflowEntry,
    epoch: Epoch,
    plan: &Arc<StreamPlan>,
) -> Result<(Restored, Epoch)> {
    if fingerprint(plan) != entry.fingerprint {
        let message = format!("materialized view \"{}\" cannot be restored: its plan has changed since the checkpoint", entry.name);
        return Err(Error::io(message).with_hint("Open the store with the version that wrote it, or drop the view there."));
    }
    let mut parts = Vec::new();
    for operator in &entry.operators {
        let used_by = entry.used_by_operator(operator);
        let part =
            Part::of_name(&operator.part).ok_or_else(|| Error::io(format!("{used_by}: there is no part \"{}\"", operator.part)))?;
        let schema = refrain_dataflow::part::schema(plan, operator.operator, part)
            .ok_or_else(|| Error::io(format!("{used_by}: the plan has no such state")))?;
        parts.push(((operator.operator, part), schema, &operator.segments, used_by));
    }
    if let Some(log) = entry.loops.iter().find(|log| refrain_dataflow::part::schema(plan, log.operator, Part::Log).is_none()) {
        return Err(Error::io(format!("{}: the plan has no such loop", entry.used_by_loop(log))));
    }
    let has = |of: (OperatorId, Part)| match of {
        (operator, Part::Log) => entry.loops.iter().any(|log| log.operator == operator),
        _ => parts.iter().any(|(part, ..)| *part == of),
    };
    if let Some((operator, part)) = refrain_dataflow::part::all(plan).find(|of| !has(*of)) {
        let name = super::capture::operator_name(plan, operator);
        let message = format!("operator {operator} ({name}, {}) of view \"{}\" is not in the checkpoint", part.name(), entry.name);
        return Err(Error::io(message));
    }
    let parts = try_join_all(parts.into_iter().map(|(of, schema, segments, used_by)| async move {
        let rows = reading.rows(&schema, segments, &used_by).await?;
        Ok::<_, Error>((of, rows.into_iter().map(|(_, delta)| delta).collect()))
    }));
    let restored = Restored { tick: entry.tick, parts: parts.await?.into_iter().collect() };
    // A view that reads nothing has taken in everything there was.
    let admitted = entry.consumed.values().min().copied().unwrap_or(epoch);
    Ok((restored, admitted))
}

#[cfg(test)]
mod tests;
