//! The weights of an arrangement's rows, by id. As long as all are 1 they take no memory.

use refrain_types::Weight;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Weights {
    len: usize,
    /// Empty as long as every weight is 1.
    each: Vec<Weight>,
}

impl Weights {
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn size_bytes(&self) -> usize {
        self.each.capacity() * size_of::<Weight>()
    }

    #[inline]
    pub fn get(&self, id: u32) -> Weight {
        debug_assert!((id as usize) < self.len, "a row has a weight");
        if self.each.is_empty() { 1 } else { self.each[id as usize] }
    }

    /// Changes the weight of a row.
    #[inline]
    pub fn set(&mut self, id: u32, weight: Weight) {
        if self.get(id) != weight {
            self.tell_apart();
            self.each[id as usize] = weight;
        }
    }

    /// Adds the weight of the next row.
    #[inline]
    pub fn push(&mut self, weight: Weight) {
        self.len += 1;
        if weight != 1 || !self.each.is_empty() {
            self.push_each(weight);
        }
    }

    fn push_each(&mut self, weight: Weight) {
        if self.each.is_empty() {
            self.each.resize(self.len - 1, 1);
        }
        self.each.push(weight);
    }

    fn tell_apart(&mut self) {
        if self.each.is_empty() {
            self.each.resize(self.len, 1);
        }
    }
}
