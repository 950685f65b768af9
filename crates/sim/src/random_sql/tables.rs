//! Tables, their rows, and what changes them.

use super::{Generator, Relation, Type};

/// A table, and how many rows have been made for it: the first column of a keyed one counts them.
#[derive(Clone, Debug)]
pub(super) struct Table {
    relation: Relation,
    is_keyed: bool,
    not_null: Vec<bool>,
    made: usize,
}

impl Table {
    pub(super) fn create(&self) -> String {
        let columns = self.relation.columns.iter().zip(&self.not_null).enumerate().map(|(i, ((name, r#type), not_null))| {
            let sql = if *r#type == Type::Numeric { "numeric(8, 2)" } else { r#type.sql() };
            let rule = if self.is_keyed && i == 0 {
                " PRIMARY KEY"
            } else if *not_null {
                " NOT NULL"
            } else {
                ""
            };
            format!("{name} {sql}{rule}")
        });
        format!("CREATE TABLE {} ({})", self.relation.name, columns.collect::<Vec<_>>().join(", "))
    }
}

impl Generator {
    /// Three tables, which queries read from now on.
    pub(super) fn tables(&mut self) -> Vec<Table> {
        let tables = (0..3).map(|t| {
            let is_keyed = self.random.percent(50);
            let mut columns = vec![(format!("c{t}0"), Type::Int)];
            for c in 1..=2 + self.random.below(3) {
                columns.push((format!("c{t}{c}"), self.any_type()));
            }
            let not_null = columns.iter().map(|_| self.random.percent(20)).collect();
            Table { relation: Relation { name: format!("t{t}"), columns }, is_keyed, not_null, made: 0 }
        });
        let tables = tables.collect::<Vec<_>>();
        self.relations.extend(tables.iter().map(|table| table.relation.clone()));
        tables
    }

    /// What changes the tables, batch by batch.
    pub(super) fn batches(&mut self, mut tables: Vec<Table>) -> Vec<Vec<String>> {
        let first = tables.iter_mut().map(|table| self.insertion(table, 8)).collect();
        let mut batches = vec![first];
        for _ in 0..2 + self.random.below(3) {
            let length = 1 + self.random.below(4);
            let mut batch = (0..length).map(|_| self.change(&mut tables)).collect::<Vec<_>>();
            if self.random.percent(20) {
                let end = if self.random.percent(80) { "COMMIT" } else { "ROLLBACK" };
                batch.insert(0, "BEGIN".to_owned());
                batch.push(end.to_owned());
            }
            batches.push(batch);
        }
        batches
    }

    fn insertion(&mut self, table: &mut Table, rows_max: usize) -> String {
        let rows = (0..=self.random.below(rows_max)).map(|_| self.row(table)).collect::<Vec<_>>();
        format!("INSERT INTO {} VALUES {}", table.relation.name, rows.join(", "))
    }

    fn row(&mut self, table: &mut Table) -> String {
        table.made += 1;
        let columns = table.relation.columns.iter().zip(&table.not_null).enumerate();
        let values = columns.map(|(i, ((_, r#type), not_null))| {
            if table.is_keyed && i == 0 {
                return table.made.to_string();
            }
            if !not_null && self.random.percent(20) { "NULL".to_owned() } else { self.literal(*r#type) }
        });
        format!("({})", values.collect::<Vec<_>>().join(", "))
    }

    fn change(&mut self, tables: &mut [Table]) -> String {
        let number = self.random.below(tables.len());
        let table = &mut tables[number];
        let scope = table.relation.under(&table.relation.name);
        let name = table.relation.name.clone();
        match self.random.weighted(&[50, 20, 20, 2, 8]) {
            0 => self.insertion(table, 4),
            1 => format!("DELETE FROM {name} WHERE {}", self.condition(&scope, 1)),
            2 => {
                let changed = (1..scope.len()).filter(|_| self.random.percent(40)).collect::<Vec<_>>();
                let changed = if changed.is_empty() { vec![1] } else { changed };
                let not_null = table.not_null.clone();
                let columns = table.relation.columns.clone();
                let assignments = changed.into_iter().map(|i| {
                    let (column, r#type) = &columns[i];
                    let value = if not_null[i] { self.literal(*r#type) } else { self.scalar(*r#type, &scope, 1) };
                    // Digits that do not fit are not what this is about.
                    if *r#type == Type::Numeric { format!("{column} = ({value}) % 1000") } else { format!("{column} = {value}") }
                });
                let assignments = assignments.collect::<Vec<_>>().join(", ");
                format!("UPDATE {name} SET {assignments} WHERE {}", self.condition(&scope, 1))
            }
            3 => format!("TRUNCATE {name}"),
            _ => format!("DELETE FROM {name} WHERE {} % {} = 0", scope[0].sql, 2 + self.random.below(3)),
        }
    }
}
