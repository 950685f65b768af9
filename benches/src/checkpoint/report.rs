//! The report of the checkpoint benches, in Markdown.

use std::fmt::Write;

use clap::ValueEnum;

use super::{Case, Measurement, Mode, Scenario, Taken};
use crate::case::word;
use crate::report::median;

/// The whole report.
pub(super) fn markdown(outcomes: &[(Case, Vec<Measurement>)], runs: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut text =
        format!("# What checkpoints cost\n\nMedians of {runs} runs; {cores} hardware threads; the store is a local directory.\n");
    if cfg!(debug_assertions) {
        text += "\n**Built without optimization of our own code: these figures mean nothing.**\n";
    }
    for &scenario in Scenario::value_variants() {
        let of = outcomes.iter().filter(|(case, _)| case.scenario == scenario).collect::<Vec<_>>();
        if !of.is_empty() {
            let _ = write!(text, "\n## {}\n\n", word::<Scenario>(&scenario));
            text += &match scenario {
                Scenario::Closures | Scenario::Endless => throughput(&of),
                Scenario::Failing => failing(&of),
                Scenario::InFlight => in_flight(&of),
                Scenario::PauseByState | Scenario::PauseByDepth => pauses(&of),
                Scenario::Bytes => bytes(&of),
                Scenario::LoopLog => loop_logs(&of),
                Scenario::RecoverLog => recovery_of_logs(&of),
                Scenario::RecoverIntegers | Scenario::RecoverText => recovery(&of),
            };
        }
    }
    text
}

type Outcomes<'a> = [&'a (Case, Vec<Measurement>)];

fn rate(measurement: &Measurement) -> f64 {
    measurement.work as f64 / measurement.seconds
}

/// The measurements without checkpoints that those of a case are compared with, round by round.
fn without<'a>(outcomes: &'a Outcomes, case: &Case) -> Option<&'a [Measurement]> {
    let is_beside = |other: &Case| (other.workers, other.size, other.mode) == (case.workers, case.size, Mode::Off);
    outcomes.iter().find(|(other, _)| is_beside(other)).map(|(_, measurements)| measurements.as_slice())
}

/// How fast a case is, in percent of the speed without checkpoints.
fn of_that_without(outcomes: &Outcomes, case: &Case, measurements: &[Measurement]) -> String {
    let ratios = without(outcomes, case).map(|off| measurements.iter().zip(off).map(|(m, off)| rate(m) / rate(off)).collect());
    ratios.and_then(median).map_or_else(String::new, |ratio| format!("{:.1} %", ratio * 100.0))
}

/// Each measurement beside the one without checkpoints of its round.
fn throughput(outcomes: &Outcomes) -> String {
    let mut text = table(&[
        "workers",
        "checkpoints",
        "rows per second",
        "of that without",
        "taken",
        "pause p50 ms",
        "p99 ms",
        "max ms",
        "MB each",
    ]);
    for (case, measurements) in outcomes {
        let taken = measurements.iter().flat_map(|m| m.checkpoints.iter().copied()).collect::<Vec<_>>();
        let rates = median(measurements.iter().map(rate).collect()).unwrap_or(0.0);
        let [p50, p99, max] = pause(taken.iter().filter(|c| c.pause_us > 0));
        let _ = writeln!(
            text,
            "| {} | {} | {rates:.0} | {} | {} | {p50} | {p99} | {max} | {} |",
            case.workers,
            word::<Mode>(&case.mode),
            of_that_without(outcomes, case, measurements),
            taken.len() / measurements.len().max(1),
            megabytes(taken.iter().map(|c| c.bytes as f64).collect()),
        );
    }
    text
}

fn failing(outcomes: &Outcomes) -> String {
    let mut text = table(&["workers", "checkpoints", "failed", "iterations per second", "of that without", "peak MB"]);
    for (case, measurements) in outcomes {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.0} | {} | {} |",
            case.workers,
            word::<Mode>(&case.mode),
            measurements.iter().map(|m| m.checkpoints.len()).min().unwrap_or(0),
            median(measurements.iter().map(rate).collect()).unwrap_or(0.0),
            of_that_without(outcomes, case, measurements),
            megabytes(measurements.iter().map(|m| m.peak_bytes as f64).collect()),
        );
    }
    text
}

fn in_flight(outcomes: &Outcomes) -> String {
    let mut text = table(&[
        "workers",
        "rows in flight",
        "taken in ms",
        "pause p50 ms",
        "p99 ms",
        "max ms",
        "MB each",
        "as many rows without recursion, ms",
        "times as long",
    ]);
    for (case, measurements) in outcomes {
        let taken = measurements.iter().flat_map(|m| m.checkpoints.iter().copied()).collect::<Vec<_>>();
        let of = |what: fn(&Measurement) -> f64| median(measurements.iter().map(what).collect()).unwrap_or(0.0);
        let [p50, p99, max] = pause(taken.iter());
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {p50} | {p99} | {max} | {} | {:.0} | {:.2} |",
            case.workers,
            case.size,
            of(|m| m.seconds) * 1e3,
            megabytes(taken.iter().map(|c| c.bytes as f64).collect()),
            of(|m| m.other_seconds.unwrap_or(0.0)) * 1e3,
            of(|m| m.seconds / m.other_seconds.unwrap_or(f64::NAN)),
        );
    }
    text
}

