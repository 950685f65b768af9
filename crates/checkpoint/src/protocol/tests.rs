use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn facts(dataflows: Vec<DataflowFacts>) -> Facts {
    let running = Some(Running::starting(ms(0), dataflows));
    Facts { now: ms(0), settings: Settings::default(), requested: false, restoring: false, last: Last::default(), running }
}

/// View 2 reads view 1; both have loops.
fn chain() -> Facts {
    let (one, two) = (DataflowId(1), DataflowId(2));
    facts(vec![DataflowFacts::running(one, vec![two], true), DataflowFacts::running(two, vec![], true)])
}

impl Facts {
    fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    fn phase(&mut self, id: u64, phase: Phase) {
        self.running().dataflows.iter_mut().find(|d| d.id.0 == id).unwrap().phase = phase;
    }
}

#[test]
fn a_checkpoint_begins_on_request_and_when_it_is_due() {
    let mut idle = Facts { running: None, ..chain() };
    assert_eq!(decide(&idle), Decision::Wait(None));
    idle.settings.interval_ms = Some(100);
    assert_eq!(decide(&idle), Decision::Wait(Some(ms(100))));
    idle.now = ms(100);
    assert_eq!(decide(&idle), Decision::Begin);
    let asked = Facts { requested: true, now: ms(0), ..idle.clone() };
    assert_eq!(decide(&asked), Decision::Begin);
    // What is still to be read from the last checkpoint would be missing.
    assert_eq!(decide(&Facts { restoring: true, ..asked }), Decision::Wait(None));
    assert_eq!(decide(&Facts { restoring: true, ..idle }), Decision::Wait(None));
}

/// What a coordinator may not make of its facts.
#[test]
fn steps_that_break_a_rule_are_named() {
    let broken = |before: &Facts, change: &dyn Fn(&mut Facts)| {
        let mut after = before.clone();
        change(&mut after);
        before.broken_step(&after)
    };
    let idle = Facts { running: None, ..chain() };
    assert_eq!(idle.broken_step(&chain()), None);
    assert!(Facts { restoring: true, ..idle.clone() }.broken_step(&chain()).is_some());
    assert!(broken(&idle, &|f| f.running = Some(Running { tables_captured: true, ..Running::starting(ms(0), vec![]) })).is_some());

    let mut held = chain();
    held.phase(2, Phase::Held { since: ms(5) });
    let captured = |at| Phase::Captured { held_since: ms(at) };
    assert_eq!(broken(&held, &|f| f.phase(2, captured(5))), None);
    assert_eq!(broken(&held, &|f| f.phase(2, Phase::Released { captured: false })), None);
    assert_eq!(broken(&held, &|f| drop(f.running().dataflows.remove(0))), None);
    for phase in [captured(6), Phase::Running, Phase::HoldRequested, Phase::Released { captured: true }] {
        assert_eq!(broken(&held, &|f| f.phase(2, phase)), Some("a dataflow goes from one phase to the next"), "{phase:?}");
    }
    assert!(broken(&held, &|f| f.phase(1, captured(5))).is_some());
    assert!(broken(&held, &|f| f.running().dataflows.push(DataflowFacts::running(DataflowId(3), vec![], false))).is_some());
    assert!(broken(&held, &|f| f.running().started = ms(1)).is_some());
    assert!(broken(&held, &|f| f.running = None).is_some());
    assert!(broken(&held, &|f| f.running().commit = CommitFacts::Ours).is_some());

    let mut putting = held.clone();
    putting.running().tables_captured = true;
    assert_eq!(broken(&putting, &|f| f.running().commit = CommitFacts::Putting), None);
    assert!(broken(&putting, &|f| f.running().tables_captured = false).is_some());
    putting.running().commit = CommitFacts::Putting;
    for commit in [CommitFacts::Ours, CommitFacts::Theirs, CommitFacts::Unknown { since: ms(9) }] {
        assert_eq!(broken(&putting, &|f| f.running().commit = commit.clone()), None);
    }
    assert!(broken(&putting, &|f| f.running().commit = CommitFacts::NotTried).is_some());
    let mut ours = putting;
    ours.running().commit = CommitFacts::Ours;
    assert!(broken(&ours, &|f| f.running().aborted = Some(AbortReason::Timeout)).is_some());
    assert!(broken(&ours, &|f| f.running().commit = CommitFacts::Putting).is_some());
    assert!(broken(&ours, &|f| f.running = None).is_some());
    for id in [1, 2] {
        ours.phase(id, Phase::Released { captured: true });
    }
    assert_eq!(broken(&ours, &|f| f.running = None), None);
}

