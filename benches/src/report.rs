//! The report: medians, spread, peak memory and ratios, in Markdown.

use std::fmt::Write;

use clap::ValueEnum;

use crate::arguments::{Arguments, Size};
use crate::case::{Case, Contender, Tables, Workload, word};
use crate::measurement::{Latency, Measurement};
use crate::runner::{Outcome, Outcomes, disagreements};
use crate::targets;

/// The whole report.
pub(crate) fn markdown(outcomes: &Outcomes, arguments: &Arguments) -> String {
    let mut text = String::from("# Refrain and its peers\n\n");
    text += &preface(arguments);
    for &workload in Workload::value_variants() {
        if outcomes.keys().any(|case| case.workload == workload) {
            text += &section(outcomes, workload, arguments);
        }
    }
    text += &agreement(outcomes);
    text += &target_table(outcomes);
    text
}

/// The middle of the values, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let high = *values.get(values.len() / 2)?;
    Some(if values.len().is_multiple_of(2) { f64::midpoint(values[values.len() / 2 - 1], high) } else { high })
}

fn preface(arguments: &Arguments) -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut text = format!(
        "Medians of {} runs, each in a process of its own, contenders in turn; {cores} hardware threads. \"× limit\" is the time over \
         that of the hand-written program, \"× refrain\" over Refrain's on the same tables with as many workers. A program that the \
         kind of tables or the number of workers does not change is measured once and stands in every row it belongs to.\n",
        arguments.runs
    );
    if cfg!(debug_assertions) {
        text += "\n**Built without optimization of our own code: these ratios mean nothing.**\n";
    }
    if arguments.size == Size::Small {
        text += "\n**Small inputs: these ratios mean nothing.**\n";
    }
    text
}

fn section(outcomes: &Outcomes, workload: Workload, arguments: &Arguments) -> String {
    let rows = outcomes.iter().filter(|(case, _)| case.workload == workload).find_map(|(_, outcome)| outcome.measurements.first());
    let mut text = format!("\n## {} ({} rows)\n\n", word(&workload), rows.map_or(0, |measurement| measurement.rows));
    let figures = Figures::of(workload);
    let head =
        ["tables", "workers", "contender"].iter().chain(figures.head).chain(&["peak MB", "of it code", "× limit", "× refrain"]);
    let head: Vec<&str> = head.copied().collect();
    let _ = writeln!(text, "| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
    for &tables in Tables::value_variants() {
        if !arguments.tables.is_empty() && !arguments.tables.contains(&tables) {
            continue;
        }
        for &workers in &arguments.workers {
            for &contender in Contender::value_variants() {
                let case = Case { workload, tables, workers, contender };
                if let Some(outcome) = case.program().and_then(|program| outcomes.get(&program)) {
                    let cells = row(outcomes, case, outcome, &figures);
                    let _ = writeln!(text, "| {} | {workers} | {} | {} |", word(&tables), word(&contender), cells.join(" | "));
                }
            }
        }
    }
    text
}

/// The columns that depend on the kind of workload, and the figure that ratios are made of.
struct Figures {
    head: &'static [&'static str],
    cells: fn(&[Measurement]) -> Vec<String>,
    time: fn(&Measurement) -> Option<f64>,
}

impl Figures {
    fn of(workload: Workload) -> Self {
        match workload {
            Workload::ClosureRandom
            | Workload::ClosureDebian
            | Workload::Chain
            | Workload::PointsTo
            | Workload::SameGeneration
            | Workload::ClosureNonlinear
            | Workload::Components => {
                Self { head: &["s", "from – to"], cells: load_cells, time: |measurement| Some(measurement.seconds) }
            }
            Workload::ShortestGrid | Workload::ShortestRmat => Self {
                head: &["load s", "from – to", "a change, p50 µs", "p99 µs"],
                cells: load_and_change_cells,
                time: |measurement| Some(measurement.seconds),
            },
            Workload::ReachLatency => Self {
                head: &["p50 µs", "p99 µs", "largest µs", "load s"],
                cells: latency_cells,
                time: |measurement| measurement.latency.map(|latency| latency.p50),
            },
            Workload::Join | Workload::GroupBy => Self {
                head: &["million rows/s", "s", "from – to"],
                cells: rate_cells,
                time: |measurement| Some(measurement.seconds),
            },
        }
    }
}

