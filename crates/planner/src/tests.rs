//! Stream plans of views, as EXPLAIN shows them, and what is refused.

use refrain_plan::{Exchange, LoopKind, Node, Operator, StreamPlan, explain, fingerprint};
use refrain_sql::{Catalog, SqlError, Statement, bind_query, optimize_view, parse};

use crate::{PlannerContext, plan_view};

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let script = "CREATE TABLE edges (src int NOT NULL, dst int NOT NULL); CREATE TABLE weights (node int, w double precision, name text); \
        CREATE TABLE log (src int NOT NULL, dst int NOT NULL) WITH (append_only = true); \
        CREATE TABLE event (id int, at timestamp) WITH (append_only = true)";
    for (statement, _) in parse(script).unwrap() {
        let Statement::CreateTable(table) = statement else { panic!() };
        catalog.create_table(&table).unwrap();
    }
    catalog.create_clock();
    catalog
}

fn try_plan(sql: &str) -> Result<StreamPlan, SqlError> {
    let catalog = catalog();
    let Statement::Query(query) = parse(sql)?.remove(0).0 else { panic!("{sql}") };
    let plan = optimize_view(bind_query(&catalog, &query)?.plan)?;
    let append_only = |id| catalog.get(id).is_some_and(|r| r.append_only);
    plan_view(&plan, &PlannerContext { append_only: &append_only, clock: catalog.clock().map(|clock| (clock.id, clock.schema())) })
}