/// The interval is from beginning to beginning, unless loops would get no time between one checkpoint and the next.
#[test]
fn checkpoints_are_an_interval_apart() {
    let due = |began, ended, pause| {
        let mut idle = Facts { running: None, now: ms(ended), ..chain() };
        idle.settings.interval_ms = Some(100);
        idle.last = Last { began: ms(began), ended: ms(ended), pause: ms(pause) };
        decide(&idle)
    };
    assert_eq!(due(1_000, 1_010, 2), Decision::Wait(Some(ms(1_100))));
    assert_eq!(due(1_000, 1_099, 7), Decision::Wait(Some(ms(1_106))));
    assert_eq!(due(1_000, 1_500, 7), Decision::Wait(Some(ms(1_507))));
    assert_eq!(due(1_000, 1_500, 400), Decision::Wait(Some(ms(1_600))));
    assert_eq!(due(1_000, 1_500, 0), Decision::Begin);
}

#[test]
fn a_request_that_arrives_meanwhile_waits() {
    let mut facts = chain();
    facts.requested = true;
    assert_ne!(decide(&facts), Decision::Begin);
    facts.running().commit = CommitFacts::Ours;
    for id in [1, 2] {
        facts.phase(id, Phase::Released { captured: true });
    }
    assert_eq!(decide(&facts), Decision::Finish);
    facts.running = None;
    assert_eq!(decide(&facts), Decision::Begin);
}

/// The whole way, as the coordinator goes it.
#[test]
fn readers_first_then_what_they_read_then_tables_then_the_commit() {
    let mut facts = chain();
    for id in [2, 1] {
        let dataflow = DataflowId(id);
        assert_eq!(decide(&facts), Decision::Hold(vec![dataflow]));
        facts.phase(id, Phase::HoldRequested);
        assert_eq!(decide(&facts), Decision::Wait(Some(if id == 2 { ms(60_000) } else { ms(200) })));
        assert_eq!(facts.running().awaits(), Awaited::Dataflows(vec![dataflow]));
        facts.phase(id, Phase::Held { since: ms(0) });
        assert_eq!(decide(&facts), Decision::Capture(dataflow));
        facts.phase(id, Phase::Captured { held_since: ms(0) });
    }
    assert_eq!(decide(&facts), Decision::CaptureTables);
    assert_eq!(facts.running().awaits(), Awaited::Statements);
    facts.running().tables_captured = true;
    facts.running().uploads.outstanding = 1;
    assert_eq!(decide(&facts), Decision::Wait(Some(ms(200))));
    assert_eq!(facts.running().awaits(), Awaited::Uploads(1));
    facts.running().uploads.outstanding = 0;
    assert_eq!(decide(&facts), Decision::Commit);
    facts.running().commit = CommitFacts::Putting;
    assert_eq!(decide(&facts), Decision::Wait(Some(ms(200))));
    assert_eq!(facts.running().awaits(), Awaited::Manifest);
    facts.running().commit = CommitFacts::Unknown { since: ms(10) };
    assert_eq!(decide(&facts), Decision::Wait(Some(ms(110))));
    facts.now = ms(110);
    assert_eq!(decide(&facts), Decision::ReadBack);
    facts.running().commit = CommitFacts::Ours;
    assert_eq!(decide(&facts), Decision::Release(vec![DataflowId(1), DataflowId(2)]));
}

#[test]
fn loops_go_on_after_the_longest_hold_and_the_checkpoint_with_them() {
    let mut facts = chain();
    facts.phase(2, Phase::Captured { held_since: ms(0) });
    facts.phase(1, Phase::HoldRequested);
    facts.now = ms(200);
    assert_eq!(decide(&facts), Decision::Release(vec![DataflowId(2)]));
    facts.phase(2, Phase::Released { captured: true });
    facts.phase(1, Phase::Held { since: ms(200) });
    assert_eq!(decide(&facts), Decision::Capture(DataflowId(1)));
    // However long the workers take to hand over a large state, the checkpoint is not given up for it.
    facts.now = ms(400);
    assert_eq!(decide(&facts), Decision::Capture(DataflowId(1)));
}

#[test]
fn at_capture_and_without_loops_nothing_waits_for_the_commit() {
    let mut at_capture = chain();
    at_capture.settings.replay = Replay::AtCapture;
    at_capture.phase(2, Phase::Captured { held_since: ms(0) });
    assert_eq!(decide(&at_capture), Decision::Release(vec![DataflowId(2)]));
    let mut without_loops = facts(vec![DataflowFacts::running(DataflowId(3), vec![], false)]);
    without_loops.phase(3, Phase::Captured { held_since: ms(0) });
    assert_eq!(decide(&without_loops), Decision::Release(vec![DataflowId(3)]));
}

