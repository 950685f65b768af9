//! Queries as SQL text.

use std::cell::{Cell, RefCell};

use crate::query::{
    Aggregate, Condition, Function, Join, JoinKind, Key, Linear, Mutual, Output, Query, Recursion, Recursive, Relation, Select,
    SetOperation, Table, Top,
};
use crate::value::Type;

mod expression;
#[cfg(test)]
mod tests;

pub(crate) use expression::{expression, predicate};

/// The statement that creates a table.
pub(crate) fn create_table(table: &Table) -> String {
    let column = |c: &crate::query::Column| format!("{} {}{}", c.name, c.data_type, if c.nullable { "" } else { " NOT NULL" });
    let columns = table.columns.iter().map(column).collect::<Vec<_>>().join(", ");
    let options = if table.append_only { " WITH (append_only = true)" } else { "" };
    format!("CREATE TABLE {} ({columns}){options}", table.name)
}

/// The text of a query over a recursion.
pub(crate) fn recursive(tables: &[Table], recursive: &Recursive) -> String {
    let writer = Writer { tables, bindings: RefCell::default(), binding_names: Cell::new(0), aliases: Cell::new(0) };
    writer.recursive(recursive)
}

/// The names of the columns of a row, by their positions.
type Names = Vec<String>;

struct Writer<'a> {
    tables: &'a [Table],
    /// The name and the width of each binding that is seen where the writer is.
    bindings: RefCell<Vec<(String, usize)>>,
    binding_names: Cell<usize>,
    aliases: Cell<usize>,
}

fn key_text(key: Key) -> String {
    let columns = (0..key.columns).map(column_name);
    let function = key.function.map(|f| {
        let name = if f == Function::Min { "min" } else { "max" };
        format!("{name}({})", column_name(key.columns))
    });
    format!(" USING KEY ({})", columns.chain(function).collect::<Vec<_>>().join(", "))
}

