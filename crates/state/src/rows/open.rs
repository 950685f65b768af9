//! The chunk of rows that grows.
//!
//! Its beginning is handed to others while rows are appended behind it: a loop stands still when that happens, so no row is copied then and no
//! memory is touched for the first time, of which a page may take milliseconds.

use std::cell::UnsafeCell;
use std::fmt::{self, Debug, Formatter};
use std::mem::MaybeUninit;
use std::panic::RefUnwindSafe;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use arrow::buffer::{Buffer, ScalarBuffer};

/// Words of the first place.
const WORDS_MIN: usize = 16;

/// Words that were appended, in one piece.
#[derive(Debug, Default)]
pub(super) struct Open {
    place: Arc<Place>,
    len: usize,
}

/// Where they are. Only one [`Open`] writes there, and each word once, as long as somebody else may read there.
#[derive(Default)]
struct Place(Box<[UnsafeCell<MaybeUninit<u64>>]>);

// SAFETY: others read only what had been written when they were told of it. A word that was told of is not written again.
unsafe impl Sync for Place {}
impl RefUnwindSafe for Place {}

impl Open {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn capacity(&self) -> usize {
        self.place.0.len()
    }

    #[inline]
    pub fn as_slice(&self) -> &[u64] {
        // SAFETY: so many words were written there, and who writes them again borrows this mutably.
        unsafe { slice::from_raw_parts(self.place.start(), self.len) }
    }

    /// Appends words, of which there are as many as `most` in the end.
    #[inline]
    pub fn append(&mut self, words: &[u64], most: usize) {
        if self.capacity() - self.len < words.len() {
            self.grow(words.len(), most);
        }
        // SAFETY: there is room for so many words behind those that anybody was told of, and this is the only one who writes there.
        unsafe { self.place.start().add(self.len).copy_from_nonoverlapping(words.as_ptr(), words.len()) };
        self.len += words.len();
    }

    #[cold]
    fn grow(&mut self, more: usize, most: usize) {
        let capacity = (2 * self.capacity()).max(WORDS_MIN).min(most).max(self.len + more);
        let before = std::mem::replace(self, Self { place: Arc::new(Place::of(capacity)), len: 0 });
        self.append(before.as_slice(), most);
    }

    /// Forgets the words. Others keep theirs.
    pub fn clear(&mut self) {
        if Arc::get_mut(&mut self.place).is_none() {
            self.place = Arc::new(Place::of(self.capacity()));
        }
        self.len = 0;
    }

    /// The words that there are now, for as long as somebody has them.
    pub fn share(&self) -> ScalarBuffer<u64> {
        let (start, bytes) = (NonNull::from(self.as_slice()).cast::<u8>(), size_of_val(self.as_slice()));
        // SAFETY: so many bytes were written there; they stay, and stay the same, as long as the place has this owner.
        unsafe { Buffer::from_custom_allocation(start, bytes, Arc::clone(&self.place) as _) }.into()
    }
}

impl Place {
    fn of(words: usize) -> Self {
        // SAFETY: a word that may be uninitialized is one without having been made one.
        Self(unsafe { Box::new_uninit_slice(words).assume_init() })
    }

    fn start(&self) -> *mut u64 {
        self.0.as_ptr().cast::<u64>().cast_mut()
    }
}

impl Debug for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} words", self.0.len())
    }
}
