//! The objects under one root: get, create, delete, list, with errors that name the object.
//!
//! An object is created, read and deleted, never changed, so the only write is create-if-absent, and it has three outcomes
//! ([`Created`]). Who must know which one it was reads the object back and compares.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::{Error, Result};

/// Objects under a root.
#[derive(Clone)]
pub(crate) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    root: Path,
}

/// How a create-if-absent went.
#[derive(Debug)]
pub(crate) enum Created {
    /// The object is there and is ours.
    Yes,
    /// An object was there. It may still be ours, from a try whose answer was lost.
    Exists,
    /// No clear answer; it may be there or even still come.
    Unclear(Error),
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Name relative to the root.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

impl Bucket {
    pub fn new(objects: Arc<dyn ObjectStore>, root: Path) -> Self {
        Self { objects, root }
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.root.clone(), |path, part| path.join(part))
    }

    /// The whole object; one that is not there is an error.
    pub async fn get(&self, name: &str, used_by: &str) -> Result<Bytes> {
        let missing = || Error::Missing { object: name.to_owned(), used_by: used_by.to_owned() };
        self.get_if_there(name).await?.ok_or_else(missing)
    }

    /// The whole object, or `None` when the store says that there is none.
    pub async fn get_if_there(&self, name: &str) -> Result<Option<Bytes>> {
        let failed = |source| store_error("read", name, source);
        match self.objects.get(&self.path(name)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// Create-if-absent.
    pub async fn create(&self, name: &str, payload: PutPayload) -> Created {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&self.path(name), payload, options).await {
            Ok(_) => Created::Yes,
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Created::Exists,
            Err(source) => Created::Unclear(store_error("write", name, source)),
        }
    }

    /// Deletes; an object that is not there is as good as deleted.
    pub async fn delete(&self, name: &str) -> Result<()> {
        match self.objects.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(store_error("delete", name, source)),
        }
    }

    /// The objects of a folder, sorted by name.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>> {
        let prefix = self.path(folder);
        let root_parts = self.root.parts().count();
        let listed = self.objects.list(Some(&prefix)).map(|found| {
            found.map(|meta| {
                let parts = meta.location.parts().skip(root_parts).map(|p| p.as_ref().to_owned()).collect::<Vec<_>>();
                Listed { name: parts.join("/"), bytes: meta.size }
            })
        });
        let mut listed: Vec<_> = listed.try_collect().await.map_err(|source| store_error("list", folder, source))?;
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// The objects of a folder that are numbered, by number.
    pub async fn list_numbered(&self, folder: &str, suffix: &str) -> Result<Vec<(u64, Listed)>> {
        let listed = self.list(folder).await?;
        let number = |l: &Listed| l.name.rsplit('/').next().and_then(|file| twenty_digits(file, suffix));
        Ok(listed.into_iter().filter_map(|l| number(&l).map(|n| (n, l))).collect())
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.objects, self.root)
    }
}

/// The number in a name of twenty digits and a suffix.
pub(crate) fn twenty_digits(file: &str, suffix: &str) -> Option<u64> {
    let digits = file.strip_suffix(suffix)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

fn store_error(action: &'static str, object: &str, source: object_store::Error) -> Error {
    Error::Store { object: object.to_owned(), action, source: Arc::new(source) }
}
