//! `INSERT`, `DELETE`, `UPDATE`, and the same with rows that a program hands in.
//!
//! A `DELETE` or `UPDATE` that reads only tables computes its rows inside its turn. One that reads views may have to wait for them, so it
//! reads first, and begins again if its table has changed when its turn comes: a view that never settles then blocks nobody else.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use refrain_checkpoint::segment::WEIGHT_COLUMN;
use refrain_sql::Bound;
use refrain_sql::catalog::Relation as Entry;
use refrain_sql::statement::{Delete, Insert, Update};
use refrain_state::codec::encode_batch;
use refrain_types::{Delta, Weight};

use crate::assign;
use crate::database::Database;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::ingest::{TableChange, Turn};
use crate::query::{Prepared, ReadMode, Rows};
use crate::relation::Relation;
use crate::session::{Outcome, Session};

/// `INSERT`
pub(super) async fn insert(session: &Session, insert: &Insert) -> Result<Outcome> {
    let shared = session.shared();
    let database = shared.database();
    let (entry, table) = database.table(&insert.table)?;
    let bound = refrain_sql::bind_insert(&database.catalog, insert)?;
    let rows = Prepared::new(&database, bound)?.run(shared, ReadMode::Settled, session).await?;
    let count = count(&rows.batches);
    if count > 0 {
        let mut change = Changing::new(shared, table);
        for batch in &rows.batches {
            change.add(assign::in_order(entry, batch)?, 1);
        }
        shared.write(shared.turn().await?, change.finish()).await?;
    }
    Ok(Outcome::done(format!("INSERT 0 {count}")))
}

/// `DELETE`
pub(super) async fn delete(session: &Session, delete: &Delete) -> Result<Outcome> {
    let bind = |database: &Database| Ok(refrain_sql::bind_delete(&database.catalog, delete)?);
    let (turn, database, rows) = affected_rows(session, &delete.table, "delete from", bind).await?;
    let (_, table) = database.table(&delete.table)?;
    let count = count(&rows.batches);
    if count > 0 {
        let mut change = Changing::new(session.shared(), table);
        for batch in &rows.batches {
            change.add(of_table(table, batch)?, -1);
        }
        session.shared().write(turn, change.finish()).await?;
    }
    Ok(Outcome::done(format!("DELETE {count}")))
}

/// `UPDATE`
pub(super) async fn update(session: &Session, update: &Update) -> Result<Outcome> {
    let bind = |database: &Database| Ok(refrain_sql::bind_update(&database.catalog, update)?);
    let (turn, database, rows) = affected_rows(session, &update.table, "update", bind).await?;
    let (entry, table) = database.table(&update.table)?;
    let count = count(&rows.batches);
    if count > 0 {
        let width = entry.columns.len();
        let before = (0..width).collect::<Vec<_>>();
        let after = (width..2 * width).collect::<Vec<_>>();
        let mut change = Changing::new(session.shared(), table);
        for batch in &rows.batches {
            let part = |columns: &[usize]| batch.project(columns).map_err(|e| Error::engine(e.to_string()));
            change.add(of_table(table, &part(&before)?)?, -1);
            change.add(assign::in_order(entry, &part(&after)?)?, 1);
        }
        session.shared().write(turn, change.finish()).await?;
    }
    Ok(Outcome::done(format!("UPDATE {count}")))
}

/// Inserts rows that a program hands in.
pub(crate) async fn insert_rows(shared: &Arc<Shared>, table: &str, rows: &RecordBatch) -> Result<u64> {
    shared.check_writes("INSERT")?;
    let database = shared.database();
    let (entry, table) = database.table(table)?;
    let rows = assign::by_name(entry, rows)?;
    let count = rows.num_rows() as u64;
    if count > 0 {
        let mut change = Changing::new(shared, table);
        change.add(rows, 1);
        shared.write(shared.turn().await?, change.finish()).await?;
    }
    Ok(count)
}

/// Deletes, for each row that a program hands in, one equal row.
pub(crate) async fn delete_rows(shared: &Arc<Shared>, table: &str, rows: &RecordBatch) -> Result<u64> {
    shared.check_writes("DELETE")?;
    let database = shared.database();
    let (entry, table) = database.table(table)?;
    check_changeable(entry, "delete from")?;
    let rows = assign::by_name(entry, rows)?;
    let count = rows.num_rows() as u64;
    if count > 0 {
        let mut change = Changing::new(shared, table);
        change.add(rows, -1);
        let turn = shared.exclusive_turn().await?;
        for delta in &change.deltas {
            shared.row_indexes.check_present(table, delta, &shared.dictionary)?;
        }
        shared.write(turn, change.finish()).await?;
    }
    Ok(count)
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
    table: &'a Arc<Relation>,
    rows: Vec<(RecordBatch, Weight)>,
    deltas: Vec<Arc<Delta>>,
}

impl<'a> Changing<'a> {
    /// Nothing yet.
    pub(super) fn new(shared: &'a Shared, table: &'a Arc<Relation>) -> Self {
        Self { shared, table, rows: Vec::new(), deltas: Vec::new() }
    }

    /// Adds rows of the table's schema, each with this weight.
    pub(super) fn add(&mut self, rows: RecordBatch, weight: Weight) {
        let physical = encode_batch(&self.shared.dictionary, &rows);
        let length = rows.num_rows();
        let delta = if weight == 1 { Delta::insertions(physical) } else { Delta::weighted(physical, vec![weight; length]) };
        self.deltas.push(Arc::new(delta));
        self.rows.push((rows, weight));
    }

    /// The change as it is written.
    pub(super) fn finish(self) -> TableChange {
        let table = Arc::clone(self.table);
        if self.rows.iter().all(|(_, weight)| *weight == 1) {
            return TableChange { table, logged: self.rows.into_iter().map(|(rows, _)| rows).collect(), deltas: self.deltas };
        }
        let mut fields = table.schema.fields().to_vec();
        fields.push(Arc::new(Field::new(WEIGHT_COLUMN, DataType::Int64, false)));
        let schema = Arc::new(Schema::new(fields));
        let logged = self.rows.iter().map(|(rows, weight)| {
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::new(Int64Array::from(vec![*weight; rows.num_rows()])));
            RecordBatch::try_new(Arc::clone(&schema), columns).expect("a column was added to the rows and to the schema")
        });
        let logged = logged.collect::<Vec<_>>();
        let one = concat_batches(&schema, &logged).expect("the batches have one schema");
        // Deleted and inserted rows are one delta: a reader sees the statement as a whole.
        let deltas = merge(&table, &self.deltas);
        TableChange { table, logged: vec![one], deltas }
    }
}

fn merge(table: &Relation, deltas: &[Arc<Delta>]) -> Vec<Arc<Delta>> {
    let rows = concat_batches(&table.physical, deltas.iter().map(|d| &d.rows)).expect("rows of one table have one schema");
    let weights = deltas.iter().flat_map(|d| (0..d.num_rows()).map(|i| d.weight(i))).collect();
    vec![Arc::new(Delta::weighted(rows, weights))]
}
