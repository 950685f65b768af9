//! `ALTER TABLE`: the rows of a table under another definition.
//!
//! Where columns or the name change, the table is another relation, which has its rows from the beginning of its epoch on.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use refrain_sql::catalog::{AlteredTable, Relation as Entry};
use refrain_sql::statement::AlterTable;
use refrain_state::codec::{decode_batch, encode_batch};
use refrain_types::Delta;

use super::ddl::{Change, Prepared};
use crate::constraints::{Checks, Defaults, Keys};
use crate::database::Database;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::relation::consolidate;
use crate::session::Notice;

const TAG: &str = "ALTER TABLE";

/// Checks and prepares it. No statement is between log and table meanwhile.
pub(super) fn prepare(shared: &Arc<Shared>, database: &Database, alter: &AlterTable) -> Result<Prepared> {
    if alter.if_exists && database.catalog.find(&alter.name).is_none() {
        let notices = vec![Notice::new(format!("relation \"{}\" does not exist, skipping", alter.name))];
        return Ok(Prepared::Nothing { tag: TAG, notices });
    }
    let constraints = database.catalog.relation(&alter.name)?.constraints.clone();
    let mut database = Database::clone(database);
    let altered = database.catalog.alter_table(alter)?;
    let notices = altered.notices.iter().map(|notice| Notice::new(notice.clone())).collect::<Vec<_>>();
    let entry = database.catalog.get(altered.after).expect("it has just been altered").clone();
    refrain_sql::check_table(&database.catalog, &entry)?;
    let is_same = altered.before == altered.after;
    if is_same && entry.constraints.iter().all(|constraint| constraints.contains(constraint)) {
        // Nothing is asked of the rows that was not before.
        return Ok(Prepared::Change(Box::new(Change { rekeyed: Some(altered.after), notices, ..Change::to(database, TAG) })));
    }
    let before = Arc::clone(database.relation(altered.before)?);
    let snapshot = before.snapshot_at(before.settled());
    let rows = consolidate(&before.physical, &snapshot.chunks).into_iter().filter(|delta| delta.num_rows() > 0);
    let altering = Altering { shared, database: &database, entry: &entry, altered: &altered };
    let rows = rows.map(|delta| altering.reshaped(delta)).collect::<Result<Vec<_>>>()?;
    altering.check(&rows)?;
    if is_same {
        return Ok(Prepared::Change(Box::new(Change { rekeyed: Some(altered.after), notices, ..Change::to(database, TAG) })));
    }
    let drop = database.relations.remove(&altered.before).into_iter().collect();
    database.add_table(&entry, &shared.visible);
    let fill = Some((Arc::clone(database.relation(altered.after)?), rows));
    Ok(Prepared::Change(Box::new(Change { fill, drop, notices, ..Change::to(database, TAG) })))
}

struct Altering<'a> {
    shared: &'a Shared,
    database: &'a Database,
    entry: &'a Entry,
    altered: &'a AlteredTable,
}

impl Altering<'_> {
    /// Rows of the table as it was, as they are in the table as it will be.
    fn reshaped(&self, delta: Delta) -> Result<Arc<Delta>> {
        let physical = refrain_types::physical::physical_schema(&self.entry.schema());
        let mut columns = Vec::with_capacity(self.altered.columns.len());
        for (at, from) in self.altered.columns.iter().enumerate() {
            let column = match from {
                Some(from) => Arc::clone(delta.rows.column(*from)),
                None => self.added(at, delta.num_rows())?,
            };
            let definition = &self.entry.columns[at];
            if definition.not_null && column.null_count() > 0 {
                let message =
                    format!("column \"{}\" of relation \"{}\" contains null values", definition.name, self.entry.own_name());
                return Err(Error::data("23502", message));
            }
            columns.push(column);
        }
        let rows = RecordBatch::try_new(physical, columns).map_err(|e| Error::engine(e.to_string()))?;
        Ok(Arc::new(Delta { rows, ..delta }))
    }

    /// The values of a column that is added: its default, the same whenever the statement is carried out.
    fn added(&self, at: usize, rows: usize) -> Result<ArrayRef> {
        let column = &self.entry.columns[at];
        if !refrain_sql::default_is_immutable(&self.database.catalog, column)? {
            let message = format!("the default of column \"{}\" changes by itself, and the table has rows", column.name);
            return Err(
                Error::unsupported(message).with_hint("Add the column without it, then set the default, and UPDATE the rows.")
            );
        }
        let values = Defaults::of(self.database, self.entry)?.column(at, rows)?;
        let schema = Arc::new(Schema::new(vec![column.field().with_nullable(true)]));
        let logical = RecordBatch::try_new(schema, vec![values]).map_err(|e| Error::engine(e.to_string()))?;
        Ok(Arc::clone(encode_batch(&self.shared.dictionary, &logical).column(0)))
    }

    /// That the rows keep to the constraints.
    fn check(&self, rows: &[Arc<Delta>]) -> Result<()> {
        let (table, dictionary) = (self.entry.own_name(), &self.shared.dictionary);
        let checks = Checks::of(self.database, self.entry)?;
        for delta in rows {
            let violated = |failed: Error| match failed.code() {
                "23514" => {
                    let name = failed.message().rsplit('"').nth(1).unwrap_or_default();
                    Error::data("23514", format!("check constraint \"{name}\" of relation \"{table}\" is violated by some row"))
                }
                _ => failed,
            };
            checks.check(&decode_batch(dictionary, &delta.rows, &self.entry.schema())).map_err(violated)?;
        }
        Keys::default().admit(self.entry, Vec::new, rows, dictionary).map_err(|duplicate| {
            let name = duplicate.message().rsplit('"').nth(1).unwrap_or_default();
            let detail = duplicate.detail().unwrap_or_default().replace(" already exists.", " is duplicated.");
            Error::data("23505", format!("could not create unique index \"{name}\"")).with_detail(detail)
        })
    }
}
