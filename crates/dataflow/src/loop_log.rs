//! The loop log: feedback that comes back while its loop is held.
//!
//! All logs of an engine share what its [`Memory`] has for them. What finds no room there is put elsewhere, and read back one [`Piece`] at a
//! time, so a log may be larger than memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use refrain_state::Memory;
use refrain_state::memory::{Room, Spilled, Use};
use refrain_types::Delta;

use crate::parcel::{decode, encode};
use crate::part::Size;

/// A delta that is kept: in memory, or where it was put. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Piece {
    rows: usize,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Delta>, Option<Arc<Room>>),
    /// With the CRC-32 of the bytes that were put there, and how many they are.
    Spilled(Arc<dyn Spilled>, u32, usize),
}

impl From<Arc<Delta>> for Piece {
    /// In memory, whatever the limit.
    fn from(delta: Arc<Delta>) -> Self {
        Self { rows: delta.num_rows(), place: Place::Memory(delta, None) }
    }
}

impl Piece {
    /// Keeps a delta, in memory if there is room for this use of it.
    #[must_use]
    pub fn keep(delta: Delta, memory: &Arc<Memory>, used_for: Use) -> Self {
        let rows = delta.num_rows();
        let placed = memory.place(used_for, delta.size_bytes(), |elsewhere| {
            let bytes = encode(delta.clone());
            elsewhere.put(&bytes).map(|spilled| Place::Spilled(spilled, crc32fast::hash(&bytes), bytes.len()))
        });
        let place = match placed {
            Ok(spilled) => spilled,
            Err(room) => Place::Memory(Arc::new(delta), Some(Arc::new(room))),
        };
        Self { rows, place }
    }

    /// How many rows it has.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn bytes_in_memory(&self) -> usize {
        match &self.place {
            Place::Memory(_, room) => room.as_ref().map_or(0, |room| room.bytes()),
            Place::Spilled(..) => 0,
        }
    }

    /// Bytes of it that were put elsewhere.
    #[must_use]
    pub fn bytes_spilled(&self) -> usize {
        match &self.place {
            Place::Memory(..) => 0,
            Place::Spilled(.., bytes) => *bytes,
        }
    }

    /// The delta.
    ///
    /// # Errors
    /// When it cannot be read back from where it was put.
    pub fn read(&self) -> io::Result<Arc<Delta>> {
        match &self.place {
            Place::Memory(delta, _) => Ok(Arc::clone(delta)),
            Place::Spilled(spilled, checksum, _) => {
                let bytes = spilled.get()?;
                if crc32fast::hash(&bytes) != *checksum {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is another"));
                }
                decode(&bytes).map(Arc::new)
            }
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
    memory: Arc<Memory>,
    pieces: VecDeque<Piece>,
    rows: usize,
    bytes: usize,
    spilled: usize,
}

impl LoopLog {
    /// Nothing yet.
    pub fn new(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), pieces: VecDeque::new(), rows: 0, bytes: 0, spilled: 0 }
    }

    pub fn push(&mut self, delta: Delta) {
        self.push_piece(Piece::keep(delta, &self.memory, Use::LoopLogs));
    }

    /// What is kept already.
    pub fn push_piece(&mut self, piece: Piece) {
        self.rows += piece.num_rows();
        self.bytes += piece.bytes_in_memory();
        self.spilled += piece.bytes_spilled();
        self.pieces.push_back(piece);
    }

    /// Takes what came first.
    pub fn pop(&mut self) -> Option<Arc<Delta>> {
        let piece = self.pieces.pop_front()?;
        self.rows -= piece.num_rows();
        self.bytes -= piece.bytes_in_memory();
        self.spilled -= piece.bytes_spilled();
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

    pub fn size(&self) -> Size {
        Size { rows: self.rows, bytes: self.bytes }
    }

    /// Bytes of it that were put elsewhere.
    pub fn bytes_spilled(&self) -> usize {
        self.spilled
    }

    /// What is in it.
    pub fn pieces(&self) -> Vec<Piece> {
        self.pieces.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
