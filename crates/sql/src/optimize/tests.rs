//! What the rules do and what they must not do.

use datafusion_expr::LogicalPlan;

use crate::bind::tests::{bind, catalog, edges, error};
use crate::{optimize_query, optimize_view};

fn view(sql: &str) -> LogicalPlan {
    optimize_view(bind(&edges(), sql).plan).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}

#[test]
fn distinct_stays_distinct_and_subqueries_become_joins() {
    let text = |sql: &str| view(sql).display_indent().to_string();
    assert!(text("SELECT DISTINCT src FROM edges").starts_with("Distinct:"), "{}", text("SELECT DISTINCT src FROM edges"));
    assert!(text("SELECT src FROM edges WHERE dst IN (SELECT src FROM edges)").contains("LeftSemi Join"));
    assert!(text("SELECT a.src FROM edges a, edges b WHERE a.dst = b.src").contains("Inner Join: a.dst = b.src"));
    assert!(text("SELECT src FROM edges").contains("projection=[src]"));
}

#[test]
fn what_changes_by_itself_is_refused_in_a_view_and_folded_in_a_query() {
    assert_eq!(error(&edges(), "SELECT now()"), "0A000: function now() is not supported in a materialized view");
    assert_eq!(
        error(&edges(), "SELECT src FROM edges WHERE random() < 0.5"),
        "0A000: volatile function random() is not supported in a materialized view"
    );
    let in_recursion = "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT n + 1 FROM t WHERE now() IS NULL) SELECT * FROM t";
    assert_eq!(error(&edges(), in_recursion), "0A000: function now() is not supported in a materialized view");
    let catalog = catalog("CREATE TABLE edges (src int); CREATE VIEW v AS SELECT now() AS at");
    assert_eq!(error(&catalog, "SELECT at FROM v"), "0A000: function now() is not supported in a materialized view");
    optimize_query(bind(&edges(), "SELECT now(), random()").plan).unwrap();
}

#[test]
fn constants_fail_where_postgresql_folds_them() {
    for (sql, expected) in [
        ("SELECT CASE WHEN src > 0 THEN 2147483647 + 1 ELSE 0 END FROM edges", "22003: integer out of range"),
        ("SELECT src FROM edges WHERE src > 1 / 0", "22012: division by zero"),
    ] {
        assert_eq!(error(&edges(), sql), expected, "{sql}");
    }
    // A constant decides before.
    view("SELECT CASE WHEN true THEN 1 ELSE 1 / 0 END");
    view("SELECT src FROM edges WHERE false AND 1 / 0 = 1");
    assert!(view("SELECT 2 + 3 * 4 AS n").display_indent().to_string().contains("Int32(14)"));
}
