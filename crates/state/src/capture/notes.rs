//! Notes of what has changed in rows that are known by their ids.
//!
//! Layout: runs in lists. A run are ids that changed by one weight at one iteration: a word for both of these, one for the number of ids,
//! and the ids. Most changes of a recursion come in long runs, so most notes are one word.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use refrain_types::{Iteration, Weight};

use super::{by_id, in_weights};
use crate::hash::hash_word;
use crate::memory::{self, Memory};

/// Words of a list at most: the open one stays in the cache beside what the store itself touches.
const LIST_LEN: usize = if cfg!(test) { 16 } else { 1 << 12 };
/// Words that the last note of a list may take.
const NOTE_LEN_MAX: usize = 3;

/// Iterations and weights that fit the word of a run: 24 bits and 8, with a sign.
const ITERATION_BITS: u32 = 24;

/// At an iteration that has changed so many rows, out of all ids, weights are added up in a table of all ids.
const DENSE_MIN: usize = if cfg!(test) { 4 } else { 1 << 10 };
const DENSE_IDS_PER_NOTE: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Notes {
    last: Vec<u32>,
    /// Where the last run of `last` begins.
    run: usize,
    /// Lists that are full, in memory as far as there is room.
    full: Vec<ScalarBuffer<u32>>,
    /// Words of them.
    full_len: usize,
    /// Above the ids that are in them.
    full_ids: usize,
    /// Notes that do not fit a run.
    wide: Vec<(u32, Iteration, Weight)>,
    memory: Option<Arc<Memory>>,
}

impl Notes {
    /// None yet, which are to be in this memory.
    pub fn within(memory: Option<&Arc<Memory>>) -> Self {
        Self { memory: memory.cloned(), ..Self::default() }
    }

    /// None yet, in the same memory.
    pub fn none_yet(&self) -> Self {
        Self::within(self.memory.as_ref())
    }

    /// How many words there are, those of a wide note counted once.
    pub fn len(&self) -> usize {
        self.full_len + self.last.len() + self.wide.len()
    }

    /// Returns whether there are as many more as fill a list.
    #[inline]
    pub fn push(&mut self, id: u32, iteration: Iteration, weight: Weight) -> bool {
        if self.begin_run(iteration, weight) {
            self.last.push(id);
            self.last[self.run + 1] += 1;
            return self.is_full();
        }
        self.wide.push((id, iteration, weight));
        self.wide.len().is_multiple_of(LIST_LEN)
    }

    /// Notes one change of some rows, of as many as have room in the list. Returns how many, and whether there are as many more as fill a
    /// list.
    #[inline]
    pub fn push_some(&mut self, ids: &[u32], iteration: Iteration, weight: Weight) -> (usize, bool) {
        if self.begin_run(iteration, weight) {
            let count = ids.len().min(LIST_LEN - self.last.len());
            self.last.extend_from_slice(&ids[..count]);
            self.last[self.run + 1] += count as u32;
            return (count, self.is_full());
        }
        let is_full = ids.first().is_some_and(|id| self.push(*id, iteration, weight));
        (ids.len().min(1), is_full)
    }

    /// Begins a run, unless the last one is of this iteration and weight; `false` where there is none of such.
    #[inline]
    fn begin_run(&mut self, iteration: Iteration, weight: Weight) -> bool {
        let Some(small) = i8::try_from(weight).ok().filter(|_| iteration >> ITERATION_BITS == 0) else { return false };
        let header = iteration << 8 | u32::from(small.cast_unsigned());
        if self.last.get(self.run) != Some(&header) {
            self.run = self.last.len();
            self.last.extend([header, 0]);
        }
        true
    }

    fn is_full(&self) -> bool {
        self.last.len() > LIST_LEN - NOTE_LEN_MAX
    }

    /// Begins another list if the last one is full.
    pub fn turn_over(&mut self) {
        if self.is_full() {
            self.full.push(memory::seal(self.memory.as_ref(), &self.last).0);
            self.full_len += self.last.len();
            // The list is in the cache now, and is not later.
            self.full_ids = self.full_ids.max(above(runs(&self.last)));
            self.last.clear();
            self.run = 0;
        }
    }

    /// Notes more, which were noted elsewhere.
    pub fn append(&mut self, other: Self) {
        let Self { last, full, full_len, full_ids, wide, .. } = other;
        self.full.extend(full);
        self.full_len += full_len;
        self.full_ids = self.full_ids.max(full_ids);
        self.wide.extend(wide);
        if !last.is_empty() {
            self.full_len += last.len();
            self.full_ids = self.full_ids.max(above(runs(&last)));
            self.full.push(last.into());
        }
    }

    /// Above the ids that are noted in full lists.
    pub fn ids_so_far(&self) -> usize {
        self.full_ids
    }

    fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.full.iter().map(|list| &**list).chain([self.last.as_slice()]).flat_map(runs)
    }

    /// Calls `each` with what the notes of each row and iteration add up to, if it is anything.
    pub fn add_up(&self, mut each: impl FnMut(u32, Iteration, Weight)) {
        let runs = || self.runs();
        let mut wide = WideSums::default();
        for (id, iteration, weight) in &self.wide {
            *wide.entry((*id, *iteration)).or_default() += i128::from(*weight);
        }
        let mut narrow = |id, iteration, weight: Weight| match wide.get_mut(&(id, iteration)) {
            Some(sum) => *sum += i128::from(weight),
            None => each(id, iteration, weight),
        };
        let mut changed = BTreeMap::<Iteration, usize>::new();
        runs().for_each(|run| *changed.entry(run.iteration).or_default() += run.ids.len());
        let ids = above(runs());
        changed.retain(|_, notes| *notes >= DENSE_MIN.max(ids / DENSE_IDS_PER_NOTE));
        let mut sums = vec![0_i32; if changed.is_empty() { 0 } else { ids }];
        for iteration in changed.keys() {
            for run in runs().filter(|run| run.iteration == *iteration) {
                let weight = i32::from(run.weight);
                for id in run.ids {
                    let sum = &mut sums[*id as usize];
                    *sum = sum.checked_add(weight).unwrap_or_else(|| {
                        narrow(*id, *iteration, Weight::from(*sum));
                        weight
                    });
                }
            }
            for (id, sum) in (0..).zip(&mut sums).filter(|(_, sum)| **sum != 0) {
                narrow(id, *iteration, Weight::from(std::mem::take(sum)));
            }
        }
        let sparse = runs().filter(|run| !changed.contains_key(&run.iteration));
        let words = sparse.flat_map(|run| run.ids.iter().map(move |id| u64::from(*id) << 32 | u64::from(run.header)));
        by_id::sorted(&words.collect::<Vec<_>>(), |words| {
            for same in words.chunk_by(|a, b| a >> 8 == b >> 8) {
                let sum = same.iter().map(|word| Weight::from(weight_of(*word as u32))).sum::<Weight>();
                if sum != 0 {
                    narrow(by_id::id(same[0]), iteration_of(same[0] as u32), sum);
                }
            }
        });
        let mut wide = wide.into_iter().collect::<Vec<_>>();
        wide.sort_unstable();
        for ((id, iteration), sum) in wide {
            in_weights(sum, |weight| each(id, iteration, weight));
        }
    }
}

/// What the wide notes add up to, and the others of the same rows and iterations.
type WideSums = HashMap<(u32, Iteration), i128, BuildHasherDefault<WideHasher>>;

#[derive(Default)]
struct WideHasher(u64);

impl Hasher for WideHasher {
    fn finish(&self) -> u64 {
        hash_word(self.0)
    }

    fn write_u32(&mut self, word: u32) {
        self.0 = self.0 << 32 | u64::from(word);
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("an id and an iteration are words")
    }
}

/// Ids that changed alike.
#[derive(Clone, Copy)]
struct Run<'a> {
    header: u32,
    iteration: Iteration,
    weight: i8,
    ids: &'a [u32],
}

fn iteration_of(header: u32) -> Iteration {
    header >> 8
}

fn weight_of(header: u32) -> i8 {
    (header as u8).cast_signed()
}

/// Above the ids of runs. It looks at each of them: without branches that is a few vector instructions.
fn above<'a>(runs: impl Iterator<Item = Run<'a>>) -> usize {
    let highest = |run: Run<'_>| run.ids.iter().copied().fold(0, u32::max);
    runs.filter(|run| !run.ids.is_empty()).map(highest).max().map_or(0, |id| id as usize + 1)
}

/// The runs of a list.
fn runs(mut list: &[u32]) -> impl Iterator<Item = Run<'_>> {
    std::iter::from_fn(move || {
        let (&[header, len], rest) = list.split_first_chunk()?;
        let (ids, rest) = rest.split_at(len as usize);
        list = rest;
        Some(Run { header, iteration: iteration_of(header), weight: weight_of(header), ids })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_looked_through_once_for_each_list_of_them() {
        let mut notes = Notes::default();
        let wide = (0..LIST_LEN * 3).filter(|_| notes.push(1, 1 << 30, 1)).count();
        assert_eq!(wide, 3);
        assert_eq!((0..LIST_LEN - 5).filter(|_| notes.push(1, 0, 1)).count(), 0);
        assert!(notes.push(1, 0, 1));
    }

    #[test]
    fn a_list_has_no_more_words_than_it_may() {
        let mut notes = Notes::default();
        for id in 0..1000 {
            if notes.push(id, id % 7 / 3, 1) {
                notes.turn_over();
                assert_eq!(notes.ids_so_far(), id as usize + 1);
            }
        }
        assert!(notes.full.len() > 60);
        assert!(notes.full.iter().all(|list| list.len() <= LIST_LEN));
    }

    #[test]
    fn sums_that_do_not_fit_are_told_in_pieces() {
        let mut notes = Notes::default();
        let many = i32::MAX as usize / 127 + 10;
        for _ in 0..many {
            if notes.push(0, 1, 127) {
                notes.turn_over();
            }
        }
        let mut told = Vec::new();
        notes.add_up(|id, iteration, weight| told.push((id, iteration, weight)));
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|(id, iteration, _)| (*id, *iteration) == (0, 1)));
        assert_eq!(told.iter().map(|(_, _, weight)| weight).sum::<Weight>(), many as Weight * 127);
    }
}
