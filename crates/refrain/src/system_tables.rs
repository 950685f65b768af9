//! Tables in which the engine tells about itself: `refrain.loops`, `refrain.iterations`, `refrain.operators`, `refrain.arrangements`,
//! `refrain.errors`, `refrain.memory` and `refrain.checkpoints`; and those of the standard's `information_schema`.

mod information_schema;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use refrain_sql::Catalog;
use refrain_sql::types::UTC;

use crate::checkpoints::{CheckpointInfo, CheckpointRecord};
use crate::engine::Shared;
use crate::runtime::{ArrangementStatus, LoopStatus};

const LOOPS: &str = "refrain.loops";
const ITERATIONS: &str = "refrain.iterations";
const OPERATORS: &str = "refrain.operators";
const ARRANGEMENTS: &str = "refrain.arrangements";
const ERRORS: &str = "refrain.errors";
const MEMORY: &str = "refrain.memory";
const CHECKPOINTS: &str = "refrain.checkpoints";

/// Makes the system tables known to a catalog.
pub(crate) fn define(catalog: &mut Catalog) {
    catalog.define_system_table(LOOPS, &loops_schema());
    catalog.define_system_table(ITERATIONS, &iterations_schema());
    catalog.define_system_table(OPERATORS, &operators_schema());
    catalog.define_system_table(ARRANGEMENTS, &arrangements_schema());
    catalog.define_system_table(ERRORS, &errors_schema());
    catalog.define_system_table(MEMORY, &memory_schema());
    catalog.define_system_table(CHECKPOINTS, &checkpoints_schema());
    information_schema::define(catalog);
}

/// The rows of a system table as they are now; `name` is the catalog's.
pub(crate) fn provider(shared: &Shared, name: &str) -> Arc<dyn TableProvider> {
    let batch = match name {
        LOOPS => loops(shared),
        ITERATIONS => iterations(shared),
        OPERATORS => operators(shared),
        ARRANGEMENTS => arrangements(shared),
        ERRORS => errors(shared),
        MEMORY => memory(shared),
        CHECKPOINTS => checkpoints(shared),
        _ => information_schema::batch(&shared.database().catalog, name),
    };
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("the batch has its own schema"))
}

fn loops_schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        Field::new("view", DataType::Utf8, false),
        number("dataflow"),
        Field::new("loop", DataType::Utf8, false),
        number("tick"),
        number("iteration"),
        number("laps"),
        number("hold_us"),
        number("frontier_rows"),
        number("held_rows"),
        number("log_rows"),
        number("log_bytes"),
        number("spilled_bytes"),
    ]))
}

fn loops(shared: &Shared) -> RecordBatch {
    let loops = shared.runtime.loops();
    let names = |of: fn(&LoopStatus) -> &str| Arc::new(StringArray::from_iter_values(loops.iter().map(of))) as ArrayRef;
    let numbers = |of: fn(&LoopStatus) -> u64| integers(loops.iter().map(of));
    let columns = vec![
        names(|l| &l.view),
        numbers(|l| l.dataflow),
        names(|l| &l.loop_name),
        numbers(|l| l.tick),
        numbers(|l| l.iteration),
        numbers(|l| l.laps),
        numbers(|l| l.hold_us),
        numbers(|l| l.frontier_rows),
        numbers(|l| l.held_rows),
        numbers(|l| l.log_rows),
        numbers(|l| l.log_bytes),
        numbers(|l| l.spilled_bytes),
    ];
    RecordBatch::try_new(loops_schema(), columns).expect("the columns are the schema's")
}

fn iterations_schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        Field::new("view", DataType::Utf8, false),
        Field::new("loop", DataType::Utf8, false),
        number("first"),
        number("last"),
        number("rows"),
    ]))
}

