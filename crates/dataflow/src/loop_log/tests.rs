//! What is logged comes back, from memory and from elsewhere, and memory is free again when it is gone.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::buffer::Buffer;
use refrain_state::memory::Spill;

use super::*;

/// Another place, with room for so many bytes.
#[derive(Debug)]
struct Elsewhere(AtomicUsize);

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Spill for Elsewhere {
    fn put(&self, bytes: &[u8]) -> io::Result<Arc<dyn Spilled>> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(bytes.len()).ok_or_else(|| io::Error::other("it is full"))?;
        self.0.store(left, Ordering::Relaxed);
        Ok(Arc::new(Bytes(bytes.to_vec())))
    }

    fn map(&self, _bytes: &[u8]) -> io::Result<Buffer> {
        unreachable!("a loop log is put, not mapped")
    }
}

impl Spilled for Bytes {
    fn get(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.clone())
    }
}

fn delta(rows: usize) -> Delta {
    let column = Int32Array::from_iter_values(0..i32::try_from(rows).unwrap());
    let batch = RecordBatch::try_from_iter([("a", Arc::new(column) as ArrayRef)]).unwrap();
    let mut delta = Delta::weighted(batch, vec![2; rows]);
    delta.iterations = Some(vec![7; rows].into());
    delta
}

fn popped(log: &mut LoopLog) -> Vec<usize> {
    std::iter::from_fn(|| log.pop()).map(|delta| delta.num_rows()).collect()
}

#[test]
fn what_memory_has_no_room_for_is_put_elsewhere() {
    let memory = Memory::limited(usize::MAX, delta(10).size_bytes(), Arc::new(Elsewhere(AtomicUsize::new(usize::MAX))));
    let (mut log, mut other) = (LoopLog::new(&memory), LoopLog::new(&memory));
    for rows in [6, 5, 4] {
        log.push(delta(rows));
    }
    assert_eq!((log.num_rows(), log.bytes_in_memory()), (15, delta(10).size_bytes()));
    assert_eq!(log.bytes_spilled(), encode(delta(5)).len());
    // All logs share it.
    other.push(delta(1));
    assert_eq!((other.num_rows(), other.bytes_in_memory()), (1, 0));
    let captured = log.pieces();
    let spilled = captured[1].read().unwrap();
    let wanted = delta(5);
    assert_eq!((&spilled.rows, &spilled.weights, &spilled.iterations), (&wanted.rows, &wanted.weights, &wanted.iterations));
    assert_eq!((popped(&mut log), popped(&mut other)), (vec![6, 5, 4], vec![1]));
    assert!(log.is_empty() && log.num_rows() == 0 && log.bytes_in_memory() == 0 && log.bytes_spilled() == 0);
    // Who has captured it still holds it in memory.
    other.push(delta(1));
    assert_eq!(other.bytes_in_memory(), 0);
    drop(captured);
    other.push(delta(10));
    assert_eq!(other.bytes_in_memory(), delta(10).size_bytes());
    assert!(memory.take_refusal(Use::LoopLogs).is_none());
}

#[test]
fn what_memory_has_room_for_is_not_copied() {
    let mut log = LoopLog::new(&Memory::unlimited());
    let logged = delta(5);
    let address = logged.rows.column(0).to_data().buffers()[0].as_ptr();
    log.push(logged);
    let captured = log.pieces()[0].read().unwrap();
    let back = log.pop().unwrap();
    assert_eq!([&captured, &back].map(|delta| delta.rows.column(0).to_data().buffers()[0].as_ptr()), [address; 2]);
}

#[test]
fn what_finds_no_room_anywhere_stays_in_memory_and_is_told() {
    let memory = Memory::limited(usize::MAX, 0, Arc::new(Elsewhere(AtomicUsize::new(encode(delta(3)).len()))));
    let mut log = LoopLog::new(&memory);
    log.push(delta(3));
    assert!(memory.take_refusal(Use::LoopLogs).is_none());
    log.push(delta(4));
    assert_eq!(log.bytes_in_memory(), delta(4).size_bytes());
    assert_eq!(memory.take_refusal(Use::LoopLogs).unwrap().to_string(), "it is full");
    assert!(memory.take_refusal(Use::LoopLogs).is_none());
    assert_eq!(popped(&mut log), [3, 4]);
}

#[test]
fn a_damaged_piece_is_an_error() {
    let bytes = encode(delta(3));
    assert!(decode(&bytes).is_ok());
    for length in [0, 7, 16, 20, bytes.len() / 2] {
        assert!(decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

/// Another place, where this bit flips.
#[derive(Debug)]
struct Flips(usize);

impl Spill for Flips {
    fn put(&self, bytes: &[u8]) -> io::Result<Arc<dyn Spilled>> {
        let mut bytes = bytes.to_vec();
        bytes[self.0 / 8] ^= 1 << (self.0 % 8);
        Ok(Arc::new(Bytes(bytes)))
    }

    fn map(&self, _bytes: &[u8]) -> io::Result<Buffer> {
        unreachable!("a loop log is put, not mapped")
    }
}

#[test]
fn every_bit_that_flips_elsewhere_is_found() {
    for bit in 0..encode(delta(3)).len() * 8 {
        let piece = Piece::keep(delta(3), &Memory::limited(usize::MAX, 0, Arc::new(Flips(bit))), Use::LoopLogs);
        assert_eq!(piece.read().unwrap_err().kind(), io::ErrorKind::InvalidData, "bit {bit}");
    }
}
