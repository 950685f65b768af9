//! The frame around every binary object: what it is, how long, and its checksum.
//!
//! ```text
//! 0  magic    8 bytes
//! 8  format   u16      refused when newer than this version
//! 10 kind     u16      a segment read as a loop log is an error, not rows
//! 12 zero     u32
//! 16 length   u64      of the payload
//! 24 crc32    u32      of the payload
//! 28 crc32    u32      of the 28 bytes before
//! 32 payload
//! ```
//! Numbers are little-endian. Reading verifies everything before a byte of the payload is looked at, and tells a short object
//! from a corrupt one and from one of a later version.

use bytes::{BufMut, Bytes, BytesMut};
use object_store::PutPayload;

use crate::error::{Damage, Error, Result};

/// Newest frame format that this version reads, and the one that it writes.
pub const OBJECT_FORMAT: u16 = 1;

const MAGIC: &[u8; 8] = b"REFRAIN\n";

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 32;

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Rows of an operator or a relation.
    Segment,
    /// Feedback of a loop in flight.
    LoopLog,
    /// Records of the input log.
    Input,
}

impl ObjectKind {
    fn code(self) -> u16 {
        match self {
            Self::Segment => 1,
            Self::LoopLog => 2,
            Self::Input => 3,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::LoopLog => "loop log",
            Self::Input => "part of the input log",
        }
    }
}

/// A payload in its frame.
pub(crate) struct Framed {
    /// Header and payload, ready to be put.
    pub payload: PutPayload,
    /// Bytes of all that.
    pub bytes: u64,
    /// Checksum of the payload.
    pub crc32: u32,
}

/// Frames a payload that is given in parts; the parts are not copied.
pub(crate) fn frame(kind: ObjectKind, parts: Vec<Bytes>) -> Framed {
    let mut hasher = crc32fast::Hasher::new();
    let mut length = 0;
    for part in &parts {
        hasher.update(part);
        length += part.len() as u64;
    }
    let crc32 = hasher.finalize();
    let mut header = BytesMut::with_capacity(HEADER_BYTES);
    header.put_slice(MAGIC);
    header.put_u16_le(OBJECT_FORMAT);
    header.put_u16_le(kind.code());
    header.put_u32_le(0);
    header.put_u64_le(length);
    header.put_u32_le(crc32);
    let header_crc32 = crc32fast::hash(&header);
    header.put_u32_le(header_crc32);
    assert_eq!(header.len(), HEADER_BYTES, "the payload starts at a fixed place");
    let payload = std::iter::once(header.freeze()).chain(parts).collect();
    Framed { payload, bytes: length + HEADER_BYTES as u64, crc32 }
}

/// The payload of an object of `kind` and its checksum, verified.
pub(crate) fn unframe(kind: ObjectKind, object: &str, used_by: &str, bytes: &Bytes) -> Result<(Bytes, u32)> {
    check_magic_and_format(object, used_by, bytes)?;
    let damaged = |damage| Err(Error::damaged(object, used_by, damage));
    let found = bytes.len() as u64;
    if bytes.len() < HEADER_BYTES {
        return damaged(Damage::Short { expected: HEADER_BYTES as u64, found });
    }
    let (expected, header_crc32) = (number::<4>(bytes, 28) as u32, crc32fast::hash(&bytes[..28]));
    if expected != header_crc32 {
        return damaged(Damage::Checksum { expected, found: header_crc32 });
    }
    let found_kind = number::<2>(bytes, 10) as u16;
    if found_kind != kind.code() {
        return damaged(Damage::WrongKind { expected: kind.words(), found: found_kind });
    }
    let expected = number::<8>(bytes, 16).saturating_add(HEADER_BYTES as u64);
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => return damaged(Damage::Short { expected, found }),
        std::cmp::Ordering::Greater => return damaged(Damage::Long { expected, found }),
        std::cmp::Ordering::Equal => {}
    }
    let payload = bytes.slice(HEADER_BYTES..);
    let (expected, crc32) = (number::<4>(bytes, 24) as u32, crc32fast::hash(&payload));
    if expected != crc32 {
        return damaged(Damage::Checksum { expected, found: crc32 });
    }
    Ok((payload, crc32))
}

/// The format comes before everything else: a later version may have another header.
fn check_magic_and_format(object: &str, used_by: &str, bytes: &[u8]) -> Result<()> {
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return Err(Error::damaged(object, used_by, Damage::NotOurs));
    }
    if bytes.len() < 10 {
        let damage = Damage::Short { expected: HEADER_BYTES as u64, found: bytes.len() as u64 };
        return Err(Error::damaged(object, used_by, damage));
    }
    match number::<2>(bytes, 8) as u16 {
        0 => Err(Error::damaged(object, used_by, Damage::UnknownFormat(0))),
        found if found > OBJECT_FORMAT => Err(Error::NewerFormat { object: object.to_owned(), found, supported: OBJECT_FORMAT }),
        _ => Ok(()),
    }
}

fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..BYTES].copy_from_slice(&bytes[at..at + BYTES]);
    u64::from_le_bytes(wide)
}

#[cfg(test)]
mod tests;
