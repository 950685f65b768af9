//! The engine's dictionary: bytes to codes and back, append-only, shared by all threads.
//!
//! Equal bytes have equal codes for as long as the process lives, so rows are compared without looking at the values. Reading a
//! code's bytes takes no lock; giving out codes takes one, once per batch. Code 0 is NULL and never given out.
//!
//! # Known limitation
//! Values are never freed before the dictionary is dropped, even when no row holds them any more. There can be 2³² − 2 of them, of
//! less than 4 GiB each.

use std::cmp::Ordering;
use std::sync::atomic::{self, AtomicPtr, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::hash::hash_bytes;

/// Values and their codes.
#[derive(Debug)]
pub struct Dictionary {
    /// Where the value of each code stands, in chunks that never move. Chunk `k` holds the codes from `2^(k + FIRST_CHUNK_BITS)` up to
    /// the next power of two; the first holds the ones below it as well.
    chunks: [OnceLock<Box<[AtomicPtr<u8>]>>; CHUNKS],
    count: AtomicU32,
    bytes: AtomicUsize,
    writer: Mutex<Writer>,
}

const FIRST_CHUNK_BITS: u32 = 10;
const CHUNKS: usize = (32 - FIRST_CHUNK_BITS) as usize;
const BLOCK_BYTES: usize = 1 << 20;
const PREFIX_BYTES: usize = size_of::<u32>();

impl Dictionary {
    /// An empty dictionary.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            chunks: [const { OnceLock::new() }; CHUNKS],
            count: AtomicU32::new(0),
            bytes: AtomicUsize::new(0),
            writer: Mutex::new(Writer { slots: vec![EMPTY; 1 << 10], blocks: Vec::new() }),
        })
    }

    /// The code of `bytes`, which is never 0. To code many values, use [`Self::intern_all`].
    ///
    /// # Panics
    /// When a limit of the dictionary is reached.
    #[must_use]
    pub fn intern(&self, bytes: &[u8]) -> u32 {
        let hash = tag(bytes);
        self.lock().intern(self, bytes, hash)
    }

    /// Appends the code of each value to `codes`, 0 for `None`.
    ///
    /// # Panics
    /// When a limit of the dictionary is reached.
    pub fn intern_all<'a>(&self, values: impl Iterator<Item = Option<&'a [u8]>> + Clone, codes: &mut Vec<u32>) {
        // Hashes are worked out before the lock is taken. A run of equal values is looked up once.
        let tags = values.clone().map(|value| value.map_or(0, tag)).collect::<Vec<_>>();
        let mut writer = self.lock();
        let mut last: (Option<&[u8]>, u32) = (None, 0);
        codes.reserve(tags.len());
        for (value, tag) in values.zip(tags) {
            if value != last.0 {
                last = (value, value.map_or(0, |bytes| writer.intern(self, bytes, tag)));
            }
            codes.push(last.1);
        }
    }

    /// The code of `bytes` if there is one already.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<u32> {
        let tag = tag(bytes);
        self.lock().find(self, bytes, tag).ok()
    }

    /// The bytes of a code that this dictionary gave out.
    ///
    /// # Panics
    /// When it did not, or when the code is 0.
    #[inline]
    #[must_use]
    pub fn bytes(&self, code: u32) -> &[u8] {
        let (chunk, offset) = place(code);
        let chunk = self.chunks[chunk].get().expect("the code was given out by this dictionary");
        let start = chunk[offset].load(atomic::Ordering::Acquire);
        assert!(!start.is_null(), "code {code} was given out by this dictionary and is not NULL");
        // SAFETY: a pointer that is not null was stored, with release ordering, after its length and that many bytes were written to a
        // block that neither moves nor changes there until the dictionary is dropped.
        unsafe {
            let length = u32::from_le_bytes(start.cast::<[u8; PREFIX_BYTES]>().read());
            std::slice::from_raw_parts(start.add(PREFIX_BYTES), length as usize)
        }
    }

    /// Order of two values by their bytes, which for text is the order of PostgreSQL's collation "C". NULL comes last.
    #[must_use]
    pub fn compare(&self, a: u32, b: u32) -> Ordering {
        match (a, b) {
            _ if a == b => Ordering::Equal,
            (0, _) => Ordering::Greater,
            (_, 0) => Ordering::Less,
            _ => self.bytes(a).cmp(self.bytes(b)),
        }
    }

    /// How many values it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(atomic::Ordering::Acquire) as usize
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.load(atomic::Ordering::Relaxed) + size_of::<Self>()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Writer> {
        // A writer that panics has reached a limit before it changed anything, so what is there stays valid.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chunk(&self, chunk: usize) -> &[AtomicPtr<u8>] {
        self.chunks[chunk].get_or_init(|| {
            let length = if chunk == 0 { 2 << FIRST_CHUNK_BITS } else { 1 << (FIRST_CHUNK_BITS as usize + chunk) };
            self.bytes.fetch_add(length * size_of::<AtomicPtr<u8>>(), atomic::Ordering::Relaxed);
            (0..length).map(|_| AtomicPtr::new(std::ptr::null_mut())).collect()
        })
    }
}

