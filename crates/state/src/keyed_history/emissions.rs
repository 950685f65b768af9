//! What the keys of a keyed recursion have emitted: for each key a list, the last emission first, and when it is asked for, the rows
//! by the key of a join.

use refrain_types::Iteration;

use crate::arrangement::{row_key, words_of};
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;
use crate::set_history::NEVER;

/// One emission; its row stands beside it.
#[derive(Clone, Copy, Debug)]
struct Emission {
    /// [`NEVER`] where the slot is free.
    iteration: Iteration,
    /// The emission before, at a lower iteration; of a free slot the next free one.
    before: u32,
}

/// See the module. Emissions are numbered; a number is used again when its emission is gone.
#[derive(Debug)]
pub(super) struct Emissions {
    words: usize,
    slots: Vec<Emission>,
    rows: Vec<u64>,
    free: u32,
    by_key: Option<ByKey>,
}

impl Emissions {
    pub fn new(words: usize, join_key: Option<KeyOf>) -> Self {
        Self { words, slots: Vec::new(), rows: Vec::new(), free: NO_ROW, by_key: join_key.map(ByKey::new) }
    }

    /// Without what was emitted, and by the same key of a join.
    pub fn emptied(&self) -> Self {
        Self::new(self.words, self.by_key.as_ref().map(|by_key| by_key.of.clone()))
    }

    pub fn size_bytes(&self) -> usize {
        let slots = self.slots.capacity() * size_of::<Emission>() + self.rows.capacity() * size_of::<u64>();
        slots + self.by_key.as_ref().map_or(0, ByKey::size_bytes)
    }

    #[inline]
    pub fn row(&self, at: u32) -> &[u64] {
        &self.rows[words_of(at, self.words)]
    }

    #[inline]
    pub fn iteration(&self, at: u32) -> Iteration {
        self.slots[at as usize].iteration
    }

    /// The emission before this one, [`NO_ROW`] if there is none.
    #[inline]
    pub fn before(&self, at: u32) -> u32 {
        self.slots[at as usize].before
    }

    /// The last emission up to an iteration, of those that end with `last`.
    #[inline]
    pub fn upto(&self, mut last: u32, iteration: Iteration) -> u32 {
        while last != NO_ROW && self.iteration(last) > iteration {
            last = self.before(last);
        }
        last
    }

    /// The emissions that end with `last`, the last one first.
    pub fn of(&self, last: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |at: u32| (at != NO_ROW).then_some(at);
        std::iter::successors(some(last), move |at| some(self.before(*at)))
    }

    pub fn put(&mut self, before: u32, iteration: Iteration, row: &[u64]) -> u32 {
        let emission = Emission { iteration, before };
        let at = if self.free == NO_ROW {
            self.slots.push(emission);
            self.rows.extend_from_slice(row);
            u32::try_from(self.slots.len() - 1).expect("a loop of one worker holds fewer than 2^32 rows")
        } else {
            let at = self.free;
            self.free = std::mem::replace(&mut self.slots[at as usize], emission).before;
            self.rows[words_of(at, self.words)].copy_from_slice(row);
            at
        };
        if let Some(by_key) = self.by_key.as_mut().filter(|by_key| by_key.is_built) {
            by_key.add(at, row);
        }
        at
    }

    /// Takes an emission away, which is the last of its list; the one before is returned.
    pub fn take(&mut self, at: u32) -> u32 {
        if let Some(by_key) = self.by_key.as_mut().filter(|by_key| by_key.is_built) {
            by_key.remove(at);
        }
        let slot = &mut self.slots[at as usize];
        let before = slot.before;
        *slot = Emission { iteration: NEVER, before: self.free };
        self.free = at;
        before
    }

    /// Calls `found` with each emitted row of `key`, by the join's key, and the iteration at which it is emitted.
    pub fn matches(&mut self, key: &[u64], mut found: impl FnMut(&[u64], Iteration)) {
        let by_key = self.by_key.as_mut().expect("the history was made with a join's key");
        if !by_key.is_built {
            for at in (0u32..).zip(&self.slots).filter(|(_, slot)| slot.iteration != NEVER).map(|(at, _)| at) {
                by_key.add(at, &self.rows[words_of(at, self.words)]);
            }
            by_key.is_built = true;
        }
        let mut at = by_key.first(key);
        while at != NO_ROW {
            found(&self.rows[words_of(at, self.words)], self.slots[at as usize].iteration);
            at = by_key.links[at as usize].after;
        }
    }
}

/// Emissions by the key of a join, in lists. A join needs them only when its other side changes, so they are listed from the first time
/// on that someone asks.
#[derive(Debug)]
struct ByKey {
    of: KeyOf,
    is_built: bool,
    /// Numbers of keys.
    keys: HashIndex,
    words: Vec<u64>,
    /// The first emission of each key.
    firsts: Vec<u32>,
    links: Vec<Link>,
    scratch: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    key: u32,
    before: u32,
    after: u32,
}

const UNLINKED: Link = Link { key: NO_ROW, before: NO_ROW, after: NO_ROW };

impl ByKey {
    fn new(of: KeyOf) -> Self {
        Self {
            is_built: false,
            keys: HashIndex::new(of.is_exact()),
            words: Vec::new(),
            firsts: Vec::new(),
            links: Vec::new(),
            scratch: vec![0; of.words()],
            of,
        }
    }

    fn size_bytes(&self) -> usize {
        let lists = self.firsts.capacity() * size_of::<u32>() + self.links.capacity() * size_of::<Link>();
        self.keys.size_bytes() + self.words.capacity() * size_of::<u64>() + lists
    }

    fn first(&self, key: &[u64]) -> u32 {
        let found = self.keys.find(row_key(key), |other| self.words[words_of(other, key.len())] == *key);
        found.map_or(NO_ROW, |key| self.firsts[key as usize])
    }

    fn add(&mut self, at: u32, row: &[u64]) {
        self.of.extract(row, &mut self.scratch);
        self.keys.reserve(1);
        let (wanted, words) = (&self.scratch, &self.words);
        let new = u32::try_from(self.firsts.len()).expect("there are not more keys than rows");
        let (key, is_new) =
            self.keys.find_or_insert(row_key(wanted), new, |other| words[words_of(other, wanted.len())] == **wanted);
        if is_new {
            self.words.extend_from_slice(&self.scratch);
            self.firsts.push(NO_ROW);
        }
        let after = std::mem::replace(&mut self.firsts[key as usize], at);
        if after != NO_ROW {
            self.links[after as usize].before = at;
        }
        if self.links.len() <= at as usize {
            self.links.resize(at as usize + 1, UNLINKED);
        }
        self.links[at as usize] = Link { key, before: NO_ROW, after };
    }

    fn remove(&mut self, at: u32) {
        let Link { key, before, after } = std::mem::replace(&mut self.links[at as usize], UNLINKED);
        match before {
            NO_ROW => self.firsts[key as usize] = after,
            before => self.links[before as usize].after = after,
        }
        if after != NO_ROW {
            self.links[after as usize].before = before;
        }
    }
}
