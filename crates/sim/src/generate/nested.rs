//! A recursion inside another one.
//!
//! One that depends on the recursion around it only grows where that one does, and so does all that goes round there: it is made of inner
//! joins, conditions, semi joins and unions. One that stands by itself reads tables alone, and either may be of any form.

use super::Generator;
use super::linear::with_column;
use super::mutual::united;
use crate::case::Shape;
use crate::expression::Expr;
use crate::query::{Linear, Mutual, Output, Query, Recursion, Recursive, Relation, Select, SetOperation};
use crate::value::Type;

mod begins;
#[cfg(test)]
mod tests;

impl Generator {
    /// A recursion with one inside, or two.
    pub(super) fn nested(&mut self) -> Recursive {
        match self.random.weighted(&[62, 13, 25]) {
            0 => self.around_dependent_ones(),
            1 => self.around_one_that_begins_with_it(),
            _ => self.around_one_by_itself(),
        }
    }

    /// Bindings of which one or two hold a recursion that depends on them.
    fn around_dependent_ones(&mut self) -> Recursive {
        let count = 1 + self.random.below(3);
        self.bindings = (0..count).map(|_| self.edge_types()).collect();
        let holders = [self.random.below(count), self.random.below(count)];
        let bindings = (0..count).map(|number| {
            let types = self.bindings[number].clone();
            let query =
                if holders.contains(&number) { self.holder(number, &types) } else { united(self.parts(number, &types), true) };
            Mutual { types, query }
        });
        let recursion = Recursion::Mutual(bindings.collect(), None);
        Recursive { recursion, query: self.outer_query() }
    }

    /// Mostly what can be gone along.
    fn edge_types(&mut self) -> Vec<Type> {
        if self.random.percent(60) { vec![Type::Int; 2] } else { self.binding_types() }
    }

    /// What a binding is made of that holds a recursion.
    fn holder(&mut self, number: usize, types: &[Type]) -> Query {
        let depth = 1 + self.random.weighted(&[50, 40, 10]);
        let around = (0..self.bindings.len()).collect::<Vec<_>>();
        if self.random.percent(20) {
            return self.inside(&around, types, depth);
        }
        let mut parts = if self.random.percent(80) { vec![self.base(types)] } else { Vec::new() };
        if self.random.percent(50) {
            let relations = self.relations(number);
            parts.push(Query::Select(self.inner(relations, types)));
        }
        let at = self.random.below(parts.len() + 1);
        parts.insert(at, self.holding(&around, types, depth));
        united(parts, self.random.percent(95))
    }

    /// A query that is, joins, or looks through a recursion inside, which may read these bindings.
    fn holding(&mut self, around: &[usize], wanted: &[Type], depth: usize) -> Query {
        let form = self.random.weighted(&[45, 35, 20]);
        if form == 0 {
            return self.inside(around, wanted, depth);
        }
        let types = self.edge_types();
        let inside = Relation::Derived(Box::new(self.inside(around, &types, depth)));
        if form == 1 {
            let mut relations = vec![inside];
            if self.random.percent(70) {
                relations.push(self.beside_around(around, 50));
            }
            self.random.shuffle(&mut relations);
            return Query::Select(self.inner(relations, wanted));
        }
        let relations = vec![self.beside_around(around, 60)];
        let mut select = self.inner(relations, wanted);
        let seen = self.input_types(&select);
        select.conditions.push(self.membership(&seen, inside, false, false));
        Query::Select(select)
    }

    /// One of these bindings by so many in a hundred, else a table.
    fn beside_around(&mut self, around: &[usize], percent: usize) -> Relation {
        if self.random.percent(percent) { Relation::Binding(*self.random.pick(around)) } else { self.table() }
    }

