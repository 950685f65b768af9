//! What one group remembers.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::i256;

use crate::Dictionary;
use crate::exact_float::ExactFloat;

/// One group's share of an aggregate. Which kind it is follows from the [`Aggregator`](super::Aggregator) that made it, and only that
/// may feed it.
///
/// Weights and sums are kept modulo the width of their integers, so that an intermediate overflow undoes itself.
#[derive(Clone, Debug)]
pub struct Accumulator(pub(super) State);

#[derive(Clone, Debug)]
pub(super) enum State {
    Count(i128),
    /// Whole numbers of at most 64 bits.
    Integer {
        sum: i128,
        count: i128,
    },
    /// Unscaled decimals.
    Decimal(Box<DecimalSum>),
    Float(Box<FloatSum>),
    /// Values by order with their weights.
    Ordered(BTreeMap<i128, i64>),
    Text(BTreeMap<TextKey, i64>),
}

#[derive(Clone, Debug)]
pub(super) struct DecimalSum {
    pub(super) sum: i256,
    pub(super) count: i128,
}

#[derive(Clone, Debug, Default)]
pub(super) struct FloatSum {
    pub(super) sum: ExactFloat,
    pub(super) count: i128,
}

/// A coded value, ordered by its bytes.
#[derive(Clone, Debug)]
pub(super) struct TextKey {
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) code: u32,
}

impl PartialEq for TextKey {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl Eq for TextKey {}

impl PartialOrd for TextKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TextKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.dictionary.compare(self.code, other.code)
    }
}

/// Adds a weight to a value's and forgets the value at 0.
pub(super) fn add_weight<K: Ord>(values: &mut BTreeMap<K, i64>, value: K, weight: i64) {
    use std::collections::btree_map::Entry;
    match values.entry(value) {
        Entry::Vacant(entry) => {
            if weight != 0 {
                entry.insert(weight);
            }
        }
        Entry::Occupied(mut entry) => {
            let sum = entry.get().wrapping_add(weight);
            if sum == 0 {
                entry.remove();
            } else {
                *entry.get_mut() = sum;
            }
        }
    }
}
