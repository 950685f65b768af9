//! A directory as an object store that keeps what it has confirmed.
//!
//! object_store's own local file system never syncs: after a power cut a confirmed object may be empty or gone. Here a put writes
//! a staging file, syncs it, gives it its name (by hard link, which fails if the name is taken, or by rename when overwriting) and
//! syncs the directory. So an object is there wholly or not at all, and when the put is confirmed it stays. Reading, listing and
//! deleting are object_store's.
//!
//! Two processes may open one directory; who may write is decided by objects ([`crate::fence`]), not by a lock file, which
//! cannot be trusted on every file system and outlives a killed process on some.
//!
//! Staging files are called `<name>#<number>`, which listings skip. Those that a killed process left are swept at the next
//! opening for writing.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

const STORE: &str = "local directory";

/// A directory as an object store.
#[derive(Debug)]
pub struct LocalStore {
    files: LocalFileSystem,
    root: PathBuf,
    staged: Arc<AtomicU64>,
}

impl LocalStore {
    /// Opens a directory; with `create` it is made, with its parents, and its own entry is made durable.
    pub fn open(path: &FilePath, create: bool) -> io::Result<Self> {
        if create {
            create_directory(path)?;
        }
        let root = path.canonicalize()?;
        if !root.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        let files = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?;
        Ok(Self { files, root, staged: Arc::new(AtomicU64::new(u64::from(std::process::id()) << 32)) })
    }

    /// The directory, as an absolute path.
    #[must_use]
    pub fn root(&self) -> &FilePath {
        &self.root
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())
    }
}

/// Makes a directory and syncs the directories that gained an entry.
fn create_directory(path: &FilePath) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(FilePath::new("."));
    if path.parent().is_some() {
        create_directory(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => sync_directory(parent),
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(e),
    }
}

fn sync_directory(path: &FilePath) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes staging files in the folders of a store, whoever made them.
pub(crate) fn sweep_staging(root: &FilePath, folders: &[&str]) -> io::Result<u64> {
    let mut swept = 0;
    for folder in folders {
        let entries = match fs::read_dir(root.join(folder)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if is_staging(&name) {
                fs::remove_file(&path)?;
                swept += 1;
            }
        }
    }
    Ok(swept)
}

fn is_staging(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// A file under a name of its own beside `path`, and that name.
fn stage(path: &FilePath, staged: &AtomicU64) -> io::Result<(File, PathBuf)> {
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{}", staged.fetch_add(1, Ordering::Relaxed)));
        let staging = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&staging) {
            Ok(file) => return Ok((file, staging)),
            // Left by a killed process of the same number.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {
                create_directory(path.parent().ok_or(ErrorKind::NotFound)?)?;
            }
            Err(e) => return Err(e),
        }
    }
}

/// Writes `path` durably; with `create`, an existing file is an error of kind `AlreadyExists`.
fn write_durably(path: &FilePath, payload: &PutPayload, create: bool, staged: &AtomicU64) -> io::Result<()> {
    let (mut file, staging) = stage(path, staged)?;
    let written = write_synced(&mut file, payload);
    drop(file);
    let named = written.and_then(|()| if create { fs::hard_link(&staging, path) } else { fs::rename(&staging, path) });
    if create || named.is_err() {
        // Only the second name; one that cannot be removed is swept later.
        let _ = fs::remove_file(&staging);
    }
    named?;
    sync_directory(path.parent().ok_or(ErrorKind::NotFound)?).inspect_err(|_| {
        // Whoever reads the object back would take it for durable.
        if create {
            let _ = fs::remove_file(path);
        }
    })
}

fn write_synced(file: &mut File, payload: &PutPayload) -> io::Result<()> {
    for part in payload.iter() {
        file.write_all(part)?;
    }
    file.sync_all()
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

fn refused(what: &str) -> Error {
    Error::NotSupported { source: format!("{what} is not durable in a {STORE}").into() }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(refused("a conditional update")),
        };
        let (path, staged) = (self.files.path_to_filesystem(location)?, Arc::clone(&self.staged));
        off_thread(move || match write_durably(&path, &payload, create, &staged) {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: path.display().to_string(), source: Box::new(e) })
            }
            Err(e) => Err(Error::Generic { store: STORE, source: Box::new(e) }),
        })
        .await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(refused("an upload in parts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(refused("a copy"))
    }
}

#[cfg(test)]
mod tests;
