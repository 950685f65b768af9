//! `SELECT`, and whatever else returns the rows of a query.

use datafusion::sql::sqlparser::ast;

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

/// Runs a query once.
pub(super) async fn select(session: &Session, query: &ast::Query) -> Result<Outcome> {
    let shared = session.shared();
    let database = shared.database();
    let bound = refrain_sql::bind_query(&database.catalog, query)?;
    let mode = if session.settings().reads_eager { ReadMode::Eager } else { ReadMode::Settled };
    let columns = bound.columns();
    let rows = Prepared::new(&database, bound)?.run(shared, mode, session).await?;
    let batches = rows.batches.into_iter().map(|batch| padded(&columns, batch)).collect::<Result<_>>()?;
    Ok(Outcome::Rows { schema: rows.schema, batches })
}
