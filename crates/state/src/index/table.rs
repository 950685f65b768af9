//! The slots of an index.
//!
//! A large table comes from the operating system: there memory is zero, and costs nothing until it is touched. An allocator that has
//! memory to use again writes zeros to all of it at once, which for 200 MB takes longer than a loop may pause. It comes in huge pages
//! where the system has them: an index is touched at random, and small pages are a fault each, and miss in the processor's table of them.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

use super::{FREE, Slot};

/// A table of this many slots or fewer, 1.5 MB, comes from the allocator.
const ALLOCATED_MAX: usize = if cfg!(test) { 64 } else { 1 << 17 };

/// See the module.
#[derive(Default)]
pub(super) struct Table {
    allocated: Vec<Slot>,
    mapped: Option<MmapMut>,
}

impl Table {
    /// All free.
    pub fn new(slots: usize) -> Self {
        let mapped = (slots > ALLOCATED_MAX).then(|| MmapMut::map_anon(slots * size_of::<Slot>()).ok()).flatten();
        #[cfg(target_os = "linux")]
        if let Some(mapped) = &mapped {
            // A system without them says so, and small pages do.
            let _ = mapped.advise(memmap2::Advice::HugePage);
        }
        let allocated = if mapped.is_some() { Vec::new() } else { vec![FREE; slots] };
        Self { allocated, mapped }
    }
}

impl Deref for Table {
    type Target = [Slot];

    #[inline]
    fn deref(&self) -> &[Slot] {
        self.mapped.as_ref().map_or(&self.allocated, |bytes| bytemuck::cast_slice(bytes))
    }
}

impl DerefMut for Table {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Slot] {
        self.mapped.as_mut().map_or(&mut self.allocated, |bytes| bytemuck::cast_slice_mut(bytes))
    }
}

impl Drop for Table {
    /// Gives memory back to the system; what is mapped on a thread of its own, as that takes longer than a worker may pause.
    #[expect(clippy::disallowed_methods, reason = "the thread frees memory, and nobody waits for it")]
    fn drop(&mut self) {
        if let Some(mapped) = self.mapped.take() {
            std::thread::spawn(move || drop(mapped));
        }
    }
}
