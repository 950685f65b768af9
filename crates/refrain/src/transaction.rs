//! Transaction blocks: what their statements change is kept by the session, and written as one epoch by `COMMIT`.
//!
//! ```text
//! BEGIN ─▶ statements, over what is committed and what the block has changed ─▶ COMMIT: a turn, all still there? ─▶ one epoch
//! ```
//! Nothing is locked: others commit meanwhile, and each statement sees what they have committed, as PostgreSQL's `READ COMMITTED` does.
//! Where PostgreSQL would let a statement wait for another transaction that changes the same row, the one that commits last fails, with
//! `40001`: a row that it deletes or changes is not there any more. A key that another transaction has taken fails then, too.
//!
//! Views are maintained at `COMMIT`: in a block a view over tables that it has changed is not to be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use refrain_state::codec::decode_batch;
use refrain_types::{Delta, RelationId};

use crate::database::Database;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::ingest::TableChange;
use crate::relation::{Relation, RelationKind, Snapshot, consolidate, takes_out, without_taken_out};
use crate::settings::Values;

/// What a session is in, as a prompt shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// In no transaction block.
    Idle,
    /// In one.
    InBlock,
    /// In one of which a statement has failed: it can only be rolled back.
    Failed,
}

/// A transaction block.
#[derive(Debug)]
pub(crate) struct Block {
    /// Its statements write nothing.
    pub read_only: bool,
    /// A statement of it has failed.
    pub failed: bool,
    /// What its statements have changed, in their order.
    changes: Vec<TableChange>,
    savepoints: Vec<Savepoint>,
    /// The session's settings as they were when it began.
    settings: Values,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    /// How many changes come before it.
    changes: usize,
    settings: Values,
}

impl Block {
    /// A block without changes.
    pub fn new(read_only: bool, settings: Values) -> Self {
        Self { read_only, failed: false, changes: Vec::new(), savepoints: Vec::new(), settings }
    }

    /// Adds what a statement changes.
    pub fn extend(&mut self, changes: Vec<TableChange>) {
        self.changes.extend(changes);
    }

    /// What has been changed so far.
    pub fn uncommitted(&self) -> Uncommitted {
        let mut uncommitted = Uncommitted::default();
        for change in &self.changes {
            uncommitted.0.entry(change.table.id).or_default().extend(change.deltas.iter().cloned());
        }
        uncommitted
    }

    /// `SAVEPOINT`
    pub fn save(&mut self, name: String, settings: Values) {
        self.savepoints.push(Savepoint { name, changes: self.changes.len(), settings });
    }

    /// `ROLLBACK TO`: undoes what came after the savepoint, and returns the settings of then.
    pub fn return_to(&mut self, name: &str) -> Result<Values> {
        let at = self.find(name)?;
        self.savepoints.truncate(at + 1);
        self.changes.truncate(self.savepoints[at].changes);
        self.failed = false;
        Ok(self.savepoints[at].settings.clone())
    }

    /// `RELEASE`
    pub fn release(&mut self, name: &str) -> Result<()> {
        let at = self.find(name)?;
        self.savepoints.truncate(at);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize> {
        let found = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        found.ok_or_else(|| Error::statement("3B001", format!("savepoint \"{name}\" does not exist")))
    }

    /// The settings to which `ROLLBACK` returns.
    pub fn settings(&self) -> &Values {
        &self.settings
    }

    /// Writes the changes as one epoch.
    ///
    /// # Errors
    /// `40001` when a row that is deleted or changed is not there any more; as [`Shared::write`].
    pub async fn commit(self, shared: &Arc<Shared>) -> Result<()> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let turn = shared.exclusive_turn().await?;
        let mut tables = BTreeMap::<RelationId, Vec<TableChange>>::new();
        for change in self.changes {
            tables.entry(change.table.id).or_default().push(change);
        }
        let mut changes = Vec::with_capacity(tables.len());
        for of_table in tables.into_values() {
            changes.extend(together(shared, of_table)?);
        }
        if changes.is_empty() { Ok(()) } else { shared.write(turn, changes).await }
    }
}

/// All changes of one table as one; `None` where nothing is left of them.
fn together(shared: &Shared, changes: Vec<TableChange>) -> Result<Option<TableChange>> {
    let Some(table) = changes.first().map(|change| Arc::clone(&change.table)) else { return Ok(None) };
    let (logged, deltas): (Vec<_>, Vec<_>) = changes.into_iter().map(|change| (change.logged, change.deltas)).unzip();
    let deltas = deltas.concat();
    if !deltas.iter().any(|delta| takes_out(delta)) {
        return Ok(Some(TableChange { table, logged: logged.concat(), deltas }));
    }
    let rows = consolidate(&table.physical, &deltas);
    for delta in &rows {
        shared.row_indexes.check_present(&table, delta, &shared.dictionary).map_err(|_| changed_meanwhile())?;
    }
    let rows = rows.into_iter().map(|delta| (decode_batch(&shared.dictionary, &delta.rows, &table.schema), Arc::new(delta)));
    Ok(Some(rows.collect::<Vec<_>>()).filter(|rows| !rows.is_empty()).map(|rows| TableChange::of_rows(&table, rows)))
}

fn changed_meanwhile() -> Error {
    Error::statement("40001", "could not serialize access due to concurrent update")
        .with_hint("Roll back, and run the transaction again.")
}

/// What a block has changed, by table. Nobody else sees it.
#[derive(Debug, Default)]
pub(crate) struct Uncommitted(BTreeMap<RelationId, Vec<Arc<Delta>>>);

impl Uncommitted {
    /// The net changes of a table, with more.
    pub fn with(&self, table: &Relation, more: &[Arc<Delta>]) -> Vec<Arc<Delta>> {
        let Some(changes) = self.0.get(&table.id) else { return more.to_vec() };
        let all = changes.iter().chain(more).cloned().collect::<Vec<_>>();
        if all.iter().any(|delta| takes_out(delta)) {
            consolidate(&table.physical, &all).into_iter().map(Arc::new).collect()
        } else {
            all
        }
    }

    /// The net changes of a table.
    pub fn of(&self, table: &Relation) -> Vec<Arc<Delta>> {
        self.with(table, &[])
    }

    /// A table as the block sees it.
    ///
    /// # Errors
    /// `40001` when a row that the block deletes or changes is not there any more.
    pub fn over(&self, relation: &Relation, mut snapshot: Snapshot) -> Result<Snapshot> {
        let Some(changes) = self.0.get(&relation.id) else { return Ok(snapshot) };
        snapshot.chunks.extend(changes.iter().cloned());
        if changes.iter().any(|delta| takes_out(delta)) {
            snapshot.chunks = without_taken_out(&relation.physical, &snapshot.chunks);
            if snapshot.chunks.iter().any(|delta| takes_out(delta)) {
                return Err(changed_meanwhile());
            }
        }
        Ok(snapshot)
    }

    /// That no maintained view among these has rows of a table that the block has changed.
    pub fn check_views(&self, database: &Database, relations: &BTreeMap<RelationId, Arc<Relation>>) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let changed = self.0.keys().copied().collect::<BTreeSet<_>>();
        for view in relations.values().filter(|relation| relation.kind == RelationKind::View) {
            if let Some(table) = database.catalog.source_among(view.id, &changed) {
                let (view, table) = (&view.name, &table.name);
                let message =
                    format!("cannot read materialized view \"{view}\" in a transaction that has changed table \"{table}\"");
                return Err(Error::unsupported(message).with_hint("The view is brought up to date when the transaction commits."));
            }
        }
        Ok(())
    }
}
