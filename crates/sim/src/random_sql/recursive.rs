//! `WITH RECURSIVE` that ends: what goes round is taken over from rows, or counted up to a bound.

use super::select::named;
use super::{Generator, Query, Relation, Type};

impl Generator {
    pub(super) fn recursive(&mut self, depth: usize) -> Query {
        let name = format!("r{}", self.alias());
        let width = 1 + self.random.below(2);
        let types =
            (0..width).map(|_| *self.random.pick(&[Type::Int, Type::Int, Type::Int, Type::Text, Type::Date])).collect::<Vec<_>>();
        let base = self.select(Some(&types), depth - 1);
        let is_counted = self.random.percent(30);
        let mut columns = types.iter().enumerate().map(|(i, r#type)| (format!("x{i}"), *r#type)).collect::<Vec<_>>();
        if is_counted {
            columns.push(("n".to_owned(), Type::Int));
        }
        let own = Relation { name: name.clone(), columns };
        let sql = format!(
            "WITH RECURSIVE {name} AS ({} UNION{} {})",
            if is_counted {
                format!("SELECT b.*, 0 AS n FROM ({}) AS b", base.sql)
            } else {
                format!("SELECT b.* FROM ({}) AS b", base.sql)
            },
            if is_counted && self.random.percent(50) { " ALL" } else { "" },
            self.step(&own, &types, is_counted),
        );
        self.relations.push(own);
        let outer = self.select(None, depth - 1);
        self.relations.pop();
        Query { sql: format!("{sql} {}", outer.sql), types: outer.types }
    }

    /// The recursive term.
    fn step(&mut self, own: &Relation, types: &[Type], is_counted: bool) -> String {
        let alias = self.alias();
        let mut scope = own.under(&alias);
        let mut from = format!("{} AS {alias}", own.name);
        let mut filters = Vec::new();
        if self.random.percent(75) {
            let relation = self.random.pick(&self.relations).clone();
            let other = self.alias();
            let columns = relation.under(&other);
            let pairs =
                scope.iter().flat_map(|l| columns.iter().filter(move |r| r.r#type == l.r#type).map(move |r| (&l.sql, &r.sql)));
            let pairs = pairs.collect::<Vec<_>>();
            let on = if pairs.is_empty() {
                "true".to_owned()
            } else {
                let (left, right) = self.random.pick(&pairs);
                format!("{left} = {right}")
            };
            from = format!("{from} JOIN {} AS {other} ON {on}", relation.name);
            scope.extend(columns);
        }
        if self.random.percent(40) {
            filters.push(self.condition(&scope, 1));
        }
        let mut items = types.iter().map(|r#type| self.passed_on(*r#type, &scope)).collect::<Vec<_>>();
        if is_counted {
            let counter = format!("{alias}.n");
            filters.push(format!("{counter} < {}", 1 + self.random.below(3)));
            items.push(format!("{counter} + 1"));
        }
        let filter = if filters.is_empty() { String::new() } else { format!(" WHERE {}", filters.join(" AND ")) };
        format!("SELECT {} FROM {from}{filter}", named(&items))
    }

    /// One of finitely many values.
    fn passed_on(&mut self, r#type: Type, scope: &[super::Column]) -> String {
        let value = self.column(r#type, scope).unwrap_or_else(|| self.literal(r#type));
        match r#type {
            Type::Int if self.random.percent(40) => {
                format!("(({value}) + {}) % {}", self.random.below(3), 3 + self.random.below(6))
            }
            Type::Text if self.random.percent(30) => format!("substr({value}, 1, 2)"),
            _ => value,
        }
    }
}
