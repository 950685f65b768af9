use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use refrain_types::{Iteration, Weight};

use super::PresenceHistory;
use crate::capture::Capture;

type Steps = Vec<Vec<(u64, Iteration, Weight)>>;

/// What the derivations of each row say by themselves: 1 where its running weight becomes positive, −1 where it is no more.
fn recomputed(derivations: &BTreeMap<(u64, Iteration), Weight>) -> BTreeMap<(u64, Iteration), Weight> {
    let mut said = BTreeMap::new();
    let mut last = None;
    let mut running = 0;
    for ((row, iteration), weight) in derivations {
        if last.replace(*row) != Some(*row) {
            running = 0;
        }
        let change = Weight::from(running + weight > 0) - Weight::from(running > 0);
        running += weight;
        if change != 0 {
            said.insert((*row, *iteration), change);
        }
    }
    said
}

fn add(to: &mut BTreeMap<(u64, Iteration), Weight>, key: (u64, Iteration), weight: Weight) {
    let sum = to.entry(key).or_default();
    *sum += weight;
    if *sum == 0 {
        to.remove(&key);
    }
}

fn follow(steps: &Steps, words: usize, captures_at: usize) {
    let pack = |row: u64| [row, row / 2].into_iter().take(words).collect::<Vec<_>>();
    let mut history = PresenceHistory::new(words);
    let (mut derivations, mut said) = (BTreeMap::new(), BTreeMap::new());
    let mut base = None;
    for (number, step) in steps.iter().enumerate() {
        if number == captures_at {
            base = Some(history.capture(false));
        }
        for (row, iteration, weight) in step {
            history.arrive(&pack(*row), &[*iteration], &[*weight]).expect("small weights");
            add(&mut derivations, (*row, *iteration), *weight);
        }
        history.speak(|row, iteration, weight| add(&mut said, (row[0], iteration), weight));
        assert_eq!(said, recomputed(&derivations));
    }
    let Some(base) = base else { return };
    let mut again = PresenceHistory::new(words);
    for captured in [base, history.capture(false)].map(Capture::into_rows) {
        again.arrive(&captured.rows, &captured.iterations, &captured.weights).expect("captured weights add up");
    }
    let mut all = BTreeMap::new();
    again.speak(|row, iteration, weight| add(&mut all, (row[0], iteration), weight));
    assert_eq!(all, said);
}

proptest! {
    #[test]
    fn what_is_said_equals_recomputation(
        steps in vec(vec((0..4u64, 0..5u32, prop_oneof![Just(1i64), Just(-1), Just(2)]), 0..5), 1..12),
        words in 1..3usize,
        captures_at in 0..12usize,
    ) {
        follow(&steps, words, captures_at);
    }
}

#[test]
fn forgotten_rows_come_back_as_new_ones() {
    let mut history = PresenceHistory::new(1);
    let mut live = 0;
    for row in 0..10_000 {
        history.arrive(&[row], &[3], &[1]).expect("small weights");
        history.arrive(&[row], &[4], &[if row < 100 { 1 } else { -1 }]).expect("small weights");
        history.arrive(&[row], &[3], &[if row < 100 { -2 } else { -1 }]).expect("small weights");
        history.arrive(&[row], &[4], &[1]).expect("small weights");
    }
    history.speak(|_, iteration, weight| {
        assert_eq!(iteration, 4);
        live += weight;
    });
    assert_eq!(live, 100);
    history.compact();
    assert_eq!(history.derivations.len(), 100);
    history.arrive(&[5_000], &[2], &[1]).expect("small weights");
    history.arrive(&[7], &[4], &[-1]).expect("small weights");
    let mut said = Vec::new();
    history.speak(|row, iteration, weight| said.push((row[0], iteration, weight)));
    assert_eq!(said, [(5_000, 2, 1), (7, 4, -1)]);
}
