//! How results are printed: tables for people, csv, JSON and markdown for what reads them.
//!
//! A result is printed at once, a subscription row by row as it comes; each format knows both.

mod csv;
mod json;
mod markdown;
mod table;

use std::io::{self, Write};

use arrow::datatypes::{DataType, Schema};

/// The format of results.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Table,
    /// Comma-separated values with a header; NULL is nothing, an empty string is ""
    Csv,
    /// One JSON object per line
    Json,
    /// A markdown table
    Markdown,
}

/// What a column holds, as far as printing cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Number,
    Boolean,
    Text,
}

/// Name and kind of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

impl Column {
    pub(crate) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind }
    }

    /// The columns of a schema.
    pub(crate) fn of(schema: &Schema) -> Vec<Self> {
        schema.fields().iter().map(|field| Self::new(field.name(), Kind::of(field.data_type()))).collect()
    }
}

impl Kind {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            number if number.is_numeric() => Self::Number,
            _ => Self::Text,
        }
    }
}

/// A row of texts, `None` for NULL.
pub(crate) type Row = Vec<Option<String>>;

impl Format {
    /// Prints a whole result.
    pub(crate) fn print(self, out: &mut dyn Write, columns: &[Column], rows: &[Row]) -> io::Result<()> {
        match self {
            Self::Table => table::print(out, columns, rows),
            _ => {
                self.begin(out, columns)?;
                rows.iter().try_for_each(|row| self.row(out, columns, row))
            }
        }
    }

    /// Prints what stands before the first row of a result whose end is not known.
    pub(crate) fn begin(self, out: &mut dyn Write, columns: &[Column]) -> io::Result<()> {
        match self {
            Self::Table => table::begin(out, columns),
            Self::Csv => csv::begin(out, columns),
            Self::Json => Ok(()),
            Self::Markdown => markdown::begin(out, columns),
        }
    }

    /// Prints one row of such a result.
    pub(crate) fn row(self, out: &mut dyn Write, columns: &[Column], row: &Row) -> io::Result<()> {
        match self {
            Self::Table => table::row(out, columns, row),
            Self::Csv => csv::row(out, row),
            Self::Json => json::row(out, columns, row),
            Self::Markdown => markdown::row(out, row),
        }
    }
}

#[cfg(test)]
mod tests;
