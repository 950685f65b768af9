//! An open-addressing hash index from 64-bit keys to row ids.
//!
//! The index never owns rows. A key is *exact* when it is the whole packed key (it fits one word): then equal keys mean equal
//! rows and no row is looked at. Otherwise the key is a 64-bit hash and the caller verifies a match against the rows, which costs
//! the cache miss that exact keys avoid.
//!
//! A large index grows a little at each insertion, so that none of them takes long: the slots move to a table of twice the size, one run of
//! taken slots after the other. A run moves as a whole, so the place that a key has in the former table says in which of the two it is.
//!
//! Invariant: an id stands in at most one slot that can be found. Deliberately not here: removal. Rows that die keep their slot until
//! their store is compacted and its indexes are rebuilt.

use crate::hash::hash_word;
use crate::prefetch;
use table::Table;

mod table;

/// No row.
pub const NO_ROW: u32 = u32::MAX;

const CAPACITY_MIN: usize = 16;

/// A table of this many slots or fewer moves at once.
const MOVED_AT_ONCE: usize = if cfg!(test) { 64 } else { 1 << 16 };

/// For each key that is inserted, this many slots move. With two the former table would be gone just before the next one is full; the more
/// there are, the slower are the insertions meanwhile, as what they cost is the memory of the larger table, which is touched for the first time.
const MOVED_PER_KEY: usize = 4;

/// Free slots that come one after the other before the first run that moves: the last run cannot well grow over all of them.
const FREE_BEFORE: usize = 8;

/// A key and an id, twelve bytes: memory counts for more than alignment. A free slot is all zeros, so that a table costs nothing until it
/// is written to.
type Slot = [u32; 3];

const FREE: Slot = [0; 3];

#[inline]
fn slot(key: u64, id: u32) -> Slot {
    [key as u32, (key >> 32) as u32, !id]
}

#[inline]
fn key_of(slot: Slot) -> u64 {
    u64::from(slot[0]) | u64::from(slot[1]) << 32
}

#[inline]
fn id_of(slot: Slot) -> u32 {
    !slot[2]
}

/// See the module.
pub struct HashIndex {
    slots: Table,
    /// The table before, while it has slots that have not moved; else empty.
    former: Table,
    /// Where the first run that moved begins in it, and how many slots have moved from there on.
    start: usize,
    moved: usize,
    len: usize,
    exact: bool,
}

impl std::fmt::Debug for HashIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashIndex").field("len", &self.len).field("slots", &self.slots.len()).field("exact", &self.exact).finish()
    }
}

impl HashIndex {
    /// An empty index. `exact` says that keys are whole packed keys, not hashes.
    #[must_use]
    pub fn new(exact: bool) -> Self {
        Self { slots: Table::new(CAPACITY_MIN), former: Table::default(), start: 0, moved: 0, len: 0, exact }
    }

