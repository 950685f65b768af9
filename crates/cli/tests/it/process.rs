//! A running `refrain` on a store, fed statement by statement.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Rows of two integers, sorted.
pub(crate) type Pairs = Vec<(i64, i64)>;

/// What the shell prints after a statement that it has acknowledged.
const MARK: &str = "-- acknowledged --";

/// The process; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(store: &Path, workers: usize) -> Self {
        Self::with(Command::new(env!("CARGO_BIN_EXE_refrain")).arg("--store").arg(store), workers)
    }

    /// The command of a `refrain`, with this many workers.
    pub(crate) fn with(command: &mut Command, workers: usize) -> Self {
        command.args(["--workers", &workers.to_string(), "--format", "csv"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, input, output }
    }

    /// Its number, as the system counts.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn send(&mut self, sql: &str) {
        let text = format!("{};\n\\echo {MARK}\n", sql.trim_end().trim_end_matches(';'));
        self.input.write_all(text.as_bytes()).expect("the process reads, its error is above");
    }

    /// What is printed up to the mark; `None` if the process ends before.
    fn receive(&mut self) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).expect("output is UTF-8") == 0 {
                return None;
            }
            if line.trim_end() == MARK {
                return Some(lines);
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    /// Runs statements and waits until they are acknowledged.
    pub(crate) fn run(&mut self, sql: &str) -> Vec<String> {
        self.send(sql);
        self.receive().unwrap_or_else(|| panic!("the process has ended on: {sql}"))
    }

    /// The rows of a query of two integers, sorted.
    pub(crate) fn pairs(&mut self, query: &str) -> Pairs {
        let lines = self.run(query);
        let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{text} is not a number in {query}"));
        let pairs = lines[1..].iter().map(|line| line.split_once(',').expect("there are two columns"));
        let mut pairs = pairs.map(|(a, b)| (number(a), number(b))).collect::<Vec<_>>();
        pairs.sort_unstable();
        pairs
    }

    /// Sends a statement and kills the process a moment later; whether the statement was acknowledged.
    pub(crate) fn kill_during(&mut self, sql: &str, spins: usize) -> bool {
        self.send(sql);
        for _ in 0..spins {
            std::hint::spin_loop();
        }
        self.child.kill().expect("the process is there until it is waited for");
        self.child.wait().expect("a killed process ends");
        self.receive().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
