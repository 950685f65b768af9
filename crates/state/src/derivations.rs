//! Which iterations derive each row of a loop, and how often.
//!
//! Layout: an iteration that derives the row and its weight are inline, further ones in an overflow list. Beside them stands whatever
//! else the loop remembers of the row, so that one cache line holds it all.

use refrain_types::{Iteration, Weight};

use crate::arrangement::WeightOverflow;
use crate::index::NO_ROW;
use crate::paged::Paged;
use crate::set_history::NEVER;

#[derive(Clone, Copy, Debug)]
struct Entry<X> {
    /// An iteration that derives the row, if `weight` is not 0.
    iteration: Iteration,
    more: u32,
    weight: Weight,
    beside: X,
}

#[derive(Clone, Copy, Debug)]
struct Further {
    iteration: Iteration,
    next: u32,
    weight: Weight,
}

/// The derivations of rows, which are numbered from 0; `X` is what stands beside each row's.
#[derive(Debug)]
pub(crate) struct Derivations<X> {
    entries: Paged<Entry<X>>,
    further: Paged<Further>,
    free: u32,
}

impl<X: Copy> Derivations<X> {
    pub fn new() -> Self {
        Self { entries: Paged::default(), further: Paged::default(), free: NO_ROW }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The ids of all rows.
    pub fn ids(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.len()).expect("ids fit 32 bits")
    }

    /// The id of the row that would come next.
    ///
    /// # Panics
    /// When there is no id left for it.
    #[inline]
    pub fn next_id(&self) -> u32 {
        let id = u32::try_from(self.entries.len()).expect("a loop of one worker holds fewer than 2^32 rows");
        assert!(id != NO_ROW, "a loop of one worker holds fewer than 2^32 rows");
        id
    }

    /// A row that nothing derives yet.
    #[inline]
    pub fn push(&mut self, beside: X) {
        self.entries.push(Entry { iteration: 0, more: NO_ROW, weight: 0, beside });
    }

    #[inline]
    pub fn prefetch(&self, id: u32) {
        self.entries.prefetch(id as usize);
    }

    /// Brings the first of the further iterations of a row that there is towards the cache.
    #[inline]
    pub fn prefetch_further(&self, id: u32) {
        self.further.prefetch(self.entries[id as usize].more as usize);
    }

    #[inline]
    pub fn beside(&self, id: u32) -> &X {
        &self.entries[id as usize].beside
    }

    #[inline]
    pub fn beside_mut(&mut self, id: u32) -> &mut X {
        &mut self.entries[id as usize].beside
    }

    /// Calls `each` with every row, an iteration that derives it and the weight.
    pub fn each(&self, mut each: impl FnMut(u32, Iteration, Weight)) {
        for id in self.ids() {
            self.of(id).for_each(|(iteration, weight)| each(id, iteration, weight));
        }
    }

    /// Whether nothing derives a row.
    pub fn is_underived(&self, id: u32) -> bool {
        let entry = &self.entries[id as usize];
        entry.weight == 0 && entry.more == NO_ROW
    }

    /// Bytes of memory.
    pub fn size_bytes(&self) -> usize {
        self.entries.size_bytes() + self.further.size_bytes()
    }

    #[inline]
    pub fn add(&mut self, id: u32, iteration: Iteration, weight: Weight) -> Result<(), WeightOverflow> {
        let entry = &mut self.entries[id as usize];
        if entry.weight == 0 && entry.more == NO_ROW {
            entry.iteration = iteration;
            entry.weight = weight;
            return Ok(());
        }
        if entry.weight != 0 && entry.iteration == iteration {
            entry.weight = entry.weight.checked_add(weight).ok_or(WeightOverflow)?;
            return Ok(());
        }
        self.add_further(id, iteration, weight)
    }

    fn add_further(&mut self, id: u32, iteration: Iteration, weight: Weight) -> Result<(), WeightOverflow> {
        let mut before = NO_ROW;
        let mut at = self.entries[id as usize].more;
        while at != NO_ROW {
            let further = &mut self.further[at as usize];
            if further.iteration == iteration {
                further.weight = further.weight.checked_add(weight).ok_or(WeightOverflow)?;
                if further.weight == 0 {
                    let next = std::mem::replace(&mut further.next, self.free);
                    self.free = at;
                    match before {
                        NO_ROW => self.entries[id as usize].more = next,
                        before => self.further[before as usize].next = next,
                    }
                }
                return Ok(());
            }
            before = at;
            at = further.next;
        }
        let entry = &mut self.entries[id as usize];
        if entry.weight == 0 {
            entry.iteration = iteration;
            entry.weight = weight;
            return Ok(());
        }
        let further = Further { iteration, next: entry.more, weight };
        if self.free == NO_ROW {
            entry.more = u32::try_from(self.further.len()).expect("a loop of one worker holds fewer than 2^32 derivations");
            self.further.push(further);
        } else {
            entry.more = self.free;
            let slot = &mut self.further[self.free as usize];
            self.free = std::mem::replace(slot, further).next;
        }
        Ok(())
    }

    /// The first iteration whose running weight is positive, [`NEVER`] if there is none.
    #[inline]
    pub fn first(&self, id: u32) -> Iteration {
        let entry = &self.entries[id as usize];
        let mut first = if entry.weight > 0 { entry.iteration } else { NEVER };
        if entry.more == NO_ROW {
            return first;
        }
        let mut negative = entry.weight < 0;
        let mut at = entry.more;
        while at != NO_ROW {
            let further = &self.further[at as usize];
            if further.weight > 0 {
                first = first.min(further.iteration);
            } else {
                negative = true;
            }
            at = further.next;
        }
        if negative { self.first_by_running_weight(id) } else { first }
    }

    #[cold]
    fn first_by_running_weight(&self, id: u32) -> Iteration {
        self.turns(id).first().map_or(NEVER, |(iteration, _)| *iteration)
    }

    /// The first iteration that derives a row, [`NEVER`] if there is none; `None` if some iteration derives it with a negative weight.
    #[inline]
    pub fn first_where_none_is_negative(&self, id: u32) -> Option<Iteration> {
        let entry = &self.entries[id as usize];
        if entry.more == NO_ROW {
            return match entry.weight {
                0 => Some(NEVER),
                weight => (weight > 0).then_some(entry.iteration),
            };
        }
        self.of(id).try_fold(NEVER, |first, (iteration, weight)| (weight > 0).then_some(first.min(iteration)))
    }

    /// The iterations at which a row's running weight becomes positive, with weight 1, and those at which it is no more, with −1.
    pub fn turns(&self, id: u32) -> Vec<(Iteration, Weight)> {
        let mut all = self.of(id).collect::<Vec<_>>();
        all.sort_unstable();
        let mut turns = Vec::new();
        let mut running = 0i128;
        for (iteration, weight) in all {
            let before = running > 0;
            running += i128::from(weight);
            match (before, running > 0) {
                (false, true) => turns.push((iteration, 1)),
                (true, false) => turns.push((iteration, -1)),
                _ => {}
            }
        }
        turns
    }

    /// The iterations that derive a row, in no order, each with its weight, which is not 0.
    #[inline]
    pub fn of(&self, id: u32) -> impl Iterator<Item = (Iteration, Weight)> + '_ {
        let entry = &self.entries[id as usize];
        let inline = (entry.weight != 0).then_some((entry.iteration, entry.weight));
        let mut at = entry.more;
        let further = std::iter::from_fn(move || {
            let further = self.further.get(at as usize).filter(|_| at != NO_ROW)?;
            at = further.next;
            Some((further.iteration, further.weight))
        });
        inline.into_iter().chain(further)
    }
}
