//! `INSERT`, `DELETE`, `UPDATE`, `TRUNCATE`, and the same with rows that a program hands in.
//!
//! A `DELETE` or `UPDATE` that reads only tables computes its rows inside its turn. One that reads views may have to wait for them, so it
//! reads first, and begins again if its table has changed when its turn comes: a view that never settles then blocks nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::sql::sqlparser::ast;
use refrain_sql::catalog::{Column, Relation as Entry};
use refrain_sql::statement::{Delete, Insert, Update};
use refrain_sql::{Bound, GivenRows, RelationKind};
use refrain_state::codec::{decode_batch, encode_batch};
use refrain_types::{Delta, Weight};

use crate::assign;
use crate::constraints::{Checks, Defaults};
use crate::database::Database;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::ingest::{TableChange, Turn};
use crate::query::{Prepared, ReadMode, Rows, padded};
use crate::relation::{Relation, consolidate};
use crate::session::{Outcome, Session};

/// `INSERT`
pub(super) async fn insert(session: &Session, insert: &Insert) -> Result<Outcome> {
    let shared = session.shared();
    let database = shared.database();
    let (entry, table) = database.table(&insert.table)?;
    let bound = refrain_sql::bind_insert(&database.catalog, insert)?;
    let conflict = refrain_sql::bind_conflict(&database.catalog, insert)?;
    let returning = Returning::bind(&database, &insert.table, insert.alias.as_ref(), &insert.returning)?;
    if conflict.as_ref().is_some_and(|conflict| conflict.update.is_some()) {
        check_changeable(entry, "update")?;
    }
    let rows = Prepared::new(&database, bound)?.run(shared, ReadMode::Settled, session).await?;
    let mut change = Changing::new(shared, &database, entry, table)?;
    for batch in &rows.batches {
        change.add(assign::in_order(entry, batch)?, 1)?;
    }
    let turn = if let Some(conflict) = conflict {
        let turn = shared.turn().await?;
        change = super::conflict::resolve(session, &database, change, &turn, conflict).await?;
        Some(turn)
    } else {
        None
    };
    let (count, returned) = (change.inserted_rows(), returning.rows(session, change.inserted()).await?);
    if count > 0 {
        let turn = if let Some(turn) = turn { turn } else { shared.turn().await? };
        session.write(turn, vec![change.finish()]).await?;
    }
    Ok(returned.unwrap_or_else(|| Outcome::done(format!("INSERT 0 {count}"))))
}

/// `DELETE`
pub(super) async fn delete(session: &Session, delete: &Delete) -> Result<Outcome> {
    let bind = |database: &Database| Ok(refrain_sql::bind_delete(&database.catalog, delete)?);
    let (turn, database, rows) = affected_rows(session, &delete.table, "delete from", bind).await?;
    let returning = Returning::bind(&database, &delete.table, delete.alias.as_ref(), &delete.returning)?;
    let (entry, table) = database.table(&delete.table)?;
    let mut change = Changing::new(session.shared(), &database, entry, table)?;
    for batch in &rows.batches {
        change.add(of_table(table, batch)?, -1)?;
    }
    let count = count(&rows.batches);
    let returned = returning.rows(session, change.deleted()).await?;
    if count > 0 {
        session.write(turn, vec![change.finish()]).await?;
    }
    Ok(returned.unwrap_or_else(|| Outcome::done(format!("DELETE {count}"))))
}

/// `UPDATE`
pub(super) async fn update(session: &Session, update: &Update) -> Result<Outcome> {
    let bind = |database: &Database| Ok(refrain_sql::bind_update(&database.catalog, update)?);
    let (turn, database, rows) = affected_rows(session, &update.table, "update", bind).await?;
    let returning = Returning::bind(&database, &update.table, update.alias.as_ref(), &update.returning)?;
    let (entry, table) = database.table(&update.table)?;
    let mut change = Changing::new(session.shared(), &database, entry, table)?;
    for batch in &rows.batches {
        change.replace(batch)?;
    }
    let count = count(&rows.batches);
    let returned = returning.rows(session, change.inserted()).await?;
    if count > 0 {
        session.write(turn, vec![change.finish()]).await?;
    }
    Ok(returned.unwrap_or_else(|| Outcome::done(format!("UPDATE {count}"))))
}