/// How many rows each loop has released since it was started, by iteration: each of the first iterations alone, later ones together.
fn iterations(shared: &Shared) -> RecordBatch {
    let loops = shared.runtime.loops();
    let counts = loops.iter().flat_map(|of| of.rounds.iter().map(move |(first, last, rows)| (of, *first, *last, *rows)));
    let counts = counts.collect::<Vec<_>>();
    let columns = vec![
        Arc::new(StringArray::from_iter_values(counts.iter().map(|(of, ..)| &of.view))) as ArrayRef,
        Arc::new(StringArray::from_iter_values(counts.iter().map(|(of, ..)| &of.loop_name))),
        integers(counts.iter().map(|(_, first, ..)| u64::from(*first))),
        integers(counts.iter().map(|(_, _, last, _)| u64::from(*last))),
        integers(counts.iter().map(|(.., rows)| *rows)),
    ];
    RecordBatch::try_new(iterations_schema(), columns).expect("the columns are the schema's")
}

fn operators_schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        Field::new("view", DataType::Utf8, false),
        number("operator"),
        Field::new("kind", DataType::Utf8, false),
        number("rows"),
        number("busy_us"),
        number("state_bytes"),
        number("capture_us"),
    ]))
}

fn operators(shared: &Shared) -> RecordBatch {
    let operators = shared.runtime.operators();
    let columns = vec![
        Arc::new(StringArray::from_iter_values(operators.iter().map(|o| &o.view))) as ArrayRef,
        integers(operators.iter().map(|o| o.operator)),
        Arc::new(StringArray::from_iter_values(operators.iter().map(|o| o.kind))) as ArrayRef,
        integers(operators.iter().map(|o| o.rows)),
        integers(operators.iter().map(|o| o.busy_us)),
        integers(operators.iter().map(|o| o.state_bytes)),
        integers(operators.iter().map(|o| o.capture_us)),
    ];
    RecordBatch::try_new(operators_schema(), columns).expect("the columns are the schema's")
}

fn errors_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("view", DataType::Utf8, false),
        Field::new("operator", DataType::Int64, false),
        Field::new("code", DataType::Utf8, false),
        Field::new("message", DataType::Utf8, false),
        Field::new("rows", DataType::Int64, false),
    ]))
}

/// The errors of each view at its last settled epoch.
fn errors(shared: &Shared) -> RecordBatch {
    let database = shared.database();
    let views = database.catalog.relations().filter_map(|entry| database.relation(entry.id).ok());
    let errors = views.flat_map(|view| {
        let snapshot = view.snapshot();
        snapshot.errors.into_iter().map(move |(error, weight)| (view.name.clone(), error, weight))
    });
    let errors = errors.collect::<Vec<_>>();
    let columns = vec![
        Arc::new(StringArray::from_iter_values(errors.iter().map(|(view, ..)| view))) as ArrayRef,
        integers(errors.iter().map(|(_, error, _)| u64::from(error.operator.0))),
        Arc::new(StringArray::from_iter_values(errors.iter().map(|(_, error, _)| error.code.as_str()))),
        Arc::new(StringArray::from_iter_values(errors.iter().map(|(_, error, _)| &error.message))),
        Arc::new(Int64Array::from_iter_values(errors.iter().map(|(.., weight)| *weight))),
    ];
    RecordBatch::try_new(errors_schema(), columns).expect("the columns are the schema's")
}

fn arrangements_schema() -> SchemaRef {
    let [number, text] = [DataType::Int64, DataType::Utf8].map(|t| move |name: &str| Field::new(name, t.clone(), false));
    Arc::new(Schema::new(vec![
        text("view"),
        number("operator"),
        text("kind"),
        text("part"),
        text("key"),
        number("rows"),
        number("bytes"),
    ]))
}

fn arrangements(shared: &Shared) -> RecordBatch {
    let arrangements = shared.runtime.arrangements();
    let texts =
        |of: fn(&ArrangementStatus) -> &str| Arc::new(StringArray::from_iter_values(arrangements.iter().map(of))) as ArrayRef;
    let numbers = |of: fn(&ArrangementStatus) -> u64| integers(arrangements.iter().map(of));
    let columns = vec![
        texts(|a| &a.view),
        numbers(|a| a.operator),
        texts(|a| a.kind),
        texts(|a| a.part),
        texts(|a| &a.key),
        numbers(|a| a.rows),
        numbers(|a| a.bytes),
    ];
    RecordBatch::try_new(arrangements_schema(), columns).expect("the columns are the schema's")
}

