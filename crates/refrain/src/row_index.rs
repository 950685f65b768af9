//! Which rows a table holds and how often, for deleting rows by their values.
//!
//! An index is made when rows of a table are first deleted this way, and follows the table's change log from then on. It is a reader
//! that may be dropped when it lags too far behind: then it is made again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use refrain_state::codec::decode_column;
use refrain_state::{Arrangement, Dictionary, Entries, RowLayout};
use refrain_types::{Delta, Epoch, RelationId, Weight};

use crate::display;
use crate::error::{Error, Result};
use crate::relation::{ReaderId, Relation};

/// An index that is not used must not keep the table's change log for ever.
const LAG_ROWS_MAX: u64 = 1 << 20;

/// The indexes of an engine.
#[derive(Debug, Default)]
pub(crate) struct RowIndexes(Mutex<BTreeMap<RelationId, RowIndex>>);

#[derive(Debug)]
struct RowIndex {
    relation: Arc<Relation>,
    reader: ReaderId,
    position: Epoch,
    layout: RowLayout,
    rows: Arrangement,
    words: Vec<u64>,
}

impl RowIndexes {
    /// Checks that the table, as it is visible now, holds every row of a delta often enough for its negative weight.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_present(&self, table: &Arc<Relation>, deleted: &Delta, dictionary: &Dictionary) -> Result<()> {
        let mut indexes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = indexes.entry(table.id).or_insert_with(|| RowIndex::of(table));
        index.catch_up();
        match index.first_missing(deleted) {
            None => Ok(()),
            Some(row) => {
                let columns = deleted.rows.columns().iter().zip(table.schema.fields());
                let values = columns.map(|(c, f)| {
                    let logical = decode_column(dictionary, &c.slice(row, 1), f.data_type());
                    display::value(&logical, 0).unwrap_or_else(|| "null".to_owned())
                });
                let detail = format!("Row ({}) is not there.", values.collect::<Vec<_>>().join(", "));
                Err(Error::data("02000", format!("row to be deleted does not exist in table \"{}\"", table.name))
                    .with_detail(detail))
            }
        }
    }

    /// The table is gone.
    pub fn forget(&self, table: RelationId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&table);
    }
}

impl RowIndex {
    fn of(table: &Arc<Relation>) -> Self {
        let (reader, snapshot) = table.register_subscriber(LAG_ROWS_MAX);
        let layout = RowLayout::of_schema(&table.physical);
        let rows = Arrangement::new(layout.words(), Entries::OfRows, None);
        let mut index = Self { relation: Arc::clone(table), reader, position: snapshot.epoch, layout, rows, words: Vec::new() };
        for chunk in &snapshot.chunks {
            index.apply(chunk);
        }
        index
    }

    fn catch_up(&mut self) {
        match self.relation.changes_for(self.reader, self.position) {
            None => *self = Self::of(&Arc::clone(&self.relation)),
            Some((settled, changes)) => {
                for delta in changes.iter().flat_map(|(_, deltas)| deltas) {
                    self.apply(delta);
                }
                self.position = settled;
                self.relation.release(self.reader, settled);
            }
        }
    }

    fn apply(&mut self, delta: &Delta) {
        self.pack(delta);
        for (i, row) in self.words.chunks_exact(self.layout.words()).enumerate() {
            self.rows.add(row, delta.weight(i)).expect("a table has fewer rows than a weight can count");
        }
        if self.rows.len() > 1024 && self.rows.live() < self.rows.len() / 2 {
            self.rows.compact();
        }
    }

    /// The first row of the delta that would have a negative weight. Leaves the index as it was.
    fn first_missing(&mut self, deleted: &Delta) -> Option<usize> {
        self.pack(deleted);
        let (mut missing, mut tried) = (None, 0);
        for (i, row) in self.words.chunks_exact(self.layout.words()).enumerate() {
            let weight: Weight = deleted.weight(i);
            tried = i + 1;
            let changed = self.rows.add(row, weight).expect("a table has fewer rows than a weight can count");
            if changed.after < 0 {
                missing = Some(i);
                break;
            }
        }
        for (i, row) in self.words.chunks_exact(self.layout.words()).enumerate().take(tried) {
            self.rows.add(row, -deleted.weight(i)).expect("the weight was there before");
        }
        missing
    }

    fn pack(&mut self, delta: &Delta) {
        self.words.clear();
        self.layout.pack_batch(&delta.rows, &mut self.words);
    }
}

impl Drop for RowIndex {
    fn drop(&mut self) {
        self.relation.drop_reader(self.reader);
    }
}
