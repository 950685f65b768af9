//! Hashes of packed rows and of bytes.
//!
//! The seeds are fixed, so that a key has the same hash in every worker and in every run. The mixing is the folded multiplication of
//! wyhash (Wang Yi, <https://github.com/wangyi-fudan/wyhash>) and the finalizer of MurmurHash3; both high and low bits are good, so that
//! partitions may take the high bits and indexes the low ones.
//!
//! Not here: protection against keys chosen to collide.

const SEED: u64 = 0xa076_1d64_78bd_642f;
const SECRET: [u64; 3] = [0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3];

/// Hash of a packed row.
#[inline]
#[must_use]
pub fn hash_words(row: &[u64]) -> u64 {
    match row {
        [word] => hash_word(*word),
        [first, second] => finish(fold(first ^ SEED, second ^ SECRET[0])),
        _ => hash_many(row),
    }
}

/// Hash of a row of one word. It is a bijection: different words have different hashes.
#[inline]
#[must_use]
pub fn hash_word(word: u64) -> u64 {
    finish(word ^ SEED)
}

/// Hash of bytes.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(SECRET[2]);
    let (chunks, rest) = bytes.as_chunks::<16>();
    for chunk in chunks {
        let (low, high) = halves(chunk);
        hash = fold(low ^ SECRET[0], high ^ hash);
    }
    if !rest.is_empty() {
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        let (low, high) = halves(&last);
        hash = fold(low ^ SECRET[1], high ^ hash);
    }
    finish(hash)
}

fn hash_many(row: &[u64]) -> u64 {
    let mut hash = SEED ^ (row.len() as u64);
    let (pairs, rest) = row.as_chunks::<2>();
    for [low, high] in pairs {
        hash = fold(low ^ SECRET[0], high ^ hash);
    }
    for word in rest {
        hash = fold(word ^ SECRET[1], hash ^ SECRET[2]);
    }
    finish(hash)
}

#[inline]
fn halves(chunk: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*chunk);
    (both as u64, (both >> 64) as u64)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests;
