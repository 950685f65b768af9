//! Each kind of join, aggregate, window function, set operation and subquery: a view of it that is maintained, beside the same query
//! read once, after each of many random changes. What reads once is DataFusion; what maintains is ours. `REFRAIN_MAINTAINED_RUNS` says how many
//! times, each with a seed of its own and another number of workers.

use refrain::{Engine, Outcome, Session};

use crate::rows::{rows, run};

const JOINS: &[&str] = &[
    "SELECT t.id, u.id FROM t JOIN u ON t.a = u.a",
    "SELECT t.id, u.id FROM t JOIN u ON t.a = u.a AND t.s < u.s",
    "SELECT t.id, u.id FROM t LEFT JOIN u ON t.a = u.a AND t.x <= u.x",
    "SELECT t.id, u.id FROM t RIGHT JOIN u ON t.a = u.a",
    "SELECT t.id, u.id FROM t FULL JOIN u ON t.a = u.a AND t.k = u.k",
    "SELECT t.id, u.id FROM t JOIN u ON t.a < u.a",
    "SELECT t.id, u.id FROM t LEFT JOIN u ON t.a > u.a",
    "SELECT t.id, u.id FROM t CROSS JOIN u",
    "SELECT t.id, u.id FROM t JOIN u ON t.a IS NOT DISTINCT FROM u.a",
    "SELECT t.id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a)",
    "SELECT t.id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.a = t.a AND u.x > t.x)",
    "SELECT t.id FROM t WHERE t.a IN (SELECT a FROM u)",
    "SELECT t.id FROM t WHERE t.a NOT IN (SELECT a FROM u WHERE k = 1)",
    "SELECT t.id, u.id FROM t ASOF JOIN u ON t.k = u.k AND t.a >= u.a",
    "SELECT t.id, u.id FROM t ASOF LEFT JOIN u ON t.k = u.k AND t.s < u.s AND t.b = u.b",
    "SELECT t.id, u.id FROM t ASOF LEFT JOIN u ON t.x <= u.x",
    "SELECT t.id, v.id, w.id FROM t JOIN u v ON t.a = v.a JOIN u w ON v.k = w.k AND w.a = t.a",
];

const AGGREGATES: &[&str] = &[
    "count(*), count(a), count(s)",
    "sum(a), avg(a), min(a), max(a)",
    "min(s), max(s), min(x), max(x)",
    "round(sum(x)::numeric, 6), round(avg(x)::numeric, 6)",
    "count(DISTINCT a)",
    "sum(DISTINCT a), count(DISTINCT a), min(a)",
    "count(DISTINCT a), count(DISTINCT s), sum(a)",
    "count(*) FILTER (WHERE a > 1), sum(a) FILTER (WHERE b)",
    "bool_and(b), bool_or(b)",
    "bit_and(a), bit_or(a), bit_xor(a)",
    "string_agg(s, ',' ORDER BY s, id)",
    "string_agg(DISTINCT s, ',' ORDER BY s)",
    "array_agg(a ORDER BY a DESC, id), array_agg(id ORDER BY id)",
    "first_value(id ORDER BY id), last_value(id ORDER BY id)",
    "median(a)",
    "round(stddev(x)::numeric, 6), round(stddev_pop(x)::numeric, 6)",
    "round(var_samp(x)::numeric, 6), round(var_pop(x)::numeric, 6)",
    "round(corr(x, a)::numeric, 4), round(covar_pop(x, a)::numeric, 4), round(covar_samp(x, a)::numeric, 4)",
    "regr_count(x, a), round(regr_avgx(x, a)::numeric, 4), round(regr_avgy(x, a)::numeric, 4)",
];

const WINDOWS: &[&str] = &[
    "row_number() OVER (PARTITION BY k ORDER BY id)",
    "rank() OVER (PARTITION BY k ORDER BY a), dense_rank() OVER (PARTITION BY k ORDER BY a)",
    "percent_rank() OVER (PARTITION BY k ORDER BY a), cume_dist() OVER (PARTITION BY k ORDER BY a)",
    "ntile(3) OVER (ORDER BY id)",
    "lag(a) OVER (PARTITION BY k ORDER BY id), lead(a, 2) OVER (PARTITION BY k ORDER BY id)",
    "first_value(a) OVER (PARTITION BY k ORDER BY id), last_value(a) OVER (PARTITION BY k ORDER BY id)",
    "nth_value(a, 2) OVER (PARTITION BY k ORDER BY id)",
    "sum(a) OVER (PARTITION BY k), count(*) OVER (PARTITION BY k)",
    "sum(a) OVER (PARTITION BY k ORDER BY id)",
    "sum(a) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
    "min(a) OVER (PARTITION BY k ORDER BY id ROWS 2 PRECEDING), max(s) OVER (PARTITION BY k ORDER BY id ROWS UNBOUNDED PRECEDING)",
    "count(a) OVER (PARTITION BY k ORDER BY id RANGE BETWEEN 3 PRECEDING AND CURRENT ROW)",
];

