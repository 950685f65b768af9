//! Rows by key: those of a relation that have given values in some columns, found without going through all of them.
//!
//! A chunk of a relation never changes, so it has an index of its own: the hash of each row's key and the row's place, sorted by the hash.
//! It is made when a key is first looked for in the chunk, takes 8 bytes a row, and goes when the chunk goes. What is found may hold rows
//! of other keys with the same hash: who looks for rows compares them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arrow::array::{Array, ArrayRef, UInt32Array, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use refrain_sql::Catalog;
use refrain_state::codec::encode_column;
use refrain_state::{Dictionary, RowLayout, hash_words};
use refrain_types::physical::is_coded;
use refrain_types::{Delta, RelationId};

use crate::relation::{Relation, Snapshot};

/// How many chunks that are gone may have an index before they are looked for.
const GONE_MAX: usize = 64;

/// The indexes of an engine.
#[derive(Debug, Default)]
pub(crate) struct Lookups(Mutex<Indexes>);

/// By relation and columns.
type Indexes = BTreeMap<(RelationId, Vec<usize>), Arc<Mutex<ByKey>>>;

/// The indexes of a relation's chunks by one key, each by the addresses of the key's columns, which stay theirs as long as the index is there.
#[derive(Debug, Default)]
struct ByKey(HashMap<Vec<usize>, ChunkIndex>);

#[derive(Debug)]
struct ChunkIndex {
    columns: Vec<Weak<dyn Array>>,
    /// The upper half of the hash of a row's key and the place of the row, ascending.
    rows: Box<[u64]>,
}

/// Columns of a relation and a value for each.
#[derive(Debug)]
pub(crate) struct Key {
    columns: Vec<usize>,
    /// `None`: no row has such a value.
    hash: Option<u64>,
}

impl Key {
    /// `None` where rows cannot be found by values of such a type, or of another type than the column's.
    pub fn new(relation: &Relation, columns: &[usize], values: &[&ScalarValue], dictionary: &Dictionary) -> Option<Self> {
        let mut physical = Vec::with_capacity(values.len());
        for (column, value) in columns.iter().zip(values) {
            let data_type = relation.schema.field(*column).data_type();
            match physical_value(data_type, value, dictionary)? {
                Some(value) => physical.push(value),
                None => return Some(Self { columns: columns.to_vec(), hash: None }),
            }
        }
        let mut words = Vec::new();
        layout(relation, columns).pack(&physical, 1, &mut words);
        Some(Self { columns: columns.to_vec(), hash: Some(hash_words(&words)) })
    }
}

/// The column of one value; nothing for a text that there is not in the engine. `None` where rows cannot be found by such a value.
fn physical_value(data_type: &DataType, value: &ScalarValue, dictionary: &Dictionary) -> Option<Option<ArrayRef>> {
    if value.is_null() || value.data_type() != *data_type || data_type.is_floating() {
        return None;
    }
    if let Some(Some(text)) = value.try_as_str() {
        let code = dictionary.find(text.as_bytes());
        return Some(code.map(|code| Arc::new(UInt32Array::from(vec![code])) as ArrayRef));
    }
    let array = value.to_array().ok().filter(|_| !is_coded(data_type))?;
    Some(Some(encode_column(dictionary, &array)))
}

fn layout(relation: &Relation, columns: &[usize]) -> RowLayout {
    let field = |column: &usize| relation.physical.field(*column);
    let types = columns.iter().map(|column| (field(column).data_type().clone(), field(column).is_nullable()));
    RowLayout::of_types(&types.collect::<Vec<_>>())
}

impl Lookups {
    /// What of a relation's snapshot may have this key.
    pub fn find(&self, relation: &Relation, snapshot: &Snapshot, key: &Key) -> Snapshot {
        let found = |chunks| Snapshot { epoch: snapshot.epoch, chunks, errors: Vec::new() };
        let Some(hash) = key.hash else { return found(Vec::new()) };
        let by_key = Arc::clone(self.lock().entry((relation.id, key.columns.clone())).or_default());
        let mut by_key = by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let layout = layout(relation, &key.columns);
        let chunks = snapshot.chunks.iter().filter_map(|chunk| {
            let rows = by_key.of_chunk(chunk, &key.columns, &layout).find(hash);
            (!rows.is_empty()).then(|| Arc::new(taken(chunk, rows)))
        });
        let chunks = chunks.collect();
        by_key.forget_what_is_gone(snapshot.chunks.len());
        found(chunks)
    }

    /// Forgets what the catalog no longer has.
    pub fn keep(&self, catalog: &Catalog) {
        let is_asked_for = |id, columns: &[usize]| catalog.get(id).is_some_and(|r| r.found_by().any(|found| found == columns));
        self.lock().retain(|(id, columns), _| is_asked_for(*id, columns));
    }

    fn lock(&self) -> MutexGuard<'_, Indexes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByKey {
    fn of_chunk(&mut self, chunk: &Delta, columns: &[usize], layout: &RowLayout) -> &ChunkIndex {
        let columns_of_key = columns.iter().map(|column| chunk.rows.column(*column));
        let address = columns_of_key.clone().map(|column| Arc::as_ptr(column).addr()).collect();
        self.0.entry(address).or_insert_with(|| {
            let mut words = Vec::new();
            layout.pack_columns_subset(&chunk.rows, columns, &mut words);
            let hashed = words.chunks_exact(layout.words()).zip(0..).map(|(row, place)| entry(hash_words(row), place));
            let mut rows = hashed.collect::<Box<[u64]>>();
            rows.sort_unstable();
            ChunkIndex { columns: columns_of_key.map(Arc::downgrade).collect(), rows }
        })
    }

    fn forget_what_is_gone(&mut self, chunks: usize) {
        if self.0.len() > chunks + GONE_MAX {
            self.0.retain(|_, index| index.columns.iter().all(|column| column.strong_count() > 0));
        }
    }
}

fn entry(hash: u64, place: u32) -> u64 {
    hash & !u64::from(u32::MAX) | u64::from(place)
}

impl ChunkIndex {
    /// The places of the rows of a key.
    fn find(&self, hash: u64) -> &[u64] {
        let (first, last) = (entry(hash, 0), entry(hash, u32::MAX));
        let start = self.rows.partition_point(|row| *row < first);
        let count = self.rows[start..].iter().take_while(|row| **row <= last).count();
        &self.rows[start..start + count]
    }
}

/// Some rows of a chunk.
fn taken(chunk: &Delta, rows: &[u64]) -> Delta {
    let places = rows.iter().map(|row| row & u64::from(u32::MAX));
    let weights = places.clone().map(|place| chunk.weight(place as usize)).collect();
    let taken = take_record_batch(&chunk.rows, &UInt64Array::from_iter_values(places));
    Delta::weighted(taken.expect("the places are in the chunk"), weights)
}
