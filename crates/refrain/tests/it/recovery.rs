//! Engines that are opened again.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use refrain::{Engine, ErrorKind, Session};

use crate::rows::{error, rows, run};

async fn open(folder: &tempfile::TempDir) -> (Engine, Session) {
    let engine = Engine::builder().store(folder.path().display().to_string()).open().await.expect("the store opens");
    let session = engine.session();
    (engine, session)
}

#[tokio::test]
async fn what_was_acknowledged_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, s) = open(&folder).await;
    run(&s, "CREATE TABLE t (a INT, b TEXT, c NUMERIC(10,2)); INSERT INTO t VALUES (1, 'x', 1.5), (2, NULL, NULL), (3, 'z', 0)")
        .await;
    run(&s, "CREATE TABLE gone (a INT); DROP TABLE gone; CREATE VIEW v AS SELECT b FROM t WHERE a < 3").await;
    run(&s, "UPDATE t SET b = 'y' WHERE a = 2; DELETE FROM t WHERE a = 3").await;
    let before = rows(&s, "SELECT * FROM t").await;
    drop((engine, s));

    for _ in 0..2 {
        let (engine, s) = open(&folder).await;
        assert_eq!(rows(&s, "SELECT * FROM t").await, before);
        assert_eq!(rows(&s, "SELECT * FROM v").await, ["x", "y"]);
        assert_eq!(error(&s, "SELECT * FROM gone").await.code(), "42P01");
        engine.close().await.unwrap();
        assert_eq!(error(&s, "SELECT * FROM t").await.code(), "57P01");
    }
}

/// What changes by itself is worked out once, when a statement is carried out: not when its rows come from the log, nor from a checkpoint.
#[tokio::test]
async fn values_that_change_by_themselves_are_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, s) = open(&folder).await;
    run(&s, "CREATE TABLE t (a INT, r DOUBLE PRECISION DEFAULT random()); CREATE TABLE moments (at TIMESTAMPTZ)").await;
    run(&s, "INSERT INTO t (a) VALUES (1), (2); INSERT INTO t SELECT 3, random(); UPDATE t SET r = random() WHERE a = 2").await;
    run(&s, "INSERT INTO moments VALUES (now())").await;
    run(&s, "CREATE MATERIALIZED VIEW ranked AS SELECT a, row_number() OVER (ORDER BY r) FROM t").await;
    let queries = ["SELECT * FROM t", "SELECT * FROM moments", "SELECT * FROM ranked"];
    let mut before = Vec::new();
    for query in queries {
        before.push(rows(&s, query).await);
    }
    assert_eq!(rows(&s, "SELECT count(DISTINCT r) FROM t").await, ["3"]);
    drop((engine, s));
    for checkpoint in [false, true, false] {
        let (_engine, s) = open(&folder).await;
        for (query, before) in queries.iter().zip(&before) {
            assert_eq!(rows(&s, query).await, *before);
        }
        if checkpoint {
            run(&s, "CHECKPOINT").await;
        }
    }
}

/// A number that a row has had is given to no other, however the engine ends, and whether the row is still there or not.
#[tokio::test]
async fn numbers_of_rows_are_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, s) = open(&folder).await;
    run(&s, "CREATE TABLE t (id INT GENERATED ALWAYS AS IDENTITY, a INT); CREATE MATERIALIZED VIEW v AS SELECT max(id) FROM t")
        .await;
    run(&s, "INSERT INTO t (a) VALUES (0), (0), (0)").await;
    drop((engine, s));
    let (mut table, mut last) = ("t", 3);
    for (between, rest) in [
        ("", "3"),
        ("DELETE FROM t", "0"),
        ("CHECKPOINT", "1"),
        ("DELETE FROM t; CHECKPOINT", "0"),
        ("DROP MATERIALIZED VIEW v; ALTER TABLE t RENAME TO u", "1"),
        ("CHECKPOINT; DELETE FROM u", "0"),
        ("CREATE TABLE t (id SERIAL); INSERT INTO t DEFAULT VALUES; DROP TABLE t", "1"),
    ] {
        let (engine, s) = open(&folder).await;
        if !between.is_empty() {
            run(&s, between).await;
        }
        table = if between.contains("TO u") { "u" } else { table };
        assert_eq!(rows(&s, &format!("SELECT count(*) FROM {table}")).await, [rest], "{between}");
        last += 1;
        // The next one comes with a batch that a program hands in.
        let number = if last % 2 == 0 {
            let batch = RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(vec![last])) as ArrayRef)]).unwrap();
            s.insert(table, batch).await.unwrap();
            rows(&s, &format!("SELECT id FROM {table} WHERE a = {last}")).await
        } else {
            rows(&s, &format!("INSERT INTO {table} (a) VALUES ({last}) RETURNING id")).await
        };
        assert_eq!(number, [last.to_string()], "{between}");
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn statements_at_the_same_time_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let (_, s) = open(&folder).await;
    run(&s, "CREATE TABLE t (a INT)").await;
    let inserts = (0..20).map(|i| {
        let s = s.clone();
        tokio::spawn(async move { run(&s, &format!("INSERT INTO t VALUES ({i})")).await })
    });
    for insert in inserts.collect::<Vec<_>>() {
        assert_eq!(insert.await.unwrap(), "INSERT 0 1");
    }
    assert_eq!(rows(&s, "SELECT count(*), sum(a) FROM t").await, ["20|190"]);
    drop(s);
    let (_engine, s) = open(&folder).await;
    assert_eq!(rows(&s, "SELECT count(*), sum(a) FROM t").await, ["20|190"]);
}

