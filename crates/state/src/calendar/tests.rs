//! What is touched comes out by iteration, each id as often as it went in, wherever full blocks are.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::memory::Use;
use crate::memory::elsewhere::Elsewhere;

proptest! {
    #[test]
    fn ids_come_out_by_iteration(
        steps in vec((0u32..4, vec(any::<u32>(), 0..40), 0usize..30), 1..12),
        memory_limit in prop_oneof![Just(0), Just(100), Just(usize::MAX)],
        elsewhere in prop_oneof![Just(0), Just(100), Just(usize::MAX)],
    ) {
        let memory = Memory::limited(memory_limit, 0, Elsewhere::with_room(elsewhere));
        let mut calendar = Calendar::default().within(&memory);
        let mut wanted = BTreeMap::<Iteration, Vec<u32>>::new();
        let mut taken = Vec::new();
        for (iteration, ids, limit) in steps {
            for id in ids {
                calendar.touch(iteration, id);
                wanted.entry(iteration).or_default().push(id);
            }
            prop_assert_eq!(calendar.histogram().collect::<Vec<_>>(), wanted.iter().map(|(i, ids)| (*i, ids.len())).collect::<Vec<_>>());
            let used = memory.used(Use::Rows);
            prop_assert!(used <= memory_limit || memory.refusal(Use::Rows).is_some(), "{used} bytes");
            prop_assert!(calendar.size_bytes() >= used);
            let lowest = calendar.take_lowest(limit + 1, &mut taken);
            prop_assert_eq!(lowest, wanted.first_key_value().map(|(iteration, _)| *iteration));
            prop_assert!(taken.len() <= limit + 1 && taken.is_empty() == lowest.is_none());
            let Some(lowest) = lowest else { continue };
            let left = wanted.get_mut(&lowest).expect("it is the lowest");
            for id in &taken {
                let place = left.iter().position(|other| other == id).expect("it was touched");
                left.remove(place);
            }
            wanted.retain(|_, ids| !ids.is_empty());
            prop_assert_eq!(calendar.len(), wanted.values().map(Vec::len).sum::<usize>());
        }
        while calendar.take_lowest(7, &mut taken).is_some() {}
        prop_assert!(calendar.is_empty());
        prop_assert_eq!(memory.used(Use::Rows), 0);
        prop_assert_eq!(calendar.size_bytes(), 0);
    }
}
