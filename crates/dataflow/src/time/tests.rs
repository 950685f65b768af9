//! Paths compose as they apply, and their order is that of their results.

use super::*;
use proptest::prelude::*;

fn paths() -> impl Strategy<Value = Path> {
    (1..=COORDINATES, prop::array::uniform4(0u64..3)).prop_map(|(keep, add)| Path { keep, add })
}

fn times() -> impl Strategy<Value = Time> {
    prop::array::uniform4(0u64..4).prop_map(Time)
}

proptest! {
    #[test]
    fn composing_is_applying_one_after_the_other(a in paths(), b in paths(), time in times()) {
        let together = a.followed_by(&b).unwrap().results_in(&time);
        prop_assert_eq!(together, b.results_in(&a.results_in(&time).unwrap()));
    }

    #[test]
    fn a_smaller_path_never_arrives_later(a in paths(), b in paths(), time in times()) {
        if a.less_equal(&b) {
            prop_assert!(a.results_in(&time).unwrap() <= b.results_in(&time).unwrap());
        }
    }

    #[test]
    fn paths_are_monotone(a in paths(), s in times(), t in times()) {
        if s <= t {
            prop_assert!(a.results_in(&s).unwrap() <= a.results_in(&t).unwrap());
        }
    }
}

#[test]
fn feedback_adds_and_leaving_forgets() {
    let time = Time([7, 3, 2, 0]);
    assert_eq!(Path::feedback(1).results_in(&time), Some(Time([7, 4, 0, 0])));
    assert_eq!(Path::feedback(2).results_in(&time), Some(Time([7, 3, 3, 0])));
    assert_eq!(Path::leave(1).results_in(&time), Some(Time([7, 0, 0, 0])));
    assert!(Path::default().less_equal(&Path::feedback(1)) || !Path::feedback(1).less_equal(&Path::default()));
}
