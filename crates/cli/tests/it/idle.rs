//! An engine without work takes no processor time: all of its threads sleep.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::process::Process;

/// How often to look. A look takes some microseconds for each thread.
const ATTEMPTS: usize = 100_000;
/// Looks in a row that find all threads asleep: between two that wake each other there may be a moment in which one look does.
const LOOKS: usize = 20;

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

/// Whether all threads of a process fall asleep.
fn falls_asleep(process: u32) -> bool {
    let asleep = |_| {
        std::thread::yield_now();
        states(process).iter().all(|state| *state == 'S')
    };
    (0..ATTEMPTS).any(|_| (0..LOOKS).all(asleep))
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
    assert!(falls_asleep(shell.id()), "threads run without work: {:?}", states(shell.id()));
    drop(input);
    assert!(shell.wait().expect("the shell ends").success());
}

#[test]
#[cfg(target_os = "linux")]
fn when_a_view_without_an_end_is_dropped_all_threads_sleep() {
    let mut shell = Process::with(&mut Command::new(env!("CARGO_BIN_EXE_refrain")), 2);
    shell.run(
        "CREATE MATERIALIZED VIEW nat AS WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
    );
    while shell.pairs("SELECT coalesce(max(iteration), 0), 0 FROM refrain.loops")[0].0 <= 1_000 {}
    shell.run("DROP MATERIALIZED VIEW nat");
    assert!(falls_asleep(shell.id()), "threads work for a view that is gone: {:?}", states(shell.id()));
}
