//! Weights of any size add up by row and iteration.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn weights_add_up(all in prop::collection::vec((0u64..3, 0u64..2, 0u32..3, any::<i64>()), 0..20), words in 1usize..6) {
        let mut list = Vec::new();
        let mut wanted = std::collections::BTreeMap::<_, i128>::new();
        for (first, last, iteration, weight) in all {
            let mut row = vec![first; words];
            row[words - 1] += last;
            push(&mut list, &row, iteration, i128::from(weight));
            *wanted.entry((row, iteration)).or_default() += i128::from(weight);
        }
        wanted.retain(|_, weight| *weight != 0);
        let sums = consolidated(&mut list, words);
        let mut found = std::collections::BTreeMap::<_, i128>::new();
        for entry in sums.chunks_exact(stride(words)) {
            let pieces = weights(entry).map(i128::from).sum::<i128>();
            prop_assert_eq!(pieces, weight(entry));
            *found.entry((entry[..words].to_vec(), iteration(entry))).or_default() += pieces;
        }
        prop_assert_eq!(found, wanted);
    }
}
