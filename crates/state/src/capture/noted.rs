//! Notes that are added up now and then, elsewhere if there is a thread to spare: a row that flips for ever does not grow them for ever.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use refrain_types::{Iteration, Weight};

use super::notes::Notes;
use crate::memory::Memory;

/// From so many notes on, and so many for each row, they are added up, when they are as many as all before have added up to. It is seldom
/// worth while before the next capture, whose notes are added up elsewhere anyway, so they may take about as much memory as the store itself.
/// Who notes twice as many before that is done waits for it, or does it.
const ADDED_UP_MIN: usize = if cfg!(test) { 64 } else { 1 << 23 };
const ADDED_UP_MIN_PER_ROW: usize = if cfg!(test) { 4 } else { 8 };

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Noted {
    notes: Notes,
    earlier: Option<Arc<Mutex<Earlier>>>,
    /// How many notes the earlier ones added up to, those included that have not been added up yet.
    earlier_len: usize,
    memory: Option<Arc<Memory>>,
}

/// Notes that are to be added up. They say the same before and after.
#[derive(Debug)]
struct Earlier {
    notes: Notes,
    are_added_up: bool,
}

impl Noted {
    /// Nothing yet. What will be is kept in this memory, and added up by its other threads.
    pub fn within(memory: Option<&Arc<Memory>>) -> Self {
        Self { notes: Notes::within(memory), memory: memory.cloned(), ..Self::default() }
    }

    /// Takes what was noted; others begin, in the same memory.
    pub fn take(&mut self) -> Self {
        let none_yet = Self::within(self.memory.as_ref());
        mem::replace(self, none_yet)
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.earlier.is_none() && self.notes.len() == 0
    }

    #[inline]
    pub fn push(&mut self, id: u32, iteration: Iteration, weight: Weight) {
        if self.notes.push(id, iteration, weight) {
            self.turn_over();
        }
    }

    /// Notes one change of some rows.
    #[inline]
    pub fn push_all(&mut self, mut ids: &[u32], iteration: Iteration, weight: Weight) {
        while !ids.is_empty() {
            let (noted, is_full) = self.notes.push_some(ids, iteration, weight);
            ids = &ids[noted..];
            if is_full {
                self.turn_over();
            }
        }
    }

    #[cold]
    fn turn_over(&mut self) {
        self.notes.turn_over();
        let many = ADDED_UP_MIN.max(ADDED_UP_MIN_PER_ROW * self.notes.ids_so_far());
        if self.notes.len() < many.max(self.earlier_len) {
            return;
        }
        let mut notes = self.notes.none_yet();
        if let Some(earlier) = &self.earlier {
            // There is time until there are as many again.
            let waits = self.notes.len() < 2 * many.max(self.earlier_len);
            let Some(sums) = Earlier::sums(earlier, waits) else { return };
            notes = sums;
        }
        self.earlier_len = notes.len();
        let none_yet = self.notes.none_yet();
        notes.append(mem::replace(&mut self.notes, none_yet));
        let earlier = Arc::new(Mutex::new(Earlier { notes, are_added_up: false }));
        // Nobody may want them any more when their turn comes.
        let later = Arc::downgrade(&earlier);
        self.earlier = Some(earlier);
        let add_up = move || {
            if let Some(earlier) = later.upgrade() {
                Earlier::lock(&earlier).add_up();
            }
        };
        match &self.memory {
            Some(memory) => memory.run(Box::new(add_up)),
            None => add_up(),
        }
    }

    /// Calls `each` with what the notes of each row and iteration add up to, if it is anything.
    pub fn add_up(mut self, each: impl FnMut(u32, Iteration, Weight)) {
        if let Some(earlier) = self.earlier {
            self.notes.append(mem::take(&mut Earlier::lock(&earlier).notes));
        }
        self.notes.add_up(each);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.notes.len() + self.earlier.as_ref().map_or(0, |earlier| Earlier::lock(earlier).notes.len())
    }
}

impl Earlier {
    /// Who panics adding them up leaves them as they were.
    fn lock(earlier: &Mutex<Self>) -> MutexGuard<'_, Self> {
        earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what they have been added up to; `None` where that is not done yet and waits.
    fn sums(earlier: &Mutex<Self>, waits: bool) -> Option<Notes> {
        let mut earlier = match earlier.try_lock() {
            Ok(earlier) => earlier,
            Err(_) if waits => return None,
            Err(_) => Self::lock(earlier),
        };
        if !earlier.are_added_up {
            if waits {
                return None;
            }
            earlier.add_up();
        }
        Some(mem::take(&mut earlier.notes))
    }

    fn add_up(&mut self) {
        if !self.are_added_up {
            let mut sums = self.notes.none_yet();
            self.notes.add_up(|id, iteration, weight| {
                if sums.push(id, iteration, weight) {
                    sums.turn_over();
                }
            });
            *self = Self { notes: sums, are_added_up: true };
        }
    }
}
