//! What an aggregate computes, for all groups.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, i256};
use refrain_types::physical::is_coded;
use refrain_types::{SqlState, Weight};

use super::accumulator::{Accumulator, DecimalSum, FloatSum, State, TextKey, add_weight};
use super::cell::{Cell, cell_column, for_each_value};
use crate::Dictionary;
use crate::domain::Domain;

/// Why a group has no result: SQLSTATE and message.
pub type Failure = (SqlState, String);

/// Which aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Rows, or values that are not NULL.
    Count,
    /// Exact sum; NULL when there is no value.
    Sum,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Exact average; NULL when there is no value.
    Avg,
}

/// The aggregate is not defined for these types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The aggregate.
    pub function: Function,
    /// Logical type of its argument.
    pub argument: Option<DataType>,
    /// Logical type of its result.
    pub result: DataType,
}

/// One aggregate of a grouping, shared by all its groups.
#[derive(Clone, Debug)]
pub struct Aggregator {
    function: Function,
    /// How values are read; `None` where there is no argument.
    domain: Option<Domain>,
    result: DataType,
    dictionary: Arc<Dictionary>,
}

/// How many words the sums are that an accumulator of this aggregate is made of, `None` where it is not a few sums: where it keeps
/// values, or is of floats. `argument` is logical.
#[must_use]
pub fn sum_words(function: Function, argument: Option<&DataType>) -> Option<usize> {
    match (function, argument.and_then(Domain::of)) {
        (Function::Count, _) => Some(2),
        (Function::Sum | Function::Avg, Some(Domain::Signed(_) | Domain::Unsigned)) => Some(4),
        (Function::Sum | Function::Avg, Some(Domain::Decimal(_))) => Some(6),
        _ => None,
    }
}

impl Aggregator {
    /// An aggregate of arguments of this type (logical), `None` for `count(*)`, with a result of that type (logical).
    ///
    /// # Errors
    /// When there is no such aggregate.
    pub fn new(
        function: Function,
        argument: Option<&DataType>,
        result: &DataType,
        dictionary: &Arc<Dictionary>,
    ) -> Result<Self, Unsupported> {
        use DataType as D;
        let unsupported = || Unsupported { function, argument: argument.cloned(), result: result.clone() };
        let domain = argument.and_then(Domain::of);
        let is_integer = argument.is_some_and(DataType::is_integer);
        let fits = match (function, domain, result) {
            (Function::Count, _, D::Int64) => argument.is_none() || domain.is_some() || argument.is_some_and(|t| !is_coded(t)),
            (Function::Min | Function::Max, Some(_), result) => argument == Some(result),
            (Function::Sum, Some(Domain::Signed(_) | Domain::Unsigned), D::Int64 | D::Decimal128(..)) => is_integer,
            (Function::Avg, Some(Domain::Signed(_) | Domain::Unsigned), D::Decimal128(..)) => is_integer,
            (Function::Sum | Function::Avg, Some(Domain::Decimal(_)), D::Decimal128(..)) => true,
            (Function::Sum, Some(Domain::Float32), D::Float32 | D::Float64)
            | (Function::Sum, Some(Domain::Float64), D::Float64) => true,
            (Function::Avg, Some(Domain::Float32 | Domain::Float64), D::Float64) => true,
            _ => false,
        };
        if !fits {
            return Err(unsupported());
        }
        // An interval can be counted, though not ordered; its bits are not looked at.
        let domain = domain.or_else(|| argument.map(|_| Domain::Unsigned));
        Ok(Self { function, domain, result: result.clone(), dictionary: Arc::clone(dictionary) })
    }

    /// Logical type of the result.
    #[must_use]
    pub fn result_type(&self) -> &DataType {
        &self.result
    }

    /// A group's share, without any values.
    #[must_use]
    pub fn accumulator(&self) -> Accumulator {
        Accumulator(match (self.function, self.domain) {
            (Function::Count, _) | (_, None) => State::Count(0),
            (Function::Min | Function::Max, Some(Domain::Code)) => State::Text(Default::default()),
            (Function::Min | Function::Max, _) => State::Ordered(Default::default()),
            (_, Some(Domain::Decimal(_))) => State::Decimal(Box::new(DecimalSum { sum: i256::ZERO, count: 0 })),
            (_, Some(Domain::Float32 | Domain::Float64)) => State::Float(Box::default()),
            _ => State::Integer { sum: 0, count: 0 },
        })
    }

    /// Adds a value with a weight. For `count(*)` the value does not matter.
    pub fn update(&self, accumulator: &mut Accumulator, value: Cell, weight: Weight) {
        match (self.domain, value.0) {
            (None, _) => accumulator.0.add(Domain::Unsigned, 0, weight, &self.dictionary),
            (Some(domain), Some(bits)) => accumulator.0.add(domain, bits, weight, &self.dictionary),
            (Some(_), None) => {}
        }
    }