impl Writer<'_> {
    /// A query over a recursion, whose bindings have names that no other recursion of the statement has.
    fn recursive(&self, recursive: &Recursive) -> String {
        let around = self.bindings.borrow().len();
        for types in recursive.recursion.types() {
            let name = format!("r{}", self.binding_names.get());
            self.binding_names.set(self.binding_names.get() + 1);
            self.bindings.borrow_mut().push((name, types.len()));
        }
        let definitions = match &recursive.recursion {
            Recursion::Linear(bindings) => {
                let bindings = (around..).zip(bindings).map(|(number, binding)| self.linear(number, binding));
                format!("WITH RECURSIVE {}", bindings.collect::<Vec<_>>().join(", "))
            }
            Recursion::Mutual(bindings, limit) => {
                let limit = limit.map_or_else(String::new, |n| format!("(RETURN AT RECURSION LIMIT {n}) "));
                let bindings = (around..).zip(bindings).map(|(number, binding)| self.mutual(number, binding));
                format!("WITH MUTUALLY RECURSIVE {limit}{}", bindings.collect::<Vec<_>>().join(", "))
            }
        };
        let query = self.query(&recursive.query);
        self.bindings.borrow_mut().truncate(around);
        format!("{definitions} {query}")
    }

    fn linear(&self, number: usize, binding: &Linear) -> String {
        let columns = (0..binding.types.len()).map(column_name).collect::<Vec<_>>().join(", ");
        let union = if binding.all { "UNION ALL" } else { "UNION" };
        let (base, step) = (
            self.term(&binding.base),
            match &binding.step {
                Query::Set(_, first, second) => format!("{} {union} {}", self.term(first), self.term(second)),
                one => self.term(one),
            },
        );
        let key = binding.key.map_or_else(String::new, key_text);
        let (name, _) = self.binding(number);
        format!("{name}({columns}){key} AS ({base} {union} {step})")
    }

    fn mutual(&self, number: usize, binding: &Mutual) -> String {
        let column = |(i, t): (usize, &Type)| format!("{} {t}", column_name(i));
        let columns = binding.types.iter().enumerate().map(column).collect::<Vec<_>>().join(", ");
        let (name, _) = self.binding(number);
        format!("{name} ({columns}) AS ({})", self.query(&binding.query))
    }

    /// The name of a binding, and its width.
    fn binding(&self, number: usize) -> (String, usize) {
        self.bindings.borrow()[number].clone()
    }

    fn query(&self, query: &Query) -> String {
        match query {
            Query::Select(select) => self.select(select),
            Query::Values(types, rows) => {
                let row = |row: &crate::value::Row| {
                    let literals = row.iter().zip(types).enumerate();
                    let items = literals.map(|(i, (value, of))| format!("{} AS {}", value.literal(*of), column_name(i)));
                    format!("SELECT {}", items.collect::<Vec<_>>().join(", "))
                };
                rows.iter().map(row).collect::<Vec<_>>().join(" UNION ALL ")
            }
            Query::Set(operation, left, right) => {
                let word = match operation {
                    SetOperation::Union => "UNION",
                    SetOperation::UnionAll => "UNION ALL",
                    SetOperation::Except => "EXCEPT",
                    SetOperation::Intersect => "INTERSECT",
                };
                format!("{} {word} {}", self.term(left), self.term(right))
            }
            Query::Top(of, top) => self.top(of, top),
            Query::With(recursive) => self.recursive(recursive),
        }
    }

    fn top(&self, of: &Query, Top { order, offset, limit }: &Top) -> String {
        let alias = self.aliases.get();
        self.aliases.set(alias + 1);
        let by = order.iter().map(|(column, descending, nulls_first)| {
            let direction = if *descending { "DESC" } else { "ASC" };
            format!("s{alias}.{} {direction} NULLS {}", column_name(*column), if *nulls_first { "FIRST" } else { "LAST" })
        });
        let by = by.collect::<Vec<_>>().join(", ");
        format!("SELECT * FROM ({}) AS s{alias} ORDER BY {by} LIMIT {limit} OFFSET {offset}", self.query(of))
    }

    /// A query as one side of a set operation.
    fn term(&self, query: &Query) -> String {
        match query {
            Query::Select(_) => self.query(query),
            Query::Values(_, rows) if rows.len() == 1 => self.query(query),
            _ => format!("({})", self.query(query)),
        }
    }

    fn select(&self, select: &Select) -> String {
        let (first, mut names) = self.relation(&select.from);
        let mut from = first;
        let mut conditions = Vec::new();
        for Join { kind, relation, on } in &select.joins {
            let (text, more) = self.relation(relation);
            names.extend(more);
            let on = predicate(on, &names);
            let word = match kind {
                JoinKind::Comma => {
                    from = format!("{from}, {text}");
                    conditions.push(on);
                    continue;
                }
                JoinKind::Inner => "JOIN",
                JoinKind::Left => "LEFT JOIN",
                JoinKind::Right => "RIGHT JOIN",
                JoinKind::Full => "FULL JOIN",
            };
            from = format!("{from} {word} {text} ON {on}");
        }
        conditions.extend(select.conditions.iter().map(|condition| self.condition(condition, &names)));
        let conditions = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let (items, groups) = output(&select.output, &names);
        format!("SELECT {items} FROM {from}{conditions}{groups}")
    }

    fn condition(&self, condition: &Condition, names: &Names) -> String {
        let not = |negated: bool| if negated { "NOT " } else { "" };
        match condition {
            Condition::Where(condition) => predicate(condition, names),
            Condition::Exists { negated, relation, on } => {
                let (text, more) = self.relation(relation);
                let all = names.iter().cloned().chain(more).collect::<Vec<_>>();
                format!("{}EXISTS (SELECT 1 FROM {text} WHERE {})", not(*negated), predicate(on, &all))
            }
            Condition::In { negated, value, relation, column } => {
                let (text, more) = self.relation(relation);
                let value = expression(value, names);
                format!("{value} {}IN (SELECT {} FROM {text})", not(*negated), more[*column])
            }
        }
    }

    /// A relation with an alias of its own, and the names of its columns.
    fn relation(&self, relation: &Relation) -> (String, Names) {
        let number = self.aliases.get();
        self.aliases.set(number + 1);
        let alias = format!("s{number}");
        let (text, columns) = match relation {
            Relation::Table(table) => {
                let table = &self.tables[*table];
                (table.name.clone(), table.columns.iter().map(|c| c.name.to_owned()).collect::<Vec<_>>())
            }
            Relation::Binding(binding) => {
                let (name, width) = self.binding(*binding);
                (name, (0..width).map(column_name).collect())
            }
            Relation::Derived(query) => (format!("({})", self.query(query)), (0..query.width()).map(column_name).collect()),
        };
        let names = columns.iter().map(|column| format!("{alias}.{column}")).collect();
        (format!("{text} AS {alias}"), names)
    }
}

/// The select list, and what follows WHERE.
fn output(output: &Output, names: &Names) -> (String, String) {
    let listed = |items: Vec<String>| {
        let items = items.iter().enumerate().map(|(i, item)| format!("{item} AS {}", column_name(i)));
        items.collect::<Vec<_>>().join(", ")
    };
    match output {
        Output::Rows { columns, distinct } => {
            let items = listed(columns.iter().map(|column| expression(column, names)).collect());
            (format!("{}{items}", if *distinct { "DISTINCT " } else { "" }), String::new())
        }
        Output::Groups { keys, aggregates, having } => {
            let keys = keys.iter().map(|key| expression(key, names)).collect::<Vec<_>>();
            let calls = aggregates.iter().map(|call| aggregate(call, names));
            let all = keys.iter().cloned().chain(calls).collect::<Vec<_>>();
            let mut groups = String::new();
            if !keys.is_empty() {
                groups = format!(" GROUP BY {}", keys.join(", "));
            }
            if *having != crate::expression::Predicate::True {
                groups = format!("{groups} HAVING {}", predicate(having, &all));
            }
            (listed(all), groups)
        }
    }
}

fn aggregate(call: &Aggregate, names: &Names) -> String {
    let argument = expression(&call.argument, names);
    match call.function {
        Function::CountRows => "CAST(count(*) AS int)".to_owned(),
        Function::Count => format!("CAST(count({argument}) AS int)"),
        Function::CountDistinct => format!("CAST(count(DISTINCT {argument}) AS int)"),
        Function::Sum => format!("CAST(sum({argument}) AS int)"),
        Function::Min => format!("min({argument})"),
        Function::Max => format!("max({argument})"),
    }
}

fn column_name(number: usize) -> String {
    format!("c{number}")
}
