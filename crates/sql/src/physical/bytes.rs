//! `bytea` from and to text: `\x00ff`, and on the way in PostgreSQL's escapes, too.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, StringArray};
use datafusion_common::{DataFusionError, Result};

/// Text to bytes.
pub(super) fn read_bytes(values: &ArrayRef) -> Result<ArrayRef> {
    let invalid = || DataFusionError::Execution("invalid input syntax for type bytea".to_owned());
    let read = values.as_string::<i32>().iter().map(|text| match text {
        None => Ok(None),
        Some(text) => match text.strip_prefix("\\x") {
            Some(digits) => hexadecimal(digits).map(Some),
            None => escaped(text.as_bytes()).map(Some).ok_or_else(invalid),
        },
    });
    let read = read.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(read.iter().map(Option::as_deref).collect::<BinaryArray>()))
}

/// Bytes to text.
pub(super) fn write_bytes(values: &ArrayRef) -> ArrayRef {
    let hex = |bytes: &[u8]| bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"));
    Arc::new(values.as_binary::<i32>().iter().map(|b| b.map(hex)).collect::<StringArray>())
}

/// Pairs of digits, with space between pairs.
fn hexadecimal(digits: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut rest = digits.chars().filter(|c| !c.is_ascii_whitespace());
    while let Some(first) = rest.next() {
        let value = |c: char| {
            let invalid = || DataFusionError::Execution(format!("invalid hexadecimal digit: \"{c}\""));
            c.to_digit(16).ok_or_else(invalid)
        };
        let first = value(first)?;
        let second =
            rest.next().ok_or_else(|| DataFusionError::Execution("invalid hexadecimal data: odd number of digits".to_owned()))?;
        bytes.push((first * 16 + value(second)?) as u8);
    }
    Ok(bytes)
}

/// `\\` is a backslash, `\nnn` the byte of these octal digits.
fn escaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        match rest {
            [b'\\', behind @ ..] => {
                bytes.push(b'\\');
                rest = behind;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..] => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = behind;
            }
            _ => return None,
        }
    }
    Some(bytes)
}