fn pauses(outcomes: &Outcomes) -> String {
    let mut text = table(&[
        "workers",
        "rows or depth",
        "loops go on after",
        "pauses",
        "p50 ms",
        "p99 ms",
        "max ms",
        "first ms",
        "taken in ms",
        "MB each",
    ]);
    for (case, measurements) in outcomes {
        // The first one writes a base.
        let later =
            measurements.iter().flat_map(|m| m.checkpoints.iter().skip(1)).filter(|c| c.pause_us > 0).copied().collect::<Vec<_>>();
        let first = measurements.iter().filter_map(|m| m.checkpoints.first()).map(|c| c.pause_us as f64 / 1e3).collect();
        let [p50, p99, max] = pause(later.iter());
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {p50} | {p99} | {max} | {} | {} | {} |",
            case.workers,
            if case.size == usize::MAX { "endless".to_owned() } else { case.size.to_string() },
            if case.mode == Mode::Capture100ms { "capture" } else { "commit" },
            later.len(),
            median(first).map_or_else(String::new, |ms| format!("{ms:.2}")),
            median(later.iter().map(|c| c.duration_ms as f64).collect()).map_or_else(String::new, |ms| format!("{ms:.0}")),
            megabytes(later.iter().map(|c| c.bytes as f64).collect()),
        );
    }
    text
}

fn bytes(outcomes: &Outcomes) -> String {
    let mut text =
        table(&["workers", "rows", "base MB", "idle, largest kB", "idle, taken in ms", "0.1 % changed, MB", "of the base"]);
    for (case, measurements) in outcomes {
        for measurement in measurements {
            let [base, idle @ .., changed] = &measurement.checkpoints[..] else { continue };
            let largest = idle.iter().map(|c| c.bytes).max().unwrap_or(0);
            let taken_in = median(idle.iter().map(|c| c.duration_ms as f64).collect()).unwrap_or(0.0);
            let _ = writeln!(
                text,
                "| {} | {} | {:.1} | {:.1} | {taken_in:.0} | {:.2} | {:.2} % |",
                case.workers,
                measurement.work,
                base.bytes as f64 / 1e6,
                largest as f64 / 1e3,
                changed.bytes as f64 / 1e6,
                changed.bytes as f64 / base.bytes as f64 * 100.0,
            );
        }
    }
    text
}

/// Each measurement beside the one without a checkpoint of its round.
fn loop_logs(outcomes: &Outcomes) -> String {
    let mut text =
        table(&["workers", "MB for logs", "loop goes on after", "rows logged", "peak MB", "more than without", "seconds"]);
    for (case, measurements) in outcomes {
        let more = without(outcomes, case).map(|off| {
            measurements.iter().zip(off).map(|(m, off)| m.peak_bytes as f64 - off.peak_bytes as f64).collect::<Vec<_>>()
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.1} |",
            case.workers,
            case.size,
            word::<Mode>(&case.mode),
            measurements.iter().flat_map(|m| &m.checkpoints).map(|c| c.loop_log_rows).max().unwrap_or(0),
            megabytes(measurements.iter().map(|m| m.peak_bytes as f64).collect()),
            more.map_or_else(String::new, megabytes),
            median(measurements.iter().map(|m| m.seconds).collect()).unwrap_or(0.0),
        );
    }
    text
}

fn recovery(outcomes: &Outcomes) -> String {
    let mut text = table(&["workers", "rows", "checkpoint MB", "recovered s", "computed anew s", "times faster"]);
    for (case, measurements) in outcomes {
        let of = |what: fn(&Measurement) -> f64| median(measurements.iter().map(what).collect()).unwrap_or(0.0);
        let anew = |m: &Measurement| m.other_seconds.unwrap_or(0.0);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {:.2} | {:.2} |",
            case.workers,
            measurements.first().map_or(0, |m| m.work),
            megabytes(measurements.iter().flat_map(|m| &m.checkpoints).map(|c| c.bytes as f64).collect()),
            of(|m| m.seconds),
            of(anew),
            of(|m| m.other_seconds.unwrap_or(0.0) / m.seconds),
        );
    }
    text
}

fn recovery_of_logs(outcomes: &Outcomes) -> String {
    let mut text = table(&[
        "workers",
        "rows logged",
        "rows shown after s",
        "first checkpoint ms",
        "of it loop stood still ms",
        "ended after s",
    ]);
    for (case, measurements) in outcomes {
        let caught = |number: usize| measurements.iter().filter_map(move |m| m.checkpoints.get(number));
        let first = |of: fn(&Taken) -> f64| median(caught(1).map(of).collect()).unwrap_or(0.0);
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.2} | {:.0} | {:.1} | {:.1} |",
            case.workers,
            median(caught(0).map(|c| c.loop_log_rows as f64).collect()).unwrap_or(0.0),
            median(measurements.iter().map(|m| m.seconds).collect()).unwrap_or(0.0),
            first(|c| c.duration_ms as f64),
            first(|c| c.pause_us as f64 / 1e3),
            median(measurements.iter().filter_map(|m| m.other_seconds).collect()).unwrap_or(0.0),
        );
    }
    text
}

fn table(head: &[&str]) -> String {
    format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()))
}

fn megabytes(bytes: Vec<f64>) -> String {
    median(bytes).map_or_else(String::new, |bytes| format!("{:.2}", bytes / 1e6))
}

/// Median, 99th percentile by the nearest rank, and largest, in milliseconds.
fn pause<'a>(taken: impl Iterator<Item = &'a Taken>) -> [String; 3] {
    let mut pauses = taken.map(|c| c.pause_us).collect::<Vec<_>>();
    pauses.sort_unstable();
    let Some(last) = pauses.len().checked_sub(1) else { return Default::default() };
    [50, 99, 100].map(|percent| format!("{:.2}", pauses[(last * percent).div_ceil(100)] as f64 / 1e3))
}
