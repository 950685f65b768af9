//! `WITH RECURSIVE` whose recursive term holds a recursion that begins with the rows of the working table.

use super::super::Generator;
use crate::query::{Linear, Query, Recursion, Recursive, Relation, SetOperation};
use crate::value::Type;

impl Generator {
    /// With UNION, over recursions of UNION or UNION ALL; or with UNION ALL, where all of them go up.
    pub(super) fn around_one_that_begins_with_it(&mut self) -> Recursive {
        let all = self.random.percent(25);
        let types = if all { vec![Type::Int; 1 + self.random.below(2)] } else { self.edge_types() };
        let base = self.base(&types);
        self.bindings.push(types.clone());
        let depth = 1 + self.random.weighted(&[55, 35, 10]);
        let step = if all || self.random.percent(40) {
            self.beginning(&types, all, depth)
        } else {
            let given = self.edge_types();
            let mut relations = vec![Relation::Derived(Box::new(self.beginning(&given, all, depth)))];
            if self.random.percent(50) {
                relations.push(self.table());
                self.random.shuffle(&mut relations);
            }
            Query::Select(self.inner(relations, &types))
        };
        let recursion = Recursion::Linear(vec![Linear { types, base, step, all, key: None }]);
        Recursive { recursion, query: self.outer_query() }
    }

    /// A query over a recursion that begins with the rows of the first binding, or with what another such recursion makes of them.
    fn beginning(&mut self, wanted: &[Type], all: bool, depth: usize) -> Query {
        let number = self.bindings.len();
        let types = if all || self.random.percent(60) { wanted.to_vec() } else { self.edge_types() };
        self.bindings.push(types.clone());
        let base = if depth > 1 {
            self.beginning(&types, all, depth - 1)
        } else if all {
            Query::Select(self.whole(0))
        } else {
            let mut relations = vec![Relation::Binding(0)];
            if self.random.percent(25) {
                relations.push(self.table());
            }
            Query::Select(self.inner(relations, &types))
        };
        let goes_up = all || !types.contains(&Type::Text) && self.random.percent(20);
        let step = self.beginning_step(number, goes_up);
        let recursion = Recursion::Linear(vec![Linear { types: types.clone(), base, step, all: goes_up, key: None }]);
        let query = if all {
            self.upward(Relation::Binding(number), &types)
        } else {
            let mut relations = vec![Relation::Binding(number)];
            if self.random.percent(40) {
                relations.push(self.table());
            }
            self.inner(relations, wanted)
        };
        self.bindings.truncate(number);
        Query::With(Box::new(Recursive { recursion, query: Query::Select(query) }))
    }

    fn beginning_step(&mut self, number: usize, goes_up: bool) -> Query {
        let (reference, types) = (Relation::Binding(number), self.bindings[number].clone());
        if goes_up {
            return Query::Select(self.upward(reference, &types));
        }
        let count = if self.random.percent(15) { 2 } else { 1 };
        let steps = (0..count).map(|_| {
            let table = self.table();
            Query::Select(self.onward(reference.clone(), table, &types))
        });
        steps.reduce(|first, second| Query::set(SetOperation::Union, first, second)).expect("there is at least one step")
    }
}
