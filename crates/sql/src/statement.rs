//! What can be said: one variant for each kind of statement. Queries inside stay sqlparser's; names are folded.

use std::path::PathBuf;

use datafusion_sql::sqlparser::ast;

use crate::catalog::{ColumnDefinition, FunctionDefinition, RelationKind};
use crate::types::SqlType;

/// A parsed statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `CREATE TABLE`
    CreateTable(CreateTable),
    /// `CREATE VIEW`
    CreateView(CreateView),
    /// `CREATE MATERIALIZED VIEW`
    CreateMaterializedView(CreateView),
    /// `ALTER TABLE`
    AlterTable(AlterTable),
    /// `ALTER MATERIALIZED VIEW`
    AlterMaterializedView(AlterView),
    /// `DROP TABLE | VIEW | MATERIALIZED VIEW`
    Drop(Drop),
    /// `CREATE SCHEMA`
    CreateSchema(CreateSchema),
    /// `DROP SCHEMA`
    DropSchema(DropSchema),
    /// `CREATE FUNCTION`
    CreateFunction(CreateFunction),
    /// `DROP FUNCTION`
    DropFunction(DropFunction),
    /// `CREATE INDEX`
    CreateIndex(CreateIndex),
    /// `DROP INDEX`
    DropIndex(DropIndex),
    /// `INSERT INTO`
    Insert(Insert),
    /// `DELETE FROM`
    Delete(Delete),
    /// `UPDATE`
    Update(Update),
    /// `TRUNCATE` of these tables.
    Truncate(Vec<String>),
    /// `COPY … FROM 'file'`
    CopyFrom(CopyFrom),
    /// `COPY … TO 'file'`
    CopyTo(CopyTo),
    /// `SELECT`, `VALUES`, `TABLE`, `WITH`
    Query(Box<ast::Query>),
    /// Such a query at an epoch of the past.
    AsOf(Box<ast::Query>, u64),
    /// `SUBSCRIBE`
    Subscribe(Subscribe),
    /// `CHECKPOINT`
    Checkpoint,
    /// `EXPLAIN` of a query or of a statement that holds one.
    Explain(Box<Statement>),
    /// `EXPLAIN ANALYZE`.
    Analyze(Analyze),
    /// `EXPLAIN WHY` of a query.
    Why(Box<ast::Query>),
    /// `SHOW`
    Show(Show),
    /// `SET name = value`; `None` is `DEFAULT`.
    Set {
        /// The setting, lower case.
        name: String,
        /// Its value as text, without quotes.
        value: Option<String>,
    },
    /// `RESET name`; `None` is `ALL`.
    Reset(Option<String>),
    /// `BEGIN`, `COMMIT`, `ROLLBACK`, savepoints.
    Transaction(Transaction),
}

/// `CREATE SCHEMA [IF NOT EXISTS]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateSchema {
    /// Its name.
    pub name: String,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
}

/// `DROP SCHEMA [IF EXISTS] name, … [CASCADE]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropSchema {
    /// Their names.
    pub names: Vec<String>,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// Whether what is in them goes too.
    pub cascade: bool,
}

/// `CREATE [OR REPLACE] FUNCTION`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateFunction {
    /// The function.
    pub definition: FunctionDefinition,
    /// `OR REPLACE`
    pub or_replace: bool,
}

/// `DROP FUNCTION [IF EXISTS]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropFunction {
    /// Their names, and the types of their parameters where these are said.
    pub functions: Vec<(String, Option<Vec<SqlType>>)>,
    /// `IF EXISTS`
    pub if_exists: bool,
}

/// `CREATE INDEX [IF NOT EXISTS] [name] ON relation (column, …)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateIndex {
    /// Its name, where it was given one.
    pub name: Option<String>,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The table or materialized view.
    pub relation: String,
    /// Its columns.
    pub columns: Vec<String>,
}

