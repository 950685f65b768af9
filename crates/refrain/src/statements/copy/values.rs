//! Texts of a file as values of a table's columns, with PostgreSQL's errors.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, IntervalMonthDayNanoArray, RecordBatch, RecordBatchOptions, StringBuilder,
    new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::util::display::FormatOptions;
use refrain_sql::SqlType;
use refrain_sql::catalog::{Column, Relation as Entry};

use crate::assign;
use crate::constraints::Defaults;
use crate::error::{Error, Result};

/// Rows of texts, of which there is the one that was read last.
pub(super) trait TextRow {
    /// Reads the next row and returns the number of its first line.
    fn next(&mut self) -> Result<Option<u64>>;

    /// How many values it has.
    fn width(&self) -> usize;

    /// One of them, `None` for NULL.
    fn value(&self, column: usize) -> Option<&[u8]>;

    /// An error at a line, with the row as it stands in the file.
    fn error(&self, code: &'static str, message: &str, line: u64) -> Error;
}

/// Gathers rows of texts and turns them into rows of the table.
pub(super) struct RowBuilder<'a> {
    entry: &'a Entry,
    defaults: &'a Defaults,
    /// The table's column for each value of a row.
    columns: &'a [usize],
    texts: Vec<StringBuilder>,
    /// The first line of each row.
    lines: Vec<u64>,
}

impl<'a> RowBuilder<'a> {
    /// Rows whose values belong to these columns.
    pub fn new(entry: &'a Entry, defaults: &'a Defaults, columns: &'a [usize]) -> Self {
        Self { entry, defaults, columns, texts: columns.iter().map(|_| StringBuilder::new()).collect(), lines: Vec::new() }
    }

    /// Rows that are gathered.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Adds the row that was just read.
    pub fn add(&mut self, rows: &impl TextRow, line: u64) -> Result<()> {
        if rows.width() > self.columns.len() {
            return Err(rows.error("22P04", "extra data after last expected column", line));
        }
        if let Some(missing) = self.columns.get(rows.width()) {
            let message = format!("missing data for column \"{}\"", self.entry.columns[*missing].name);
            return Err(rows.error("22P04", &message, line));
        }
        for (i, texts) in self.texts.iter_mut().enumerate() {
            let value = rows.value(i).map(std::str::from_utf8).transpose();
            let value = value.map_err(|_| rows.error("22021", "invalid byte sequence for encoding \"UTF8\"", line))?;
            texts.append_option(value);
        }
        self.lines.push(line);
        Ok(())
    }

    /// The rows so far, checked; the builder is empty again.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let rows = self.lines.len();
        let lines = std::mem::take(&mut self.lines);
        let texts = self.texts.iter_mut().map(|texts| Arc::new(texts.finish()) as ArrayRef).collect::<Vec<_>>();
        let columns = self.entry.columns.iter().enumerate().map(|(at, column)| match self.columns.iter().position(|c| *c == at) {
            Some(text) => self.parse(column, &texts[text], &lines),
            None => self.defaults.column(at, rows),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let schema = self.entry.schema();
        let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::new(fields)), columns, &options);
        let batch = batch.map_err(|e| Error::engine(e.to_string()))?;
        assign::in_order(self.entry, &batch).map_err(|error| self.locate(error, &batch, &lines))
    }

    /// Finds the line of an error that names none: the rows are checked one by one.
    fn locate(&self, error: Error, batch: &RecordBatch, lines: &[u64]) -> Error {
        let bad = (0..batch.num_rows()).find(|row| assign::in_order(self.entry, &batch.slice(*row, 1)).is_err());
        let Some(row) = bad else { return error };
        let context = format!("COPY {}, line {}", self.entry.name, lines[row]);
        let detail = error.detail().map_or_else(|| context.clone(), |detail| format!("{detail}\n{context}"));
        error.with_detail(detail)
    }

    fn parse(&self, column: &Column, texts: &ArrayRef, lines: &[u64]) -> Result<ArrayRef> {
        let parsed = match column.sql_type {
            Some(t) if t.is_text() => return Ok(Arc::clone(texts)),
            Some(SqlType::Boolean) => booleans(texts),
            Some(SqlType::Bytea) => bytes(texts),
            Some(SqlType::Interval) => intervals(texts),
            _ => typed(texts, &column.data_type()),
        };
        if parsed.null_count() > texts.null_count() {
            let row = (0..texts.len()).find(|row| parsed.is_null(*row) && texts.is_valid(*row)).expect("a value became null");
            let text = texts.as_string::<i32>().value(row);
            let (code, message) = complaint(column, text);
            let context = format!("COPY {}, line {}, column {}: \"{text}\"", self.entry.name, lines[row], column.name);
            return Err(Error::data(code, message).with_detail(context));
        }
        Ok(parsed)
    }
}

