//! Recursions of a form that standard SQL does not have, each as a maintained program and as one that takes its rows once.

use std::sync::Arc;

use differential_dataflow::difference::{Multiply, Present, Semigroup};
use differential_dataflow::input::Input;
use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::ThresholdTotal;
use differential_dataflow::operators::iterate::VecVariable;
use differential_dataflow::{ExchangeData, VecCollection};
use timely::dataflow::{ProbeHandle, Scope};
use timely::order::{Product, TotalOrder};
use timely::progress::Timestamp;
use timely::progress::timestamp::Refines;

use super::{Shares, Time, execute};
use crate::checksum::{Answer, RowHash, SharedAnswer};
use crate::clock::Stopwatch;
use crate::data::recursion::{Families, Program};
use crate::measurement::{Finish, Measurement};

type Pair = (i32, i32);
type Pairs<'scope, T, R> = VecCollection<'scope, T, Pair, R>;
/// Pairs inside the loop.
type Inner<'scope, K> = Pairs<'scope, Product<<K as Kind>::Outer, Time>, <K as Kind>::Weight>;

/// What a program keeps of its rows.
pub(crate) trait Kind: 'static {
    type Outer: Timestamp + Lattice + TotalOrder + Refines<()>;
    type Weight: ExchangeData + Semigroup + Multiply<Self::Weight, Output = Self::Weight> + Copy;

    /// The weight of a row.
    const ONE: Self::Weight;
    /// The time when all rows are there, if others could come then.
    const LOADED: Option<Self::Outer>;

    fn weight(weight: Self::Weight) -> i64;

    /// Each pair once.
    fn distinct<'scope>(pairs: Inner<'scope, Self>) -> Inner<'scope, Self>
    where
        Self: Sized;
}

/// Rows may come and go later.
pub(crate) struct Maintained;

impl Kind for Maintained {
    type Outer = Time;
    type Weight = isize;
    const ONE: isize = 1;
    const LOADED: Option<Time> = Some(1);

    fn weight(weight: isize) -> i64 {
        weight as i64
    }

    fn distinct<'scope>(pairs: Inner<'scope, Self>) -> Inner<'scope, Self> {
        pairs.distinct()
    }
}

/// Presence for weights and no outer time.
pub(crate) struct Once;

impl Kind for Once {
    type Outer = ();
    type Weight = Present;
    const ONE: Present = Present;
    const LOADED: Option<()> = None;

    fn weight(_: Present) -> i64 {
        1
    }

    fn distinct<'scope>(pairs: Inner<'scope, Self>) -> Inner<'scope, Self> {
        pairs.threshold_semigroup(|_, _, before| before.is_none().then_some(Present))
    }
}

/// All pairs of a node and one it leads to, by a rule that names the closure twice.
pub(crate) fn closure<K: Kind>(workers: usize, edges: Vec<Pair>) -> Measurement {
    run::<K, _>(workers, [edges], |[edges], outer| {
        outer.scoped::<Product<K::Outer, Time>, _, _>("Closure", |inner| {
            let edges = edges.enter(inner);
            let (variable, pairs) = VecVariable::new(inner, Product::new(Default::default(), 1));
            let by_source = pairs.clone().arrange_by_key();
            let by_target = pairs.map(|(source, target)| (target, source)).arrange_by_key();
            let step = by_target.join_core(by_source, |_, source: &i32, target: &i32| Some((*source, *target)));
            let pairs = K::distinct(step.concat(edges));
            variable.set(pairs.clone());
            pairs.leave(outer)
        })
    })
}

