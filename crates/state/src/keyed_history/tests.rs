//! What a key emits is what its candidates say, however they came in and wherever releasing stopped in between.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;

use super::*;
use crate::{Dictionary, OrderBy, RowLayout};

/// Key, value, iteration, weight.
type Arrival = (u64, u64, Iteration, Weight);
/// What is emitted: by key and iteration, a value.
type Emitted = BTreeMap<(u64, Iteration), u64>;

fn history(winner: Winner) -> KeyedHistory {
    let schema = Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Int64, false)]);
    let layout = RowLayout::of_schema(&schema);
    let key = KeyOf::new(&layout, &[0], &RowLayout::of_types(&[(DataType::Int64, false)]));
    let order = RowOrder::new(&schema, &[1, 0].map(OrderBy::ascending), &Dictionary::new());
    KeyedHistory::new(layout.words(), key.clone(), order, winner, Some(key))
}

/// The definition.
fn wanted(winner: Winner, arrivals: &[Arrival]) -> Emitted {
    let mut candidates: BTreeMap<(u64, Iteration), BTreeMap<u64, Weight>> = BTreeMap::new();
    for (key, value, iteration, weight) in arrivals {
        *candidates.entry((*key, *iteration)).or_default().entry(*value).or_default() += weight;
    }
    let (mut emitted, mut holders) = (Emitted::new(), BTreeMap::new());
    for ((key, iteration), values) in candidates {
        let holder = holders.get(&key).copied();
        let mut values = values.into_iter().filter(|(_, weight)| *weight > 0).map(|(value, _)| value);
        let winner = match winner {
            Winner::First => values.next().filter(|value| holder.is_none_or(|holder| *value < holder)),
            Winner::Latest => values.find(|value| Some(*value) != holder),
        };
        if let Some(value) = winner {
            emitted.insert((key, iteration), value);
            holders.insert(key, value);
        }
    }
    emitted
}

/// What the releases said, added up.
#[derive(Default)]
struct Said {
    emitted: Emitted,
    holders: BTreeMap<u64, u64>,
}

impl Said {
    /// Releases up to `rounds` times two rows.
    fn release(&mut self, history: &mut KeyedHistory, rounds: usize) {
        let mut ids = Vec::new();
        for _ in 0..rounds {
            let Some(iteration) = history.take_lowest(2, &mut ids) else { return };
            for id in ids.clone() {
                history.release(iteration, id, &mut |change| self.hear(change));
            }
        }
    }

    fn hear(&mut self, change: KeyedChange) {
        match change {
            KeyedChange::Emitted(&[key, value], iteration, 1) => {
                let before = self.emitted.insert((key, iteration), value);
                assert_eq!(before, None, "a key has one row at an iteration");
            }
            KeyedChange::Emitted(&[key, value], iteration, _) => {
                assert_eq!(self.emitted.remove(&(key, iteration)), Some(value), "what was emitted is taken back");
            }
            KeyedChange::Left(&[key, value], 1) => assert_eq!(self.holders.insert(key, value), None),
            KeyedChange::Left(&[key, value], _) => assert_eq!(self.holders.remove(&key), Some(value)),
            other => unreachable!("rows have two words: {other:?}"),
        }
    }

    fn check(&self, history: &mut KeyedHistory, winner: Winner, arrivals: &[Arrival]) -> Result<(), TestCaseError> {
        let wanted = wanted(winner, arrivals);
        prop_assert_eq!(&self.emitted, &wanted);
        let last = wanted.iter().map(|((key, _), value)| (*key, *value)).collect::<BTreeMap<_, _>>();
        prop_assert_eq!(&self.holders, &last);
        for key in 0..3 {
            let mut found = Vec::new();
            history.matches(&[key], |row, iteration| found.push((row[1], iteration)));
            found.sort_unstable_by_key(|(_, iteration)| *iteration);
            let here = wanted.iter().filter(|((k, _), _)| *k == key).map(|((_, i), value)| (*value, *i)).collect::<Vec<_>>();
            prop_assert_eq!(found, here);
        }
        Ok(())
    }
}

fn arrivals() -> impl Strategy<Value = Vec<Vec<Arrival>>> {
    let weight = prop_oneof![Just(-2i64), Just(-1), Just(1), Just(1), Just(2)];
    prop::collection::vec(prop::collection::vec((0u64..3, 0u64..4, 0u32..5, weight), 0..12), 1..8)
}

fn winners() -> impl Strategy<Value = Winner> {
    prop_oneof![Just(Winner::First), Just(Winner::Latest)]
}

fn arrive(history: &mut KeyedHistory, batch: &[Arrival]) {
    for (key, value, iteration, weight) in batch {
        history.arrive(&[*key, *value], &[*iteration], &[*weight]);
    }
}

proptest! {
    #[test]
    fn a_key_emits_what_its_candidates_say(batches in arrivals(), rounds in 0usize..4, winner in winners()) {
        let mut history = history(winner);
        let (mut all, mut said) = (Vec::new(), Said::default());
        for batch in batches {
            arrive(&mut history, &batch);
            all.extend(batch);
            said.release(&mut history, rounds);
            history.compact();
        }
        said.release(&mut history, usize::MAX);
        said.check(&mut history, winner, &all)?;
    }

    #[test]
    fn a_history_goes_on_where_it_was_captured(batches in arrivals(), rounds in 0usize..4, winner in winners()) {
        let mut first = history(winner);
        let (mut all, mut said, mut captures) = (Vec::new(), Said::default(), Vec::new());
        let half = batches.len() / 2;
        for batch in &batches[..half] {
            arrive(&mut first, batch);
            all.extend(batch.iter().copied());
            said.release(&mut first, rounds);
            captures.push(first.capture(false));
        }
        let mut again = history(winner);
        for (derived, emitted) in captures.into_iter().map(|(derived, emitted)| (derived.into_rows(), emitted.into_rows())) {
            again.restore(true, &derived.rows, &derived.iterations, &derived.weights);
            again.restore(false, &emitted.rows, &emitted.iterations, &emitted.weights);
        }
        again.restored().expect("it was captured");
        for batch in &batches[half..] {
            arrive(&mut again, batch);
            all.extend(batch.iter().copied());
            said.release(&mut again, rounds);
        }
        said.release(&mut again, usize::MAX);
        said.check(&mut again, winner, &all)?;
    }
}

#[test]
fn dead_rows_are_forgotten() {
    let mut history = history(Winner::First);
    let mut said = Said::default();
    let batch = (0..20_000).map(|value| (value % 3, value, 0, 1)).collect::<Vec<Arrival>>();
    arrive(&mut history, &batch);
    said.release(&mut history, usize::MAX);
    let gone = batch[..19_000].iter().map(|(key, value, iteration, _)| (*key, *value, *iteration, -1)).collect::<Vec<_>>();
    arrive(&mut history, &gone);
    said.release(&mut history, usize::MAX);
    history.compact();
    assert_eq!(history.candidates, 1_000);
    said.check(&mut history, Winner::First, &batch[19_000..]).expect("rows that are left are found");
    let rest = batch[19_000..].iter().map(|(key, value, iteration, _)| (*key, *value, *iteration, -1)).collect::<Vec<_>>();
    arrive(&mut history, &rest);
    said.release(&mut history, usize::MAX);
    history.compact();
    assert_eq!((history.candidates, history.groups.len()), (0, 0));
}

#[test]
fn emissions_that_cannot_be_are_refused() {
    let mut history = history(Winner::First);
    history.restore(false, &[7, 1, 7, 2], &[3, 3], &[1, 1]);
    assert_eq!(history.restored(), Err(WeightOverflow));
}