/// What PostgreSQL says of a text that is not a value of the column.
fn complaint(column: &Column, text: &str) -> (&'static str, String) {
    let name = column.type_name();
    let digits = text.trim().trim_start_matches(['-', '+']);
    let is_whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match column.sql_type {
        Some(SqlType::SmallInt | SqlType::Integer | SqlType::BigInt) if is_whole => {
            ("22003", format!("value \"{text}\" is out of range for type {name}"))
        }
        Some(SqlType::Numeric(_)) if digits.parse::<f64>().is_ok_and(f64::is_finite) => {
            ("22003", "numeric field overflow".to_owned())
        }
        Some(SqlType::Numeric(_)) => ("22P02", format!("invalid input syntax for type numeric: \"{text}\"")),
        Some(SqlType::Date | SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz | SqlType::Interval) => {
            let name = name.split(" with").next().unwrap_or(&name);
            ("22007", format!("invalid input syntax for type {name}: \"{text}\""))
        }
        _ => ("22P02", format!("invalid input syntax for type {name}: \"{text}\"")),
    }
}

/// Numbers and moments, with spaces around them; what does not parse is NULL.
fn typed(texts: &ArrayRef, to: &DataType) -> ArrayRef {
    let trimmed = texts.as_string::<i32>();
    let is_padded = |t: &str| t.len() != t.trim().len() || t.starts_with('+');
    let trimmed: ArrayRef = if trimmed.iter().flatten().any(is_padded) {
        Arc::new(trimmed.iter().map(|t| t.map(|t| t.trim().trim_start_matches('+'))).collect::<arrow::array::StringArray>())
    } else {
        Arc::clone(texts)
    };
    let options = CastOptions { safe: true, format_options: FormatOptions::default() };
    cast_with_options(&trimmed, to, &options).unwrap_or_else(|_| new_null_array(to, texts.len()))
}

/// PostgreSQL takes any beginning of these words that tells them apart.
fn booleans(texts: &ArrayRef) -> ArrayRef {
    let parse = |text: &str| {
        let text = text.trim().to_ascii_lowercase();
        let begins = |word: &str, at_least: usize| text.len() >= at_least && word.starts_with(&text);
        if text == "1" || begins("true", 1) || begins("yes", 1) || begins("on", 2) {
            Some(true)
        } else if text == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2) {
            Some(false)
        } else {
            None
        }
    };
    Arc::new(texts.as_string::<i32>().iter().map(|t| t.and_then(parse)).collect::<BooleanArray>())
}

fn intervals(texts: &ArrayRef) -> ArrayRef {
    let parse = |text: &str| refrain_sql::interval(text).ok();
    Arc::new(texts.as_string::<i32>().iter().map(|t| t.and_then(parse)).collect::<IntervalMonthDayNanoArray>())
}

/// `\x6869`, or plain text without backslashes.
fn bytes(texts: &ArrayRef) -> ArrayRef {
    let parse = |text: &str| match text.strip_prefix("\\x") {
        None => (!text.contains('\\')).then(|| text.as_bytes().to_vec()),
        Some(hex) => {
            let digits = hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<Vec<_>>>()?;
            (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
    };
    Arc::new(texts.as_string::<i32>().iter().map(|t| t.and_then(parse)).collect::<BinaryArray>())
}