/// `DROP INDEX [IF EXISTS] name, …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIndex {
    /// Their names.
    pub names: Vec<String>,
    /// `IF EXISTS`
    pub if_exists: bool,
}

/// Where a transaction block begins and ends, and what it comes back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// `BEGIN`, `START TRANSACTION`
    Begin(Begin),
    /// `COMMIT`, `END`
    Commit,
    /// `ROLLBACK`, `ABORT`
    Rollback,
    /// `SAVEPOINT name`
    Savepoint(String),
    /// `ROLLBACK TO name`
    RollbackTo(String),
    /// `RELEASE name`
    Release(String),
}

/// How a transaction block begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// It was written `START TRANSACTION`.
    pub is_start: bool,
    /// `READ ONLY`
    pub read_only: bool,
}

/// `CREATE TABLE name (column type [NOT NULL] [DEFAULT …] [constraint], …, constraint, …) [WITH (append_only = true)]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTable {
    /// The table.
    pub name: String,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// Its columns.
    pub columns: Vec<ColumnDefinition>,
    /// What must hold for its rows.
    pub constraints: Vec<ConstraintDefinition>,
    /// Whether rows are never deleted or changed.
    pub append_only: bool,
}

/// `[CONSTRAINT name] rule`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstraintDefinition {
    /// Its name, where it was given one.
    pub name: Option<String>,
    /// What must hold.
    pub rule: ConstraintRule,
}

impl ConstraintDefinition {
    /// Whether it is a key, rather than a check.
    #[must_use]
    pub fn is_key(&self) -> bool {
        matches!(self.rule, ConstraintRule::Key { .. })
    }

    /// Whether it is a primary key.
    #[must_use]
    pub fn is_primary_key(&self) -> bool {
        matches!(self.rule, ConstraintRule::Key { primary: true, .. })
    }
}

/// What a constraint of `CREATE TABLE` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstraintRule {
    /// `PRIMARY KEY (column, …)`, `UNIQUE [NULLS NOT DISTINCT] (column, …)`
    Key {
        /// The columns.
        columns: Vec<String>,
        /// `PRIMARY KEY`
        primary: bool,
        /// `NULLS NOT DISTINCT`
        nulls_equal: bool,
    },
    /// `CHECK (expression)`
    Check {
        /// The expression as text.
        expression: String,
        /// The only column that it names, or the one that it stands at.
        column: Option<String>,
    },
}

/// `CREATE [OR REPLACE] [RECURSIVE] [MATERIALIZED] VIEW [IF NOT EXISTS] name [(column, …)] AS query`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateView {
    /// The view.
    pub name: String,
    /// `IF NOT EXISTS`, for a materialized view only.
    pub if_not_exists: bool,
    /// `OR REPLACE`, for a plain view only.
    pub or_replace: bool,
    /// Names that replace those of the query's first columns.
    pub columns: Vec<String>,
    /// The query.
    pub query: Box<ast::Query>,
    /// The query as it was written. The catalog keeps it.
    pub query_text: String,
}

/// `ALTER TABLE [IF EXISTS] name action, …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterTable {
    /// The table.
    pub name: String,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// What is done, in this order.
    pub actions: Vec<TableAction>,
}

