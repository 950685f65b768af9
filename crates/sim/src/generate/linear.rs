//! `WITH RECURSIVE`: a working table that one recursive term goes over.

use super::Generator;
use crate::expression::{Comparison, Expr, Predicate};
use crate::query::{
    Condition, Function, Join, JoinKind, Key, Linear, Output, Query, Recursion, Recursive, Relation, Select, SetOperation,
};
use crate::value::Type;

impl Generator {
    /// With UNION; sometimes a second recursion over the first.
    pub(super) fn linear(&mut self) -> Recursive {
        let count = if self.random.percent(15) { 2 } else { 1 };
        let bindings = (0..count).map(|number| self.set_binding(number)).collect();
        Recursive { recursion: Recursion::Linear(bindings), query: self.outer_query() }
    }

    fn set_binding(&mut self, number: usize) -> Linear {
        let types = self.binding_types();
        let base = if number > 0 && self.random.percent(70) {
            Query::Select(self.inner(vec![Relation::Binding(number - 1)], &types))
        } else {
            self.base(&types)
        };
        self.bindings.push(types.clone());
        let mut step = Query::Select(self.set_step(Relation::Binding(number), &types));
        if self.random.percent(12) {
            let second = Query::Select(self.set_step(Relation::Binding(number), &types));
            step = Query::set(SetOperation::Union, step, second);
        }
        Linear { types, base, step, all: false, key: None }
    }

    /// One to three columns, mostly numbers.
    pub(super) fn binding_types(&mut self) -> Vec<Type> {
        let count = 1 + self.random.weighted(&[30, 52, 18]);
        (0..count).map(|at| if at > 0 && self.random.percent(12) { Type::Text } else { Type::Int }).collect()
    }

    /// A recursive term of some form that a set allows.
    fn set_step(&mut self, reference: Relation, types: &[Type]) -> Select {
        let form = self.random.weighted(&[68, 8, 8, 4, 12]);
        let mut select = match form {
            1 => {
                let mut select = self.inner(vec![reference], types);
                select.conditions.push(Condition::Where(self.predicate(types, 1)));
                select
            }
            2 => {
                let table = self.table();
                self.outer(vec![reference, table], &[JoinKind::Left], types)
            }
            3 => {
                let table = self.table();
                self.outer(vec![table, reference], &[JoinKind::Right], types)
            }
            _ => self.chain(reference, types),
        };
        let seen = self.input_types(&select);
        if form == 4 {
            let other = self.table();
            select.conditions.push(self.membership(&seen, other, true, false));
        }
        if self.random.percent(8) {
            let other = self.table();
            select.conditions.push(self.membership(&seen, other, false, true));
        }
        // Over a join it is refused where the optimizer makes a semi join of the two.
        if let Output::Rows { distinct, .. } = &mut select.output {
            *distinct = select.joins.is_empty() && self.random.percent(40);
        }
        select
    }

    /// The reference joined with one table or two, on either side of it.
    fn chain(&mut self, reference: Relation, types: &[Type]) -> Select {
        if types[0] == Type::Int && types[types.len() - 1] == Type::Int && self.random.percent(55) {
            return self.along(reference, types, Relation::Table(0));
        }
        let mut relations = vec![self.table()];
        if self.random.percent(25) {
            relations.push(self.table());
        }
        relations.insert(self.random.below(relations.len() + 1), reference);
        self.inner(relations, types)
    }

    /// As closures have it: the last column of the reference meets the first of an edge and takes its second, the others stay. Or the
    /// other way round: the first column meets the second of an edge and takes its first. Edges begin with two numbers.
    pub(super) fn along(&mut self, reference: Relation, types: &[Type], edge: Relation) -> Select {
        let (last, edge_width) = (types.len() - 1, self.types(&edge).len());
        let (from, relation, on, columns) = if self.random.percent(60) {
            let on = Predicate::equal(Expr::Column(last), Expr::Column(last + 1));
            let stay = (0..last).map(Expr::Column);
            (reference, edge, on, stay.chain([Expr::Column(last + 2)]).collect::<Vec<_>>())
        } else {
            let on = Predicate::equal(Expr::Column(1), Expr::Column(edge_width));
            let stay = (1..=last).map(|at| Expr::Column(edge_width + at));
            (edge, reference, on, std::iter::once(Expr::Column(0)).chain(stay).collect())
        };
        let all = [self.types(&from), self.types(&relation)].concat();
        let kind = if self.random.percent(30) { JoinKind::Comma } else { JoinKind::Inner };
        let joins = vec![Join { kind, relation, on }];
        let condition = if self.random.percent(25) { Some(Condition::Where(self.predicate(&all, 2))) } else { None };
        Select { from, joins, conditions: condition.into_iter().collect(), output: Output::Rows { columns, distinct: false } }
    }

