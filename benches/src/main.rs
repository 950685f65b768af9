//! The bench program. The allocator is the one of the `refrain` command, for every contender alike.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    refrain_benches::run()
}
