use super::*;

const NAME: &str = "segment/x.arrow";
const USER: &str = "operator 3 (distinct) of view \"v\"";

fn framed(parts: &[&'static [u8]]) -> Bytes {
    let framed = frame(ObjectKind::Segment, parts.iter().map(|p| Bytes::from_static(p)).collect());
    let bytes = Bytes::from(framed.payload);
    assert_eq!(bytes.len() as u64, framed.bytes);
    bytes
}

fn damage(bytes: &[u8]) -> Damage {
    match unframe(ObjectKind::Segment, NAME, USER, &Bytes::copy_from_slice(bytes)) {
        Err(Error::Damaged { object, used_by, damage }) => {
            assert_eq!((object.as_str(), used_by.as_str()), (NAME, USER));
            damage
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_framed_comes_back() {
    let bytes = framed(&[b"some", b"", b" bytes"]);
    let (payload, _) = unframe(ObjectKind::Segment, NAME, USER, &bytes).unwrap();
    assert_eq!(&payload[..], b"some bytes");
    assert!(unframe(ObjectKind::Segment, NAME, USER, &framed(&[])).unwrap().0.is_empty());
}

#[test]
fn every_bit_that_flips_is_found_and_the_object_is_named() {
    let whole = framed(&[b"some bytes"]);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = unframe(ObjectKind::Segment, NAME, USER, &bytes.into()).expect_err("a flipped bit");
        assert!(error.to_string().contains(NAME), "{error}");
    }
}

#[test]
fn every_cut_is_found() {
    let whole = framed(&[b"some bytes"]);
    for length in 0..whole.len() {
        assert!(matches!(damage(&whole[..length]), Damage::Short { found, .. } if found == length as u64), "{length}");
    }
    assert!(matches!(damage(&[&whole[..], b"!"].concat()), Damage::Long { .. }));
}

#[test]
fn kinds_of_damage_are_told_apart() {
    let whole = framed(&[b"some bytes"]);
    assert_eq!(damage(b"PAR1 and something else, long enough"), Damage::NotOurs);
    let mut zero = whole.to_vec();
    zero[8] = 0;
    assert_eq!(damage(&zero), Damage::UnknownFormat(0));
    let log = Bytes::from(frame(ObjectKind::LoopLog, vec![]).payload);
    assert_eq!(damage(&log), Damage::WrongKind { expected: "segment", found: 2 });
    let last = whole.len() - 1;
    let mut corrupt = whole.to_vec();
    corrupt[last] ^= 1;
    assert!(matches!(damage(&corrupt), Damage::Checksum { .. }));
}

#[test]
fn a_later_format_is_refused_before_anything_else() {
    let mut bytes = framed(&[b"some bytes"]).to_vec();
    bytes[8] = 2;
    let error = unframe(ObjectKind::Segment, NAME, USER, &bytes[..20].to_vec().into()).unwrap_err();
    assert!(matches!(&error, Error::NewerFormat { found: 2, supported: 1, .. }), "{error:?}");
    assert_eq!(error.to_string(), "object \"segment/x.arrow\" has format 2, and this version of refrain reads formats up to 1");
}

/// The frame of format 1, byte for byte: stores that exist must stay readable.
#[test]
fn the_frame_of_format_1_is_frozen() {
    let bytes = framed(&[b"abc"]);
    let hex = bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(hex, "5245465241494e0a01000100000000000300000000000000c2412435be23d2de616263");
}