    /// With UNION ALL: over rows without cycles, along edges that go up, or with a counter and a bound.
    pub(super) fn counting(&mut self) -> Recursive {
        let counted = !self.domain.acyclic && self.random.percent(75);
        let mut types = if counted { self.binding_types() } else { vec![Type::Int; 1 + self.random.below(3)] };
        let base = self.base(&types);
        let reference = Relation::Binding(0);
        let (base, step) = if counted {
            types.push(Type::Int);
            self.bindings.push(types.clone());
            let start = self.random.within(0..=1);
            let mut step = Query::Select(self.counted_step(reference.clone(), &types));
            if self.random.percent(15) {
                step = Query::set(SetOperation::UnionAll, step, Query::Select(self.counted_step(reference, &types)));
            }
            (with_column(base, Expr::int(start)), step)
        } else {
            self.bindings.push(types.clone());
            let step = self.upward(reference, &types);
            (base, Query::Select(step))
        };
        let linear = Linear { types, base, step, all: true, key: None };
        Recursive { recursion: Recursion::Linear(vec![linear]), query: self.outer_query() }
    }

    /// Along edges that go up, so that no row comes back to where it was.
    pub(super) fn upward(&mut self, reference: Relation, types: &[Type]) -> Select {
        let mut step = self.along(reference, types, Relation::Table(0));
        if !self.domain.acyclic {
            // Where the edge's columns are depends on which side it stands.
            let edge = if step.from == Relation::Table(0) { 0 } else { types.len() };
            let up = Predicate::Compare(Comparison::Less, Expr::Column(edge), Expr::Column(edge + 1));
            step.conditions.push(Condition::Where(up));
        }
        step
    }

    /// With USING KEY: a value among a few for each key, which only gets better; or the latest, with a counter that ends it.
    pub(super) fn keyed(&mut self) -> Recursive {
        let columns = 1 + usize::from(self.random.percent(35));
        let mut types = vec![Type::Int; columns + 1];
        if self.random.percent(35) {
            types.push(if self.random.percent(50) { Type::Text } else { Type::Int });
        }
        let function = *self.random.pick(&[Some(Function::Min), Some(Function::Min), Some(Function::Max), None]);
        let base = self.base(&types);
        let reference = Relation::Binding(0);
        let (base, step) = if function.is_some() {
            self.bindings.push(types.clone());
            let step = if self.random.percent(60) { self.keyed_step(reference, &types) } else { self.chain(reference, &types) };
            (base, step)
        } else {
            types.push(Type::Int);
            self.bindings.push(types.clone());
            (with_column(base, Expr::int(0)), self.counted_step(reference, &types))
        };
        let key = Some(Key { columns, function });
        let linear = Linear { types, base, step: Query::Select(step), all: false, key };
        Recursive { recursion: Recursion::Linear(vec![linear]), query: self.outer_query() }
    }

    /// As shortest paths have it: the last column of the key goes along an edge, the others stay; what is behind is made of both.
    fn keyed_step(&mut self, reference: Relation, types: &[Type]) -> Select {
        let edge = Relation::Table(0);
        let width = types.len();
        let all = [self.types(&reference), self.types(&edge)].concat();
        let at = if width > 2 && types[1] == Type::Int && self.random.percent(40) { 1 } else { 0 };
        let mut columns = self.columns(&all, types);
        columns[..=at].clone_from_slice(&(0..=at).map(Expr::Column).collect::<Vec<_>>());
        columns[at] = Expr::Column(width + 1);
        let joins =
            vec![Join { kind: JoinKind::Inner, relation: edge, on: Predicate::equal(Expr::Column(at), Expr::Column(width)) }];
        Select { from: reference, joins, conditions: Vec::new(), output: Output::Rows { columns, distinct: false } }
    }

    /// A step whose last column counts up to a bound.
    pub(super) fn counted_step(&mut self, reference: Relation, types: &[Type]) -> Select {
        let counter = types.len() - 1;
        let mut relations = if self.random.percent(85) { vec![self.table()] } else { Vec::new() };
        if self.random.percent(10) {
            relations.push(self.table());
        }
        let at = self.random.below(relations.len() + 1);
        relations.insert(at, reference);
        let before = relations[..at].iter().map(|relation| self.types(relation).len()).sum::<usize>();
        let mut select = self.inner(relations, &types[..counter]);
        let counter = Expr::Column(before + counter);
        let bound = Expr::int(self.random.within(1..=5));
        select.conditions.push(Condition::Where(Predicate::Compare(Comparison::Less, counter.clone(), bound)));
        if let Output::Rows { columns, .. } = &mut select.output {
            columns.push(counter.plus(1));
        }
        select
    }
}

/// A query with one more column, the same for every row.
pub(super) fn with_column(query: Query, column: Expr) -> Query {
    match query {
        Query::Select(Select { from, joins, conditions, output: Output::Rows { mut columns, distinct } }) => {
            columns.push(column);
            Query::Select(Select { from, joins, conditions, output: Output::Rows { columns, distinct } })
        }
        other => {
            let columns = (0..other.width()).map(Expr::Column).chain([column]).collect();
            let from = Relation::Derived(Box::new(other));
            let output = Output::Rows { columns, distinct: false };
            Query::Select(Select { from, joins: Vec::new(), conditions: Vec::new(), output })
        }
    }
}
