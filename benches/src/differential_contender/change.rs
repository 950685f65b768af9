//! Single changes under a standing recursion, each complete before the next begins.

use std::sync::{Arc, Mutex};

use differential_dataflow::input::Input;
use timely::dataflow::ProbeHandle;

use super::load::reachable;
use super::{Time, Value, execute};
use crate::checksum::{Answer, RowHash};
use crate::clock::Stopwatch;
use crate::data::Reach;
use crate::measurement::{Finish, Latency, Measurement};

/// A consolidated change to the answer: (target, source), time, weight.
type Update<N> = ((N, N), Time, isize);

/// The work in the nodes that the dataflow sees.
pub(super) struct Work<N> {
    pub(super) sources: Vec<N>,
    pub(super) edges: Vec<(N, N)>,
    /// Edges with their weight; those before `timed` are not timed.
    pub(super) changes: Vec<((N, N), isize)>,
    pub(super) timed: usize,
}

impl<N> Work<N> {
    pub(super) fn of(work: &Reach, mut node: impl FnMut(&String) -> N) -> Self {
        let mut pair = |(source, target): &(String, String)| (node(source), node(target));
        let edges = work.edges.iter().map(&mut pair).collect();
        let changes = work.warm_up.iter().chain(&work.changes);
        let changes = changes.map(|change| (pair(&change.edge), if change.insert { 1 } else { -1 })).collect();
        Self { sources: work.sources.iter().map(node).collect(), edges, changes, timed: work.warm_up.len() }
    }
}

/// "Reachable from 100 packages": the first load, then every change from its hand-over until the consolidated changes to the
/// answer are in the hands of a reader.
pub(crate) fn reach(workers: usize, work: &Reach) -> Measurement {
    reach_as(workers, Work::of(work, String::clone), String::clone)
}

/// The same, for nodes that stand for packages; the reader is handed the name of each.
pub(super) fn reach_as<N: Value>(
    workers: usize,
    work: Work<N>,
    name: impl Fn(&N) -> String + Clone + Send + Sync + 'static,
) -> Measurement {
    let inbox: Arc<Mutex<Vec<Update<String>>>> = Arc::default();
    let outbox = Arc::clone(&inbox);
    let (loaded, times) = execute(workers, move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let probe = ProbeHandle::new();
        let (mut sources, mut edges) = worker.dataflow::<Time, _, _>(|scope| {
            let (source_input, sources) = scope.new_collection::<N, isize>();
            let (edge_input, edges) = scope.new_collection::<(N, N), isize>();
            let bases = sources.map(|source| (source.clone(), source));
            let (outbox, name) = (Arc::clone(&outbox), name.clone());
            let named = move |((target, source), time, weight): &Update<N>| ((name(target), name(source)), *time, *weight);
            let deliver = move |updates: &[Update<N>]| outbox.lock().expect("no reader panics").extend(updates.iter().map(&named));
            reachable(edges, bases).consolidate().inspect_batch(move |_, updates| deliver(updates)).probe_with(&probe);
            (source_input, edge_input)
        });
        let clock = Stopwatch::start();
        for source in work.sources.iter().skip(index).step_by(peers) {
            sources.insert(source.clone());
        }
        sources.close();
        for edge in work.edges.iter().skip(index).step_by(peers) {
            edges.insert(edge.clone());
        }
        edges.advance_to(1);
        edges.flush();
        worker.step_while(|| probe.less_than(edges.time()));
        let loaded = clock.elapsed();
        let mut times = Vec::with_capacity(work.changes.len());
        for (number, (edge, weight)) in work.changes.iter().enumerate() {
            let edge = edge.clone();
            let clock = Stopwatch::start();
            if index == 0 {
                edges.update(edge, *weight);
            }
            edges.advance_to(edges.time() + 1);
            edges.flush();
            worker.step_while(|| probe.less_than(edges.time()));
            if number >= work.timed {
                times.push(clock.elapsed());
            }
        }
        (loaded, times)
    });
    let finish = Finish::after(loaded);
    let mut answer = Answer::default();
    for ((target, source), _, weight) in inbox.lock().expect("no worker panics").iter() {
        answer.add(RowHash::of_pair(source, target), *weight as i64);
    }
    finish.with_answer(answer).with_latency(Latency::of(times))
}
