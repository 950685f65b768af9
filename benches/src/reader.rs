//! A subscriber that follows a view epoch by epoch.

use arrow::array::RecordBatch;
use futures::StreamExt as _;
use refrain::{Session, Subscription};

use crate::checksum::Answer;
use crate::{Failure, sql};

/// See the module.
pub(crate) struct Reader {
    changes: Subscription,
    epoch: u64,
    /// What has come and is not yet part of the answer.
    received: Vec<(RecordBatch, Vec<i64>)>,
    answer: Answer,
}

impl Reader {
    /// Follows a view, beginning with what is in it.
    pub(crate) async fn of(session: &Session, view: &str) -> Result<Self, Failure> {
        let changes = session.subscribe(&format!("SUBSCRIBE TO {view} WITH (SNAPSHOT = true, PROGRESS = true)")).await?;
        let mut this = Self { changes, epoch: 0, received: Vec::new(), answer: Answer::default() };
        this.read_on(1).await?;
        Ok(this)
    }

    /// Waits until so many further epochs are complete: those of as many changes, since nobody else writes.
    pub(crate) async fn read_on(&mut self, epochs: u64) -> Result<(), Failure> {
        let until = self.epoch + epochs;
        while let Some(event) = self.changes.next().await {
            let event = event?;
            if !event.progress {
                self.received.push((event.rows, event.weights));
            } else if event.epoch >= until {
                self.epoch = event.epoch;
                return Ok(());
            }
        }
        Err("the subscription has ended".into())
    }

    /// The sum of all that has come.
    pub(crate) fn answer(&mut self) -> Result<Answer, Failure> {
        for (rows, weights) in self.received.drain(..) {
            sql::add_batch(&mut self.answer, &rows, |row| weights[row])?;
        }
        Ok(self.answer)
    }

    /// How many rows have come since this or the answer was asked for.
    pub(crate) fn take_count(&mut self) -> usize {
        self.received.drain(..).map(|(rows, _)| rows.num_rows()).sum()
    }
}
