//! The store of an engine: what is in it, how a checkpoint gets there, and how it is found again.
//!
//! ```text
//! manifest/<id>.json      what a checkpoint is            manifest.rs, commit.rs
//! segment/<uuid>.arrow    rows of an operator or result   segment.rs
//! loop/<uuid>.arrow       feedback of a loop in flight    segment.rs
//! input/<epoch>.arrow     rows and DDL, before they are   input_log.rs, input_record.rs, input_reader.rs
//!                         acknowledged
//! ```
//!
//! - A checkpoint is complete when its manifest is there: [`commit`].
//! - Never two writers: [`mod@fence`].
//! - A checkpoint as the beginning of another store: [`mod@fork`].
//! - Missing, short, unknown or corrupt is an error that names the object and who uses it, never "empty": [`object`].
//! - What the coordinator does next is decided by a pure function: [`protocol`].
//!
//! Not here: SQL, timely, DataFusion, what the rows mean, when a worker captures what. The engine carries out the protocol's
//! decisions.
#![warn(missing_docs)]

mod bucket;
pub mod commit;
pub mod error;
#[cfg(feature = "testing")]
pub mod faults;
pub mod fence;
pub mod fork;
pub mod garbage;
pub mod input_log;
pub mod input_reader;
pub mod input_record;
pub mod inspect;
pub mod local;
pub mod location;
pub mod manifest;
mod numbers;
pub mod object;
pub mod open;
pub mod protocol;
pub mod segment;

pub use commit::{Attempt, CommitOutcome};
pub use error::{Damage, Error, Result};
pub use fork::{Forked, fork};
pub use garbage::Collected;
pub use input_log::{Appended, InputLog, Stuck};
pub use input_reader::InputReader;
pub use input_record::{InputChange, InputRecord};
pub use inspect::{StoreReport, inspect};
pub use location::{Location, LocationKind};
pub use manifest::{Contents, DataflowEntry, LoopEntry, Manifest, OperatorEntry, RelationEntry, SegmentUse};
pub use numbers::UniqueId;
pub use open::{Mode, Opened, Store};
pub use segment::{EncodedSegment, SegmentKind, SegmentRef};
