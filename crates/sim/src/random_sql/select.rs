//! Queries: FROM, WHERE, GROUP BY, windows, ORDER BY … LIMIT, set operations, WITH.

use super::{Column, Generator, Query, Relation, Type};

impl Generator {
    /// A query that may stand alone.
    pub(super) fn query(&mut self, depth: usize) -> Query {
        if depth == 0 {
            return self.select(None, 0);
        }
        match self.random.weighted(&[62, 16, 10, 12]) {
            0 => self.select(None, depth),
            1 => self.set_operation(depth),
            2 => self.with(depth),
            _ => self.recursive(depth),
        }
    }

    fn with(&mut self, depth: usize) -> Query {
        let inner = self.query(depth - 1);
        let name = format!("w{}", self.alias());
        self.relations.push(inner.relation(name.clone()));
        let outer = self.select(None, depth - 1);
        self.relations.pop();
        Query { sql: format!("WITH {name} AS ({}) {}", inner.sql, outer.sql), types: outer.types }
    }

    fn set_operation(&mut self, depth: usize) -> Query {
        let left = self.select(None, depth - 1);
        let operator =
            *self.random.pick(&["UNION", "UNION ALL", "UNION ALL", "EXCEPT", "EXCEPT ALL", "INTERSECT", "INTERSECT ALL"]);
        let right = self.select(Some(&left.types), depth - 1);
        Query { sql: format!("({}) {operator} ({})", left.sql, right.sql), types: left.types }
    }

