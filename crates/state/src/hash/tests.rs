use std::collections::HashSet;

use super::*;

/// Buckets of `bits` bits, taken from the top and from the bottom, fill evenly for counters, the commonest keys.
#[test]
fn high_and_low_bits_are_even() {
    for words in [1usize, 2, 3, 4, 5] {
        for position in 0..words {
            let mut high = [0u32; 64];
            let mut low = [0u32; 64];
            let rows = 64_000u64;
            for i in 0..rows {
                let mut row = vec![7; words];
                row[position] = i << (8 * position);
                let hash = hash_words(&row);
                high[(hash >> 58) as usize] += 1;
                low[(hash & 63) as usize] += 1;
            }
            for count in high.into_iter().chain(low) {
                assert!((850..1150).contains(&count), "{words} words, position {position}: bucket of {count}");
            }
        }
    }
}

#[test]
fn nearby_rows_do_not_collide() {
    let mut seen = HashSet::new();
    for a in 0..300u64 {
        for b in 0..300u64 {
            assert!(seen.insert(hash_words(&[a, b])), "({a}, {b})");
        }
    }
    assert_ne!(hash_words(&[1, 2]), hash_words(&[2, 1]));
    assert_ne!(hash_words(&[1, 2, 3]), hash_words(&[3, 2, 1]));
}

#[test]
fn bytes_of_every_length_differ() {
    let text = [0u8; 100];
    let hashes = (0..=100).map(|n| hash_bytes(&text[..n])).collect::<HashSet<_>>();
    assert_eq!(hashes.len(), 101);
    let near = (0..100).map(|i| {
        let mut other = text;
        other[i] = 1;
        hash_bytes(&other)
    });
    assert_eq!(near.collect::<HashSet<_>>().len(), 100);
}
