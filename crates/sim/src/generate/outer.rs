//! The query over a recursion's bindings: mostly just one of them.

use super::Generator;
use crate::expression::{Expr, Predicate};
use crate::query::{Aggregate, Condition, Function, JoinKind, Output, Query, Relation, Select, SetOperation, Top};
use crate::value::Type;

impl Generator {
    /// A query over the bindings, all of which are decided; sometimes only its first rows.
    pub(super) fn outer_query(&mut self) -> Query {
        let query = self.whole_query();
        if self.random.percent(10) { self.top(query) } else { query }
    }

    /// The first rows of a query, in an order by all of its columns.
    pub(super) fn top(&mut self, of: Query) -> Query {
        let mut columns = (0..of.width()).collect::<Vec<_>>();
        self.random.shuffle(&mut columns);
        let order = columns.into_iter().map(|column| (column, self.random.percent(50), self.random.percent(50))).collect();
        let offset = if self.random.percent(30) { self.random.below(4) } else { 0 };
        let limit = 1 + self.random.below(6);
        Query::Top(Box::new(of), Top { order, offset, limit })
    }

    fn whole_query(&mut self) -> Query {
        let binding = self.random.below(self.bindings.len());
        let types = self.bindings[binding].clone();
        match self.random.weighted(&[52, 12, 10, 8, 8, 6, 4]) {
            1 => Query::Select(self.inner(vec![Relation::Binding(binding)], &types)),
            2 => {
                let other = self.beside();
                let wanted = self.binding_types();
                Query::Select(self.inner(vec![Relation::Binding(binding), other], &wanted))
            }
            3 => self.summary(binding, &types),
            4 => {
                let wanted = self.binding_types();
                let mut select = self.whole(binding);
                let other = self.beside();
                if self.random.percent(50) {
                    let kinds = [JoinKind::Left, JoinKind::Right, JoinKind::Full];
                    return Query::Select(self.outer(vec![Relation::Binding(binding), other], &kinds, &wanted));
                }
                let negated = self.random.percent(65);
                select.conditions.push(self.membership(&types, other, negated, false));
                Query::Select(select)
            }
            5 => {
                let other = Relation::Binding(self.random.below(self.bindings.len()));
                let other = Query::Select(self.inner(vec![other], &types));
                let operations = [SetOperation::UnionAll, SetOperation::UnionAll, SetOperation::Union, SetOperation::Except];
                Query::set(*self.random.pick(&operations), Query::Select(self.whole(binding)), other)
            }
            6 => {
                let mut select = self.whole(binding);
                select.conditions.push(Condition::Where(self.predicate(&types, 2)));
                Query::Select(select)
            }
            _ => Query::Select(self.whole(binding)),
        }
    }

    fn beside(&mut self) -> Relation {
        if self.random.percent(50) { self.table() } else { Relation::Binding(self.random.below(self.bindings.len())) }
    }

    pub(super) fn whole(&self, binding: usize) -> Select {
        let columns = (0..self.bindings[binding].len()).map(Expr::Column).collect();
        let output = Output::Rows { columns, distinct: false };
        Select { from: Relation::Binding(binding), joins: Vec::new(), conditions: Vec::new(), output }
    }

    /// Counts and extremes of a binding, by a column of it or altogether.
    fn summary(&mut self, binding: usize, types: &[Type]) -> Query {
        let mut select = self.whole(binding);
        let argument = self.leaf(types, Type::Int);
        let functions =
            [Function::CountRows, Function::Count, Function::Sum, Function::Min, Function::Max, Function::CountDistinct];
        let function = *self.random.pick(&functions);
        let mut aggregates = vec![Aggregate { function, argument: argument.clone() }];
        if function != Function::CountDistinct && self.random.percent(50) {
            let function = *self.random.pick(&functions[..5]);
            aggregates.push(Aggregate { function, argument });
        }
        let keys = if self.random.percent(70) { vec![Expr::Column(self.random.below(types.len()))] } else { Vec::new() };
        select.output = Output::Groups { keys, aggregates, having: Predicate::True };
        Query::Select(select)
    }
}
