//! The program of the checkpoint benches. The allocator is the one of the `refrain` command.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // As the `refrain` command has it: freed memory is kept for a second, by the allocator's option `purge_delay`.
    // SAFETY: options may be set at any time, from any thread.
    unsafe { libmimalloc_sys::mi_option_set_default(15, 1_000) };
    refrain_benches::run_checkpoint()
}
