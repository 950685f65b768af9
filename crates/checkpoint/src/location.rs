//! Where a store is: from what the user typed to an object store and a root in it.
//!
//! | typed | is |
//! |---|---|
//! | `memory://` | in memory, private: nothing outlives the engine |
//! | `memory://name` | in memory, shared by all engines of this process that use the name |
//! | a path, `file:///path` | a directory ([`crate::local`]), made if it is not there and the store is opened for writing |
//! | `s3://bucket/prefix`, `gs://…`, `az://…`, `http://…` | what object_store knows, configured by `AWS_…`, `GOOGLE_…`, `AZURE_…` |

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::Url;

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::local::LocalStore;

/// What kind of store a location is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationKind {
    /// In memory and out of reach of any other opening: its input log need not be kept.
    Private,
    /// In memory under a name.
    Shared,
    /// A directory of this machine.
    Directory(PathBuf),
    /// A service.
    Remote,
    /// A given object store ([`Location::of_objects`]).
    Given,
}

/// An object store and a root in it.
#[derive(Clone)]
pub struct Location {
    /// As the user typed it, for messages.
    pub url: String,
    /// What it is.
    pub kind: LocationKind,
    pub(crate) bucket: Bucket,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({}, {:?})", self.url, self.kind)
    }
}

/// Stores in memory that have a name. They live as long as the process.
static SHARED: LazyLock<Mutex<BTreeMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

impl Location {
    /// Any object store.
    #[must_use]
    pub fn of_objects(objects: Arc<dyn ObjectStore>) -> Self {
        Self { url: objects.to_string(), kind: LocationKind::Given, bucket: Bucket::new(objects, Path::default()) }
    }

    /// Reads a URL or path. A directory is made when `create` is set, else it must be there.
    pub fn parse(url: &str, create: bool) -> Result<Self> {
        let refused = |reason: String| Error::Location { url: url.to_owned(), reason };
        let located = |kind, objects, root| Self { url: url.to_owned(), kind, bucket: Bucket::new(objects, root) };
        if url.is_empty() {
            return Err(refused("it is empty".to_owned()));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return directory(FilePath::new(url), create)
                .map(|(kind, store)| located(kind, store, Path::default()))
                .map_err(refused);
        };
        match scheme {
            "memory" if rest.is_empty() => Ok(located(LocationKind::Private, Arc::new(InMemory::new()), Path::default())),
            "memory" => {
                let mut shared = SHARED.lock().expect("nothing panics while it holds this lock");
                let objects = Arc::clone(shared.entry(rest.to_owned()).or_default());
                Ok(located(LocationKind::Shared, objects, Path::default()))
            }
            "file" => {
                let parsed = Url::parse(url).map_err(|e| refused(e.to_string()))?;
                let path = parsed.to_file_path().map_err(|()| refused("it does not name a path of this machine".to_owned()))?;
                directory(&path, create).map(|(kind, store)| located(kind, store, Path::default())).map_err(refused)
            }
            _ => {
                let (objects, root) = remote(url).map_err(refused)?;
                Ok(located(LocationKind::Remote, objects, root))
            }
        }
    }
}

fn directory(path: &FilePath, create: bool) -> Result<(LocationKind, Arc<dyn ObjectStore>), String> {
    let store = LocalStore::open(path, create).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound if !create => "there is no such directory".to_owned(),
        std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => "it is not a directory".to_owned(),
        _ => e.to_string(),
    })?;
    Ok((LocationKind::Directory(store.root().to_owned()), Arc::new(store)))
}

fn remote(url: &str) -> Result<(Arc<dyn ObjectStore>, Path), String> {
    let parsed = Url::parse(url).map_err(|e| e.to_string())?;
    // Variables that are no option of the store at hand are skipped by object_store; those of other programs are not even shown to it.
    let prefixes = ["aws_", "google_", "azure_"];
    let options = std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let options = options.filter(|(key, _)| prefixes.iter().any(|p| key.to_ascii_lowercase().starts_with(p)));
    let (objects, root) = object_store::parse_url_opts(&parsed, options).map_err(|e| match e {
        object_store::Error::Generic { source, .. } => source.to_string(),
        other => other.to_string(),
    })?;
    Ok((Arc::from(objects), root))
}

#[cfg(test)]
mod tests;
