//! Peak memory of this process.

/// The largest resident set so far, in bytes, as the kernel keeps it.
///
/// # Known limitation
/// Linux only; elsewhere it is 0 and the report shows none.
pub(crate) fn peak_bytes() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
