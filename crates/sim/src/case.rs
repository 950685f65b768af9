//! A case: tables, a view over them, and what happens to both, step by step.

use std::fmt;

use crate::expression::{Expr, Predicate};
use crate::oracle::{holds, value};
use crate::query::{Recursive, Table};
use crate::sql;
use crate::value::{Row, row_text};

/// The form of a case's recursion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Shape {
    /// `WITH RECURSIVE` with UNION.
    Linear,
    /// `WITH RECURSIVE` with UNION ALL, over data without cycles or with a bound.
    Counting,
    /// One binding that names itself several times.
    NonLinear,
    /// Bindings that name each other.
    Mutual,
    /// Aggregates inside the loop.
    Aggregate,
    /// Negation and outer joins inside the loop.
    Negation,
    /// A block that returns at a limit, whether it would end or not.
    Limited,
    /// `WITH RECURSIVE … USING KEY`.
    Keyed,
    /// A recursion inside another one, that depends on it or stands by itself.
    Nested,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 9] = [
        Self::Linear,
        Self::Counting,
        Self::NonLinear,
        Self::Mutual,
        Self::Aggregate,
        Self::Negation,
        Self::Limited,
        Self::Keyed,
        Self::Nested,
    ];

    /// Whether a recursion of this shape ends over any data. Of the others the engine must not see data over which they are endless, not
    /// even in passing.
    pub(crate) fn always_ends(self) -> bool {
        matches!(self, Self::Linear | Self::Keyed)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Linear => "linear",
            Self::Counting => "counting",
            Self::NonLinear => "non-linear",
            Self::Mutual => "mutual",
            Self::Aggregate => "aggregate",
            Self::Negation => "negation",
            Self::Limited => "limited",
            Self::Keyed => "keyed",
            Self::Nested => "nested",
        })
    }
}

/// Where a case's engine keeps its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    /// In memory, for one engine.
    Private,
    /// In memory, for one engine after the other.
    Memory,
    /// In a directory.
    Directory,
}

/// How an engine ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It is closed and waited for.
    Closed,
    /// Its last handle is dropped.
    Dropped,
}

/// A step. A change is one statement, and one transaction.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// The view is created.
    CreateView,
    /// INSERT.
    Insert(usize, Vec<Row>),
    /// For each row, one equal row goes; those that are not there are passed over.
    DeleteRows(usize, Vec<Row>),
    /// DELETE … WHERE.
    DeleteWhere(usize, Predicate),
    /// UPDATE of a column: SET what, WHERE.
    Update(usize, usize, Expr, Predicate),
    /// The view is read, and compared.
    Look,
    /// The view's query is run as a statement of its own, and compared.
    LookOnce,
    /// A checkpoint: waited for, or left to run beside the steps that follow.
    Checkpoint {
        /// Waited for.
        wait: bool,
    },
    /// The engine ends and is opened again with so many workers.
    Restart(usize, End),
}

/// A case.
#[derive(Clone, PartialEq, Debug)]
pub struct Case {
    /// What it is made of.
    pub seed: u64,
    /// The form of the recursion.
    pub shape: Shape,
    /// The tables, empty at first.
    pub tables: Vec<Table>,
    /// What the view is.
    pub view: Recursive,
    /// Where the engine keeps its data.
    pub store: Store,
    /// Workers of the first engine.
    pub workers: usize,
    /// The engine's settings.
    pub settings: Vec<String>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// The setting of a case whose checkpoints are all looked at.
pub(crate) const KEEP_CHECKPOINTS: &str = "SET checkpoint_retain = 1000";

/// The setting of a case in which what was seen is looked at again later, as it was.
pub(crate) const KEEP_HISTORY: &str = "SET history_epochs = 1000";

/// The rows of each table.
pub(crate) type Contents = Vec<Vec<Row>>;

impl Case {
    /// The tables before the first step.
    pub(crate) fn contents(&self) -> Contents {
        vec![Vec::new(); self.tables.len()]
    }

