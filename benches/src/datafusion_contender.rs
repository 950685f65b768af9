//! DataFusion's own WITH RECURSIVE over a table in memory: the query planned and run once, its rows collected.
//!
//! It computes from scratch, so it stands beside the loads only. A worker is a partition and a thread.

use arrow::array::RecordBatch;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::Failure;
use crate::case::{Case, Node};
use crate::clock::Stopwatch;
use crate::measurement::{Finish, Measurement};
use crate::memory;
use crate::sql::{self, CHAIN, CLOSURE};

/// All pairs of a node and one it leads to.
pub(crate) fn closure<N: Node>(case: &Case, edges: Vec<(N, N)>) -> Result<Measurement, Failure> {
    query(case.workers, sql::pairs(["source", "target"], &edges), CLOSURE)
}

/// The nodes that node 0 leads to, and itself.
pub(crate) fn chain(case: &Case, edges: Vec<(i32, i32)>) -> Result<Measurement, Failure> {
    query(case.workers, sql::pairs(["source", "target"], &edges), CHAIN)
}

fn query(workers: usize, edges: RecordBatch, query: &str) -> Result<Measurement, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(async {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(workers));
        context.register_batch("edges", edges)?;
        memory::forget_peak();
        let clock = Stopwatch::start();
        let batches = context.sql(query).await?.collect().await?;
        let finish = Finish::after(clock.elapsed());
        Ok(finish.with_answer(sql::answer(&batches)?))
    })
}

#[cfg(test)]
mod tests;
