//! The program of the lookup bench. The allocator is the one of the `refrain` command.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    refrain_benches::run_lookup()
}
