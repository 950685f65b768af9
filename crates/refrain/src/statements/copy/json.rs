//! Lines of JSON: an object on each, whose members are the columns. Values are read as the texts that they stand for, and written as
//! PostgreSQL's `row_to_json` does.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use serde_json::value::RawValue;

use super::values::TextRow;
use crate::display;
use crate::error::{Error, Result};

/// The rows of a file, one at a time.
pub(super) struct Objects<'a> {
    input: BufReader<Box<dyn Read>>,
    table: &'a str,
    /// Columns by their places among the values.
    columns: HashMap<&'a str, usize>,
    line: u64,
    raw: String,
    values: Vec<Option<String>>,
}

impl<'a> Objects<'a> {
    /// Reads rows for these columns of a table; a member that is not there is NULL.
    pub fn new(input: Box<dyn Read>, table: &'a str, columns: impl Iterator<Item = &'a str>) -> Self {
        let columns = columns.enumerate().map(|(place, name)| (name, place)).collect::<HashMap<_, _>>();
        let input = BufReader::with_capacity(1 << 18, input);
        Self { input, table, values: vec![None; columns.len()], columns, line: 0, raw: String::new() }
    }

    fn take_apart(&mut self) -> serde_json::Result<()> {
        self.values.fill(None);
        for (name, value) in serde_json::from_str::<HashMap<String, &RawValue>>(&self.raw)? {
            if let Some(place) = self.columns.get(name.as_str()) {
                self.values[*place] = match value.get() {
                    "null" => None,
                    text if text.starts_with('"') => Some(serde_json::from_str(text)?),
                    text => Some(text.to_owned()),
                };
            }
        }
        Ok(())
    }
}

impl TextRow for Objects<'_> {
    fn next(&mut self) -> Result<Option<u64>> {
        loop {
            self.raw.clear();
            let length =
                self.input.read_line(&mut self.raw).map_err(|e| Error::io(format!("could not read from COPY file: {e}")))?;
            if length == 0 {
                return Ok(None);
            }
            self.line += 1;
            if self.raw.trim().is_empty() {
                continue;
            }
            self.take_apart().map_err(|e| self.error("22P02", &format!("invalid input syntax for type json: {e}"), self.line))?;
            return Ok(Some(self.line));
        }
    }

    fn width(&self) -> usize {
        self.values.len()
    }

    fn value(&self, column: usize) -> Option<&[u8]> {
        self.values[column].as_deref().map(str::as_bytes)
    }

    fn error(&self, code: &'static str, message: &str, line: u64) -> Error {
        Error::data(code, message).with_detail(format!("COPY {}, line {line}: \"{}\"", self.table, self.raw.trim_end()))
    }
}

/// One value.
pub(super) fn value(array: &dyn Array, i: usize) -> String {
    let Some(text) = display::value(array, i) else { return "null".to_owned() };
    let list = |items: &dyn Array| {
        let items = (0..items.len()).map(|i| value(items, i)).collect::<Vec<_>>();
        format!("[{}]", items.join(","))
    };
    match array.data_type() {
        DataType::Boolean => if text == "t" { "true" } else { "false" }.to_owned(),
        t if t.is_integer() || t.is_decimal() => text,
        t if t.is_floating() && text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && !text.ends_with("inity") => text,
        DataType::Timestamp(_, zone) => {
            let minutes =
                if zone.is_some() && text.rfind(['+', '-']).is_some_and(|sign| text.len() - sign == 3) { ":00" } else { "" };
            string(&(text.replacen(' ', "T", 1) + minutes))
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(i)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(i)),
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(i)),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let members = fields.iter().zip(columns).map(|(field, column)| member(field.name(), &value(column, i)));
            object(members)
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            value(dictionary.values(), dictionary.normalized_keys()[i])
        }
        _ => string(&text),
    }
}

/// `"name":value`
pub(super) fn member(name: &str, value: &str) -> String {
    format!("{}:{value}", string(name))
}

/// `{…}`
pub(super) fn object(members: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
