//! Random SELECTs: what every shape of recursion is put together from.

use super::Generator;
use crate::expression::{Expr, Predicate};
use crate::query::{Aggregate, Condition, Function, Join, JoinKind, Output, Query, Relation, Select, SetOperation};
use crate::value::Type;

impl Generator {
    /// A table, sometimes as a derived table of both directions.
    pub(super) fn table(&mut self) -> Relation {
        // Edges are what most recursions go along.
        let table = if self.random.percent(60) { 0 } else { self.random.below(self.tables.len()) };
        let types = self.tables[table].types();
        let turnable = types.len() >= 2 && types[0] == types[1] && !self.domain.acyclic;
        if turnable && self.random.percent(8) {
            let scan = |columns: [usize; 2]| {
                let output = Output::Rows { columns: columns.map(Expr::Column).to_vec(), distinct: false };
                Query::Select(Select { from: Relation::Table(table), joins: Vec::new(), conditions: Vec::new(), output })
            };
            let operation = if self.random.percent(50) { SetOperation::UnionAll } else { SetOperation::Union };
            return Relation::Derived(Box::new(Query::set(operation, scan([0, 1]), scan([1, 0]))));
        }
        Relation::Table(table)
    }

    /// A FROM of these relations, each of which meets some row of those before it, and the types of its columns.
    pub(super) fn from(&mut self, relations: Vec<Relation>, kinds: &[JoinKind]) -> (Select, Vec<Type>) {
        let mut relations = relations.into_iter();
        let from = relations.next().expect("a FROM lists at least one relation");
        let mut types = self.types(&from);
        let mut joins = Vec::new();
        for relation in relations {
            let right = self.types(&relation);
            let on = self.meeting(&types, &right);
            joins.push(Join { kind: *self.random.pick(kinds), relation, on });
            types.extend(right);
        }
        // A comma binds weaker than JOIN: a condition behind it does not see what stands before it.
        let outer = joins.iter().any(|join| matches!(join.kind, JoinKind::Left | JoinKind::Right | JoinKind::Full));
        if joins.iter().any(|join| join.kind == JoinKind::Comma) {
            let kind = if outer { JoinKind::Inner } else { JoinKind::Comma };
            joins.iter_mut().filter(|join| !outer || join.kind == JoinKind::Comma).for_each(|join| join.kind = kind);
        }
        let output = Output::Rows { columns: Vec::new(), distinct: false };
        (Select { from, joins, conditions: Vec::new(), output }, types)
    }

    /// Columns of these types for a SELECT over others.
    pub(super) fn columns(&mut self, input: &[Type], wanted: &[Type]) -> Vec<Expr> {
        wanted.iter().map(|of| self.expression(input, *of)).collect()
    }

    /// A SELECT over these relations with inner joins.
    pub(super) fn inner(&mut self, relations: Vec<Relation>, wanted: &[Type]) -> Select {
        let (mut select, types) = self.from(relations, &[JoinKind::Inner, JoinKind::Inner, JoinKind::Comma]);
        if self.random.percent(30) {
            select.conditions.push(Condition::Where(self.predicate(&types, 2)));
        }
        select.output = Output::Rows { columns: self.columns(&types, wanted), distinct: false };
        select
    }

    /// A SELECT with an outer join.
    pub(super) fn outer(&mut self, relations: Vec<Relation>, kinds: &[JoinKind], wanted: &[Type]) -> Select {
        let (mut select, types) = self.from(relations, kinds);
        if self.random.percent(25) {
            select.conditions.push(Condition::Where(self.predicate(&types, 1)));
        }
        select.output = Output::Rows { columns: self.columns(&types, wanted), distinct: false };
        select
    }

    /// `[NOT] EXISTS` or `[NOT] IN` over a relation, for rows of these types.
    pub(super) fn membership(&mut self, types: &[Type], relation: Relation, negated: bool, equalities_only: bool) -> Condition {
        let others = self.types(&relation);
        let of = if types.contains(&Type::Text) && others.contains(&Type::Text) && self.random.percent(25) {
            Type::Text
        } else {
            Type::Int
        };
        if !types.contains(&of) || !others.contains(&of) || self.random.percent(50) {
            let column = others.iter().position(|t| *t == of);
            let (column, of) = column.map_or((0, others[0]), |at| (at, of));
            let value = self.column(types, of).unwrap_or_else(|| self.constant(of));
            return Condition::In { negated, value, relation, column };
        }
        let on = self.equality(types, &others, of);
        let all = types.iter().chain(&others).copied().collect::<Vec<_>>();
        let on = if !equalities_only && self.random.percent(25) { on.and(self.predicate(&all, 0)) } else { on };
        Condition::Exists { negated, relation, on }
    }

    /// A query over tables alone.
    pub(super) fn base(&mut self, wanted: &[Type]) -> Query {
        let table = self.table();
        match self.random.weighted(&[50, 12, 12, 8, 7, 6, 5]) {
            1 => {
                let rows = (0..self.random.within(1..=3)).map(|_| wanted.iter().map(|of| self.literal(*of)).collect());
                Query::Values(wanted.to_vec(), rows.collect())
            }
            2 => {
                let other = self.table();
                Query::Select(self.inner(vec![table, other], wanted))
            }
            3 => {
                let other = self.table();
                let (left, right) = (self.inner(vec![table], wanted), self.inner(vec![other], wanted));
                let operations = [SetOperation::UnionAll, SetOperation::Union, SetOperation::Intersect];
                Query::set(*self.random.pick(&operations), Query::Select(left), Query::Select(right))
            }
            4 => {
                let mut select = self.inner(vec![table], wanted);
                let (types, other) = (self.input_types(&select), self.table());
                let negated = self.random.percent(60);
                select.conditions.push(self.membership(&types, other, negated, false));
                Query::Select(select)
            }
            5 => {
                let other = self.table();
                let kinds = [JoinKind::Left, JoinKind::Right, JoinKind::Full];
                Query::Select(self.outer(vec![table, other], &kinds, wanted))
            }
            6 => {
                let plain = Query::Select(self.inner_plain(table, wanted));
                self.grouped(Relation::Derived(Box::new(plain)), wanted)
            }
            _ => Query::Select(self.inner(vec![table], wanted)),
        }
    }

    /// Plain columns of a table, or literals.
    fn inner_plain(&mut self, table: Relation, wanted: &[Type]) -> Select {
        let types = self.types(&table);
        let columns = wanted.iter().map(|of| self.leaf(&types, *of)).collect();
        Select { from: table, joins: Vec::new(), conditions: Vec::new(), output: Output::Rows { columns, distinct: false } }
    }

    /// One row for each group of a relation with columns of just these types: the first columns are keys, the last is an aggregate.
    pub(super) fn grouped(&mut self, relation: Relation, wanted: &[Type]) -> Query {
        let keys = wanted.len() - 1;
        let argument = Expr::Column(keys);
        let functions: &[Function] = match wanted[keys] {
            Type::Int if self.free => &[Function::Min, Function::Max, Function::Count, Function::Sum],
            Type::Int => &[Function::Min, Function::Min, Function::Max, Function::Count, Function::CountDistinct],
            Type::Text => &[Function::Min, Function::Max],
        };
        let function = *self.random.pick(functions);
        let having = if self.random.percent(12) { self.predicate(wanted, 0) } else { Predicate::True };
        let keys = (0..keys).map(Expr::Column).collect();
        let output = Output::Groups { keys, aggregates: vec![Aggregate { function, argument }], having };
        Query::Select(Select { from: relation, joins: Vec::new(), conditions: Vec::new(), output })
    }
}
