//! Single changes under a standing recursion, each complete before the next begins.

use std::sync::{Arc, Mutex};

use differential_dataflow::input::Input;
use timely::dataflow::ProbeHandle;

use super::load::reachable;
use super::{Time, execute};
use crate::checksum::{Answer, RowHash};
use crate::clock::Stopwatch;
use crate::data::Reach;
use crate::measurement::{Finish, Latency, Measurement};

/// A consolidated change to the answer: (target, source), time, weight.
type Update = ((String, String), Time, isize);

/// "Reachable from 100 packages": the first load, then every change from its hand-over until the consolidated changes to the
/// answer are in the hands of a reader.
pub(crate) fn reach(workers: usize, work: &Reach) -> Measurement {
    let inbox: Arc<Mutex<Vec<Update>>> = Arc::default();
    let outbox = Arc::clone(&inbox);
    let work = Arc::new(work.clone());
    let (loaded, times) = execute(workers, move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let mut probe = ProbeHandle::new();
        let (mut sources, mut edges) = worker.dataflow::<Time, _, _>(|scope| {
            let (source_input, sources) = scope.new_collection::<String, isize>();
            let (edge_input, edges) = scope.new_collection::<(String, String), isize>();
            let bases = sources.map(|source| (source.clone(), source));
            let outbox = Arc::clone(&outbox);
            let deliver = move |updates: &[Update]| outbox.lock().expect("no reader panics").extend_from_slice(updates);
            reachable(edges, bases).consolidate().inspect_batch(move |_, updates| deliver(updates)).probe_with(&mut probe);
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
        for (number, change) in work.warm_up.iter().chain(&work.changes).enumerate() {
            let edge = change.edge.clone();
            let clock = Stopwatch::start();
            if index == 0 {
                edges.update(edge, if change.insert { 1 } else { -1 });
            }
            edges.advance_to(edges.time() + 1);
            edges.flush();
            worker.step_while(|| probe.less_than(edges.time()));
            if number >= work.warm_up.len() {
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
