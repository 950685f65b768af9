//! Random cases from a fixed seed on: `REFRAIN_SIM_CASES` says how many, `REFRAIN_SIM_SEED` where they begin, and `REFRAIN_SIM_SHAPE` of
//! which shape they are, if not of all. `REFRAIN_WORLD_CASES` and `REFRAIN_WORLD_SEED` say it of those whose threads, time and store a
//! seed decides; `REFRAIN_WORLD_TRACE` is a file for all that has happened in one that fails.

mod nexmark;
mod postgres;
mod random_sql;

use futures::StreamExt;
use refrain_sim::{Outcome, Shape, Totals, case, repeat, run};

const CASES: u64 = 1_000;
/// Cases in worlds of their own, and how many of them are run twice.
const WORLD_CASES: u64 = 400;
const TWICE: u64 = 40;
const SEED: u64 = 1_000_000;
/// Cases that run at the same time.
const AT_ONCE: usize = 3;
/// Failures after which it ends.
const FAILURES_MAX: usize = 5;

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not \"{text}\"")))
}

/// The shape that is asked for.
fn only() -> Option<Shape> {
    let name = std::env::var("REFRAIN_SIM_SHAPE").ok()?;
    let shape = Shape::ALL.into_iter().find(|shape| shape.to_string() == name);
    Some(shape.unwrap_or_else(|| panic!("there is no shape \"{name}\"")))
}

#[tokio::test(flavor = "multi_thread")]
async fn in_worlds_of_their_own_cases_show_what_the_oracle_says() {
    let (cases, first) = (setting("REFRAIN_WORLD_CASES", WORLD_CASES), setting("REFRAIN_WORLD_SEED", SEED));
    let runs = futures::stream::iter((first..).take(usize::try_from(cases).expect("so many cases can be counted")));
    let mut runs = runs.map(|seed| tokio::task::spawn_blocking(move || repeat(seed))).buffered(AT_ONCE);
    let (mut totals, mut failures) = (Totals::default(), Vec::new());
    while let Some(outcome) = runs.next().await {
        let (outcome, trace) = outcome.expect("a case does not panic");
        match outcome {
            Ok(outcome) => totals.add(&outcome),
            Err(failure) => {
                if let Ok(file) = std::env::var("REFRAIN_WORLD_TRACE") {
                    std::fs::write(file, trace).expect("the trace can be written");
                }
                println!("in a world of its own: {failure}");
                failures.push(failure.case.seed);
            }
        }
        if failures.len() >= FAILURES_MAX {
            break;
        }
    }
    println!("{totals}");
    assert!(failures.is_empty(), "cases that failed: {failures:?}");
    if cases >= WORLD_CASES {
        let events = totals.events();
        assert!(events.interrupted > 20 && events.aborted > 20 && events.in_flight > 20, "{events:?}");
        for shape in Shape::ALL {
            assert!(totals.in_flight(shape) > 0, "no checkpoint was in the middle of a recursion of shape {shape}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_decides_all_that_happens() {
    let first = setting("REFRAIN_WORLD_SEED", SEED);
    let of = |outcome: Result<Outcome, _>| outcome.map_err(|failure: Box<refrain_sim::Failure>| failure.problem.text);
    for seed in first..first + TWICE {
        let twice = [(); 2].map(|()| tokio::task::spawn_blocking(move || repeat(seed)));
        let [one, other] = twice;
        let (one, other) = (one.await.expect("a case does not panic"), other.await.expect("a case does not panic"));
        if let Some((number, (a, b))) = one.1.lines().zip(other.1.lines()).enumerate().find(|(_, (a, b))| a != b) {
            panic!("seed {seed}: line {number} is {a} and {b}");
        }
        assert_eq!(one.1.len(), other.1.len(), "seed {seed}");
        assert_eq!(format!("{:?}", of(one.0)), format!("{:?}", of(other.0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_show_what_the_oracle_says() {
    let (cases, first) = (setting("REFRAIN_SIM_CASES", CASES), setting("REFRAIN_SIM_SEED", SEED));
    let only = only();
    let seeds = (first..).filter(|seed| only.is_none_or(|shape| case(*seed).shape == shape));
    let seeds = futures::stream::iter(seeds.take(usize::try_from(cases).expect("so many cases can be counted")));
    let mut outcomes = seeds.map(|seed| tokio::spawn(run(seed))).buffered(AT_ONCE);
    let (mut totals, mut failures, mut done) = (Totals::default(), Vec::new(), 0);
    while let Some(outcome) = outcomes.next().await {
        done += 1;
        match outcome.expect("a case does not panic") {
            Ok(outcome) => totals.add(&outcome),
            Err(failure) => {
                println!("{failure}");
                failures.push(failure.case.seed);
            }
        }
        if failures.len() >= FAILURES_MAX {
            break;
        }
        if done % 5_000 == 0 {
            println!("{done} cases\n{totals}");
        }
    }
    println!("{totals}");
    assert!(failures.is_empty(), "cases that failed: {failures:?}");
    if cases >= CASES && only.is_none() {
        let events = totals.events();
        assert!(events.past > 100 && events.again > 100, "{events:?}");
        for shape in Shape::ALL {
            assert!(totals.compared(shape) > 0, "no case of shape {shape} was compared");
        }
    }
}
