//! A monotone set releases each row once, and comes back as it was captured.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn each_row_is_released_once(batches in prop::collection::vec(prop::collection::vec((0u64..40, 0u64..3), 0..50), 0..6), words in 1usize..3) {
        let mut set = MonotoneSet::new(words, None);
        let (mut seen, mut released) = (BTreeSet::new(), Vec::new());
        for batch in &batches {
            let rows = batch.iter().flat_map(|(a, b)| [*a, *b][..words].to_vec()).collect::<Vec<_>>();
            set.arrive(&rows);
            seen.extend(rows.chunks(words).map(<[u64]>::to_vec));
            released.extend(set.release(7).chunks(words).map(<[u64]>::to_vec));
        }
        while set.unreleased() > 0 {
            released.extend(set.release(7).chunks(words).map(<[u64]>::to_vec));
        }
        prop_assert_eq!(released.len(), seen.len());
        prop_assert_eq!(released.into_iter().collect::<BTreeSet<_>>(), seen);
    }

    #[test]
    fn what_was_captured_comes_back(first in prop::collection::vec(0u64..50, 0..40), second in prop::collection::vec(0u64..50, 0..40), limit in 0usize..40) {
        let mut set = MonotoneSet::new(1, None);
        set.arrive(&first);
        set.release(limit);
        let (base, _) = set.capture(false);
        prop_assert!(base.full);
        set.arrive(&second);
        let (changes, frontier) = set.capture(false);
        prop_assert!(!changes.full);
        let [base, changes, frontier] = [base, changes, frontier].map(Capture::into_rows);
        let mut again = MonotoneSet::new(1, None);
        again.restore(&[base.rows, changes.rows].concat(), &frontier.rows);
        prop_assert_eq!((again.len(), again.unreleased()), (set.len(), set.unreleased()));
        while set.unreleased() > 0 {
            prop_assert_eq!(again.release(7).to_vec(), set.release(7).to_vec());
        }
    }
}
