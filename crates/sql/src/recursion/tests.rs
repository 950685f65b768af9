//! Which recursive queries are taken, with which columns, and PostgreSQL 15's words for the others.

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::LogicalPlan;

use super::RecursionNode;
use crate::bind::tests::{bind, catalog, edges, error};
use crate::{WorkTable, optimize_query, optimize_view};

/// The recursions of a plan and how often each stands in it, by id.
fn recursions(plan: &LogicalPlan) -> Vec<(usize, String, usize)> {
    let mut found: Vec<(usize, String, usize)> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let Some(recursion) = RecursionNode::of(node) {
            match found.iter_mut().find(|(id, ..)| *id == recursion.id) {
                Some((.., count)) => *count += 1,
                None => found.push((recursion.id, recursion.name.clone(), 1)),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    found
}

/// Every recursion's step scans its own work table, exactly once.
fn check_references(plan: &LogicalPlan) {
    plan.apply_with_subqueries(|node| {
        if let Some(recursion) = RecursionNode::of(node) {
            let mut scans = 0;
            recursion.step.apply(|n| {
                if let LogicalPlan::TableScan(scan) = n
                    && scan.source.downcast_ref::<WorkTable>().is_some_and(|w| w.id == recursion.id)
                {
                    scans += 1;
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
            assert_eq!(scans, 1, "{}", recursion.step.display_indent());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
}

fn planned(sql: &str) -> (LogicalPlan, Vec<(usize, String, usize)>) {
    let bound = bind(&edges(), sql);
    let _ = optimize_query(bound.plan.clone()).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let plan = optimize_view(bound.plan).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    check_references(&plan);
    let found = recursions(&plan);
    (plan, found)
}

const CLOSURE: &str =
    "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT r.a, e.dst FROM r JOIN edges e ON r.b = e.src)";

#[test]
fn a_recursive_query_is_one_node_wherever_it_stands() {
    for sql in [
        format!("{CLOSURE} SELECT * FROM r"),
        format!("SELECT * FROM ({CLOSURE} SELECT * FROM r) x WHERE x.a > x.b"),
        format!("SELECT src FROM edges WHERE src IN ({CLOSURE} SELECT b FROM r)"),
        format!("WITH c AS ({CLOSURE} SELECT * FROM r) SELECT count(*) FROM c"),
        format!("{CLOSURE} SELECT r.a FROM r JOIN edges ON r.b = edges.src GROUP BY r.a"),
    ] {
        assert_eq!(planned(&sql).1, [(0, "r".to_owned(), 1)], "{sql}");
    }
}

#[test]
fn copies_of_a_recursion_share_its_id() {
    assert_eq!(planned(&format!("{CLOSURE} SELECT x.a FROM r x JOIN r y ON x.b = y.a")).1, [(0, "r".to_owned(), 2)]);
    let catalog = catalog(&format!("CREATE TABLE edges (src int, dst int); CREATE VIEW reach AS {CLOSURE} SELECT * FROM r"));
    let plan = optimize_view(bind(&catalog, "SELECT x.a FROM reach x JOIN reach y ON x.b = y.a").plan).unwrap();
    assert_eq!(recursions(&plan), [(0, "r".to_owned(), 2)]);
}

#[test]
fn later_queries_read_earlier_ones_and_may_come_in_any_order() {
    let sql = "WITH RECURSIVE deep AS (SELECT a FROM far UNION SELECT deep.a + one.n FROM deep, one WHERE deep.a < 9), \
        far(a) AS (SELECT src FROM edges UNION ALL SELECT a + 1 FROM far WHERE a < 5), one AS (SELECT 1 AS n) SELECT * FROM deep";
    let (plan, found) = planned(sql);
    assert_eq!(found.iter().map(|(_, name, _)| name.as_str()).collect::<Vec<_>>(), ["deep", "far"]);
    assert_eq!(plan.schema().field(0).name(), "a");
}

#[test]
fn names_are_found_in_their_scopes() {
    // The table `t` is not the recursive query `t`; a WITH query inside hides the recursive one.
    let catalog = catalog("CREATE TABLE t (n int); CREATE TABLE edges (src int, dst int)");
    let sql = "WITH RECURSIVE t AS (SELECT n FROM public.t UNION SELECT u.n + 1 FROM t AS u WHERE u.n < 3) SELECT t.n FROM t";
    let plan = optimize_view(bind(&catalog, sql).plan).unwrap();
    check_references(&plan);
    let sql = "WITH RECURSIVE r AS (SELECT 1 AS n UNION SELECT r.n FROM r, (WITH r AS (SELECT 2 AS m) SELECT m FROM r) x) SELECT * FROM r";
    planned(sql);
    planned("WITH RECURSIVE \"T\" AS (SELECT 1 AS n UNION SELECT n + 1 FROM \"T\" WHERE \"T\".n < 3) SELECT * FROM \"T\"");
    // RECURSIVE does not make a query recursive that does not name itself.
    assert_eq!(planned("WITH RECURSIVE c(n) AS (SELECT src FROM edges UNION SELECT 1) SELECT * FROM c").1, []);
}

#[test]
fn columns_have_the_types_and_names_of_the_first_term() {
    let plan =
        bind(&edges(), "WITH RECURSIVE t(n) AS (SELECT 1::bigint, 'a' UNION ALL SELECT 2, NULL FROM t) SELECT * FROM t").plan;
    let fields = plan.schema().fields().iter().map(|f| (f.name().as_str(), f.data_type().clone(), f.is_nullable()));
    let expected = [("n", DataType::Int64, false), ("?column?", DataType::Utf8, true)];
    assert_eq!(fields.collect::<Vec<_>>(), expected);
}

#[test]
fn nullability_spreads_until_nothing_changes() {
    let sql = "WITH RECURSIVE t(a, b, c) AS (SELECT 1, 2, src FROM edges WHERE src IS NOT NULL \
        UNION SELECT b, c, a FROM t) SELECT * FROM t";
    let nullable = bind(&edges(), sql).schema.fields().iter().map(|f| f.is_nullable()).collect::<Vec<_>>();
    assert_eq!(nullable, [true, true, true]);
    let sql = "WITH RECURSIVE t(a, b) AS (SELECT 1, 2 UNION SELECT a + 1, b FROM t WHERE a < 3) SELECT * FROM t";
    let nullable = bind(&edges(), sql).schema.fields().iter().map(|f| f.is_nullable()).collect::<Vec<_>>();
    assert_eq!(nullable, [false, false]);
}

#[test]
fn numerics_of_different_scales_meet_in_the_unconstrained_one() {
    let sql = "WITH RECURSIVE t(n) AS (SELECT 1.5 UNION SELECT n * 1.25 FROM t WHERE n < 100) SELECT * FROM t";
    assert_eq!(*bind(&edges(), sql).schema.field(0).data_type(), DataType::Decimal128(38, 10));
}

#[test]
fn what_postgresql_refuses_is_refused_in_its_words() {
    let invalid = "42P19: recursive reference to query \"t\" must not appear";
    let form = "42P19: recursive query \"t\" does not have the form non-recursive-term UNION [ALL] recursive-term";
    let overall = "42804: recursive query \"t\" column 1 has type integer in non-recursive term but type";
    for (query, expected) in [
        ("t(n) AS (SELECT n FROM t)", form.to_owned()),
        ("t(n) AS (SELECT 1 INTERSECT SELECT n FROM t)", form.to_owned()),
        ("t(n) AS (SELECT n FROM t UNION SELECT 1)", format!("{invalid} within its non-recursive term")),
        (
            "t(n) AS (SELECT 1 UNION ALL SELECT n FROM t UNION SELECT n+1 FROM t)",
            format!("{invalid} within its non-recursive term"),
        ),
        ("t(n) AS (SELECT 1 UNION SELECT a.n FROM t a, t b)", format!("{invalid} more than once")),
        ("t(n) AS (SELECT 1 UNION SELECT src FROM edges WHERE src IN (SELECT n FROM t))", format!("{invalid} within a subquery")),
        ("t(n) AS (SELECT 1 UNION SELECT src FROM edges LEFT JOIN t ON n = src)", format!("{invalid} within an outer join")),
        ("t(n) AS (SELECT 1 UNION SELECT src FROM t FULL JOIN edges ON n = src)", format!("{invalid} within an outer join")),
        ("t(n) AS (SELECT 1 UNION SELECT src FROM t RIGHT JOIN edges ON n = src)", format!("{invalid} within an outer join")),
        ("t(n) AS (SELECT 1 UNION (SELECT src FROM edges EXCEPT SELECT n FROM t))", format!("{invalid} within EXCEPT")),
        ("t AS (WITH x AS (SELECT * FROM t) SELECT 1 UNION SELECT * FROM x)", format!("{invalid} within a subquery")),
        (
            "t(n) AS (SELECT 1 UNION SELECT max(n) FROM t)",
            "42P19: aggregate functions are not allowed in a recursive query's recursive term".to_owned(),
        ),
        (
            "t(n) AS (SELECT 1 UNION SELECT n+1 FROM t ORDER BY 1)",
            "0A000: ORDER BY in a recursive query is not implemented".to_owned(),
        ),
        ("t(n) AS (SELECT 1 UNION SELECT n+1 FROM t LIMIT 10)", "0A000: LIMIT in a recursive query is not implemented".to_owned()),
        ("t(n) AS (SELECT 1 UNION SELECT n+1 FROM t OFFSET 1)", "0A000: OFFSET in a recursive query is not implemented".to_owned()),
        (
            "t(n) AS (SELECT 1 UNION SELECT n FROM b), b(n) AS (SELECT 1 UNION SELECT n FROM t)",
            "0A000: mutual recursion between WITH items is not implemented".to_owned(),
        ),
        ("t(n) AS (SELECT 1 UNION ALL SELECT n+1.5 FROM t)", format!("{overall} numeric overall")),
        ("t(n) AS (SELECT 1 UNION ALL SELECT n::bigint FROM t)", format!("{overall} bigint overall")),
        ("t(n) AS (SELECT 1 UNION ALL SELECT n::text FROM t)", "42804: UNION types integer and text cannot be matched".to_owned()),
        (
            "t(n) AS (SELECT 1 UNION ALL SELECT n, n FROM t)",
            "42601: each UNION query must have the same number of columns".to_owned(),
        ),
        (
            "t(n, m) AS (SELECT 1 UNION ALL SELECT n FROM t)",
            "42P10: WITH query \"t\" has 1 columns available but 2 columns specified".to_owned(),
        ),
        ("t(n) AS (SELECT 1), t AS (SELECT 2)", "42712: WITH query name \"t\" specified more than once".to_owned()),
    ] {
        assert_eq!(error(&edges(), &format!("WITH RECURSIVE {query} SELECT * FROM t")), expected, "{query}");
    }
}
