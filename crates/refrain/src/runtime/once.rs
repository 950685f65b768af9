//! A dataflow that computes one result and goes: the recursion of a one-shot query.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use refrain_dataflow::{Beginning, Captured, Command, Control, Events, Order, TickEnd, TickInput};
use refrain_plan::StreamPlan;
use refrain_types::{DataflowId, Delta, RelationId, Tick};
use tokio::sync::oneshot;

use super::views::feed;
use super::{Runtime, Schedule};
use crate::error::{Error, Result};
use crate::relation::consolidate;

struct OnceEvents(Mutex<Option<oneshot::Sender<Vec<Delta>>>>);

impl Events for OnceEvents {
    fn tick_ended(&self, end: TickEnd) -> Option<Order> {
        assert_eq!(end.held_rows, 0, "nobody cuts the tick of a one-shot query");
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The statement may have been cancelled.
            let _ = sender.send(end.outputs);
        }
        None
    }

    fn captured(&self, _: DataflowId, _: Vec<Captured>) -> Option<Order> {
        None
    }
}

/// What a dataflow has computed once.
pub(crate) struct Once {
    /// Its rows and errors.
    pub rows: Vec<Arc<Delta>>,
    /// What it did for them.
    pub control: Arc<Control>,
}

/// Drops the dataflow when the statement ends, however it ends.
struct Guard<'a> {
    runtime: &'a Runtime,
    control: Arc<Control>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.control.kill();
        self.runtime.commands.push(&Command::Drop(self.control.id));
    }
}

impl Schedule {
    fn id_for_once(&mut self) -> DataflowId {
        self.once -= 1;
        DataflowId(self.once)
    }
}

impl Runtime {
    /// Runs `plan` over these rows until it is settled. Dropping the future ends the computation.
    pub async fn run_once(&self, plan: Arc<StreamPlan>, inputs: BTreeMap<RelationId, Vec<Arc<Delta>>>) -> Result<Once> {
        self.check_alive()?;
        let id = self.schedule().id_for_once();
        let (sender, ended) = oneshot::channel();
        let events = Arc::new(OnceEvents(Mutex::new(Some(sender))));
        let control = self.new_control(id, &plan, events, Beginning::Empty);
        let guard = Guard { runtime: self, control };
        let input = |relation| inputs.get(&relation).into_iter().flatten().cloned();
        let feeds = plan.sources().flat_map(|(node, relation)| feed(node, input(relation))).collect();
        guard.control.order(Order::Tick(Arc::new(TickInput { tick: Tick(1), feeds, constants: true })));
        self.commands.push(&Command::Create(Arc::clone(&guard.control)));
        let outputs = self.threads.until_failure(ended).await?;
        let physical = refrain_types::physical::physical_schema(plan.schema());
        let outputs = outputs.into_iter().map(Arc::new).collect::<Vec<_>>();
        let control = Arc::clone(&guard.control);
        if outputs.iter().any(|d| d.has_retractions()) {
            return Ok(Once { rows: consolidate(&physical, &outputs).into_iter().map(Arc::new).collect(), control });
        }
        Ok(Once { rows: outputs, control })
    }
}

impl super::threads::Threads {
    /// The value that a worker sends, or why there will be none.
    pub async fn until_failure<T>(&self, value: oneshot::Receiver<T>) -> Result<T> {
        tokio::select! {
            biased;
            value = value => value.map_err(|_| self.failed().unwrap_or_else(Error::closed)),
            error = self.failure() => Err(error),
        }
    }
}
