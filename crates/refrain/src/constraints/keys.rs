//! The keys of tables: the rows of each table that has some, found by each of its keys.
//!
//! The indexes of a table are made from its rows when it is first written to, and follow what is appended to the input log, not what is
//! visible: who has the turn sees what every statement before it leaves.
//!
//! # Known limitation
//! Each key holds the rows of its table once more, and what it takes does not count as memory of views.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::buffer::BooleanBuffer;
use refrain_sql::catalog::Relation as Entry;
use refrain_state::codec::decode_column;
use refrain_state::{Arrangement, Dictionary, Entries, KeyOf, RowLayout};
use refrain_types::physical::physical_schema;
use refrain_types::{Delta, RelationId, Weight};

use crate::display;
use crate::error::{Error, Result};

/// The keys of all tables.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<BTreeMap<RelationId, TableKeys>>);

/// Which of some rows have a key that a row of the table has.
#[derive(Debug, Default)]
pub(crate) struct Meetings {
    /// Positions of those that have none.
    pub fresh: Vec<u64>,
    /// Positions of those that have, and the packed rows that they meet.
    pub met: Vec<(u64, Vec<u64>)>,
}

/// The keys of a table.
#[derive(Debug)]
struct TableKeys {
    layout: RowLayout,
    keys: Vec<KeyIndex>,
}

#[derive(Debug)]
struct KeyIndex {
    columns: Vec<usize>,
    nulls_equal: bool,
    of: KeyOf,
    rows: Arrangement,
    key: Vec<u64>,
}

/// Rows on their way into a table.
struct Packed {
    words: Vec<u64>,
    weights: Vec<Weight>,
    /// For each key, which rows have a NULL in it.
    nulls: Vec<Option<Vec<BooleanBuffer>>>,
}

impl Keys {
    /// Adds changes of a table to its keys. Retractions count first. `all` gives all rows of the table, without these.
    ///
    /// # Errors
    /// `23505` when two rows have one key then; nothing has been added.
    pub fn admit(
        &self,
        entry: &Entry,
        all: impl FnOnce() -> Vec<Arc<Delta>>,
        deltas: &[Arc<Delta>],
        dictionary: &Dictionary,
    ) -> Result<()> {
        if entry.keys().next().is_none() {
            return Ok(());
        }
        self.with(entry, all, |table| table.admit(deltas))
            .map_err(|(index, delta, row)| violation(entry, index, &deltas[delta], row, dictionary))
    }

    /// Whether these changes of a table could be added to its keys. `all` gives all rows of the table, without these.
    ///
    /// # Errors
    /// As [`Keys::admit`].
    pub fn check(
        &self,
        entry: &Entry,
        all: impl FnOnce() -> Vec<Arc<Delta>>,
        deltas: &[Arc<Delta>],
        dictionary: &Dictionary,
    ) -> Result<()> {
        if entry.keys().next().is_none() {
            return Ok(());
        }
        self.with_uncommitted(entry, all, deltas, dictionary, |_| ())
    }

    /// Which rows have one of these keys in common with a row of the table, or with one before them. Rows of the table are also those that
    /// `uncommitted` changes make.
    ///
    /// # Errors
    /// `21000` where `update` is asked for and a row of these would be changed by another; as [`Keys::check`] for what is uncommitted.
    pub fn meet(
        &self,
        entry: &Entry,
        all: impl FnOnce() -> Vec<Arc<Delta>>,
        (rows, uncommitted): (&Delta, &[Arc<Delta>]),
        (keys, update): (&[usize], bool),
        dictionary: &Dictionary,
    ) -> Result<Meetings> {
        if keys.is_empty() {
            return Ok(Meetings { fresh: (0..rows.num_rows() as u64).collect(), met: Vec::new() });
        }
        self.with_uncommitted(entry, all, uncommitted, dictionary, |table| table.meet(rows, keys, update))?
    }

