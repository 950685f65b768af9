//! `EXPLAIN ANALYZE`: the rows that a plan's operators gave, and that a recursion of which little is asked does little.

use refrain::Engine;

use crate::rows::{error, memory, rows, rows_in_order, run};

/// The lines of a plan but for what is another each time: how long it took, how much memory there is.
async fn plan(s: &refrain::Session, what: &str) -> Vec<String> {
    let mut lines = rows_in_order(s, &format!("EXPLAIN ANALYZE {what}")).await;
    lines.retain(|line| !line.starts_with("Execution Time:"));
    let without_measures = |line: &String| match line.split_once("(rows=") {
        Some((before, after)) => {
            let (measured, after) = after.split_once(')').expect("what was measured is in parentheses");
            format!("{before}(rows={}){after}", measured.split(' ').next().unwrap_or_default())
        }
        None => line.clone(),
    };
    lines.iter().map(without_measures).collect()
}

/// What went round in the only loop of a plan.
async fn went_round(s: &refrain::Session, what: &str) -> u64 {
    let lines = plan(s, what).await;
    let found = lines.iter().find_map(|line| line.trim().strip_prefix("went round: ")?.split(' ').next()?.parse().ok());
    found.unwrap_or_else(|| panic!("no loop in {lines:?}"))
}

const CLOSURE: &str = "WITH RECURSIVE r(a, b) AS (SELECT a, b FROM edge UNION SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b)";

#[tokio::test]
async fn a_plan_says_what_its_operators_gave() {
    let s = memory().await;
    run(&s, "CREATE TABLE edge (a INT NOT NULL, b INT NOT NULL); INSERT INTO edge VALUES (1, 2), (2, 3), (3, 1), (7, 8)").await;
    assert_eq!(
        plan(&s, &format!("{CLOSURE} SELECT a, count(*) FROM r WHERE b < 8 GROUP BY a")).await,
        [
            "Aggregate #4: count(*) by a [distinct] (rows=3)",
            "  Map #3: project a → workers by (a) (rows=9)",
            "    Loop #2: r (a, b), set: iterations kept, rows may go [distinct] (rows=9)",
            "      went round: 9 rows, 9 derived; by iteration 0: 3, 1: 3, 2: 3",
            "      starts from",
            "        Map #1: filter b < 8 → workers by (b) (rows=3)",
            "          Source #0: edge (a, b) (rows=4)",
            "      joins r.a = other.b, in the loop's own row store",
            "        Source #0, as above → every worker",
            "      then project other.a, r.b",
            "      goes round without an exchange, on workers by (b)",
        ]
    );
    run(&s, &format!("CREATE MATERIALIZED VIEW v AS {CLOSURE} SELECT * FROM r")).await;
    rows_in_order(&s, "SELECT count(*) FROM v").await;
    run(&s, "DELETE FROM edge WHERE a = 2").await;
    rows_in_order(&s, "SELECT count(*) FROM v").await;
    // Since it was started: ten rows, and what the deletion took away.
    assert_eq!(
        plan(&s, "MATERIALIZED VIEW v").await[..2],
        [
            "Loop #1: r (a, b), set: iterations kept, rows may go [distinct] (rows=16)",
            "  went round: 16 rows, 17 derived; by iteration 0: 5, 1: 5, 2: 6",
        ]
    );
    assert_eq!(rows_in_order(&s, "SELECT * FROM refrain.iterations ORDER BY first").await, ["v|r|0|0|5", "v|r|1|1|5", "v|r|2|2|6"]);
}

#[tokio::test]
async fn the_work_is_what_can_be_reached() {
    let s = memory().await;
    run(&s, "CREATE TABLE edge (a INT NOT NULL, b INT NOT NULL)").await;
    let chain = (0..200).map(|i| format!("({i}, {})", i + 1)).collect::<Vec<_>>().join(", ");
    run(&s, &format!("INSERT INTO edge VALUES {chain}; CREATE VIEW reach AS {CLOSURE} SELECT a, b FROM r")).await;
    assert_eq!(went_round(&s, "SELECT * FROM reach").await, 200 * 201 / 2);
    assert_eq!(went_round(&s, "SELECT * FROM reach WHERE a = 190").await, 10);
    assert_eq!(went_round(&s, "SELECT * FROM reach WHERE b = 20").await, 20);
    for columns in ["a", "b", "count(*)", "count(b)", "b % 2, count(a)"] {
        let group = if columns.contains('%') { "GROUP BY b % 2" } else { "" };
        assert_eq!(went_round(&s, &format!("SELECT {columns} FROM reach WHERE a = 190 {group}")).await, 10, "{columns}");
        assert_eq!(went_round(&s, &format!("SELECT {columns} FROM reach WHERE b = 20 {group}")).await, 20, "{columns}");
    }
    assert_eq!(went_round(&s, "SELECT * FROM reach WHERE a IN (180, 190) AND b % 2 = 0").await, 30);
}

