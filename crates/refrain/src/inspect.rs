//! What is in a store, for people: its checkpoints, their sizes, loop logs and operators, read and verified without changing anything.

pub use refrain_checkpoint::inspect::{
    CheckpointReport, InputLogReport, LoopReport, OperatorReport, RelationReport, Size, StoreReport,
};
use refrain_checkpoint::{Location, inspect as inspect_location};

use crate::environment::SystemEnvironment;
use crate::error::Result;

/// Describes the store at a URL or in a folder. It may be in use.
///
/// # Errors
/// When there is no such store or it cannot be listed; what is wrong inside it is part of the report.
pub async fn inspect(url: &str) -> Result<StoreReport> {
    let location = Location::parse(url, false)?;
    Ok(inspect_location(&location, SystemEnvironment::shared().unix_millis()).await?)
}