    /// A SELECT, of columns of these types where they are given.
    pub(super) fn select(&mut self, types: Option<&[Type]>, depth: usize) -> Query {
        let (from, scope) = self.from(depth);
        let filter = if self.random.percent(55) { format!(" WHERE {}", self.filter(&scope, depth)) } else { String::new() };
        let count = 1 + self.random.below(3);
        let types = types.map_or_else(|| (0..count).map(|_| self.any_type()).collect(), <[Type]>::to_vec);
        match self.random.weighted(&[46, 10, 30, 14]) {
            0 => {
                let items = types.iter().map(|r#type| self.item(*r#type, &scope, depth)).collect::<Vec<_>>();
                self.ordered(format!("SELECT {} FROM {from}{filter}", named(&items)), types)
            }
            1 => {
                let items = types.iter().map(|r#type| self.scalar(*r#type, &scope, 1)).collect::<Vec<_>>();
                self.ordered(format!("SELECT DISTINCT {} FROM {from}{filter}", named(&items)), types)
            }
            2 => self.grouped(&format!("{from}{filter}"), &scope, types),
            _ => {
                let items = types.iter().map(|r#type| self.window(*r#type, &scope)).collect::<Vec<_>>();
                self.ordered(format!("SELECT {} FROM {from}{filter}", named(&items)), types)
            }
        }
    }

    /// A value of the select list.
    fn item(&mut self, r#type: Type, scope: &[Column], depth: usize) -> String {
        if depth > 0 && self.random.percent(6) { self.scalar_subquery(r#type, scope) } else { self.scalar(r#type, scope, 2) }
    }

    /// Perhaps with an order of all columns and a limit.
    fn ordered(&mut self, sql: String, types: Vec<Type>) -> Query {
        if !self.random.percent(8) {
            return Query { sql, types };
        }
        let keys =
            (1..=types.len()).map(|i| format!("{i}{}", self.random.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"])));
        let keys = keys.collect::<Vec<_>>().join(", ");
        let limit = 1 + self.random.below(4);
        let offset = if self.random.percent(30) { " OFFSET 1" } else { "" };
        Query { sql: format!("{sql} ORDER BY {keys} LIMIT {limit}{offset}"), types }
    }

    /// FROM, and the columns that it has.
    fn from(&mut self, depth: usize) -> (String, Vec<Column>) {
        let (mut sql, mut scope) = self.read_item(depth);
        for _ in 0..self.random.weighted(&[50, 35, 15]) {
            let (item, columns) = self.read_item(depth.saturating_sub(1));
            let kind = self.random.weighted(&[45, 22, 8, 8, 8, 9]);
            let on = self.join_condition(&scope, &columns, kind == 0 || kind == 1);
            sql = match kind {
                0 => format!("{sql} JOIN {item} ON {on}"),
                1 => format!("{sql} LEFT JOIN {item} ON {on}"),
                2 => format!("{sql} RIGHT JOIN {item} ON {on}"),
                3 => format!("{sql} FULL JOIN {item} ON {on}"),
                4 => format!("{sql} CROSS JOIN {item}"),
                _ => format!("{sql} JOIN {item} ON {}", on.replacen(" = ", " IS NOT DISTINCT FROM ", 1)),
            };
            scope.extend(columns);
        }
        (sql, scope)
    }

    fn read_item(&mut self, depth: usize) -> (String, Vec<Column>) {
        let alias = self.alias();
        if depth > 0 && self.random.percent(22) {
            let query = self.query(depth - 1);
            return (format!("({}) AS {alias}", query.sql), query.relation(String::new()).under(&alias));
        }
        if self.random.percent(4) {
            let rows = (0..=self.random.below(3)).map(|_| format!("({}, {})", self.literal(Type::Int), self.literal(Type::Text)));
            let rows = rows.collect::<Vec<_>>().join(", ");
            let relation =
                Relation { name: String::new(), columns: vec![("n".to_owned(), Type::Int), ("s".to_owned(), Type::Text)] };
            return (format!("(VALUES {rows}) AS {alias}(n, s)"), relation.under(&alias));
        }
        // The newest one is what WITH has just named.
        let newest = self.relations.len() - 1;
        let number = if self.random.percent(30) { newest } else { self.random.below(self.relations.len()) };
        let relation = self.relations[number].clone();
        (format!("{} AS {alias}", relation.name), relation.under(&alias))
    }

    /// An equality of a column of each side where their types allow it, and perhaps more.
    fn join_condition(&mut self, left: &[Column], right: &[Column], may_have_more: bool) -> String {
        let pairs = left.iter().flat_map(|l| right.iter().filter(move |r| r.r#type == l.r#type).map(move |r| (&l.sql, &r.sql)));
        let pairs = pairs.collect::<Vec<_>>();
        if pairs.is_empty() {
            return "true".to_owned();
        }
        let (l, r) = *self.random.pick(&pairs);
        let equal = format!("{l} = {r}");
        if may_have_more && self.random.percent(30) {
            let both = left.iter().chain(right).cloned().collect::<Vec<_>>();
            return format!("{equal} AND {}", self.condition(&both, 1));
        }
        if may_have_more && self.random.percent(8) {
            return format!("{l} {} {r}", self.comparison());
        }
        equal
    }

    /// GROUP BY, or none.
    fn grouped(&mut self, from: &str, scope: &[Column], types: Vec<Type>) -> Query {
        let keys = (0..self.random.below(3)).filter_map(|_| self.any_column(scope)).collect::<Vec<_>>();
        let items = types.iter().map(|r#type| match self.column(*r#type, &keys) {
            Some(key) if self.random.percent(60) => key,
            _ => self.over_aggregates(*r#type, scope),
        });
        let items = items.collect::<Vec<_>>();
        let mut sql = format!("SELECT {} FROM {from}", named(&items));
        if !keys.is_empty() {
            let keys = keys.iter().map(|key| key.sql.as_str()).collect::<Vec<_>>();
            let all = keys.join(", ");
            sql = match self.random.weighted(&[82, 6, 6, 6]) {
                0 => format!("{sql} GROUP BY {all}"),
                1 => format!("{sql} GROUP BY ROLLUP ({all})"),
                2 => format!("{sql} GROUP BY CUBE ({all})"),
                _ => format!("{sql} GROUP BY GROUPING SETS (({all}), ({}), ())", keys[0]),
            };
        }
        if self.random.percent(25) {
            let r#type = *self.random.pick(&[Type::Int, Type::Big, Type::Text, Type::Date]);
            sql = format!("{sql} HAVING {} {} {}", self.aggregate(r#type, scope), self.comparison(), self.literal(r#type));
        }
        self.ordered(sql, types)
    }

    /// An aggregate, or what is made of some.
    fn over_aggregates(&mut self, r#type: Type, scope: &[Column]) -> String {
        let aggregate = self.aggregate(r#type, scope);
        if self.random.percent(80) {
            return aggregate;
        }
        let [a, b] = ["a", "b"].map(|name| Column { sql: format!("\u{1}{name}"), r#type });
        let over = self.scalar(r#type, &[a, b], 1);
        over.replace("\u{1}a", &aggregate).replace("\u{1}b", &self.aggregate(r#type, scope))
    }

    /// An aggregate whose value is of a type.
    pub(super) fn aggregate(&mut self, r#type: Type, scope: &[Column]) -> String {
        let of = |generator: &mut Self, r#type| generator.scalar(r#type, scope, 1);
        let distinct = if self.random.percent(15) { "DISTINCT " } else { "" };
        let extreme = *self.random.pick(&["min", "max"]);
        let aggregate = match r#type {
            Type::Int => format!("{extreme}({})", of(self, Type::Int)),
            Type::Big => match self.random.below(5) {
                0 => "count(*)".to_owned(),
                1 => {
                    let any = self.any_type();
                    format!("count({distinct}{})", of(self, any))
                }
                2 => format!("{extreme}({})", of(self, Type::Big)),
                _ => format!("sum({distinct}{})", of(self, Type::Int)),
            },
            Type::Text => match self.random.below(3) {
                0 => {
                    let text = of(self, Type::Text);
                    format!("string_agg({distinct}{text}, ',' ORDER BY {text})")
                }
                _ => format!("{extreme}({})", of(self, Type::Text)),
            },
            Type::Bool => format!("{}({})", self.random.pick(&["bool_and", "bool_or", "every"]), of(self, Type::Bool)),
            Type::Numeric => match self.random.below(5) {
                0 => format!("avg({distinct}{})", of(self, Type::Int)),
                1 => format!("avg({})", of(self, Type::Numeric)),
                2 => format!("sum({})", of(self, Type::Big)),
                3 => format!("sum({distinct}{})", of(self, Type::Numeric)),
                _ => format!("{extreme}({})", of(self, Type::Numeric)),
            },
            Type::Date => format!("{extreme}({})", of(self, Type::Date)),
            Type::Double => format!("{extreme}({})", of(self, Type::Double)),
        };
        if self.random.percent(12) { format!("{aggregate} FILTER (WHERE {})", self.condition(scope, 1)) } else { aggregate }
    }

    /// A window function of a type, or an expression.
    fn window(&mut self, r#type: Type, scope: &[Column]) -> String {
        if self.random.percent(40) {
            return self.scalar(r#type, scope, 1);
        }
        let partition = match self.any_column(scope) {
            Some(column) if self.random.percent(70) => format!("PARTITION BY {}", column.sql),
            _ => String::new(),
        };
        // Rows that are at one place in it are equal in whatever is read.
        let all =
            scope.iter().map(|c| format!("{}{}", c.sql, self.random.pick(&["", "", " DESC", " NULLS FIRST"]))).collect::<Vec<_>>();
        let all = all.join(", ");
        let peers = self.any_column(scope).map_or_else(String::new, |column| format!("ORDER BY {}", column.sql));
        let value = self.scalar(r#type, scope, 1);
        let ordered = format!("({partition} ORDER BY {all})");
        match (r#type, self.random.below(4)) {
            (Type::Big, 0) => format!("row_number() OVER {ordered}"),
            (Type::Big, 1) => format!("{}() OVER ({partition} {peers})", self.random.pick(&["rank", "dense_rank"])),
            (Type::Big, 2) => format!("count({value}) OVER ({partition} {peers})"),
            (Type::Big, _) => format!("sum({}) OVER ({partition} {peers})", self.scalar(Type::Int, scope, 1)),
            (_, 0) => format!("{}({value}, {}) OVER {ordered}", self.random.pick(&["lag", "lead"]), 1 + self.random.below(2)),
            (_, 1) => format!("{}({value}) OVER {ordered}", self.random.pick(&["first_value", "last_value"])),
            (Type::Bool, _) => format!("bool_or({value}) OVER ({partition} {peers})"),
            (_, 2) => {
                let frame =
                    self.random.pick(&["ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", "ROWS 2 PRECEDING", "ROWS UNBOUNDED PRECEDING"]);
                format!("max({value}) OVER ({partition} ORDER BY {all} {frame})")
            }
            _ => format!("min({value}) OVER ({partition} {peers})"),
        }
    }
}

/// A select list.
pub(super) fn named(items: &[String]) -> String {
    items.iter().enumerate().map(|(i, item)| format!("{item} AS x{i}")).collect::<Vec<_>>().join(", ")
}
