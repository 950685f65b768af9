//! Another place for tests.

use std::io;
use std::sync::{Arc, Mutex};

use arrow::buffer::Buffer;

use super::{Spill, Spilled};

/// It has room for so many bytes.
#[derive(Debug)]
pub(crate) struct Elsewhere(Mutex<usize>);

impl Elsewhere {
    pub fn with_room(bytes: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(bytes)))
    }
}

impl Spill for Elsewhere {
    fn put(&self, _bytes: &[u8]) -> io::Result<Arc<dyn Spilled>> {
        unreachable!("what operators remember is mapped")
    }

    fn map(&self, bytes: &[u8]) -> io::Result<Buffer> {
        let mut room = self.0.lock().expect("no test panics here");
        *room = room.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("it is full"))?;
        Ok(Buffer::from_slice_ref(bytes))
    }
}
