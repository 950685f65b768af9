//! An engine without work takes no processor time: all of its threads sleep.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// How often to look. A look takes some microseconds for each thread.
const ATTEMPTS: usize = 100_000;

/// The states of all threads of a process, as the kernel tells them: `S` sleeps.
fn states(process: u32) -> Vec<char> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let state = |task: std::fs::DirEntry| {
        // A thread may end in between.
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next())
    };
    tasks.filter_map(|task| state(task.expect("a task can be listed"))).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn without_work_all_threads_sleep() {
    let mut shell = Command::new(env!("CARGO_BIN_EXE_refrain"))
        .args(["--workers", "2", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = shell.stdin.take().expect("it is piped");
    let script = "CREATE TABLE t (a int); CREATE MATERIALIZED VIEW v AS SELECT DISTINCT a FROM t; INSERT INTO t VALUES (1); SELECT a FROM v;";
    writeln!(input, "{script}").expect("the shell reads");
    let mut lines = BufReader::new(shell.stdout.take().expect("it is piped")).lines();
    assert!(lines.any(|line| line.expect("it is text") == "1"), "the view is shown");
    let asleep = (0..ATTEMPTS).any(|_| {
        std::thread::yield_now();
        states(shell.id()).iter().all(|state| *state == 'S')
    });
    assert!(asleep, "threads run without work: {:?}", states(shell.id()));
    drop(input);
    assert!(shell.wait().expect("the shell ends").success());
}
