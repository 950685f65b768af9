//! What checkpoints cost: throughput with and without them, how long a loop stands still, bytes against changes, recovery against
//! computing anew.
//!
//! As in the other benches the program starts itself once for each measurement. What is compared are measurements of one run.

mod report;
mod scenarios;

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::case::word;

/// What checkpoints cost.
#[derive(Debug, Parser)]
#[command(name = "checkpoint")]
pub(crate) struct Arguments {
    /// Scenarios to run; all if none is named.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Numbers of workers.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    workers: Vec<usize>,
    /// Measurements of each case; the report shows their medians.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Rows of state where the scenario is about their number.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000,10000000,20000000")]
    rows: Vec<usize>,
    /// How much work: 100 are the sizes of the report, and less is for a quick look.
    #[arg(long, default_value_t = 100)]
    percent: usize,
    /// Where the stores are made.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// The Debian dependency graph, a gzipped CSV of package and dependency.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/debian-depends.csv.gz"))]
    debian_graph: PathBuf,
    /// Writes the report here as well.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Measures one case in this process and prints one line of JSON; this is how the program calls itself.
    #[arg(long, hide = true)]
    measure: Option<Case>,
    /// `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// Closures one after the other, with checkpoints at an interval.
    Closures,
    /// A loop that never ends, with checkpoints at an interval.
    Endless,
    /// A loop that never ends while a thousand checkpoints fail.
    Failing,
    /// Checkpoints of a loop in which many rows go round, beside those of as many rows given to a view without recursion.
    InFlight,
    /// How long a loop that never ends stands still, by the rows of its state.
    PauseByState,
    /// How long a loop stands still, by how deep it goes.
    PauseByDepth,
    /// Bytes of checkpoints when nothing, or a thousandth, has changed.
    Bytes,
    /// Peak memory when a loop is held in the middle of a lap that derives some 250 million rows, which are logged.
    LoopLog,
    /// Opening a store with a loop log and reading what its view had, by how many rows the lap derives that it was caught in.
    RecoverLog,
    /// Opening a store with the closure of a random graph, beside computing it.
    RecoverIntegers,
    /// Opening a store with the closure of the Debian graph, beside computing it.
    RecoverText,
}

/// When checkpoints are taken, and when loops go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Mode {
    Off,
    Commit1s,
    Capture1s,
    Commit100ms,
    Capture100ms,
}

/// One measurement: `scenario:workers:mode:size`, where the size is rows of state, of a lap or in flight, how deep a loop goes, or megabytes
/// that loop logs may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub scenario: Scenario,
    pub workers: usize,
    pub mode: Mode,
    pub size: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, workers, mode, size } = self;
        write!(f, "{}:{workers}:{}:{size}", word::<Scenario>(scenario), word::<Mode>(mode))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let [scenario, workers, mode, size] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err("a case is scenario:workers:mode:size".to_owned());
        };
        let number = |text: &str| text.parse().map_err(|_| format!("\"{text}\" is not a number"));
        Ok(Self {
            scenario: Scenario::from_str(scenario, false)?,
            workers: number(workers)?,
            mode: Mode::from_str(mode, false)?,
            size: number(size)?,
        })
    }
}

/// What a measurement says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// What the scenario times.
    pub seconds: f64,
    /// The other time that it is compared with: computing anew, or until a recursion that was restored has ended.
    pub other_seconds: Option<f64>,
    /// Rows or iterations that were done in that time.
    pub work: i64,
    /// Checkpoints that committed meanwhile; where the scenario is about those that fail, these.
    pub checkpoints: Vec<Taken>,
    /// The largest resident set, where the scenario is about memory.
    pub peak_bytes: u64,
}

/// A checkpoint that committed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub pause_us: i64,
    pub duration_ms: i64,
    pub bytes: i64,
    pub loop_log_rows: i64,
}

impl Arguments {
    fn cases(&self) -> Vec<Case> {
        let scenarios = if self.scenarios.is_empty() { Scenario::value_variants().to_vec() } else { self.scenarios.clone() };
        let mut cases = Vec::new();
        for scenario in scenarios {
            let modes = match scenario {
                Scenario::Closures | Scenario::Endless => Mode::value_variants(),
                Scenario::LoopLog => &[Mode::Off, Mode::Commit1s, Mode::Capture1s],
                Scenario::PauseByState | Scenario::PauseByDepth => &[Mode::Capture100ms, Mode::Commit100ms],
                Scenario::Failing => &[Mode::Off, Mode::Commit100ms],
                Scenario::InFlight | Scenario::Bytes | Scenario::RecoverIntegers | Scenario::RecoverText => &[Mode::Off],
                Scenario::RecoverLog => &[Mode::Commit1s],
            };
            let sizes = match scenario {
                Scenario::PauseByState => self.rows.clone(),
                Scenario::PauseByDepth => vec![10, 100, 10_000, usize::MAX],
                Scenario::InFlight => vec![10_000, 1_000_000],
                Scenario::LoopLog => vec![256, 64],
                Scenario::RecoverLog => vec![2_500_000, 25_000_000, 250_000_000],
                _ => vec![0],
            };
            for &workers in &self.workers {
                for &size in &sizes {
                    cases.extend(modes.iter().map(|mode| Case { scenario, workers, mode: *mode, size }));
                }
            }
        }
        cases
    }
}

/// Reads the arguments and is either the child that measures one case or the parent that runs them all.
pub(crate) fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(case) = &arguments.measure {
        let measurement = scenarios::measure(*case, &arguments)?;
        println!("{}", serde_json::to_string(&measurement)?);
        return Ok(());
    }
    let cases = arguments.cases();
    let mut outcomes: Vec<(Case, Vec<Measurement>)> = cases.iter().map(|case| (*case, Vec::new())).collect();
    for round in 1..=arguments.runs {
        for (case, measurements) in &mut outcomes {
            eprint!("{case} {round}/{}: ", arguments.runs);
            let measurement = child(case, &arguments)?;
            eprintln!("{:.3} s", measurement.seconds);
            measurements.push(measurement);
        }
    }
    let text = report::markdown(&outcomes, arguments.runs);
    println!("{text}");
    if let Some(path) = &arguments.report {
        std::fs::write(path, &text).map_err(|error| format!("could not write file \"{}\": {error}", path.display()))?;
    }
    Ok(())
}

fn child(case: &Case, arguments: &Arguments) -> Result<Measurement, Failure> {
    let mut child = std::process::Command::new(std::env::current_exe()?);
    child.args(["--measure", &case.to_string(), "--percent", &arguments.percent.to_string(), "--folder"]).arg(&arguments.folder);
    child.arg("--debian-graph").arg(&arguments.debian_graph).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = child.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().filter(|_| output.status.success());
    Ok(serde_json::from_str(line.ok_or_else(|| format!("{case} failed: {}", output.status))?)?)
}