/// A part of `ALTER TABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableAction {
    /// `ADD [COLUMN] [IF NOT EXISTS] column`
    AddColumn {
        /// The column.
        column: ColumnDefinition,
        /// The constraints that stand at it.
        constraints: Vec<ConstraintDefinition>,
        /// `IF NOT EXISTS`
        if_not_exists: bool,
    },
    /// `DROP [COLUMN] [IF EXISTS] name [CASCADE]`
    DropColumn {
        /// The column.
        name: String,
        /// `IF EXISTS`
        if_exists: bool,
        /// `CASCADE`
        cascade: bool,
    },
    /// `RENAME [COLUMN] from TO to`
    RenameColumn {
        /// Its name so far.
        from: String,
        /// Its name from now on.
        to: String,
    },
    /// `RENAME TO name`
    RenameTable(String),
    /// `ALTER [COLUMN] column { SET DEFAULT … | DROP DEFAULT }`
    SetDefault {
        /// The column.
        column: String,
        /// The expression, as text.
        default: Option<String>,
    },
    /// `ALTER [COLUMN] column { SET | DROP } NOT NULL`
    SetNotNull {
        /// The column.
        column: String,
        /// `SET`
        not_null: bool,
    },
    /// `ADD constraint`
    AddConstraint(ConstraintDefinition),
    /// `DROP CONSTRAINT [IF EXISTS] name`
    DropConstraint {
        /// Its name.
        name: String,
        /// `IF EXISTS`
        if_exists: bool,
    },
    /// `RENAME CONSTRAINT from TO to`
    RenameConstraint {
        /// Its name so far.
        from: String,
        /// Its name from now on.
        to: String,
    },
}

/// `ALTER MATERIALIZED VIEW [IF EXISTS] name { SET (recursion_limit = n) | RESET (recursion_limit) }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterView {
    /// The view.
    pub name: String,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The limit of its recursions from now on; `None` for none.
    pub recursion_limit: Option<u32>,
}

/// `DROP kind [IF EXISTS] name, … [CASCADE | RESTRICT]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    /// What the names must be.
    pub kind: RelationKind,
    /// The names.
    pub names: Vec<String>,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// `CASCADE`
    pub cascade: bool,
}

/// `INSERT INTO table [AS alias] [(column, …)] { query | DEFAULT VALUES } [ON CONFLICT …] [RETURNING …]`
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: String,
    /// What ON CONFLICT and RETURNING call it.
    pub alias: Option<ast::Ident>,
    /// The columns that the query fills, in its order. Empty: the table's first columns.
    pub columns: Vec<String>,
    /// The rows.
    pub source: Box<ast::Query>,
    /// What to do where a row has the key of another.
    pub on_conflict: Option<OnConflict>,
    /// `RETURNING`; empty where there is none.
    pub returning: Vec<ast::SelectItem>,
}

/// `ON CONFLICT [(column, …) | ON CONSTRAINT name] { DO NOTHING | DO UPDATE SET … [WHERE …] }`
#[derive(Clone, Debug, PartialEq)]
pub struct OnConflict {
    /// Which keys count; `None` for all.
    pub target: Option<ConflictTarget>,
    /// `DO UPDATE`; `None` for `DO NOTHING`.
    pub update: Option<ConflictUpdate>,
}

/// Which key counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConflictTarget {
    /// The one of these columns, in any order.
    Columns(Vec<String>),
    /// The one of this name.
    Constraint(String),
}

/// What becomes of the row that was there before.
#[derive(Clone, Debug, PartialEq)]
pub struct ConflictUpdate {
    /// Columns and the expressions that replace their values. They may name columns of the table, and those of the other row as `excluded`.
    pub assignments: Vec<(String, ast::Expr)>,
    /// Which rows.
    pub selection: Option<ast::Expr>,
}

/// `DELETE FROM table [[AS] alias] [USING …] [WHERE …] [RETURNING …]`
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The table.
    pub table: String,
    /// What the condition calls it.
    pub alias: Option<ast::Ident>,
    /// `USING`; empty where there is none.
    pub using: Vec<ast::TableWithJoins>,
    /// Which rows.
    pub selection: Option<ast::Expr>,
    /// `RETURNING`; empty where there is none.
    pub returning: Vec<ast::SelectItem>,
}

