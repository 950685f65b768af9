//! The rows of a keyed recursion under change: one row for each key, replaced as better ones are derived.
//!
//! Every derivation of a row at an iteration is a candidate for its key. Iteration after iteration, a candidate takes the key if it
//! *wins* over the row that has it; a row that takes the key is emitted at that iteration, once, and that is all that goes round. The
//! last row to take a key is the key's row outside the recursion.
//!
//! Arriving candidates are applied at once, whatever their order, and the calendar remembers which candidates are touched at which
//! iteration, but for those that have lost to a row that was emitted. Releasing one compares it with what its key has emitted. Mostly a look at the last emission tells; where a row that was
//! emitted loses its support, or a candidate wins below a later emission, the key is *settled*: its candidates from that iteration on are
//! gone through, and what is emitted is made to agree with them as far as the released iteration. A key in which something still differs
//! later is unsettled until that iteration is released. Iterations below agree already, since they were released before.
//!
//! A key that has many rows, such as a node with many ways to it, lists them beside their ranks when it is settled first: of most
//! candidates it is then seen in one pass over the list that they do not win over the row that has the key.
//!
//! Invariant: where what a key has emitted differs from what its candidates say, the calendar holds one of its rows at the first
//! iteration that differs, or before. So the calendar need not be stored: [`KeyedHistory::restored`] finds it again.

use std::cmp::Ordering;
use std::collections::HashMap;

use refrain_types::{Iteration, Weight};

use crate::arrangement::{WeightOverflow, row_key, words_of};
use crate::calendar::Calendar;
use crate::capture::{Captured, ChangeList};
use crate::chain::KeyChain;
use crate::derivations::Derivations;
use crate::index::{HashIndex, NO_ROW};
use crate::key::KeyOf;
use crate::order::RowOrder;

const BLOCK: usize = 32;
/// Rows of a key from which on they are listed; few in tests, which have no large keys.
const LISTED_ROWS_MIN: usize = if cfg!(test) { 3 } else { 32 };

/// Which candidate takes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The first in the order of rows: a key's rows only ever get better.
    First,
    /// The latest that is another row; of several in one iteration, the first in the order of rows.
    Latest,
}

/// What is remembered of a row beside its derivations.
#[derive(Clone, Copy, Debug)]
struct State {
    group: u32,
    /// The row of the group before this one.
    next: u32,
    /// The iteration at which the calendar already holds the row, plus 1.
    mark: u32,
}

/// The rows of one key.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// The last of its rows; the others follow by `next`.
    rows: u32,
    /// The last emission; the earlier ones follow.
    last: u32,
    /// The highest iteration that was released.
    reached: Iteration,
    /// Whether an emission differs from what the candidates say, at an iteration that is in the calendar.
    unsettled: bool,
    /// Whether its rows are listed.
    listed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Emission {
    iteration: Iteration,
    row: u32,
    /// The emission before, at a lower iteration.
    before: u32,
}

/// A row that is emitted at an iteration, or is not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedChange {
    /// The row.
    pub id: u32,
    /// The iteration.
    pub iteration: Iteration,
    /// 1 or −1.
    pub weight: Weight,
}

/// See the module.
#[derive(Debug)]
pub struct KeyedHistory {
    words: usize,
    rows: Vec<u64>,
    derivations: Derivations<State>,
    index: HashIndex,
    key: KeyOf,
    /// Groups by key, each found by one of its rows.
    keys: HashIndex,
    groups: Vec<Group>,
    /// The rows of groups that have many, each behind its rank.
    lists: HashMap<u32, Vec<(i64, u32)>>,
    emissions: Vec<Emission>,
    free: u32,
    order: RowOrder,
    winner: Winner,
    chain: Option<KeyChain>,
    calendar: Calendar,
    derived: Option<ChangeList>,
    emitted: Option<ChangeList>,
    /// How many derivations have to come at least before more than half of the rows can be dead.
    alive_for: usize,
    key_words: Vec<u64>,
    /// Restored emissions: group, iteration, row, weight.
    restoring: Vec<(u32, Iteration, u32, Weight)>,
}

