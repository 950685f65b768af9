//! What Refrain sets itself against differential-dataflow, as ratios inside one run.

use crate::case::{Case, Contender, Tables, Workload, word};
use crate::measurement::{Latency, Measurement};
use crate::report::median;
use crate::runner::Outcomes;

/// A ratio and how large it should be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) wanted: f64,
    pub(crate) measured: f64,
}

impl Target {
    pub(crate) fn is_met(&self) -> bool {
        self.measured >= self.wanted
    }
}

/// The targets whose two sides have both been measured.
pub(crate) fn of(outcomes: &Outcomes) -> Vec<Target> {
    let mut targets = Vec::new();
    for workload in [Workload::ClosureRandom, Workload::ClosureDebian] {
        for (tables, workers, wanted) in [(Tables::AppendOnly, 1, 4.0), (Tables::AppendOnly, 2, 4.0), (Tables::Changeable, 1, 2.5)]
        {
            let case = Case { workload, tables, workers, contender: Contender::Refrain };
            let what = format!("{} faster than differential, {}", word(&workload), place(case));
            targets.extend(against_differential(outcomes, case, seconds).map(|measured| Target { what, wanted, measured }));
        }
    }
    for tables in [Tables::AppendOnly, Tables::Changeable] {
        let one = Case { workload: Workload::ClosureRandom, tables, workers: 1, contender: Contender::Refrain };
        let what = format!("closure-random faster on two workers than on one, {}", word(&tables));
        let ratio = ratio(outcomes, one, Case { workers: 2, ..one }, seconds);
        targets.extend(ratio.map(|measured| Target { what, wanted: 1.5, measured }));
    }
    for workload in [
        Workload::PointsTo,
        Workload::SameGeneration,
        Workload::ClosureNonlinear,
        Workload::Components,
        Workload::ShortestGrid,
        Workload::ShortestRmat,
    ] {
        for (tables, wanted) in [(Tables::AppendOnly, 3.0), (Tables::Changeable, 1.0)] {
            for workers in [1, 2] {
                let case = Case { workload, tables, workers, contender: Contender::Refrain };
                let what = format!("{} faster than differential, {}", word(&workload), place(case));
                targets.extend(against_differential(outcomes, case, seconds).map(|measured| Target { what, wanted, measured }));
            }
        }
    }
    let single = Case { workload: Workload::ReachLatency, tables: Tables::Changeable, workers: 1, contender: Contender::Refrain };
    for (name, quantile) in [("p50", (|latency| latency.p50) as fn(Latency) -> f64), ("p99", |latency| latency.p99)] {
        let what = format!("single change faster than differential at {name}, {}", place(single));
        let of = |measurement: &Measurement| measurement.latency.map(quantile);
        targets.extend(against_differential(outcomes, single, of).map(|measured| Target { what, wanted: 2.0, measured }));
    }
    targets.extend(memory(outcomes));
    targets
}

fn memory(outcomes: &Outcomes) -> impl Iterator<Item = Target> {
    let cases = outcomes.keys().filter(|case| case.contender == Contender::Refrain);
    cases.filter_map(|case| {
        let measured = against_differential(outcomes, *case, |measurement| Some(measurement.peak_bytes as f64))?;
        Some(Target {
            what: format!("{} in less memory than differential, {}", word(&case.workload), place(*case)),
            wanted: 1.0,
            measured,
        })
    })
}

fn against_differential(outcomes: &Outcomes, case: Case, of: impl Fn(&Measurement) -> Option<f64>) -> Option<f64> {
    ratio(outcomes, Case { contender: Contender::Differential, ..case }.program()?, case, of)
}

/// The median of one case over the median of another.
fn ratio(outcomes: &Outcomes, over: Case, under: Case, of: impl Fn(&Measurement) -> Option<f64>) -> Option<f64> {
    let over = median(outcomes.get(&over)?.measurements.iter().filter_map(&of).collect())?;
    let under = median(outcomes.get(&under)?.measurements.iter().filter_map(&of).collect())?;
    Some(over / under)
}

#[expect(clippy::unnecessary_wraps, reason = "one signature for every figure of a measurement")]
fn seconds(measurement: &Measurement) -> Option<f64> {
    Some(measurement.seconds)
}

fn place(case: Case) -> String {
    format!("{}, {} worker{}", word(&case.tables), case.workers, if case.workers == 1 { "" } else { "s" })
}
