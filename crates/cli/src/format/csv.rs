//! csv as COPY reads it back: NULL is nothing, an empty string is `""`.

use std::io::{self, Write};

use super::{Column, Row};

pub(super) fn begin(out: &mut dyn Write, columns: &[Column]) -> io::Result<()> {
    let names = columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>();
    writeln!(out, "{}", names.join(","))
}

pub(super) fn row(out: &mut dyn Write, row: &Row) -> io::Result<()> {
    let cells = row.iter().map(|cell| cell.as_deref().map(quoted).unwrap_or_default()).collect::<Vec<_>>();
    writeln!(out, "{}", cells.join(","))
}

fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