    /// Acts while changes count that will be taken back.
    fn with_uncommitted<T>(
        &self,
        entry: &Entry,
        all: impl FnOnce() -> Vec<Arc<Delta>>,
        deltas: &[Arc<Delta>],
        dictionary: &Dictionary,
        act: impl FnOnce(&mut TableKeys) -> T,
    ) -> Result<T> {
        let done = self.with(entry, all, |table| {
            table.admit(deltas)?;
            let done = act(table);
            table.take_back(deltas);
            Ok(done)
        });
        done.map_err(|(index, delta, row)| violation(entry, index, &deltas[delta], row, dictionary))
    }

    /// The table is gone, or something else than what was admitted has been appended.
    pub fn forget(&self, table: RelationId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&table);
    }

    fn with<T>(&self, entry: &Entry, all: impl FnOnce() -> Vec<Arc<Delta>>, act: impl FnOnce(&mut TableKeys) -> T) -> T {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(tables.entry(entry.id).or_insert_with(|| TableKeys::of(entry, &all())))
    }
}

impl TableKeys {
    fn of(entry: &Entry, rows: &[Arc<Delta>]) -> Self {
        let physical = physical_schema(&entry.schema());
        let layout = RowLayout::of_schema(&physical);
        let keys = entry.keys().map(|(_, key)| {
            let types = key.columns.iter().map(|i| (physical.field(*i).data_type().clone(), physical.field(*i).is_nullable()));
            let own = RowLayout::of_types(&types.collect::<Vec<_>>());
            let of = KeyOf::new(&layout, &key.columns, &own);
            KeyIndex {
                columns: key.columns.clone(),
                nulls_equal: key.nulls_equal,
                rows: Arrangement::new(layout.words(), Entries::OfRows, Some(of.clone())),
                key: vec![0; of.words()],
                of,
            }
        });
        let mut table = Self { keys: keys.collect(), layout };
        for delta in rows {
            let packed = table.pack(std::slice::from_ref(delta));
            for key in &mut table.keys {
                for (row, weight) in packed.words.chunks_exact(table.layout.words()).zip(&packed.weights) {
                    key.add(row, *weight);
                }
                key.rows.compact();
            }
        }
        table
    }

    fn pack(&self, deltas: &[Arc<Delta>]) -> Packed {
        let (mut words, mut weights) = (Vec::new(), Vec::new());
        for delta in deltas {
            self.layout.pack_batch(&delta.rows, &mut words);
            weights.extend((0..delta.num_rows()).map(|i| delta.weight(i)));
        }
        let nulls = self.keys.iter().map(|key| {
            let of = |delta: &Arc<Delta>| {
                let none = || BooleanBuffer::new_unset(delta.num_rows());
                self.layout.rows_with_null(&delta.rows, &key.columns).unwrap_or_else(none)
            };
            (!key.nulls_equal).then(|| deltas.iter().map(of).collect())
        });
        Packed { words, weights, nulls: nulls.collect() }
    }

    /// Adds changes to every key, or tells the first key, delta and row for which that cannot be.
    fn admit(&mut self, deltas: &[Arc<Delta>]) -> Result<(), (usize, usize, usize)> {
        let packed = self.pack(deltas);
        let places =
            deltas.iter().enumerate().flat_map(|(d, delta)| (0..delta.num_rows()).map(move |row| (d, row))).collect::<Vec<_>>();
        let (mut order, inserted): (Vec<usize>, Vec<usize>) = (0..places.len()).partition(|i| packed.weights[*i] <= 0);
        order.extend(inserted);
        let words = self.layout.words();
        let row = |i: usize| &packed.words[i * words..(i + 1) * words];
        for k in 0..self.keys.len() {
            let (before, rest) = self.keys.split_at_mut(k);
            let key = &mut rest[0];
            let may_repeat = |i: usize| packed.nulls[k].as_ref().is_some_and(|nulls| nulls[places[i].0].value(places[i].1));
            for (n, i) in order.iter().enumerate() {
                let weight = packed.weights[*i];
                if weight > 0 && !may_repeat(*i) && (weight > 1 || key.holder(row(*i)).is_some()) {
                    order[..n].iter().for_each(|i| key.add(row(*i), -packed.weights[*i]));
                    for key in before {
                        order.iter().for_each(|i| key.add(row(*i), -packed.weights[*i]));
                    }
                    return Err((k, places[*i].0, places[*i].1));
                }
                key.add(row(*i), weight);
            }
        }
        self.keys.iter_mut().for_each(|key| key.rows.compact());
        Ok(())
    }

