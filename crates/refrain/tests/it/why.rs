//! `EXPLAIN WHY`: every line of a derivation follows from those that it names, and none is shorter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use refrain::Session;

use crate::rows::{error, memory, rows, rows_in_order, run};

/// A line of a derivation.
#[derive(Debug)]
struct Line {
    iteration: Option<u64>,
    relation: String,
    row: Vec<u64>,
    from: Vec<usize>,
}

async fn why(s: &Session, sql: &str) -> Vec<Line> {
    let lines = rows_in_order(s, &format!("EXPLAIN WHY {sql}")).await;
    let lines = lines.iter().enumerate().map(|(at, line)| {
        let [step, iteration, relation, row, from] = line.split('|').collect::<Vec<_>>().try_into().expect("five columns");
        assert_eq!(step, (at + 1).to_string());
        let row = row.trim_matches(['(', ')']).split(',').map(|v| v.parse().expect("a number")).collect();
        let from = from.split(", ").filter(|v| *v != "NULL").map(|v| v.parse::<usize>().expect("a number") - 1).collect::<Vec<_>>();
        assert!(from.iter().all(|other| *other < at), "{line} stands behind what it is made of");
        Line { iteration: iteration.parse().ok(), relation: relation.to_owned(), row, from }
    });
    lines.collect()
}

/// A graph with cycles: the next numbers of a generator (Knuth's MMIX).
fn graph(seed: u64, nodes: u64, edges: usize) -> BTreeSet<(u64, u64)> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % nodes
    };
    (0..edges).map(|_| (next(), next())).collect()
}

/// How many edges a shortest way from a node has, at least one, to all that can be reached.
fn distances(edges: &BTreeSet<(u64, u64)>, from: u64) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    let mut waiting = VecDeque::from([(from, 0)]);
    while let Some((node, far)) = waiting.pop_front() {
        for (_, to) in edges.range((node, 0)..=(node, u64::MAX)) {
            if !found.contains_key(to) {
                found.insert(*to, far + 1);
                waiting.push_back((*to, far + 1));
            }
        }
    }
    found
}

async fn with_graph(edges: &BTreeSet<(u64, u64)>, view: &str) -> Session {
    let s = memory().await;
    let values = edges.iter().map(|(a, b)| format!("({a}, {b})")).collect::<Vec<_>>().join(", ");
    run(
        &s,
        &format!(
            "CREATE TABLE edge (a bigint, b bigint); INSERT INTO edge VALUES {values}; CREATE MATERIALIZED VIEW reach AS {view}"
        ),
    )
    .await;
    s
}

/// Whether a line says what follows from the lines that it names.
fn holds(lines: &[Line], at: usize, edges: &BTreeSet<(u64, u64)>) -> bool {
    let line = &lines[at];
    let pair = |line: &Line| (line.row[0], line.row[1]);
    match (line.relation.as_str(), line.from.as_slice()) {
        ("edge", []) => edges.contains(&pair(line)) && line.iteration.is_none(),
        ("r", [one]) => lines[*one].relation == "edge" && pair(&lines[*one]) == pair(line) && line.iteration == Some(0),
        ("r", [one, two]) => {
            let ((a, b), (c, d)) = (pair(&lines[*one]), pair(&lines[*two]));
            b == c && (a, d) == pair(line)
        }
        ("reach", [one]) => lines[*one].relation == "r" && pair(&lines[*one]) == pair(line),
        _ => false,
    }
}

