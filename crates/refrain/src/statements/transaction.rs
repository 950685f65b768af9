//! `BEGIN`, `COMMIT`, `ROLLBACK`, savepoints, and what may be said between them.

use refrain_sql::Statement;
use refrain_sql::statement::Transaction;

use super::ddl;
use crate::error::{Error, Result};
use crate::session::{Notice, Outcome, Session};
use crate::transaction::{Block, TransactionStatus};

/// Carries out a statement about the transaction block.
pub(crate) async fn run(session: &Session, statement: Transaction) -> Result<Outcome> {
    let _one_at_a_time = session.one_at_a_time().await;
    match statement {
        Transaction::Begin(begin) => {
            let tag = if begin.is_start { "START TRANSACTION" } else { "BEGIN" };
            match session.transaction_status() {
                TransactionStatus::Idle => {
                    let settings = session.values().clone();
                    *session.block() = Some(Block::new(begin.read_only, settings));
                }
                TransactionStatus::InBlock => session.notice(Notice::warning("there is already a transaction in progress")),
                TransactionStatus::Failed => return Err(is_failed()),
            }
            Ok(Outcome::done(tag))
        }
        Transaction::Commit => {
            let Some(block) = end(session) else { return Ok(Outcome::done("COMMIT")) };
            let settings = block.settings().clone();
            let failed = block.failed;
            let committed = if failed { Ok(()) } else { block.commit(session.shared()).await };
            if failed || committed.is_err() {
                *session.values() = settings;
            }
            committed.map(|()| Outcome::done(if failed { "ROLLBACK" } else { "COMMIT" }))
        }
        Transaction::Rollback => {
            if let Some(block) = end(session) {
                session.values().clone_from(block.settings());
            }
            Ok(Outcome::done("ROLLBACK"))
        }
        Transaction::Savepoint(name) => {
            let settings = session.values().clone();
            in_block(session, "SAVEPOINT", false, |block| {
                block.save(name, settings);
                Ok(())
            })?;
            Ok(Outcome::done("SAVEPOINT"))
        }
        Transaction::RollbackTo(name) => {
            let settings = in_block(session, "ROLLBACK TO SAVEPOINT", true, |block| block.return_to(&name))?;
            *session.values() = settings;
            Ok(Outcome::done("ROLLBACK"))
        }
        Transaction::Release(name) => {
            in_block(session, "RELEASE SAVEPOINT", false, |block| block.release(&name))?;
            Ok(Outcome::done("RELEASE"))
        }
    }
}

/// Takes the block out; says so where there is none.
fn end(session: &Session) -> Option<Block> {
    let block = session.block().take();
    if block.is_none() {
        session.notice(Notice::warning("there is no transaction in progress"));
    }
    block
}

/// Acts on the block. An error fails it.
fn in_block<T>(session: &Session, what: &str, even_failed: bool, act: impl FnOnce(&mut Block) -> Result<T>) -> Result<T> {
    let mut block = session.block();
    let Some(block) = &mut *block else {
        return Err(Error::statement("25P01", format!("{what} can only be used in transaction blocks")));
    };
    if block.failed && !even_failed {
        return Err(is_failed());
    }
    let done = act(block);
    block.failed |= done.is_err();
    done
}

/// That a statement may run where it stands: in a block, or in none.
pub(super) fn check(session: &Session, statement: &Statement) -> Result<()> {
    let tag = match statement {
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::CreateView(_) => "CREATE VIEW",
        Statement::CreateMaterializedView(_) => "CREATE MATERIALIZED VIEW",
        Statement::AlterTable(_) => "ALTER TABLE",
        Statement::AlterMaterializedView(_) => "ALTER MATERIALIZED VIEW",
        Statement::CreateSchema(_) => "CREATE SCHEMA",
        Statement::DropSchema(_) => "DROP SCHEMA",
        Statement::CreateFunction(_) => "CREATE FUNCTION",
        Statement::DropFunction(_) => "DROP FUNCTION",
        Statement::CreateIndex(_) => "CREATE INDEX",
        Statement::DropIndex(_) => "DROP INDEX",
        Statement::Drop(drop) => ddl::drop_tag(drop),
        Statement::Subscribe(_) => "SUBSCRIBE",
        _ => return Ok(()),
    };
    if session.transaction_status() == TransactionStatus::Idle {
        return Ok(());
    }
    Err(Error::statement("25001", format!("{tag} cannot run inside a transaction block")))
}

/// A statement in a block that has failed.
pub(crate) fn is_failed() -> Error {
    Error::statement("25P02", "current transaction is aborted, commands ignored until end of transaction block")
}
