use proptest::prelude::*;

use super::*;

proptest! {
    /// Whatever is asked, the rows are those of a vector; a capture does not see what comes later.
    #[test]
    fn are_as_those_of_a_vector(words in 1usize..9, rows in prop::collection::vec(any::<u64>(), 0..2000), shared_at in 0usize..300, first in 0usize..300) {
        let all = rows.chunks_exact(words).collect::<Vec<_>>();
        let (shared_at, first) = (shared_at.min(all.len()), first.min(all.len()));
        let mut store = Rows::new(words);
        let mut shared = store.share();
        for (id, row) in all.iter().enumerate() {
            if id == shared_at {
                shared = store.share();
            }
            store.push(row);
        }
        for (id, row) in (0u32..).zip(&all) {
            prop_assert_eq!(store.get(id), *row);
            prop_assert_eq!(store.row(id), *row);
            store.prefetch(id + 1);
        }
        for (id, row) in (0u32..).zip(&all[..shared_at.min(all.len())]).filter(|_| shared_at < all.len()) {
            prop_assert_eq!(shared.get(id), *row);
        }
        if shared_at < all.len() {
            let (from, to) = (first.min(shared_at), shared_at.min(first + 70));
            prop_assert_eq!(shared.range(from..to.max(from)), all[from..to.max(from)].concat());
        }
        let expected = all[first..].concat();
        prop_assert_eq!(store.slices_from(first).flatten().copied().collect::<Vec<_>>(), expected.clone());
        prop_assert!(expected.starts_with(store.slice_from(first)));
        prop_assert!(expected.is_empty() || !store.slice_from(first).is_empty());
        store.clear();
        prop_assert_eq!(store.slices_from(0).count(), 0);
    }
}
