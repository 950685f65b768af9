//! What went wrong, with all that it takes to see it again.

use std::any::Any;
use std::fmt;

use refrain::Error;

use crate::case::{Case, Step};
use crate::sql;
use crate::subject::Bag;

/// What went wrong at which step.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The number of the step.
    pub step: usize,
    /// What went wrong.
    pub kind: ProblemKind,
    /// In words.
    pub text: String,
}

/// What went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProblemKind {
    /// Other rows than there should be.
    Difference,
    /// An error.
    Error,
    /// A panic.
    Panic,
    /// No end.
    Stuck,
}

impl Problem {
    pub(crate) fn difference(step: usize, expected: &Bag, found: &Bag) -> Self {
        let mut text = "the view has other rows than it should:\n".to_owned();
        let mut rows = expected.keys().chain(found.keys()).collect::<Vec<_>>();
        rows.sort();
        rows.dedup();
        for row in rows {
            let count = |bag: &Bag| bag.get(row).copied().unwrap_or(0);
            let (wanted, there) = (count(expected), count(found));
            if wanted != there {
                let values = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join(", ");
                text += &format!("  ({values}): expected {wanted} times, found {there}\n");
            }
        }
        text += &format!("expected: {}\nfound: {}", list(expected), list(found));
        Self { step, kind: ProblemKind::Difference, text }
    }

    /// A checkpoint has tables as they never were.
    pub(crate) fn never(step: usize, checkpoint: u64, tables: &[Bag]) -> Self {
        let tables = tables.iter().map(list).collect::<Vec<_>>().join("\n");
        let text = format!("checkpoint {checkpoint} has tables as they never were:\n{tables}");
        Self { step, kind: ProblemKind::Difference, text }
    }

    pub(crate) fn error(step: usize, error: &Error) -> Self {
        let timed_out = error.code() == "57014";
        let kind = if timed_out { ProblemKind::Stuck } else { ProblemKind::Error };
        Self { step, kind, text: format!("{}: {}", error.code(), error.message()) }
    }

    pub(crate) fn panic(step: usize, panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Self { step, kind: ProblemKind::Panic, text: format!("panic: {}", text.unwrap_or("without words")) }
    }

    pub(crate) fn stuck(step: usize) -> Self {
        Self { step, kind: ProblemKind::Stuck, text: "the case does not come to an end".to_owned() }
    }

    /// Whether something else went wrong in the same way: errors with the same code.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let code = |problem: &Self| problem.text.split(':').next().map(str::to_owned);
        self.kind == other.kind && (self.kind != ProblemKind::Error || code(self) == code(other))
    }
}

/// Rows as text.
fn list(bag: &Bag) -> String {
    let rows = bag.iter().map(|(row, count)| {
        let values = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join(", ");
        if *count == 1 { format!("({values})") } else { format!("{count} × ({values})") }
    });
    rows.collect::<Vec<_>>().join(" ")
}

/// A case that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The case, without the steps that it takes none of to fail.
    pub case: Case,
    /// What went wrong.
    pub problem: Problem,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, problem } = self;
        writeln!(f, "seed {} ({}) on {} workers, store {:?}", case.seed, case.shape, case.workers, case.store)?;
        for line in case.settings.iter().cloned().chain(case.tables.iter().map(sql::create_table)) {
            writeln!(f, "{line};")?;
        }
        for step in &case.steps[..=problem.step] {
            let text = case.step_text(step);
            let end = if text.starts_with("--") { "" } else { ";" };
            let mark = if matches!(step, Step::Look) { "  -- look" } else { "" };
            writeln!(f, "{text}{end}{mark}")?;
        }
        writeln!(f, "{}", problem.text)
    }
}

impl std::error::Error for Failure {}
