//! One JSON object per line. Numbers keep all their digits; what JSON has no form for is a string.

use std::io::{self, Write};

use super::{Column, Kind, Row};

pub(super) fn row(out: &mut dyn Write, columns: &[Column], row: &Row) -> io::Result<()> {
    let fields = columns.iter().zip(row).map(|(column, cell)| format!("{}:{}", string(&column.name), value(column.kind, cell)));
    writeln!(out, "{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn value(kind: Kind, cell: &Option<String>) -> String {
    match (kind, cell) {
        (_, None) => "null".to_owned(),
        (Kind::Boolean, Some(text)) => (text == "t").to_string(),
        // NaN and the infinities are strings.
        (Kind::Number, Some(text)) if text.ends_with(|c: char| c.is_ascii_digit()) => text.clone(),
        (_, Some(text)) => string(text),
    }
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
