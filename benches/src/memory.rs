//! Peak memory of this process, and how its allocator keeps what is freed.

/// Keeps freed memory as the `refrain` command does: for 30 seconds (option `purge_delay`), and then by whole huge pages (`allow_thp`).
pub(crate) fn keep_freed() {
    // SAFETY: options may be set at any time, from any thread.
    unsafe {
        libmimalloc_sys::mi_option_set_default(15, 30_000);
        libmimalloc_sys::mi_option_set_default(43, 2);
    }
}

/// Lets the peak begin anew at what is resident now, so that reading files and making rows does not count.
///
/// Where the kernel does not allow it the peak is that of the whole process, for every contender alike.
pub(crate) fn forget_peak() {
    // 5 is the kernel's code for it: proc(5), /proc/pid/clear_refs.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The largest resident set since [`forget_peak`], in bytes, as the kernel keeps it.
///
/// # Known limitation
/// Linux only; elsewhere it is 0 and the report shows none.
pub(crate) fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// What of the resident set is pages of files, which for these programs is their code, in bytes. Known only as of now, not at the peak.
pub(crate) fn code_bytes() -> u64 {
    status_bytes("RssFile:")
}

fn status_bytes(name: &str) -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let kilobytes = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
