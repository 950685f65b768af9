//! A vector in pages: to append never moves what is there, so it takes as long for a long vector as for a short one, and no memory is held
//! twice while one grows.

use std::ops::{Index, IndexMut};

use crate::prefetch;

/// Values of a page. The first page grows as a vector does, so that a few values take little memory.
const PAGE: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T> Paged<T> {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn push(&mut self, value: T) {
        match self.pages.last_mut().filter(|page| page.len() < PAGE) {
            Some(page) => page.push(value),
            None => self.push_page(value),
        }
        self.len += 1;
    }

    #[cold]
    fn push_page(&mut self, value: T) {
        let mut page = if self.pages.is_empty() { Vec::new() } else { Vec::with_capacity(PAGE) };
        page.push(value);
        self.pages.push(page);
    }

    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        self.pages.get(at >> PAGE_BITS).and_then(|page| page.get(at & (PAGE - 1)))
    }

    /// Brings a value towards the cache. A place past the end is ignored.
    #[inline]
    pub fn prefetch(&self, at: usize) {
        if let Some(page) = self.pages.get(at >> PAGE_BITS) {
            prefetch::read(page, at & (PAGE - 1));
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes of memory.
    pub fn size_bytes(&self) -> usize {
        self.pages.iter().map(|page| page.capacity() * size_of::<T>()).sum()
    }
}

impl<T> Index<usize> for Paged<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.pages[at >> PAGE_BITS][at & (PAGE - 1)]
    }
}

impl<T> IndexMut<usize> for Paged<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.pages[at >> PAGE_BITS][at & (PAGE - 1)]
    }
}

#[cfg(test)]
mod tests;
