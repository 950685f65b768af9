//! Rows in transactions through a join and a GROUP BY.

use std::sync::Arc;
use std::time::Duration;

use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::operators::CountTotal;
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

use super::load::collect;
use super::{Shares, Time, execute};
use crate::checksum::{RowHash, SharedAnswer};
use crate::clock::Stopwatch;
use crate::data::{Sides, TRANSACTION_ROWS};
use crate::measurement::{Finish, Measurement};

/// Transactions that may be under way at once, in differential's favour: Refrain's inserts do not wait for the view either.
const UNDER_WAY: Time = 8;

type Row = (i32, i32);

/// A join on the keys.
pub(crate) fn join(workers: usize, sides: Sides) -> Measurement {
    let rows_fed = sides.left.len() + sides.right.len();
    let (lefts, rights) = (Shares::deal(sides.left, workers), Shares::deal(sides.right, workers));
    let answer = Arc::new(SharedAnswer::default());
    let sink = Arc::clone(&answer);
    let elapsed = execute(workers, move |worker| {
        let probe = ProbeHandle::new();
        let inputs = worker.dataflow::<Time, _, _>(|scope| {
            let (left_input, left) = scope.new_collection::<Row, isize>();
            let (right_input, right) = scope.new_collection::<Row, isize>();
            let joined = left.arrange_by_key().join_core(right.arrange_by_key(), |key, left, right| Some((*key, *left, *right)));
            collect(joined, &sink, &probe, |(key, left, right)| {
                let mut row = RowHash::of_pair(key, left);
                row.integer(i64::from(*right));
                row
            });
            [left_input, right_input]
        });
        let rows = [lefts.take(worker), rights.take(worker)];
        feed(worker, inputs, &rows, &probe)
    });
    Finish::after(elapsed).with_answer(answer.get()).with_rows_fed(rows_fed)
}

/// Count and sum by key, carried in the weight, so that no value is kept.
pub(crate) fn group_by(workers: usize, events: Vec<Row>) -> Measurement {
    let rows_fed = events.len();
    let shares = Shares::deal(events, workers);
    let answer = Arc::new(SharedAnswer::default());
    let sink = Arc::clone(&answer);
    let elapsed = execute(workers, move |worker| {
        let probe = ProbeHandle::new();
        let input = worker.dataflow::<Time, _, _>(|scope| {
            let (input, events) = scope.new_collection::<Row, isize>();
            let groups = events.explode(|(key, value)| Some((key, (1isize, value as isize)))).count_total();
            collect(groups, &sink, &probe, |(key, (count, sum))| {
                let mut row = RowHash::of_pair(key, &(*count as i64));
                row.integer(*sum as i64);
                row
            });
            input
        });
        let rows = [shares.take(worker)];
        feed(worker, [input], &rows, &probe)
    });
    Finish::after(elapsed).with_answer(answer.get()).with_rows_fed(rows_fed)
}

/// Feeds one transaction after the other, of equal parts from every input, all workers in step.
fn feed<const N: usize>(
    worker: &mut Worker,
    mut inputs: [InputSession<Time, Row, isize>; N],
    rows: &[Vec<Row>; N],
    probe: &ProbeHandle<Time>,
) -> Duration {
    let clock = Stopwatch::start();
    let part = TRANSACTION_ROWS / worker.peers();
    let transactions = rows[0].len().div_ceil(part);
    for number in 0..transactions {
        for (input, rows) in inputs.iter_mut().zip(rows) {
            for row in rows.iter().skip(number * part).take(part) {
                input.insert(*row);
            }
            input.advance_to(input.time() + 1);
            input.flush();
        }
        worker.step();
        let now = *inputs[0].time();
        worker.step_while(|| probe.less_than(&now.saturating_sub(UNDER_WAY)));
    }
    let end = *inputs[0].time();
    worker.step_while(|| probe.less_than(&end));
    clock.elapsed()
}
