//! Random cases from a fixed seed on: `REFRAIN_SIM_CASES` says how many, `REFRAIN_SIM_SEED` where they begin, and `REFRAIN_SIM_SHAPE` of
//! which shape they are, if not of all.

use futures::StreamExt;
use refrain_sim::{Shape, Totals, case, run};

const CASES: u64 = 1_000;
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
        for shape in Shape::ALL {
            assert!(totals.compared(shape) > 0, "no case of shape {shape} was compared");
        }
    }
}
