//! `COPY … FROM 'file'`: csv with PostgreSQL's rules, or parquet. All rows of the file, or none.

mod csv;
mod parquet_file;
mod text;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use refrain_sql::catalog::Relation as Entry;
use refrain_sql::statement::{Copy, CopyFormat};

use super::dml::Changing;
use crate::constraints::Defaults;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::session::{Outcome, Session};

/// Rows that are read before they are turned into columns.
const BATCH_ROWS: usize = 64 * 1024;

/// Copies a file into a table.
pub(super) async fn copy(session: &Session, copy: Copy) -> Result<Outcome> {
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

fn read(copy: &Copy, (entry, defaults): (&Entry, &Defaults), columns: &[usize], sink: &mut Sink<'_>) -> Result<()> {
    let path = &copy.path;
    let cannot = |e: &std::io::Error| cannot_open(path, e);
    let file = File::open(path).map_err(|e| cannot(&e))?;
    let metadata = file.metadata().map_err(|e| cannot(&e))?;
    if metadata.is_dir() {
        return Err(Error::statement("42809", format!("\"{}\" is a directory", path.display())));
    }
    match &copy.format {
        CopyFormat::Parquet => parquet_file::read(file, metadata.len(), (entry, defaults), columns, sink),
        CopyFormat::Csv(options) => {
            let position = Arc::new(AtomicU64::new(0));
            let counted = Counted { file, position: Arc::clone(&position) };
            let input: Box<dyn Read> = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) {
                Box::new(flate2::read::MultiGzDecoder::new(counted))
            } else {
                Box::new(counted)
            };
            let mut rows = csv::Rows::new(input, options, &entry.name);
            let mut builder = text::RowBuilder::new(entry, defaults, columns);
            while let Some(line) = rows.next()? {
                builder.add(&rows, line)?;
                if builder.len() == BATCH_ROWS {
                    sink(builder.finish()?, position.load(Ordering::Relaxed), metadata.len())?;
                }
            }
            if builder.len() > 0 {
                sink(builder.finish()?, metadata.len(), metadata.len())?;
            }
            Ok(())
        }
    }
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Error {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => "No such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "Permission denied".to_owned(),
        _ => error.to_string(),
    };
    let code = if error.kind() == std::io::ErrorKind::NotFound { "58P01" } else { "58030" };
    Error::statement(code, format!("could not open file \"{}\" for reading: {reason}", path.display()))
}

/// The table's columns that the file fills, in the file's order.
fn target_columns(entry: &Entry, names: &[String]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..entry.columns.len()).collect());
    }
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let Some(column) = entry.columns.iter().position(|c| c.name == *name) else {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", entry.name);
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
