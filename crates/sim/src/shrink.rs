//! A failing case made smaller: steps and rows that it fails without are left out.

use crate::case::{Case, Step, Store};
use crate::failure::{Failure, ProblemKind};
use crate::run::{drive, expectations};

/// Runs that may be spent on one failure.
const RUNS_MAX: usize = 150;

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

    /// Takes the case instead if it fails in the same way.
    async fn try_case(&mut self, case: Case) {
        if self.runs_left == 0 || case == self.failure.case {
            return;
        }
        self.runs_left -= 1;
        let Ok(expected) = expectations(&case) else { return };
        if let Err(problem) = drive(&case, &expected).await
            && problem.kind == self.failure.problem.kind
        {
            self.failure = Failure { case, problem };
            self.cut_the_rest();
        }
    }
}