fn plan(sql: &str) -> StreamPlan {
    try_plan(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}

fn check(sql: &str, expected: &str) {
    assert_eq!(explain(&plan(sql)), expected.trim(), "{sql}");
}

fn error(sql: &str) -> String {
    let e = try_plan(sql).expect_err(sql);
    format!("{}: {}", e.code, e.message)
}

#[test]
fn rows_one_by_one() {
    check(
        "SELECT src + 1 AS a, dst FROM edges WHERE src > 3",
        "
Map #1: filter src > 3, then project src + 1 as a, dst
  Source #0: edges (src, dst)",
    );
    check("SELECT * FROM log", "Source #0: log (src, dst) [append-only]");
    check("VALUES (1, 'a'), (2, NULL)", "Constant #0: 2 rows [append-only]");
    check(
        "SELECT src FROM edges UNION ALL SELECT node FROM weights ORDER BY 1",
        "
Union #3
  Map #1: project src
    Source #0: edges (src)
  Source #2: weights (node)",
    );
}

#[test]
fn groups_and_distinct_rows() {
    check(
        "SELECT count(*) FROM edges",
        "
Aggregate #2: count(*) [distinct]
  Map #1: project true as row → one worker
    Source #0: edges (src)",
    );
    check(
        "SELECT dst, count(*), sum(src) FROM edges GROUP BY dst HAVING count(*) > 2",
        "
Map #3: filter count(Int64(1)) > 2 [distinct]
  Aggregate #2: count(*), sum(src) by dst [distinct]
    Map #1: project dst, src → workers by (dst)
      Source #0: edges (src, dst)",
    );
    // -0.0 and 0.0 are one value.
    check(
        "SELECT DISTINCT w FROM weights",
        "
Distinct #2 [distinct]
  Map #1: project w + 0 as w → workers by (w)
    Source #0: weights (w)",
    );
    check(
        "SELECT src, count(DISTINCT dst) AS c, max(dst) AS m FROM edges GROUP BY src",
        "
Aggregate #3: count(dst), max(dst) by src [distinct]
  Distinct #2 [distinct] → workers by (src)
    Map #1: project src, dst → workers by (src, dst)
      Source #0: edges (src, dst)",
    );
}

#[test]
fn joins() {
    check(
        "SELECT a.src, b.dst FROM edges a JOIN edges b ON a.dst = b.src AND a.src < b.dst",
        "
Join #1: left.dst = right.src, then filter left.src < right.dst, then project left.src, right.dst
  Source #0: edges (src, dst) → workers by (dst)
  Source #0, as above → workers by (src)",
    );
    check(
        "SELECT a.src, w FROM edges a, weights WHERE a.src + 1 = node",
        "
Join #4: left.a.src + 1 = right.node, then project src, w
  Map #1: project src, src + 1 as a.src + 1 → workers by (a.src + 1)
    Source #0: edges (src)
  Map #3: filter node IS NOT NULL → workers by (node)
    Source #2: weights (node, w)",
    );
    check(
        "SELECT src FROM edges WHERE dst IN (SELECT node FROM weights WHERE w > 1)",
        "
Join #4: left.dst = right.node, then project src
  Source #0: edges (src, dst) → workers by (dst)
  Distinct #3 [distinct]
    Map #2: filter w > 1 AND node IS NOT NULL, then project node → workers by (node)
      Source #1: weights (node, w)",
    );
    check(
        "SELECT src FROM edges INTERSECT SELECT dst FROM log",
        "
Join #4: left.src = right.dst, NULL meets NULL, then project src [distinct]
  Distinct #1 [distinct]
    Source #0: edges (src) → workers by (src)
  Distinct #3 [append-only, distinct]
    Source #2: log (dst) [append-only] → workers by (dst)",
    );
}

#[test]
fn a_semi_join_with_a_condition_finds_the_values_that_meet() {
    check(
        "SELECT src FROM edges e WHERE EXISTS (SELECT 1 FROM weights WHERE node = e.dst AND w > e.src)",
        "
Join #6: left.src = right.src and left.dst = right.dst, NULL meets NULL, then project left.src
  Source #0: edges (src, dst) → workers by (src, dst)
  Distinct #5 [distinct]
    Join #4: left.dst = right.node, then filter w > CAST(src AS double precision), then project src, dst → workers by (src, dst)
      Distinct #1 [distinct] → workers by (dst)
        Source #0, as above → workers by (src, dst)
      Map #3: filter node IS NOT NULL → workers by (node)
        Source #2: weights (node, w)",
    );
}

#[test]
fn a_closure_is_one_loop_with_its_join() {
    check(
        "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT r.a, e.dst FROM r JOIN edges e ON r.b = e.src) SELECT * FROM r",
        "
Loop #1: r (a, b), set: iterations kept, rows may go [distinct]
  starts from
    Source #0: edges (src, dst) → workers by (src)
  joins r.b = other.src, in the loop's own row store
    Source #0, as above → every worker
  then project a, dst as b
  goes round without an exchange, on workers by (a)",
    );
}

#[test]
fn append_only_inputs_make_a_monotone_loop() {
    check(
        "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM log UNION SELECT e.src, r.b FROM log e JOIN r ON r.a = e.dst) SELECT a FROM r WHERE a + b = 3",
        "
Map #2: filter a + b = 3, then project a [append-only]
  Loop #1: r (a, b), monotone set: append-only inputs, no iterations kept [append-only, distinct]
    starts from
      Source #0: log (src, dst) [append-only] → workers by (dst)
    joins r.a = other.dst, in the loop's own row store
      Source #0, as above → every worker
    then project src as a, b
    goes round without an exchange, on workers by (b)",
    );
    let kind = |sql: &str| plan(sql).loop_heads().next().unwrap().1.kind.clone();
    let of = |base: &str, other: &str| {
        let sql = format!(
            "WITH RECURSIVE r(a) AS (SELECT src FROM {base} UNION SELECT dst FROM r JOIN {other} o ON r.a = o.src) SELECT * FROM r"
        );
        kind(&sql)
    };
    assert_eq!([of("log", "log"), of("edges", "log"), of("log", "edges")], [LoopKind::MonotoneSet, LoopKind::Set, LoopKind::Set]);
    // A count is not append-only, though its input is.
    let grouped = of("log", "(SELECT count(*)::int AS src, dst FROM log GROUP BY dst)");
    assert_eq!(grouped, LoopKind::Set);
}

/// From either end, a closure begins with the rows that the condition is on; and so does a keyed recursion, in a column of its key.
#[test]
fn a_condition_moves_into_a_recursion() {
    let right = "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT r.a, e.dst FROM r JOIN edges e ON r.b = e.src)";
    let left = "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT e.src, r.b FROM edges e JOIN r ON e.dst = r.a)";
    for closure in [right, left] {
        check(
            &format!("{closure} SELECT b FROM r WHERE a = 7"),
            "
Map #3: project b
  Loop #2: r (a, b), set: iterations kept, rows may go [distinct]
    starts from
      Map #1: filter src = 7 → workers by (dst)
        Source #0: edges (src, dst)
    joins r.b = other.src, in the loop's own row store
      Source #0, as above → workers by (src)
    then project a, dst as b
    goes round to workers by (b)",
        );
        check(
            &format!("{closure} SELECT a FROM r WHERE b = 7"),
            "
Map #3: project a
  Loop #2: r (a, b), set: iterations kept, rows may go [distinct]
    starts from
      Map #1: filter dst = 7 → workers by (src)
        Source #0: edges (src, dst)
    joins r.a = other.dst, in the loop's own row store
      Source #0, as above → workers by (dst)
    then project src as a, b
    goes round to workers by (a)",
        );
        // Which columns are read changes nothing in that.
        for columns in ["a", "b", "count(*)", "a + b"] {
            for condition in ["a = 7", "b = 7"] {
                let plan = explain(&plan(&format!("{closure} SELECT {columns} FROM r WHERE {condition}")));
                let column = if condition == "a = 7" { "src" } else { "dst" };
                assert!(plan.contains(&format!("Map #1: filter {column} = 7 → ")), "{columns}, {condition}:\n{plan}");
            }
        }
        // Whoever reads all of it computes it once for all.
        let shared = plan(&format!("{closure} SELECT x.a FROM r x JOIN r y ON x.b = y.b WHERE x.a = 7"));
        assert_eq!(shared.loop_heads().count(), 1, "{closure}");
        let apart = plan(&format!("{closure} SELECT x.a FROM r x JOIN r y ON x.b = y.b WHERE x.a = 7 AND y.a = 8"));
        assert_eq!(apart.loop_heads().count(), 2, "{closure}");
    }
    check(
        "WITH RECURSIVE d(a, b, cost) USING KEY (a, b, min(cost)) AS (SELECT src, dst, 1 FROM edges
         UNION SELECT d.a, e.dst, d.cost + 1 FROM d JOIN edges e ON e.src = d.b) SELECT b, cost FROM d WHERE a = 7 AND cost > 2",
        "
Map #3: filter cost > 2, then project b, cost
  Loop #2: d (a, b, cost), one row by (a, b), the row of least cost: iterations kept, rows may go [distinct]
    starts from
      Map #1: filter src = 7, then project src as a, dst as b, 1 as cost → workers by (b)
        Source #0: edges (src, dst)
    joins d.b = other.src, in the loop's own row store
      Source #0, as above → workers by (src)
    then project a, dst as b, cost + 1 as cost
    goes round to workers by (b)",
    );
}