#[test]
fn whatever_fails_before_the_commit_aborts_and_releases_everything() {
    type Failure = fn(&mut Facts);
    let failures: [(Failure, AbortReason); 5] = [
        (|f| f.running().uploads.failed = Some("disk full".into()), AbortReason::UploadFailed("disk full".into())),
        (|f| f.running().commit = CommitFacts::Failed("no".into()), AbortReason::CommitFailed("no".into())),
        (|f| f.running().commit = CommitFacts::Theirs, AbortReason::Fenced),
        (|f| f.now = ms(60_000), AbortReason::Timeout),
        (
            |f| {
                f.running().commit = CommitFacts::Unknown { since: ms(59_999) };
                f.now = ms(60_000);
            },
            AbortReason::CommitUnknown,
        ),
    ];
    for (fail, reason) in failures {
        let mut facts = chain();
        facts.phase(2, Phase::HoldRequested);
        fail(&mut facts);
        assert_eq!(decide(&facts), Decision::Abort(reason.clone()));
        facts.running().aborted = Some(reason);
        assert_eq!(decide(&facts), Decision::Release(vec![DataflowId(1), DataflowId(2)]));
        for id in [1, 2] {
            facts.phase(id, Phase::Released { captured: false });
        }
        assert_eq!(decide(&facts), Decision::Finish);
    }
}

#[test]
fn a_commit_that_is_known_is_not_aborted_by_the_clock() {
    let mut facts = chain();
    facts.running().commit = CommitFacts::Ours;
    facts.now = ms(60_000);
    assert!(matches!(decide(&facts), Decision::Release(_)));
}

#[test]
fn readers_that_were_dropped_are_not_waited_for() {
    let mut facts = chain();
    facts.running().dataflows.pop();
    assert_eq!(decide(&facts), Decision::Hold(vec![DataflowId(1)]));
}

/// A coordinator with workers and a store that do anything they may, steered by `choices`.
struct World {
    facts: Facts,
    /// Id, and when the loop reached its barrier, of what is held.
    held: Vec<(DataflowId, Duration)>,
    ended: Option<Result<(), AbortReason>>,
    deadline: Option<Duration>,
}

impl World {
    /// One thing happens: a worker or the store moves, or time passes, never beyond what the coordinator waits for.
    fn happen(&mut self, choice: u16) {
        let now = self.facts.now;
        let which = usize::from(choice / 8);
        let Some(running) = &mut self.facts.running else { return };
        match choice % 8 {
            0..=2 => {
                let asked = running.dataflows.iter_mut().filter(|d| d.phase == Phase::HoldRequested).collect::<Vec<_>>();
                let count = asked.len();
                if let Some(d) = asked.into_iter().nth(which % count.max(1)) {
                    d.phase = Phase::Held { since: now };
                    self.held.extend(d.has_loops.then_some((d.id, now)));
                }
            }
            3 | 4 => running.uploads.outstanding = running.uploads.outstanding.saturating_sub(1),
            5 if running.uploads.outstanding > 0 && which % 16 == 0 => running.uploads.failed = Some("injected".into()),
            6 if running.commit == CommitFacts::Putting => {
                running.commit = match which % 6 {
                    0 => CommitFacts::Failed("injected".into()),
                    1 => CommitFacts::Theirs,
                    2 | 3 => CommitFacts::Unknown { since: now },
                    _ => CommitFacts::Ours,
                }
            }
            _ => {
                let step = now + ms(u64::from(choice / 8 % 300));
                self.facts.now = self.deadline.map_or(step, |deadline| step.min(deadline));
            }
        }
    }

