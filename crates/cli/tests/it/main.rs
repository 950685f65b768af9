//! The `refrain` binary from outside: what goes to which stream, exit codes, and that a store outlives its process.

mod examples;
mod idle;
mod kill;
mod process;
mod s3;
mod scripts;
mod slt;
mod stores;
mod tour;

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// What a run of the binary has left.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the binary with nothing on its standard input.
fn refrain(arguments: &[&str]) -> Ran {
    refrain_with_input(arguments, "")
}

/// Runs the binary with a script on its standard input.
fn refrain_with_input(arguments: &[&str], input: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refrain"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A binary that ends before it has read everything is no failure of the test as such.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the binary ends");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: status.code().expect("it was not killed"), out: text(stdout), err: text(stderr) }
}