#[test]
fn a_keyed_recursion_is_a_loop_with_one_row_for_each_key() {
    check(
        "WITH RECURSIVE d(node, cost) USING KEY (node, min(cost)) AS (SELECT 1, 0
         UNION SELECT e.dst, d.cost + 1 FROM d JOIN edges e ON e.src = d.node) SELECT node, cost FROM d",
        "
Loop #3: d (node, cost), one row by (node), the row of least cost: iterations kept, rows may go [distinct]
  starts from
    Map #1: project 1 as node, 0 as cost [append-only] → workers by (node)
      Constant #0: 1 row [append-only, distinct]
  joins d.node = other.src, in the loop's own row store
    Source #2: edges (src, dst) → workers by (src)
  then project dst as node, cost + 1 as cost
  goes round to workers by (node)",
    );
    assert_eq!(
        error(
            "WITH RECURSIVE d(a) USING KEY (a) AS (SELECT 1 UNION SELECT e.dst FROM d LEFT JOIN edges e ON e.src = d.a) SELECT * FROM d"
        ),
        "0A000: UNION or a join that keeps rows without a partner in the recursive term of query \"d\" is not supported with USING KEY"
    );
}

#[test]
fn a_limited_recursion_keeps_iterations() {
    let head = |limit: &str, union: &str| {
        let sql = format!("WITH RECURSIVE {limit} r(a) AS (SELECT src FROM log {union} SELECT a + 1 FROM r) SELECT * FROM r");
        explain(&plan(&sql)).lines().next().map(str::to_owned).unwrap()
    };
    assert_eq!(head("", "UNION"), "Loop #1: r (a), monotone set: append-only inputs, no iterations kept [append-only, distinct]");
    assert_eq!(
        head("(RETURN AT RECURSION LIMIT 5)", "UNION"),
        "Loop #1: r (a), set: iterations kept, rows may go, at most 5 iterations, then it returns [distinct]"
    );
    assert_eq!(
        head("(RECURSION LIMIT 5)", "UNION ALL"),
        "Loop #1: r (a), bag: derivations counted by iteration, at most 5 iterations, then it fails"
    );
}

#[test]
fn union_all_is_a_bag() {
    check(
        "WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
        "
Loop #2: t (n), bag: derivations counted by iteration [append-only]
  starts from
    Map #1: project 1 as n [append-only] → workers by (n)
      Constant #0: 1 row [append-only, distinct]
  then project n + 1 as n
  goes round to workers by (n)",
    );
}

#[test]
fn conditions_on_the_variable_follow_the_fused_join() {
    check(
        "WITH RECURSIVE r(a, b, d) AS (SELECT src, dst, 1 FROM edges UNION SELECT r.a, e.dst, r.d + 1 FROM r JOIN edges e ON r.b = e.src \
         WHERE r.d < 5 AND e.dst <> r.a) SELECT a, min(d) FROM r GROUP BY a",
        "
Aggregate #4: min(d) by a [distinct]
  Map #3: project a, d → workers by (a)
    Loop #2: r (a, b, d), set: iterations kept, rows may go [distinct]
      starts from
        Map #1: project src as a, dst as b, 1 as d → workers by (a)
          Source #0: edges (src, dst)
      joins r.b = other.src, in the loop's own row store
        Source #0, as above → every worker
      then filter d < 5, then filter a != dst, then project a, dst as b, d + 1 as d
      goes round without an exchange, on workers by (a)",
    );
}