impl KeyedHistory {
    /// An empty history of rows of `words` words, one for each `key`; with `join_key`, emitted rows are found by that.
    #[must_use]
    pub fn new(words: usize, key: KeyOf, order: RowOrder, winner: Winner, join_key: Option<KeyOf>) -> Self {
        Self {
            words,
            rows: Vec::new(),
            derivations: Derivations::new(),
            index: HashIndex::new(words == 1),
            keys: HashIndex::new(key.is_exact()),
            key_words: vec![0; key.words()],
            key,
            groups: Vec::new(),
            lists: HashMap::new(),
            emissions: Vec::new(),
            free: NO_ROW,
            order,
            winner,
            chain: join_key.map(KeyChain::new),
            calendar: Calendar::default(),
            derived: None,
            emitted: None,
            restoring: Vec::new(),
            alive_for: 0,
        }
    }

    /// The calendar.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The packed row.
    #[inline]
    #[must_use]
    pub fn row(&self, id: u32) -> &[u64] {
        &self.rows[words_of(id, self.words)]
    }

    /// Bytes of memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.rows.capacity() * 8
            + self.derivations.size_bytes()
            + self.index.size_bytes()
            + self.keys.size_bytes()
            + self.groups.capacity() * size_of::<Group>()
            + self.lists.values().map(|rows| rows.capacity() * size_of::<(i64, u32)>()).sum::<usize>()
            + self.emissions.capacity() * size_of::<Emission>()
            + self.chain.as_ref().map_or(0, KeyChain::size_bytes)
            + self.calendar.size_bytes()
    }

    /// Applies derivations: packed rows with one iteration and one weight each.
    ///
    /// # Errors
    /// When a weight overflows; that derivation is left out, the others are applied.
    pub fn arrive(&mut self, rows: &[u64], iterations: &[Iteration], weights: &[Weight]) -> Result<(), WeightOverflow> {
        debug_assert_eq!(rows.len(), iterations.len() * self.words, "one iteration per row");
        debug_assert_eq!(iterations.len(), weights.len(), "one weight per row");
        let mut result = Ok(());
        let blocks = rows.chunks(BLOCK * self.words).zip(iterations.chunks(BLOCK)).zip(weights.chunks(BLOCK));
        for ((rows, iterations), weights) in blocks {
            self.index.reserve(BLOCK);
            if iterations.len() > 1 {
                for row in rows.chunks_exact(self.words) {
                    self.index.prefetch(row_key(row));
                }
            }
            for ((row, iteration), weight) in rows.chunks_exact(self.words).zip(iterations).zip(weights) {
                result = result.and(self.derive(row, *iteration, *weight));
            }
        }
        result
    }

    fn derive(&mut self, row: &[u64], iteration: Iteration, weight: Weight) -> Result<(), WeightOverflow> {
        let id = self.intern(row);
        self.alive_for = self.alive_for.saturating_sub(1);
        self.derivations.add(id, iteration, weight)?;
        if let Some(changes) = &mut self.derived {
            changes.push(id, iteration, weight);
        }
        if weight < 0 || !self.has_lost(id, iteration) {
            self.touch(iteration, id);
        }
        Ok(())
    }

    /// Whether a row that is not worse has its key from this iteration on or from before. Then a candidate changes nothing: not now,
    /// nor while that row or a better one has the key, and when it goes the key is settled.
    fn has_lost(&self, id: u32, iteration: Iteration) -> bool {
        let last = || self.emission(self.groups[self.derivations.beside(id).group as usize].last);
        self.winner == Winner::First && last().is_some_and(|last| last.iteration <= iteration && !self.is_before(id, last.row))
    }

    /// The id of a row; room for it in the index is reserved.
    fn intern(&mut self, row: &[u64]) -> u32 {
        let id = self.derivations.next_id();
        let (rows, words) = (&self.rows, self.words);
        let (id, inserted) = self.index.find_or_insert(row_key(row), id, |other| &rows[words_of(other, words)] == row);
        if inserted {
            self.rows.extend_from_slice(row);
            let group = self.group_of(id);
            let next = std::mem::replace(&mut self.groups[group as usize].rows, id);
            if self.groups[group as usize].listed {
                let list = self.lists.get_mut(&group).expect("its rows are listed");
                list.push((self.order.rank(row), id));
            }
            self.derivations.push(State { group, next, mark: 0 });
        }
        id
    }

    /// The group of a row that was just appended.
    fn group_of(&mut self, id: u32) -> u32 {
        self.keys.reserve(1);
        let (rows, words, key, wanted) = (&self.rows, self.words, &self.key, &mut self.key_words);
        key.extract(&rows[words_of(id, words)], wanted);
        let (first, inserted) =
            self.keys.find_or_insert(row_key(wanted), id, |other| key.has_key(&rows[words_of(other, words)], wanted));
        if !inserted {
            return self.derivations.beside(first).group;
        }
        self.groups.push(Group { rows: NO_ROW, last: NO_ROW, reached: 0, unsettled: false, listed: false });
        u32::try_from(self.groups.len() - 1).expect("there are not more keys than rows")
    }

    fn touch(&mut self, iteration: Iteration, id: u32) {
        let mark = &mut self.derivations.beside_mut(id).mark;
        if *mark != iteration + 1 {
            *mark = iteration + 1;
            self.calendar.touch(iteration, id);
        }
    }

    /// Takes up to `limit` rows of the lowest iteration out of the calendar. Each must then be given to [`Self::release`].
    pub fn take_lowest(&mut self, limit: usize, ids: &mut Vec<u32>) -> Option<Iteration> {
        let iteration = self.calendar.take_lowest(limit, ids)?;
        for id in ids.iter() {
            let mark = &mut self.derivations.beside_mut(*id).mark;
            if *mark == iteration + 1 {
                *mark = 0;
            }
        }
        Some(iteration)
    }

    /// Makes what the key of a row emits agree with its candidates as far as `iteration`, and appends what that changes to `changes`.
    /// Returns the rows that had the key before and have it now, where they differ.
    pub fn release(&mut self, iteration: Iteration, id: u32, changes: &mut Vec<KeyedChange>) -> [Option<u32>; 2] {
        let group = self.derivations.beside(id).group;
        let before = self.holder(group);
        if self.groups[group as usize].unsettled {
            self.settle(group, iteration, changes);
        } else {
            self.release_one(group, iteration, id, changes);
        }
        self.reach(group, iteration);
        let now = self.holder(group);
        if before == now { [None, None] } else { [before, now] }
    }

    fn reach(&mut self, group: u32, iteration: Iteration) {
        let reached = &mut self.groups[group as usize].reached;
        *reached = iteration.max(*reached);
    }

    /// The row that has a key at last.
    fn holder(&self, group: u32) -> Option<u32> {
        self.emission(self.groups[group as usize].last).map(|e| e.row)
    }

    fn emission(&self, at: u32) -> Option<Emission> {
        self.emissions.get(at as usize).filter(|_| at != NO_ROW).copied()
    }

    /// What a group emitted, last one first.
    fn emissions_of(&self, group: u32) -> impl Iterator<Item = Emission> + '_ {
        let mut at = self.groups[group as usize].last;
        std::iter::from_fn(move || {
            let emission = self.emission(at)?;
            at = emission.before;
            Some(emission)
        })
    }

    /// What a group emitted, lowest iteration first.
    fn emitted_by(&self, group: u32) -> Vec<(Iteration, u32)> {
        let mut emitted = self.emissions_of(group).map(|e| (e.iteration, e.row)).collect::<Vec<_>>();
        emitted.reverse();
        emitted
    }

    /// Whether a candidate takes the key from a row that took it at an earlier iteration.
    fn wins(&self, candidate: u32, over: Option<u32>) -> bool {
        match (self.winner, over) {
            (_, None) => true,
            (Winner::First, Some(over)) => self.is_before(candidate, over),
            (Winner::Latest, Some(over)) => candidate != over,
        }
    }

    fn is_before(&self, a: u32, b: u32) -> bool {
        a != b && self.order.compare(self.row(a), self.row(b)) == Ordering::Less
    }

    /// One candidate of a group that is settled but for what the calendar holds.
    fn release_one(&mut self, group: u32, iteration: Iteration, id: u32, changes: &mut Vec<KeyedChange>) {
        let is_candidate = self.derivations.weight_at(id, iteration) > 0;
        let last = self.emission(self.groups[group as usize].last);
        if last.is_some_and(|last| last.iteration > iteration) {
            let mut upto = self.emissions_of(group).skip_while(|e| e.iteration > iteration);
            let agrees = self.agrees(id, is_candidate, iteration, upto.next(), upto.next());
            drop(upto);
            if !agrees {
                self.settle(group, iteration, changes);
            }
            return;
        }
        let before = last.and_then(|last| self.emission(last.before));
        if self.agrees(id, is_candidate, iteration, last, before) {
            return;
        }
        // Later candidates that lost to the row that has the key may win over another one; those that a better row has beaten do not.
        let decides_later = self.winner == Winner::Latest && iteration < self.groups[group as usize].reached;
        match last.filter(|last| last.iteration == iteration) {
            Some(_) if !is_candidate => self.settle(group, iteration, changes),
            _ if decides_later => self.settle(group, iteration, changes),
            Some(last) => {
                self.pop(group, changes);
                debug_assert_ne!(last.row, id, "an emitted candidate agrees");
                self.push(group, iteration, id, changes);
            }
            None => self.push(group, iteration, id, changes),
        }
    }

    /// Whether a candidate, or what was one, changes nothing in a group whose last two emissions up to its iteration are these.
    fn agrees(&self, id: u32, is_candidate: bool, iteration: Iteration, last: Option<Emission>, before: Option<Emission>) -> bool {
        match last.filter(|last| last.iteration == iteration) {
            Some(last) if last.row == id => is_candidate,
            Some(last) => !is_candidate || !self.is_before(id, last.row) || !self.wins(id, before.map(|e| e.row)),
            None => !is_candidate || !self.wins(id, last.map(|e| e.row)),
        }
    }

    fn push(&mut self, group: u32, iteration: Iteration, row: u32, changes: &mut Vec<KeyedChange>) {
        self.note(KeyedChange { id: row, iteration, weight: 1 }, changes);
        self.put(group, iteration, row);
    }

    fn put(&mut self, group: u32, iteration: Iteration, row: u32) {
        let last = &mut self.groups[group as usize].last;
        let emission = Emission { iteration, row, before: *last };
        if self.free == NO_ROW {
            *last = u32::try_from(self.emissions.len()).expect("a loop of one worker holds fewer than 2^32 rows");
            self.emissions.push(emission);
        } else {
            *last = self.free;
            let slot = &mut self.emissions[self.free as usize];
            self.free = std::mem::replace(slot, emission).before;
        }
    }

    fn pop(&mut self, group: u32, changes: &mut Vec<KeyedChange>) {
        let at = self.groups[group as usize].last;
        let Emission { iteration, row, before } = self.emissions[at as usize];
        self.groups[group as usize].last = before;
        self.emissions[at as usize].before = std::mem::replace(&mut self.free, at);
        self.note(KeyedChange { id: row, iteration, weight: -1 }, changes);
    }

    fn note(&mut self, change: KeyedChange, changes: &mut Vec<KeyedChange>) {
        changes.push(change);
        if let Some(emitted) = &mut self.emitted {
            emitted.push(change.id, change.iteration, change.weight);
        }
    }

    /// What the candidates of a group from iteration `from` on say that it emits there, lowest iteration first, where the row `before` has
    /// the key until then.
    fn said_by_candidates(&mut self, group: u32, from: Iteration, before: Option<u32>) -> Vec<(Iteration, u32)> {
        let mut candidates = Vec::new();
        let mut add = |derivations: &Derivations<State>, id| {
            let iterations = derivations.of(id).filter(|(iteration, weight)| *weight > 0 && *iteration >= from);
            candidates.extend(iterations.map(|(iteration, _)| (iteration, id)));
        };
        if self.groups[group as usize].listed {
            let worst = match (self.winner, before) {
                (Winner::First, Some(before)) => self.order.rank(self.row(before)),
                _ => i64::MAX,
            };
            let list = &self.lists[&group];
            list.iter().filter(|(rank, _)| *rank <= worst).for_each(|(_, id)| add(&self.derivations, *id));
        } else {
            let mut count = 0;
            let mut id = self.groups[group as usize].rows;
            while id != NO_ROW {
                add(&self.derivations, id);
                id = self.derivations.beside(id).next;
                count += 1;
            }
            if count >= LISTED_ROWS_MIN {
                self.list(group);
            }
        }
        candidates.sort_unstable_by_key(|(iteration, _)| *iteration);
        let mut said: Vec<(Iteration, u32)> = Vec::new();
        for together in candidates.chunk_by(|a, b| a.0 == b.0) {
            let before = said.last().map(|(_, row)| *row).or(before);
            let mut best: Option<u32> = None;
            for (_, id) in together {
                if self.wins(*id, before) && best.is_none_or(|best| self.is_before(*id, best)) {
                    best = Some(*id);
                }
            }
            said.extend(best.map(|row| (together[0].0, row)));
        }
        said
    }

    /// Lists the rows of a group, from now on.
    fn list(&mut self, group: u32) {
        let mut list = Vec::new();
        let mut id = self.groups[group as usize].rows;
        while id != NO_ROW {
            list.push((self.order.rank(self.row(id)), id));
            id = self.derivations.beside(id).next;
        }
        self.lists.insert(group, list);
        self.groups[group as usize].listed = true;
    }

    /// Makes what a group emits agree with its candidates as far as `iteration`, below which it does, and touches the first iteration
    /// after that at which it does not.
    fn settle(&mut self, group: u32, iteration: Iteration, changes: &mut Vec<KeyedChange>) {
        let emitted = self.emitted_by(group);
        let (below, emitted) = emitted.split_at(emitted.partition_point(|(at, _)| *at < iteration));
        let said = self.said_by_candidates(group, iteration, below.last().map(|(_, row)| *row));
        let common = common(&said, emitted);
        let upto = |all: &[(Iteration, u32)]| all.partition_point(|(at, _)| *at <= iteration).max(common);
        let (said_now, emitted_now) = (upto(&said), upto(emitted));
        let later = &emitted[emitted_now..];
        if (said_now, emitted_now) != (common, common) {
            // What is emitted later stays, and goes for a moment: only the list is taken apart, nothing is said.
            let mut silent = Vec::new();
            let listed = self.emitted.take();
            for _ in later {
                self.pop(group, &mut silent);
            }
            self.emitted = listed;
            for _ in common..emitted_now {
                self.pop(group, changes);
            }
            for (at, row) in &said[common..said_now] {
                self.push(group, *at, *row, changes);
            }
            for (at, row) in later {
                self.put(group, *at, *row);
            }
        }
        let differing = said[said_now..].iter().zip(later).find(|(a, b)| a != b).map(|(a, b)| (*a).min(*b));
        let differing = differing.or_else(|| {
            let both = said[said_now..].len().min(later.len());
            said[said_now..].get(both).or(later.get(both)).copied()
        });
        self.groups[group as usize].unsettled = differing.is_some();
        if let Some((at, row)) = differing {
            self.touch(at, row);
        }
    }

    /// Calls `found` with each emitted row of `key`, by the join's key, and each iteration at which it is emitted.
    ///
    /// # Panics
    /// When the history was made without a key of a join.
    pub fn matches(&mut self, key: &[u64], mut found: impl FnMut(&[u64], Iteration)) {
        let chain = self.chain.as_mut().expect("the history was made with a join's key");
        chain.follow(&self.rows, self.words);
        let mut id = chain.first(key, &self.rows, self.words);
        while id != NO_ROW {
            let chain = self.chain.as_ref().expect("see above");
            for emission in self.emissions_of(self.derivations.beside(id).group).filter(|e| e.row == id) {
                found(&self.rows[words_of(id, self.words)], emission.iteration);
            }
            id = chain.next(id);
        }
    }

    /// Forgets rows that nothing derives and that are not emitted, when they are more than half and nothing refers to ids.
    pub fn compact(&mut self) {
        let listed = |list: &Option<ChangeList>| list.as_ref().is_some_and(|l| !l.is_empty());
        if self.derivations.len() < 8192
            || self.alive_for > 0
            || !self.calendar.is_empty()
            || listed(&self.derived)
            || listed(&self.emitted)
        {
            return;
        }
        // The calendar is empty, so every key is settled, and what is emitted is derived.
        let live = self.derivations.ids().filter(|id| !self.derivations.is_underived(*id)).collect::<Vec<_>>();
        if live.len() * 2 > self.derivations.len() {
            self.alive_for = live.len() - self.derivations.len() / 2;
            return;
        }
        let mut fresh = Self::new(self.words, self.key.clone(), self.order.clone(), self.winner, None);
        fresh.chain = self.chain.take();
        if let Some(chain) = &mut fresh.chain {
            chain.clear();
        }
        let mut copies = vec![NO_ROW; self.derivations.len()];
        for id in live {
            fresh.index.reserve(1);
            let copy = fresh.intern(self.row(id));
            copies[id as usize] = copy;
            for (iteration, weight) in self.derivations.of(id) {
                fresh.derivations.add(copy, iteration, weight).expect("each derivation is added once");
                fresh.reach(fresh.derivations.beside(copy).group, iteration);
            }
        }
        for group in 0..u32::try_from(self.groups.len()).expect("there are not more keys than rows") {
            for (iteration, row) in self.emitted_by(group) {
                let copy = copies[row as usize];
                fresh.put(fresh.derivations.beside(copy).group, iteration, copy);
            }
        }
        (fresh.derived, fresh.emitted) = (self.derived.take(), self.emitted.take());
        *self = fresh;
    }

    /// The two Z-sets by row and iteration, derivations and emissions: what changed since the last capture, or everything when
    /// `full` or when changes were not listed. From now on they are.
    pub fn capture(&mut self, full: bool) -> (Captured, Captured) {
        let derived = self.derived.replace(ChangeList::default());
        let emitted = self.emitted.replace(ChangeList::default());
        if let (Some(derived), Some(emitted), false) = (derived, emitted, full) {
            return (self.captured(false, derived.into_consolidated()), self.captured(false, emitted.into_consolidated()));
        }
        let ids = self.derivations.ids();
        let derived = ids.flat_map(|id| self.derivations.of(id).map(move |(i, w)| (id, i, w))).collect();
        let groups = 0..u32::try_from(self.groups.len()).expect("there are not more keys than rows");
        let emitted = groups.flat_map(|group| self.emissions_of(group)).map(|e| (e.row, e.iteration, 1)).collect();
        (self.captured(true, derived), self.captured(true, emitted))
    }

    fn captured(&self, full: bool, changes: Vec<(u32, Iteration, Weight)>) -> Captured {
        Captured::of(full, changes.into_iter().map(|(id, iteration, weight)| (self.row(id), iteration, weight)))
    }

    /// Adds captured derivations and emissions to an empty history; call [`Self::restored`] after the last.
    ///
    /// # Errors
    /// When weights overflow: the state is not one that was captured.
    pub fn restore(
        &mut self,
        derivations: bool,
        rows: &[u64],
        iterations: &[Iteration],
        weights: &[Weight],
    ) -> Result<(), WeightOverflow> {
        for ((row, iteration), weight) in rows.chunks_exact(self.words).zip(iterations).zip(weights) {
            self.index.reserve(1);
            let id = self.intern(row);
            if derivations {
                self.derivations.add(id, *iteration, *weight)?;
                self.reach(self.derivations.beside(id).group, *iteration);
            } else {
                self.restoring.push((self.derivations.beside(id).group, *iteration, id, *weight));
            }
        }
        Ok(())
    }

    /// All parts are back: finds the calendar again, and lists changes from now on.
    ///
    /// # Errors
    /// When a key has two rows at one iteration, or emissions do not add up to one each: the state is not one that was captured.
    pub fn restored(&mut self) -> Result<(), WeightOverflow> {
        let mut emitted = std::mem::take(&mut self.restoring);
        emitted.sort_unstable();
        let mut last = None;
        for same in emitted.chunk_by(|a, b| (a.0, a.1, a.2) == (b.0, b.1, b.2)) {
            let (group, iteration, row, _) = same[0];
            match same.iter().map(|(.., weight)| weight).sum::<Weight>() {
                0 => {}
                1 if last != Some((group, iteration)) => {
                    self.put(group, iteration, row);
                    last = Some((group, iteration));
                }
                _ => return Err(WeightOverflow),
            }
        }
        for group in 0..u32::try_from(self.groups.len()).expect("there are not more keys than rows") {
            let said = self.said_by_candidates(group, 0, None);
            let emitted = self.emitted_by(group);
            let common = common(&said, &emitted);
            let differing = said.get(common).into_iter().chain(emitted.get(common)).min().copied();
            self.groups[group as usize].unsettled = differing.is_some();
            if let Some((at, row)) = differing {
                self.touch(at, row);
            }
        }
        self.derived = Some(ChangeList::default());
        self.emitted = Some(ChangeList::default());
        Ok(())
    }
}

/// How far two lists are the same.
fn common(a: &[(Iteration, u32)], b: &[(Iteration, u32)]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
