//! What a dataflow takes in next, and when: the input of its next tick.

use std::sync::Arc;
use std::time::Duration;

use refrain_dataflow::{Order, TickInput};
use refrain_types::{Delta, Epoch};

use super::Runtime;
use super::views::{Running, View, feed};

/// So long a view keeps to an epoch at which somebody reads it, while later input waits.
const READ_PATIENCE: Duration = Duration::from_secs(1);

impl View {
    /// Whether it is to settle before it takes in more: at an epoch that it has gone over it cannot be read any more.
    fn keeps_to_its_epoch(&self, now: Duration) -> bool {
        let is_read =
            |admitted| admitted > self.relation.settled() && (self.relation.is_read_at(admitted) || self.relation.keeps_history());
        self.admitted.is_some_and(is_read) && now < self.admitted_at + READ_PATIENCE
    }

    /// How far all sources can be read now, exactly.
    fn readable(&self) -> Option<Epoch> {
        let after = self.admitted.unwrap_or(Epoch(0));
        let Some(up_to) = self.sources.values().map(|s| s.relation.admissible(after)).min() else {
            // Without sources there is nothing to wait for.
            return Some(self.relation.visible_epoch().max(self.hydrate_at));
        };
        // Where the past can be read, each epoch that changes a source is taken in by itself.
        let is_stepping = self.admitted.is_some() && self.relation.keeps_history();
        let change = if is_stepping { self.next_change(after) } else { None };
        let up_to = change.map_or(up_to, |(_, change)| up_to.min(change));
        self.sources.values().all(|s| s.relation.is_exact_at(up_to)).then_some(up_to)
    }

    /// The first epoch after this one at which a source is another, and the last before at which all are known to be as they were.
    fn next_change(&self, after: Epoch) -> Option<(Epoch, Epoch)> {
        let changes = self.sources.values().filter_map(|source| source.relation.next_change(after)).collect::<Vec<_>>();
        let change = changes.iter().map(|(_, change)| *change).min()?;
        let before = changes.iter().filter(|(_, epoch)| *epoch == change).map(|(before, _)| *before).min()?;
        Some((before, change))
    }

    /// Opens the next tick if the view is idle and there is something to do. Returns whether the view has settled further without
    /// a tick, so that others may go on.
    pub fn admit(&mut self, now: Duration) -> bool {
        if self.running.is_some() {
            self.note_waiting(now);
            return false;
        }
        if self.frozen || self.capturing || !self.coming.is_empty() {
            return false;
        }
        // A tick was cut: something is still to be done.
        let unsettled = self.admitted.is_some_and(|a| a > self.relation.settled());
        match (self.admitted, self.readable()) {
            (None, Some(epoch)) if epoch >= self.hydrate_at => {
                let mut feeds = Vec::new();
                for (node, relation) in &self.feeds {
                    let snapshot = self.sources[relation].relation.snapshot_at(epoch);
                    let errors =
                        Delta { errors: snapshot.errors, ..Delta::empty(self.sources[relation].relation.physical.clone()) };
                    feeds.extend(feed(*node, snapshot.chunks));
                    feeds.extend(feed(*node, (!errors.is_empty()).then(|| Arc::new(errors))));
                }
                self.open((epoch, now), feeds, true);
                false
            }
            (None, _) => false,
            (Some(admitted), Some(epoch)) if epoch > admitted && !self.keeps_to_its_epoch(now) => {
                let mut feeds = Vec::new();
                for (node, relation) in &self.feeds {
                    for (_, deltas) in self.sources[relation].relation.changes(admitted, epoch) {
                        feeds.extend(feed(*node, deltas));
                    }
                }
                if feeds.is_empty() && !unsettled {
                    self.admitted = Some(epoch);
                    self.relation.advance(epoch);
                    for source in self.sources.values() {
                        source.relation.release(source.reader, epoch);
                    }
                    return true;
                }
                if !unsettled
                    && self.relation.keeps_history()
                    && let Some((before, _)) = self.next_change(admitted)
                {
                    // So the epochs in between are told from this one.
                    self.relation.advance(before.max(admitted));
                }
                self.open((epoch, now), feeds, false);
                false
            }
            (Some(admitted), _) => {
                if unsettled {
                    self.open((admitted, self.admitted_at), Vec::new(), false);
                }
                false
            }
        }
    }

    fn open(&mut self, (epoch, at): (Epoch, Duration), feeds: Vec<(usize, Arc<Delta>)>, constants: bool) {
        (self.admitted, self.admitted_at) = (Some(epoch), at);
        self.tick = self.tick.next();
        self.running = Some(Running { waiting_since: None, cut: false });
        self.control.order(Order::Tick(Arc::new(TickInput { tick: self.tick, feeds, constants })));
    }

    /// Remembers since when input waits for the running tick.
    fn note_waiting(&mut self, now: Duration) {
        let admitted = self.admitted.expect("a tick is running");
        let waits =
            !self.plan.loops().is_empty() && self.sources.values().any(|s| s.relation.has_changes(admitted, s.relation.settled()));
        if let Some(running) = &mut self.running
            && waits
        {
            running.waiting_since.get_or_insert(now);
        }
    }

    /// Cuts the running tick when input has waited for it long enough.
    fn cut_if_due(&mut self, now: Duration, admit_after_ms: u64) {
        if self.keeps_to_its_epoch(now) {
            return;
        }
        let patience = Duration::from_millis(admit_after_ms.saturating_mul(1 << self.patience));
        if let Some(running) = &mut self.running
            && !running.cut
            && running.waiting_since.is_some_and(|since| now.saturating_sub(since) >= patience)
        {
            running.cut = true;
            self.control.hold(self.tick);
        }
    }
}

impl Runtime {
    /// Time has passed: cuts the ticks that input has waited for too long.
    pub(super) fn watch(&self) {
        let now = self.environment.monotonic();
        let mut schedule = self.schedule();
        let admit_after_ms = schedule.admit_after_ms;
        for view in schedule.views.values_mut() {
            view.cut_if_due(now, admit_after_ms);
        }
    }
}
