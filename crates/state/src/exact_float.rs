//! Exact sums of floats.
//!
//! A finite `f64` is a whole multiple of 2⁻¹⁰⁷⁴, so a sum of them is a whole number, kept here in two's complement. Nothing is rounded
//! before the result is read; so the sum does not depend on the order of the additions, and what was added can be taken away again.
//! Only the words between the lowest and the highest that were touched are kept, which for values of like size are a few.
//! (The idea is Kulisch's long accumulator; see R. Neal, "Fast exact summation using small and large superaccumulators", 2015.)
//!
//! NaN and the infinities are counted apart.

/// A sum of floats, each with a weight.
#[derive(Clone, Debug, Default)]
pub struct ExactFloat {
    /// A whole number in two's complement, least significant word first. Its magnitude is below 2^(64 · length − 2), so that adding a
    /// number as large cannot overflow.
    words: Vec<u64>,
    /// The weight of the lowest word is 2^(64 · first − 1074).
    first: usize,
    nans: i64,
    infinities: i64,
    negative_infinities: i64,
}

/// The sum is finite and beyond the greatest float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatOverflow;

/// Exponent of the lowest bit.
const LOWEST: i32 = -1074;

impl ExactFloat {
    /// Adds `value` as often as `weight` says; takes it away if that is negative.
    pub fn add(&mut self, value: f64, weight: i64) {
        if value.is_nan() {
            self.nans = self.nans.wrapping_add(weight);
        } else if value == f64::INFINITY {
            self.infinities = self.infinities.wrapping_add(weight);
        } else if value == f64::NEG_INFINITY {
            self.negative_infinities = self.negative_infinities.wrapping_add(weight);
        } else if value != 0.0 && weight != 0 {
            let bits = value.to_bits();
            let exponent = ((bits >> 52) & 0x7ff) as usize;
            let fraction = bits & ((1 << 52) - 1);
            let (mantissa, shift) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
            let negative = value < 0.0;
            let product = i128::from(mantissa) * i128::from(weight);
            self.add_shifted(if negative { -product } else { product }, shift);
        }
    }

    /// Adds `number · 2^(shift − 1074)`.
    fn add_shifted(&mut self, number: i128, shift: usize) {
        let (word, bits) = (shift / 64, shift % 64);
        // The number takes three words once it is shifted; a fourth keeps it far below the bound.
        self.cover(word, word + 4);
        let low = (number as u128) << bits;
        let high = if bits == 0 { number >> 127 } else { number >> (128 - bits) };
        let sign = (number >> 127) as u64;
        let parts = [low as u64, (low >> 64) as u64, high as u64];
        let mut carry = false;
        let at = word - self.first;
        for (i, target) in self.words[at..].iter_mut().enumerate() {
            let part = parts.get(i).copied().unwrap_or(sign);
            if i >= parts.len() && ((part == 0 && !carry) || (part == u64::MAX && carry)) {
                // Nothing changes from here on up.
                break;
            }
            let (sum, a) = target.overflowing_add(part);
            let (sum, b) = sum.overflowing_add(u64::from(carry));
            *target = sum;
            carry = a | b;
        }
        self.make_room();
    }

    /// Makes the words `from..to` (counted from the lowest there can be) part of those that are kept.
    fn cover(&mut self, from: usize, to: usize) {
        if self.words.is_empty() {
            self.first = from;
        }
        if from < self.first {
            let below = self.first - from;
            self.words.splice(0..0, std::iter::repeat_n(0, below));
            self.first = from;
        }
        if to > self.first + self.words.len() {
            let sign = self.sign_word();
            self.words.resize(to - self.first, sign);
        }
    }

    /// Restores the bound on the magnitude after an addition.
    fn make_room(&mut self) {
        let top = self.words.last().copied().unwrap_or(0) as i64;
        if !(-(1 << 61)..1 << 61).contains(&top) {
            self.words.push((top >> 63) as u64);
        }
    }

    fn is_negative(&self) -> bool {
        self.words.last().is_some_and(|word| (*word as i64) < 0)
    }