    /// The coordinator acts until it waits.
    fn act(&mut self) {
        loop {
            assert_eq!(self.facts.broken_rule(), None);
            let decision = decide(&self.facts);
            self.check(&decision);
            let now = self.facts.now;
            let Some(running) = &mut self.facts.running else {
                assert!(matches!(decision, Decision::Wait(None)));
                return;
            };
            match decision {
                Decision::Wait(until) => {
                    assert!(until.is_some_and(|until| until > now), "waiting for what is past would spin");
                    self.deadline = until;
                    return;
                }
                Decision::Hold(ids) => running.each(&ids, |d| {
                    assert_eq!(d.phase, Phase::Running);
                    d.phase = Phase::HoldRequested;
                }),
                Decision::Capture(id) => {
                    running.uploads.outstanding += 1;
                    running.each(&[id], |d| match d.phase {
                        Phase::Held { since } => d.phase = Phase::Captured { held_since: since },
                        _ => panic!("only what is held is captured"),
                    });
                }
                Decision::Release(ids) => {
                    running.each(&ids, |d| d.phase = Phase::Released { captured: d.is_captured() });
                    self.held.retain(|(id, _)| !ids.contains(id));
                }
                Decision::CaptureTables => {
                    assert!(!running.tables_captured);
                    running.tables_captured = true;
                    running.uploads.outstanding += 1;
                }
                Decision::Commit | Decision::ReadBack => running.commit = CommitFacts::Putting,
                Decision::Abort(reason) => running.aborted = Some(reason),
                Decision::Finish => {
                    self.ended = Some(running.aborted.take().map_or(Ok(()), Err));
                    self.facts.running = None;
                }
                Decision::Begin => panic!("one in flight"),
            }
        }
    }

    fn check(&self, decision: &Decision) {
        let Some(running) = &self.facts.running else { return };
        let hold_max = ms(self.facts.settings.hold_max_ms);
        let patient = running.commit == CommitFacts::Ours || running.aborted.is_some();
        match decision {
            Decision::Capture(id) => {
                let dataflow = running.dataflows.iter().find(|d| d.id == *id).unwrap();
                let mut readers = running.dataflows.iter().filter(|d| dataflow.readers.contains(&d.id));
                let captured = |p| matches!(p, Phase::Captured { .. } | Phase::Released { captured: true });
                assert!(readers.all(|d| captured(d.phase)), "readers first");
                assert!(!running.tables_captured, "tables last");
            }
            Decision::Commit => {
                assert!(running.tables_captured && running.uploads.outstanding == 0 && running.uploads.failed.is_none());
                assert!(running.dataflows.iter().all(DataflowFacts::is_captured), "complete or invisible");
            }
            Decision::Release(ids) if !patient && self.facts.settings.replay == Replay::AtCommit => {
                let early =
                    self.held.iter().filter(|(id, _)| ids.contains(id)).find(|(_, since)| self.facts.now < *since + hold_max);
                assert_eq!(early, None, "loops wait for the commit");
            }
            Decision::Wait(_) => {
                let late = self.held.iter().find(|(_, since)| self.facts.now >= *since + hold_max);
                assert_eq!(late, None, "no loop is held for longer");
            }
            Decision::Finish => {
                assert!(self.held.is_empty(), "everything goes on");
                assert_ne!(running.commit == CommitFacts::Ours, running.aborted.is_some(), "commit or abort");
            }
            _ => {}
        }
    }
}

impl Running {
    fn each(&mut self, ids: &[DataflowId], change: impl Fn(&mut DataflowFacts)) {
        let chosen = self.dataflows.iter_mut().filter(|d| ids.contains(&d.id)).collect::<Vec<_>>();
        assert_eq!(chosen.len(), ids.len());
        chosen.into_iter().for_each(change);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Views read views with smaller ids; whatever workers and store do, the checkpoint ends, in time, and in one of two ways.
    #[test]
    fn every_checkpoint_ends_in_commit_or_abort(
        reads in prop::collection::vec((any::<u8>(), any::<bool>()), 0..6),
        at_capture in any::<bool>(),
        choices in prop::collection::vec(any::<u16>(), 0..200),
    ) {
        let ids = 0..reads.len() as u64;
        let readers_of = |id: u64| ids.clone().filter(|r| *r > id && reads[*r as usize].0 & (1 << id) != 0).map(DataflowId).collect();
        let dataflows = ids.clone().map(|id| DataflowFacts::running(DataflowId(id), readers_of(id), reads[id as usize].1));
        let mut facts = facts(dataflows.collect());
        facts.settings = Settings { timeout_ms: 3_000, ..Settings::default() };
        facts.settings.replay = if at_capture { Replay::AtCapture } else { Replay::AtCommit };
        let mut world = World { facts, held: vec![], ended: None, deadline: None };
        world.act();
        for choice in choices {
            world.happen(choice);
            world.act();
        }
        // From here on nobody moves any more; only the clock does, from one deadline to the next.
        for _ in 0..100 {
            let Some(deadline) = world.deadline.filter(|_| world.ended.is_none()) else { break };
            world.facts.now = deadline;
            world.act();
        }
        prop_assert!(world.ended.is_some(), "it never ended");
        prop_assert!(world.facts.now <= ms(3_000), "it ended too late");
    }
}
