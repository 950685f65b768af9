//! The loop log: feedback that comes back while its loop is held.
//!
//! All logs of an engine share the memory that [`LogMemory`] has for them. What finds no room there is put where [`Spill`] says, and read back
//! one [`Piece`] at a time, so a log may be larger than memory.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use refrain_types::Delta;

use crate::parcel::{decode, encode};

/// Where bytes go that memory has no room for.
pub trait Spill: Debug + Send + Sync {
    /// Puts them there, until what is returned is dropped.
    ///
    /// # Errors
    /// When they cannot be put there; it says why.
    fn put(&self, bytes: &[u8]) -> io::Result<Arc<dyn Spilled>>;
}

/// Bytes that were put somewhere.
pub trait Spilled: Debug + Send + Sync {
    /// The bytes.
    ///
    /// # Errors
    /// When they cannot be read back.
    fn get(&self) -> io::Result<Vec<u8>>;
}

/// The memory that all loop logs of an engine may take together.
#[derive(Debug)]
pub struct LogMemory {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// `None`: there is no other place, and no limit.
    spill: Option<Arc<dyn Spill>>,
    refusal: Mutex<Option<io::Error>>,
}

impl LogMemory {
    /// Without a limit.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Arc::new(Self { limit: AtomicUsize::new(usize::MAX), used: AtomicUsize::new(0), spill: None, refusal: Mutex::default() })
    }

    /// This many bytes; what is beyond them goes to `spill`.
    #[must_use]
    pub fn limited(bytes: usize, spill: Arc<dyn Spill>) -> Arc<Self> {
        Arc::new(Self { limit: AtomicUsize::new(bytes), used: AtomicUsize::new(0), spill: Some(spill), refusal: Mutex::default() })
    }

    /// Another limit, for what comes from now on.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Why something could not be spilled since this was asked last. It stayed in memory, beyond the limit.
    #[must_use]
    pub fn take_refusal(&self) -> Option<io::Error> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps a delta, in memory if there is room.
    #[must_use]
    pub fn keep(self: &Arc<Self>, delta: Delta) -> Piece {
        let (rows, bytes) = (delta.num_rows(), delta.size_bytes());
        let has_room = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.limit.load(Ordering::Relaxed);
        let room = Room { memory: Arc::clone(self), bytes };
        if let Some(spill) = self.spill.as_ref().filter(|_| !has_room) {
            match spill.put(&encode(delta.clone())) {
                Ok(spilled) => return Piece { rows, place: Place::Spilled(spilled) },
                Err(refusal) => *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal),
            }
        }
        Piece { rows, place: Place::Memory(Arc::new(delta), Some(Arc::new(room))) }
    }
}

/// Memory that is taken as long as this lives.
#[derive(Debug)]
struct Room {
    memory: Arc<LogMemory>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A delta that is kept: in memory, or where it was put. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Piece {
    rows: usize,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Delta>, Option<Arc<Room>>),
    Spilled(Arc<dyn Spilled>),
}

impl From<Arc<Delta>> for Piece {
    /// In memory, whatever the limit.
    fn from(delta: Arc<Delta>) -> Self {
        Self { rows: delta.num_rows(), place: Place::Memory(delta, None) }
    }
}

impl Piece {
    /// How many rows it has.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory that it takes of what loop logs have.
    #[must_use]
    pub fn bytes_in_memory(&self) -> usize {
        match &self.place {
            Place::Memory(_, room) => room.as_ref().map_or(0, |room| room.bytes),
            Place::Spilled(_) => 0,
        }
    }

    /// The delta.
    ///
    /// # Errors
    /// When it cannot be read back from where it was put.
    pub fn read(&self) -> io::Result<Arc<Delta>> {
        match &self.place {
            Place::Memory(delta, _) => Ok(Arc::clone(delta)),
            Place::Spilled(spilled) => decode(&spilled.get()?).map(Arc::new),
        }
    }

    /// The delta, where nothing can go on without it.
    ///
    /// # Panics
    /// When it cannot be read back: the engine fails then, and goes on from its last checkpoint when it is opened again.
    pub(crate) fn must_read(&self) -> Arc<Delta> {
        self.read().unwrap_or_else(|e| panic!("what was held of a recursion cannot be read back from its temporary file: {e}"))
    }
}

/// What one loop head logs.
#[derive(Debug)]
pub(crate) struct LoopLog {
    memory: Arc<LogMemory>,
    pieces: VecDeque<Piece>,
    rows: usize,
    bytes: usize,
}

impl LoopLog {
    /// Nothing yet.
    pub fn new(memory: &Arc<LogMemory>) -> Self {
        Self { memory: Arc::clone(memory), pieces: VecDeque::new(), rows: 0, bytes: 0 }
    }

    pub fn push(&mut self, delta: Delta) {
        let piece = self.memory.keep(delta);
        self.rows += piece.num_rows();
        self.bytes += piece.bytes_in_memory();
        self.pieces.push_back(piece);
    }

    /// Takes what came first.
    pub fn pop(&mut self) -> Option<Arc<Delta>> {
        let piece = self.pieces.pop_front()?;
        self.rows -= piece.num_rows();
        self.bytes -= piece.bytes_in_memory();
        Some(piece.must_read())
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn num_rows(&self) -> usize {
        self.rows
    }

    /// Bytes of it that are in memory.
    pub fn bytes_in_memory(&self) -> usize {
        self.bytes
    }

    /// What is in it.
    pub fn pieces(&self) -> Vec<Piece> {
        self.pieces.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
