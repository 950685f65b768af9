//! The rows of a keyed recursion under change: one row for each key, replaced as better ones are derived.
//!
//! Every derivation of a row at an iteration is a candidate for its key. Iteration after iteration, a candidate takes the key if it
//! *wins* over the row that has it; a row that takes the key is emitted at that iteration, once, and that is all that goes round. The
//! last row to take a key is the key's row outside the recursion.
//!
//! Most candidates lose and are never looked at again, so no index finds them: they are appended to the list of their key, and a
//! derivation that is taken back is appended likewise, with its negative weight. A list is added up when it is full.
//!
//! Arriving candidates are applied at once, whatever their order, and the calendar remembers which keys are touched at which
//! iteration. What a key waits for at an iteration is *pending*: the best candidate that came, if it did not lose to a row that was
//! emitted; or that the key is to be *settled*, where a derivation of a row that was emitted or pending is taken back. Releasing a key
//! compares the pending candidate with what was emitted. Settling it goes through its candidates from the released iteration on, and
//! makes what is emitted agree with them as far as that iteration. A key in which something still differs later is unsettled until that
//! iteration is released. Iterations below agree already, since they were released before.
//!
//! Invariant: where what a key has emitted differs from what its candidates say, the calendar holds the key at the first iteration that
//! differs, or before. So the calendar need not be stored: [`KeyedHistory::restored`] finds it again.

use std::cmp::Ordering;

use refrain_types::{Iteration, Weight};

use crate::arrangement::{WeightOverflow, row_key, words_of};
use crate::calendar::Calendar;
use crate::capture::{Capture, Captured};
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;
use crate::order::RowOrder;
use crate::prefetch;
use emissions::Emissions;
use entries::{Changes, consolidated, iteration, stride, weight, weights};

mod emissions;
mod entries;

const BLOCK: usize = 32;
/// Retractions from which on it is worth while to forget what they took back; few in tests.
const COMPACTED_MIN: usize = if cfg!(test) { 3 } else { 1 << 13 };
/// Candidates of a key from which on those that are alike are added up before their list grows.
const CONSOLIDATED_MIN: usize = if cfg!(test) { 2 } else { 64 };

/// Which candidate takes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The first in the order of rows: a key's rows only ever get better.
    First,
    /// The latest that is another row; of several in one iteration, the first in the order of rows.
    Latest,
}

/// One key, in a cache line of its own.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Group {
    /// Its candidates, as [`entries`].
    candidates: Vec<u64>,
    /// The rank of the row that was emitted last, and the iteration.
    last_rank: i64,
    last_iteration: Iteration,
    /// The last emission; the earlier ones follow.
    last: u32,
    /// The first of what is pending; the others follow.
    pending: u32,
    /// The highest iteration that was released.
    reached: Iteration,
    /// Whether an emission differs from what the candidates say, at an iteration that is in the calendar.
    unsettled: bool,
    /// Whether a weight among the candidates is negative.
    retracted: bool,
}

impl Group {
    fn new() -> Self {
        Self {
            candidates: Vec::new(),
            last_rank: 0,
            last_iteration: 0,
            last: NO_ROW,
            pending: NO_ROW,
            reached: 0,
            unsettled: false,
            retracted: false,
        }
    }
}

/// What a key waits for at an iteration; a candidate's row stands beside it.
#[derive(Clone, Copy, Debug)]
struct Pending {
    iteration: Iteration,
    next: u32,
    settles: bool,
    rank: i64,
}