/// Columns that derived rows take over divide a loop, unless they are the same in all rows or not all of the body is the head's own.
#[test]
fn a_loop_is_divided_by_what_its_rows_take_over() {
    let division = |base: &str, step: &str| {
        let sql = format!("WITH RECURSIVE r(a, b, c) AS ({base} UNION {step}) SELECT * FROM r");
        let plan = plan(&sql);
        let head = plan.loop_heads().next().unwrap().1;
        (head.partition.clone(), head.stays)
    };
    let step = "SELECT r.a, e.dst, r.c FROM r JOIN edges e ON r.b = e.src";
    assert_eq!(division("SELECT src, dst, src FROM edges", step), (vec![0, 2], true));
    assert_eq!(division("SELECT 7, dst, src FROM edges", step), (vec![2], true));
    assert_eq!(division("SELECT src, dst, dst FROM edges WHERE src = 7", step), (vec![2], true));
    assert_eq!(division("SELECT 7, dst, 8 FROM edges", step), (vec![1], false));
    assert_eq!(division("SELECT 7, 8, 9", step), (vec![1], false));
    let semi = "SELECT r.a, r.b + 1, r.c FROM r JOIN edges e ON r.a = e.src";
    assert_eq!(division("SELECT src, dst, src FROM edges", semi), (vec![0], true), "the join's key itself is taken over");
    let swapped = "SELECT r.c, e.dst, r.a FROM r JOIN edges e ON r.b = e.src";
    assert_eq!(division("SELECT src, dst, src FROM edges", swapped), (vec![1], false));
    let cross = "SELECT r.a, e.dst, r.c FROM r CROSS JOIN edges e";
    assert_eq!(division("SELECT src, dst, src FROM edges", cross), (vec![0, 2], true));
    let two = "SELECT r.a, f.dst, r.c FROM r JOIN edges e ON r.b = e.src JOIN edges f ON e.dst = f.src";
    assert_eq!(division("SELECT src, dst, src FROM edges", two), (vec![1], false));
    let alone = "SELECT r.a, r.b + 1, r.c FROM r WHERE r.b < 9";
    assert_eq!(division("SELECT src, dst, src FROM edges", alone), (vec![0, 2], true));
}

#[test]
fn what_follows_a_second_join_is_the_body() {
    let sql = "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT r.a, f.dst FROM r JOIN edges e ON r.b = e.src \
         JOIN edges f ON e.dst = f.src WHERE f.dst > 2) SELECT * FROM r";
    check(
        sql,
        "
Loop #2: r (a, b), set: iterations kept, rows may go [distinct]
  starts from
    Source #0: edges (src, dst) → workers by (dst)
  joins r.b = other.src, in the loop's own row store
    Source #0, as above → workers by (src)
  then project a, dst
  body
    Join #4: left.dst = right.src, then project a, right.dst as b
      Loop body #3 → workers by (dst)
      Map #1: filter dst > 2 → workers by (src)
        Source #0, as above
  goes round to workers by (b)",
    );
    let plan = plan(sql);
    let scopes = plan.nodes.iter().map(|n| n.scope.len()).collect::<Vec<_>>();
    assert_eq!(scopes, [0, 0, 0, 1, 1], "only the body stands in the loop");
}

#[test]
fn a_computed_key_is_not_fused() {
    check(
        "WITH RECURSIVE r(a) AS (SELECT 1 UNION SELECT dst FROM r JOIN edges ON r.a + 1 = src) SELECT * FROM r",
        "
Loop #3: r (a), set: iterations kept, rows may go [distinct]
  starts from
    Map #1: project 1 as a [append-only] → workers by (a)
      Constant #0: 1 row [append-only, distinct]
  body
    Join #6: left.r.a + 1 = right.src, then project dst as a
      Map #5: project a, a + 1 as r.a + 1 → workers by (r.a + 1)
        Loop body #4
      Source #2: edges (src, dst) → workers by (src)
  goes round to workers by (a)",
    );
}

#[test]
fn bindings_see_those_before_them_in_this_iteration_and_the_others_in_the_one_before() {
    check(
        "WITH MUTUALLY RECURSIVE (RETURN AT RECURSION LIMIT 9) \
            odd (a int, b int) AS (SELECT src, dst FROM edges UNION SELECT even.a, e.dst FROM even JOIN edges e ON even.b = e.src), \
            even (a int, b int) AS (SELECT odd.a, e.dst FROM odd JOIN edges e ON odd.b = e.src) \
         SELECT * FROM odd",
        "
Leave #7 [distinct]
  Distinct #5 [distinct]
    Union #4 → workers by (dst)
      Enter #3
        Source #0: edges (src, dst)
      Join #2: left.b = right.src, then project a as src, dst
        Variable #1: even (a, b), one iteration before, at most 9 iterations, then it returns → workers by (b)
          goes round from → workers by (a, b)
            Join #6: left.dst = right.src, then project left.src as a, right.dst as b
              Distinct #5, as above
              Source #0, as above → workers by (src)
        Source #0, as above → workers by (src)",
    );
}

