//! A failing case made smaller: steps, parts of the view and rows that it fails without are left out.

use crate::case::{Case, Step, Store};
use crate::failure::{Failure, ProblemKind};
use crate::run::{drive, expectations};

mod view;

/// Runs that may be spent on one failure.
const RUNS_MAX: usize = 250;

/// The failure with as little as it still fails with in the same way.
pub(crate) async fn shrunk(failure: Failure) -> Failure {
    // Whoever waits for what never comes waits a minute each time.
    if failure.problem.kind == ProblemKind::Stuck {
        return failure;
    }
    let mut shrinking = Shrinking { runs_left: RUNS_MAX, failure };
    shrinking.cut_the_rest();
    shrinking.simpler_engine().await;
    let mut size = shrinking.failure.case.steps.len() / 2;
    while size > 0 {
        shrinking.without_steps(size).await;
        size /= 2;
    }
    shrinking.smaller_view().await;
    shrinking.without_rows().await;
    shrinking.failure
}

struct Shrinking {
    runs_left: usize,
    failure: Failure,
}

impl Shrinking {
    /// Nothing after the step that failed has a part in it.
    fn cut_the_rest(&mut self) {
        self.failure.case.steps.truncate(self.failure.problem.step + 1);
    }

    async fn simpler_engine(&mut self) {
        let mut case = self.failure.case.clone();
        case.settings.clear();
        self.try_case(case).await;
        let mut case = self.failure.case.clone();
        case.workers = 1;
        self.try_case(case).await;
        let mut case = self.failure.case.clone();
        case.store = if case.steps.iter().any(|step| matches!(step, Step::Restart(..))) { Store::Memory } else { Store::Private };
        self.try_case(case).await;
    }

    /// Leaves out so many steps at a time.
    async fn without_steps(&mut self, size: usize) {
        let mut end = self.failure.case.steps.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let mut case = self.failure.case.clone();
            let end_now = end.min(case.steps.len());
            if start < end_now && !case.steps[start..end_now].contains(&Step::CreateView) {
                case.steps.drain(start..end_now);
                self.try_case(case).await;
            }
            end = start;
        }
    }

    /// Leaves out one part of the view after the other.
    async fn smaller_view(&mut self) {
        let mut next = 0;
        while let Some(view) = view::smaller(&self.failure.case.view).into_iter().nth(next) {
            let case = Case { view, ..self.failure.case.clone() };
            next = if self.try_case(case).await { 0 } else { next + 1 };
        }
    }

    async fn without_rows(&mut self) {
        for step in (0..self.failure.case.steps.len()).rev() {
            let count = match self.failure.case.steps.get(step) {
                Some(Step::Insert(_, rows) | Step::DeleteRows(_, rows)) => rows.len(),
                _ => continue,
            };
            for row in (0..count).rev() {
                let mut case = self.failure.case.clone();
                match case.steps.get_mut(step) {
                    Some(Step::Insert(_, rows) | Step::DeleteRows(_, rows)) if rows.len() > 1 => {
                        rows.remove(row);
                    }
                    _ => continue,
                }
                self.try_case(case).await;
            }
        }
    }

    /// Takes the case instead if it fails in the same way. Returns whether it does.
    async fn try_case(&mut self, case: Case) -> bool {
        if self.runs_left == 0 || case == self.failure.case {
            return false;
        }
        self.runs_left -= 1;
        let Ok(expected) = expectations(&case) else { return false };
        let Err(problem) = drive(&case, &expected).await else { return false };
        let the_same = problem.is_like(&self.failure.problem);
        if the_same {
            self.failure = Failure { case, problem };
            self.cut_the_rest();
        }
        the_same
    }
}