#[tokio::test]
async fn a_derivation_holds_and_none_is_shorter() {
    let linear = "WITH RECURSIVE r(a, b) AS (SELECT a, b FROM edge UNION SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b) SELECT a, b FROM r";
    for seed in 1..=3 {
        let edges = graph(seed, 9, 14);
        let s = with_graph(&edges, linear).await;
        let mut reached = 0;
        for from in 0..9 {
            let distances = distances(&edges, from);
            for to in 0..9 {
                let lines = why(&s, &format!("SELECT * FROM reach WHERE a = {from} AND b = {to}")).await;
                let Some(distance) = distances.get(&to) else {
                    assert!(lines.is_empty(), "{from} does not lead to {to}");
                    continue;
                };
                reached += 1;
                assert!((0..lines.len()).all(|at| holds(&lines, at, &edges)), "seed {seed}: {lines:?}");
                let iterations = lines.iter().filter_map(|line| line.iteration).collect::<Vec<_>>();
                assert_eq!(iterations, (0..*distance).collect::<Vec<_>>(), "seed {seed}, from {from} to {to}: {lines:?}");
                assert_eq!(lines.last().map(|line| line.row.clone()), Some(vec![from, to]));
            }
        }
        assert_eq!(rows(&s, "SELECT count(*) FROM reach").await, [reached.to_string()]);
        assert!(reached > 9, "the graph is no graph without ways");
    }
}

#[tokio::test]
async fn a_recursion_that_is_not_linear_has_the_height_of_its_first_iteration() {
    let squared = "WITH MUTUALLY RECURSIVE r (a bigint, b bigint) AS (SELECT a, b FROM edge UNION SELECT x.a, y.b FROM r x JOIN r y ON x.b = y.a) SELECT a, b FROM r";
    let edges = graph(5, 9, 14);
    let s = with_graph(&edges, squared).await;
    for from in 0..9 {
        for (to, distance) in distances(&edges, from) {
            let lines = why(&s, &format!("SELECT * FROM reach WHERE a = {from} AND b = {to}")).await;
            assert!((0..lines.len()).all(|at| holds(&lines, at, &edges)), "{lines:?}");
            let height = lines.iter().filter_map(|line| line.iteration).max();
            assert_eq!(height, Some(u64::from(distance.next_power_of_two().ilog2())), "from {from} to {to}: {lines:?}");
        }
    }
}

#[tokio::test]
async fn only_what_leads_to_the_row_is_worked_out() {
    let s = memory().await;
    // A column that is taken over: what does not begin at 7 fails, and nobody meets it.
    run(&s, "CREATE TABLE edge (a bigint, b bigint); INSERT INTO edge VALUES (7, 8), (8, 9), (1, 9223372036854775807)").await;
    let grows = "WITH RECURSIVE r(a, n) AS (SELECT a, b FROM edge UNION SELECT a, n + 1 FROM r WHERE n < 10 OR a = 1) SELECT a, n FROM r WHERE a = 7";
    let lines = why(&s, &format!("{grows} AND n = 10")).await;
    assert_eq!(lines.iter().filter_map(|line| line.iteration).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test]
async fn a_notice_says_which_row_is_explained() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a int); INSERT INTO t VALUES (2), (1), (1)").await;
    let notices = |s: &Session| s.take_notices().into_iter().map(|n| n.message).collect::<Vec<_>>();
    assert_eq!(rows_in_order(&s, "EXPLAIN WHY SELECT a FROM t WHERE a = 2").await, ["1|NULL|t|(2)|NULL"]);
    assert!(notices(&s).is_empty());
    assert_eq!(rows_in_order(&s, "EXPLAIN WHY SELECT a FROM t ORDER BY a DESC").await, ["1|NULL|t|(2)|NULL"]);
    assert_eq!(notices(&s), ["the query gives several rows, of which the first is explained"]);
    assert_eq!(rows_in_order(&s, "EXPLAIN WHY SELECT a FROM t").await, ["1|NULL|t|(1)|NULL"]);
    assert_eq!(notices(&s), ["the query gives several rows, of which the first is explained"]);
    assert!(rows_in_order(&s, "EXPLAIN WHY SELECT a FROM t WHERE a = 3").await.is_empty());
    assert_eq!(notices(&s), ["the query gives no row, so there is nothing to explain"]);
}

#[tokio::test]
async fn a_recursion_without_an_end_can_be_given_up() {
    let s = memory().await;
    run(
        &s,
        "CREATE MATERIALIZED VIEW nat AS WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
    )
    .await;
    run(&s, "SET statement_timeout = '100ms'").await;
    assert_eq!(error(&s, "EXPLAIN WHY SELECT n FROM nat WHERE n = 3").await.code(), "57014");
    run(&s, "DROP MATERIALIZED VIEW nat").await;
}
