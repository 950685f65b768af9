//! `BEGIN`, `COMMIT`, `ROLLBACK` and savepoints.

use datafusion_sql::sqlparser::tokenizer::Token;

use super::{Parser, fold};
use crate::error::{Result, SqlError};
use crate::statement::{Begin, Statement, Transaction};

impl Parser<'_> {
    /// `BEGIN [WORK | TRANSACTION] [mode …]`, `START TRANSACTION [mode …]`
    pub(super) fn begin(&mut self) -> Result<Statement> {
        let is_start = self.word("start");
        if is_start {
            self.expect_word("transaction")?;
        } else {
            self.expect_word("begin")?;
            self.noise_of_transactions();
        }
        let read_only = self.transaction_modes()?;
        Ok(Statement::Transaction(Transaction::Begin(Begin { is_start, read_only })))
    }

    /// `COMMIT [WORK | TRANSACTION] [AND [NO] CHAIN]`, `END`
    pub(super) fn commit(&mut self) -> Result<Statement> {
        self.inner.next_token();
        self.noise_of_transactions();
        self.no_chain()?;
        Ok(Statement::Transaction(Transaction::Commit))
    }

    /// `ROLLBACK [WORK | TRANSACTION] [AND [NO] CHAIN | TO [SAVEPOINT] name]`, `ABORT`
    pub(super) fn rollback(&mut self) -> Result<Statement> {
        let may_return = self.peek_word("rollback");
        self.inner.next_token();
        self.noise_of_transactions();
        if may_return && self.word("to") {
            self.word("savepoint");
            return Ok(Statement::Transaction(Transaction::RollbackTo(fold(&self.identifier()?))));
        }
        self.no_chain()?;
        Ok(Statement::Transaction(Transaction::Rollback))
    }

    /// `SAVEPOINT name`
    pub(super) fn savepoint(&mut self) -> Result<Statement> {
        self.expect_word("savepoint")?;
        Ok(Statement::Transaction(Transaction::Savepoint(fold(&self.identifier()?))))
    }

    /// `RELEASE [SAVEPOINT] name`
    pub(super) fn release(&mut self) -> Result<Statement> {
        self.expect_word("release")?;
        self.word("savepoint");
        Ok(Statement::Transaction(Transaction::Release(fold(&self.identifier()?))))
    }

    fn noise_of_transactions(&mut self) {
        if !self.word("work") {
            self.word("transaction");
        }
    }

    fn no_chain(&mut self) -> Result<()> {
        if self.word("and") {
            let is_off = self.word("no");
            self.expect_word("chain")?;
            if !is_off {
                return Err(SqlError::unsupported("AND CHAIN is not supported"));
            }
        }
        Ok(())
    }

    /// Whether the transaction is to be read-only.
    fn transaction_modes(&mut self) -> Result<bool> {
        let (mut read_only, mut more) = (false, false);
        loop {
            if self.words(&["isolation", "level"]) {
                self.isolation_level()?;
            } else if self.words(&["read", "only"]) {
                read_only = true;
            } else if self.words(&["read", "write"]) {
                read_only = false;
            } else if !self.words(&["not", "deferrable"]) && !self.word("deferrable") {
                return if more { Err(self.unexpected(&self.inner.peek_token())) } else { Ok(read_only) };
            }
            more = self.inner.consume_token(&Token::Comma);
        }
    }

    fn isolation_level(&mut self) -> Result<()> {
        if self.words(&["read", "committed"]) || self.words(&["read", "uncommitted"]) {
            return Ok(());
        }
        let level = if self.words(&["repeatable", "read"]) {
            "REPEATABLE READ"
        } else {
            self.expect_word("serializable")?;
            "SERIALIZABLE"
        };
        Err(SqlError::unsupported(format!("transaction isolation level {level} is not supported"))
            .with_hint("Transactions are READ COMMITTED, and fail at COMMIT when a row that they change has changed meanwhile."))
    }
}