    /// Whether no checkpoint is given up for a newer one, so that each can be looked at.
    pub(crate) fn keeps_checkpoints(&self) -> bool {
        self.settings.iter().any(|setting| setting == KEEP_CHECKPOINTS)
    }

    /// Whether what was seen can be looked at again.
    pub(crate) fn keeps_history(&self) -> bool {
        self.settings.iter().any(|setting| setting == KEEP_HISTORY)
    }

    /// The text of the view's query.
    #[must_use]
    pub fn query(&self) -> String {
        sql::recursive(&self.tables, &self.view)
    }

    /// A step as a line of SQL, or a comment where SQL has no words for it.
    #[must_use]
    pub fn step_text(&self, step: &Step) -> String {
        let table = |table: usize| &self.tables[table].name;
        let names = |table: usize| self.tables[table].columns.iter().map(|c| c.name.to_owned()).collect::<Vec<_>>();
        let listed = |rows: &[Row]| rows.iter().map(|row| row_text(row)).collect::<Vec<_>>().join(", ");
        let clause = |of: usize, condition: &Predicate| match condition {
            Predicate::True => String::new(),
            condition => format!(" WHERE {}", sql::predicate(condition, &names(of))),
        };
        match step {
            Step::CreateView => format!("CREATE MATERIALIZED VIEW v AS {}", self.query()),
            Step::Insert(of, rows) => format!("INSERT INTO {} VALUES {}", table(*of), listed(rows)),
            Step::DeleteRows(of, rows) => format!("-- delete from {} one of each: {}", table(*of), listed(rows)),
            Step::DeleteWhere(of, condition) => format!("DELETE FROM {}{}", table(*of), clause(*of, condition)),
            Step::Update(of, column, to, condition) => {
                let (name, to) = (self.tables[*of].columns[*column].name, sql::expression(to, &names(*of)));
                format!("UPDATE {} SET {name} = {to}{}", table(*of), clause(*of, condition))
            }
            Step::Look => "SELECT * FROM v".to_owned(),
            Step::LookOnce => "-- run the view's query as a statement".to_owned(),
            Step::Checkpoint { wait: true } => "CHECKPOINT".to_owned(),
            Step::Checkpoint { wait: false } => "-- begin a checkpoint".to_owned(),
            Step::Restart(workers, end) => format!("-- restart on {workers} workers, {end:?}"),
        }
    }
}

/// The rows of a deletion that are there.
pub(crate) fn present(rows: &[Row], contents: &[Row]) -> Vec<Row> {
    let mut left = contents.to_vec();
    let taken = rows.iter().filter(|row| match left.iter().position(|other| other == *row) {
        Some(at) => {
            left.swap_remove(at);
            true
        }
        None => false,
    });
    taken.cloned().collect()
}

/// Carries a step out on the model of the tables. Returns whether they may have changed.
///
/// # Panics
/// When an expression of the step leaves the range of `int`; steps are made so that none does.
pub(crate) fn apply(contents: &mut Contents, step: &Step) -> bool {
    let meets = |condition: &Predicate, row: &Row| holds(condition, row).expect("a step's expressions stay in their range");
    match step {
        Step::Insert(table, rows) => contents[*table].extend(rows.iter().cloned()),
        Step::DeleteRows(table, rows) => {
            for row in rows {
                if let Some(at) = contents[*table].iter().position(|other| other == row) {
                    contents[*table].swap_remove(at);
                }
            }
        }
        Step::DeleteWhere(table, condition) => contents[*table].retain(|row| !meets(condition, row)),
        Step::Update(table, column, to, condition) => {
            for row in &mut contents[*table] {
                if meets(condition, row) {
                    row[*column] = value(to, row).expect("a step's expressions stay in their range");
                }
            }
        }
        Step::CreateView | Step::Look | Step::LookOnce | Step::Checkpoint { .. } | Step::Restart(..) => return false,
    }
    true
}
