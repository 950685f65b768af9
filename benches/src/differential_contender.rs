//! differential-dataflow 0.26, written as the examples of its authors are: `arrange_by_key`, `join_core`, `distinct`, `Variable`.
//!
//! Text is `String`, as in SQL it is text; [`interned`] is the program of somebody who turns it into integers first. Timestamps and iterations are `u32`, the smallest that serve. Rows are handed over
//! by value, spread evenly over the workers. All workers of a run share one [`SharedAnswer`](crate::checksum::SharedAnswer): the
//! sum is linear in the updates, so nothing is kept to compute it.

pub(crate) mod change;
pub(crate) mod general;
pub(crate) mod interned;
pub(crate) mod keyed;
pub(crate) mod load;
pub(crate) mod once;
pub(crate) mod stream;

use std::hash::Hash;
use std::sync::Mutex;

use differential_dataflow::ExchangeData;
use timely::worker::Worker;

use crate::checksum::Hashed;
use crate::memory;

/// A column type that differential can move and order.
pub(crate) trait Value: ExchangeData + Hash + Hashed + Sync {}

impl<V: ExchangeData + Hash + Hashed + Sync> Value for V {}

/// Timestamps outside a loop, and iterations inside.
type Time = u32;

/// The rows of each worker, to be taken once.
struct Shares<D>(Vec<Mutex<Vec<D>>>);

impl<D> Shares<D> {
    fn deal(rows: Vec<D>, workers: usize) -> Self {
        let mut shares: Vec<Vec<D>> = (0..workers).map(|_| Vec::with_capacity(rows.len() / workers + 1)).collect();
        for (number, row) in rows.into_iter().enumerate() {
            shares[number % workers].push(row);
        }
        Self(shares.into_iter().map(Mutex::new).collect())
    }

    fn take(&self, worker: &Worker) -> Vec<D> {
        std::mem::take(&mut *self.0[worker.index()].lock().expect("a worker takes its share without panicking"))
    }
}

/// Runs a program on all workers and returns what worker 0 makes of it.
#[expect(clippy::disallowed_methods, reason = "the peer runs as its authors run it; a panic in it fails the measurement")]
fn execute<R: Send + 'static>(workers: usize, program: impl Fn(&mut Worker) -> R + Send + Sync + 'static) -> R {
    memory::forget_peak();
    let config = if workers == 1 { timely::Config::thread() } else { timely::Config::process(workers) };
    let guards = timely::execute(config, program).expect("threads can be started");
    let outcomes = guards.join();
    outcomes.into_iter().next().expect("there is a first worker").expect("no worker panics")
}

#[cfg(test)]
mod tests;
