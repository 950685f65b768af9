//! The rows of a keyed recursion that only ever gets better: the best row of each key so far and nothing else. No weights, no iterations.
//!
//! A row that is worse than its key's row can be forgotten at once, for neither goes away again. What is released first matters to nothing
//! but the work: the best rows go first, so that a key seldom goes round with a row that a better one replaces.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use refrain_types::Weight;

use crate::arrangement::{Arrangement, BLOCK, Entries, row_key, words_of};
use crate::capture::{Capture, Captured};
use crate::chain::KeyChain;
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;
use crate::order::RowOrder;

/// See the module. Keys are numbered in the order in which they came.
#[derive(Debug)]
pub struct MonotoneKeyed {
    words: usize,
    /// The best row of each key.
    best: Vec<u64>,
    /// The row of each key that was released last, if any was.
    released: Vec<u64>,
    states: Vec<State>,
    keys: HashIndex,
    key: KeyOf,
    order: RowOrder,
    /// Keys whose best row is to be released, best ranks first. A key that was released since is passed over.
    queue: BinaryHeap<Reverse<(i64, u32)>>,
    waiting: usize,
    chain: Option<KeyChain>,
    changes: Option<Changes>,
    scratch: Vec<u64>,
}

/// What is remembered of a key beside its rows.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_released: bool,
    is_waiting: bool,
    /// It is listed among the changes.
    is_listed: bool,
}

/// The keys that were released since the last capture, and their rows at that time, if they had one.
#[derive(Debug, Default)]
struct Changes {
    keys: Vec<(u32, bool)>,
    before: Vec<u64>,
}

impl MonotoneKeyed {
    /// Nothing yet, for rows of `words` words, one for each `key`; with `join_key`, which is part of the key, released rows are found by
    /// that.
    #[must_use]
    pub fn new(words: usize, key: KeyOf, order: RowOrder, join_key: Option<KeyOf>) -> Self {
        Self {
            words,
            best: Vec::new(),
            released: Vec::new(),
            states: Vec::new(),
            keys: HashIndex::new(key.is_exact()),
            scratch: vec![0; BLOCK * key.words()],
            key,
            order,
            queue: BinaryHeap::new(),
            waiting: 0,
            chain: join_key.map(KeyChain::new),
            changes: None,
        }
    }

