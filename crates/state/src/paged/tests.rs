//! Pages are one vector.

use super::{PAGE, Paged};

#[test]
fn values_are_found_on_every_page() {
    let mut paged = Paged::default();
    for i in 0..3 * PAGE + 7 {
        paged.push(i);
    }
    paged[PAGE] = 1;
    assert_eq!(
        (paged.len(), paged[0], paged[PAGE - 1], paged[PAGE], paged[3 * PAGE + 6]),
        (3 * PAGE + 7, 0, PAGE - 1, 1, 3 * PAGE + 6)
    );
    assert_eq!((paged.get(3 * PAGE + 6), paged.get(3 * PAGE + 7), paged.get(9 * PAGE)), (Some(&(3 * PAGE + 6)), None, None));
    paged.clear();
    assert_eq!((paged.len(), paged.get(0)), (0, None));
}

#[test]
fn a_few_values_take_little_memory() {
    let mut paged = Paged::default();
    paged.push(1u64);
    assert!(paged.size_bytes() < 1024);
}
