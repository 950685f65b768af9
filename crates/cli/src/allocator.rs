//! The allocator of the command: the choice is the binary's, never a library's.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// Arrow buffers of many sizes come and go on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The options `purge_delay` and `allow_thp`, which the binding does not name.
const PURGE_DELAY: mi_option_t = 15;
const ALLOW_THP: mi_option_t = 43;

/// How long freed memory waits before it is given back to the system. A dataflow soon takes it again, and would find it in small pages,
/// which the system clears one by one and in which random access takes longer.
const FREED_MEMORY_KEPT_MS: c_long = 30_000;
/// Memory is given back by whole huge pages, where there are such.
const BY_HUGE_PAGES: c_long = 2;

/// Sets how freed memory is kept. The environment goes first: `MIMALLOC_PURGE_DELAY`, `MIMALLOC_ALLOW_THP`.
pub(crate) fn keep_freed_memory() {
    // SAFETY: options may be set at any time, from any thread.
    unsafe {
        mi_option_set_default(PURGE_DELAY, FREED_MEMORY_KEPT_MS);
        mi_option_set_default(ALLOW_THP, BY_HUGE_PAGES);
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn the_options_are_where_they_are_thought_to_be() {
        // SAFETY: options may be read at any time, from any thread.
        let get = |option| unsafe { mi_option_get(option) };
        // What an allocator of another version has in these places is something else.
        assert_eq!([PURGE_DELAY, ALLOW_THP].map(get), [1_000, 1]);
        keep_freed_memory();
        assert_eq!([PURGE_DELAY, ALLOW_THP].map(get), [FREED_MEMORY_KEPT_MS, BY_HUGE_PAGES]);
    }
}
