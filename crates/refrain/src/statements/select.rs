//! `SELECT`, and whatever else returns the rows of a query.

use datafusion::sql::sqlparser::ast;
use refrain_types::Epoch;

use crate::error::Result;
use crate::query::{Prepared, ReadMode, Reader, padded};
use crate::session::{Notice, Outcome, Session};
use crate::transaction::Uncommitted;

impl Reader for Session {
    fn notice(&self, notice: Notice) {
        Session::notice(self, notice);
    }

    fn uncommitted(&self) -> Uncommitted {
        Session::uncommitted(self)
    }
}

/// Runs a query once, as the session reads.
pub(super) async fn select(session: &Session, query: &ast::Query) -> Result<Outcome> {
    read(session, query, if session.settings().reads_eager { ReadMode::Eager } else { ReadMode::Settled }).await
}

/// Runs a query over what was there at an epoch.
pub(super) async fn select_as_of(session: &Session, query: &ast::Query, epoch: u64) -> Result<Outcome> {
    read(session, query, ReadMode::AsOf(Epoch(epoch))).await
}

async fn read(session: &Session, query: &ast::Query, mode: ReadMode) -> Result<Outcome> {
    let shared = session.shared();
    let database = shared.database();
    let bound = refrain_sql::bind_query(&database.catalog, query)?;
    let columns = bound.columns();
    let rows = Prepared::new(&database, bound)?.run(shared, mode, session).await?;
    let batches = rows.batches.into_iter().map(|batch| padded(&columns, batch)).collect::<Result<_>>()?;
    Ok(Outcome::Rows { schema: rows.schema, batches })
}
