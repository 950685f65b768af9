//! `ON CONFLICT`: rows that have the key of a row of the table do not come in; they change that row, or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use refrain_sql::bind::PAIR;
use refrain_sql::{Bound, BoundConflict, GivenRows};
use refrain_state::RowLayout;
use refrain_state::codec::{decode_batch, encode_batch};
use refrain_types::Delta;

use super::dml::Changing;
use crate::constraints::{Meetings, changed_twice};
use crate::database::Database;
use crate::error::{Error, Result};
use crate::ingest::Turn;
use crate::query::{Prepared, ReadMode};
use crate::session::Session;

/// What an insertion comes to where some of its rows meet others.
pub(super) async fn resolve<'a>(
    session: &'a Session,
    database: &Arc<Database>,
    change: Changing<'a>,
    turn: &Turn,
    conflict: BoundConflict,
) -> Result<Changing<'a>> {
    let shared = session.shared();
    let (proposed, table) = (change.inserted(), change.table);
    let physical = encode_batch(&shared.dictionary, &proposed);
    let (physical, uncommitted) = (Delta::insertions(physical), session.uncommitted().of(table));
    let Meetings { fresh, met } = shared.meet(turn, table, (&physical, &uncommitted), &conflict.keys, conflict.update.is_some())?;
    let mut resolved = change.emptied();
    if !fresh.is_empty() {
        resolved.add(rows_at(&proposed, fresh)?, 1)?;
    }
    if let Some(update) = conflict.update.filter(|_| !met.is_empty()) {
        let (positions, holders): (Vec<_>, Vec<_>) = met.into_iter().unzip();
        let held = RowLayout::of_schema(&table.physical).unpack(&holders.concat(), &table.physical);
        let held = decode_batch(&shared.dictionary, &held, &table.schema);
        let mut changed = BTreeSet::new();
        for mut pairs in updated(session, database, update, &held, &rows_at(&proposed, positions)?).await? {
            for pair in pairs.remove_column(0).as_primitive::<Int64Type>().values() {
                let pair = usize::try_from(*pair).expect("pairs are numbered from 0");
                if !changed.insert(&holders[pair]) {
                    return Err(changed_twice());
                }
            }
            resolved.replace(&pairs)?;
        }
    }
    Ok(resolved)
}

/// The numbers of pairs of which a row changes, that row as it is, and as it becomes.
async fn updated(
    session: &Session,
    database: &Arc<Database>,
    update: Bound,
    held: &RecordBatch,
    excluded: &RecordBatch,
) -> Result<Vec<RecordBatch>> {
    let prepared = Prepared::new(database, update)?;
    if !prepared.reads.is_empty() {
        return Err(Error::unsupported("a subquery that reads a relation is not supported in ON CONFLICT DO UPDATE"));
    }
    let prepared = prepared.given(GivenRows::STORED, numbered(held)?).given(GivenRows::EXCLUDED, numbered(excluded)?);
    Ok(prepared.run(session.shared(), ReadMode::Settled, session).await?.batches)
}

/// Rows with their numbers in front.
fn numbered(rows: &RecordBatch) -> Result<RecordBatch> {
    let numbers = Int64Array::from_iter_values((0i64..).take(rows.num_rows()));
    let columns = std::iter::once(Arc::new(numbers) as ArrayRef).chain(rows.columns().iter().cloned());
    let number = Arc::new(Field::new(PAIR, DataType::Int64, false));
    let fields = std::iter::once(number).chain(rows.schema().fields().iter().cloned()).collect::<Vec<_>>();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect()).map_err(|e| Error::engine(e.to_string()))
}

fn rows_at(rows: &RecordBatch, positions: Vec<u64>) -> Result<RecordBatch> {
    take_record_batch(rows, &UInt64Array::from(positions)).map_err(|e| Error::engine(e.to_string()))
}
