//! What each kind of statement does, one file per kind.

mod alter_table;
mod analyze;
mod conflict;
pub(crate) mod copy;
pub(crate) mod ddl;
pub(crate) mod dml;
mod explain;
mod select;
mod set;
mod show;
pub(crate) mod transaction;
mod why;

use refrain_sql::Statement;

use crate::error::Result;
use crate::session::{Outcome, Session};
use crate::subscribe;

/// Carries out a statement. `text` is how it was written.
pub(crate) async fn run(session: &Session, statement: Statement, text: &str) -> Result<Outcome> {
    transaction::check(session, &statement)?;
    if let Some(tag) = tag_of_writing(&statement) {
        session.check_writes(tag)?;
    }
    match statement {
        Statement::CreateTable(_)
        | Statement::CreateView(_)
        | Statement::CreateMaterializedView(_)
        | Statement::AlterTable(_)
        | Statement::AlterMaterializedView(_)
        | Statement::CreateSchema(_)
        | Statement::DropSchema(_)
        | Statement::CreateFunction(_)
        | Statement::DropFunction(_)
        | Statement::CreateIndex(_)
        | Statement::DropIndex(_)
        | Statement::Drop(_) => ddl::run(session, &statement, text).await,
        Statement::Insert(insert) => dml::insert(session, &insert).await,
        Statement::Delete(delete) => dml::delete(session, &delete).await,
        Statement::Update(update) => dml::update(session, &update).await,
        Statement::Truncate(tables) => dml::truncate(session, &tables).await,
        Statement::CopyFrom(copy) => copy::copy_from(session, copy).await,
        Statement::CopyTo(copy) => copy::copy_to(session, copy).await,
        Statement::Query(query) => select::select(session, &query).await,
        Statement::AsOf(query, epoch) => select::select_as_of(session, &query, epoch).await,
        Statement::Subscribe(statement) => Ok(Outcome::Subscribed(subscribe::subscribe(session, &statement).await?)),
        Statement::Checkpoint => {
            session.shared().check_writes("CHECKPOINT")?;
            session.shared().checkpoint().await?;
            Ok(Outcome::done("CHECKPOINT"))
        }
        Statement::Explain(inner) => explain::explain(session, &inner).await,
        Statement::Analyze(what) => analyze::analyze(session, &what).await,
        Statement::Why(query) => why::why(session, &query).await,
        Statement::Show(show) => show::show(session, &show),
        Statement::Set { name, value } => set::set(session, &name, value.as_deref()),
        Statement::Reset(name) => set::reset(session, name.as_deref()),
        Statement::Transaction(transaction) => transaction::run(session, transaction).await,
    }
}

/// What a statement that writes to the store is called, `None` for one that does not.
fn tag_of_writing(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::CreateTable(_) => Some("CREATE TABLE"),
        Statement::CreateView(_) => Some("CREATE VIEW"),
        Statement::CreateMaterializedView(_) => Some("CREATE MATERIALIZED VIEW"),
        Statement::AlterTable(_) => Some("ALTER TABLE"),
        Statement::AlterMaterializedView(_) => Some("ALTER MATERIALIZED VIEW"),
        Statement::CreateSchema(_) => Some("CREATE SCHEMA"),
        Statement::DropSchema(_) => Some("DROP SCHEMA"),
        Statement::CreateFunction(_) => Some("CREATE FUNCTION"),
        Statement::DropFunction(_) => Some("DROP FUNCTION"),
        Statement::CreateIndex(_) => Some("CREATE INDEX"),
        Statement::DropIndex(_) => Some("DROP INDEX"),
        Statement::Drop(drop) => Some(ddl::drop_tag(drop)),
        Statement::Insert(_) => Some("INSERT"),
        Statement::Delete(_) => Some("DELETE"),
        Statement::Update(_) => Some("UPDATE"),
        Statement::Truncate(_) => Some("TRUNCATE TABLE"),
        Statement::CopyFrom(_) => Some("COPY FROM"),
        Statement::Query(_)
        | Statement::AsOf(..)
        | Statement::CopyTo(_)
        | Statement::Checkpoint
        | Statement::Subscribe(_)
        | Statement::Explain(_)
        | Statement::Analyze(_)
        | Statement::Why(_)
        | Statement::Show(_)
        | Statement::Set { .. }
        | Statement::Reset(_)
        | Statement::Transaction(_) => None,
    }
}
