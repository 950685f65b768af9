use proptest::prelude::*;

use super::*;
use crate::memory::Use;
use crate::memory::elsewhere::Elsewhere;

proptest! {
    /// Whatever is asked, the rows are those of a vector; a capture does not see what comes later.
    #[test]
    fn are_as_those_of_a_vector(words in 1usize..9, rows in prop::collection::vec(any::<u64>(), 0..2000), shared_at in 0usize..300, again_at in 0usize..300, first in 0usize..300, limits in prop::option::of((0usize..5000, 0usize..1000))) {
        let all = rows.chunks_exact(words).collect::<Vec<_>>();
        let (shared_at, first) = (shared_at.min(all.len()), first.min(all.len()));
        let memory = limits.map(|(limit, elsewhere)| Memory::limited(limit, 0, Elsewhere::with_room(elsewhere * 8)));
        let mut store = Rows::new(words).within(memory.as_ref());
        let mut shared = store.share();
        let mut again = store.share();
        for (id, row) in all.iter().enumerate() {
            if id == shared_at {
                shared = store.share();
            }
            if id == again_at {
                again = store.share();
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
        let expected = all[first..].concat();
        prop_assert_eq!(store.slices_from(first).flatten().copied().collect::<Vec<_>>(), expected.clone());
        prop_assert!(expected.starts_with(store.slice_from(first)));
        prop_assert!(expected.is_empty() || !store.slice_from(first).is_empty());
        if let (Some(memory), Some((limit, elsewhere))) = (&memory, limits) {
            let used = memory.used(Use::Rows);
            prop_assert!(used <= store.size_bytes());
            prop_assert!(used <= limit || used + elsewhere * 8 >= limit && memory.refusal(Use::Rows).is_some());
        }
        store.clear();
        prop_assert_eq!(store.slices_from(0).count(), 0);
        // Others come to where they were.
        for row in all.iter().rev() {
            store.push(row);
        }
        for (id, row) in (0u32..).zip(&all[..again_at.min(all.len())]).filter(|_| again_at < all.len()) {
            prop_assert_eq!(again.get(id), *row);
        }
        store.clear();
        drop((shared, again));
        prop_assert_eq!(memory.map_or(0, |memory| memory.used(Use::Rows)), 0);
    }
}