    /// Undoes [`TableKeys::admit`].
    fn take_back(&mut self, deltas: &[Arc<Delta>]) {
        let packed = self.pack(deltas);
        for key in &mut self.keys {
            for (row, weight) in packed.words.chunks_exact(self.layout.words()).zip(&packed.weights) {
                key.add(row, -weight);
            }
            key.rows.compact();
        }
    }

    fn meet(&mut self, rows: &Delta, keys: &[usize], update: bool) -> Result<Meetings> {
        let packed = self.pack(&[Arc::new(rows.clone())]);
        let words = self.layout.words();
        let mut taken = vec![BTreeSet::new(); self.keys.len()];
        let mut meetings = Meetings::default();
        for (i, row) in packed.words.chunks_exact(words).enumerate() {
            let counts = |k: usize| packed.nulls[k].as_ref().is_none_or(|nulls| !nulls[0].value(i));
            let counting = keys.iter().copied().filter(|k| counts(*k)).collect::<Vec<_>>();
            if let Some(holder) = counting.iter().find_map(|k| self.keys[*k].holder(row).map(<[u64]>::to_vec)) {
                meetings.met.push((i as u64, holder));
                continue;
            }
            let own = counting.iter().map(|k| (*k, self.keys[*k].key_of(row).to_vec())).collect::<Vec<_>>();
            let is_again = own.iter().any(|(k, key)| taken[*k].contains(key));
            if is_again && update {
                return Err(changed_twice());
            }
            if !is_again {
                for (k, key) in own {
                    taken[k].insert(key);
                }
                meetings.fresh.push(i as u64);
            }
        }
        Ok(meetings)
    }
}

impl KeyIndex {
    fn add(&mut self, row: &[u64], weight: Weight) {
        self.rows.add(row, weight).expect("a table has fewer rows than a weight can count");
    }

    fn key_of(&mut self, row: &[u64]) -> &[u64] {
        self.of.extract(row, &mut self.key);
        &self.key
    }

    /// The row of the table that has the key of this one.
    fn holder(&mut self, row: &[u64]) -> Option<&[u64]> {
        self.key_of(row);
        self.rows.index_keys();
        self.rows.matches(&self.key).next().map(|(_, row, _)| row)
    }
}

/// One statement would change a row twice, so that its order mattered.
pub(crate) fn changed_twice() -> Error {
    Error::statement("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time")
        .with_hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
}

fn violation(entry: &Entry, index: usize, delta: &Delta, row: usize, dictionary: &Dictionary) -> Error {
    let (name, key) = entry.keys().nth(index).expect("a table has the keys that its index has");
    let columns = key.columns.iter().map(|i| &entry.columns[*i]);
    let values = key.columns.iter().zip(columns.clone()).map(|(i, column)| {
        let logical = decode_column(dictionary, &delta.rows.column(*i).slice(row, 1), &column.data_type());
        display::value(&logical, 0).unwrap_or_else(|| "null".to_owned())
    });
    let (values, names) = (values.collect::<Vec<_>>().join(", "), columns.map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "));
    Error::data("23505", format!("duplicate key value violates unique constraint \"{name}\""))
        .with_detail(format!("Key ({names})=({values}) already exists."))
}

#[cfg(test)]
mod tests;
