//! `WITH MUTUALLY RECURSIVE`: bindings that name each other and themselves in any way.

use super::Generator;
use crate::case::Shape;
use crate::expression::{Expr, Predicate};
use crate::query::{Aggregate, Function, JoinKind, Mutual, Output, Query, Recursion, Recursive, Relation, Select, SetOperation};
use crate::value::Type;

/// Bindings of a block, without the clock.
const BINDINGS_MAX: usize = 3;

impl Generator {
    /// A block of the given shape.
    pub(super) fn mutual(&mut self, shape: Shape) -> Recursive {
        let limited = shape == Shape::Limited;
        let limit = limited.then(|| self.random.within(1..=8) as usize);
        self.free = limited && self.random.percent(60);
        // What a limit is put to is a block of any other shape.
        let shapes = [Shape::NonLinear, Shape::Mutual, Shape::Aggregate, Shape::Negation];
        let shape = if limited { *self.random.pick(&shapes) } else { shape };
        let count = match shape {
            Shape::NonLinear => 1,
            Shape::Mutual => 2 + self.random.below(BINDINGS_MAX - 1),
            _ => 1 + self.random.below(BINDINGS_MAX),
        };
        self.bindings = (0..count).map(|_| self.binding_types()).collect();
        if !limited && self.random.percent(12) {
            self.bindings.push(vec![Type::Int]);
        }
        let mut bindings = (0..count).map(|number| self.binding(shape, number, limited)).collect::<Vec<_>>();
        if self.bindings.len() > count {
            bindings.push(self.clock(count));
        }
        let bindings = bindings.into_iter().zip(&self.bindings).map(|(query, types)| Mutual { types: types.clone(), query });
        let recursion = Recursion::Mutual(bindings.collect(), limit);
        self.free = false;
        Recursive { recursion, query: self.outer_query() }
    }

    /// One row that counts up to a number, by one in each iteration: it keeps a recursion running.
    fn clock(&mut self, number: usize) -> Query {
        let top = Aggregate { function: Function::Max, argument: Expr::Column(0) };
        let output = Output::Groups { keys: Vec::new(), aggregates: vec![top], having: Predicate::True };
        let select = |from, output| Select { from, joins: Vec::new(), conditions: Vec::new(), output };
        let inner = Query::Select(select(Relation::Binding(number), output));
        let one_on = Expr::Coalesce(vec![Expr::Column(0), Expr::int(0)]).plus(1);
        let end = self.random.within(20..=200);
        let columns = vec![Expr::Least(vec![one_on, Expr::int(end)])];
        Query::Select(select(Relation::Derived(Box::new(inner)), Output::Rows { columns, distinct: false }))
    }

    /// What a binding is made of.
    fn binding(&mut self, shape: Shape, number: usize, limited: bool) -> Query {
        let types = self.bindings[number].clone();
        // What comes first may change for ever, so only where a limit ends it.
        if limited && self.random.percent(15) {
            let parts = self.parts(number, &types);
            return self.top(united(parts, true));
        }
        match shape {
            Shape::Aggregate if number == 0 || self.random.percent(60) => self.aggregated(number, &types),
            Shape::Negation if number > 0 || self.random.percent(30) => self.negating(number, &types),
            _ => {
                let parts = self.parts(number, &types);
                // Without a set, only a limit ends it for sure.
                let each_once = !limited || self.random.percent(70);
                united(parts, each_once)
            }
        }
    }

    /// SELECTs whose union is a binding: some over tables alone, the others over bindings, too.
    pub(super) fn parts(&mut self, number: usize, types: &[Type]) -> Vec<Query> {
        let mut parts = Vec::new();
        if number == 0 || self.random.percent(55) {
            parts.push(self.base(types));
        }
        for _ in 0..=self.random.weighted(&[70, 30]) {
            let relations = self.relations(number);
            parts.push(Query::Select(self.inner(relations, types)));
        }
        if self.random.percent(20) {
            self.random.shuffle(&mut parts);
        }
        parts
    }

