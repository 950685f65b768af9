//! A join and a GROUP BY over rows that come in transactions.

use rustc_hash::FxHashMap;

use crate::checksum::{Answer, RowHash};
use crate::clock::Stopwatch;
use crate::data::{Sides, TRANSACTION_ROWS};
use crate::measurement::{Finish, Measurement};
use crate::memory;

/// The rows of one side so far, chained by key from the latest back.
#[derive(Default)]
struct Chains {
    latest: FxHashMap<i32, usize>,
    rows: Vec<(i32, Option<usize>)>,
}

impl Chains {
    fn push(&mut self, key: i32, value: i32) {
        let before = self.latest.insert(key, self.rows.len());
        self.rows.push((value, before));
    }

    fn values(&self, key: i32) -> impl Iterator<Item = i32> {
        let mut next = self.latest.get(&key).copied();
        std::iter::from_fn(move || {
            let (value, before) = self.rows[next?];
            next = before;
            Some(value)
        })
    }
}

/// A symmetric hash join; a transaction's rows are listed and then added up, as differential's are.
pub(crate) fn join(sides: &Sides) -> Measurement {
    memory::forget_peak();
    let clock = Stopwatch::start();
    let (mut left, mut right) = (Chains::default(), Chains::default());
    let mut answer = Answer::default();
    let mut joined: Vec<(i32, i32, i32)> = Vec::new();
    for (lefts, rights) in sides.left.chunks(TRANSACTION_ROWS).zip(sides.right.chunks(TRANSACTION_ROWS)) {
        for &(key, value) in lefts {
            left.push(key, value);
            joined.extend(right.values(key).map(|other| (key, value, other)));
        }
        for &(key, value) in rights {
            right.push(key, value);
            joined.extend(left.values(key).map(|other| (key, other, value)));
        }
        for (key, left, right) in joined.drain(..) {
            let mut row = RowHash::of_pair(&key, &left);
            row.integer(i64::from(right));
            answer.add(row, 1);
        }
    }
    Finish::after(clock.elapsed()).with_answer(answer).with_rows_fed(sides.left.len() + sides.right.len())
}

/// Count and sum of one key, and the last transaction that touched it.
#[derive(Default)]
struct Group {
    count: i64,
    sum: i64,
    touched: usize,
}

/// One table of groups; a transaction ends by listing the new rows of the groups it touched.
pub(crate) fn group_by(events: &[(i32, i32)]) -> Measurement {
    memory::forget_peak();
    let clock = Stopwatch::start();
    let mut groups: FxHashMap<i32, Group> = FxHashMap::default();
    let mut touched = Vec::new();
    let mut changed = Vec::new();
    for (number, transaction) in events.chunks(TRANSACTION_ROWS).enumerate() {
        for &(key, value) in transaction {
            let group = groups.entry(key).or_default();
            group.count += 1;
            group.sum += i64::from(value);
            if group.touched != number + 1 {
                group.touched = number + 1;
                touched.push(key);
            }
        }
        changed.clear();
        changed.extend(touched.drain(..).map(|key| (key, groups[&key].count, groups[&key].sum)));
        std::hint::black_box(&changed);
    }
    let finish = Finish::after(clock.elapsed());
    let mut answer = Answer::default();
    for (key, group) in &groups {
        let mut row = RowHash::of_pair(key, &group.count);
        row.integer(group.sum);
        answer.add(row, 1);
    }
    finish.with_answer(answer).with_rows_fed(events.len())
}