    /// Adds the values of a physical column, each to the accumulator that `groups` names in its row. There is no column for `count(*)`.
    ///
    /// # Panics
    /// When the column is missing, or is shorter than `groups`.
    pub fn update_groups(
        &self,
        accumulators: &mut [Accumulator],
        groups: &[u32],
        argument: Option<&ArrayRef>,
        weight: impl Fn(usize) -> Weight,
    ) {
        let Some(domain) = self.domain else {
            for (row, group) in groups.iter().enumerate() {
                accumulators[*group as usize].0.add(Domain::Unsigned, 0, weight(row), &self.dictionary);
            }
            return;
        };
        let column = argument.expect("an aggregate that has an argument is given its column");
        assert_eq!(column.len(), groups.len(), "each row has a group");
        for_each_value(column, domain == Domain::Code, |row, bits| {
            accumulators[groups[row] as usize].0.add(domain, bits, weight(row), &self.dictionary);
        });
    }

    /// The aggregate of the values that are left.
    ///
    /// # Errors
    /// When it does not fit its type.
    pub fn result(&self, accumulator: &Accumulator) -> Result<Cell, Failure> {
        match &accumulator.0 {
            State::Count(count) => match i64::try_from(*count) {
                Ok(count) => Ok(cell_of_i64(count)),
                Err(_) => Err(out_of_range("bigint out of range")),
            },
            State::Integer { count: ..=0, .. } => Ok(Cell::NULL),
            State::Integer { sum, count } if self.function == Function::Avg => self.average(i256::from_i128(*sum), 0, *count),
            State::Integer { sum, .. } => match (&self.result, i64::try_from(*sum)) {
                (DataType::Int64, Ok(sum)) => Ok(cell_of_i64(sum)),
                (DataType::Int64, Err(_)) => Err(out_of_range("bigint out of range")),
                _ => self.decimal(i256::from_i128(*sum), 0),
            },
            State::Decimal(sum) if sum.count <= 0 => Ok(Cell::NULL),
            State::Decimal(sum) if self.function == Function::Avg => self.average(sum.sum, self.argument_scale(), sum.count),
            State::Decimal(sum) => self.decimal(sum.sum, self.argument_scale()),
            State::Float(sum) => self.float(sum),
            State::Ordered(values) => {
                let domain = self.domain.expect("an aggregate that orders values has an argument");
                Ok(Cell(self.extreme(values).map(|number| domain.bits(*number))))
            }
            State::Text(values) => Ok(Cell(self.extreme(values).map(|key| u128::from(key.code)))),
        }
    }

    /// Appends the sums that an accumulator is.
    ///
    /// # Panics
    /// When it is more than that.
    pub fn write_sums(&self, accumulator: &Accumulator, out: &mut Vec<u64>) {
        match &accumulator.0 {
            State::Count(count) => out.extend(words_of(*count)),
            State::Integer { sum, count } => out.extend([words_of(*sum), words_of(*count)].as_flattened()),
            State::Decimal(total) => {
                let (low, high) = total.sum.to_parts();
                out.extend([words_of(low as i128), words_of(high), words_of(total.count)].as_flattened());
            }
            State::Float(_) | State::Ordered(_) | State::Text(_) => unreachable!("it has no sum words"),
        }
    }

