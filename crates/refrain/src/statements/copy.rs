//! `COPY`: text and csv with PostgreSQL's rules, lines of JSON, or parquet. From a file come all of its rows, or none.

mod delimited;
mod json;
mod parquet_file;
mod to;
mod values;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use refrain_sql::catalog::Relation as Entry;
use refrain_sql::statement::{CopyFormat, CopyFrom};
pub(super) use to::copy_to;

use values::{RowBuilder, TextRow};

use super::dml::Changing;
use crate::constraints::Defaults;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::session::{Outcome, Session};

/// Rows that are read before they are turned into columns.
const BATCH_ROWS: usize = 64 * 1024;

/// Copies a file into a table.
pub(super) async fn copy_from(session: &Session, copy: CopyFrom) -> Result<Outcome> {
    let shared = Arc::clone(session.shared());
    let reader = session.clone();
    // Reading a file blocks, and so does parsing it: neither belongs on the threads that drive I/O.
    let task = tokio::task::spawn_blocking(move || {
        let database = shared.database();
        let (entry, table) = database.table(&copy.table)?;
        let columns = target_columns(entry, &copy.columns)?;
        let mut change = Changing::new(&shared, &database, entry, table)?;
        let mut rows = 0;
        let defaults = Defaults::of(&database, entry)?;
        read(&copy, (entry, &defaults), &columns, &mut |batch, bytes, total| {
            rows += batch.num_rows() as u64;
            change.add(batch, 1)?;
            reader.report_progress(Progress::new(bytes, total, rows));
            Ok(())
        })?;
        Ok::<_, Error>((rows, change.finish()))
    });
    let (rows, change) = task.await.map_err(|e| Error::engine(format!("the task that reads the file has stopped: {e}")))??;
    if rows > 0 {
        let shared = session.shared();
        session.write(shared.turn().await?, vec![change]).await?;
    }
    Ok(Outcome::done(format!("COPY {rows}")))
}

/// Takes a batch of the table's rows, the bytes of the file that are read so far, and its size.
type Sink<'a> = dyn FnMut(RecordBatch, u64, u64) -> Result<()> + 'a;

fn read(copy: &CopyFrom, (entry, defaults): (&Entry, &Defaults), columns: &[usize], sink: &mut Sink<'_>) -> Result<()> {
    let path = &copy.path;
    let cannot = |e: &std::io::Error| cannot_open(path, "reading", e);
    let file = File::open(path).map_err(|e| cannot(&e))?;
    let metadata = file.metadata().map_err(|e| cannot(&e))?;
    if metadata.is_dir() {
        return Err(Error::statement("42809", format!("\"{}\" is a directory", path.display())));
    }
    if copy.format == CopyFormat::Parquet {
        return parquet_file::read(file, metadata.len(), (entry, defaults), columns, sink);
    }
    let position = Arc::new(AtomicU64::new(0));
    let counted = Counted { file, position: Arc::clone(&position) };
    let input: Box<dyn Read> =
        if is_compressed(path) { Box::new(flate2::read::MultiGzDecoder::new(counted)) } else { Box::new(counted) };
    let lines = Lines { builder: RowBuilder::new(entry, defaults, columns), position, bytes: metadata.len(), sink };
    match &copy.format {
        CopyFormat::Text(options) => lines.read(delimited::Rows::text(input, options, &entry.name)),
        CopyFormat::Csv(options) => lines.read(delimited::Rows::csv(input, options, &entry.name)),
        _ => {
            let names = columns.iter().map(|column| entry.columns[*column].name.as_str());
            lines.read(json::Objects::new(input, &entry.name, names))
        }
    }
}

/// A file of lines that is read.
struct Lines<'a, 'b> {
    builder: RowBuilder<'a>,
    /// Bytes that are read.
    position: Arc<AtomicU64>,
    bytes: u64,
    sink: &'a mut Sink<'b>,
}

impl Lines<'_, '_> {
    fn read(mut self, mut rows: impl TextRow) -> Result<()> {
        while let Some(line) = rows.next()? {
            self.builder.add(&rows, line)?;
            if self.builder.len() == BATCH_ROWS {
                (self.sink)(self.builder.finish()?, self.position.load(Ordering::Relaxed), self.bytes)?;
            }
        }
        if self.builder.len() > 0 {
            (self.sink)(self.builder.finish()?, self.bytes, self.bytes)?;
        }
        Ok(())
    }
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"))
}

fn cannot_open(path: &Path, purpose: &str, error: &std::io::Error) -> Error {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => "No such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "Permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "Is a directory".to_owned(),
        _ => error.to_string(),
    };
    let code = if error.kind() == std::io::ErrorKind::NotFound { "58P01" } else { "58030" };
    Error::statement(code, format!("could not open file \"{}\" for {purpose}: {reason}", path.display()))
}

/// The table's columns that the file fills, in the file's order.
fn target_columns(entry: &Entry, names: &[String]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..entry.columns.len()).collect());
    }
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let Some(column) = entry.columns.iter().position(|c| c.name == *name) else {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", entry.own_name());
            return Err(Error::statement("42703", message));
        };
        if columns.contains(&column) {
            return Err(Error::statement("42701", format!("column \"{name}\" specified more than once")));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Counts the bytes that are read.
struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.position.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