    /// A query over a recursion of its own, which reads these bindings of those around it, and in which others stand up to this depth.
    fn inside(&mut self, around: &[usize], wanted: &[Type], depth: usize) -> Query {
        let first = self.bindings.len();
        let count = 1 + self.random.weighted(&[70, 30]);
        for _ in 0..count {
            let types = if self.random.percent(60) { wanted.to_vec() } else { self.edge_types() };
            self.bindings.push(types);
        }
        let numbers = first..first + count;
        let recursion = if self.random.percent(50) {
            let block = numbers.clone().map(|number| self.inside_mutual(number, first, around, depth));
            Recursion::Mutual(block.collect(), None)
        } else {
            Recursion::Linear(numbers.clone().map(|number| self.inside_linear(number, first, around, depth)).collect())
        };
        let read = first + self.random.below(count);
        let mut select = if self.bindings[read] == wanted && self.random.percent(75) {
            self.whole(read)
        } else {
            let mut relations = vec![Relation::Binding(read)];
            if self.random.percent(20) {
                relations.push(self.beside_around(around, 50));
            }
            self.inner(relations, wanted)
        };
        if let Output::Rows { distinct, .. } = &mut select.output {
            *distinct = self.random.percent(40);
        }
        self.bindings.truncate(first);
        Query::With(Box::new(Recursive { recursion, query: Query::Select(select) }))
    }

    /// A binding of a block whose bindings begin with `first`.
    fn inside_mutual(&mut self, number: usize, first: usize, around: &[usize], depth: usize) -> Mutual {
        let types = self.bindings[number].clone();
        let own = (first..self.bindings.len()).collect::<Vec<_>>();
        let mut parts = Vec::new();
        if number == first || self.random.percent(50) {
            parts.push(Query::Select(self.entry(around, &types)));
        }
        if self.random.percent(65) {
            parts.push(self.base(&types));
        }
        if depth > 1 && self.random.percent(60) {
            let seen = [around, &own].concat();
            parts.push(self.holding(&seen, &types, depth - 1));
        }
        let reference = Relation::Binding(if self.random.percent(50) { number } else { *self.random.pick(&own) });
        let other = match self.random.weighted(&[45, 30, 25]) {
            0 => Relation::Binding(*self.random.pick(around)),
            1 => Relation::Binding(*self.random.pick(&own)),
            _ => self.table(),
        };
        parts.push(Query::Select(self.onward(reference, other, &types)));
        self.random.shuffle(&mut parts);
        Mutual { types, query: united(parts, self.random.percent(92)) }
    }

    /// What comes into a recursion from the bindings around it.
    fn entry(&mut self, around: &[usize], types: &[Type]) -> Select {
        let mut relations = vec![Relation::Binding(*self.random.pick(around))];
        if self.random.percent(30) {
            relations.push(self.beside_around(around, 40));
            self.random.shuffle(&mut relations);
        }
        self.inner(relations, types)
    }

    /// Rows of a reference that meet another relation, often as closures have it.
    fn onward(&mut self, reference: Relation, other: Relation, types: &[Type]) -> Select {
        let (from, edge) = (self.types(&reference), self.types(&other));
        let ends = [types.first(), types.last(), edge.first(), edge.get(1)];
        if from == types && ends.into_iter().all(|end| end == Some(&Type::Int)) && self.random.percent(75) {
            return self.along(reference, types, other);
        }
        let mut relations = vec![reference, other];
        if self.random.percent(12) {
            relations.push(self.table());
        }
        self.random.shuffle(&mut relations);
        self.inner(relations, types)
    }

