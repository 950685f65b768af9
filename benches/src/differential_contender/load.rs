//! Recursion over a whole table: the dataflow stands, the rows arrive, the answer is complete.

use std::sync::Arc;
use std::time::Duration;

use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::operators::iterate::VecVariable;
use differential_dataflow::{ExchangeData, VecCollection};
use timely::dataflow::ProbeHandle;
use timely::order::Product;
use timely::worker::Worker;

use super::{Shares, Time, Value, execute};
use crate::checksum::{Answer, RowHash, SharedAnswer};
use crate::clock::Stopwatch;
use crate::measurement::{Finish, Measurement};

type Collection<'scope, D> = VecCollection<'scope, Time, D, isize>;

/// All pairs of a node and one it leads to.
pub(crate) fn closure<N: Value>(workers: usize, edges: Vec<(N, N)>) -> Measurement {
    let (elapsed, answer) = closure_as(workers, edges, |target, source| RowHash::of_pair(source, target));
    Finish::after(elapsed).with_answer(answer)
}

/// The same, for nodes that stand for something else: `hash` knows what a pair of target and source is in the answer.
pub(super) fn closure_as<N: Value>(
    workers: usize,
    edges: Vec<(N, N)>,
    hash: impl Fn(&N, &N) -> RowHash + Clone + Send + Sync + 'static,
) -> (Duration, Answer) {
    let shares = Shares::deal(edges, workers);
    let answer = Arc::new(SharedAnswer::default());
    let sink = Arc::clone(&answer);
    let elapsed = execute(workers, move |worker| {
        let probe = ProbeHandle::new();
        let input = worker.dataflow::<Time, _, _>(|scope| {
            let (input, edges) = scope.new_collection::<(N, N), isize>();
            let bases = edges.clone().map(|(source, target)| (target, source));
            collect(reachable(edges, bases), &sink, &probe, {
                let hash = hash.clone();
                move |(target, source)| hash(target, source)
            });
            input
        });
        let rows = shares.take(worker);
        feed(worker, input, rows, &probe)
    });
    (elapsed, answer.get())
}

/// The nodes that node 0 leads to, and itself.
pub(crate) fn chain(workers: usize, edges: Vec<(i32, i32)>) -> Measurement {
    let shares = Shares::deal(edges, workers);
    let answer = Arc::new(SharedAnswer::default());
    let sink = Arc::clone(&answer);
    let elapsed = execute(workers, move |worker| {
        let probe = ProbeHandle::new();
        let (mut root, input) = worker.dataflow::<Time, _, _>(|scope| {
            let (root, roots) = scope.new_collection::<i32, isize>();
            let (input, edges) = scope.new_collection::<(i32, i32), isize>();
            collect(reachable_nodes(edges, roots), &sink, &probe, |node| {
                let mut row = RowHash::default();
                row.integer(i64::from(*node));
                row
            });
            (root, input)
        });
        if worker.index() == 0 {
            root.insert(0);
        }
        root.close();
        let rows = shares.take(worker);
        feed(worker, input, rows, &probe)
    });
    Finish::after(elapsed).with_answer(answer.get())
}

/// The least set of (target, source) that holds the bases and follows the edges; keyed by the target, as the join wants it.
pub(super) fn reachable<'scope, N: Value>(
    edges: Collection<'scope, (N, N)>,
    bases: Collection<'scope, (N, N)>,
) -> Collection<'scope, (N, N)> {
    let outer = bases.scope();
    outer.scoped::<Product<Time, Time>, _, _>("Reachable", |inner| {
        let edges = edges.arrange_by_key().enter(inner);
        let bases = bases.enter(inner);
        let (variable, pairs) = VecVariable::new(inner, Product::new(Time::default(), 1));
        let step = pairs.arrange_by_key().join_core(edges, |_, source: &N, target: &N| Some((target.clone(), source.clone())));
        let pairs = step.concat(bases).distinct();
        variable.set(pairs.clone());
        pairs.leave(outer)
    })
}

fn reachable_nodes<'scope>(edges: Collection<'scope, (i32, i32)>, roots: Collection<'scope, i32>) -> Collection<'scope, i32> {
    let outer = roots.scope();
    outer.scoped::<Product<Time, Time>, _, _>("Reachable nodes", |inner| {
        let edges = edges.arrange_by_key().enter(inner);
        let roots = roots.enter(inner);
        let (variable, nodes) = VecVariable::new(inner, Product::new(Time::default(), 1));
        let nodes = nodes.arrange_by_self().join_core(edges, |_, (), target| Some(*target)).concat(roots).distinct();
        variable.set(nodes.clone());
        nodes.leave(outer)
    })
}

/// Adds up what a collection emits.
pub(super) fn collect<'scope, D: ExchangeData>(
    rows: Collection<'scope, D>,
    sink: &Arc<SharedAnswer>,
    probe: &ProbeHandle<Time>,
    hash: impl Fn(&D) -> RowHash + 'static,
) {
    let sink = Arc::clone(sink);
    rows.inspect_batch(move |_, updates| {
        let mut part = Answer::default();
        for (row, _, weight) in updates {
            part.add(hash(row), *weight as i64);
        }
        sink.add(part);
    })
    .probe_with(probe);
}

pub(super) fn feed<D: ExchangeData>(
    worker: &mut Worker,
    mut input: InputSession<Time, D, isize>,
    rows: Vec<D>,
    probe: &ProbeHandle<Time>,
) -> Duration {
    let clock = Stopwatch::start();
    for row in rows {
        input.insert(row);
    }
    input.advance_to(1);
    input.flush();
    worker.step_while(|| probe.less_than(input.time()));
    clock.elapsed()
}
