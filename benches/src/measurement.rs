//! What one measurement says, and the line of JSON in which a child says it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checksum::{Answer, Trail};
use crate::memory;

/// The outcome of one case in one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// From the first row handed over until the answer is complete.
    pub(crate) seconds: f64,
    /// Rows of the final answer.
    pub(crate) rows: i64,
    /// Sum of the hashes of its rows.
    pub(crate) checksum: u64,
    /// Largest resident set when the clock stopped.
    pub(crate) peak_bytes: u64,
    /// What of the resident set is pages of files when the clock stopped: the program's code.
    pub(crate) code_bytes: u64,
    /// Where single changes were timed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) latency: Option<Latency>,
    /// The answers after each change in one figure, where changes follow a load whose answer is the one above.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) trail: Option<u64>,
    /// Rows fed, where the rate is what matters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) rows_fed: Option<usize>,
}

/// Times of single changes, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) changes: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
}

/// The clock and the memory at the moment the answer was complete; the answer is added when it has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finish {
    seconds: f64,
    peak_bytes: u64,
    code_bytes: u64,
}

impl Finish {
    /// Reads the memory now, for work that took `elapsed`.
    pub(crate) fn after(elapsed: Duration) -> Self {
        Self { seconds: elapsed.as_secs_f64(), peak_bytes: memory::peak_bytes(), code_bytes: memory::code_bytes() }
    }

    pub(crate) fn with_answer(self, answer: Answer) -> Measurement {
        let Self { seconds, peak_bytes, code_bytes } = self;
        let Answer { rows, checksum } = answer;
        Measurement { seconds, rows, checksum, peak_bytes, code_bytes, latency: None, trail: None, rows_fed: None }
    }
}

impl Measurement {
    pub(crate) fn with_latency(self, latency: Latency) -> Self {
        Self { latency: Some(latency), ..self }
    }

    pub(crate) fn with_trail(self, trail: Trail) -> Self {
        Self { trail: Some(trail.get()), ..self }
    }

    pub(crate) fn with_rows_fed(self, rows: usize) -> Self {
        Self { rows_fed: Some(rows), ..self }
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer { rows: self.rows, checksum: self.checksum }
    }

    pub(crate) fn to_line(&self) -> String {
        serde_json::to_string(self).expect("numbers have a JSON form")
    }

    /// Reads the last line of a child's output; anything before it is noise of a library.
    pub(crate) fn from_output(output: &str) -> Option<Self> {
        serde_json::from_str(output.lines().last()?).ok()
    }
}

impl Latency {
    /// Quantiles by the nearest rank. At least one change must have been timed.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "no change was timed");
        let mean = micros(times.iter().sum::<Duration>()) / times.len() as f64;
        times.sort_unstable();
        let last = times.len() - 1;
        let at = |percent: usize| micros(times[(last * percent).div_ceil(100)]);
        Self { changes: times.len(), p50: at(50), p99: at(99), max: at(100), mean }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests;
