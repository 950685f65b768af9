//! Reading several relations at one epoch.
//!
//! A strict read makes the visible epoch a *read point*: dataflows then settle at it exactly, instead of going over it together with
//! later input. A view that had gone over it before cannot be told apart at it; then a later read point is tried.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use refrain_types::{Epoch, RelationId};

use super::Reader;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::relation::{Relation, RelationKind, SNAPSHOT_TOO_OLD, Snapshot};
use crate::session::Notice;

/// After this a wait is mentioned.
const NOTICE_AFTER: Duration = Duration::from_secs(1);

/// Relations, read.
pub(crate) struct Reading {
    /// The epoch at which they were read; for an eager read, the visible one.
    pub epoch: Epoch,
    /// What was read.
    pub relations: BTreeMap<RelationId, (Arc<Relation>, Snapshot)>,
}

impl Reading {
    /// The error of what was read, if there is one.
    pub fn check_errors(&self) -> Result<()> {
        let mut errors = self.relations.values().filter_map(|(relation, s)| Error::of_rows(&relation.name, &s.errors));
        errors.next().map_or(Ok(()), Err)
    }
}

/// Reads relations at one epoch, not before the one that is visible now.
pub(crate) async fn read_settled(
    shared: &Shared,
    relations: &BTreeMap<RelationId, Arc<Relation>>,
    reader: &dyn Reader,
) -> Result<Reading> {
    let uncommitted = reader.uncommitted();
    uncommitted.check_views(&shared.database(), relations)?;
    loop {
        // The logs are pinned first, so that they reach back to the read point.
        let _pins = relations.values().map(|r| r.pin()).collect::<Vec<_>>();
        let point = shared.visible.read_point();
        for relation in relations.values().filter(|r| r.kind == RelationKind::View) {
            wait(shared, relation, point.epoch, reader).await?;
        }
        if relations.values().all(|r| r.is_exact_at(point.epoch)) {
            let read = relations.iter().map(|(id, r)| Ok((*id, (Arc::clone(r), uncommitted.over(r, r.snapshot_at(point.epoch))?))));
            return Ok(Reading { epoch: point.epoch, relations: read.collect::<Result<_>>()? });
        }
    }
}

async fn wait(shared: &Shared, view: &Relation, epoch: Epoch, reader: &dyn Reader) -> Result<()> {
    if view.settled() >= epoch {
        return Ok(());
    }
    let settled = view.wait_settled(epoch);
    tokio::pin!(settled);
    tokio::select! {
        biased;
        result = &mut settled => return result.map(drop),
        () = shared.environment.sleep(NOTICE_AFTER) => {}
    }
    let notice = Notice::new(format!("waiting for \"{}\" to settle", view.name));
    reader.notice(notice.with_hint("SET reads = 'eager' reads what is there without waiting."));
    settled.await.map(drop)
}

/// Reads relations as they were at an epoch. A transaction block's own changes are none of the past.
pub(crate) async fn read_as_of(
    shared: &Shared,
    relations: &BTreeMap<RelationId, Arc<Relation>>,
    epoch: Epoch,
    reader: &dyn Reader,
) -> Result<Reading> {
    let visible = shared.visible.now();
    if epoch > visible {
        return Err(Error::statement("22023", format!("epoch {epoch} has not come yet"))
            .with_detail(format!("The last epoch is {visible}.")));
    }
    let oldest = Epoch(visible.0.saturating_sub(shared.visible.history()));
    if epoch < oldest {
        return Err(Error::statement(SNAPSHOT_TOO_OLD, "snapshot too old")
            .with_detail(format!("The oldest epoch that is kept is {oldest}."))
            .with_hint("SET history_epochs lets more be kept from then on."));
    }
    for relation in relations.values().filter(|r| r.kind == RelationKind::View) {
        wait(shared, relation, epoch, reader).await?;
    }
    let read = relations.iter().map(|(id, r)| Ok((*id, (Arc::clone(r), r.snapshot_as_of(epoch)?))));
    Ok(Reading { epoch, relations: read.collect::<Result<_>>()? })
}

/// Reads what is there: views are cut, not waited for.
pub(crate) async fn read_eager(
    shared: &Shared,
    relations: &BTreeMap<RelationId, Arc<Relation>>,
    reader: &dyn Reader,
) -> Result<Reading> {
    let uncommitted = reader.uncommitted();
    uncommitted.check_views(&shared.database(), relations)?;
    let visible = shared.visible.now();
    let mut read = BTreeMap::new();
    for (id, relation) in relations {
        if relation.kind == RelationKind::View {
            shared.runtime.cut(*id).await?;
            if relation.settled() < visible {
                reader.notice(Notice::new(format!("\"{}\" is read before it has settled", relation.name)));
            }
        }
        read.insert(*id, (Arc::clone(relation), uncommitted.over(relation, relation.snapshot_eager())?));
    }
    Ok(Reading { epoch: visible, relations: read })
}