/// `UPDATE table [[AS] alias] SET column = value, … [FROM …] [WHERE …] [RETURNING …]`
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The table.
    pub table: String,
    /// What the expressions call it.
    pub alias: Option<ast::Ident>,
    /// Columns and the expressions that replace their values.
    pub assignments: Vec<(String, ast::Expr)>,
    /// `FROM`; empty where there is none.
    pub from: Vec<ast::TableWithJoins>,
    /// Which rows.
    pub selection: Option<ast::Expr>,
    /// `RETURNING`; empty where there is none.
    pub returning: Vec<ast::SelectItem>,
}

/// `COPY table [(column, …)] FROM 'file' [WITH (…)]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFrom {
    /// The table.
    pub table: String,
    /// The columns that the file fills, in its order. Empty: all of the table's.
    pub columns: Vec<String>,
    /// The file.
    pub path: PathBuf,
    /// How the file is written.
    pub format: CopyFormat,
}

/// `COPY table [(column, …)] TO 'file' [WITH (…)]`, `COPY (query) TO 'file' [WITH (…)]`
#[derive(Clone, Debug, PartialEq)]
pub struct CopyTo {
    /// The rows.
    pub source: CopySource,
    /// The file.
    pub path: PathBuf,
    /// How the file is written.
    pub format: CopyFormat,
}

/// What is copied to a file.
#[derive(Clone, Debug, PartialEq)]
pub enum CopySource {
    /// The rows of a table or a materialized view.
    Relation {
        /// Its name.
        name: String,
        /// Its columns, in the file's order. Empty: all.
        columns: Vec<String>,
    },
    /// The rows of a query.
    Query(Box<ast::Query>),
}

/// How a file of `COPY` is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// Values between tabs, with PostgreSQL's rules.
    Text(TextOptions),
    /// Comma separated values, with PostgreSQL's rules.
    Csv(CsvOptions),
    /// An object of JSON on each line, with the columns as its members.
    Json,
    /// Apache Parquet; columns are found by name.
    Parquet,
}

/// Options of text, with PostgreSQL's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Whether the first line names the columns.
    pub header: bool,
    /// What separates values.
    pub delimiter: char,
    /// What a value must be written as to be NULL.
    pub null: String,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { header: false, delimiter: '\t', null: "\\N".to_owned() }
    }
}

/// Options of csv, with PostgreSQL's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Whether the first line names the columns.
    pub header: bool,
    /// What separates values.
    pub delimiter: char,
    /// What an unquoted value must be equal to, to be NULL.
    pub null: String,
    /// What quotes a value.
    pub quote: char,
    /// What precedes a quote inside a quoted value.
    pub escape: char,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { header: false, delimiter: ',', null: String::new(), quote: '"', escape: '"' }
    }
}

/// `SUBSCRIBE [TO] name | (query) [WITH (SNAPSHOT = …, PROGRESS = …)]`
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// What is read.
    pub target: SubscribeTarget,
    /// Whether the rows that are there come first. Default yes.
    pub snapshot: bool,
    /// Whether epochs without a change are reported. Default no.
    pub progress: bool,
}

/// What a subscription reads.
#[derive(Clone, Debug, PartialEq)]
pub enum SubscribeTarget {
    /// A table or a materialized view; a plain view is read as its query.
    Relation(String),
    /// A query, with its text.
    Query(Box<ast::Query>, String),
}

/// `SHOW …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    /// `SHOW TABLES`
    Tables,
    /// `SHOW VIEWS`
    Views,
    /// `SHOW FUNCTIONS`: those that were defined.
    Functions,
    /// `SHOW COLUMNS FROM name`
    Columns(String),
    /// `SHOW CONSTRAINTS FROM name`
    Constraints(String),
    /// `SHOW INDEXES FROM name`
    Indexes(String),
    /// `SHOW name`, lower case.
    Setting(String),
    /// `SHOW ALL`
    All,
}

/// What `EXPLAIN ANALYZE` explains.
#[derive(Clone, Debug, PartialEq)]
pub enum Analyze {
    /// A query, which is run once.
    Query(Box<ast::Query>),
    /// A materialized view of this name, with what it has done since it was started.
    View(String),
}
