//! `SUBSCRIBE`: the rows that are there, then the change log, epoch by epoch.
//!
//! A subscription is a reader of a relation's change log; the log is its queue. If it lags too far behind it is ended with an error, so
//! that it cannot fill the memory. A query becomes a temporary view, which goes with the stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use refrain_sql::catalog::schema::written;
use refrain_sql::catalog::{Column, RelationKind};
use refrain_sql::parser::parse_query;
use refrain_sql::statement::{Subscribe, SubscribeTarget};
use refrain_state::codec::decode_batch;
use refrain_types::{DataflowId, Delta, Epoch};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::planning;
use crate::query::padded;
use crate::relation::{ReaderId, Relation, SUBSCRIBER_LAG_ROWS_MAX, Snapshot, consolidate};
use crate::session::Session;

/// One step of a subscription.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubscriptionEvent {
    /// The epoch of the changes; everything up to it that is not in an earlier event is in this one or in later ones of the same epoch.
    pub epoch: u64,
    /// How often each row has come (positive) or gone (negative).
    pub weights: Vec<i64>,
    /// The rows.
    pub rows: RecordBatch,
    /// No rows: everything up to the epoch has been delivered.
    pub progress: bool,
}

/// A stream of changes. An error of the data (a row for which an expression fails) is an item of its own; the stream goes on after it,
/// and the error is gone when its cause is. Any other error ends the stream.
pub struct Subscription {
    schema: SchemaRef,
    events: BoxStream<'static, Result<SubscriptionEvent>>,
}

impl Subscription {
    /// Columns of the rows.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Stream for Subscription {
    type Item = Result<SubscriptionEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_next_unpin(context)
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Starts a subscription.
pub(crate) async fn subscribe(session: &Session, statement: &Subscribe) -> Result<Subscription> {
    let shared = session.shared();
    let (relation, columns, temporary) = target(shared, &statement.target)?;
    // What has been acknowledged is in the first rows.
    let visible = shared.visible.now();
    relation.wait_settled(visible).await?;
    let (reader, snapshot) = relation.register_subscriber(SUBSCRIBER_LAG_ROWS_MAX);
    let schema = Arc::clone(&relation.schema);
    let mut feed = Feed {
        shared: Arc::clone(shared),
        _temporary: temporary,
        position: snapshot.epoch,
        queue: VecDeque::new(),
        progress: statement.progress,
        failing: false,
        reader,
        relation,
        columns,
    };
    feed.start(&snapshot, statement.snapshot);
    let events = stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        match feed.next().await {
            Ok(event) => Some((event, Some(feed))),
            Err(ended) => Some((Err(ended), None)),
        }
    });
    Ok(Subscription { schema, events: events.boxed() })
}

/// The relation of a name, or a view that lives as long as the subscription; and its columns.
fn target(shared: &Arc<Shared>, target: &SubscribeTarget) -> Result<(Arc<Relation>, Vec<Column>, Option<Temporary>)> {
    let database = shared.database();
    let query = match target {
        SubscribeTarget::Relation(name) => {
            let entry = database.catalog.relation(name)?;
            match entry.kind {
                RelationKind::Table | RelationKind::MaterializedView | RelationKind::Clock => {
                    return Ok((Arc::clone(database.relation(entry.id)?), entry.columns.clone(), None));
                }
                RelationKind::System => {
                    return Err(Error::unsupported(format!("subscribing to system table \"{name}\" is not supported")));
                }
                RelationKind::View => parse_query(&format!("SELECT * FROM {}", written(&entry.name)))?,
            }
        }
        SubscribeTarget::Query(query, _) => query.clone(),
    };
    let bound = refrain_sql::bind_query(&database.catalog, &query)?;
    let (schema, columns) = (Arc::clone(&bound.schema), bound.columns());
    let plan = Arc::new(planning::maintained(&database, bound.plan)?);
    let (id, dataflow) = shared.temporary_ids();
    let append_only = plan.node(plan.root).properties.append_only;
    let view = Relation::view(id, "subscription", schema, append_only, &shared.visible);
    let sources = database.sources(&plan)?;
    shared.runtime.create_view(Arc::clone(&view), dataflow, plan, sources, shared.visible.now())?;
    Ok((view, columns, Some(Temporary { shared: Arc::clone(shared), dataflow })))
}

/// A dataflow that ends with its subscription.
struct Temporary {
    shared: Arc<Shared>,
    dataflow: DataflowId,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.shared.runtime.drop_view(self.dataflow);
    }
}

struct Feed {
    shared: Arc<Shared>,
    relation: Arc<Relation>,
    columns: Vec<Column>,
    _temporary: Option<Temporary>,
    reader: ReaderId,
    /// Everything up to here is delivered or in the queue.
    position: Epoch,
    queue: VecDeque<Result<SubscriptionEvent>>,
    progress: bool,
    /// The relation holds errors, and that has been said.
    failing: bool,
}

impl Feed {
    fn start(&mut self, snapshot: &Snapshot, rows: bool) {
        if rows {
            let retracted = snapshot.chunks.iter().any(|c| c.has_retractions());
            let chunks = if retracted {
                consolidate(&self.relation.physical, &snapshot.chunks).into_iter().map(Arc::new).collect()
            } else {
                snapshot.chunks.clone()
            };
            chunks.iter().for_each(|chunk| self.push_rows(snapshot.epoch, chunk));
        }
        self.push_errors(snapshot);
        self.push_progress();
    }

    /// The next event; `Err` ends the stream.
    async fn next(&mut self) -> Result<Result<SubscriptionEvent>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(event);
            }
            self.relation.wait_settled(self.position.next()).await?;
            let Some((settled, changes)) = self.relation.changes_for(self.reader, self.position) else {
                let message = format!("the subscription to \"{}\" is too far behind", self.relation.name);
                return Err(Error::statement("54000", message).with_hint("Read its events faster."));
            };
            let with_errors = changes.iter().flat_map(|(_, deltas)| deltas).any(|d| !d.errors.is_empty());
            for (epoch, deltas) in &changes {
                match deltas.as_slice() {
                    [one] => self.push_rows(*epoch, one),
                    several => {
                        let whole = consolidate(&self.relation.physical, several);
                        whole.iter().for_each(|delta| self.push_rows(*epoch, delta));
                    }
                }
            }
            self.position = settled;
            self.relation.release(self.reader, settled);
            if with_errors || self.failing {
                self.push_errors(&self.relation.snapshot());
            }
            self.push_progress();
        }
    }

    fn push_rows(&mut self, epoch: Epoch, delta: &Delta) {
        if delta.num_rows() > 0 {
            let rows = decode_batch(&self.shared.dictionary, &delta.rows, &self.relation.schema);
            let weights = (0..delta.num_rows()).map(|i| delta.weight(i)).collect();
            let event = |rows| SubscriptionEvent { epoch: epoch.0, weights, rows, progress: false };
            self.queue.push_back(padded(&self.columns, rows).map(event));
        }
    }

    fn push_errors(&mut self, snapshot: &Snapshot) {
        let error = Error::of_rows(&self.relation.name, &snapshot.errors);
        if let (Some(error), false) = (&error, self.failing) {
            self.queue.push_back(Err(error.clone()));
        }
        self.failing = error.is_some();
    }

    fn push_progress(&mut self) {
        if self.progress {
            let rows = RecordBatch::new_empty(Arc::clone(&self.relation.schema));
            self.queue.push_back(Ok(SubscriptionEvent { epoch: self.position.0, weights: Vec::new(), rows, progress: true }));
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.relation.drop_reader(self.reader);
    }
}
