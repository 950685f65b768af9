//! Recursions that keep the least value of each key: shortest paths, with single changes of weights, and connected components.
//!
//! Both rotate the loop, as the authors' label propagation does: what is derived goes round, and the arrangement that `reduce` makes
//! of it is what the edges are joined with.

use std::sync::{Arc, Mutex};

use differential_dataflow::VecCollection;
use differential_dataflow::input::Input;
use differential_dataflow::operators::iterate::VecVariable;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use timely::dataflow::ProbeHandle;
use timely::order::Product;

use super::load::{collect, feed};
use super::{Shares, Time, execute};
use crate::checksum::{Answer, RowHash, SharedAnswer, Trail};
use crate::clock::Stopwatch;
use crate::data::recursion::Roads;
use crate::measurement::{Finish, Latency, Measurement};

type Collection<'scope, D> = VecCollection<'scope, Time, D, isize>;

/// A consolidated change to the answer: (node, distance), time, weight.
type Update = ((i32, i32), Time, isize);

/// How far each node is from node 0: the first load, then every change of a weight from its hand-over until the consolidated changes
/// to the answer are in the hands of a reader.
pub(crate) fn shortest(workers: usize, roads: &Roads) -> Measurement {
    let inbox: Arc<Mutex<Vec<Update>>> = Arc::default();
    let outbox = Arc::clone(&inbox);
    let shares = Shares::deal(roads.edges.iter().map(|edge| row(*edge)).collect(), workers);
    let changes = roads.changes.clone();
    let (finish, mut times) = execute(workers, move |worker| {
        let probe = ProbeHandle::new();
        let (mut roots, mut edges) = worker.dataflow::<Time, _, _>(|scope| {
            let (root_input, roots) = scope.new_collection::<(i32, i32), isize>();
            let (edge_input, edges) = scope.new_collection::<(i32, (i32, i32)), isize>();
            let outbox = Arc::clone(&outbox);
            let deliver = move |updates: &[Update]| outbox.lock().expect("no reader panics").extend_from_slice(updates);
            distances(edges, roots).consolidate().inspect_batch(move |_, updates| deliver(updates)).probe_with(&probe);
            (root_input, edge_input)
        });
        if worker.index() == 0 {
            roots.insert((0, 0));
        }
        roots.close();
        let rows = shares.take(worker);
        let clock = Stopwatch::start();
        for row in rows {
            edges.insert(row);
        }
        edges.advance_to(1);
        edges.flush();
        worker.step_while(|| probe.less_than(edges.time()));
        let finish = Finish::after(clock.elapsed());
        let mut times = Vec::with_capacity(changes.len());
        for change in &changes {
            let [before, after] = change.edges().map(row);
            let clock = Stopwatch::start();
            if worker.index() == 0 {
                edges.update(before, -1);
                edges.update(after, 1);
            }
            edges.advance_to(edges.time() + 1);
            edges.flush();
            worker.step_while(|| probe.less_than(edges.time()));
            times.push(clock.elapsed());
        }
        (finish, times)
    });
    let mut updates = std::mem::take(&mut *inbox.lock().expect("no worker panics"));
    updates.sort_unstable_by_key(|(_, time, _)| *time);
    let mut updates = updates.into_iter().peekable();
    let mut answer = Answer::default();
    let mut answers = (0..=roads.changes.len()).map(|number| {
        let now = Time::try_from(number).expect("there are far fewer changes");
        while let Some(((node, distance), _, weight)) = updates.next_if(|(_, time, _)| *time <= now) {
            answer.add(RowHash::of_pair(&node, &distance), weight as i64);
        }
        answer
    });
    let loaded = answers.next().expect("there is an answer after the load");
    let mut trail = Trail::default();
    answers.for_each(|answer| trail.add(answer));
    finish.with_answer(loaded).with_latency(Latency::of(times.split_off(Roads::WARM_UP))).with_trail(trail)
}

/// An edge by its source.
fn row((source, target, weight): (i32, i32, i32)) -> (i32, (i32, i32)) {
    (source, (target, weight))
}

fn distances<'scope>(
    edges: Collection<'scope, (i32, (i32, i32))>,
    roots: Collection<'scope, (i32, i32)>,
) -> Collection<'scope, (i32, i32)> {
    let outer = roots.scope();
    outer.scoped::<Product<Time, Time>, _, _>("Distances", |inner| {
        let edges = edges.arrange_by_key().enter(inner);
        let roots = roots.enter(inner);
        let (variable, derived) = VecVariable::new(inner, Product::new(Time::default(), 1));
        let nearest = derived
            .concat(roots)
            .reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<_, _, _, _>>("Nearest", |_, distances, nearest| {
                nearest.push((*distances[0].0, 1))
            });
        let step = nearest.clone().join_core(edges, |_, distance: &i32, (target, weight)| Some((*target, distance + weight)));
        variable.set(step);
        nearest.as_collection(|node, distance| (*node, *distance)).leave(outer)
    })
}

/// The least node of each node's component.
pub(crate) fn components(workers: usize, edges: Vec<(i32, i32)>) -> Measurement {
    let shares = Shares::deal(edges, workers);
    let answer = Arc::new(SharedAnswer::default());
    let sink = Arc::clone(&answer);
    let elapsed = execute(workers, move |worker| {
        let probe = ProbeHandle::new();
        let input = worker.dataflow::<Time, _, _>(|scope| {
            let (input, edges) = scope.new_collection::<(i32, i32), isize>();
            collect(least(edges), &sink, &probe, |(node, least)| RowHash::of_pair(node, least));
            input
        });
        let rows = shares.take(worker);
        feed(worker, input, rows, &probe)
    });
    Finish::after(elapsed).with_answer(answer.get())
}

fn least(edges: Collection<'_, (i32, i32)>) -> Collection<'_, (i32, i32)> {
    let outer = edges.scope();
    outer.scoped::<Product<Time, Time>, _, _>("Components", |inner| {
        let ways = edges.clone().concat(edges.map(|(a, b)| (b, a)));
        let nodes = ways.clone().map(|(node, _)| (node, node)).enter(inner);
        let ways = ways.arrange_by_key().enter(inner);
        let (variable, derived) = VecVariable::new(inner, Product::new(Time::default(), 1));
        let labels =
            derived.concat(nodes).reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<_, _, _, _>>("Least", |_, labels, least| {
                least.push((*labels[0].0, 1));
            });
        let step = labels.clone().join_core(ways, |_, label: &i32, target| Some((*target, *label)));
        variable.set(step);
        labels.as_collection(|node, label| (*node, *label)).leave(outer)
    })
}