fn row(outcomes: &Outcomes, case: Case, outcome: &Outcome, figures: &Figures) -> Vec<String> {
    if outcome.measurements.is_empty() {
        let failure = outcome.failure.as_deref().unwrap_or("not measured").replace('|', "\\|");
        let mut cells = vec![failure];
        cells.resize(figures.head.len() + 3, String::new());
        return cells;
    }
    let mut cells = (figures.cells)(&outcome.measurements);
    for bytes in [|m: &Measurement| m.peak_bytes, |m: &Measurement| m.code_bytes] {
        cells.push(format!("{:.0}", median_of(&outcome.measurements, |measurement| Some(bytes(measurement) as f64 / 1e6))));
    }
    let own = median_of(&outcome.measurements, figures.time);
    for contender in [Contender::Limit, Contender::Refrain] {
        let other = Case { contender, ..case }.program().and_then(|program| outcomes.get(&program));
        let other = other.and_then(|outcome| median(outcome.measurements.iter().filter_map(figures.time).collect()));
        cells.push(other.map_or_else(String::new, |other| digits(own / other)));
    }
    cells
}

fn load_cells(measurements: &[Measurement]) -> Vec<String> {
    let times = || measurements.iter().map(|measurement| measurement.seconds);
    let (from, to) = times().fold((f64::INFINITY, 0.0_f64), |(from, to), time| (from.min(time), to.max(time)));
    vec![digits(median_of(measurements, |measurement| Some(measurement.seconds))), format!("{} – {}", digits(from), digits(to))]
}

fn load_and_change_cells(measurements: &[Measurement]) -> Vec<String> {
    let figure = |of: fn(Latency) -> f64| median(measurements.iter().filter_map(|m| m.latency.map(of)).collect());
    let micros = [figure(|latency| latency.p50), figure(|latency| latency.p99)];
    load_cells(measurements).into_iter().chain(micros.map(|micros| micros.map_or_else(String::new, digits))).collect()
}

fn latency_cells(measurements: &[Measurement]) -> Vec<String> {
    let figure = |of: fn(Latency) -> f64| median_of(measurements, |measurement| measurement.latency.map(of));
    let micros = [figure(|latency| latency.p50), figure(|latency| latency.p99), figure(|latency| latency.max)];
    let load = median_of(measurements, |measurement| Some(measurement.seconds));
    micros.into_iter().chain([load]).map(digits).collect()
}

fn rate_cells(measurements: &[Measurement]) -> Vec<String> {
    let rate = median_of(measurements, |measurement| measurement.rows_fed.map(|rows| rows as f64 / measurement.seconds / 1e6));
    [digits(rate)].into_iter().chain(load_cells(measurements)).collect()
}

fn median_of(measurements: &[Measurement], figure: impl Fn(&Measurement) -> Option<f64>) -> f64 {
    median(measurements.iter().filter_map(figure).collect()).unwrap_or(f64::NAN)
}

/// Three digits that count, and all before the point.
fn digits(value: f64) -> String {
    let before_point = value.abs().log10().floor().max(-9.0);
    let behind_point = (2.0 - before_point).clamp(0.0, 11.0);
    format!("{value:.*}", behind_point as usize)
}

fn agreement(outcomes: &Outcomes) -> String {
    let mut text = String::from("\n## Agreement\n\n");
    for case in disagreements(outcomes) {
        let _ = writeln!(text, "- **{case} has another number of rows or another checksum than the others.**");
    }
    for (case, outcome) in outcomes {
        if let Some(failure) = &outcome.failure {
            let _ = writeln!(text, "- {case} failed: {failure}");
        }
    }
    if text.ends_with("\n\n") {
        text += "All contenders agree on the number of rows and the checksum of every workload, in every run.\n";
    }
    text
}

fn target_table(outcomes: &Outcomes) -> String {
    let targets = targets::of(outcomes);
    if targets.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n## Targets\n\n| Refrain | wanted × | measured × | |\n|---|---|---|---|\n");
    for target in targets {
        let verdict = if target.is_met() { "met" } else { "**missed**" };
        let _ = writeln!(text, "| {} | {} | {:.2} | {verdict} |", target.what, target.wanted, target.measured);
    }
    text
}

#[cfg(test)]
mod tests;