    /// Adds the sums that `words` begins with, `weight` times, and returns the other words. Sums are linear: the accumulator is then
    /// what it would be had it been fed the values of both.
    ///
    /// # Panics
    /// When there are fewer words than [`sum_words`] says, or the accumulator is more than sums.
    pub fn add_sums<'a>(&self, accumulator: &mut Accumulator, words: &'a [u64], weight: Weight) -> &'a [u64] {
        let times = i128::from(weight);
        let at = |i: usize| number_of(words[2 * i], words[2 * i + 1]);
        let add = |to: &mut i128, i: usize| *to = to.wrapping_add(at(i).wrapping_mul(times));
        match &mut accumulator.0 {
            State::Count(count) => {
                add(count, 0);
                &words[2..]
            }
            State::Integer { sum, count } => {
                add(sum, 0);
                add(count, 1);
                &words[4..]
            }
            State::Decimal(total) => {
                let sum = i256::from_parts(at(0) as u128, at(1));
                total.sum = total.sum.wrapping_add(sum.wrapping_mul(i256::from_i128(times)));
                add(&mut total.count, 2);
                &words[6..]
            }
            State::Float(_) | State::Ordered(_) | State::Text(_) => unreachable!("it has no sum words"),
        }
    }

    /// The physical column of results.
    #[must_use]
    pub fn column(&self, results: impl ExactSizeIterator<Item = Cell> + Clone) -> ArrayRef {
        cell_column(results, &self.result)
    }

    fn argument_scale(&self) -> i8 {
        match self.domain {
            Some(Domain::Decimal(scale)) => scale,
            _ => 0,
        }
    }

    /// The first or last value that is there; while changes are on their way, some may be there less than not at all.
    fn extreme<'a, K>(&self, values: &'a std::collections::BTreeMap<K, i64>) -> Option<&'a K> {
        let mut present = values.iter().filter(|(_, weight)| **weight > 0).map(|(value, _)| value);
        if self.function == Function::Min { present.next() } else { present.next_back() }
    }

    fn float(&self, sum: &FloatSum) -> Result<Cell, Failure> {
        if sum.count <= 0 {
            return Ok(Cell::NULL);
        }
        let overflow = |_| out_of_range("value out of range: overflow");
        if self.result == DataType::Float32 {
            let sum = sum.sum.to_f32().map_err(overflow)?;
            return Ok(Cell(Some(u128::from(sum.to_bits()))));
        }
        let total = sum.sum.to_f64().map_err(overflow)?;
        let result = if self.function == Function::Avg { total / sum.count as f64 } else { total };
        // The one NaN that columns have.
        let result = if result.is_nan() { f64::NAN } else { result };
        Ok(Cell(Some(u128::from(result.to_bits()))))
    }

    /// `unscaled / 10^scale` in the result's decimal type.
    fn decimal(&self, unscaled: i256, scale: i8) -> Result<Cell, Failure> {
        let (precision, result_scale) = self.decimal_type();
        let result = rescale(unscaled, i32::from(result_scale) - i32::from(scale), i256::ONE);
        fit(result, precision)
    }

    fn average(&self, unscaled: i256, scale: i8, count: i128) -> Result<Cell, Failure> {
        let (precision, result_scale) = self.decimal_type();
        let result = rescale(unscaled, i32::from(result_scale) - i32::from(scale), i256::from_i128(count));
        fit(result, precision)
    }

    fn decimal_type(&self) -> (u8, i8) {
        match self.result {
            DataType::Decimal128(precision, scale) => (precision, scale),
            _ => unreachable!("a sum that is not of another type is a decimal"),
        }
    }
}

/// `number · 10^places / divisor`, rounded half away from 0 as PostgreSQL rounds.
fn rescale(number: i256, places: i32, divisor: i256) -> Option<i256> {
    let power = |places: i32| i256::from_i128(10).checked_pow(places.unsigned_abs());
    let (number, divisor) =
        if places >= 0 { (number.checked_mul(power(places)?)?, divisor) } else { (number, divisor.checked_mul(power(places)?)?) };
    if divisor == i256::ONE {
        return Some(number);
    }
    if let (Some(number), Some(divisor)) = (number.to_i128(), divisor.to_i128()) {
        let (quotient, remainder) = (number / divisor, number % divisor);
        let away = remainder.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
        return Some(i256::from_i128(quotient + if away { number.signum() } else { 0 }));
    }
    let (quotient, remainder) = (number.checked_div(divisor)?, number.checked_rem(divisor)?);
    let away = remainder.wrapping_abs() >= divisor.wrapping_sub(remainder.wrapping_abs());
    let step = if number < i256::ZERO { i256::MINUS_ONE } else { i256::ONE };
    if away { quotient.checked_add(step) } else { Some(quotient) }
}

fn fit(number: Option<i256>, precision: u8) -> Result<Cell, Failure> {
    let number = number.and_then(|number| number.to_i128());
    let limit = 10u128.checked_pow(u32::from(precision)).unwrap_or(u128::MAX);
    match number.filter(|number| number.unsigned_abs() < limit) {
        Some(number) => Ok(Cell(Some(number as u128))),
        None => Err(out_of_range("numeric field overflow")),
    }
}

/// The two words of a number, low half first.
fn words_of(number: i128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

fn number_of(low: u64, high: u64) -> i128 {
    (u128::from(high) << 64 | u128::from(low)) as i128
}

fn cell_of_i64(value: i64) -> Cell {
    Cell(Some(u128::from(value as u64)))
}

fn out_of_range(message: &str) -> Failure {
    (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message.to_owned())
}

impl State {
    fn add(&mut self, domain: Domain, bits: u128, weight: Weight, dictionary: &Arc<Dictionary>) {
        let times = i128::from(weight);
        match self {
            Self::Count(count) => *count = count.wrapping_add(times),
            Self::Integer { sum, count } => {
                *sum = sum.wrapping_add(domain.number(bits).wrapping_mul(times));
                *count = count.wrapping_add(times);
            }
            Self::Decimal(total) => {
                let product = i256::from_i128(domain.number(bits)).wrapping_mul(i256::from_i128(times));
                total.sum = total.sum.wrapping_add(product);
                total.count = total.count.wrapping_add(times);
            }
            Self::Float(total) => {
                total.sum.add(domain.float(bits), weight);
                total.count = total.count.wrapping_add(times);
            }
            Self::Ordered(values) => add_weight(values, domain.number(bits), weight),
            Self::Text(values) => add_weight(values, TextKey { dictionary: Arc::clone(dictionary), code: bits as u32 }, weight),
        }
    }
}
