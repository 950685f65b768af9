//! The memory that the rows and the loop logs of an engine may take together, another place for what finds no room in it, and threads that
//! tidy it up.

use std::fmt::Debug;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, ToByteSlice};
use bytes::Bytes;

#[cfg(test)]
pub(crate) mod elsewhere;

/// Where bytes go that memory has no room for.
pub trait Spill: Debug + Send + Sync {
    /// Puts them there, until what is returned is dropped.
    ///
    /// # Errors
    /// When they cannot be put there; it says why.
    fn put(&self, bytes: &[u8]) -> io::Result<Arc<dyn Spilled>>;

    /// Puts bytes where they are read as if they were in memory, until what is returned is dropped. They begin at a multiple of eight.
    ///
    /// # Errors
    /// When they cannot be put there; it says why.
    fn map(&self, bytes: &[u8]) -> io::Result<Buffer>;
}

/// Bytes that were put somewhere.
pub trait Spilled: Debug + Send + Sync {
    /// The bytes.
    ///
    /// # Errors
    /// When they cannot be read back.
    fn get(&self) -> io::Result<Vec<u8>>;
}

/// Threads that have nothing else to do.
pub trait Background: Debug + Send + Sync {
    /// Does this work some time, if the engine lives so long.
    fn run(&self, work: Box<dyn FnOnce() + Send>);
}

/// What memory is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Rows that operators remember, what is noted of them, and what of them is still to be done.
    Rows,
    /// Feedback that comes back to a held loop. It may take a part of the memory only.
    LoopLogs,
}

/// See the module. Shared by all operators of an engine.
#[derive(Debug)]
pub struct Memory {
    limit: AtomicUsize,
    loop_limit: AtomicUsize,
    /// By [`Use`].
    used: [AtomicUsize; 2],
    /// `None`: there is no other place, and no limit.
    spill: Option<Arc<dyn Spill>>,
    /// By [`Use`]: why something that had no room could not be put elsewhere.
    refusals: [Mutex<Option<io::Error>>; 2],
    background: OnceLock<Arc<dyn Background>>,
}

impl Memory {
    /// Without a limit.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Arc::new(Self::new(None))
    }

    /// This many bytes, and so many of them for loop logs; what is beyond them goes to `spill`.
    #[must_use]
    pub fn limited(limit: usize, loop_limit: usize, spill: Arc<dyn Spill>) -> Arc<Self> {
        let memory = Self::new(Some(spill));
        memory.set_limits(limit, loop_limit);
        Arc::new(memory)
    }

    fn new(spill: Option<Arc<dyn Spill>>) -> Self {
        let unlimited = || AtomicUsize::new(usize::MAX);
        Self {
            limit: unlimited(),
            loop_limit: unlimited(),
            used: Default::default(),
            spill,
            refusals: Default::default(),
            background: OnceLock::new(),
        }
    }

    /// Other threads that tidy up. Those that there are stay.
    pub fn tidied_by(&self, background: Arc<dyn Background>) {
        self.background.get_or_init(|| background);
    }

    /// Does some tidying up, on another thread if there is one for it.
    pub fn run(&self, work: Box<dyn FnOnce() + Send>) {
        match self.background.get() {
            Some(background) => background.run(work),
            None => work(),
        }
    }

    /// Other limits, for what comes from now on.
    pub fn set_limits(&self, limit: usize, loop_limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.loop_limit.store(loop_limit, Ordering::Relaxed);
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn used(&self, used_for: Use) -> usize {
        self.used[used_for as usize].load(Ordering::Relaxed)
    }

    /// How many bytes may be taken for this.
    #[must_use]
    pub fn limit(&self, used_for: Use) -> usize {
        let limit = self.limit.load(Ordering::Relaxed);
        if used_for == Use::LoopLogs { limit.min(self.loop_limit.load(Ordering::Relaxed)) } else { limit }
    }

    /// Why something could not be put elsewhere, if that has not been taken note of.
    #[must_use]
    pub fn refusal(&self, used_for: Use) -> Option<String> {
        self.refusals[used_for as usize].lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(io::Error::to_string)
    }

    /// Why something could not be put elsewhere since this was asked last. It stayed in memory, beyond the limit.
    #[must_use]
    pub fn take_refusal(&self, used_for: Use) -> Option<io::Error> {
        self.refusals[used_for as usize].lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes memory, beyond the limit if `elsewhere` does not find room. What it returns is where the bytes are: elsewhere, or in memory
    /// as long as the room is kept.
    pub fn place<T>(
        self: &Arc<Self>,
        used_for: Use,
        bytes: usize,
        elsewhere: impl FnOnce(&dyn Spill) -> io::Result<T>,
    ) -> Result<T, Room> {
        let room = self.take(used_for, bytes);
        let used = self.used(Use::LoopLogs);
        let all = used.saturating_add(self.used(Use::Rows));
        let has_room = all <= self.limit.load(Ordering::Relaxed)
            && (used_for != Use::LoopLogs || used <= self.loop_limit.load(Ordering::Relaxed));
        let Some(spill) = self.spill.as_ref().filter(|_| !has_room) else { return Err(room) };
        elsewhere(&**spill).map_err(|refusal| {
            *self.refusals[used_for as usize].lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
            room
        })
    }

    fn take(self: &Arc<Self>, used_for: Use, bytes: usize) -> Room {
        self.used[used_for as usize].fetch_add(bytes, Ordering::Relaxed);
        Room { memory: Arc::clone(self), used_for, bytes }
    }
}

/// A copy of values that do not change any more, in this memory as far as there is room, and the bytes of memory that it takes. `None` is
/// without a limit.
pub(crate) fn seal<T: ArrowNativeType>(memory: Option<&Arc<Memory>>, values: &[T]) -> (ScalarBuffer<T>, usize) {
    let bytes = values.to_byte_slice();
    let in_memory = Buffer::from_slice_ref;
    let (sealed, taken) = match memory.map(|memory| memory.place(Use::Rows, bytes.len(), |elsewhere| elsewhere.map(bytes))) {
        Some(Ok(elsewhere)) => (elsewhere, 0),
        Some(Err(room)) => (Bytes::from_owner(Counted { values: in_memory(bytes), _room: room }).into(), bytes.len()),
        None => (in_memory(bytes), bytes.len()),
    };
    (sealed.into(), taken)
}

/// Values in memory that count.
struct Counted {
    values: Buffer,
    _room: Room,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.values
    }
}

/// Memory that is taken as long as this lives.
#[derive(Debug)]
pub struct Room {
    memory: Arc<Memory>,
    used_for: Use,
    bytes: usize,
}

impl Room {
    /// How much it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.memory.used[self.used_for as usize].fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