const OTHERS: &[&str] = &[
    "SELECT a FROM t UNION SELECT a FROM u",
    "SELECT a, s FROM t UNION ALL SELECT a, s FROM u",
    "SELECT a, s FROM t EXCEPT SELECT a, s FROM u",
    "SELECT a FROM t EXCEPT ALL SELECT a FROM u",
    "SELECT a, s FROM t INTERSECT SELECT a, s FROM u",
    "SELECT a FROM t INTERSECT ALL SELECT a FROM u",
    "SELECT DISTINCT k, a FROM t",
    "SELECT DISTINCT ON (k) k, id FROM t ORDER BY k, a, id",
    "SELECT id FROM t ORDER BY a DESC NULLS LAST, id LIMIT 3 OFFSET 1",
    "SELECT id, (SELECT max(a) FROM u) FROM t",
    "SELECT id, (SELECT count(*) FROM u WHERE u.a = t.a) FROM t",
    "SELECT id FROM t WHERE a > (SELECT avg(a) FROM u)",
    "SELECT id FROM t WHERE a = (SELECT min(a) FROM u WHERE u.k = t.k)",
    "SELECT k, a, grouping(k), grouping(a), count(*) FROM t GROUP BY ROLLUP (k, a)",
    "SELECT k, a, sum(id) FROM t GROUP BY CUBE (k, a)",
    "SELECT k, s, count(DISTINCT a) FROM t GROUP BY GROUPING SETS ((k), (s), ())",
    "WITH e AS (SELECT id, k, TIMESTAMP '2026-01-01' + a * INTERVAL '1 hour' AS at FROM t)
     SELECT id, window_start, window_end FROM session(e, at, INTERVAL '2 hours', k)",
    "WITH e AS (SELECT id, DATE '2026-01-01' + id AS at FROM t) SELECT id, window_start, window_end FROM session(e, at, INTERVAL '2 days')",
    "SELECT k, count(*) FROM t GROUP BY k HAVING count(*) > (SELECT count(*) FROM u) / 4",
];

fn queries() -> Vec<String> {
    let mut queries = JOINS.iter().chain(OTHERS).map(|query| (*query).to_owned()).collect::<Vec<_>>();
    for aggregates in AGGREGATES {
        queries.push(format!("SELECT k, {aggregates} FROM t GROUP BY k"));
        queries.push(format!("SELECT {aggregates} FROM t"));
    }
    queries.extend(WINDOWS.iter().map(|windows| format!("SELECT id, {windows} FROM t")));
    queries
}

/// Numbers that a seed decides (SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn or_null(&mut self, value: impl Fn(&mut Self) -> String) -> String {
        if self.below(6) == 0 { "NULL".to_owned() } else { value(self) }
    }

    fn row(&mut self, id: u64) -> String {
        let k = self.or_null(|r| r.below(3).to_string());
        let a = self.or_null(|r| (r.below(6) as i64 - 2).to_string());
        let x = self.or_null(|r| format!("{}.5", r.below(9)));
        let s = self.or_null(|r| format!("'{}'", ["ant", "bee", "cat", "", "dog"][r.below(5) as usize]));
        let b = self.or_null(|r| (r.below(2) == 0).to_string());
        format!("({id}, {k}, {a}, {x}, {s}, {b})")
    }

    fn change(&mut self, next_id: &mut u64) -> String {
        let table = ["t", "t", "u"][self.below(3) as usize];
        match self.below(6) {
            0 => format!("DELETE FROM {table} WHERE id % {} = 0", 2 + self.below(5)),
            1 => format!("DELETE FROM {table} WHERE a = {}", self.below(6) as i64 - 2),
            2 => format!("UPDATE {table} SET a = coalesce(a, 0) - 1, s = 'bee' WHERE k = {}", self.below(3)),
            3 => format!("UPDATE {table} SET k = NULL, x = x + 1 WHERE id % 3 = {}", self.below(3)),
            _ => {
                let mut rows = Vec::new();
                for _ in 0..=self.below(5) {
                    rows.push(self.row(*next_id));
                    *next_id += 1;
                }
                format!("INSERT INTO {table} VALUES {}", rows.join(", "))
            }
        }
    }
}

async fn compare(session: &Session, queries: &[String], after: &[String]) {
    for (i, query) in queries.iter().enumerate() {
        let (kept, once) = (rows(session, &format!("SELECT * FROM v{i}")).await, rows(session, query).await);
        assert_eq!(kept, once, "{query} after {after:#?}");
    }
}

async fn maintain(seed: u64, workers: usize) {
    let engine = Engine::builder().workers(workers).open().await.expect("an engine in memory opens");
    let session = engine.session();
    for table in ["t", "u"] {
        run(&session, &format!("CREATE TABLE {table} (id int, k int, a int, x double precision, s text, b boolean)")).await;
    }
    let queries = queries();
    for (i, query) in queries.iter().enumerate() {
        // Columns get names of their own: no view has two of one.
        let width = match session.execute(query).await {
            Ok(Outcome::Rows { schema, .. }) => schema.fields().len(),
            other => panic!("{query}: {other:?}"),
        };
        let names = (0..width).map(|c| format!("c{c}")).collect::<Vec<_>>().join(", ");
        run(&session, &format!("CREATE MATERIALIZED VIEW v{i} ({names}) AS {query}")).await;
    }
    let (mut random, mut next_id, mut after) = (Random(seed), 0, Vec::new());
    for _ in 0..15 {
        let change = random.change(&mut next_id);
        run(&session, &change).await;
        after.push(change);
        compare(&session, &queries, &after).await;
    }
    engine.close().await.expect("an engine in memory closes");
}

#[tokio::test]
async fn what_is_maintained_is_what_is_read_once() {
    let runs = std::env::var("REFRAIN_MAINTAINED_RUNS").map_or(2, |runs| runs.parse().expect("a number of runs"));
    for seed in 1..=runs {
        maintain(seed, 1 + (seed as usize + 1) % 3).await;
    }
}
