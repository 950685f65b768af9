use proptest::prelude::*;

use super::*;

fn sum(values: &[(f64, i64)]) -> ExactFloat {
    let mut sum = ExactFloat::default();
    for (value, weight) in values {
        sum.add(*value, *weight);
    }
    sum
}

#[test]
fn what_cancels_leaves_nothing() {
    assert_eq!(sum(&[(1e308, 1), (1.0, 1), (1e308, -1)]).to_f64(), Ok(1.0));
    assert_eq!(sum(&[(5e-324, 1), (1e308, 1), (1e308, -1)]).to_f64(), Ok(5e-324));
    assert_eq!(sum(&[(0.1, 1), (0.2, 1), (0.1, -1), (0.2, -1)]).to_f64(), Ok(0.0));
    assert_eq!(sum(&[(-1e300, 3), (1e-300, 1), (1e300, 3)]).to_f64(), Ok(1e-300));
}

#[test]
fn sums_are_rounded_once() {
    assert_eq!(sum(&[(0.1, 10)]).to_f64(), Ok(1.0));
    assert_eq!(sum(&[(1.0, 1), (f64::EPSILON / 2.0, 1)]).to_f64(), Ok(1.0), "a tie goes to even");
    assert_eq!(sum(&[(1.0, 1), (f64::EPSILON / 2.0, 1), (5e-324, 1)]).to_f64(), Ok(1.0 + f64::EPSILON));
    assert_eq!(sum(&[(1.0, 1), (f64::EPSILON, 1), (f64::EPSILON / 2.0, 1)]).to_f64(), Ok(1.0 + 2.0 * f64::EPSILON));
}

#[test]
fn infinities_come_and_go() {
    let mut sum = sum(&[(f64::INFINITY, 1), (1.5, 1)]);
    assert_eq!(sum.to_f64(), Ok(f64::INFINITY));
    sum.add(f64::NEG_INFINITY, 2);
    assert!(sum.to_f64().is_ok_and(f64::is_nan));
    sum.add(f64::INFINITY, -1);
    assert_eq!(sum.to_f64(), Ok(f64::NEG_INFINITY));
    sum.add(f64::NEG_INFINITY, -2);
    assert_eq!(sum.to_f64(), Ok(1.5));
    sum.add(f64::NAN, 1);
    assert!(sum.to_f32().is_ok_and(f32::is_nan));
    sum.add(f64::NAN, -1);
    assert_eq!(sum.to_f32(), Ok(1.5));
}

#[test]
fn too_large_is_an_error_and_heals() {
    let mut large = sum(&[(f64::MAX, 2)]);
    assert_eq!(large.to_f64(), Err(FloatOverflow));
    large.add(f64::MAX, -1);
    assert_eq!(large.to_f64(), Ok(f64::MAX));
    large.add(f64::MAX, i64::MAX);
    large.add(f64::MAX, i64::MAX);
    assert_eq!(large.to_f64(), Err(FloatOverflow));
    large.add(-f64::MAX, i64::MAX);
    large.add(-f64::MAX, i64::MAX);
    large.add(-f64::MAX, 1);
    assert_eq!(large.to_f64(), Ok(0.0));
    assert_eq!(sum(&[(f64::from(f32::MAX), 2)]).to_f32(), Err(FloatOverflow));
    assert_eq!(sum(&[(-1e300, 1)]).to_f32(), Err(FloatOverflow));
    // Halfway between the greatest f32 and the next power of two rounds up, which is too far.
    assert_eq!(sum(&[(f64::from(f32::MAX), 1), (2f64.powi(103), 1)]).to_f32(), Err(FloatOverflow));
    assert_eq!(sum(&[(f64::from(f32::MAX), 1), (2f64.powi(102), 1)]).to_f32(), Ok(f32::MAX));
}

fn finite() -> impl Strategy<Value = f64> {
    any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite())
}

proptest! {
    #[test]
    fn one_value_is_itself(value in finite()) {
        prop_assert_eq!(sum(&[(value, 1)]).to_f64(), Ok(value));
        let narrow = value as f32;
        if narrow.is_finite() {
            prop_assert_eq!(sum(&[(value, 1)]).to_f32(), Ok(narrow));
        } else {
            prop_assert_eq!(sum(&[(value, 1)]).to_f32(), Err(FloatOverflow));
        }
    }

    /// The sum of two floats is rounded once by the machine, too.
    #[test]
    fn two_values_add_as_the_machine_adds(a in finite(), b in finite(), near in -60i32..60) {
        for b in [b, a * 2f64.powi(near), -a * 2f64.powi(near)] {
            if b.is_finite() {
                let expected = if (a + b).is_finite() { Ok(a + b) } else { Err(FloatOverflow) };
                prop_assert_eq!(sum(&[(a, 1), (b, 1)]).to_f64(), expected);
            }
        }
    }

    #[test]
    fn order_does_not_matter_and_all_can_be_taken_away(values in prop::collection::vec((finite(), -1000i64..1000), 0..20), seed: u64) {
        let mut shuffled = values.clone();
        shuffled.sort_by_key(|(value, weight)| crate::hash_words(&[seed, value.to_bits(), *weight as u64]));
        let mut total = sum(&values);
        prop_assert_eq!(total.to_f64(), sum(&shuffled).to_f64());
        for (value, weight) in shuffled {
            total.add(value, -weight);
        }
        prop_assert_eq!(total.to_f64(), Ok(0.0));
    }

    #[test]
    fn small_whole_numbers_add_exactly(values in prop::collection::vec((-1_000_000i64..1_000_000, -1000i64..1000), 0..30)) {
        let floats = values.iter().map(|(value, weight)| (*value as f64 / 1024.0, *weight)).collect::<Vec<_>>();
        let exact = values.iter().map(|(value, weight)| value * weight).sum::<i64>() as f64 / 1024.0;
        prop_assert_eq!(sum(&floats).to_f64(), Ok(exact));
        prop_assert_eq!(sum(&floats).to_f32(), Ok(exact as f32));
    }
}
