use std::time::Duration;

use super::{Finish, Latency, Measurement};
use crate::checksum::Answer;

#[test]
fn a_line_of_json_comes_back_as_it_went() {
    let latency = Latency::of((1..=100).map(Duration::from_micros).collect());
    let answer = Answer { rows: 3, checksum: u64::MAX };
    let measurement = Finish::after(Duration::from_millis(5)).with_answer(answer).with_latency(latency).with_rows_fed(7);
    let output = format!("a library speaks\n{}\n", measurement.to_line());
    assert_eq!(Measurement::from_output(&output), Some(measurement));
    assert_eq!(Measurement::from_output("no figures"), None);
}

#[test]
fn quantiles_are_ranks_of_the_sorted_times() {
    let latency = Latency::of((1..=101).rev().map(Duration::from_micros).collect());
    let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
    assert!(
        close(latency.p50, 51.0) && close(latency.p99, 100.0) && close(latency.max, 101.0) && close(latency.mean, 51.0),
        "{latency:?}"
    );
}
