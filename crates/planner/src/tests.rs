//! Stream plans of views, as EXPLAIN shows them, and what is refused.

use refrain_plan::{LoopKind, Operator, StreamPlan, explain, fingerprint};
use refrain_sql::{Catalog, SqlError, Statement, bind_query, optimize_view, parse};

use crate::{PlannerContext, plan_view};

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let script = "CREATE TABLE edges (src int NOT NULL, dst int NOT NULL); CREATE TABLE weights (node int, w double precision, name text); \
        CREATE TABLE log (src int NOT NULL, dst int NOT NULL) WITH (append_only = true)";
    for (statement, _) in parse(script).unwrap() {
        let Statement::CreateTable(table) = statement else { panic!() };
        catalog.create_table(&table.name, &table.columns, table.append_only).unwrap();
    }
    catalog
}

fn try_plan(sql: &str) -> Result<StreamPlan, SqlError> {
    let catalog = catalog();
    let Statement::Query(query) = parse(sql)?.remove(0).0 else { panic!("{sql}") };
    let plan = optimize_view(bind_query(&catalog, &query)?.plan)?;
    let append_only = |id| catalog.get(id).is_some_and(|r| r.append_only);
    plan_view(&plan, &PlannerContext { append_only: &append_only })
}

fn plan(sql: &str) -> StreamPlan {
    try_plan(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}

#[test]
fn show() {
    for sql in [
        "SELECT src + 1 AS a, dst FROM edges WHERE src > 3",
        "SELECT count(*) FROM edges",
        "SELECT dst, count(*), sum(src), avg(src) FROM edges GROUP BY dst HAVING count(*) > 2",
        "SELECT DISTINCT w FROM weights",
        "SELECT a.src, b.dst FROM edges a JOIN edges b ON a.dst = b.src AND a.src < b.dst",
        "SELECT a.src, w FROM edges a, weights WHERE a.src + 1 = node",
        "SELECT src FROM edges UNION ALL SELECT node FROM weights",
        "SELECT src FROM edges UNION SELECT node FROM weights",
        "SELECT src FROM edges WHERE dst IN (SELECT node FROM weights WHERE w > 1)",
        "SELECT src FROM edges e WHERE EXISTS (SELECT 1 FROM weights WHERE node = e.dst AND w > e.src)",
        "SELECT src FROM edges INTERSECT SELECT dst FROM edges",
        "SELECT 1 AS a, 'x' AS b",
        "VALUES (1, 'a'), (2, NULL)",
        "SELECT count(DISTINCT dst), max(dst) FROM edges GROUP BY src",
        "SELECT count(*) FILTER (WHERE dst > 3), sum(dst) FILTER (WHERE dst > 3) FROM edges",
        "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT r.a, e.dst FROM r JOIN edges e ON r.b = e.src) SELECT * FROM r",
        "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM log UNION SELECT e.src, r.b FROM log e JOIN r ON r.a = e.dst) SELECT a FROM r WHERE b = 3",
        "WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
        "WITH RECURSIVE r(a, b, d) AS (SELECT src, dst, 1 FROM edges UNION SELECT r.a, e.dst, r.d + 1 FROM r JOIN edges e ON r.b = e.src WHERE r.d < 5 AND e.dst <> r.a) SELECT a, min(d) FROM r GROUP BY a",
        "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT r.a, f.dst FROM r JOIN edges e ON r.b = e.src JOIN edges f ON e.dst = f.src WHERE f.dst > 2) SELECT * FROM r",
        "WITH RECURSIVE r(a) AS (SELECT 1 UNION SELECT dst FROM r JOIN edges ON r.a + 1 = src) SELECT * FROM r",
        "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT r.a, e.dst FROM r JOIN edges e ON r.b = e.src) SELECT x.a, y.b FROM r x JOIN r y ON x.b = y.a",
        "WITH RECURSIVE r(a) AS (SELECT 1 UNION SELECT a + 1 FROM r WHERE a IN (SELECT dst FROM edges)) SELECT * FROM r",
        "WITH RECURSIVE r(a) AS (SELECT 1 UNION SELECT DISTINCT dst FROM r, edges WHERE a < src) SELECT * FROM r",
    ] {
        match try_plan(sql) {
            Ok(plan) => println!("{sql}\n{}\n{}\n", explain(&plan), fingerprint(&plan)),
            Err(e) => println!("{sql}\n{e:?}\n"),
        }
    }
    let _ = (LoopKind::Bag, Operator::Union);
    let _ = plan("SELECT 1");
    panic!()
}
