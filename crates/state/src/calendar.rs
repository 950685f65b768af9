//! What a loop head still has to release, by iteration: ids of touched rows, four bytes each.

use std::collections::BTreeMap;

use refrain_types::Iteration;

/// See the module. A row may stand under several iterations, and twice under one; whoever takes it out looks at the row itself.
#[derive(Debug, Default)]
pub struct Calendar {
    touched: BTreeMap<Iteration, Vec<u32>>,
    len: usize,
}

impl Calendar {
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
        self.touched.entry(iteration).or_default().push(id);
        self.len += 1;
    }

    /// Moves up to `limit` ids of the lowest iteration to `ids`, which is cleared first.
    pub fn take_lowest(&mut self, limit: usize, ids: &mut Vec<u32>) -> Option<Iteration> {
        ids.clear();
        loop {
            let mut entry = self.touched.first_entry()?;
            let iteration = *entry.key();
            let list = entry.get_mut();
            if list.is_empty() {
                entry.remove();
                continue;
            }
            if list.len() <= limit {
                std::mem::swap(ids, list);
                entry.remove();
            } else {
                ids.extend(list.drain(list.len() - limit..));
            }
            self.len -= ids.len();
            return Some(iteration);
        }
    }

    /// How many rows are touched at each iteration, lowest first.
    pub fn histogram(&self) -> impl Iterator<Item = (Iteration, usize)> + '_ {
        self.touched.iter().filter(|(_, ids)| !ids.is_empty()).map(|(iteration, ids)| (*iteration, ids.len()))
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.touched.values().map(|ids| ids.capacity() * 4).sum()
    }
}