#[tokio::test]
async fn the_engine_that_was_taken_over_writes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (_first, zombie) = open(&folder).await;
    run(&zombie, "CREATE TABLE t (a INT)").await;
    let (_second, s) = open(&folder).await;
    run(&s, "INSERT INTO t VALUES (1)").await;
    assert_eq!(error(&zombie, "INSERT INTO t VALUES (2)").await.kind(), ErrorKind::Fenced);
    let given_up =
        tokio::time::timeout(Duration::from_secs(20), error(&zombie, "CHECKPOINT")).await.expect("it is given up at once");
    assert!(given_up.message().contains("taken over"), "{given_up}");
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1"]);
}

const NATURAL: &str = "CREATE MATERIALIZED VIEW natural AS WITH RECURSIVE t(n) AS \
    (SELECT 1::BIGINT UNION ALL SELECT n + 1 FROM t) SELECT n FROM t";

/// How far the view `natural` has come; every number up to there is in it once.
async fn reached(session: &Session) -> i64 {
    let row = rows(session, "SELECT count(*), count(DISTINCT n), coalesce(max(n), 0) FROM natural").await.remove(0);
    let [count, distinct, max] = row.split('|').collect::<Vec<_>>()[..] else { panic!("there are three columns in {row}") };
    assert_eq!((count, distinct), (max, max));
    max.parse().expect("it is a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_shown_as_it_was_and_its_recursion_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, s) = open(&folder).await;
    run(&s, "SET checkpoint_retain = 3; SET reads = 'eager'; CREATE TABLE t (a INT)").await;
    run(&s, &format!("INSERT INTO t VALUES (1), (2); CREATE VIEW v AS SELECT a FROM t; {NATURAL}")).await;
    let before = reached(&s).await;
    let (first, between) = (engine.checkpoint().await.unwrap().id, reached(&s).await);
    run(&s, "INSERT INTO t VALUES (3)").await;
    let second = engine.checkpoint().await.unwrap().id;
    run(&s, "DROP MATERIALIZED VIEW natural; DROP VIEW v; DROP TABLE t").await;

    for workers in [1, 2] {
        let at = |id| Engine::builder().store(folder.path().display().to_string()).workers(workers).at_checkpoint(id).open();
        let shown = at(first).await.unwrap();
        let r = shown.session();
        run(&r, "SET reads = 'eager'").await;
        assert_eq!(rows(&r, "SELECT a FROM v ORDER BY a").await, ["1", "2"]);
        let then = reached(&r).await;
        assert!(then >= before, "{then} is behind {before}, where it was");
        while reached(&r).await <= then.max(between) {
            tokio::task::yield_now().await;
        }
        let later = at(second).await.unwrap();
        assert_eq!(rows(&later.session(), "SELECT a FROM v ORDER BY a").await, ["1", "2", "3"]);
    }
    // The writer goes on meanwhile.
    run(&s, "CREATE TABLE u (a INT); INSERT INTO u VALUES (1)").await;
    assert_eq!(rows(&s, "SELECT * FROM u").await, ["1"]);
}

#[tokio::test]
async fn an_engine_that_shows_a_checkpoint_refuses_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, s) = open(&folder).await;
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT a FROM t").await;
    let id = engine.checkpoint().await.unwrap().id;
    let at = |id| Engine::builder().store(folder.path().display().to_string()).at_checkpoint(id).open();
    let shown = at(id).await.unwrap();
    let r = shown.session();
    for (statement, what) in [
        ("CREATE TABLE u (a INT)", "CREATE TABLE"),
        ("CREATE VIEW v AS SELECT 1", "CREATE VIEW"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW"),
        ("ALTER MATERIALIZED VIEW m SET (recursion_limit = 3)", "ALTER MATERIALIZED VIEW"),
        ("DROP TABLE t CASCADE", "DROP TABLE"),
        ("DROP VIEW m", "DROP VIEW"),
        ("DROP MATERIALIZED VIEW m", "DROP MATERIALIZED VIEW"),
        ("INSERT INTO t VALUES (2)", "INSERT"),
        ("UPDATE t SET a = 2", "UPDATE"),
        ("DELETE FROM t", "DELETE"),
        ("COPY t FROM 'nothing.csv'", "COPY FROM"),
        ("CHECKPOINT", "CHECKPOINT"),
    ] {
        let refused = error(&r, statement).await;
        assert_eq!((refused.code(), refused.message()), ("25006", &*format!("cannot execute {what} in a read-only transaction")));
    }
    let batch = r.query("SELECT a FROM t").await.unwrap().remove(0);
    for refused in [r.insert("t", batch.clone()).await, r.delete("t", batch).await] {
        assert_eq!(refused.unwrap_err().code(), "25006");
    }
    assert_eq!(shown.checkpoint().await.unwrap_err().code(), "25006");
    // It may be set, and there is nothing to be taken.
    run(&r, "SET checkpoint_interval_ms = 1").await;
    assert_eq!(
        rows(&r, "WITH RECURSIVE w(n) AS (SELECT a FROM m UNION SELECT n + 1 FROM w WHERE n < 3) SELECT * FROM w").await.len(),
        3
    );
    shown.close().await.unwrap();
    let missing = at(7).await.unwrap_err();
    assert!(missing.code() == "42704" && missing.message().starts_with("checkpoint 7 is not in store"), "{missing}");
    run(&s, "INSERT INTO t VALUES (2)").await;
}

