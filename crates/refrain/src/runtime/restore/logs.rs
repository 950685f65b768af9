//! Loop logs of a checkpoint come from the store while everything else goes on: an engine is open, and shows what there was, however much was
//! in flight. A view whose recursion has a log goes on when that is there.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt, stream};
use refrain_checkpoint::{LoopEntry, SegmentRef, Store};
use refrain_dataflow::{Control, Part};
use refrain_state::Dictionary;
use refrain_types::{Environment, OperatorId};

use super::super::segments::{SEGMENTS_AT_ONCE, aside, of_disk};
use super::Runtime;
use crate::engine::Shared;
use crate::error::Result;

/// How long a store that did not answer is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The logs of the loops of one view.
pub(super) struct Logs {
    pub control: Arc<Control>,
    /// Each with who uses it, for error messages.
    pub loops: Vec<(LoopEntry, String)>,
}

/// What it takes to read them.
struct Reader {
    store: Store,
    dictionary: Arc<Dictionary>,
    environment: Arc<dyn Environment>,
    runtime: Weak<Runtime>,
}

/// One of the segments of a log.
struct Segment {
    operator: OperatorId,
    schema: SchemaRef,
    segment: SegmentRef,
    used_by: String,
}

/// Begins to read logs, one view after the other. One that cannot be read ends the engine.
pub(super) fn read(shared: &Arc<Shared>, all: Vec<Logs>) {
    let reader = Reader {
        store: shared.store.clone(),
        dictionary: Arc::clone(&shared.dictionary),
        environment: Arc::clone(&shared.environment),
        runtime: Arc::downgrade(&shared.runtime),
    };
    tokio::spawn(async move {
        for logs in all {
            let read = reader.read_all(&logs).await;
            let Some(runtime) = reader.runtime.upgrade() else { return };
            match read {
                Ok(()) => runtime.logs_are_there(logs.control.id),
                Err(error) => return runtime.fail(error),
            }
        }
    });
}

impl Reader {
    async fn read_all(&self, logs: &Logs) -> Result<()> {
        let control = &logs.control;
        let segments = logs.loops.iter().flat_map(|(entry, used_by)| {
            let schema = refrain_dataflow::part::schema(&control.plan, entry.operator, Part::Log).expect("it was found before");
            let segment = move |segment: &SegmentRef| Segment {
                operator: entry.operator,
                schema: Arc::clone(&schema),
                segment: segment.clone(),
                used_by: used_by.clone(),
            };
            entry.log.iter().map(segment)
        });
        let reads = segments.map(|segment| self.read(control, segment)).collect::<Vec<_>>();
        stream::iter(reads).buffer_unordered(SEGMENTS_AT_ONCE).try_collect().await
    }

    async fn read(&self, control: &Arc<Control>, of: Segment) -> Result<()> {
        let batches = loop {
            if control.is_dead() || self.runtime.strong_count() == 0 {
                return Ok(());
            }
            match self.store.read_segment(&of.segment, &of.used_by).await {
                Err(error) if error.may_pass() => self.environment.sleep(RETRY_AFTER).await,
                read => break read?,
            }
        };
        let (control, dictionary) = (Arc::clone(control), Arc::clone(&self.dictionary));
        aside(&self.store, move || {
            let whose = format!("segment \"{}\" of {}", of.segment.name, of.used_by);
            for batch in &batches {
                control.bring_log(of.operator, &of_disk(&dictionary, &of.schema, batch, &whose)?.1);
            }
            Ok(())
        })
        .await
    }
}
