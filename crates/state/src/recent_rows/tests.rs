//! A row is never dropped when it comes first, and always when it has just come.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn what_is_dropped_has_come_before(values in prop::collection::vec(0u64..100_000, 0..30_000), words in 1usize..4) {
        let (mut recent, mut came) = (RecentRows::new(words), HashSet::new());
        for value in values {
            let row = (0..words as u64).map(|i| value << (i * 7)).collect::<Vec<_>>();
            let is_new = recent.insert(&row);
            prop_assert!(is_new || came.contains(&value));
            prop_assert!(!recent.insert(&row));
            came.insert(value);
        }
    }
}