/// Whoever opens a store with another planner is told so, rather than given a state that belongs to another plan.
#[tokio::test]
async fn a_view_whose_plan_has_changed_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, s) = open(&folder).await;
    run(&s, "CREATE TABLE e (a INT, b INT); INSERT INTO e VALUES (1, 2), (2, 3), (3, 1), (4, 5)").await;
    let closure = "WITH RECURSIVE r(a, b) AS (SELECT a, b FROM e UNION SELECT r.a, e.b FROM r JOIN e ON e.a = r.b) SELECT * FROM r";
    run(&s, &format!("CREATE MATERIALIZED VIEW v AS SELECT b FROM ({closure}) AS c WHERE a = 1")).await;
    assert_eq!(rows(&s, "SELECT b FROM v").await, ["1", "2", "3"]);
    run(&s, "CHECKPOINT").await;
    engine.close().await.unwrap();
    drop((engine, s));
    let other = Engine::builder().store(folder.path().display().to_string()).without_optimizer_rule("restrict_recursions");
    let error = other.open().await.expect_err("the plan is another one");
    assert_eq!(error.message(), "materialized view \"v\" cannot be restored: its plan has changed since the checkpoint");
    let (_engine, s) = open(&folder).await;
    assert_eq!(rows(&s, "SELECT b FROM v").await, ["1", "2", "3"]);
}

/// The limit counts from the beginning of the recursion, not from where it was restored, and names the same row.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_fails_fails_after_a_restore_in_the_middle_too() {
    for (form, limit) in [("MUTUALLY RECURSIVE (@) t (n INT)", 60_000), ("RECURSIVE (@) t(n)", 400_000)] {
        let counting = |at: &str| {
            let form = form.replace('@', &format!("{at} AT RECURSION LIMIT {limit}"));
            format!("WITH {form} AS (SELECT 0 UNION SELECT n + 1 FROM t) SELECT n FROM t")
        };
        fails_after_a_restore_in_the_middle(&counting("ERROR"), &counting("RETURN"), limit).await;
    }
}

/// One recursion that fails at its limit, and one that returns there.
async fn fails_after_a_restore_in_the_middle(fails: &str, returns: &str, limit: u64) {
    let alone = Engine::builder().open().await.expect("the engine opens").session();
    let wanted = error(&alone, fails).await;
    for _ in 0..200 {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (engine, s) = open(&folder).await;
        run(&s, &format!("CREATE MATERIALIZED VIEW v AS {fails}; CREATE MATERIALIZED VIEW w AS {returns}")).await;
        while rows(&s, "SELECT count(*) FROM refrain.loops WHERE iteration > 1000").await != ["2"] {}
        s.checkpoint().await.expect("the checkpoint commits");
        drop((engine, s));
        let report = refrain::inspect::inspect(&folder.path().display().to_string()).await.expect("the store can be read");
        if report.checkpoints[0].loops.iter().any(|l| u64::from(l.iteration) >= limit - 1000) {
            continue;
        }
        let s = Engine::builder()
            .store(folder.path().display().to_string())
            .workers(2)
            .open()
            .await
            .expect("the engine opens")
            .session();
        let after = error(&s, "SELECT n FROM v").await;
        assert_eq!((after.code(), after.message()), (wanted.code(), wanted.message()));
        assert!(after.hint().expect("there is a way to find out").contains("EXPLAIN WHY"), "{after:?}");
        assert_eq!(rows(&s, "SELECT count(*), max(n) FROM w").await, [format!("{limit}|{}", limit - 1)]);
        return;
    }
    panic!("no checkpoint has caught the recursions in their middle: {fails}");
}

