//! Aligned columns as psql has them; numbers to the right. NULL is printed as `NULL`, so that it is not an empty string.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::{Column, Kind, Row};

/// Least width of a column when the rows to come are not known.
const STREAM_WIDTH_MIN: usize = 8;

pub(super) fn print(out: &mut dyn Write, columns: &[Column], rows: &[Row]) -> io::Result<()> {
    let cells = rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>()).collect::<Vec<_>>();
    let widths = columns.iter().enumerate().map(|(i, column)| {
        let widest = cells.iter().map(|row| row[i].width()).max().unwrap_or(0);
        widest.max(column.name.width())
    });
    let widths = widths.collect::<Vec<_>>();
    head(out, columns, &widths)?;
    cells.iter().try_for_each(|row| line(out, columns, &widths, row))?;
    writeln!(out, "({} {})", rows.len(), if rows.len() == 1 { "row" } else { "rows" })
}

pub(super) fn begin(out: &mut dyn Write, columns: &[Column]) -> io::Result<()> {
    head(out, columns, &stream_widths(columns))
}

pub(super) fn row(out: &mut dyn Write, columns: &[Column], row: &Row) -> io::Result<()> {
    line(out, columns, &stream_widths(columns), &row.iter().map(cell).collect::<Vec<_>>())
}

fn stream_widths(columns: &[Column]) -> Vec<usize> {
    columns.iter().map(|column| column.name.width().max(STREAM_WIDTH_MIN)).collect()
}

fn cell(value: &Option<String>) -> String {
    // A line break inside a cell would break the table.
    value.as_ref().map_or_else(|| "NULL".to_owned(), |text| text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"))
}

fn head(out: &mut dyn Write, columns: &[Column], widths: &[usize]) -> io::Result<()> {
    let names = columns.iter().zip(widths).map(|(column, width)| {
        let (left, right) = split(*width, &column.name);
        format!(" {}{}{} ", " ".repeat(left), column.name, " ".repeat(right))
    });
    writeln!(out, "{}", names.collect::<Vec<_>>().join("|").trim_end())?;
    writeln!(out, "{}", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("+"))
}

/// Blanks to the left and right of a name in the middle.
fn split(width: usize, name: &str) -> (usize, usize) {
    let blanks = width - name.width();
    (blanks / 2, blanks - blanks / 2)
}

fn line(out: &mut dyn Write, columns: &[Column], widths: &[usize], cells: &[String]) -> io::Result<()> {
    let cells = columns.iter().zip(widths).zip(cells).map(|((column, width), cell)| {
        let blanks = " ".repeat(width.saturating_sub(cell.width()));
        if column.kind == Kind::Number { format!(" {blanks}{cell} ") } else { format!(" {cell}{blanks} ") }
    });
    writeln!(out, "{}", cells.collect::<Vec<_>>().join("|").trim_end())
}
