//! The optimizer's rules make plans better and no result other: every file about recursion, without each of the rules.

use std::collections::BTreeSet;
use std::path::Path;

use refrain::EngineBuilder;
use refrain_slt::{Mode, Options, run};

/// Rules without which some statements are refused, and how. What is not refused has the same results.
const REFUSED: &[(&str, &str)] = &[
    // Subqueries become joins by it; there is no operator for what is left.
    ("decorrelate_predicate_subquery", "0A000: a subquery that could not be turned into a join is not supported"),
    // DataFusion computes coalesce only as the CASE that this rule makes of it.
    ("simplify_expressions", "XX000: coalesce should have been simplified to case"),
];

/// So many tests share the rules, so that they run at the same time.
const SHARES: usize = 4;

/// The name of the view that a statement creates.
fn created(message: &str) -> Option<&str> {
    message.split_once("CREATE MATERIALIZED VIEW ")?.1.split_whitespace().next()
}

async fn results_are_the_same_without(rule: &str) {
    let paths = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql-tests/recursion")];
    let (modes, rules_off) = (vec![Mode::Stream], vec![rule.to_owned()]);
    let options = Options { paths, modes, rules_off, failures_max: usize::MAX, ..Options::default() };
    let report = run(&options, |_| {}).await.expect("there are files to run");
    let refusal = REFUSED.iter().find(|(name, _)| *name == rule).map(|(_, message)| *message);
    let mut refused = 0;
    for file in report.files {
        let mut missing = BTreeSet::new();
        for failure in &file.failures {
            let is_refusal = refusal.is_some_and(|refusal| failure.message.contains(refusal));
            if is_refusal {
                refused += 1;
                missing.extend(created(&failure.message));
            }
            let of_missing = |view: &&str| failure.message.contains(&format!("42P01: relation \"{view}\" does not exist"));
            assert!(is_refusal || missing.iter().any(of_missing), "without {rule}: {}: {failure}", file.path.display());
        }
    }
    assert_eq!(refused > 0, refusal.is_some(), "without {rule}: {refused} statements were refused");
}

async fn share(number: usize) {
    for rule in EngineBuilder::optimizer_rules().iter().skip(number).step_by(SHARES) {
        results_are_the_same_without(rule).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_changes_a_result_1() {
    share(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_changes_a_result_2() {
    share(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_changes_a_result_3() {
    share(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_changes_a_result_4() {
    share(3).await;
}
