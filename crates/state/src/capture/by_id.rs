//! Words by the id that is their upper half, in linear time: ids are dense, so words are dealt out by them, and what is dealt out to ids that
//! are close together fits the cache.

/// Ids whose words are dealt out at once, as a power of 2: their counters, and mostly their words, fit the second cache.
const IDS_LOG2: u32 = if cfg!(test) { 2 } else { 12 };

/// The id of a word.
#[inline]
pub(super) fn id(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Calls `each` with the words of each id, sorted, ids ascending.
pub(super) fn sorted(words: &[u64], mut each: impl FnMut(&[u64])) {
    let ids = words.iter().map(|word| id(*word) as usize + 1).max().unwrap_or(0);
    if words.len() < ids / 8 {
        let mut all = words.to_vec();
        all.sort_unstable();
        all.chunk_by(|a, b| id(*a) == id(*b)).for_each(each);
        return;
    }
    let block_of = |word: u64| id(word) >> IDS_LOG2;
    let mut all = vec![0; words.len()];
    let ends = deal(words.iter().copied(), (ids >> IDS_LOG2) + 1, block_of, &mut all);
    let (mut start, mut dealt) = (0, Vec::new());
    for end in ends {
        let block = &all[start..end];
        start = end;
        if block.is_empty() {
            continue;
        }
        dealt.resize(block.len().max(dealt.len()), 0);
        let of_block = id(block[0]) & !((1 << IDS_LOG2) - 1);
        let ends = deal(block.iter().copied(), 1 << IDS_LOG2, |word| id(word) - of_block, &mut dealt);
        let mut start = 0;
        for end in ends {
            let same = &mut dealt[start..end];
            start = end;
            if !same.is_empty() {
                same.sort_unstable();
                each(same);
            }
        }
    }
}

/// Deals words out to places, in their order; returns where each place ends.
fn deal(words: impl Iterator<Item = u64> + Clone, places: usize, place: impl Fn(u64) -> u32, to: &mut [u64]) -> Vec<usize> {
    let mut next = vec![0; places];
    words.clone().for_each(|word| next[place(word) as usize] += 1);
    let mut sum = 0;
    for count in &mut next {
        sum += std::mem::replace(count, sum);
    }
    for word in words {
        let next = &mut next[place(word) as usize];
        to[*next] = word;
        *next += 1;
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_come_sorted_each_id_once(words in vec((0_u64..40, 0_u64..4).prop_map(|(id, low)| id << 32 | low), 0..150), far in any::<bool>()) {
            let mut words = words;
            // Ids that are far apart are sorted another way.
            words.extend(far.then_some(1 << 42));
            let mut groups = Vec::new();
            sorted(&words, |words| groups.push(words.to_vec()));
            prop_assert!(groups.iter().all(|words| words.iter().all(|word| id(*word) == id(words[0]))));
            prop_assert!(groups.windows(2).all(|two| id(two[0][0]) < id(two[1][0])));
            words.sort_unstable();
            prop_assert_eq!(groups.concat(), words);
        }
    }
}