/// Which objects each variable may hold.
pub(crate) fn points_to<K: Kind>(workers: usize, program: Program) -> Measurement {
    let Program { allocations, assignments, loads, stores } = program;
    run::<K, _>(workers, [allocations, assignments, loads, stores], |[allocations, assignments, loads, stores], outer| {
        outer.scoped::<Product<K::Outer, Time>, _, _>("Points to", |inner| {
            let turned = |(a, b): Pair| (b, a);
            let assignments = assignments.map(turned).arrange_by_key().enter(inner);
            let loads = loads.map(turned).arrange_by_key().enter(inner);
            let stores = stores.arrange_by_key().enter(inner);
            let (variable, variables) = VecVariable::new(inner, Product::new(Default::default(), 1));
            let (memory_variable, memory) = VecVariable::new(inner, Product::new(Default::default(), 1));
            let by_pointer = variables.arrange_by_key();
            let assigned = by_pointer.clone().join_core(assignments, |_, object: &i32, target: &i32| Some((*target, *object)));
            let loaded = by_pointer
                .clone()
                .join_core(loads, |_, object: &i32, target: &i32| Some((*object, *target)))
                .arrange_by_key()
                .join_core(memory.arrange_by_key(), |_, target: &i32, content: &i32| Some((*target, *content)));
            let held = K::distinct(assigned.concat(loaded).concat(allocations.enter(inner)));
            let stored = by_pointer
                .clone()
                .join_core(stores, |_, object: &i32, source: &i32| Some((*source, *object)))
                .arrange_by_key()
                .join_core(by_pointer, |_, object: &i32, content: &i32| Some((*object, *content)));
            memory_variable.set(K::distinct(stored));
            variable.set(held.clone());
            held.leave(outer)
        })
    })
}

/// Who is of one generation.
pub(crate) fn same_generation<K: Kind>(workers: usize, families: Families) -> Measurement {
    let Families { parents, marriages } = families;
    run::<K, _>(workers, [parents, marriages], |[parents, marriages], outer| {
        outer.scoped::<Product<K::Outer, Time>, _, _>("Same generation", |inner| {
            let persons = parents.clone().flat_map(|(child, parent)| [(child, child), (parent, parent)]);
            let base = marriages.clone().map(|(a, b)| (b, a)).concat(marriages).concat(persons).enter(inner);
            let by_parent = parents.map(|(child, parent)| (parent, child)).arrange_by_key().enter(inner);
            let (variable, same) = VecVariable::new(inner, Product::new(Default::default(), 1));
            let by_first = same.clone().arrange_by_key();
            let by_second = same.map(|(x, y)| (y, x)).arrange_by_key();
            let children = by_first
                .clone()
                .join_core(by_parent.clone(), |_, y: &i32, child: &i32| Some((*y, *child)))
                .arrange_by_key()
                .join_core(by_parent, |_, one: &i32, other: &i32| Some((*one, *other)));
            let third = by_second.join_core(by_first, |_, x: &i32, y: &i32| Some((*x, *y)));
            let same = K::distinct(base.concat(children).concat(third));
            variable.set(same.clone());
            same.leave(outer)
        })
    })
}

/// Loads tables of pairs into what `program` makes of them.
fn run<K: Kind, const N: usize>(
    workers: usize,
    tables: [Vec<Pair>; N],
    program: impl for<'scope> Fn([Pairs<'scope, K::Outer, K::Weight>; N], Scope<'scope, K::Outer>) -> Pairs<'scope, K::Outer, K::Weight>
    + Send
    + Sync
    + 'static,
) -> Measurement {
    let shares = tables.map(|rows| Shares::deal(rows, workers));
    let answer = Arc::new(SharedAnswer::default());
    let sink = Arc::clone(&answer);
    let elapsed = execute(workers, move |worker| {
        let probe = ProbeHandle::new();
        let mut inputs = worker.dataflow::<K::Outer, _, _>(|scope| {
            let ends: [_; N] = std::array::from_fn(|_| scope.new_collection::<Pair, K::Weight>());
            let mut inputs = Vec::with_capacity(N);
            let tables = ends.map(|(input, table)| {
                inputs.push(input);
                table
            });
            let sink = Arc::clone(&sink);
            let add = move |updates: &[(Pair, K::Outer, K::Weight)]| {
                let mut part = Answer::default();
                for ((a, b), _, weight) in updates {
                    part.add(RowHash::of_pair(a, b), K::weight(*weight));
                }
                sink.add(part);
            };
            program(tables, scope).inspect_batch(move |_, updates| add(updates)).probe_with(&probe);
            inputs
        });
        let tables = shares.each_ref().map(|shares| shares.take(worker));
        let clock = Stopwatch::start();
        for (input, rows) in inputs.iter_mut().zip(tables) {
            for row in rows {
                input.update(row, K::ONE);
            }
        }
        match K::LOADED {
            Some(loaded) => {
                for input in &mut inputs {
                    input.advance_to(loaded.clone());
                    input.flush();
                }
                worker.step_while(|| probe.less_than(&loaded));
            }
            None => {
                drop(inputs);
                worker.step_while(|| !probe.done());
            }
        }
        clock.elapsed()
    });
    Finish::after(elapsed).with_answer(answer.get())
}
