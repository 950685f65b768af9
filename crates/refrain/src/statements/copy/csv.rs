//! Lines of csv, as PostgreSQL reads them: a quoted value may hold delimiters, quotes and line ends; only an unquoted value can be NULL.

use std::io::{BufRead, BufReader, Read};

use refrain_sql::statement::CsvOptions;

use crate::error::{Error, Result};

/// The rows of a file, one at a time, without an allocation per row.
pub(super) struct Rows<'a> {
    input: BufReader<Box<dyn Read>>,
    table: &'a str,
    delimiter: u8,
    quote: u8,
    escape: u8,
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

impl<'a> Rows<'a> {
    /// Reads rows for a table.
    pub fn new(input: Box<dyn Read>, options: &'a CsvOptions, table: &'a str) -> Self {
        let byte = |c: char| u8::try_from(c).expect("the parser lets single bytes pass only");
        Self {
            input: BufReader::with_capacity(1 << 18, input),
            table,
            delimiter: byte(options.delimiter),
            quote: byte(options.quote),
            escape: byte(options.escape),
            null: options.null.as_bytes(),
            header: options.header,
            line: 0,
            raw: Vec::new(),
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Reads the next row and returns the number of its first line.
    pub fn next(&mut self) -> Result<Option<u64>> {
        if std::mem::take(&mut self.header) && self.read_row()?.is_none() {
            return Ok(None);
        }
        self.read_row()
    }

    /// How many values the row has.
    pub fn width(&self) -> usize {
        self.ends.len()
    }

    /// A value of the row, `None` for NULL.
    pub fn value(&self, column: usize) -> Option<&[u8]> {
        let (end, null) = self.ends[column];
        let start = column.checked_sub(1).map_or(0, |before| self.ends[before].0);
        (!null).then(|| &self.bytes[start..end])
    }

    /// The row as it stands in the file.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// An error at a line.
    pub fn error(&self, code: &'static str, message: impl Into<String>, line: u64) -> Error {
        Error::data(code, message).with_detail(format!("COPY {}, line {line}: \"{}\"", self.table, self.raw()))
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
            if self.split() {
                return Ok(Some(first));
            }
            // A quote is open: the row goes on behind the line end.
            self.raw.push(b'\n');
            if !self.read_line()? {
                self.raw.pop();
                return Err(self.error("22P04", "unterminated CSV quoted field", first));
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

    /// Splits the row into values; false when a quote is not closed.
    fn split(&mut self) -> bool {
        self.bytes.clear();
        self.ends.clear();
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
                    Some(byte) if byte == self.quote => {
                        quoted = true;
                        match self.unquote(at + 1) {
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

    /// Copies what is quoted and returns the position behind the closing quote.
    fn unquote(&mut self, mut at: usize) -> Option<usize> {
        loop {
            let byte = *self.raw.get(at)?;
            let next = self.raw.get(at + 1).copied();
            if byte == self.escape && next.is_some_and(|n| n == self.quote || n == self.escape) {
                self.bytes.extend(next);
                at += 2;
            } else if byte == self.quote {
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
