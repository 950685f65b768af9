//! The weights of an arrangement's rows, by id, in pages. A page on which all are 1 takes no memory.

use refrain_types::Weight;

/// Weights of a page.
const PAGE: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 12;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Weights {
    len: usize,
    /// `None`, and what is behind the end: every weight is 1.
    pages: Vec<Option<Box<[Weight]>>>,
}

impl Weights {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn size_bytes(&self) -> usize {
        let pages = self.pages.iter().flatten().count() * PAGE * size_of::<Weight>();
        pages + self.pages.capacity() * size_of::<Option<Box<[Weight]>>>()
    }

    #[inline]
    pub fn get(&self, id: u32) -> Weight {
        debug_assert!((id as usize) < self.len, "a row has a weight");
        match self.pages.get(id as usize >> PAGE_BITS) {
            Some(Some(page)) => page[id as usize & (PAGE - 1)],
            _ => 1,
        }
    }

    /// Changes the weight of a row.
    #[inline]
    pub fn set(&mut self, id: u32, weight: Weight) {
        if self.get(id) != weight {
            self.page(id)[id as usize & (PAGE - 1)] = weight;
        }
    }

    /// Adds the weight of the next row.
    #[inline]
    pub fn push(&mut self, weight: Weight) {
        self.len += 1;
        if weight != 1 {
            let id = u32::try_from(self.len - 1).expect("an arrangement of one worker holds fewer than 2^32 rows");
            self.set(id, weight);
        }
    }

    fn page(&mut self, id: u32) -> &mut [Weight] {
        let page = id as usize >> PAGE_BITS;
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page].get_or_insert_with(|| vec![1; PAGE].into_boxed_slice())
    }
}
