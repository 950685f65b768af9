//! The parent: every measurement in a process of its own, the contenders of a workload in turn, round after round.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::arguments::{Arguments, Size};
use crate::case::{Case, Workload, word};
use crate::measurement::Measurement;
use crate::{Failure, report};

/// What became of a case.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) measurements: Vec<Measurement>,
    /// Why there are no more of them.
    pub(crate) failure: Option<String>,
}

/// All outcomes of a run; the key order is the order of the report.
pub(crate) type Outcomes = BTreeMap<Case, Outcome>;

/// Measures everything asked for and prints the report. `false` if a case failed or the contenders disagree.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let cases = arguments.cases();
    if cases.is_empty() || arguments.runs == 0 {
        return Err("nothing to measure: no contender does what was asked for".into());
    }
    let mut workloads: Vec<Workload> = cases.iter().map(|case| case.workload).collect();
    workloads.dedup();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut outcomes = Outcomes::new();
    for workload in workloads {
        for round in 1..=arguments.runs {
            for case in cases.iter().filter(|case| case.workload == workload) {
                let outcome = outcomes.entry(*case).or_default();
                if outcome.failure.is_none() {
                    eprint!("{case} {round}/{}: ", arguments.runs);
                    match runtime.block_on(child(case, arguments)) {
                        Ok(measurement) => {
                            eprintln!("{:.3} s, {} rows", measurement.seconds, measurement.rows);
                            outcome.measurements.push(measurement);
                        }
                        Err(failure) => {
                            eprintln!("{failure}");
                            outcome.failure = Some(failure.to_string());
                        }
                    }
                }
            }
        }
    }
    let text = report::markdown(&outcomes, arguments);
    println!("{text}");
    if let Some(path) = &arguments.report {
        std::fs::write(path, &text).map_err(|error| format!("could not write file \"{}\": {error}", path.display()))?;
    }
    Ok(disagreements(&outcomes).is_empty() && outcomes.values().all(|outcome| outcome.failure.is_none()))
}

/// The cases whose answer differs from the first of their workload. It must be the same in every measurement, whoever made it; and so
/// must be those after each change, where changes follow.
pub(crate) fn disagreements(outcomes: &Outcomes) -> Vec<Case> {
    let (mut answers, mut trails) = (BTreeMap::new(), BTreeMap::new());
    let mut differing = Vec::new();
    for (case, outcome) in outcomes {
        for measurement in &outcome.measurements {
            let answer = *answers.entry(case.workload).or_insert(measurement.answer());
            let trail = measurement.trail.map(|trail| *trails.entry(case.workload).or_insert(trail));
            if (answer, trail) != (measurement.answer(), measurement.trail) && !differing.contains(case) {
                differing.push(*case);
            }
        }
    }
    differing
}

async fn child(case: &Case, arguments: &Arguments) -> Result<Measurement, Failure> {
    let child = Command::new(std::env::current_exe()?)
        .args(["--measure", &case.to_string(), "--size", &word::<Size>(&arguments.size), "--debian-graph"])
        .arg(&arguments.debian_graph)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let limit = Duration::from_secs(arguments.limit_seconds);
    let Ok(output) = tokio::time::timeout(limit, child.wait_with_output()).await else {
        return Err(format!("not done after {} s", arguments.limit_seconds).into());
    };
    let output = output?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last =
            errors.lines().find(|line| line.contains("panicked") || line.starts_with("ERROR")).or_else(|| errors.lines().last());
        return Err(format!("{}: {}", output.status, last.unwrap_or("no message")).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Measurement::from_output(&text).ok_or_else(|| "the child printed no figures".into())
}