#[test]
fn a_keyed_recursion_over_rows_that_only_grow_keeps_the_best_rows_if_better_ones_derive_better_ones() {
    let kind = |sql: &str| plan(sql).loop_heads().map(|(_, head)| head.kind.clone()).collect::<Vec<_>>();
    let keeps_the_best = |query: &str| {
        let kinds = kind(&format!("WITH RECURSIVE c(n, least) USING KEY (n, min(least)) AS ({query}) SELECT * FROM c"));
        matches!(kinds.as_slice(), [LoopKind::MonotoneKeyed(_)])
    };
    let ways = "(SELECT src, dst FROM log UNION ALL SELECT dst, src FROM log) e";
    let components = format!("SELECT src, src FROM log UNION SELECT e.dst, c.least FROM c JOIN {ways} ON e.src = c.n");
    assert!(keeps_the_best(&components));
    assert!(!keeps_the_best(&components.replace("log", "edges")), "rows may go");
    let term = |term: &str| keeps_the_best(&format!("SELECT src, dst FROM log UNION SELECT {term}"));
    assert!(term("log.dst, c.least + 1 FROM c JOIN log ON log.src = c.n"), "what fails is found out with the row");
    assert!(term("log.dst, log.src + c.least - 2 FROM c JOIN log ON log.src = c.n WHERE log.dst > c.n"));
    assert!(term("log.dst, least(c.least, log.dst) FROM c JOIN log ON log.src = c.n"));
    assert!(term("log.dst, log.src FROM c JOIN log ON log.src = c.n"), "whichever row has the key");
    assert!(!term("log.dst, greatest(c.least, log.dst) FROM c JOIN log ON log.src = c.n"), "NULL derives what is better than of 7");
    assert!(!term("log.dst, 10 - c.least FROM c JOIN log ON log.src = c.n"), "what is better derives what is worse");
    assert!(!term("log.dst, c.least * 2 FROM c JOIN log ON log.src = c.n"), "it is not looked at");
    assert!(!term("log.dst, c.least FROM c JOIN log ON log.src = c.n WHERE c.least > 3"), "only worse rows derive something");
    assert!(!term("log.dst, c.least FROM c JOIN log ON log.src = c.least"));
    assert!(!term("c.least, c.least FROM c JOIN log ON log.src = c.n"));
}

#[test]
fn a_recursion_of_any_form_over_rows_that_only_grow_keeps_no_iterations() {
    check(
        "WITH MUTUALLY RECURSIVE \
            r (a int, b int) AS (SELECT src, dst FROM log UNION SELECT x.a, y.b FROM r x JOIN r y ON y.a = x.b) \
         SELECT * FROM r",
        "
Leave #6 [append-only, distinct]
  Distinct #5 [append-only, distinct]
    Union #4 [append-only] → workers by (dst)
      Enter #3 [append-only]
        Source #0: log (src, dst) [append-only]
      Join #2: left.b = right.a, then project left.a as src, right.b as dst [append-only]
        Variable #1: r (a, b), no iterations kept [append-only]
          goes round from
            Distinct #5, as above
        Variable #1, as above → workers by (a)",
    );
    let grows = |sql: &str| plan(sql).nodes[plan(sql).root].properties.append_only;
    let recursion = |limit: &str, base: &str, step: &str| {
        format!("WITH MUTUALLY RECURSIVE {limit} r (a int) AS (SELECT src FROM {base} UNION {step}) SELECT * FROM r")
    };
    let step = "SELECT log.dst FROM r x JOIN r y ON y.a = x.a JOIN log ON log.src = y.a";
    assert!(grows(&recursion("", "log", step)));
    assert!(!grows(&recursion("", "edges", step)), "the base may go");
    assert!(!grows(&recursion("", "log", "SELECT edges.dst FROM r JOIN edges ON edges.src = r.a")), "the other side may go");
    assert!(!grows(&recursion("(RETURN AT RECURSION LIMIT 9)", "log", step)), "iterations are counted");
    assert!(!grows(&recursion("", "log", "SELECT min(a) FROM r WHERE a > 3")), "a greater least value may go");
    assert!(!grows(&recursion("", "log", "SELECT src FROM log WHERE dst NOT IN (SELECT a FROM r)")), "what is not there may come");
}

#[test]
fn rows_without_a_partner_are_rows_less_those_with_one() {
    check(
        "SELECT src FROM edges WHERE src NOT IN (SELECT dst FROM log)",
        "
Union #5
  Source #0: edges (src)
  Negate #4
    Join #3: left.src = right.dst, then project src
      Source #0, as above → workers by (src)
      Distinct #2 [append-only, distinct]
        Source #1: log (dst) [append-only] → workers by (dst)",
    );
    let nodes = |sql: &str, operator: &str| plan(sql).nodes.iter().filter(|n| n.operator.name() == operator).count();
    let of = |condition: &str| nodes(&format!("SELECT src FROM edges WHERE {condition}"), "Negate");
    assert_eq!(of("NOT EXISTS (SELECT 1 FROM weights WHERE node = src)"), 1);
    assert_eq!(of("src NOT IN (SELECT node FROM weights)"), 2, "the subquery may have a NULL");
    let of = |kind: &str| nodes(&format!("SELECT src, w FROM edges {kind} JOIN weights ON src = node"), "Negate");
    assert_eq!([of("LEFT"), of("RIGHT"), of("FULL"), of("INNER")], [1, 1, 2, 0]);
}

