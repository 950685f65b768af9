//! WHERE, with EXISTS, IN, ANY, and subqueries as values.

use super::{Column, Generator, Type};

impl Generator {
    /// What stands behind WHERE.
    pub(super) fn filter(&mut self, scope: &[Column], depth: usize) -> String {
        let count = 1 + self.random.below(2);
        let parts = (0..count).map(|_| {
            if depth == 0 || !self.random.percent(28) {
                return self.condition(scope, 2);
            }
            let predicate = self.subquery_predicate(scope, depth);
            match self.random.weighted(&[70, 15, 10, 5]) {
                0 => predicate,
                1 => format!("({predicate} OR {})", self.condition(scope, 1)),
                2 => format!("(NOT {predicate})"),
                _ => format!("CASE WHEN {predicate} THEN {} ELSE {} END", self.condition(scope, 1), self.condition(scope, 1)),
            }
        });
        parts.collect::<Vec<_>>().join(" AND ")
    }

    fn subquery_predicate(&mut self, scope: &[Column], depth: usize) -> String {
        let Some(column) = self.any_column(scope) else { return self.condition(scope, 1) };
        let not = if self.random.percent(40) { "NOT " } else { "" };
        match self.random.below(6) {
            0 | 1 => {
                let (from, inner) = self.inner_relation();
                let more = if self.random.percent(30) { format!(" AND {}", self.condition(&inner, 1)) } else { String::new() };
                format!("{not}EXISTS (SELECT 1 FROM {from} WHERE {}{more})", self.correlation(scope, &inner))
            }
            2 | 3 => {
                let query = self.select(Some(&[column.r#type]), depth - 1);
                format!("{} {not}IN ({})", column.sql, query.sql)
            }
            4 => {
                let query = self.select(Some(&[column.r#type]), depth - 1);
                let quantifier = self.random.pick(&["ANY", "ALL"]);
                format!("{} {} {quantifier} ({})", column.sql, self.comparison(), query.sql)
            }
            _ => {
                let of = *self.random.pick(&[Type::Int, Type::Big, Type::Text, Type::Date]);
                let value = self.scalar(of, scope, 1);
                format!("{value} {} {}", self.comparison(), self.scalar_subquery(of, scope))
            }
        }
    }

    /// A subquery of one row.
    pub(super) fn scalar_subquery(&mut self, r#type: Type, scope: &[Column]) -> String {
        let (from, inner) = self.inner_relation();
        let aggregate = self.aggregate(r#type, &inner);
        let filter = match self.random.below(3) {
            0 => String::new(),
            1 => format!(" WHERE {}", self.condition(&inner, 1)),
            _ => format!(" WHERE {}", self.correlation(scope, &inner)),
        };
        format!("(SELECT {aggregate} FROM {from}{filter})")
    }

    fn inner_relation(&mut self) -> (String, Vec<Column>) {
        let relation = self.random.pick(&self.relations).clone();
        let alias = self.alias();
        (format!("{} AS {alias}", relation.name), relation.under(&alias))
    }

    /// An equality of an outer and an inner column.
    fn correlation(&mut self, outer: &[Column], inner: &[Column]) -> String {
        let pairs = outer.iter().flat_map(|o| inner.iter().filter(move |i| i.r#type == o.r#type).map(move |i| (&o.sql, &i.sql)));
        let pairs = pairs.collect::<Vec<_>>();
        match pairs.as_slice() {
            [] => "true".to_owned(),
            pairs => {
                let (outer, inner) = self.random.pick(pairs);
                format!("{inner} = {outer}")
            }
        }
    }
}
