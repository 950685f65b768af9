//! GROUP BY that has a column twice: once is enough. Of grouping sets, as `ROLLUP (a, a)` has them, DataFusion loses count of the columns then,
//! so the sets are written out.

use datafusion_sql::sqlparser::ast::Expr;

/// Sets that are written out at most; as many as PostgreSQL takes.
const SETS_MAX: usize = 4096;

/// Writes out the sets of a GROUP BY where that is needed.
pub(super) fn without_repetitions(by: &mut Vec<Expr>) {
    if !by.iter().any(|element| matches!(element, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_))) {
        once_each(by);
        return;
    }
    let mut sets = vec![Vec::new()];
    for element in by.iter() {
        let choices = choices(element);
        if sets.len() * choices.len() > SETS_MAX {
            return;
        }
        sets = sets.iter().flat_map(|set| choices.iter().map(move |choice| [set.as_slice(), choice].concat())).collect();
    }
    let mut repeated = false;
    for set in &mut sets {
        repeated |= once_each(set);
    }
    if repeated {
        *by = vec![Expr::GroupingSets(sets)];
    }
}

/// Takes out what comes again, and tells whether anything did.
fn once_each(set: &mut Vec<Expr>) -> bool {
    let (length, mut seen) = (set.len(), Vec::<Expr>::new());
    set.retain(|expr| {
        let is_new = !seen.contains(expr);
        seen.extend(is_new.then(|| expr.clone()));
        is_new
    });
    set.len() < length
}

/// The sets that an element of GROUP BY stands for.
fn choices(element: &Expr) -> Vec<Vec<Expr>> {
    match element {
        Expr::GroupingSets(sets) => sets.clone(),
        Expr::Rollup(columns) => (0..=columns.len()).rev().map(|length| columns[..length].concat()).collect(),
        // Sets that PostgreSQL would not take any more are left to who refuses them.
        Expr::Cube(columns) if columns.len() <= 12 => (0..1_usize << columns.len())
            .rev()
            .map(|chosen| columns.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1).flat_map(|(_, c)| c.clone()).collect())
            .collect(),
        other => vec![vec![other.clone()]],
    }
}
