//! Rows of values with delimiters in between, as PostgreSQL reads them. In csv a quoted value may hold delimiters, quotes and line ends, and
//! only an unquoted value can be NULL; in text all that is written with backslashes, and so may be NULL.

use std::io::{BufRead, BufReader, Read};

use refrain_sql::statement::{CsvOptions, TextOptions};

use super::values::TextRow;
use crate::error::{Error, Result};

/// The rows of a file, one at a time, without an allocation per row.
pub(super) struct Rows<'a> {
    input: BufReader<Box<dyn Read>>,
    table: &'a str,
    delimiter: u8,
    /// `None` in text.
    quotes: Option<Quotes>,
    null: &'a [u8],
    header: bool,
    /// Lines read so far; the first is 1.
    line: u64,
    /// The line, or lines, of the row.
    raw: Vec<u8>,
    /// The values of the row behind each other, unquoted.
    bytes: Vec<u8>,
    /// Where each value ends in `bytes`, and whether it is NULL.
    ends: Vec<(usize, bool)>,
}

/// What quotes a value, and what precedes a quote in it.
#[derive(Clone, Copy)]
struct Quotes {
    quote: u8,
    escape: u8,
}

fn byte(c: char) -> u8 {
    u8::try_from(c).expect("the parser lets single bytes pass only")
}

impl<'a> Rows<'a> {
    /// Reads rows of csv for a table.
    pub fn csv(input: Box<dyn Read>, options: &'a CsvOptions, table: &'a str) -> Self {
        let quotes = Quotes { quote: byte(options.quote), escape: byte(options.escape) };
        Self { quotes: Some(quotes), ..Self::new(input, (options.delimiter, &options.null, options.header), table) }
    }

    /// Reads rows of text for a table.
    pub fn text(input: Box<dyn Read>, options: &'a TextOptions, table: &'a str) -> Self {
        Self::new(input, (options.delimiter, &options.null, options.header), table)
    }

    fn new(input: Box<dyn Read>, (delimiter, null, header): (char, &'a str, bool), table: &'a str) -> Self {
        Self {
            input: BufReader::with_capacity(1 << 18, input),
            table,
            delimiter: byte(delimiter),
            quotes: None,
            null: null.as_bytes(),
            header,
            line: 0,
            raw: Vec::new(),
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn read_row(&mut self) -> Result<Option<u64>> {
        self.raw.clear();
        if !self.read_line()? {
            return Ok(None);
        }
        let first = self.line;
        // PostgreSQL's end of data.
        if self.raw == b"\\." {
            return Ok(None);
        }
        loop {
            self.bytes.clear();
            self.ends.clear();
            let is_whole = match self.quotes {
                Some(quotes) => self.split_csv(quotes),
                None => self.split_text(),
            };
            if is_whole {
                return Ok(Some(first));
            }
            // A quote is open, or the line end is behind a backslash: the row goes on behind it.
            self.raw.push(b'\n');
            if !self.read_line()? {
                self.raw.pop();
                let message = if self.quotes.is_some() { "unterminated CSV quoted field" } else { "end-of-copy marker corrupt" };
                return Err(self.error("22P04", message, first));
            }
        }
    }

    /// Appends a line to the row, without its end; false at the end of the file.
    fn read_line(&mut self) -> Result<bool> {
        let before = self.raw.len();
        let read = self.input.read_until(b'\n', &mut self.raw);
        let length = read.map_err(|e| Error::io(format!("could not read from COPY file: {e}")))?;
        if length == 0 {
            return Ok(false);
        }
        self.line += 1;
        if self.raw.last() == Some(&b'\n') {
            self.raw.pop();
            if self.raw.len() > before && self.raw.last() == Some(&b'\r') {
                self.raw.pop();
            }
        }
        Ok(true)
    }

    /// Splits the row into values; false when it ends with a backslash.
    fn split_text(&mut self) -> bool {
        let mut at = 0;
        loop {
            let start = at;
            while let Some(byte) = self.raw.get(at).copied().filter(|byte| *byte != self.delimiter) {
                at += 1;
                if byte != b'\\' {
                    self.bytes.push(byte);
                    continue;
                }
                let Some(escaped) = self.raw.get(at).copied() else { return false };
                at += 1;
                let value = match escaped {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'0'..=b'7' => self.digits(at - 1, 3, 8, &mut at),
                    b'x' if self.raw.get(at).is_some_and(u8::is_ascii_hexdigit) => self.digits(at, 2, 16, &mut at),
                    other => other,
                };
                self.bytes.push(value);
            }
            let null = self.raw[start..at] == *self.null;
            self.ends.push((self.bytes.len(), null));
            if at == self.raw.len() {
                return true;
            }
            at += 1;
        }
    }

    /// Splits the row into values; false when a quote is not closed.
    fn split_csv(&mut self, quotes: Quotes) -> bool {
        let mut at = 0;
        loop {
            let start = self.bytes.len();
            let mut quoted = false;
            loop {
                match self.raw.get(at).copied() {
                    None => {
                        self.end_value(start, quoted);
                        return true;
                    }
                    Some(byte) if byte == self.delimiter => break,
                    Some(byte) if byte == quotes.quote => {
                        quoted = true;
                        match self.unquote(quotes, at + 1) {
                            Some(end) => at = end,
                            None => return false,
                        }
                    }
                    Some(byte) => {
                        self.bytes.push(byte);
                        at += 1;
                    }
                }
            }
            self.end_value(start, quoted);
            at += 1;
        }
    }

    /// The byte of up to so many digits from a position on; `end` is then behind them. What does not fit a byte is cut, as PostgreSQL does.
    fn digits(&self, from: usize, length: usize, radix: u32, end: &mut usize) -> u8 {
        let digits = self.raw[from..].iter().take(length).map_while(|byte| char::from(*byte).to_digit(radix));
        let (value, count) = digits.fold((0, 0), |(value, count), digit| (value * radix + digit, count + 1));
        *end = from + count;
        value as u8
    }

    /// Copies what is quoted and returns the position behind the closing quote.
    fn unquote(&mut self, Quotes { quote, escape }: Quotes, mut at: usize) -> Option<usize> {
        loop {
            let byte = *self.raw.get(at)?;
            let next = self.raw.get(at + 1).copied();
            if byte == escape && next.is_some_and(|n| n == quote || n == escape) {
                self.bytes.extend(next);
                at += 2;
            } else if byte == quote {
                return Some(at + 1);
            } else {
                self.bytes.push(byte);
                at += 1;
            }
        }
    }

    fn end_value(&mut self, start: usize, quoted: bool) {
        let null = !quoted && self.bytes[start..] == *self.null;
        self.ends.push((self.bytes.len(), null));
    }
}

impl TextRow for Rows<'_> {
    fn next(&mut self) -> Result<Option<u64>> {
        if std::mem::take(&mut self.header) && self.read_row()?.is_none() {
            return Ok(None);
        }
        self.read_row()
    }

    fn width(&self) -> usize {
        self.ends.len()
    }

    fn value(&self, column: usize) -> Option<&[u8]> {
        let (end, null) = self.ends[column];
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before].0);
        (!null).then(|| &self.bytes[start..end])
    }

    fn error(&self, code: &'static str, message: &str, line: u64) -> Error {
        Error::data(code, message).with_detail(format!(
            "COPY {}, line {line}: \"{}\"",
            self.table,
            String::from_utf8_lossy(&self.raw)
        ))
    }
}
