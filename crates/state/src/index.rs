//! An open-addressing hash index from 64-bit keys to row ids.
//!
//! The index never owns rows. A key is *exact* when it is the whole packed key (it fits one word): then equal keys mean equal
//! rows and no row is looked at. Otherwise the key is a 64-bit hash and the caller verifies a match against the rows, which costs
//! the cache miss that exact keys avoid.
//!
//! Invariant: an id stands in at most one slot. Deliberately not here: removal. Rows that die keep their slot until their store
//! is compacted and its indexes are rebuilt.

use crate::hash::hash_word;

/// No row.
pub const NO_ROW: u32 = u32::MAX;

const CAPACITY_MIN: usize = 16;

/// Twelve bytes: memory counts for more than alignment.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
struct Slot {
    key: u64,
    id: u32,
}

const FREE: Slot = Slot { key: 0, id: NO_ROW };

/// See the module.
pub struct HashIndex {
    slots: Vec<Slot>,
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
        Self { slots: vec![FREE; CAPACITY_MIN], len: 0, exact }
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
        self.slots.len() * size_of::<Slot>()
    }

    /// Forgets every key.
    pub fn clear(&mut self) {
        if self.slots.len() > CAPACITY_MIN * 64 {
            *self = Self::new(self.exact);
        } else {
            self.slots.fill(FREE);
            self.len = 0;
        }
    }

    /// Makes room, so that the next `additional` insertions do not move slots.
    pub fn reserve(&mut self, additional: usize) {
        // At most 11 of 16 slots are taken: linear probing stays short.
        let need = (self.len + additional) * 16 / 11 + 1;
        if need > self.slots.len() {
            self.grow(need.next_power_of_two());
        }
    }

    #[cold]
    fn grow(&mut self, capacity: usize) {
        let old = std::mem::replace(&mut self.slots, vec![FREE; capacity]);
        let mask = capacity - 1;
        for slot in old {
            if slot.id != NO_ROW {
                let mut place = self.place(slot.key);
                while self.slots[place].id != NO_ROW {
                    place = (place + 1) & mask;
                }
                self.slots[place] = slot;
            }
        }
    }

    #[inline]
    fn place(&self, key: u64) -> usize {
        // The low bits: the high ones are the same for all keys of one worker.
        let hash = if self.exact { hash_word(key) } else { key };
        hash as usize & (self.slots.len() - 1)
    }

    /// Brings the slot of `key` towards the cache.
    #[inline]
    pub fn prefetch(&self, key: u64) {
        crate::prefetch::read(&self.slots, self.place(key));
    }

    /// The id under `key` for which `is_row` holds. With exact keys `is_row` is not asked.
    #[inline]
    pub fn find(&self, key: u64, mut is_row: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut place = self.place(key);
        loop {
            let slot = self.slots[place];
            if slot.id == NO_ROW {
                return None;
            }
            if slot.key == key && (self.exact || is_row(slot.id)) {
                return Some(slot.id);
            }
            place = (place + 1) & mask;
        }
    }

    /// The id under `key` for which `is_row` holds, or `id`, which then stands there. The flag tells whether it was inserted.
    /// Room must have been reserved.
    #[inline]
    pub fn find_or_insert(&mut self, key: u64, id: u32, mut is_row: impl FnMut(u32) -> bool) -> (u32, bool) {
        debug_assert!(id != NO_ROW, "row ids end before the mark for none");
        let mask = self.slots.len() - 1;
        let mut place = self.place(key);
        loop {
            let slot = &mut self.slots[place];
            if slot.id == NO_ROW {
                *slot = Slot { key, id };
                self.len += 1;
                return (id, true);
            }
            if slot.key == key && (self.exact || is_row(slot.id)) {
                return (slot.id, false);
            }
            place = (place + 1) & mask;
        }
    }

    /// Puts `id` under `key` and returns what stood there: the head of a chain gets a new first link. Room must have been reserved.
    #[inline]
    pub fn put_first(&mut self, key: u64, id: u32, mut is_row: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut place = self.place(key);
        loop {
            let slot = &mut self.slots[place];
            if slot.id == NO_ROW {
                *slot = Slot { key, id };
                self.len += 1;
                return None;
            }
            if slot.key == key && (self.exact || is_row(slot.id)) {
                return Some(std::mem::replace(&mut slot.id, id));
            }
            place = (place + 1) & mask;
        }
    }
}