    /// A binding, most often with a table or another binding beside it.
    pub(super) fn relations(&mut self, number: usize) -> Vec<Relation> {
        let mut relations = vec![Relation::Binding(self.some_binding(number))];
        if self.random.percent(85) {
            let twice = self.bindings.len() == 1 && self.random.percent(65) || self.random.percent(30);
            relations.push(if twice { Relation::Binding(self.some_binding(number)) } else { self.table() });
        }
        if self.random.percent(18) {
            relations.push(self.table());
        }
        self.random.shuffle(&mut relations);
        relations
    }

    /// Itself or the next one more often than others, so that there is a loop.
    fn some_binding(&mut self, number: usize) -> usize {
        match self.random.weighted(&[35, 35, 30]) {
            0 => number,
            1 => (number + 1) % self.bindings.len(),
            _ => self.random.below(self.bindings.len()),
        }
    }

    /// Groups over a union of SELECTs, with their aggregates kept small.
    fn aggregated(&mut self, number: usize, types: &[Type]) -> Query {
        let parts = self.parts(number, types);
        let each_once = self.random.percent(25);
        let groups = self.grouped(Relation::Derived(Box::new(united(parts, each_once))), types);
        if self.free || self.random.percent(60) || types[types.len() - 1] != Type::Int {
            return groups;
        }
        let last = types.len() - 1;
        let mut columns = (0..types.len()).map(Expr::Column).collect::<Vec<_>>();
        let small = Expr::int(self.random.within(3..=12));
        columns[last] = Expr::Least(vec![Expr::Column(last), small]);
        let output = Output::Rows { columns, distinct: self.random.percent(30) };
        let from = Relation::Derived(Box::new(groups));
        Query::Select(Select { from, joins: Vec::new(), conditions: Vec::new(), output })
    }

    /// Something less what another binding has, or with NULLs where it has nothing.
    fn negating(&mut self, number: usize, types: &[Type]) -> Query {
        // Mostly an earlier binding, so that what is taken away comes to rest first.
        let other = if number > 0 && self.random.percent(80) { self.random.below(number) } else { self.some_binding(number) };
        let other = Relation::Binding(other);
        let base = self.base(types);
        let negation = match self.random.weighted(&[30, 35, 25, 10]) {
            0 => {
                let taken = Query::Select(self.inner(vec![other], types));
                Query::set(SetOperation::Except, base, taken)
            }
            1 => {
                let relations = if self.random.percent(60) { vec![self.table()] } else { self.relations(number) };
                let mut select = self.inner(relations, types);
                let seen = self.input_types(&select);
                select.conditions.push(self.membership(&seen, other, true, false));
                united(vec![Query::Select(select)], true)
            }
            2 => {
                let beside = if self.random.percent(50) { self.table() } else { Relation::Binding(self.some_binding(number)) };
                let kinds = [JoinKind::Left, JoinKind::Left, JoinKind::Right, JoinKind::Full];
                let mut relations = vec![beside, other];
                self.random.shuffle(&mut relations);
                united(vec![Query::Select(self.outer(relations, &kinds, types))], true)
            }
            _ => {
                let kept = Query::Select(self.inner(vec![other], types));
                Query::set(SetOperation::Intersect, base, kept)
            }
        };
        if self.random.percent(45) {
            let step = self.relations(number);
            let step = Query::Select(self.inner(step, types));
            return Query::set(SetOperation::Union, negation, step);
        }
        negation
    }
}

/// The union of queries, as a set or as a bag.
pub(super) fn united(parts: Vec<Query>, each_once: bool) -> Query {
    let last = parts.len() - 1;
    let mut parts = parts.into_iter().enumerate();
    let (_, mut first) = parts.next().expect("a binding is made of something");
    if last == 0 && each_once {
        if let Query::Select(Select { output: Output::Rows { distinct, .. }, .. }) = &mut first {
            *distinct = true;
            return first;
        }
        // A query united with itself is its rows, each once.
        return Query::set(SetOperation::Union, first.clone(), first);
    }
    parts.fold(first, |all, (at, part)| {
        let operation = if at == last && each_once { SetOperation::Union } else { SetOperation::UnionAll };
        Query::set(operation, all, part)
    })
}
