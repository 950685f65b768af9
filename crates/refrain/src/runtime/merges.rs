//! Segments that have become many are merged beside the checkpoints, never within one: so a checkpoint takes as long as what has changed is
//! much, however large the state is, and the next one has no more to capture than what has changed since.
//!
//! ```text
//! write ─▶ too many? ask ─▶ commit ─▶ read, add up, write as one (a task of its own) ─▶ the next checkpoint names the one instead
//! ```
//! What a checkpoint has asked for goes with it when it is aborted. A merged segment belongs to an attempt of its own until a checkpoint takes
//! it over, so it is garbage where none does: where the view is gone meanwhile, say.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::SchemaRef;
use refrain_checkpoint::{Attempt, SegmentKind, SegmentRef};
use refrain_state::Dictionary;

use super::segments::{Reading, Target, Writing, added_up};
use crate::error::Result;

/// So many segments are left as they are: where views come and go, merging them would be for nothing.
const SEGMENTS_MIN: usize = 8;

/// Where the last of some segments begin, oldest first, that are to be written again as one. As in a log-structured merge tree each segment
/// is more than twice as large as what comes after it, if they are many: a row is written again a logarithmic number of times.
fn merged_from(segments: &[SegmentRef]) -> usize {
    let Some(last) = segments.last().filter(|_| segments.len() >= SEGMENTS_MIN) else { return segments.len() };
    let (mut sum, mut first) = (last.rows, segments.len() - 1);
    while let Some(before) = first.checked_sub(1).map(|i| &segments[i]).filter(|before| before.rows <= sum * 2) {
        sum += before.rows;
        first -= 1;
    }
    first
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

/// Segments that have become one.
#[derive(Debug)]
struct Merged {
    segments: Vec<SegmentRef>,
    /// `None` where nothing is left.
    one: Option<SegmentRef>,
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
            if let Some(one) = &merged.one {
                attempt.take_over(&merged.attempt, one);
            }
            segments.splice(place..place + merged.segments.len(), merged.one);
        }
    }

    /// Asks for some of these segments to be merged, if they are many.
    pub fn ask(&self, part: Part, segments: &[SegmentRef], schema: &SchemaRef, used_by: &str) {
        let first = merged_from(segments);
        if segments.len() - first > 1 {
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
    pub async fn run(&self, requests: Vec<Request>, begin: impl Fn() -> Option<Attempt>, dictionary: &Arc<Dictionary>) {
        let _running = Running(self);
        for request in requests {
            // None: the engine has ended meanwhile.
            let Some(attempt) = begin() else { break };
            let Ok(one) = request.merge(&attempt, dictionary, self).await else { break };
            self.state().merged.push(Merged { segments: request.segments, one, attempt });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    async fn merge(&self, attempt: &Attempt, dictionary: &Arc<Dictionary>, merges: &Merges) -> Result<Option<SegmentRef>> {
        let reading = Reading::of(attempt.store(), dictionary);
        let read = match self.part {
            Part::Rows => reading.rows(&self.schema, &self.segments, &self.used_by).await?,
            Part::Errors => reading.errors_as_deltas(&self.schema, &self.segments, &self.used_by).await?,
        };
        let rows = added_up(attempt.store(), &self.schema, read).await?;
        let target = Target { attempt, dictionary, merges };
        let writing = Writing { target, schema: &self.schema, used_by: &self.used_by };
        let (rows, errors) = writing.put(SegmentKind::State, (self.full, self.full), rows).await?;
        Ok(rows.or(errors))
    }
}

#[cfg(test)]
mod tests;