/// Chunk and offset of a code.
#[inline]
fn place(code: u32) -> (usize, usize) {
    let bits = code.max(1).ilog2().max(FIRST_CHUNK_BITS);
    if bits == FIRST_CHUNK_BITS { (0, code as usize) } else { ((bits - FIRST_CHUNK_BITS) as usize, (code - (1 << bits)) as usize) }
}

fn tag(bytes: &[u8]) -> u32 {
    (hash_bytes(bytes) >> 32) as u32
}

/// What giving out codes needs: an open-addressing table and the blocks that values are written to.
#[derive(Debug)]
struct Writer {
    /// A power of two of slots, at most three quarters of them taken; probing is linear, from the tag's high bits.
    slots: Vec<Slot>,
    /// Values, each after its length in four bytes. Only the last one has room.
    blocks: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    /// 0 where the slot is empty.
    code: u32,
}

const EMPTY: Slot = Slot { tag: 0, code: 0 };

impl Writer {
    fn intern(&mut self, dictionary: &Dictionary, bytes: &[u8], tag: u32) -> u32 {
        match self.find(dictionary, bytes, tag) {
            Ok(code) => code,
            Err(slot) => self.append(dictionary, bytes, tag, slot),
        }
    }

    /// The code of `bytes`, or the slot where it belongs.
    fn find(&self, dictionary: &Dictionary, bytes: &[u8], tag: u32) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut index = self.home(tag);
        loop {
            let slot = self.slots[index];
            if slot.code == 0 {
                return Err(index);
            }
            if slot.tag == tag && dictionary.bytes(slot.code) == bytes {
                return Ok(slot.code);
            }
            index = (index + 1) & mask;
        }
    }

    fn append(&mut self, dictionary: &Dictionary, bytes: &[u8], tag: u32, slot: usize) -> u32 {
        let count = dictionary.count.load(atomic::Ordering::Relaxed);
        assert!(count < u32::MAX - 1, "more than 2^32 distinct texts");
        let code = count + 1;
        let start = self.write(dictionary, bytes);
        let (chunk, offset) = place(code);
        dictionary.chunk(chunk)[offset].store(start, atomic::Ordering::Release);
        dictionary.count.store(code, atomic::Ordering::Release);
        self.slots[slot] = Slot { tag, code };
        if code as usize >= self.slots.len() / 4 * 3 {
            self.grow(dictionary);
        }
        code
    }

    /// Writes length and bytes to where they stay.
    fn write(&mut self, dictionary: &Dictionary, bytes: &[u8]) -> *mut u8 {
        let length = u32::try_from(bytes.len()).expect("a value is smaller than 4 GiB");
        let needed = bytes.len() + PREFIX_BYTES;
        if self.blocks.last().is_none_or(|block| block.capacity() - block.len() < needed) {
            // Blocks start small, so that an engine that never sees text stays small.
            let capacity = needed.max(BLOCK_BYTES.min(4096 << self.blocks.len().min(8)));
            dictionary.bytes.fetch_add(capacity, atomic::Ordering::Relaxed);
            self.blocks.push(Vec::with_capacity(capacity));
        }
        let block = self.blocks.last_mut().expect("a block with room was just made sure of");
        let used = block.len();
        // SAFETY: the block has `needed` bytes of spare capacity, so it does not move, and the bytes written are not yet seen by any
        // reader. Pointers handed out earlier are to bytes before `used`, which stay as they are.
        unsafe {
            let start = block.as_mut_ptr().add(used);
            start.cast::<[u8; PREFIX_BYTES]>().write(length.to_le_bytes());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.add(PREFIX_BYTES), bytes.len());
            block.set_len(used + needed);
            start
        }
    }

    fn grow(&mut self, dictionary: &Dictionary) {
        let doubled = vec![EMPTY; self.slots.len() * 2];
        dictionary.bytes.fetch_add(self.slots.len() * size_of::<Slot>(), atomic::Ordering::Relaxed);
        let mask = doubled.len() - 1;
        for slot in std::mem::replace(&mut self.slots, doubled).into_iter().filter(|slot| slot.code != 0) {
            let mut index = self.home(slot.tag);
            while self.slots[index].code != 0 {
                index = (index + 1) & mask;
            }
            self.slots[index] = slot;
        }
    }

    /// Where probing for a tag starts.
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.slots.len() as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests;
