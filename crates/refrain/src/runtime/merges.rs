//! Segments that have become many are merged beside the checkpoints, never within one: so a checkpoint takes as long as what has changed is
//! much, however large the state is, and the next one has no more to capture than what has changed since.
//!
//! ```text
//! write ─▶ too many? ask ─▶ commit ─▶ read, add up, write as one run (a task of its own) ─▶ the next checkpoint names that instead
//! ```
//! What a checkpoint has asked for goes with it when it is aborted. A merged segment belongs to an attempt of its own until a checkpoint takes
//! it over, so it is garbage where none does: where the view is gone meanwhile, say.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use refrain_checkpoint::{Attempt, SegmentKind, SegmentRef, Store};
use refrain_dataflow::loop_log::Piece;
use refrain_state::memory::Use;
use refrain_state::{Dictionary, Memory};
use refrain_types::physical::physical_schema;

use super::segments::{Reading, Source, Target, Writing, added_up, aside};
use crate::error::Result;
use crate::relation::deal;

/// So many are left as they are: where views come and go, merging them would be for nothing.
const RUNS_MIN: usize = 8;

/// A part of the memory that there is, for what is merged at a time.
const SHARE_OF_MEMORY: usize = 16;
/// Bytes in the store of what is merged at a time, at least, where memory is limited.
const AT_A_TIME_BYTES_MIN: usize = if cfg!(test) { 1 << 9 } else { 1 << 20 };

/// Where the last of some segments begin, oldest first, that are to be written again as one run, as segments that were written at once are
/// one. As in a log-structured merge tree each run is more than twice as large as what comes after it, if they are many: a row is written
/// again a logarithmic number of times.
fn merged_from(segments: &[SegmentRef]) -> usize {
    let starts = (0..segments.len()).filter(|i| *i == 0 || !segments[*i].continues).collect::<Vec<_>>();
    let rows = |run: usize| {
        let end = starts.get(run + 1).copied().unwrap_or(segments.len());
        segments[starts[run]..end].iter().map(|segment| segment.rows).sum::<u64>()
    };
    let Some(mut first) = starts.len().checked_sub(1).filter(|_| starts.len() >= RUNS_MIN) else { return segments.len() };
    let mut sum = rows(first);
    while let Some(before) = first.checked_sub(1).map(rows).filter(|before| *before <= sum * 2) {
        sum += before;
        first -= 1;
    }
    if first + 1 < starts.len() { starts[first] } else { segments.len() }
}

/// What is to be merged, and what has been.
#[derive(Debug, Default)]
pub(super) struct Merges(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By the checkpoint that is under way.
    asked: Vec<Request>,
    /// Not named by a checkpoint yet.
    merged: Vec<Merged>,
    is_running: bool,
}

/// What is in segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Rows,
    Errors,
}

/// Segments that are to become one.
#[derive(Debug)]
pub(super) struct Request {
    part: Part,
    segments: Vec<SegmentRef>,
    /// They are all that there are of their part.
    full: bool,
    schema: SchemaRef,
    used_by: String,
}

/// Segments that have become one run.
#[derive(Debug)]
struct Merged {
    segments: Vec<SegmentRef>,
    /// Nothing where nothing is left.
    run: Vec<SegmentRef>,
    attempt: Attempt,
}

/// Merging is under way as long as this is there, however it ends.
struct Running<'a>(&'a Merges);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.state().is_running = false;
    }
}

impl Merges {
    /// Names what has been merged in the place of what it is made of.
    pub fn apply(&self, segments: &mut Vec<SegmentRef>, attempt: &Attempt) {
        let mut state = self.state();
        while let Some((place, number)) = state.merged.iter().enumerate().find_map(|(number, merged)| {
            let place = segments.windows(merged.segments.len()).position(|window| window == merged.segments)?;
            Some((place, number))
        }) {
            let merged = state.merged.swap_remove(number);
            for segment in &merged.run {
                attempt.take_over(&merged.attempt, segment);
            }
            segments.splice(place..place + merged.segments.len(), merged.run);
        }
    }