    /// A binding of a `WITH RECURSIVE` whose bindings begin with `first`. What stands inside of it does not read it.
    fn inside_linear(&mut self, number: usize, first: usize, around: &[usize], depth: usize) -> Linear {
        if self.random.percent(15) {
            return self.inside_counting(number, around);
        }
        let types = self.bindings[number].clone();
        let reads_around = self.random.percent(50);
        let base = if number > first && self.random.percent(60) {
            Query::Select(self.inner(vec![Relation::Binding(number - 1)], &types))
        } else if reads_around && depth > 1 && self.random.percent(40) {
            self.holding(around, &types, depth - 1)
        } else if reads_around {
            Query::Select(self.entry(around, &types))
        } else {
            self.base(&types)
        };
        let mut step = Query::Select(self.inside_step(number, around, depth, !reads_around));
        if self.random.percent(12) {
            let second = Query::Select(self.inside_step(number, around, depth, false));
            step = Query::set(SetOperation::Union, step, second);
        }
        Linear { types, base, step, all: false, key: None }
    }

    /// A recursive term, over one of the bindings around it where it has to be.
    fn inside_step(&mut self, number: usize, around: &[usize], depth: usize, has_to_read: bool) -> Select {
        let types = self.bindings[number].clone();
        let other = if !has_to_read && depth > 1 && self.random.percent(30) {
            let types = self.edge_types();
            Relation::Derived(Box::new(self.inside(around, &types, depth - 1)))
        } else {
            self.beside_around(around, if has_to_read { 100 } else { 50 })
        };
        let mut select = self.onward(Relation::Binding(number), other, &types);
        if self.random.percent(12) {
            let (seen, other) = (self.input_types(&select), self.beside_around(around, 60));
            select.conditions.push(self.membership(&seen, other, false, true));
        }
        select
    }

    /// With UNION ALL and a counter that ends it.
    fn inside_counting(&mut self, number: usize, around: &[usize]) -> Linear {
        let base = Query::Select(self.entry(around, &self.bindings[number].clone()));
        self.bindings[number].push(Type::Int);
        let types = self.bindings[number].clone();
        let base = with_column(base, Expr::int(self.random.within(0..=1)));
        let step = Query::Select(self.counted_step(Relation::Binding(number), &types));
        Linear { types, base, step, all: true, key: None }
    }

    /// A recursion of any form beside one of any form that reads tables alone.
    fn around_one_by_itself(&mut self) -> Recursive {
        let mut inside = self.any_form();
        self.bindings.clear();
        let mut outer = if self.random.percent(20) { self.linear() } else { self.any_mutual() };
        let around = self.bindings.len();
        inside.each_reference(&mut |number| *number += around);
        let inside = Relation::Derived(Box::new(Query::With(Box::new(inside))));
        let number = self.random.below(around);
        let types = self.bindings[number].clone();
        match &mut outer.recursion {
            Recursion::Linear(bindings) if self.random.percent(50) => {
                let mut relations = vec![Relation::Binding(number), inside];
                self.random.shuffle(&mut relations);
                bindings[number].step = Query::Select(self.inner(relations, &types));
            }
            Recursion::Linear(bindings) => {
                let more = Query::Select(self.inner(vec![inside], &types));
                bindings[number].base = Query::set(SetOperation::Union, bindings[number].base.clone(), more);
            }
            Recursion::Mutual(bindings, _) => {
                let mut relations = vec![inside];
                if self.random.percent(60) {
                    relations.push(Relation::Binding(self.random.below(around)));
                    self.random.shuffle(&mut relations);
                }
                let more = Query::Select(self.inner(relations, &types));
                let operation = if self.random.percent(85) { SetOperation::Union } else { SetOperation::Except };
                bindings[number].query = Query::set(operation, bindings[number].query.clone(), more);
            }
        }
        outer
    }

    /// A recursion of some other shape.
    fn any_form(&mut self) -> Recursive {
        match self.random.weighted(&[25, 15, 20, 40]) {
            0 => self.linear(),
            1 => self.counting(),
            2 => self.keyed(),
            _ => self.any_mutual(),
        }
    }

    fn any_mutual(&mut self) -> Recursive {
        let shapes = [Shape::NonLinear, Shape::Mutual, Shape::Aggregate, Shape::Negation, Shape::Limited];
        let shape = *self.random.pick(&shapes);
        self.mutual(shape)
    }
}
