//! Recursion over rows that are all there: presence instead of weights and no outer time, as the authors' Datalog programs do it.
//!
//! Such a program takes neither a deletion nor a later row. It is shown beside the maintained one because it is what differential
//! has to set against a table that only grows.

use std::sync::Arc;
use std::time::Duration;

use differential_dataflow::difference::Present;
use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::operators::ThresholdTotal;
use differential_dataflow::operators::iterate::VecVariable;
use differential_dataflow::{ExchangeData, VecCollection};
use timely::dataflow::ProbeHandle;
use timely::order::Product;
use timely::worker::Worker;

use super::{Shares, Time, Value, execute};
use crate::checksum::{Answer, RowHash, SharedAnswer};
use crate::clock::Stopwatch;
use crate::measurement::{Finish, Measurement};

type Collection<'scope, D> = VecCollection<'scope, (), D, Present>;

/// All pairs of a node and one it leads to.
pub(crate) fn closure<N: Value>(workers: usize, edges: Vec<(N, N)>) -> Measurement {
    let shares = Shares::deal(edges, workers);
    let answer = Arc::new(SharedAnswer::default());
    let sink = Arc::clone(&answer);
    let elapsed = execute(workers, move |worker| {
        let probe = ProbeHandle::new();
        let input = worker.dataflow::<(), _, _>(|outer| {
            let (input, edges) = outer.new_collection::<(N, N), Present>();
            let pairs = outer.scoped::<Product<(), Time>, _, _>("Reachable", |inner| {
                let bases = edges.clone().map(|(source, target)| (target, source)).enter(inner);
                let edges = edges.arrange_by_key().enter(inner);
                let (variable, pairs) = VecVariable::new(inner, Product::new((), 1));
                let step =
                    pairs.arrange_by_key().join_core(edges, |_, source: &N, target: &N| Some((target.clone(), source.clone())));
                let pairs = step.concat(bases).threshold_semigroup(|_, _, before| before.is_none().then_some(Present));
                variable.set(pairs.clone());
                pairs.leave(outer)
            });
            collect(pairs, &sink, &probe, |(target, source)| RowHash::of_pair(source, target));
            input
        });
        let rows = shares.take(worker);
        feed(worker, input, rows, &probe)
    });
    Finish::after(elapsed).with_answer(answer.get())
}

/// The nodes that node 0 leads to, and itself.
pub(crate) fn chain(workers: usize, edges: Vec<(i32, i32)>) -> Measurement {
    let shares = Shares::deal(edges, workers);
    let answer = Arc::new(SharedAnswer::default());
    let sink = Arc::clone(&answer);
    let elapsed = execute(workers, move |worker| {
        let probe = ProbeHandle::new();
        let (mut root, input) = worker.dataflow::<(), _, _>(|outer| {
            let (root, roots) = outer.new_collection::<i32, Present>();
            let (input, edges) = outer.new_collection::<(i32, i32), Present>();
            let nodes = outer.scoped::<Product<(), Time>, _, _>("Reachable nodes", |inner| {
                let edges = edges.arrange_by_key().enter(inner);
                let roots = roots.enter(inner);
                let (variable, nodes) = VecVariable::new(inner, Product::new((), 1));
                let step = nodes.arrange_by_self().join_core(edges, |_, (), target| Some(*target));
                let nodes = step.concat(roots).threshold_semigroup(|_, _, before| before.is_none().then_some(Present));
                variable.set(nodes.clone());
                nodes.leave(outer)
            });
            collect(nodes, &sink, &probe, |node| {
                let mut row = RowHash::default();
                row.integer(i64::from(*node));
                row
            });
            (root, input)
        });
        if worker.index() == 0 {
            root.update(0, Present);
        }
        root.close();
        let rows = shares.take(worker);
        feed(worker, input, rows, &probe)
    });
    Finish::after(elapsed).with_answer(answer.get())
}

fn collect<'scope, D: ExchangeData>(
    rows: Collection<'scope, D>,
    sink: &Arc<SharedAnswer>,
    probe: &ProbeHandle<()>,
    hash: impl Fn(&D) -> RowHash + 'static,
) {
    let sink = Arc::clone(sink);
    rows.inspect_batch(move |_, updates| {
        let mut part = Answer::default();
        for (row, (), Present) in updates {
            part.add(hash(row), 1);
        }
        sink.add(part);
    })
    .probe_with(probe);
}

fn feed<D: ExchangeData>(
    worker: &mut Worker,
    mut input: InputSession<(), D, Present>,
    rows: Vec<D>,
    probe: &ProbeHandle<()>,
) -> Duration {
    let clock = Stopwatch::start();
    for row in rows {
        input.update(row, Present);
    }
    input.close();
    worker.step_while(|| !probe.done());
    clock.elapsed()
}
