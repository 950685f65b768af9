use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn codes_start_at_one_and_stay() {
    let dictionary = Dictionary::new();
    assert_eq!(dictionary.intern(b""), 1);
    assert_eq!(dictionary.intern(b"a"), 2);
    assert_eq!(dictionary.intern(b""), 1);
    assert_eq!(dictionary.bytes(1), b"");
    assert_eq!(dictionary.bytes(2), b"a");
    assert_eq!(dictionary.find(b"a"), Some(2));
    assert_eq!(dictionary.find(b"b"), None);
    assert_eq!(dictionary.len(), 2);
}

#[test]
#[should_panic(expected = "given out by this dictionary")]
fn null_has_no_bytes() {
    let dictionary = Dictionary::new();
    let _ = dictionary.intern(b"a");
    let _ = dictionary.bytes(0);
}

#[test]
#[should_panic(expected = "given out by this dictionary")]
fn an_unknown_code_has_no_bytes() {
    let _ = Dictionary::new().bytes(5_000_000);
}

#[test]
fn many_values_across_chunks_and_growths() {
    let dictionary = Dictionary::new();
    for i in 0..50_000u32 {
        assert_eq!(dictionary.intern(i.to_string().as_bytes()), i + 1);
    }
    for i in (0..50_000u32).rev() {
        assert_eq!(dictionary.bytes(i + 1), i.to_string().as_bytes());
        assert_eq!(dictionary.intern(i.to_string().as_bytes()), i + 1);
    }
    assert!(dictionary.size_bytes() > 50_000 * 8);
}

#[test]
fn values_larger_than_a_block() {
    let dictionary = Dictionary::new();
    let large = vec![7; 3 << 20];
    let code = dictionary.intern(&large);
    let small = dictionary.intern(b"small");
    assert_eq!(dictionary.bytes(code), large);
    assert_eq!(dictionary.bytes(small), b"small");
}

#[test]
fn threads_agree() {
    let dictionary = Dictionary::new();
    let work = |seed: u32| {
        (0..20_000u32)
            .map(|i| {
                let text = (i.wrapping_mul(seed) % 5_000).to_string();
                let code = dictionary.intern(text.as_bytes());
                assert_eq!(dictionary.bytes(code), text.as_bytes());
                (text, code)
            })
            .collect::<BTreeMap<_, _>>()
    };
    let work = &work;
    let maps = std::thread::scope(|scope| {
        let threads = [7, 11, 13, 17].map(|seed| scope.spawn(move || work(seed)));
        threads.map(|thread| thread.join().expect("the thread ends well"))
    });
    assert_eq!(dictionary.len(), 5_000);
    for map in &maps[1..] {
        assert_eq!(map, &maps[0]);
    }
}

proptest! {
    #[test]
    fn equal_bytes_have_equal_codes(values in prop::collection::vec(prop::option::of(prop::collection::vec(0u8..3, 0..40)), 0..200)) {
        let dictionary = Dictionary::new();
        let mut codes = Vec::new();
        dictionary.intern_all(values.iter().map(Option::as_deref), &mut codes);
        for (value, code) in values.iter().zip(&codes) {
            match value {
                None => prop_assert_eq!(*code, 0),
                Some(value) => {
                    prop_assert_eq!(dictionary.bytes(*code), &value[..]);
                    prop_assert_eq!(dictionary.intern(value), *code);
                }
            }
        }
        for (a, code_a) in values.iter().zip(&codes) {
            for (b, code_b) in values.iter().zip(&codes) {
                if let (Some(a), Some(b)) = (a, b) {
                    prop_assert_eq!(dictionary.compare(*code_a, *code_b), a.cmp(b));
                }
            }
        }
    }
}