/// `TRUNCATE`
pub(super) async fn truncate(session: &Session, names: &[String]) -> Result<Outcome> {
    let shared = session.shared();
    let turn = shared.exclusive_turn().await?;
    let (database, uncommitted) = (shared.database(), session.uncommitted());
    let mut changes = BTreeMap::new();
    for name in names {
        if database.catalog.relation(name)?.kind != RelationKind::Table {
            return Err(Error::statement("42809", format!("\"{name}\" is not a table")));
        }
        let (entry, table) = database.table(name)?;
        check_changeable(entry, "truncate")?;
        let rows = consolidate(&table.physical, &uncommitted.over(table, table.snapshot())?.chunks);
        let mut change = Changing::new(shared, &database, entry, table)?;
        for delta in rows {
            change.take_out(decode_batch(&shared.dictionary, &delta.rows, &table.schema), Arc::new(delta.negated()));
        }
        if !change.rows.is_empty() {
            changes.insert(entry.id, change.finish());
        }
    }
    if !changes.is_empty() {
        session.write(turn, changes.into_values().collect()).await?;
    }
    Ok(Outcome::done("TRUNCATE TABLE"))
}

/// Inserts rows that a program hands in.
pub(crate) async fn insert_rows(session: &Session, table: &str, rows: &RecordBatch) -> Result<u64> {
    let shared = session.shared();
    session.check_writes("INSERT")?;
    let database = shared.database();
    let (entry, table) = database.table(table)?;
    let rows = assign::by_name(entry, rows, &Defaults::of(&database, entry)?)?;
    let count = rows.num_rows() as u64;
    if count > 0 {
        let mut change = Changing::new(shared, &database, entry, table)?;
        change.add(rows, 1)?;
        session.write(shared.turn().await?, vec![change.finish()]).await?;
    }
    Ok(count)
}

/// Deletes, for each row that a program hands in, one equal row.
pub(crate) async fn delete_rows(session: &Session, table: &str, rows: &RecordBatch) -> Result<u64> {
    let shared = session.shared();
    session.check_writes("DELETE")?;
    let database = shared.database();
    let (entry, table) = database.table(table)?;
    check_changeable(entry, "delete from")?;
    let rows = assign::by_name(entry, rows, &Defaults::of(&database, entry)?)?;
    let count = rows.num_rows() as u64;
    if count > 0 {
        let mut change = Changing::new(shared, &database, entry, table)?;
        change.add(rows, -1)?;
        let turn = shared.exclusive_turn().await?;
        for delta in session.uncommitted().with(table, &change.deltas().cloned().collect::<Vec<_>>()) {
            shared.row_indexes.check_present(table, &delta, &shared.dictionary)?;
        }
        session.write(turn, vec![change.finish()]).await?;
    }
    Ok(count)
}

/// `RETURNING`
struct Returning(Option<(Prepared, Vec<Column>)>);

impl Returning {
    fn bind(database: &Arc<Database>, table: &str, alias: Option<&ast::Ident>, items: &[ast::SelectItem]) -> Result<Self> {
        if items.is_empty() {
            return Ok(Self(None));
        }
        let bound = refrain_sql::bind_returning(&database.catalog, table, alias, items)?;
        let columns = bound.columns();
        let prepared = Prepared::new(database, bound)?;
        if !prepared.reads.is_empty() {
            return Err(Error::unsupported("a subquery that reads a relation is not supported in RETURNING"));
        }
        Ok(Self(Some((prepared, columns))))
    }

    /// What it makes of rows of the table; `None` where it was not asked for.
    async fn rows(self, session: &Session, rows: RecordBatch) -> Result<Option<Outcome>> {
        let Some((prepared, columns)) = self.0 else { return Ok(None) };
        let rows = prepared.given(GivenRows::STORED, rows).run(session.shared(), ReadMode::Settled, session).await?;
        let batches = rows.batches.into_iter().map(|batch| padded(&columns, batch)).collect::<Result<_>>()?;
        Ok(Some(Outcome::Rows { schema: rows.schema, batches }))
    }
}

/// The rows that a statement changes, and the turn in which that holds.
async fn affected_rows(
    session: &Session,
    table: &str,
    verb: &str,
    bind: impl Fn(&Database) -> Result<Bound>,
) -> Result<(Turn, Arc<Database>, Rows)> {
    let shared = session.shared();
    loop {
        let database = shared.database();
        let (entry, relation) = database.table(table)?;
        check_changeable(entry, verb)?;
        let prepared = Prepared::new(&database, bind(&database)?)?;
        if prepared.reads_views() {
            let _pin = relation.pin();
            let rows = prepared.run(shared, ReadMode::Settled, session).await?;
            let turn = shared.exclusive_turn().await?;
            let now = shared.database();
            let same = now.relations.get(&entry.id).is_some_and(|r| Arc::ptr_eq(r, relation));
            if same && !relation.has_changes(rows.epoch, shared.visible.now()) {
                return Ok((turn, now, rows));
            }
        } else {
            let turn = shared.exclusive_turn().await?;
            if !Arc::ptr_eq(&shared.database(), &database) {
                continue;
            }
            let rows = prepared.run(shared, ReadMode::Settled, session).await?;
            return Ok((turn, database, rows));
        }
    }
}

