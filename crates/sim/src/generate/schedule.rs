//! Random schedules: rows that come, go and come again, with looks, checkpoints and restarts between them.

use super::Generator;
use crate::case::{Contents, End, Step, Store, apply};
use crate::expression::{Expr, Predicate};
use crate::value::Row;

/// Rows of a table above which rather rows go than come.
const ROWS_WANTED: usize = 14;

impl Generator {
    /// The steps of a case.
    pub(super) fn schedule(&mut self, store: Store) -> Vec<Step> {
        let mut contents: Contents = vec![Vec::new(); self.tables.len()];
        let mut steps = Vec::new();
        let filled_before = self.random.percent(40);
        if !filled_before {
            steps.push(Step::CreateView);
        }
        for (table, there) in contents.iter_mut().enumerate() {
            let count = self.random.below(if table == 0 { 12 } else { 6 });
            *there = (0..count).map(|_| self.row(table)).collect();
            let one_by_one = self.random.percent(25);
            let batches = there.chunks(if one_by_one { 1 } else { count.max(1) });
            steps.extend(batches.map(|rows| Step::Insert(table, rows.to_vec())));
        }
        if filled_before {
            steps.push(Step::CreateView);
        }
        self.between(store, &mut steps);
        // Rows that go again.
        let mut noise: Vec<(usize, Vec<Row>)> = Vec::new();
        for _ in 0..self.random.within(5..=20) {
            let mut push = |step: Step, contents: &mut Contents| {
                apply(contents, &step);
                steps.push(step);
            };
            if !noise.is_empty() && self.random.percent(40) {
                let (table, rows) = noise.swap_remove(self.random.below(noise.len()));
                push(Step::DeleteRows(table, rows), &mut contents);
            } else {
                let step = self.change(&contents);
                if let Step::Insert(table, rows) = &step
                    && !self.tables[*table].append_only
                    && self.random.percent(20)
                {
                    noise.push((*table, rows.clone()));
                }
                push(step, &mut contents);
            }
            self.between(store, &mut steps);
        }
        steps.push(Step::Look);
        if self.random.percent(8) {
            steps.push(Step::LookOnce);
        }
        steps
    }

    /// What may happen after a change.
    fn between(&mut self, store: Store, steps: &mut Vec<Step>) {
        let durable = store != Store::Private;
        if self.random.percent(if durable { 30 } else { 5 }) {
            steps.push(Step::Checkpoint { wait: self.random.percent(50) });
        }
        if self.random.percent(40) {
            steps.push(Step::Look);
        }
        if durable && self.random.percent(14) {
            let end = if self.random.percent(50) { End::Closed } else { End::Dropped };
            steps.push(Step::Restart(*self.random.pick(&[1, 2, 2, 3, 4, 8]), end));
        }
    }

    fn change(&mut self, contents: &Contents) -> Step {
        let table = if self.random.percent(60) { 0 } else { self.random.below(contents.len()) };
        let rows = &contents[table];
        if self.tables[table].append_only {
            return Step::Insert(table, self.rows(table, rows, 3));
        }
        let full = rows.len() > ROWS_WANTED;
        match self.random.weighted(&[if full { 5 } else { 34 }, if full { 3 } else { 16 }, 26, 10, 10, 2]) {
            0 => Step::Insert(table, self.rows(table, rows, 1)),
            1 => Step::Insert(table, self.rows(table, rows, 5)),
            2 if !rows.is_empty() => {
                let mut rows = rows.clone();
                self.random.shuffle(&mut rows);
                let count = if self.random.percent(65) { 1 } else { 1 + self.random.below(rows.len()) };
                rows.truncate(count);
                Step::DeleteRows(table, rows)
            }
            3 => {
                let types = self.tables[table].types();
                Step::DeleteWhere(table, self.predicate(&types, 1))
            }
            4 if !self.domain.acyclic => self.update(table),
            5 => Step::DeleteWhere(table, Predicate::True),
            _ => Step::Insert(table, self.rows(table, rows, 2)),
        }
    }

    /// Rows to insert, some of which are there already.
    fn rows(&mut self, table: usize, there: &[Row], count_max: usize) -> Vec<Row> {
        let count = 1 + self.random.below(count_max);
        let row = |_| {
            if !there.is_empty() && self.random.percent(15) { self.random.pick(there).clone() } else { self.row(table) }
        };
        (0..count).map(row).collect()
    }

    fn update(&mut self, table: usize) -> Step {
        let types = self.tables[table].types();
        let column = self.random.below(types.len());
        let to = if self.tables[table].columns[column].nullable {
            self.expression(&types, types[column])
        } else {
            Expr::Literal(self.literal(types[column]), types[column])
        };
        Step::Update(table, column, to, self.predicate(&types, 1))
    }
}
