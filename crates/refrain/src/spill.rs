//! Temporary files for what memory has no room for.
//!
//! They have no names: whichever way the process ends, nothing of them is left. A file is gone when nothing that was put into it is needed any
//! more.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use refrain_dataflow::loop_log::{Spill, Spilled};

/// A file that has so many bytes gets no more.
const FILE_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 1 << 26 };

/// Temporary files in a folder.
#[derive(Debug)]
pub(crate) struct TemporaryFiles {
    folder: PathBuf,
    limit: AtomicU64,
    used: Arc<AtomicU64>,
    /// The file that is written to, as long as it is needed.
    open: Mutex<Weak<TemporaryFile>>,
}

#[derive(Debug)]
struct TemporaryFile {
    file: Mutex<File>,
    length: AtomicU64,
    used: Arc<AtomicU64>,
}

/// Bytes of a file.
#[derive(Debug)]
struct Extent {
    file: Arc<TemporaryFile>,
    start: u64,
    length: usize,
}

impl TemporaryFiles {
    /// In this folder, of `limit` bytes together at most.
    pub fn new(folder: PathBuf, limit: u64) -> Self {
        Self { folder, limit: AtomicU64::new(limit), used: Arc::default(), open: Mutex::default() }
    }

    /// Another limit, in bytes, for what comes from now on.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other(format!("temporary file size exceeds \"temp_file_limit\" ({}kB)", limit / 1024))),
        }
    }

    fn create(&self) -> io::Result<Arc<TemporaryFile>> {
        let cannot = |e: io::Error| {
            io::Error::new(e.kind(), format!("could not create temporary file in \"{}\": {e}", self.folder.display()))
        };
        let file = Mutex::new(tempfile::tempfile_in(&self.folder).map_err(cannot)?);
        Ok(Arc::new(TemporaryFile { file, length: AtomicU64::new(0), used: Arc::clone(&self.used) }))
    }
}

impl Spill for TemporaryFiles {
    fn put(&self, bytes: &[u8]) -> io::Result<Arc<dyn Spilled>> {
        let length = bytes.len() as u64;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.upgrade().filter(|file| file.length.load(Ordering::Relaxed) < FILE_BYTES) {
            Some(file) => file,
            None => self.create()?,
        };
        *open = Arc::downgrade(&file);
        self.reserve(length)?;
        // What is written in part counts, too, until the file is gone.
        let start = file.length.fetch_add(length, Ordering::Relaxed);
        let mut end = file.at(start)?;
        end.write_all(bytes).map_err(|e| io::Error::new(e.kind(), format!("could not write to temporary file: {e}")))?;
        drop(end);
        Ok(Arc::new(Extent { file, start, length: bytes.len() }))
    }
}

impl TemporaryFile {
    fn at(&self, start: u64) -> io::Result<MutexGuard<'_, File>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        self.used.fetch_sub(*self.length.get_mut(), Ordering::Relaxed);
    }
}

impl Spilled for Extent {
    fn get(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        self.file.at(self.start)?.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
