//! The types of the columns of what a query sees and gives.

use crate::query::{Function, Output, Query, Relation, Select, Table};
use crate::value::Type;

/// What a query sees: tables, and bindings with the types of their columns.
#[derive(Clone, Copy)]
pub(super) struct Visible<'a> {
    pub(super) tables: &'a [Table],
    pub(super) bindings: &'a [Vec<Type>],
}

impl Visible<'_> {
    pub(super) fn relation(self, relation: &Relation) -> Vec<Type> {
        match relation {
            Relation::Table(table) => self.tables[*table].types(),
            Relation::Binding(binding) => self.bindings[*binding].clone(),
            Relation::Derived(query) => self.query(query),
        }
    }

    /// All that a SELECT lists in FROM.
    pub(super) fn input(self, select: &Select) -> Vec<Type> {
        let joined = select.joins.iter().map(|join| &join.relation);
        std::iter::once(&select.from).chain(joined).flat_map(|relation| self.relation(relation)).collect()
    }

    pub(super) fn query(self, query: &Query) -> Vec<Type> {
        let select = match query {
            Query::Values(types, _) => return types.clone(),
            Query::Set(_, left, _) => return self.query(left),
            Query::Top(of, _) => return self.query(of),
            Query::With(recursive) => {
                let own = recursive.recursion.types().into_iter().map(<[Type]>::to_vec);
                let bindings = self.bindings.iter().cloned().chain(own).collect::<Vec<_>>();
                return Visible { bindings: &bindings, ..self }.query(&recursive.query);
            }
            Query::Select(select) => select,
        };
        let input = self.input(select);
        match &select.output {
            Output::Rows { columns, .. } => columns.iter().map(|column| column.data_type(&input)).collect(),
            Output::Groups { keys, aggregates, .. } => {
                let results = aggregates.iter().map(|call| match call.function {
                    Function::Min | Function::Max => call.argument.data_type(&input),
                    Function::CountRows | Function::Count | Function::CountDistinct | Function::Sum => Type::Int,
                });
                keys.iter().map(|key| key.data_type(&input)).chain(results).collect()
            }
        }
    }
}