/// A table is altered again and again while sessions write it: what was acknowledged is there, in the shape of the end, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_altered_while_it_is_written() {
    const WRITERS: i32 = 3;
    let folder = tempfile::tempdir().unwrap();
    let (engine, s) = open(&folder).await;
    run(&s, "CREATE TABLE t (a INT PRIMARY KEY, b TEXT DEFAULT 'b'); SET checkpoint_interval_ms = 1").await;
    let goes_on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let writers = (0..WRITERS).map(|writer| {
        let (s, goes_on, written) = (engine.session(), std::sync::Arc::clone(&goes_on), std::sync::Arc::clone(&written));
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for a in (writer..).step_by(WRITERS.unsigned_abs() as usize) {
                if !goes_on.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                match s.execute(&format!("INSERT INTO t (a) VALUES ({a})")).await {
                    Ok(_) => {
                        acknowledged.push(a);
                        written.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                    // The table that it was planned for is gone, and there is another one.
                    Err(error) => assert_eq!(error.code(), "42P01"),
                }
                tokio::task::yield_now().await;
            }
            acknowledged
        })
    });
    let writers = writers.collect::<Vec<_>>();
    for round in 0..20 {
        run(
            &s,
            &format!(
                "ALTER TABLE t ADD COLUMN c{round} INT NOT NULL DEFAULT {round}; ALTER TABLE t ADD CHECK (c{round} = {round})"
            ),
        )
        .await;
        run(&s, &format!("ALTER TABLE t DROP COLUMN c{round}, RENAME TO u; ALTER TABLE u RENAME TO t")).await;
    }
    while written.load(std::sync::atomic::Ordering::Relaxed) <= 10 {
        tokio::task::yield_now().await;
    }
    run(&s, "ALTER TABLE t ADD COLUMN last INT DEFAULT 7").await;
    goes_on.store(false, std::sync::atomic::Ordering::Relaxed);
    let mut wanted = Vec::new();
    for writer in writers {
        wanted.extend(writer.await.unwrap().into_iter().map(|a| format!("{a}|b|7")));
    }
    wanted.sort();
    assert_eq!(rows(&s, "SELECT * FROM t").await, wanted);
    drop((engine, s));
    for _ in 0..2 {
        let (_engine, s) = open(&folder).await;
        assert_eq!(rows(&s, "SELECT * FROM t").await, wanted);
        assert_eq!(error(&s, "INSERT INTO t (a) SELECT a FROM t").await.code(), "23505");
    }
}

