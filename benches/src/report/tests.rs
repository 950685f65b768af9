use std::time::Duration;

use clap::Parser;

use super::{markdown, median};
use crate::arguments::Arguments;
use crate::checksum::Answer;
use crate::measurement::{Finish, Measurement};
use crate::runner::{Outcome, Outcomes, disagreements};

fn measured(seconds: u64, rows: i64) -> Measurement {
    let measurement = Finish::after(Duration::from_secs(seconds)).with_answer(Answer { rows, checksum: 7 });
    Measurement { peak_bytes: 1_000_000 * seconds, code_bytes: 0, ..measurement }
}

fn outcomes(of: &[(&str, &[Measurement])]) -> Outcomes {
    let outcome = |measurements: &[Measurement]| Outcome { measurements: measurements.to_vec(), failure: None };
    of.iter().map(|(case, measurements)| (case.parse().expect("a case"), outcome(measurements))).collect()
}

#[test]
fn the_median_is_the_middle() {
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median(vec![]), None);
}

#[test]
fn three_digits_count() {
    assert_eq!([0.000_012_34, 0.5, 9.999, 12.34, 1234.5].map(super::digits), ["0.0000123", "0.500", "10.00", "12.3", "1234"]);
}

#[test]
fn programs_measured_once_stand_beside_every_kind_of_tables() {
    let outcomes = outcomes(&[
        ("closure-random:changeable:1:limit", &[measured(1, 9)]),
        ("closure-random:changeable:1:differential", &[measured(8, 9), measured(7, 9), measured(30, 9)]),
    ]);
    let text = markdown(&outcomes, &Arguments::parse_from(["ratios", "--workers", "1"]));
    assert!(text.contains("| append-only | 1 | differential | 8.00 | 7.00 – 30.0 | 8 | 0 | 8.00 |  |"), "{text}");
    assert!(text.contains("| changeable | 1 | differential | 8.00 |"), "{text}");
    assert!(text.contains("All contenders agree"), "{text}");
}

#[test]
fn ratios_to_refrain_and_targets_appear_with_refrain() {
    let outcomes = outcomes(&[
        ("closure-random:append-only:1:refrain", &[measured(2, 9)]),
        ("closure-random:changeable:1:differential", &[measured(6, 9)]),
    ]);
    let targets = crate::targets::of(&outcomes);
    let verdicts: Vec<bool> = targets.iter().map(crate::targets::Target::is_met).collect();
    assert_eq!(verdicts, [false, true], "{targets:?}");
}

#[test]
fn a_contender_with_another_answer_is_named() {
    let outcomes = outcomes(&[
        ("closure-random:changeable:1:limit", &[measured(1, 9)]),
        ("closure-random:changeable:2:differential", &[measured(1, 9), measured(1, 8)]),
    ]);
    assert_eq!(disagreements(&outcomes), ["closure-random:changeable:2:differential".parse().expect("a case")]);
    let text = markdown(&outcomes, &Arguments::parse_from(["ratios"]));
    assert!(text.contains("closure-random:changeable:2:differential has another number of rows"), "{text}");
}
