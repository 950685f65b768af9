//! A markdown table.

use std::io::{self, Write};

use super::{Column, Kind, Row};

pub(super) fn begin(out: &mut dyn Write, columns: &[Column]) -> io::Result<()> {
    let names = columns.iter().map(|column| format!(" {} |", escaped(&column.name))).collect::<String>();
    let rule = columns.iter().map(|column| if column.kind == Kind::Number { "---:|" } else { "---|" }).collect::<String>();
    writeln!(out, "|{names}\n|{rule}")
}

pub(super) fn row(out: &mut dyn Write, row: &Row) -> io::Result<()> {
    let cells = row.iter().map(|cell| format!(" {} |", cell.as_deref().map_or_else(|| "NULL".to_owned(), escaped)));
    writeln!(out, "|{}", cells.collect::<String>())
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], "<br>")
}