#[test]
fn a_term_that_a_head_cannot_do_is_a_recursion_of_one_binding() {
    let variables = |step: &str| {
        let sql = format!("WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION {step}) SELECT * FROM r");
        plan(&sql).nodes.iter().filter(|n| n.operator.name() == "Variable").count()
    };
    assert_eq!(variables("SELECT r.a, e.dst FROM r JOIN edges e ON r.b = e.src"), 0);
    assert_eq!(variables("SELECT r.a, e.dst FROM r LEFT JOIN edges e ON r.b = e.src"), 1);
    assert_eq!(variables("SELECT r.a, r.b + 1 FROM r WHERE r.b NOT IN (SELECT src FROM edges)"), 1);
    assert_eq!(variables("SELECT b, a FROM (SELECT a, b FROM r UNION ALL SELECT src, dst FROM log) u"), 1);
    let more = "SELECT r.a, r.b + 1 FROM r WHERE EXISTS (SELECT 1 FROM edges e WHERE e.src = r.b AND e.dst < r.a)";
    assert_eq!(variables(more), 0, "a set does not count how many it meets");
    assert_eq!(variables(&format!("ALL {more}")), 1);
}

#[test]
fn a_recursion_that_is_named_twice_is_one_loop() {
    let closure =
        "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT r.a, e.dst FROM r JOIN edges e ON r.b = e.src)";
    let twice = plan(&format!("{closure} SELECT x.a, y.b FROM r x JOIN r y ON x.b = y.a"));
    assert_eq!(twice.loops().len(), 1);
    assert_eq!(twice.sources().count(), 1);
    let three = plan(
        "WITH RECURSIVE a AS (SELECT src AS n FROM edges UNION SELECT n + 1 FROM a WHERE n < 5), \
         b AS (SELECT n FROM a UNION SELECT b.n * 2 FROM b WHERE b.n < 50), \
         c AS (SELECT n FROM b UNION SELECT a.n FROM c JOIN a ON a.n = c.n) SELECT * FROM c UNION ALL SELECT * FROM a",
    );
    assert_eq!(three.loops().into_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn membership_and_distinct_inside_a_loop() {
    check(
        "WITH RECURSIVE r(a) AS (SELECT 1 UNION SELECT a + 1 FROM r WHERE a IN (SELECT dst FROM edges)) SELECT * FROM r",
        "
Loop #4: r (a), set: iterations kept, rows may go [distinct]
  starts from
    Map #1: project 1 as a [append-only] → workers by (a)
      Constant #0: 1 row [append-only, distinct]
  joins r.a = other.dst, in the loop's own row store
    Distinct #3 [distinct] → workers by (dst)
      Source #2: edges (dst) → workers by (dst)
  then project a + 1 as a
  goes round to workers by (a)",
    );
    // A set loop takes each row once anyway.
    check(
        "WITH RECURSIVE r(a) AS (SELECT 1 UNION SELECT DISTINCT dst FROM r, edges WHERE a < src) SELECT * FROM r",
        "
Loop #3: r (a), set: iterations kept, rows may go [distinct]
  starts from
    Map #1: project 1 as a [append-only] → one worker
      Constant #0: 1 row [append-only, distinct]
  joins every pair, in the loop's own row store
    Source #2: edges (src, dst) → one worker
  then filter a < src, then project dst as a
  goes round to one worker",
    );
}

#[test]
fn planning_again_gives_the_same_plan() {
    let sql = "WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edges UNION SELECT r.a, e.dst FROM r JOIN edges e ON r.b = e.src) \
         SELECT a, count(*) FROM r WHERE a IN (SELECT node FROM weights) GROUP BY a";
    let expected = fingerprint(&plan(sql));
    for _ in 0..5 {
        assert_eq!(fingerprint(&plan(sql)), expected);
    }
    let renamed =
        sql.replace("r(a, b)", "r(x, b)").replace("r.a", "r.x").replace("SELECT a,", "SELECT x,").replace("WHERE a", "WHERE x");
    let renamed = renamed.replace("GROUP BY a", "GROUP BY x");
    assert_ne!(sql, renamed);
}

#[test]
fn what_cannot_be_maintained_is_refused_by_name() {
    let refused = |what: &str| format!("0A000: {what} is not supported in a materialized view");
    let in_loop = |what: &str| format!("0A000: {what} over the reference of recursive query \"t\" to itself is not supported");
    for (sql, expected) in [
        ("SELECT src FROM edges LIMIT (SELECT 1)", refused("LIMIT or OFFSET with anything but a number")),
        ("SELECT sum((SELECT max(node) FROM weights)) FROM edges", refused("a subquery that gives one value")),
        ("SELECT random() FROM edges", "0A000: volatile function random() is not supported in a materialized view".to_owned()),
        ("SELECT now()", "0A000: function now() is not supported in a materialized view".to_owned()),
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT DISTINCT n FROM t) SELECT * FROM t", in_loop("DISTINCT")),
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t GROUP BY n) SELECT * FROM t", in_loop("GROUP BY")),
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION (SELECT n + 1 FROM t LIMIT 1)) SELECT * FROM t", in_loop("LIMIT")),
    ] {
        assert_eq!(error(sql), expected, "{sql}");
    }
}