#[tokio::test]
async fn what_cannot_be_analyzed_is_said() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (0); CREATE VIEW plain AS SELECT a FROM t").await;
    assert_eq!(error(&s, "EXPLAIN ANALYZE SELECT sum((SELECT max(a) FROM t)) FROM t").await.code(), "0A000");
    assert_eq!(error(&s, "EXPLAIN ANALYZE MATERIALIZED VIEW plain").await.code(), "42809");
    assert_eq!(error(&s, "EXPLAIN ANALYZE MATERIALIZED VIEW nothing").await.code(), "42P01");
    assert_eq!(error(&s, "EXPLAIN ANALYZE SELECT 1 / a FROM t").await.code(), "22012");
}

#[tokio::test]
async fn operators_say_how_long_they_worked_and_what_they_hold() {
    let s = memory().await;
    run(&s, "CREATE TABLE edge (a INT NOT NULL, b INT NOT NULL)").await;
    run(&s, &format!("CREATE MATERIALIZED VIEW v AS {CLOSURE} SELECT a, count(*) AS n FROM r GROUP BY a")).await;
    let chain = (0..100).map(|i| format!("({i}, {})", i + 1)).collect::<Vec<_>>().join(", ");
    run(&s, &format!("INSERT INTO edge VALUES {chain}")).await;
    assert_eq!(rows_in_order(&s, "SELECT count(*), sum(n) FROM v").await, ["100|5050"]);
    let kinds = "SELECT kind, rows FROM refrain.operators WHERE view = 'v' AND kind IN ('Aggregate', 'Loop') ORDER BY kind";
    assert_eq!(rows_in_order(&s, kinds).await, ["Aggregate|100", "Loop|5050"]);
    // Rows of two words, and a history of each.
    let held = "SELECT bool_and(busy_us > 0), min(state_bytes) > 100 * 8, max(state_bytes) > 5050 * 16 FROM refrain.operators \
                WHERE kind IN ('Aggregate', 'Loop')";
    assert_eq!(rows_in_order(&s, held).await, ["t|t|t"]);
    assert_eq!(rows_in_order(&s, "SELECT laps FROM refrain.loops").await, ["100"]);
    assert_eq!(rows_in_order(&s, "SELECT sum(capture_us) FROM refrain.operators").await, ["0"]);
    s.checkpoint().await.unwrap();
    assert_eq!(rows_in_order(&s, "SELECT sum(capture_us) > 0 FROM refrain.operators").await, ["t"]);
    let lines = rows_in_order(&s, "EXPLAIN ANALYZE MATERIALIZED VIEW v").await;
    let of_loop = lines.iter().find(|line| line.contains("Loop #")).expect("the view has a loop");
    assert!(of_loop.contains("(rows=5050 time=") && of_loop.contains(" ms memory=") && of_loop.ends_with(" kB)"), "{of_loop}");
}

#[tokio::test]
async fn arrangements_are_listed_part_by_part() {
    for workers in [1, 2] {
        let s = Engine::builder().workers(workers as usize).open().await.expect("the engine opens").session();
        run(&s, "CREATE TABLE t (k INT NOT NULL, a INT); CREATE TABLE u (b INT, k INT NOT NULL)").await;
        run(&s, "CREATE MATERIALIZED VIEW v AS SELECT t.k, sum(a) AS n FROM t JOIN u ON t.k = u.k GROUP BY t.k").await;
        run(&s, "CREATE TABLE edge (a INT NOT NULL, b INT NOT NULL)").await;
        run(&s, &format!("CREATE MATERIALIZED VIEW w AS {CLOSURE} SELECT a, b FROM r")).await;
        run(&s, "INSERT INTO t VALUES (1, 1), (1, 2), (2, 3); INSERT INTO u VALUES (1, 1), (3, 4); INSERT INTO edge VALUES (1, 2), (2, 3)").await;
        assert_eq!(rows(&s, "SELECT * FROM v").await, ["1|3"]);
        assert_eq!(rows(&s, "SELECT count(*) FROM w").await, ["3"]);
        let parts = "SELECT view, kind, part, key, rows FROM refrain.arrangements WHERE bytes > 0 ORDER BY view, operator, part";
        // Each worker has all edges.
        let parts_of = |left: i32, closure: i32, edges: i32| {
            let edges = edges * workers;
            let of_join = [format!("v|Join|left|k|{left}"), "v|Join|right|k|2".to_owned(), "v|Aggregate|sums|k|1".to_owned()];
            of_join.into_iter().chain([format!("w|Loop|derivations|b|{closure}"), format!("w|Loop|right|a|{edges}")])
        };
        let now = parts_of(3, 3, 2).collect::<Vec<_>>();
        assert_eq!(rows_in_order(&s, parts).await, now);
        run(&s, "DELETE FROM t WHERE a = 1; DELETE FROM edge WHERE a = 1").await;
        assert_eq!(rows(&s, "SELECT * FROM v").await, ["1|2"]);
        assert_eq!(rows(&s, "SELECT count(*) FROM w").await, ["1"]);
        let then = parts_of(2, 1, 1).collect::<Vec<_>>();
        assert_eq!(rows_in_order(&s, parts).await, then);
        let differ = "SELECT o.operator FROM refrain.operators o LEFT JOIN (SELECT view, operator, sum(bytes) AS bytes FROM refrain.arrangements
                      GROUP BY view, operator) p USING (view, operator) WHERE o.state_bytes <> coalesce(p.bytes, 0)";
        assert_eq!(rows(&s, differ).await, [""; 0]);
    }
}
