//! Mode `trickle`: a statement's literal rows one by one, shuffled, among rows that are inserted and deleted again.
//!
//! Noise is made of the table's own rows: copies, and mixes that take each column from some row, so that NOT NULL and types hold
//! and the foreign rows join, group and recurse with the real ones. All of it is gone before the next record runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use refrain::Session;

use crate::random::Random;
use crate::statement::{InsertValues, Statement, quoted};
use crate::subject::{EngineError, Subject};

/// Rows of noise in one batch.
const NOISE_ROWS_MAX: usize = 3;

/// What mode `trickle` has to remember between records.
pub(crate) struct Trickle {
    random: Random,
    noise: bool,
    /// Tables for which there is none.
    quiet: BTreeSet<String>,
}

impl Trickle {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, noise: true, quiet: BTreeSet::new() }
    }

    /// No noise from here on.
    pub(crate) fn quiet(&mut self) {
        self.noise = false;
    }

    /// Takes note of a statement that has succeeded.
    pub(crate) fn note(&mut self, sql: &str) {
        if let Statement::CreateTable { name, takes_noise } = Statement::of(sql) {
            if takes_noise {
                self.quiet.remove(&name)
            } else {
                self.quiet.insert(name)
            };
        }
    }

    /// Runs an insertion row by row; the number of rows inserted.
    pub(crate) async fn insert(&mut self, subject: &mut Subject, insert: &InsertValues<'_>) -> Result<u64, EngineError> {
        let session = subject.session(0).await?;
        let noisy = self.noise && !self.quiet.contains(&insert.table);
        let table = quoted(&insert.table);
        let mut rows = insert.rows.clone();
        self.random.shuffle(&mut rows);
        let mut standing = Vec::new();
        for row in &rows {
            session.execute(&format!("{} {row}", insert.head)).await.map_err(EngineError)?;
            if noisy && self.random.one_in(2) {
                let noise = self.noise(&session, &table).await?;
                session.insert(&insert.table, noise.clone()).await.map_err(EngineError)?;
                standing.push(noise);
            }
            if !standing.is_empty() && self.random.one_in(2) {
                let noise = standing.swap_remove(self.random.below(standing.len()));
                session.delete(&insert.table, noise).await.map_err(EngineError)?;
            }
        }
        for noise in standing {
            session.delete(&insert.table, noise).await.map_err(EngineError)?;
        }
        Ok(rows.len() as u64)
    }

    /// A few rows made of the table's own; the table is not empty.
    async fn noise(&mut self, session: &Session, table: &str) -> Result<RecordBatch, EngineError> {
        let batches = session.query(&format!("SELECT * FROM {table}")).await.map_err(EngineError)?;
        let schema = batches.first().expect("a SELECT gives a batch of the row just inserted").schema();
        let rows = concat_batches(&schema, &batches).expect("the batches of one result have one schema");
        let count = 1 + self.random.below(NOISE_ROWS_MAX);
        let mixed = self.random.one_in(2);
        let mut pick = || UInt32Array::from_iter_values((0..count).map(|_| self.random.below(rows.num_rows()) as u32));
        let same = pick();
        let columns = rows.columns().iter().map(|column| {
            let indices = if mixed { pick() } else { same.clone() };
            take(column, &indices, None).expect("the indices are within the column")
        });
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("taken rows fit their schema"))
    }
}
