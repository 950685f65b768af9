//! The program of the bench of single changes. The allocator is the one of the `refrain` command.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    refrain_benches::run_changes()
}