#[test]
fn odd_shapes_are_valid_plans() {
    for sql in [
        "SELECT count(*) FROM edges a, edges b",
        "SELECT count(*), max(name) FROM weights, edges WHERE name = 'x'",
        "SELECT src FROM edges WHERE EXISTS (SELECT 1 FROM weights)",
        "SELECT 1 FROM edges",
        "SELECT count(*) FROM (SELECT 1 FROM edges UNION ALL SELECT 2 FROM weights) x",
        "SELECT * FROM edges WHERE false",
        "SELECT a.* FROM edges a JOIN edges b USING (src) JOIN weights ON node = a.dst AND w > 1",
        "SELECT x.a, w FROM (VALUES (1, 2.5), (3, NULL)) x(a, b) JOIN weights ON x.a = node AND x.b = w",
        "SELECT w, count(*) FROM weights GROUP BY w",
        "SELECT a.w FROM weights a JOIN weights b ON a.w = b.w",
        "SELECT DISTINCT name, upper(name), length(name) FROM weights WHERE name LIKE 'a%' OR name IN ('b', 'c')",
        "SELECT src, sum(dst) * 2 + 1, avg(dst), min(dst), max(dst) FROM edges GROUP BY src HAVING sum(dst) > 10",
        "SELECT count(*) FROM edges HAVING count(*) > 1",
        "WITH c AS (SELECT src, count(*) AS n FROM edges GROUP BY src) SELECT a.src FROM c a JOIN c b ON a.n = b.n",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT src FROM edges, t) SELECT * FROM t",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT src FROM edges, t) SELECT count(*) FROM t",
        "WITH RECURSIVE t(w) AS (SELECT w FROM weights UNION SELECT a.w * 2 FROM t JOIN weights a ON a.w = t.w) SELECT * FROM t",
        "WITH RECURSIVE t(n, s) AS (SELECT src, name FROM edges JOIN weights ON src = node UNION SELECT e.dst, t.s || '>' FROM t, edges e \
         WHERE e.src = t.n AND length(t.s) < 5) SELECT s, count(*) FROM t GROUP BY s",
        "WITH RECURSIVE t(n) AS (SELECT src FROM edges UNION SELECT s.m + 1 FROM (SELECT n * 2 AS m FROM t WHERE n < 9) s JOIN edges ON s.m = dst) \
         SELECT * FROM t",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT n + 1 FROM t WHERE false) SELECT * FROM t",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT n FROM t WHERE EXISTS (SELECT 1 FROM edges WHERE src = t.n)) SELECT * FROM t",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t LEFT JOIN edges ON n = src) SELECT * FROM t",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t WHERE n NOT IN (SELECT src FROM edges)) SELECT * FROM t",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT src FROM t, edges UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        "SELECT src FROM edges ORDER BY src + dst DESC, dst LIMIT 3 OFFSET 1",
        "SELECT DISTINCT ON (w) node, name FROM weights ORDER BY w, name DESC",
        "SELECT count(*) FROM (SELECT 1 FROM edges LIMIT 3) x",
        "SELECT src FROM edges WHERE src IN (WITH RECURSIVE t(n) AS (SELECT 1 UNION SELECT n + 1 FROM t WHERE n < 3) SELECT n FROM t)",
    ] {
        plan(sql);
    }
}

#[test]
fn a_recursion_inside_another_that_it_depends_on_goes_round_with_it() {
    let nested = "WITH RECURSIVE p(n) AS (SELECT src FROM edges UNION (WITH RECURSIVE q(n) AS (
        SELECT n FROM p UNION SELECT log.dst FROM q JOIN log ON log.src = q.n) SELECT n FROM q)) SELECT n FROM p";
    let loops = |sql: &str| plan(sql).loops().len();
    assert_eq!(loops(nested), 1, "one loop");
    assert_eq!(
        loops(&nested.replace("SELECT n FROM p UNION", "SELECT src FROM edges UNION")),
        1,
        "p does not name itself any more"
    );
    let apart = "WITH MUTUALLY RECURSIVE p (n int) AS (SELECT n + 1 FROM p WHERE n < 9 UNION (WITH RECURSIVE q(n) AS (
        SELECT src FROM edges UNION SELECT log.dst FROM q JOIN log ON log.src = q.n) SELECT n FROM q)) SELECT n FROM p";
    assert_eq!(loops(apart), 2, "what depends on nothing around it has a loop of its own");
    let grows = nested.replace("edges", "log");
    assert!(plan(&grows).nodes.iter().all(|node| !node.keeps_iterations()), "nothing in it is taken back");
}

