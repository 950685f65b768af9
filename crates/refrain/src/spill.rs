//! Temporary files for what memory has no room for.
//!
//! They have no names: whichever way the process ends, nothing of them is left. A file is gone when nothing that was put into it is needed any
//! more. What is read in place is mapped: the system keeps it in memory as long as there is room.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arrow::buffer::Buffer;
use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};
use refrain_state::memory::{Spill, Spilled};

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
    /// Likewise, of what is read in place.
    open_mapped: Mutex<Weak<TemporaryFile>>,
}

#[derive(Debug)]
struct TemporaryFile {
    file: Mutex<File>,
    /// Bytes that were put into it.
    length: AtomicU64,
    used: Arc<AtomicU64>,
    /// All of it, where it is read in place.
    map: Option<Mmap>,
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
        Self { folder, limit: AtomicU64::new(limit), used: Arc::default(), open: Mutex::default(), open_mapped: Mutex::default() }
    }

    /// Bytes that are in files now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Another limit, in bytes, for what comes from now on.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let limit = self.limit();
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other(format!("temporary file size exceeds \"temp_file_limit\" ({}kB)", limit / 1024))),
        }
    }

    fn create(&self, mapped: bool) -> io::Result<Arc<TemporaryFile>> {
        let cannot = |e: io::Error| {
            io::Error::new(e.kind(), format!("could not create temporary file in \"{}\": {e}", self.folder.display()))
        };
        let file = tempfile::tempfile_in(&self.folder).map_err(cannot)?;
        let map = mapped.then(|| whole(&file)).transpose().map_err(cannot)?;
        Ok(Arc::new(TemporaryFile { file: Mutex::new(file), length: AtomicU64::new(0), used: Arc::clone(&self.used), map }))
    }

    /// Appends to the open file, or to a new one when that is full.
    fn append(&self, bytes: &[u8], mapped: bool) -> io::Result<Extent> {
        // What is mapped begins at a multiple of eight.
        let length = if mapped { bytes.len().next_multiple_of(8) } else { bytes.len() } as u64;
        let mut open = if mapped { &self.open_mapped } else { &self.open }.lock().unwrap_or_else(PoisonError::into_inner);
        // What is mapped has to end where the file does.
        let ends_at = if mapped { length } else { 1 };
        let has_room = |file: &Arc<TemporaryFile>| file.length.load(Ordering::Relaxed) + ends_at <= FILE_BYTES;
        let file = match open.upgrade().filter(has_room) {
            Some(file) => file,
            None => self.create(mapped)?,
        };
        *open = Arc::downgrade(&file);
        self.reserve(length)?;
        // What is written in part counts, too, until the file is gone.
        let start = file.length.fetch_add(length, Ordering::Relaxed);
        let mut end = file.at(start)?;
        end.write_all(bytes).map_err(|e| io::Error::new(e.kind(), format!("could not write to temporary file: {e}")))?;
        drop(end);
        Ok(Extent { file, start, length: bytes.len() })
    }
}

/// Maps a file, which is made as long as it will be.
fn whole(file: &File) -> io::Result<Mmap> {
    file.set_len(FILE_BYTES)?;
    // SAFETY: nobody else has the file, which has no name, and it is never cut. It is only written to behind what was read of the map:
    // an extent is given out when it has been written, and never written again.
    unsafe { MmapOptions::new().map(file) }
}

impl Spill for TemporaryFiles {
    fn put(&self, bytes: &[u8]) -> io::Result<Arc<dyn Spilled>> {
        Ok(Arc::new(self.append(bytes, false)?))
    }

    fn map(&self, bytes: &[u8]) -> io::Result<Buffer> {
        Ok(Bytes::from_owner(self.append(bytes, true)?).into())
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

/// Of a file that is mapped.
impl AsRef<[u8]> for Extent {
    fn as_ref(&self) -> &[u8] {
        let map = self.file.map.as_ref().expect("the file was mapped when it was made");
        let start = usize::try_from(self.start).expect("a file fits the address space");
        &map[start..start + self.length]
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