fn memory_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("used_for", DataType::Utf8, false),
        Field::new("used_bytes", DataType::Int64, false),
        Field::new("limit_bytes", DataType::Int64, true),
        Field::new("error", DataType::Utf8, true),
    ]))
}

fn memory(shared: &Shared) -> RecordBatch {
    let memory = shared.runtime.memory();
    let limits = memory.iter().map(|(_, _, limit, _)| (*limit != u64::MAX).then_some(integer(*limit)));
    let columns = vec![
        Arc::new(StringArray::from_iter_values(memory.iter().map(|(name, ..)| name))) as ArrayRef,
        integers(memory.iter().map(|(_, used, ..)| *used)),
        Arc::new(Int64Array::from_iter(limits)),
        Arc::new(StringArray::from_iter(memory.iter().map(|(.., error)| error.as_ref()))),
    ];
    RecordBatch::try_new(memory_schema(), columns).expect("the columns are the schema's")
}

fn checkpoints_schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![
        number("id"),
        Field::new("status", DataType::Utf8, false),
        number("epoch"),
        Field::new("started", DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())), true),
        number("duration_ms"),
        number("capture_ms"),
        number("upload_ms"),
        number("commit_ms"),
        number("pause_us"),
        number("bytes"),
        number("loop_log_rows"),
        Field::new("reason", DataType::Utf8, true),
    ]))
}

fn checkpoints(shared: &Shared) -> RecordBatch {
    let history = shared.runtime.checkpoints(shared.environment.monotonic());
    let committed = |of: fn(&CheckpointInfo) -> u64| {
        let values = history.iter().map(|record| match record {
            CheckpointRecord::Committed(info) => Some(of(info)),
            _ => None,
        });
        Arc::new(Int64Array::from_iter(values.map(|v| v.map(integer)))) as ArrayRef
    };
    let status = history.iter().map(|record| match record {
        CheckpointRecord::Committed(_) => "committed",
        CheckpointRecord::Aborted { .. } => "aborted",
        CheckpointRecord::Running { .. } => "running",
        CheckpointRecord::Waiting { .. } => "waiting",
    });
    let times = history.iter().map(|record| match record {
        CheckpointRecord::Committed(CheckpointInfo { started_unix_ms, duration_ms, pause_us, .. })
        | CheckpointRecord::Aborted { started_unix_ms, duration_ms, pause_us, .. } => {
            (Some(*started_unix_ms), Some(*duration_ms), Some(*pause_us))
        }
        CheckpointRecord::Running { started_unix_ms, duration_ms, .. } => (Some(*started_unix_ms), Some(*duration_ms), None),
        CheckpointRecord::Waiting { .. } => (None, None, None),
    });
    let started = times.clone().map(|(started, ..)| started.map(|ms| integer(ms.saturating_mul(1000))));
    let numbers = |values: &mut dyn Iterator<Item = Option<u64>>| {
        Arc::new(Int64Array::from_iter(values.map(|value| value.map(integer)))) as ArrayRef
    };
    let reasons = history.iter().map(|record| match record {
        CheckpointRecord::Aborted { reason, .. } => Some(reason.clone()),
        CheckpointRecord::Running { awaited, .. } | CheckpointRecord::Waiting { awaited } => {
            Some(format!("it waits for {awaited}"))
        }
        CheckpointRecord::Committed(_) => None,
    });
    let columns = vec![
        committed(|info| info.id),
        Arc::new(StringArray::from_iter_values(status)),
        committed(|info| info.epoch),
        Arc::new(TimestampMicrosecondArray::from_iter(started).with_timezone(UTC)),
        numbers(&mut times.clone().map(|(_, duration, _)| duration)),
        committed(|info| info.capture_ms),
        committed(|info| info.upload_ms),
        committed(|info| info.commit_ms),
        numbers(&mut times.map(|(.., pause)| pause)),
        committed(|info| info.bytes),
        committed(|info| info.loop_log_rows),
        Arc::new(StringArray::from_iter(reasons)),
    ];
    RecordBatch::try_new(checkpoints_schema(), columns).expect("the columns are the schema's")
}

fn integers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(integer)))
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
