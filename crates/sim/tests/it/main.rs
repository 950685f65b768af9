//! Random cases from a fixed seed on: `REFRAIN_SIM_CASES` says how many, `REFRAIN_SIM_SEED` where they begin.

use futures::StreamExt;
use refrain_sim::{Shape, Totals, run};

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

#[tokio::test(flavor = "multi_thread")]
async fn cases_show_what_the_oracle_says() {
    let (cases, first) = (setting("REFRAIN_SIM_CASES", CASES), setting("REFRAIN_SIM_SEED", SEED));
    let seeds = futures::stream::iter(first..first + cases);
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
    if cases >= CASES {
        for shape in Shape::ALL {
            assert!(totals.compared(shape) > 0, "no case of shape {shape} was compared");
        }
    }
}