    /// Asks for some of these segments to be merged, if they are many.
    pub fn ask(&self, part: Part, segments: &[SegmentRef], schema: &SchemaRef, used_by: &str) {
        let first = merged_from(segments);
        if first < segments.len() {
            let request = Request {
                part,
                segments: segments[first..].to_vec(),
                full: first == 0,
                schema: Arc::clone(schema),
                used_by: used_by.to_owned(),
            };
            self.state().asked.push(request);
        }
    }

    /// A checkpoint has ended. Returns what is to be merged now: nothing where it was not committed, and not yet where merging is under way.
    /// `named` are the segments of the last one that was.
    pub fn after_checkpoint(&self, committed: bool, named: &BTreeSet<String>) -> Vec<Request> {
        let mut state = self.state();
        let asked = std::mem::take(&mut state.asked);
        if !committed {
            return Vec::new();
        }
        state.merged.retain(|merged| merged.segments.iter().all(|segment| named.contains(&segment.name)));
        if state.is_running {
            return Vec::new();
        }
        state.is_running = !asked.is_empty();
        asked
    }

    /// Merges, one after the other. What fails is asked for again by the next checkpoint.
    pub async fn run(
        &self,
        requests: Vec<Request>,
        begin: impl Fn() -> Option<Attempt>,
        (dictionary, memory): (&Arc<Dictionary>, &Arc<Memory>),
    ) {
        let _running = Running(self);
        for request in requests {
            // None: the engine has ended meanwhile.
            let Some(attempt) = begin() else { break };
            let Ok(run) = request.merge(&attempt, (dictionary, memory), self).await else { break };
            self.state().merged.push(Merged { segments: request.segments, run, attempt });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    async fn merge(
        &self,
        attempt: &Attempt,
        (dictionary, memory): (&Arc<Dictionary>, &Arc<Memory>),
        merges: &Merges,
    ) -> Result<Vec<SegmentRef>> {
        let target = Target { attempt, dictionary, merges };
        let writing = Writing { target, schema: &self.schema, used_by: &self.used_by };
        let (shares, physical) = (self.shares(attempt.store(), dictionary, memory).await?, physical_schema(&self.schema));
        let rows: Source = Box::new(move |each| {
            for share in shares {
                added_up(&physical, &share)?.into_iter().for_each(|piece| each(None, piece));
            }
            Ok(())
        });
        let written = writing.write(SegmentKind::State, (self.full, self.full), rows).await?;
        Ok(if self.part == Part::Rows { written.rows } else { written.errors })
    }

    /// What is in the segments, in shares that are added up one after the other, since memory has room for one: equal rows are in one share.
    async fn shares(&self, store: &Store, dictionary: &Arc<Dictionary>, memory: &Arc<Memory>) -> Result<Vec<Vec<Piece>>> {
        let reading = Reading::of(store, dictionary);
        if self.part == Part::Errors {
            return Ok(vec![reading.errors_as_deltas(&self.schema, &self.segments, &self.used_by).await?]);
        }
        let bytes = self.segments.iter().map(|segment| segment.bytes).sum::<u64>();
        let at_a_time = (memory.limit(Use::Rows) / SHARE_OF_MEMORY).max(AT_A_TIME_BYTES_MIN) as u64;
        let count = usize::try_from(bytes.div_ceil(at_a_time)).expect("segments in a store are far fewer bytes");
        if count <= 1 {
            let read = reading.rows(&self.schema, &self.segments, &self.used_by).await?;
            return Ok(vec![read.into_iter().map(|(_, delta)| delta.into()).collect()]);
        }
        let physical = physical_schema(&self.schema);
        let mut shares = vec![Vec::new(); count];
        for segment in &self.segments {
            let read = reading.rows(&self.schema, std::slice::from_ref(segment), &self.used_by).await?;
            let (physical, memory) = (Arc::clone(&physical), Arc::clone(memory));
            shares = aside(store, move || {
                for (_, delta) in read {
                    let dealt = deal(&physical, &delta, count).into_iter().zip(&mut shares);
                    dealt
                        .filter(|(part, _)| part.num_rows() > 0)
                        .for_each(|(part, share)| share.push(Piece::keep(part, &memory, Use::Rows)));
                }
                Ok(shares)
            })
            .await?;
        }
        Ok(shares)
    }
}

#[cfg(test)]
mod tests;
