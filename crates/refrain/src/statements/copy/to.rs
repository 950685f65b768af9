//! `COPY … TO 'file'`: the rows of a relation or a query, in the order in which they come.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast;
use parquet::arrow::ArrowWriter;
use refrain_sql::RelationKind;
use refrain_sql::catalog::schema::written;
use refrain_sql::parser::{parse_query, quoted};
use refrain_sql::statement::{CopyFormat, CopySource, CopyTo, CsvOptions, TextOptions};

use super::super::select::select;
use super::{is_compressed, json, target_columns};
use crate::display;
use crate::error::{Error, Result};
use crate::session::{Outcome, Session};

/// Copies rows into a file, which is made anew.
pub(in crate::statements) async fn copy_to(session: &Session, copy: CopyTo) -> Result<Outcome> {
    let query = match copy.source {
        CopySource::Query(query) => query,
        CopySource::Relation { name, columns } => query_of(session, &name, &columns)?,
    };
    let Outcome::Rows { schema, batches } = select(session, &query).await? else { unreachable!("a query has rows") };
    let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    // Writing a file blocks, and so does what the rows are turned into.
    let task = tokio::task::spawn_blocking(move || write(&copy.path, &copy.format, &schema, &batches));
    task.await.map_err(|e| Error::engine(format!("the task that writes the file has stopped: {e}")))??;
    Ok(Outcome::done(format!("COPY {rows}")))
}

/// `SELECT column, … FROM name`
fn query_of(session: &Session, name: &str, columns: &[String]) -> Result<Box<ast::Query>> {
    let database = session.shared().database();
    let entry = database.catalog.relation(name)?;
    if entry.kind == RelationKind::View {
        let error = Error::statement("42809", format!("cannot copy from view \"{name}\""));
        return Err(error.with_hint("Try the COPY (SELECT ...) TO variant."));
    }
    let columns = target_columns(entry, columns)?.into_iter().map(|column| quoted(&entry.columns[column].name));
    let columns = columns.collect::<Vec<_>>().join(", ");
    Ok(parse_query(&format!("SELECT {columns} FROM {}", written(name)))?)
}

fn write(path: &Path, format: &CopyFormat, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let cannot = |e: &io::Error| super::cannot_open(path, "writing", e);
    let mut file = BufWriter::with_capacity(1 << 18, File::create(path).map_err(|e| cannot(&e))?);
    if *format == CopyFormat::Parquet {
        return write_parquet(file, schema, batches);
    }
    let written = if is_compressed(path) {
        let mut compressed = flate2::write::GzEncoder::new(&mut file, flate2::Compression::default());
        write_lines(&mut compressed, format, schema, batches).and_then(|()| compressed.finish().map(drop))
    } else {
        write_lines(&mut file, format, schema, batches)
    };
    written.and_then(|()| file.flush()).map_err(|e| Error::io(format!("could not write to file \"{}\": {e}", path.display())))
}

fn write_parquet(file: BufWriter<File>, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let cannot =
        |e: parquet::errors::ParquetError| Error::statement("0A000", format!("the rows cannot be written as parquet: {e}"));
    let mut writer = ArrowWriter::try_new(file, Arc::clone(schema), None).map_err(cannot)?;
    batches.iter().try_for_each(|batch| writer.write(batch)).map_err(cannot)?;
    writer.close().map(drop).map_err(cannot)
}

fn write_lines(to: &mut dyn Write, format: &CopyFormat, schema: &SchemaRef, batches: &[RecordBatch]) -> io::Result<()> {
    let names = schema.fields().iter().map(|field| Some(field.name().clone())).collect::<Vec<_>>();
    match format {
        CopyFormat::Text(TextOptions { header: true, .. }) | CopyFormat::Csv(CsvOptions { header: true, .. }) => {
            writeln!(to, "{}", line(format, &names))?;
        }
        _ => {}
    }
    for batch in batches {
        for i in 0..batch.num_rows() {
            let line = if *format == CopyFormat::Json {
                let members = schema.fields().iter().zip(batch.columns());
                json::object(members.map(|(field, column)| json::member(field.name(), &json::value(column, i))))
            } else {
                line(format, &batch.columns().iter().map(|column| display::value(column, i)).collect::<Vec<_>>())
            };
            writeln!(to, "{line}")?;
        }
    }
    Ok(())
}

/// Values with delimiters in between.
fn line(format: &CopyFormat, values: &[Option<String>]) -> String {
    match format {
        CopyFormat::Text(options) => {
            let values =
                values.iter().map(|value| value.as_ref().map_or_else(|| options.null.clone(), |text| escaped(options, text)));
            values.collect::<Vec<_>>().join(&options.delimiter.to_string())
        }
        CopyFormat::Csv(options) => {
            let is_alone = values.len() == 1;
            let in_quotes = |text: &String| in_quotes(options, text, is_alone);
            let values = values.iter().map(|value| value.as_ref().map_or_else(|| options.null.clone(), in_quotes));
            values.collect::<Vec<_>>().join(&options.delimiter.to_string())
        }
        CopyFormat::Json | CopyFormat::Parquet => unreachable!("they have no delimiters"),
    }
}

/// A value of text: what means something else stands behind a backslash.
fn escaped(options: &TextOptions, text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        let letter = match c {
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{b}' => 'v',
            c if c == '\\' || c == options.delimiter => c,
            c => {
                escaped.push(c);
                continue;
            }
        };
        escaped.extend(['\\', letter]);
    }
    escaped
}

/// A value of csv, in quotes where it would be read as something else.
fn in_quotes(options: &CsvOptions, text: &str, is_alone: bool) -> String {
    let CsvOptions { delimiter, quote, escape, null, .. } = options;
    let special = |c: char| [*delimiter, *quote, '\n', '\r'].contains(&c);
    if text != null && !text.contains(special) && !(is_alone && text == "\\.") {
        return text.to_owned();
    }
    let mut quoted = quote.to_string();
    for c in text.chars() {
        if c == *quote || c == *escape {
            quoted.push(*escape);
        }
        quoted.push(c);
    }
    quoted.push(*quote);
    quoted
}
