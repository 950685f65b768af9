//! What a loop head still has to release, by iteration: ids of touched rows, four bytes each. Full blocks of them are in memory as far as
//! there is room, and come back one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use refrain_types::Iteration;

use crate::memory::{self, Memory};

/// Ids of a full block.
const BLOCK_LEN: usize = if cfg!(test) { 8 } else { 1 << 15 };

/// See the module. A row may stand under several iterations, and twice under one; whoever takes it out looks at the row itself.
#[derive(Debug, Default)]
pub struct Calendar {
    touched: BTreeMap<Iteration, Touched>,
    len: usize,
    /// `None` is without a limit.
    memory: Option<Arc<Memory>>,
    /// Bytes of full blocks that are in memory.
    full_bytes: usize,
}

/// The rows of an iteration: those of full blocks came before the others.
#[derive(Debug, Default)]
struct Touched {
    full: Vec<Block>,
    open: Vec<u32>,
}

#[derive(Debug)]
struct Block {
    ids: ScalarBuffer<u32>,
    /// Bytes of memory.
    bytes: usize,
}

impl Calendar {
    /// In this memory, as far as there is room.
    #[must_use]
    pub fn within(mut self, memory: &Arc<Memory>) -> Self {
        self.memory = Some(Arc::clone(memory));
        self
    }

    /// Number of ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is left to release.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The lowest iteration at which something is touched.
    #[must_use]
    pub fn lowest(&self) -> Option<Iteration> {
        self.touched.first_key_value().map(|(iteration, _)| *iteration)
    }

    /// Remembers that a row is touched at an iteration.
    #[inline]
    pub fn touch(&mut self, iteration: Iteration, id: u32) {
        let touched = self.touched.entry(iteration).or_default();
        touched.open.push(id);
        self.len += 1;
        if touched.open.len() == BLOCK_LEN {
            let (ids, bytes) = memory::seal(self.memory.as_ref(), &touched.open);
            touched.full.push(Block { ids, bytes });
            touched.open.clear();
            self.full_bytes += bytes;
        }
    }

    /// Moves up to `limit` ids of the lowest iteration to `ids`, which is cleared first.
    pub fn take_lowest(&mut self, limit: usize, ids: &mut Vec<u32>) -> Option<Iteration> {
        ids.clear();
        loop {
            let mut entry = self.touched.first_entry()?;
            let iteration = *entry.key();
            let touched = entry.get_mut();
            if touched.open.is_empty() {
                let Some(block) = touched.full.pop() else {
                    entry.remove();
                    continue;
                };
                touched.open.extend_from_slice(&block.ids);
                self.full_bytes -= block.bytes;
            }
            if touched.open.len() > limit {
                ids.extend(touched.open.drain(touched.open.len() - limit..));
            } else if touched.full.is_empty() {
                std::mem::swap(ids, &mut touched.open);
                entry.remove();
            } else {
                ids.append(&mut touched.open);
            }
            self.len -= ids.len();
            return Some(iteration);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.touched.clear();
        (self.len, self.full_bytes) = (0, 0);
    }

    /// All ids, in no order.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        let blocks = self.touched.values().flat_map(|touched| touched.full.iter().map(|block| &*block.ids).chain([&*touched.open]));
        blocks.flatten().copied()
    }

    /// How many rows are touched at each iteration, lowest first.
    pub fn histogram(&self) -> impl Iterator<Item = (Iteration, usize)> + '_ {
        let touched =
            self.touched.iter().map(|(iteration, touched)| (*iteration, touched.full.len() * BLOCK_LEN + touched.open.len()));
        touched.filter(|(_, ids)| *ids > 0)
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.full_bytes + self.touched.values().map(|touched| touched.open.capacity() * size_of::<u32>()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