    /// Number of keys.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.states.len()
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let rows = (self.best.capacity() + self.released.capacity()) * size_of::<u64>();
        let queue = self.queue.capacity() * size_of::<Reverse<(i64, u32)>>();
        let chain = self.chain.as_ref().map_or(0, KeyChain::size_bytes);
        rows + self.states.capacity() * size_of::<State>() + self.keys.size_bytes() + queue + chain
    }

    /// Words of one row.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words
    }

    /// Number of rows that are still to be released.
    #[must_use]
    pub fn unreleased(&self) -> usize {
        self.waiting
    }

    /// Takes in packed rows.
    pub fn arrive(&mut self, rows: &[u64]) {
        let mut keys = std::mem::take(&mut self.scratch);
        for rows in rows.chunks(BLOCK * self.words) {
            self.keys.reserve(rows.len() / self.words);
            let each = || rows.chunks_exact(self.words);
            for (row, key) in each().zip(keys.chunks_exact_mut(self.key.words())) {
                self.key.extract(row, key);
                self.keys.prefetch(row_key(key));
            }
            for (row, key) in rows.chunks_exact(self.words).zip(keys.chunks_exact(self.key.words())) {
                self.take(row, key);
            }
        }
        self.scratch = keys;
    }

    /// Takes in a row; room in the index is reserved.
    #[inline]
    fn take(&mut self, row: &[u64], key: &[u64]) {
        let (id, is_first) = self.intern(row, key);
        let best = &mut self.best[words_of(id, self.words)];
        if is_first || self.order.compare(row, best) == Ordering::Less {
            best.copy_from_slice(row);
            self.queue.push(Reverse((self.order.rank(row), id)));
            let is_waiting = &mut self.states[id as usize].is_waiting;
            self.waiting += usize::from(!*is_waiting);
            *is_waiting = true;
        }
    }

    /// The number of a row's key, and whether it is new; then this is its best row.
    #[inline]
    fn intern(&mut self, row: &[u64], key: &[u64]) -> (u32, bool) {
        let id = u32::try_from(self.states.len()).expect("a loop of one worker holds fewer than 2^32 rows");
        assert!(id != NO_ROW, "a loop of one worker holds fewer than 2^32 rows");
        let (best, words, of) = (&self.best, self.words, &self.key);
        let (id, is_new) = self.keys.find_or_insert(row_key(key), id, |other| of.has_key(&best[words_of(other, words)], key));
        if is_new {
            self.best.extend_from_slice(row);
            self.released.resize(self.best.len(), 0);
            self.states.push(State::default());
        }
        (id, is_new)
    }

    /// Releases up to `limit` rows. Calls `each` with each of them, and with the row of its key that was released before it.
    pub fn release(&mut self, limit: usize, mut each: impl FnMut(&[u64], Option<&[u64]>)) {
        let mut left = limit;
        while left > 0
            && let Some(Reverse((_, id))) = self.queue.pop()
        {
            let State { is_released, is_waiting, is_listed } = &mut self.states[id as usize];
            if !std::mem::replace(is_waiting, false) {
                continue;
            }
            left -= 1;
            self.waiting -= 1;
            let row = words_of(id, self.words);
            if let Some(changes) = &mut self.changes
                && !std::mem::replace(is_listed, true)
            {
                changes.keys.push((id, *is_released));
                changes.before.extend_from_slice(&self.released[row.clone()]);
            }
            let was_released = std::mem::replace(is_released, true);
            each(&self.best[row.clone()], was_released.then(|| &self.released[row.clone()]));
            self.released[row.clone()].copy_from_slice(&self.best[row]);
        }
    }

    /// Calls `found` with each released row of `key`, by the join's key.
    ///
    /// # Panics
    /// When nothing was said of a join.
    pub fn matches(&mut self, key: &[u64], mut found: impl FnMut(&[u64])) {
        let chain = self.chain.as_mut().expect("there is a join's key");
        // A better row has the key of the one that it replaces.
        let best = (self.best.as_slice(), self.words);
        chain.follow(&best, self.words, self.states.len());
        let mut id = chain.first(key, &best);
        while id != NO_ROW {
            if self.states[id as usize].is_released {
                found(&self.released[words_of(id, self.words)]);
            }
            id = chain.next(id);
        }
    }

    /// The released rows: how they changed since the last capture, or all when `full` or when nothing was captured yet; and the rows
    /// that are still to be released.
    pub fn capture(&mut self, full: bool) -> (Capture, Capture) {
        let listed = self.changes.replace(Changes::default());
        for (id, _) in listed.iter().flat_map(|changes| &changes.keys) {
            self.states[*id as usize].is_listed = false;
        }
        let is_full = full || listed.is_none();
        let mut rows = Captured::default();
        let mut push = |row: &[u64], weight: Weight| {
            rows.rows.extend_from_slice(row);
            rows.weights.push(weight);
        };
        match listed.filter(|_| !full) {
            Some(Changes { keys, before }) => {
                for ((id, was_released), before) in keys.into_iter().zip(before.chunks_exact(self.words)) {
                    if was_released {
                        push(before, -1);
                    }
                    push(&self.released[words_of(id, self.words)], 1);
                }
            }
            None => {
                let released = self.released.chunks_exact(self.words).zip(&self.states);
                released.filter(|(_, state)| state.is_released).for_each(|(row, _)| push(row, 1));
            }
        }
        let mut frontier = Captured::default();
        let queued = self.queue.iter().map(|Reverse((_, id))| *id);
        let mut waiting = queued.filter(|id| self.states[*id as usize].is_waiting).collect::<Vec<_>>();
        waiting.sort_unstable();
        waiting.dedup();
        for id in waiting {
            frontier.rows.extend_from_slice(&self.best[words_of(id, self.words)]);
            frontier.weights.push(1);
        }
        (Capture::now(is_full, rows), Capture::now(true, frontier))
    }

    /// Puts back captured rows, which add up to one for each key that was released, and those that are still to be.
    pub fn restore<'a>(&mut self, released: impl Iterator<Item = (&'a [u64], Weight)>, unreleased: &[u64]) {
        let mut sums = Arrangement::new(self.words, Entries::OfRows, None);
        for (row, weight) in released {
            sums.add(row, weight).expect("captured weights add up");
        }
        let mut key = vec![0; self.key.words()];
        for (_, row, weight) in sums.iter() {
            self.key.extract(row, &mut key);
            self.keys.reserve(1);
            let (id, is_new) = self.intern(row, &key);
            assert!(is_new && weight == 1, "a key has one row");
            self.released[words_of(id, self.words)].copy_from_slice(row);
            self.states[id as usize].is_released = true;
        }
        self.changes = Some(Changes::default());
        self.arrive(unreleased);
    }
}

#[cfg(test)]
mod tests;
