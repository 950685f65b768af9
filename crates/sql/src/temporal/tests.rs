//! From when and until when a condition on the time holds. That rows are there when it does is tested with the engine.

use crate::bind::tests::{bind, catalog, error};
use crate::catalog::Catalog;
use crate::optimize_view;

fn tables() -> Catalog {
    catalog("CREATE TABLE t (id int, at timestamp, tz timestamptz, d date); CREATE TABLE u (id int, at timestamp)")
}

fn plan(sql: &str) -> String {
    optimize_view(bind(&tables(), sql).plan).unwrap_or_else(|e| panic!("{sql}: {e:?}")).display_indent().to_string()
}

/// The lines of the plan that are about the time.
fn filters(condition: &str) -> Vec<String> {
    let plan = plan(&format!("SELECT id FROM t WHERE {condition}"));
    let lines = plan.lines().map(|line| line.trim().replace("IntervalMonthDayNano", "").replace("Timestamp(µs)", "timestamp"));
    lines.filter(|line| line.contains("valid_") || line.starts_with("Filter")).collect()
}

#[test]
fn a_comparison_becomes_a_bound() {
    let minutes = r#"(" { months: 0, days: 0, nanoseconds: 300000000000 }")"#;
    let micro = r#"(" { months: 0, days: 0, nanoseconds: 1000 }")"#;
    assert_eq!(
        filters("at > now() - interval '5 minutes'"),
        ["Temporal: until valid_until_1".to_owned(), format!("Projection: t.id, t.at + {minutes} AS valid_until_1")]
    );
    assert_eq!(filters("now() - interval '5 minutes' < at"), filters("at > now() - interval '5 minutes'"));
    assert_eq!(
        filters("tz <= now()"),
        ["Temporal: from valid_from_1", "Projection: t.id, CAST(t.tz AS timestamp) AS valid_from_1"]
    );
    assert_eq!(
        filters("at < now()"),
        ["Temporal: from valid_from_1".to_owned(), format!("Projection: t.id, t.at + {micro} AS valid_from_1")]
    );
    // Both in one, and what is about the row alone below.
    assert_eq!(
        filters("now() BETWEEN at AND tz AND id > 3").iter().map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>(),
        ["Temporal", "Projection", "Filter"]
    );
}

#[test]
fn what_is_no_bound_is_refused() {
    for condition in [
        "at > now() - interval '1 month'",
        "at > now() OR id = 1",
        "NOT (at BETWEEN now() AND now())",
        "at <> now()",
        "now() IS NOT NULL",
        "extract(year FROM now()) = 2026",
        "id = extract(hour FROM now())",
        "now() - at < interval '1 day'",
    ] {
        let sql = format!("SELECT id FROM t WHERE {condition}");
        assert_eq!(error(&tables(), &sql), "0A000: function now() is not supported in a materialized view", "{condition}");
    }
    assert_eq!(
        error(&tables(), "SELECT t.id FROM t LEFT JOIN u ON t.id = u.id AND u.at > now()"),
        "0A000: function now() is not supported in a materialized view"
    );
}

#[test]
fn a_filter_stands_where_its_condition_does() {
    assert!(plan("SELECT t.id FROM t JOIN u ON t.id = u.id AND u.at > now()").contains("Temporal: until valid_until_1"));
    let having = plan("SELECT id, max(at) FROM t GROUP BY id HAVING max(at) > now()");
    assert!(having.find("Temporal").unwrap() < having.find("Aggregate").unwrap(), "{having}");
    // A condition on the rows moves below, and columns that nobody reads are not remembered.
    let above = plan("SELECT id FROM (SELECT * FROM t WHERE tz > now()) x WHERE id = 7");
    assert!(above.find("Temporal").unwrap() < above.find("Filter: t.id = Int32(7)").unwrap(), "{above}");
    assert!(above.contains("projection=[id, tz]"), "{above}");
}