    /// Whether keys are whole packed keys.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        (self.slots.len() + self.former.len()) * size_of::<Slot>()
    }

    /// Forgets every key.
    pub fn clear(&mut self) {
        if self.slots.len() > CAPACITY_MIN * 64 {
            *self = Self::new(self.exact);
        } else {
            self.slots.fill(FREE);
            self.former = Table::default();
            self.len = 0;
        }
    }

    /// Makes room, so that the next `additional` insertions do not move slots.
    #[inline]
    pub fn reserve(&mut self, additional: usize) {
        if !self.former.is_empty() {
            self.move_slots(additional.saturating_mul(MOVED_PER_KEY));
        }
        // At most 11 of 16 slots are taken: linear probing stays short.
        let need = (self.len + additional) * 16 / 11 + 1;
        if need > self.slots.len() {
            self.grow(need.next_power_of_two(), additional);
        }
    }

    #[cold]
    fn grow(&mut self, capacity: usize, additional: usize) {
        self.move_slots(usize::MAX);
        self.former = std::mem::replace(&mut self.slots, Table::new(capacity));
        self.moved = 0;
        let start = if self.former.len() > MOVED_AT_ONCE { after_free_slots(&self.former) } else { None };
        // Without such a place, and before more keys than the table has, all moves at once.
        self.start = start.unwrap_or(0);
        let at_once = start.is_none() || additional > self.former.len() / MOVED_PER_KEY;
        self.move_slots(if at_once { usize::MAX } else { additional.saturating_mul(MOVED_PER_KEY) });
    }

    /// Moves at least so many slots, up to the end of a run.
    fn move_slots(&mut self, count: usize) {
        let (capacity, mut left) = (self.former.len(), count);
        while self.moved < capacity {
            let slot = self.former[(self.start + self.moved) & (capacity - 1)];
            if left == 0 && slot == FREE {
                return;
            }
            self.moved += 1;
            left = left.saturating_sub(1);
            if slot != FREE {
                let mask = self.slots.len() - 1;
                let mut place = self.hash(key_of(slot)) & mask;
                while self.slots[place] != FREE {
                    place = (place + 1) & mask;
                }
                self.slots[place] = slot;
            }
        }
        self.former = Table::default();
    }

    #[inline]
    fn hash(&self, key: u64) -> usize {
        // Places are the low bits: the high ones are the same for all keys of one worker.
        (if self.exact { hash_word(key) } else { key }) as usize
    }

    /// Whether a key of this hash is in the former table, if it is there at all.
    #[inline]
    fn is_former(&self, hash: usize) -> bool {
        !self.former.is_empty() && (hash.wrapping_sub(self.start) & (self.former.len() - 1)) >= self.moved
    }

    /// Brings the slot of `key` towards the cache.
    #[inline]
    pub fn prefetch(&self, key: u64) {
        let hash = self.hash(key);
        let slots: &[Slot] = if self.is_former(hash) { &self.former } else { &self.slots };
        prefetch::read(slots, hash & (slots.len() - 1));
    }

    /// The id under `key` for which `is_row` holds. With exact keys `is_row` is not asked.
    #[inline]
    pub fn find(&self, key: u64, mut is_row: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = self.hash(key);
        let slots: &[Slot] = if self.is_former(hash) { &self.former } else { &self.slots };
        let mask = slots.len() - 1;
        let mut place = hash & mask;
        loop {
            let slot = slots[place];
            if slot == FREE {
                return None;
            }
            if key_of(slot) == key && (self.exact || is_row(id_of(slot))) {
                return Some(id_of(slot));
            }
            place = (place + 1) & mask;
        }
    }

    /// The id under `key` for which `is_row` holds, or `id`, which then stands there. The flag tells whether it was inserted.
    /// Room must have been reserved.
    #[inline]
    pub fn find_or_insert(&mut self, key: u64, id: u32, is_row: impl FnMut(u32) -> bool) -> (u32, bool) {
        match self.slot_of(key, id, is_row) {
            None => (id, true),
            Some(slot) => (id_of(*slot), false),
        }
    }

    /// Puts `id` under `key` and returns what stood there: the head of a chain gets a new first link. Room must have been reserved.
    #[inline]
    pub fn put_first(&mut self, key: u64, id: u32, is_row: impl FnMut(u32) -> bool) -> Option<u32> {
        let found = self.slot_of(key, id, is_row)?;
        Some(id_of(std::mem::replace(found, slot(key, id))))
    }

    /// The slot under `key` for which `is_row` holds; `None` where there was none, and `id` stands there now.
    #[inline]
    fn slot_of(&mut self, key: u64, id: u32, mut is_row: impl FnMut(u32) -> bool) -> Option<&mut Slot> {
        debug_assert!(id != NO_ROW, "row ids end before the mark for none");
        let hash = self.hash(key);
        let is_former = self.is_former(hash);
        let slots: &mut [Slot] = if is_former { &mut self.former } else { &mut self.slots };
        let mask = slots.len() - 1;
        let mut place = hash & mask;
        loop {
            if slots[place] == FREE {
                break;
            }
            if key_of(slots[place]) == key && (self.exact || is_row(id_of(slots[place]))) {
                let slots: &mut [Slot] = if is_former { &mut self.former } else { &mut self.slots };
                return Some(&mut slots[place]);
            }
            place = (place + 1) & mask;
        }
        self.len += 1;
        if is_former && place == self.start {
            self.insert_behind_the_last_run(key, id);
        } else {
            slots[place] = slot(key, id);
        }
        None
    }

    /// The run before the first one that moved has grown up to it: there it would not be moved any more.
    #[cold]
    fn insert_behind_the_last_run(&mut self, key: u64, id: u32) {
        self.move_slots(usize::MAX);
        let mask = self.slots.len() - 1;
        let mut place = self.hash(key) & mask;
        while self.slots[place] != FREE {
            place = (place + 1) & mask;
        }
        self.slots[place] = slot(key, id);
    }
}

/// A free slot behind other free ones.
fn after_free_slots(slots: &[Slot]) -> Option<usize> {
    let mut free = 0;
    slots.iter().position(|slot| {
        free = if *slot == FREE { free + 1 } else { 0 };
        free > FREE_BEFORE
    })
}

#[cfg(test)]
mod tests;
