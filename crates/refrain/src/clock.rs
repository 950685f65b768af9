//! The clock by which materialized views know the time: the one row of `refrain.clock`.
//!
//! A view with `now()` in a condition reads it as it reads a table. It is set when such a view is created, and from then on at intervals, as
//! long as one is there; each time it is an epoch of the input log. So what a view shows depends on what is in the store alone, and after a
//! start it goes on from the time that it had. It never goes back.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use refrain_sql::RelationKind;
use refrain_types::{Delta, Weight};

use crate::database::Database;
use crate::engine::Shared;
use crate::error::Result;
use crate::ingest::TableChange;
use crate::relation::Relation;

/// Microseconds since 1970.
pub(crate) type Micros = i64;

/// What a store that does not take the time is given before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

impl Shared {
    /// The time outside.
    pub fn micros(&self) -> Micros {
        i64::try_from(self.environment.unix_millis()).unwrap_or(i64::MAX).saturating_mul(1000)
    }

    /// What sets a clock to this time, or to the one that it has if that is later: rows with their deltas, none where it has it.
    pub fn set_clock(&self, clock: &Relation, now: Micros) -> Vec<(RecordBatch, Arc<Delta>)> {
        let shown = shown(clock);
        if shown.is_some_and(|shown| now <= shown) {
            return Vec::new();
        }
        let change = |time: Micros, weight: Weight| {
            let column =
                cast(&Int64Array::from(vec![time]), clock.schema.field(0).data_type()).expect("a number is a point in time");
            let row = RecordBatch::try_new(Arc::clone(&clock.schema), vec![column]).expect("a clock has one column");
            (row.clone(), Arc::new(Delta::weighted(refrain_state::codec::encode_batch(&self.dictionary, &row), vec![weight])))
        };
        shown.map(|shown| change(shown, -1)).into_iter().chain([change(now, 1)]).collect()
    }

    /// Lets the clock run, if there is one and it does not yet.
    pub fn run_clock(self: &Arc<Self>) {
        if self.database().catalog.clock().is_some() && !self.clock_runs.swap(true, Ordering::AcqRel) {
            let engine = Arc::downgrade(self);
            tokio::spawn(async move { while tick(&engine).await {} });
        }
    }
}

/// Waits until it is time, and sets the clock. Returns whether it goes on.
async fn tick(engine: &Weak<Shared>) -> bool {
    let Some((environment, interval)) =
        engine.upgrade().map(|shared| (Arc::clone(&shared.environment), shared.settings().clock_interval))
    else {
        return false;
    };
    environment.sleep(interval).await;
    let Some(shared) = engine.upgrade() else { return false };
    if shared.check_alive().is_err() {
        return false;
    }
    if is_read(&shared.database()) && set(&shared).await.is_err() {
        drop(shared);
        environment.sleep(PAUSE).await;
    }
    true
}

async fn set(shared: &Arc<Shared>) -> Result<()> {
    // Only who has the turn sets it, so it is what is visible.
    let turn = shared.exclusive_turn().await?;
    let database = shared.database();
    let Some(entry) = database.catalog.clock() else { return Ok(()) };
    let clock = database.relation(entry.id)?;
    let change = shared.set_clock(clock, shared.micros());
    if change.is_empty() { Ok(()) } else { shared.write(turn, vec![TableChange::of_rows(clock, change)]).await }
}

/// Whether a maintained view asks for the time.
fn is_read(database: &Database) -> bool {
    let clock = database.catalog.clock().map(|clock| clock.id);
    let mut views = database.catalog.relations().filter(|relation| relation.kind == RelationKind::MaterializedView);
    clock.is_some_and(|clock| views.any(|view| view.depends_on().contains(&clock)))
}

/// The time that a clock shows.
fn shown(clock: &Relation) -> Option<Micros> {
    let mut times = BTreeMap::<Micros, Weight>::new();
    for delta in clock.snapshot().chunks {
        let column = cast(delta.rows.column(0), &DataType::Int64).expect("a point in time is a number");
        for (i, time) in column.as_primitive::<Int64Type>().values().iter().enumerate() {
            *times.entry(*time).or_default() += delta.weight(i);
        }
    }
    times.into_iter().rfind(|(_, weight)| *weight > 0).map(|(time, _)| time)
}