fn check_changeable(entry: &Entry, verb: &str) -> Result<()> {
    if entry.append_only {
        return Err(Error::statement("55000", format!("cannot {verb} append-only table \"{}\"", entry.name))
            .with_hint("It was created WITH (append_only = true)."));
    }
    Ok(())
}

fn count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|b| b.num_rows() as u64).sum()
}

/// Rows that a query returned, with the schema of the table that they are from.
fn of_table(table: &Relation, batch: &RecordBatch) -> Result<RecordBatch> {
    RecordBatch::try_new(Arc::clone(&table.schema), batch.columns().to_vec())
        .map_err(|e| Error::engine(format!("rows of \"{}\" do not have its columns: {e}", table.name)))
}

/// A change of a table, gathered batch by batch.
pub(super) struct Changing<'a> {
    shared: &'a Shared,
    entry: &'a Entry,
    /// The table.
    pub(super) table: &'a Arc<Relation>,
    checks: Checks,
    rows: Vec<(RecordBatch, Arc<Delta>)>,
}

impl<'a> Changing<'a> {
    /// Nothing yet.
    pub(super) fn new(shared: &'a Shared, database: &Database, entry: &'a Entry, table: &'a Arc<Relation>) -> Result<Self> {
        Ok(Self { shared, entry, table, checks: Checks::of(database, entry)?, rows: Vec::new() })
    }

    /// The same without its rows.
    pub(super) fn emptied(self) -> Self {
        Self { rows: Vec::new(), ..self }
    }

    /// Adds rows of the table's schema, each with this weight.
    ///
    /// # Errors
    /// When rows that are inserted violate a check.
    pub(super) fn add(&mut self, rows: RecordBatch, weight: Weight) -> Result<()> {
        if weight > 0 {
            self.checks.check(&rows)?;
        }
        let physical = encode_batch(&self.shared.dictionary, &rows);
        let length = rows.num_rows();
        let delta = if weight == 1 { Delta::insertions(physical) } else { Delta::weighted(physical, vec![weight; length]) };
        self.rows.push((rows, Arc::new(delta)));
        Ok(())
    }

    /// Adds rows that are of the table as they are, and as they become.
    pub(super) fn replace(&mut self, pairs: &RecordBatch) -> Result<()> {
        let width = self.entry.columns.len();
        let part = |columns: Vec<usize>| pairs.project(&columns).map_err(|e| Error::engine(e.to_string()));
        self.add(of_table(self.table, &part((0..width).collect())?)?, -1)?;
        self.add(assign::in_order(self.entry, &part((width..2 * width).collect())?)?, 1)
    }

    /// Rows of the table that are deleted.
    fn take_out(&mut self, rows: RecordBatch, delta: Arc<Delta>) {
        self.rows.push((rows, delta));
    }

    /// The rows that are inserted.
    pub(super) fn inserted(&self) -> RecordBatch {
        self.of_weight(1)
    }

    fn deleted(&self) -> RecordBatch {
        self.of_weight(-1)
    }

    fn of_weight(&self, weight: Weight) -> RecordBatch {
        let rows = self.rows.iter().filter(|(_, delta)| delta.num_rows() > 0 && delta.weight(0) == weight).map(|(rows, _)| rows);
        concat_batches(&self.table.schema, rows).expect("rows of one table have one schema")
    }

    /// How many rows are inserted.
    fn inserted_rows(&self) -> u64 {
        self.rows.iter().flat_map(|(_, delta)| (0..delta.num_rows()).map(|i| delta.weight(i).max(0).unsigned_abs())).sum()
    }

    /// Its physical rows.
    fn deltas(&self) -> impl Iterator<Item = &Arc<Delta>> {
        self.rows.iter().map(|(_, delta)| delta)
    }

    /// The change as it is written.
    pub(super) fn finish(self) -> TableChange {
        TableChange::of_rows(self.table, self.rows)
    }
}
