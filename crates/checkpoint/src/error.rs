//! What can go wrong with a store, told apart only where the caller acts differently.

use std::fmt;
use std::sync::Arc;

use refrain_types::{CheckpointId, Generation};

/// Result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a store. It names the object and, where known, who uses it. Cheap to clone: one failed write answers many waiters.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL or directory cannot be used as a store.
    #[error("store \"{url}\" cannot be used: {reason}")]
    Location {
        /// As the user gave it.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Another process has opened the store for writing; this one must stop.
    #[error("the store has been taken over by another writer (generation {generation}), found at object \"{object}\"")]
    Fenced {
        /// The object that was there first.
        object: String,
        /// Generation of the writer that put it.
        generation: Generation,
    },
    /// An object that must be there is not. Never to be read as "empty".
    #[error("object \"{object}\" of {used_by} is missing")]
    Missing {
        /// Its name in the store.
        object: String,
        /// Who needs it, in words.
        used_by: String,
    },
    /// A checkpoint that is asked for is not in the store.
    #[error("checkpoint {} is not in store \"{store}\"; {}", id.0, those(there))]
    NoCheckpoint {
        /// Its number.
        id: CheckpointId,
        /// The store, as the user gave it.
        store: String,
        /// The numbers that are there, sorted.
        there: Vec<u64>,
    },
    /// An object is there and cannot be what was written.
    #[error("object \"{object}\" of {used_by} is damaged: {damage}")]
    Damaged {
        /// Its name in the store.
        object: String,
        /// Who needs it, in words.
        used_by: String,
        /// What is wrong with it.
        damage: Damage,
    },
    /// An object was written by a later version of Refrain.
    #[error("object \"{object}\" has format {found}, and this version of refrain reads formats up to {supported}")]
    NewerFormat {
        /// Its name in the store.
        object: String,
        /// Its format.
        found: u16,
        /// The newest format that can be read.
        supported: u16,
    },
    /// A write to the input log failed earlier, and no later epoch may pass it.
    #[error("the input log accepts no more writes since one failed: {reason}")]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// The store did not do what was asked; whether it took effect is not known unless the action is a read.
    #[error("could not {action} object \"{object}\": {source}")]
    Store {
        /// Its name in the store.
        object: String,
        /// What was tried, an infinitive.
        action: &'static str,
        /// What the store said.
        source: Arc<object_store::Error>,
    },
    /// Rows that Arrow cannot write.
    #[error("could not encode rows of object \"{object}\": {reason}")]
    Encoding {
        /// Its name in the store.
        object: String,
        /// What Arrow said.
        reason: String,
    },
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// Fewer bytes than announced.
    Short {
        /// Bytes that should be there.
        expected: u64,
        /// Bytes that are.
        found: u64,
    },
    /// More bytes than announced.
    Long {
        /// Bytes that should be there.
        expected: u64,
        /// Bytes that are.
        found: u64,
    },
    /// It does not begin as one of our objects does.
    NotOurs,
    /// A format that never existed.
    UnknownFormat(u16),
    /// An object of another kind.
    WrongKind {
        /// The kind that should be there.
        expected: &'static str,
        /// The kind that is.
        found: u16,
    },
    /// The bytes do not match their checksum.
    Checksum {
        /// As stored with the bytes or in the manifest.
        expected: u32,
        /// Of the bytes that are there.
        found: u32,
    },
    /// The bytes match their checksum and make no sense.
    Content(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { expected, found } => write!(f, "it is cut short, {found} of {expected} bytes are there"),
            Self::Long { expected, found } => write!(f, "it is too long, {found} bytes instead of {expected}"),
            Self::NotOurs => write!(f, "it was not written by refrain"),
            Self::UnknownFormat(format) => write!(f, "its format {format} does not exist"),
            Self::WrongKind { expected, found } => write!(f, "it should be a {expected} and is of kind {found}"),
            Self::Checksum { expected, found } => write!(f, "its checksum is {found:08x} instead of {expected:08x}"),
            Self::Content(what) => f.write_str(what),
        }
    }
}

/// What checkpoints there are, in words.
fn those(there: &[u64]) -> String {
    match there {
        [] => "there is none".to_owned(),
        [one] => format!("there is {one}"),
        [first, .., last] => format!("there are {} from {first} to {last}", there.len()),
    }
}

impl Error {
    /// Whether another writer has taken the store over, so that this engine must stop.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    /// Whether the store may do at another time what it did not do now.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Store { .. })
    }

    pub(crate) fn damaged(object: &str, used_by: &str, damage: Damage) -> Self {
        Self::Damaged { object: object.to_owned(), used_by: used_by.to_owned(), damage }
    }

    pub(crate) fn content(object: &str, used_by: &str, what: impl fmt::Display) -> Self {
        Self::damaged(object, used_by, Damage::Content(what.to_string()))
    }
}