    fn sign_word(&self) -> u64 {
        if self.is_negative() { u64::MAX } else { 0 }
    }

    /// The sum as an `f64`, rounded once, to nearest, ties to even. NaN counts and opposite infinities make NaN.
    ///
    /// # Errors
    /// When the sum is finite and does not fit.
    pub fn to_f64(&self) -> Result<f64, FloatOverflow> {
        self.special().map_or_else(
            || {
                let (magnitude, highest) = self.magnitude();
                let lowest = highest.saturating_sub(52);
                let mantissa = round_at(&magnitude, lowest);
                // Below 2⁵³ the mantissa is the float's bits; above, each step of `lowest` is one of the exponent.
                let bits = mantissa + ((lowest as u64) << 52);
                signed(f64::from_bits(bits), self.is_negative(), lowest <= 2045)
            },
            Ok,
        )
    }

    /// The sum as an `f32`, rounded once.
    ///
    /// # Errors
    /// When the sum is finite and does not fit.
    pub fn to_f32(&self) -> Result<f32, FloatOverflow> {
        self.special().map_or_else(
            || {
                /// Where the lowest bit of an `f32` is.
                const LOWEST_OF_F32: usize = (-149 - LOWEST) as usize;
                let (magnitude, highest) = self.magnitude();
                let lowest = highest.saturating_sub(23).max(LOWEST_OF_F32);
                let mantissa = round_at(&magnitude, lowest);
                let steps = lowest - LOWEST_OF_F32;
                let bits = mantissa + ((steps as u64).min(1 << 10) << 23);
                let value = u32::try_from(bits).map_or(f32::INFINITY, f32::from_bits);
                let value = signed(f64::from(value), self.is_negative(), steps <= 253)?;
                Ok(value as f32)
            },
            |special| Ok(special as f32),
        )
    }

    fn special(&self) -> Option<f64> {
        match (self.nans != 0, self.infinities != 0, self.negative_infinities != 0) {
            (true, ..) | (_, true, true) => Some(f64::NAN),
            (_, true, _) => Some(f64::INFINITY),
            (_, _, true) => Some(f64::NEG_INFINITY),
            _ => None,
        }
    }

    /// The absolute value with its lowest word standing for 2⁻¹⁰⁷⁴, and the position of its highest bit (0 if there is none).
    fn magnitude(&self) -> (Vec<u64>, usize) {
        let mut words = vec![0; self.first];
        words.extend_from_slice(&self.words);
        if self.is_negative() {
            let mut carry = true;
            for word in &mut words {
                let (negated, overflow) = (!*word).overflowing_add(u64::from(carry));
                *word = negated;
                carry = overflow;
            }
        }
        let top = words.iter().rposition(|word| *word != 0);
        let highest = top.map_or(0, |top| top * 64 + words[top].ilog2() as usize);
        (words, highest)
    }
}

fn signed(value: f64, negative: bool, fits: bool) -> Result<f64, FloatOverflow> {
    if !fits || !value.is_finite() {
        return Err(FloatOverflow);
    }
    Ok(if negative { -value } else { value })
}

/// The number shifted right by `lowest` bits, rounded to nearest, ties to even. It has less than 64 bits.
fn round_at(words: &[u64], lowest: usize) -> u64 {
    let bit = |position: usize| words.get(position / 64).is_some_and(|word| (word >> (position % 64)) & 1 == 1);
    let word = |index: usize| words.get(index).copied().unwrap_or(0);
    let (index, shift) = (lowest / 64, lowest % 64);
    let mut mantissa = word(index) >> shift;
    if shift > 0 {
        mantissa |= word(index + 1) << (64 - shift);
    }
    if lowest == 0 || !bit(lowest - 1) {
        return mantissa;
    }
    let half = lowest - 1;
    let below = words[..half / 64].iter().any(|word| *word != 0) || word(half / 64) & ((1 << (half % 64)) - 1) != 0;
    mantissa + u64::from(below || mantissa & 1 == 1)
}

#[cfg(test)]
mod tests;
