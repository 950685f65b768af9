//! Weighted rows at iterations, side by side in one list of words: the candidates of a key, and lists of changes.
//!
//! An entry is a packed row and one word more, which holds the iteration (32 bits), a scale (2 bits) and a digit (30 bits, signed); its
//! weight is the digit times 2 to the power of 29 times the scale. A weight that has no such form takes several entries. Entries are
//! appended as they come, and added up now and then. Nothing overflows: fewer than 2^32 weights of 64 bits add up to less than 2^116.

use refrain_types::{Iteration, Weight};

/// Bits of a digit but for its sign.
const DIGIT_BITS: u32 = 29;
const DIGIT_MAX: u128 = (1 << DIGIT_BITS) - 1;

/// Words of an entry for rows of so many words.
pub(super) const fn stride(words: usize) -> usize {
    words + 1
}

/// Appends a row.
#[inline]
pub(super) fn push(list: &mut Vec<u64>, row: &[u64], iteration: Iteration, weight: i128) {
    let (mut rest, mut scale) = (weight.unsigned_abs(), 0);
    while rest > 0 {
        let digit = (rest & DIGIT_MAX) as i32 * weight.signum() as i32;
        if digit != 0 {
            let bits = u64::from(digit as u32 & (u32::MAX >> 2));
            list.extend_from_slice(row);
            list.push(u64::from(iteration) << 32 | scale << 30 | bits);
        }
        (rest, scale) = (rest >> DIGIT_BITS, scale + 1);
    }
}

/// The iteration of an entry.
#[inline]
pub(super) fn iteration(entry: &[u64]) -> Iteration {
    (entry[entry.len() - 1] >> 32) as Iteration
}

/// The weight of an entry.
#[inline]
pub(super) fn weight(entry: &[u64]) -> i128 {
    let word = entry[entry.len() - 1];
    let digit = (word as i32) << 2 >> 2;
    i128::from(digit) << (DIGIT_BITS * (word >> 30 & 3) as u32)
}

/// The weight of an entry in pieces of 64 bits.
pub(super) fn weights(entry: &[u64]) -> impl Iterator<Item = Weight> {
    let mut rest = weight(entry);
    std::iter::from_fn(move || {
        let piece = rest.clamp(i128::from(-Weight::MAX), i128::from(Weight::MAX));
        rest -= piece;
        (piece != 0).then_some(piece as Weight)
    })
}

/// What a list adds up to: each row once at an iteration, none with weight 0, in the order of their words.
pub(super) fn consolidated(list: &mut [u64], words: usize) -> Vec<u64> {
    match words {
        1 => sort::<2>(list),
        2 => sort::<3>(list),
        3 => sort::<4>(list),
        _ => sort_wide(list, words),
    }
    let mut sums = Vec::with_capacity(list.len());
    let same = |a: &[u64], b: &[u64]| a[..words] == b[..words] && iteration(a) == iteration(b);
    let mut entries = list.chunks_exact(stride(words)).peekable();
    while let Some(entry) = entries.next() {
        let mut sum = weight(entry);
        while let Some(next) = entries.next_if(|next| same(entry, next)) {
            sum += weight(next);
        }
        push(&mut sums, &entry[..words], iteration(entry), sum);
    }
    sums
}

fn sort<const STRIDE: usize>(list: &mut [u64]) {
    let (entries, _) = list.as_chunks_mut::<STRIDE>();
    entries.sort_unstable();
}

fn sort_wide(list: &mut [u64], words: usize) {
    let mut entries = list.chunks_exact(stride(words)).map(<[u64]>::to_vec).collect::<Vec<_>>();
    entries.sort_unstable();
    for (entry, sorted) in list.chunks_exact_mut(stride(words)).zip(entries) {
        entry.copy_from_slice(&sorted);
    }
}

/// Changes since the last capture. It grows with what changed, not with what is there.
#[derive(Debug, Default)]
pub(super) struct Changes {
    list: Vec<u64>,
    /// Length at which the list is next added up, so that a row that flips for ever does not grow it for ever.
    consolidate_at: usize,
}

impl Changes {
    #[inline]
    pub fn push(&mut self, row: &[u64], iteration: Iteration, weight: Weight) {
        push(&mut self.list, row, iteration, i128::from(weight));
        if self.list.len() > self.consolidate_at.max(1 << 17) {
            self.list = consolidated(&mut self.list, row.len());
            self.consolidate_at = self.list.len() * 2;
        }
    }

    pub fn into_consolidated(mut self, words: usize) -> Vec<u64> {
        consolidated(&mut self.list, words)
    }
}

#[cfg(test)]
mod tests;