/// A block that has changed a table fails at its end when the table was altered meanwhile; nothing of it is there.
#[tokio::test]
async fn a_block_over_a_table_that_is_altered_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, s) = open(&folder).await;
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1)").await;
    let other = engine.session();
    run(&other, "BEGIN; INSERT INTO t VALUES (2)").await;
    run(&s, "ALTER TABLE t ADD COLUMN b INT").await;
    assert_eq!(error(&other, "COMMIT").await.code(), "42P01");
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1|NULL"]);
    assert_eq!(error(&s, "ALTER TABLE nix RENAME TO t").await.code(), "42P01");
    run(&s, "BEGIN").await;
    assert_eq!(error(&s, "ALTER TABLE t DROP COLUMN b").await.code(), "25001");
    run(&s, "ROLLBACK").await;
    drop((engine, s, other));
    let (_engine, s) = open(&folder).await;
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1|NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_an_earlier_version_wrote_is_opened_and_goes_on() {
    for workers in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let packed = flate2::read::GzDecoder::new(include_bytes!("stores/format_1.tar.gz").as_slice());
        tar::Archive::new(packed).unpack(folder.path()).unwrap();
        let store = folder.path().join("format_1").display().to_string();
        let engine = Engine::builder().store(&store).workers(workers).open().await.expect("it is opened");
        let s = engine.session();
        assert_eq!(
            rows(&s, "SELECT * FROM every ORDER BY id").await,
            [
                "1|t|-1|9000000000|0.5|1e+100|12.34|Ünïcode|ab  |2024-02-29|2024-02-29 23:59:59.999999|2024-02-29 21:59:59+00|\
                 1 mon 2 days 03:04:05|\\x00ff",
                "2|NULL|0|NULL|NULL|NaN|NULL||NULL|NULL|NULL|NULL|NULL|NULL",
            ]
        );
        assert_eq!(error(&s, "INSERT INTO every (id, small) VALUES (1, 1)").await.code(), "23505");
        assert_eq!(error(&s, "INSERT INTO every (id, small) VALUES (3, 100)").await.code(), "23514");
        assert_eq!(error(&s, "DELETE FROM born").await.code(), "55000");
        // What came after the checkpoint is in the input log.
        assert_eq!(rows(&s, "SELECT * FROM ancestors").await, ["a|root", "b|a", "b|root", "c|a", "c|b", "c|root", "e|d"]);
        assert_eq!(rows(&s, "SELECT * FROM childless").await, ["d", "root"]);
        assert_eq!(rows(&s, "SELECT * FROM named").await, ["a|NULL", "b|NULL", "c|NULL", "e|NULL"]);
        assert_eq!(error(&s, "SELECT * FROM failing").await.code(), "22012");
        assert_eq!(rows(&s, "SELECT n, count(*) FROM walks GROUP BY n ORDER BY n").await, ["1|5", "2|7", "3|9"]);
        let reach = rows(&s, "SELECT * FROM reach").await;
        assert_eq!(reach, ["x|w", "x|x", "x|y", "x|z", "y|w", "y|x", "y|y", "y|z", "z|w", "z|x", "z|y", "z|z"]);
        run(&s, "SET reads = 'eager'").await;
        let round = async || rows(&s, "SELECT count(*), count(*) FILTER (WHERE n = 1) FROM rounds").await.remove(0);
        let all_and_ones = round().await;
        let (all, ones) = all_and_ones.split_once('|').expect("there are two columns");
        let (all, ones) = (all.parse::<i64>().unwrap(), ones.parse::<i64>().unwrap());
        assert!(all >= 5310 && ones == (all + 4) / 5, "{all_and_ones} goes on from 5310");
        while round().await == all_and_ones {
            tokio::task::yield_now().await;
        }

        run(&s, "SET checkpoint_retain = 3; SET reads = 'strict'").await;
        run(&s, "DELETE FROM roads WHERE a = 'x' AND b = 'z'; INSERT INTO roads VALUES ('w', 'z', 4)").await;
        run(&s, "DELETE FROM roads WHERE a = 'z' AND b = 'x'; UPDATE every SET small = 5 WHERE id = 2").await;
        assert_eq!(rows(&s, "SELECT * FROM reach").await, ["w|w", "w|z", "x|w", "x|y", "x|z", "y|w", "y|z", "z|w", "z|z"]);
        let shortest = rows(&s, "SELECT * FROM shortest").await;
        assert_eq!(shortest, ["w|w|5", "w|z|4", "x|w|3", "x|y|1", "x|z|2", "y|w|2", "y|z|1", "z|w|1", "z|z|5"]);
        assert_eq!(rows(&s, "SELECT n, count(*) FROM walks GROUP BY n ORDER BY n").await, ["1|4", "2|4", "3|4"]);
        // x to y, z, w, z, w, …
        assert_eq!(rows(&s, "SELECT * FROM even").await, ["x", "z"]);
        assert_eq!(
            rows(&s, "SELECT a, count, sum, min, ends FROM totals").await,
            ["w|1|4|4|1", "x|1|1|1|1", "y|1|1|1|1", "z|1|1|1|1"]
        );
        assert_eq!(rows(&s, "SELECT * FROM ranked").await, ["w|z|1", "x|y|1", "y|z|1", "z|w|1"]);
        assert_eq!(rows(&s, "SELECT * FROM failing").await, ["1|-10", "2|2"]);
        engine.checkpoint().await.unwrap();
        // Both checkpoints of then are there to be looked at.
        let then = Engine::builder().store(&store).at_checkpoint(2).open().await.unwrap();
        let s = then.session();
        assert_eq!(rows(&s, "SELECT * FROM ancestors").await, ["b|a", "c|a", "c|b", "e|d"]);
        assert_eq!(rows(&s, "SELECT * FROM shortest WHERE a = 'q'").await, ["q|r|0"]);
        assert_eq!(rows(&s, "SELECT * FROM failing").await, ["1|-10", "2|NULL"]);
    }
}