#[test]
fn what_is_aggregated_beside_a_nested_recursion_does_not_go_round_with_it() {
    let beside = "WITH MUTUALLY RECURSIVE \
            p (n int) AS (SELECT src FROM edges UNION (WITH MUTUALLY RECURSIVE q (n int) AS ( \
                SELECT n FROM p UNION SELECT log.dst FROM q JOIN log ON log.src = q.n) SELECT n FROM q)), \
            c (n bigint) AS (SELECT count(*) FROM p) \
         SELECT n FROM c";
    assert_eq!(plan(beside).loops().len(), 1);
    let refused = error(&beside.replace("SELECT n FROM q))", "SELECT n FROM q UNION SELECT n::int FROM c))"));
    assert!(refused.contains("with aggregates, negation"), "{refused}");
}

#[test]
fn rows_of_a_loop_are_where_the_join_that_reads_them_needs_them() {
    let plan = plan(
        "WITH MUTUALLY RECURSIVE r (a int, b int) AS (SELECT src, dst FROM edges UNION SELECT r.a, s.dst FROM r, edges s WHERE s.src = r.b) \
         SELECT * FROM r",
    );
    let exchanged = |node: &Node| node.inputs.iter().map(|(_, exchange)| exchange.clone()).collect::<Vec<_>>();
    let of = |wanted: fn(&Operator) -> bool| plan.nodes.iter().filter(|n| wanted(&n.operator)).map(&exchanged).collect::<Vec<_>>();
    assert_eq!(of(|o| matches!(o, Operator::Distinct)), [[Exchange::Hash(vec![1])]]);
    assert_eq!(of(|o| matches!(o, Operator::Join(_))), [[Exchange::Stay, Exchange::Hash(vec![0])]]);
}

/// A join keeps silent about what it said only where nobody counts.
#[test]
fn rows_that_a_distinct_takes_are_not_counted() {
    let uncounted = |sql: &str| {
        let joins = plan(sql).nodes.into_iter().filter_map(|node| match node.operator {
            Operator::Join(join) => Some(join.uncounted),
            _ => None,
        });
        joins.collect::<Vec<_>>()
    };
    let pairs = "SELECT a.src, b.dst FROM log a JOIN log b ON a.dst = b.src";
    assert_eq!(uncounted(pairs), [false], "the result is a bag");
    assert_eq!(uncounted(&format!("SELECT DISTINCT * FROM ({pairs}) p")), [true]);
    assert_eq!(uncounted(&format!("SELECT DISTINCT * FROM ({}) p", pairs.replace("log", "edges"))), [false], "rows may go");
    assert_eq!(uncounted(&format!("SELECT src, count(*) FROM ({pairs}) p GROUP BY src")), [false]);
    assert_eq!(uncounted(&format!("{pairs} UNION SELECT * FROM log")), [true]);
    assert_eq!(uncounted(&format!("{pairs} UNION ALL SELECT * FROM log")), [false]);
    assert_eq!(
        uncounted(&format!("WITH p AS ({pairs}) (SELECT * FROM p UNION SELECT * FROM log) UNION ALL SELECT * FROM p")),
        [false]
    );
    let computed = pairs.replace("b.dst", "b.dst / a.src AS dst");
    assert_eq!(uncounted(&format!("SELECT DISTINCT * FROM ({computed}) p")), [true], "its stage counts what fails");
    let failing = format!("SELECT DISTINCT src / dst FROM ({pairs} LIMIT 5) p");
    assert_eq!(uncounted(&failing), [false]);
    let closure = "WITH MUTUALLY RECURSIVE t(a int, b int) AS (
        SELECT src, dst FROM log UNION SELECT x.a, y.b FROM t x JOIN t y ON x.b = y.a) SELECT * FROM t";
    assert_eq!(uncounted(closure), [true]);
    assert_eq!(uncounted(&closure.replace("log", "edges")), [false]);
    assert_eq!(uncounted(&closure.replace("UNION", "UNION ALL").replace("SELECT * FROM t", "SELECT DISTINCT * FROM t")), [false]);
}

#[test]
fn conditions_on_the_time_are_filters_by_the_clock() {
    check(
        "SELECT id FROM event WHERE at > now() - INTERVAL '1 hour' AND id > 0",
        "
Map #4: project id
  Temporal #3: until valid_until_1
    Map #1: filter id > 0, then project id, at + IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 3600000000000 } as valid_until_1 [append-only]
      Source #0: event (id, at) [append-only]
    Source #2: clock (now) → every worker
",
    );
    // What has come and stays is only ever inserted; what has to go is not.
    let grows = |sql: &str| plan(sql).nodes.last().unwrap().properties.append_only;
    assert!(grows("SELECT id FROM event WHERE at <= now()"));
    assert!(!grows("SELECT id FROM event WHERE at > now()"));
    let in_recursion = "WITH RECURSIVE r(id, at) AS (SELECT id, at FROM event UNION SELECT r.id, event.at FROM r JOIN event ON r.id = event.id WHERE";
    plan(&format!("{in_recursion} event.at > now()) SELECT id FROM r"));
    assert_eq!(
        error(&format!("{in_recursion} r.at > now()) SELECT id FROM r")),
        "0A000: a condition that compares the reference of a recursive query to itself with the time is not supported"
    );
}
