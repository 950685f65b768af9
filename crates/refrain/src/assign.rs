//! What may be stored in a table: columns, types, NOT NULL, lengths. In go logical rows, out come rows of the table's own schema.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::util::display::FormatOptions;
use refrain_dataflow::expression::arrow_error;
use refrain_sql::catalog::{Column, Relation as Entry};
use refrain_sql::types::{SqlType, type_name};

use crate::constraints::Defaults;
use crate::display;
use crate::error::{Error, Result};

/// Rows for a table whose columns are found by name. A column that the rows lack has its default.
pub(crate) fn by_name(entry: &Entry, rows: &RecordBatch, defaults: &Defaults) -> Result<RecordBatch> {
    let schema = rows.schema();
    for field in schema.fields() {
        if !entry.columns.iter().any(|c| c.name == *field.name()) {
            let message = format!("column \"{}\" of relation \"{}\" does not exist", field.name(), entry.own_name());
            return Err(Error::statement("42703", message));
        }
    }
    let columns = entry.columns.iter().enumerate().map(|(at, column)| match rows.column_by_name(&column.name) {
        Some(values) => cast_to(column, values),
        None => defaults.column(at, rows.num_rows()),
    });
    store(entry, columns.collect::<Result<_>>()?, rows.num_rows())
}

/// Rows for a table whose columns stand in the table's order and have its types.
pub(crate) fn in_order(entry: &Entry, rows: &RecordBatch) -> Result<RecordBatch> {
    store(entry, rows.columns().to_vec(), rows.num_rows())
}

/// Checks NOT NULL and lengths, and gives the rows the table's schema.
fn store(entry: &Entry, mut columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    for (values, column) in columns.iter_mut().zip(&entry.columns) {
        if let Some(fitted) = fit_length(column, values)? {
            *values = fitted;
        }
    }
    for (i, column) in entry.columns.iter().enumerate() {
        if column.not_null && columns[i].null_count() > 0 {
            let row = (0..rows).find(|row| columns[i].is_null(*row)).expect("some value is null");
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                column.name,
                entry.own_name()
            );
            let values = columns.iter().map(|c| display::value(c, row).unwrap_or_else(|| "null".to_owned()));
            let detail = format!("Failing row contains ({}).", values.collect::<Vec<_>>().join(", "));
            return Err(Error::data("23502", message).with_detail(detail));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(entry.schema(), columns, &options).map_err(|e| Error::data("42804", e.to_string()))
}

/// The text of a column cut to its length; `None` when nothing changes. The blanks at the end of a `character(n)` mean nothing, so they are
/// not kept: who reads the column gets them ([`crate::query::padded`]).
fn fit_length(column: &Column, values: &ArrayRef) -> Result<Option<ArrayRef>> {
    let (max, blank) = match column.sql_type {
        Some(SqlType::Varchar(Some(n))) => (n as usize, true),
        Some(SqlType::Char(n)) => (n as usize, false),
        _ => return Ok(None),
    };
    let texts = values.as_string::<i32>();
    let fits = |text: &str| text.chars().count() <= max && (blank || !text.ends_with(' '));
    if texts.iter().flatten().all(fits) {
        return Ok(None);
    }
    let fitted = texts.iter().map(|text| text.map(|t| fit_text(column, t, max, blank)).transpose());
    Ok(Some(Arc::new(fitted.collect::<Result<StringArray>>()?)))
}

fn fit_text<'a>(column: &Column, text: &'a str, max: usize, blank: bool) -> Result<&'a str> {
    let end = text.char_indices().nth(max).map_or(text.len(), |(end, _)| end);
    if text[end..].chars().any(|c| c != ' ') {
        return Err(Error::data("22001", format!("value too long for type {}", column.type_name())));
    }
    Ok(if blank { &text[..end] } else { text[..end].trim_end_matches(' ') })
}

/// A column that a program hands in, as the table's type.
fn cast_to(column: &Column, values: &ArrayRef) -> Result<ArrayRef> {
    let to = column.data_type();
    if *values.data_type() == to {
        return Ok(Arc::clone(values));
    }
    let from = values.data_type();
    let is_number = |t: &DataType| t.is_numeric();
    let fits = from.is_null()
        || is_number(from) && is_number(&to)
        || SqlType::from_arrow(from).map(|t| t.arrow()) == Some(to.clone())
        || matches!(to, DataType::Utf8)
        || from.is_temporal() && to.is_temporal();
    if !fits {
        let (is, wants) = (type_name(from), column.type_name());
        let message = format!("column \"{}\" is of type {wants} but expression is of type {is}", column.name);
        return Err(Error::statement("42804", message));
    }
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(values, &to, &options).map_err(|e| arrow_error(&e).into())
}

#[cfg(test)]
mod tests;
