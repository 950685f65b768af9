//! The index beside a map, while it grows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{CAPACITY_MIN, HashIndex};
use crate::hash::hash_word;

/// Few of these hashes have a slot of their own.
fn crowded(key: u64) -> u64 {
    hash_word(key) & 0xfff0 | hash_word(key) << 40
}

proptest! {
    #[test]
    fn it_finds_what_a_map_finds(
        exact in any::<bool>(),
        dense in any::<bool>(),
        steps in proptest::collection::vec((0u64..3000, 1usize..40, any::<bool>()), 1..400),
    ) {
        let mut index = HashIndex::new(exact);
        // Ids are places in here.
        let mut rows = Vec::<u64>::new();
        let mut ids = BTreeMap::<u64, u32>::new();
        let hash = |row: u64| if exact { row } else if dense { crowded(row) } else { hash_word(row) };
        for (first, count, put) in steps {
            index.reserve(count);
            for row in first..first + count as u64 {
                let id = u32::try_from(rows.len()).unwrap();
                rows.push(row);
                let is_row = |id: u32| rows[id as usize] == row;
                if put {
                    prop_assert_eq!(index.put_first(hash(row), id, is_row), ids.insert(row, id));
                } else {
                    let known = ids.get(&row).copied();
                    prop_assert_eq!(index.find_or_insert(hash(row), id, is_row), (known.unwrap_or(id), known.is_none()));
                    ids.entry(row).or_insert(id);
                }
            }
            prop_assert_eq!(index.len(), ids.len());
            for row in (first..first + 100).chain([0, 1, 2999]) {
                prop_assert_eq!(index.find(hash(row), |id| rows[id as usize] == row), ids.get(&row).copied());
            }
        }
    }
}

#[test]
fn no_insertion_moves_more_than_a_few_slots() {
    let mut index = HashIndex::new(true);
    let mut most = 0;
    for key in 0..1_000_000u64 {
        let before = index.moved;
        index.reserve(1);
        if !index.former.is_empty() && index.moved > before {
            most = most.max(index.moved - before);
        }
        index.find_or_insert(key, u32::try_from(key).unwrap(), |_| true);
    }
    assert!(most < 2_000, "{most} slots have moved at once");
    assert!((0..1_000_000).all(|key| index.find(key, |_| true).is_some()));
    index.clear();
    assert_eq!((index.len(), index.slots.len(), index.find(7, |_| true)), (0, CAPACITY_MIN, None));
}

#[test]
fn the_run_before_the_first_that_moved_may_grow_up_to_it() {
    let mut index = HashIndex::new(false);
    // Hashes are places here. Only the first slots are left free, so that it begins there.
    let mut id = 0;
    while index.former.is_empty() {
        index.reserve(1);
        let place = 32 + id % (index.slots.len() as u64).saturating_sub(32).max(1);
        index.find_or_insert(place | id << 32, u32::try_from(id).unwrap(), |other| u64::from(other) == id);
        id += 1;
        assert!(id < 1 << 20);
    }
    let last = (index.start as u64).wrapping_sub(1) & (index.former.len() as u64 - 1);
    let first = id;
    for _ in 0..40 {
        index.find_or_insert(last | id << 32, u32::try_from(id).unwrap(), |other| u64::from(other) == id);
        id += 1;
    }
    for id in first..id {
        assert_eq!(index.find(last | id << 32, |other| u64::from(other) == id), Some(u32::try_from(id).unwrap()));
    }
}