/// What the release of a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyedChange<'a> {
    /// A row is emitted at an iteration, with weight 1, or is not any more, with −1.
    Emitted(&'a [u64], Iteration, Weight),
    /// A row has its key outside the recursion, with weight 1, or has it no more, with −1.
    Left(&'a [u64], Weight),
}

/// Rows that take a key one after the other.
#[derive(Debug, Default)]
struct Steps {
    iterations: Vec<Iteration>,
    rows: Vec<u64>,
    words: usize,
}

impl Steps {
    fn new(words: usize) -> Self {
        Self { words, ..Self::default() }
    }

    fn len(&self) -> usize {
        self.iterations.len()
    }

    fn push(&mut self, iteration: Iteration, row: &[u64]) {
        self.iterations.push(iteration);
        self.rows.extend_from_slice(row);
    }

    fn row(&self, at: usize) -> &[u64] {
        &self.rows[at * self.words..(at + 1) * self.words]
    }

    /// How many steps are at iterations up to this one.
    fn upto(&self, iteration: Iteration) -> usize {
        self.iterations.partition_point(|at| *at <= iteration)
    }

    fn is_same(&self, at: usize, other: &Self) -> bool {
        at < self.len() && at < other.len() && self.iterations[at] == other.iterations[at] && self.row(at) == other.row(at)
    }

    /// The first iteration at which steps behind `from` differ.
    fn differs(&self, from: usize, other: &Self) -> Option<Iteration> {
        let at = (from..).find(|at| !self.is_same(*at, other)).expect("steps come to an end");
        let both = [self, other].map(|steps| steps.iterations.get(at).copied());
        both.into_iter().flatten().min()
    }
}

/// See the module.
#[derive(Debug)]
pub struct KeyedHistory {
    words: usize,
    key: KeyOf,
    /// Numbers of keys.
    keys: HashIndex,
    key_words: Vec<u64>,
    groups: Vec<Group>,
    emissions: Emissions,
    pending: Vec<Pending>,
    pending_rows: Vec<u64>,
    free_pending: u32,
    order: RowOrder,
    winner: Winner,
    calendar: Calendar,
    derived: Option<Changes>,
    emitted: Option<Changes>,
    /// Candidates, and how many of them were derivations taken back, since the last compaction.
    candidates: usize,
    retractions: usize,
    candidate_words: usize,
    /// Restored emissions, as [`entries`].
    restoring: Vec<u64>,
    /// Keys of one block, and their numbers.
    block: (Vec<u64>, Vec<u32>),
    /// The candidate that is released, and the row that had its key before.
    scratch: (Vec<u64>, Vec<u64>),
}

impl KeyedHistory {
    /// An empty history of rows of `words` words, one for each `key`; with `join_key`, emitted rows are found by that.
    #[must_use]
    pub fn new(words: usize, key: KeyOf, order: RowOrder, winner: Winner, join_key: Option<KeyOf>) -> Self {
        Self {
            words,
            keys: HashIndex::new(key.is_exact()),
            key_words: Vec::new(),
            groups: Vec::new(),
            emissions: Emissions::new(words, join_key),
            pending: Vec::new(),
            pending_rows: Vec::new(),
            free_pending: NO_ROW,
            order,
            winner,
            calendar: Calendar::default(),
            derived: None,
            emitted: None,
            candidates: 0,
            retractions: 0,
            candidate_words: 0,
            restoring: Vec::new(),
            block: (vec![0; BLOCK * key.words()], Vec::with_capacity(BLOCK)),
            scratch: (Vec::new(), Vec::new()),
            key,
        }
    }

    /// The calendar, of keys.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Number of keys, those without a row too.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.groups.len()
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let words = self.key_words.capacity() + self.pending_rows.capacity() + self.candidate_words;
        words * size_of::<u64>()
            + self.keys.size_bytes()
            + self.groups.capacity() * size_of::<Group>()
            + self.pending.capacity() * size_of::<Pending>()
            + self.emissions.size_bytes()
            + self.calendar.size_bytes()
    }

    /// Applies derivations: packed rows with one iteration and one weight each.
    pub fn arrive(&mut self, rows: &[u64], iterations: &[Iteration], weights: &[Weight]) {
        assert_eq!(rows.len(), iterations.len() * self.words, "one iteration per row");
        assert_eq!(iterations.len(), weights.len(), "one weight per row");
        let blocks = rows.chunks(BLOCK * self.words).zip(iterations.chunks(BLOCK)).zip(weights.chunks(BLOCK));
        let (mut keys, mut numbers) = std::mem::take(&mut self.block);
        for ((rows, iterations), weights) in blocks {
            self.find_keys(rows, &mut keys, &mut numbers);
            for (((row, iteration), weight), group) in rows.chunks_exact(self.words).zip(iterations).zip(weights).zip(&numbers) {
                self.derive(*group, row, *iteration, *weight);
            }
        }
        self.block = (keys, numbers);
    }

    /// The numbers of the keys of up to a block of rows. What is known of the keys is brought towards the cache on the way.
    fn find_keys(&mut self, rows: &[u64], keys: &mut [u64], numbers: &mut Vec<u32>) {
        let key_words = self.key.words();
        numbers.clear();
        self.keys.reserve(rows.len() / self.words);
        for (row, key) in rows.chunks_exact(self.words).zip(keys.chunks_exact_mut(key_words)) {
            self.key.extract(row, key);
            self.keys.prefetch(row_key(key));
        }
        for (_, key) in rows.chunks_exact(self.words).zip(keys.chunks_exact(key_words)) {
            let number = self.number(key);
            prefetch::read(&self.groups, number as usize);
            numbers.push(number);
        }
        for number in numbers.iter() {
            let candidates = &self.groups[*number as usize].candidates;
            prefetch::read(candidates, candidates.len().saturating_sub(1));
        }
    }

    /// The number of a key; room in the index is reserved.
    #[inline]
    fn number(&mut self, key: &[u64]) -> u32 {
        let next = u32::try_from(self.groups.len()).expect("a loop of one worker holds fewer than 2^32 rows");
        assert!(next != NO_ROW, "a loop of one worker holds fewer than 2^32 rows");
        let words = &self.key_words;
        let (number, is_new) = self.keys.find_or_insert(row_key(key), next, |other| words[words_of(other, key.len())] == *key);
        if is_new {
            self.key_words.extend_from_slice(key);
            self.groups.push(Group::new());
        }
        number
    }

    fn derive(&mut self, group: u32, row: &[u64], iteration: Iteration, weight: Weight) {
        if let Some(changes) = &mut self.derived {
            changes.push(row, iteration, weight);
        }
        self.append(group, row, iteration, weight);
        if weight < 0 {
            self.take_back(group, row, iteration);
        } else if !self.has_lost(group, row, iteration) {
            if self.groups[group as usize].retracted {
                // The candidate may have been taken back before it came.
                self.settle_at(group, iteration);
            } else {
                self.expect(group, row, iteration);
            }
        }
    }

    /// Remembers a candidate. A list that is full is added up before it grows, if that can make room.
    #[inline]
    fn append(&mut self, group: u32, row: &[u64], iteration: Iteration, weight: Weight) {
        let group = &mut self.groups[group as usize];
        let candidates = &mut group.candidates;
        let stride = stride(self.words);
        if candidates.len() + stride > candidates.capacity() {
            self.candidate_words -= candidates.capacity();
            if group.retracted || candidates.len() >= CONSOLIDATED_MIN * stride {
                let before = candidates.len();
                *candidates = consolidated(candidates, self.words);
                group.retracted = candidates.chunks_exact(stride).any(|entry| entries::weight(entry) < 0);
                self.candidates -= (before - candidates.len()) / stride;
            }
            candidates.reserve_exact(candidates.len().max(stride));
            self.candidate_words += candidates.capacity();
        }
        let capacity = candidates.capacity();
        let before = candidates.len();
        entries::push(candidates, row, iteration, i128::from(weight));
        self.candidates += (candidates.len() - before) / stride;
        self.candidate_words += candidates.capacity() - capacity;
        group.retracted |= weight < 0;
    }

    /// Whether a row that is not worse has its key from this iteration on or from before. Then a candidate changes nothing: not now,
    /// nor while that row or a better one has the key, and when it goes the key is settled.
    #[inline]
    fn has_lost(&self, group: u32, row: &[u64], iteration: Iteration) -> bool {
        let group = &self.groups[group as usize];
        if self.winner != Winner::First || group.last == NO_ROW || group.last_iteration > iteration {
            return false;
        }
        match self.order.rank(row).cmp(&group.last_rank) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => self.order.is_ranked() || !self.is_before(row, self.emissions.row(group.last)),
        }
    }

    /// A derivation was taken back: that matters if its row was emitted at this iteration or may be.
    fn take_back(&mut self, group: u32, row: &[u64], iteration: Iteration) {
        self.retractions += 1;
        let of = &self.groups[group as usize];
        let at = self.emissions.upto(of.last, iteration);
        let is_emitted = at != NO_ROW && self.emissions.iteration(at) == iteration && self.emissions.row(at) == row;
        if is_emitted || self.pending_at(group, iteration) != NO_ROW {
            self.settle_at(group, iteration);
        }
    }

    /// What a key waits for at an iteration, [`NO_ROW`] if it does not wait.
    #[inline]
    fn pending_at(&self, group: u32, iteration: Iteration) -> u32 {
        let mut at = self.groups[group as usize].pending;
        while at != NO_ROW && self.pending[at as usize].iteration != iteration {
            at = self.pending[at as usize].next;
        }
        at
    }

    /// Remembers a candidate for the release of its iteration, if it is the best so far.
    fn expect(&mut self, group: u32, row: &[u64], iteration: Iteration) {
        let at = self.pending_at(group, iteration);
        if at == NO_ROW {
            self.add_pending(group, iteration, false, Some(row));
            return;
        }
        let (of, rank) = (self.pending[at as usize], self.order.rank(row));
        if of.settles || (self.winner == Winner::First && rank > of.rank) {
            return;
        }
        let other = &mut self.pending_rows[words_of(at, self.words)];
        match self.winner {
            // Which of them takes the key depends on the row that has it then.
            Winner::Latest => self.pending[at as usize].settles = other != row,
            Winner::First if rank < of.rank || self.order.compare(row, other) == Ordering::Less => {
                other.copy_from_slice(row);
                self.pending[at as usize].rank = rank;
            }
            Winner::First => {}
        }
    }

    /// Has a key settled when an iteration is released.
    fn settle_at(&mut self, group: u32, iteration: Iteration) {
        match self.pending_at(group, iteration) {
            NO_ROW => self.add_pending(group, iteration, true, None),
            at => self.pending[at as usize].settles = true,
        }
    }

    fn add_pending(&mut self, group: u32, iteration: Iteration, settles: bool, row: Option<&[u64]>) {
        let next = &mut self.groups[group as usize].pending;
        let pending = Pending { iteration, next: *next, settles, rank: row.map_or(0, |row| self.order.rank(row)) };
        if self.free_pending == NO_ROW {
            *next = u32::try_from(self.pending.len()).expect("a loop of one worker holds fewer than 2^32 rows");
            self.pending.push(pending);
            self.pending_rows.resize(self.pending.len() * self.words, 0);
        } else {
            *next = self.free_pending;
            self.free_pending = std::mem::replace(&mut self.pending[self.free_pending as usize], pending).next;
        }
        if let Some(row) = row {
            self.pending_rows[words_of(*next, self.words)].copy_from_slice(row);
        }
        self.calendar.touch(iteration, group);
    }

    /// What a key waits for at an iteration, which it then does no more.
    fn take_pending(&mut self, group: u32, iteration: Iteration) -> Option<u32> {
        let (mut before, mut at) = (NO_ROW, self.groups[group as usize].pending);
        while at != NO_ROW && self.pending[at as usize].iteration != iteration {
            (before, at) = (at, self.pending[at as usize].next);
        }
        let next = self.pending.get(at as usize)?.next;
        match before {
            NO_ROW => self.groups[group as usize].pending = next,
            before => self.pending[before as usize].next = next,
        }
        self.pending[at as usize].next = std::mem::replace(&mut self.free_pending, at);
        Some(at)
    }

    /// Takes up to `limit` keys of the lowest iteration out of the calendar. Each must then be given to [`Self::release`].
    pub fn take_lowest(&mut self, limit: usize, groups: &mut Vec<u32>) -> Option<Iteration> {
        let iteration = self.calendar.take_lowest(limit, groups);
        for group in groups.iter() {
            prefetch::read(&self.groups, *group as usize);
        }
        iteration
    }

    /// Makes what a key emits agree with its candidates as far as `iteration`, and says what that changes.
    pub fn release(&mut self, iteration: Iteration, group: u32, say: &mut impl FnMut(KeyedChange)) {
        let Some(pending) = self.take_pending(group, iteration) else { return };
        let (mut candidate, mut before) = std::mem::take(&mut self.scratch);
        candidate.clear();
        candidate.extend_from_slice(&self.pending_rows[words_of(pending, self.words)]);
        before.clear();
        before.extend_from_slice(self.holder(group));
        let of = &self.groups[group as usize];
        if self.pending[pending as usize].settles || of.unsettled || of.retracted {
            self.settle(group, iteration, say);
        } else {
            self.release_one(group, iteration, &candidate, say);
        }
        let reached = &mut self.groups[group as usize].reached;
        *reached = iteration.max(*reached);
        let now = self.holder(group);
        if before != now {
            for (row, weight) in [(&*before, -1), (now, 1)].into_iter().filter(|(row, _)| !row.is_empty()) {
                say(KeyedChange::Left(row, weight));
            }
        }
        self.scratch = (candidate, before);
    }

    /// The row that has a key at last, nothing if there is none.
    fn holder(&self, group: u32) -> &[u64] {
        match self.groups[group as usize].last {
            NO_ROW => &[],
            last => self.emissions.row(last),
        }
    }

    /// Whether a candidate takes the key from a row that took it at an earlier iteration.
    fn wins(&self, candidate: &[u64], over: Option<&[u64]>) -> bool {
        match (self.winner, over) {
            (_, None) => true,
            (Winner::First, Some(over)) => self.is_before(candidate, over),
            (Winner::Latest, Some(over)) => candidate != over,
        }
    }

    fn is_before(&self, a: &[u64], b: &[u64]) -> bool {
        a != b && self.order.compare(a, b) == Ordering::Less
    }

    /// The best new candidate of a key that is settled but for what the calendar holds.
    fn release_one(&mut self, group: u32, iteration: Iteration, row: &[u64], say: &mut impl FnMut(KeyedChange)) {
        let Group { last, reached, .. } = self.groups[group as usize];
        let here = self.emissions.upto(last, iteration);
        if self.agrees(row, iteration, here) {
            return;
        }
        // Later candidates that lost to the row that has the key may win over another one; those that a better row has beaten do not.
        let decides_later = here != last || (self.winner == Winner::Latest && iteration < reached);
        if decides_later {
            self.settle(group, iteration, say);
            return;
        }
        if here != NO_ROW && self.emissions.iteration(here) == iteration {
            self.pop(group, say);
        }
        self.push(group, iteration, row, say);
    }

    /// Whether a candidate changes nothing in a key whose last emission up to its iteration is `here`.
    fn agrees(&self, row: &[u64], iteration: Iteration, here: u32) -> bool {
        let holder = |at: u32| (at != NO_ROW).then(|| self.emissions.row(at));
        if here == NO_ROW || self.emissions.iteration(here) != iteration {
            return !self.wins(row, holder(here));
        }
        let emitted = self.emissions.row(here);
        !self.is_before(row, emitted) || !self.wins(row, holder(self.emissions.before(here)))
    }

    /// Emits a row.
    fn push(&mut self, group: u32, iteration: Iteration, row: &[u64], say: &mut impl FnMut(KeyedChange)) {
        self.put(group, iteration, row);
        say(KeyedChange::Emitted(row, iteration, 1));
        if let Some(emitted) = &mut self.emitted {
            emitted.push(row, iteration, 1);
        }
    }

    /// Takes the last emission of a key back.
    fn pop(&mut self, group: u32, say: &mut impl FnMut(KeyedChange)) {
        let at = self.groups[group as usize].last;
        let (row, iteration) = (self.emissions.row(at), self.emissions.iteration(at));
        say(KeyedChange::Emitted(row, iteration, -1));
        if let Some(emitted) = &mut self.emitted {
            emitted.push(row, iteration, -1);
        }
        self.take(group);
    }

    fn put(&mut self, group: u32, iteration: Iteration, row: &[u64]) {
        let last = self.emissions.put(self.groups[group as usize].last, iteration, row);
        self.set_last(group, last);
    }

    fn take(&mut self, group: u32) {
        let before = self.emissions.take(self.groups[group as usize].last);
        self.set_last(group, before);
    }

    fn set_last(&mut self, group: u32, last: u32) {
        let group = &mut self.groups[group as usize];
        group.last = last;
        if last != NO_ROW {
            group.last_iteration = self.emissions.iteration(last);
            group.last_rank = self.order.rank(self.emissions.row(last));
        }
    }

    /// What a key emitted, lowest iteration first.
    fn emitted_by(&self, group: u32) -> Steps {
        let mut all = self.emissions.of(self.groups[group as usize].last).collect::<Vec<_>>();
        all.reverse();
        let mut steps = Steps::new(self.words);
        for at in all {
            steps.push(self.emissions.iteration(at), self.emissions.row(at));
        }
        steps
    }

    /// What the candidates of a key from iteration `from` on say that it emits there, behind the steps that it emits before.
    fn said_by_candidates(&self, group: u32, from: Iteration, mut steps: Steps) -> Steps {
        let group = &self.groups[group as usize];
        let worst = match (self.winner, steps.len()) {
            (Winner::First, 1..) => self.order.rank(steps.row(steps.len() - 1)),
            _ => i64::MAX,
        };
        let stride = stride(self.words);
        let mut list = Vec::new();
        for entry in group.candidates.chunks_exact(stride) {
            if iteration(entry) >= from && self.order.rank(&entry[..self.words]) <= worst {
                list.extend_from_slice(entry);
            }
        }
        if group.retracted {
            list = consolidated(&mut list, self.words);
        }
        let mut candidates = list.chunks_exact(stride).filter(|entry| weight(entry) > 0).collect::<Vec<_>>();
        candidates.sort_unstable_by_key(|entry| iteration(entry));
        for together in candidates.chunk_by(|a, b| iteration(a) == iteration(b)) {
            let before = steps.len().checked_sub(1).map(|last| steps.row(last));
            let mut best: Option<&[u64]> = None;
            for row in together.iter().map(|entry| &entry[..self.words]) {
                if self.wins(row, before) && best.is_none_or(|best| self.is_before(row, best)) {
                    best = Some(row);
                }
            }
            if let Some(row) = best {
                steps.push(iteration(together[0]), row);
            }
        }
        steps
    }

    /// Makes what a key emits agree with its candidates as far as `iteration`, below which it does, and has it settled at the first
    /// iteration after that at which it does not.
    fn settle(&mut self, group: u32, iteration: Iteration, say: &mut impl FnMut(KeyedChange)) {
        let emitted = self.emitted_by(group);
        let below = emitted.iterations.partition_point(|at| *at < iteration);
        let mut said = Steps::new(self.words);
        for at in 0..below {
            said.push(emitted.iterations[at], emitted.row(at));
        }
        let said = self.said_by_candidates(group, iteration, said);
        let (said_now, emitted_now) = (said.upto(iteration), emitted.upto(iteration));
        if said_now != emitted_now || (below..said_now).any(|at| !said.is_same(at, &emitted)) {
            // What is emitted later stays, and goes for a moment: only the list is taken apart, nothing is said.
            (emitted_now..emitted.len()).for_each(|_| self.take(group));
            (below..emitted_now).for_each(|_| self.pop(group, say));
            (below..said_now).for_each(|at| self.push(group, said.iterations[at], said.row(at), say));
            (emitted_now..emitted.len()).for_each(|at| self.put(group, emitted.iterations[at], emitted.row(at)));
        }
        let emitted = if said_now == emitted_now { emitted } else { self.emitted_by(group) };
        let differs = said.differs(said_now, &emitted);
        self.groups[group as usize].unsettled = differs.is_some();
        if let Some(at) = differs {
            self.settle_at(group, at);
        }
    }

    /// Calls `found` with each emitted row of `key`, by the join's key, and each iteration at which it is emitted.
    ///
    /// # Panics
    /// When the history was made without a key of a join.
    pub fn matches(&mut self, key: &[u64], found: impl FnMut(&[u64], Iteration)) {
        self.emissions.matches(key, found);
    }

    /// Forgets what was taken back and keys that have no candidate, when nothing is to be released and half of the candidates or more
    /// can be such.
    pub fn compact(&mut self) {
        if self.retractions < COMPACTED_MIN.max(self.candidates / 4) || !self.calendar.is_empty() {
            return;
        }
        (self.retractions, self.candidates, self.candidate_words) = (0, 0, 0);
        let emissions = self.emissions.emptied();
        let emissions = std::mem::replace(&mut self.emissions, emissions);
        let groups = std::mem::take(&mut self.groups);
        let key_words = std::mem::take(&mut self.key_words);
        self.keys.clear();
        (self.pending, self.pending_rows, self.free_pending) = (Vec::new(), Vec::new(), NO_ROW);
        for (mut group, key) in groups.into_iter().zip(key_words.chunks_exact(self.key.words())) {
            let candidates = consolidated(&mut group.candidates, self.words);
            if candidates.is_empty() {
                assert!(group.last == NO_ROW, "a row that is emitted is derived");
                continue;
            }
            self.keys.reserve(1);
            let number = self.number(key);
            let mut emitted = emissions.of(group.last).collect::<Vec<_>>();
            emitted.reverse();
            let fresh = &mut self.groups[number as usize];
            fresh.retracted = candidates.chunks_exact(stride(self.words)).any(|entry| weight(entry) < 0);
            fresh.candidates = candidates.into_boxed_slice().into_vec();
            fresh.reached = group.reached;
            self.candidates += fresh.candidates.len() / stride(self.words);
            self.candidate_words += fresh.candidates.capacity();
            for at in emitted {
                self.put(number, emissions.iteration(at), emissions.row(at));
            }
        }
    }

    /// The two Z-sets by row and iteration, derivations and emissions: what changed since the last capture, or everything when
    /// `full` or when changes were not listed. From now on they are.
    pub fn capture(&mut self, full: bool) -> (Capture, Capture) {
        let derived = self.derived.replace(Changes::default());
        let emitted = self.emitted.replace(Changes::default());
        if let (Some(derived), Some(emitted), false) = (derived, emitted, full) {
            let words = self.words;
            let later = |changes: Changes| {
                Capture::later(false, move |pieces| {
                    let list = changes.into_consolidated(words);
                    entries_of(&list, words).for_each(|(row, iteration, weight)| pieces.push(row, Some(iteration), weight));
                })
            };
            return (later(derived), later(emitted));
        }
        let mut derived = Vec::new();
        for group in &self.groups {
            derived.extend(consolidated(&mut group.candidates.clone(), self.words));
        }
        let emitted = self.groups.iter().flat_map(|group| self.emissions.of(group.last));
        let emitted = emitted.map(|at| (self.emissions.row(at), self.emissions.iteration(at), 1));
        let derived = Captured::of(entries_of(&derived, self.words));
        (Capture::now(true, derived), Capture::now(true, Captured::of(emitted)))
    }

    /// Adds captured derivations and emissions to an empty history; call [`Self::restored`] after the last.
    pub fn restore(&mut self, derivations: bool, rows: &[u64], iterations: &[Iteration], weights: &[Weight]) {
        for ((row, iteration), weight) in rows.chunks_exact(self.words).zip(iterations).zip(weights) {
            if derivations {
                let group = self.number_of(row);
                self.append(group, row, *iteration, *weight);
                let reached = &mut self.groups[group as usize].reached;
                *reached = (*iteration).max(*reached);
            } else {
                entries::push(&mut self.restoring, row, *iteration, i128::from(*weight));
            }
        }
    }

    fn number_of(&mut self, row: &[u64]) -> u32 {
        let mut key = std::mem::take(&mut self.block.0);
        let own = &mut key[..self.key.words()];
        self.key.extract(row, own);
        self.keys.reserve(1);
        let number = self.number(own);
        self.block.0 = key;
        number
    }

    /// All parts are back: finds the calendar again, and lists changes from now on.
    ///
    /// # Errors
    /// When a key has two rows at one iteration, or emissions do not add up to one each: the state is not one that was captured.
    pub fn restored(&mut self) -> Result<(), WeightOverflow> {
        let emitted = consolidated(&mut std::mem::take(&mut self.restoring), self.words);
        let emitted = emitted.chunks_exact(stride(self.words));
        let mut emitted = emitted.map(|entry| (self.number_of(&entry[..self.words]), iteration(entry), entry)).collect::<Vec<_>>();
        emitted.sort_unstable();
        if emitted.iter().any(|(.., entry)| weight(entry) != 1)
            || emitted.windows(2).any(|two| (two[0].0, two[0].1) == (two[1].0, two[1].1))
        {
            return Err(WeightOverflow);
        }
        for (group, iteration, entry) in emitted {
            self.put(group, iteration, &entry[..self.words]);
        }
        for group in 0..u32::try_from(self.groups.len()).expect("there are not more keys than rows") {
            let said = self.said_by_candidates(group, 0, Steps::new(self.words));
            let differs = said.differs(0, &self.emitted_by(group));
            self.groups[group as usize].unsettled = differs.is_some();
            if let Some(at) = differs {
                self.settle_at(group, at);
            }
        }
        self.derived = Some(Changes::default());
        self.emitted = Some(Changes::default());
        Ok(())
    }
}

/// A list of entries as it is captured.
/// The rows of a list with their iterations and weights.
fn entries_of(list: &[u64], words: usize) -> impl Iterator<Item = (&[u64], Iteration, Weight)> {
    let entries = list.chunks_exact(stride(words));
    entries.flat_map(move |entry| weights(entry).map(move |weight| (&entry[..words], iteration(entry), weight)))
}

#[cfg(test)]
mod tests;
