//! `SELECT … AS OF epoch`: tables and views as they were.

use refrain::{Engine, Session};

use crate::rows::{error, memory, rows, run};

const VIEWS: &str = "CREATE TABLE edge (a INT, b INT); CREATE INDEX ON edge (a); \
    CREATE MATERIALIZED VIEW reach AS WITH RECURSIVE r(a, b) AS \
    (SELECT a, b FROM edge UNION SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b) SELECT a, b FROM r; \
    CREATE MATERIALIZED VIEW degrees AS SELECT a, count(*) AS n FROM reach GROUP BY a";

const QUERIES: [&str; 5] = [
    "SELECT * FROM edge",
    "SELECT * FROM reach",
    "SELECT d.a, d.n, e.b FROM degrees d LEFT JOIN edge e ON e.a = d.a",
    "SELECT * FROM edge WHERE a = 3",
    "WITH RECURSIVE r(a, b) AS (SELECT a, b FROM edge UNION SELECT r.a, e.b FROM r JOIN edge e ON e.a = r.b) SELECT count(*) FROM r",
];

async fn epoch(session: &Session) -> u64 {
    rows(session, "SHOW epoch").await[0].parse().expect("an epoch is a number")
}

async fn all(session: &Session, as_of: &str) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for query in QUERIES {
        answers.push(rows(session, &format!("{query} {as_of}")).await);
    }
    answers
}

/// Small chunks are merged and retractions consolidated meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn each_epoch_is_read_as_it_was() {
    const STEPS: u64 = 3_000;
    let s = memory().await;
    run(&s, VIEWS).await;
    run(&s, &format!("SET history_epochs = {}", STEPS + 10)).await;
    let mut past = Vec::new();
    for step in 0..STEPS {
        let (a, b) = (step * 7 % 11, step * 5 % 13);
        let change = if step % 3 == 2 {
            format!("DELETE FROM edge WHERE a = {a} OR b = {b}")
        } else {
            format!("INSERT INTO edge VALUES ({a}, {b}), ({b}, {a})")
        };
        run(&s, &change).await;
        if step % 50 == 0 {
            past.push((epoch(&s).await, all(&s, "").await));
        }
    }
    assert!(past.windows(2).any(|two| two[0].1 != two[1].1));
    for (epoch, answers) in &past {
        assert_eq!(all(&s, &format!("AS OF {epoch}")).await, *answers, "epoch {epoch}");
    }

    // Of an epoch that has gone nothing is told.
    run(&s, "SET history_epochs = 5; INSERT INTO edge VALUES (1, 1)").await;
    let last = epoch(&s).await;
    assert_eq!(rows(&s, &format!("SELECT count(*) FROM edge AS OF {last}")).await, rows(&s, "SELECT count(*) FROM edge").await);
    for relation in ["edge", "reach"] {
        let gone = error(&s, &format!("SELECT * FROM {relation} AS OF {}", past[0].0)).await;
        assert_eq!((gone.code(), gone.message()), ("72000", "snapshot too old"));
        let oldest = format!("The oldest epoch that is kept is {}.", last - 5);
        assert_eq!(gone.detail(), Some(oldest.as_str()));
        assert_ne!(rows(&s, &format!("SELECT * FROM {relation} AS OF {}", last - 5)).await, Vec::<String>::new());
    }
}

/// A view takes in each epoch by itself, however fast they come, so that it can be read at each.
#[tokio::test(flavor = "multi_thread")]
async fn views_can_be_read_at_every_epoch_while_somebody_writes() {
    let engine = Engine::builder().workers(2).open().await.unwrap();
    let s = engine.session();
    run(&s, "CREATE TABLE t (a INT); CREATE TABLE other (a INT)").await;
    run(&s, "CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n, sum(a) AS total FROM t").await;
    run(&s, "CREATE MATERIALIZED VIEW again AS SELECT n, total FROM counted WHERE n >= 0").await;
    run(&s, "SET history_epochs = 100000").await;
    let first = epoch(&s).await;
    let writers = ["t", "t", "other"].map(|table| {
        let session = engine.session();
        tokio::spawn(async move {
            for a in 0..300 {
                run(&session, &format!("INSERT INTO {table} VALUES ({a})")).await;
                if a % 4 == 3 {
                    run(&session, &format!("DELETE FROM {table} WHERE a = {}", a - 2)).await;
                }
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let last = epoch(&s).await;
    assert!(last > first + 300, "{} epochs", last - first);
    for epoch in first..=last {
        let counted = rows(&s, &format!("SELECT count(*), sum(a) FROM t AS OF {epoch}")).await;
        for view in ["counted", "again"] {
            assert_eq!(rows(&s, &format!("SELECT n, total FROM {view} AS OF {epoch}")).await, counted, "{view} as of {epoch}");
        }
    }
}

#[tokio::test]
async fn what_was_not_there_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let builder = Engine::builder().store(folder.path().display().to_string()).setting("history_epochs", "100");
        builder.open().await.unwrap()
    };
    let engine = open().await;
    let s = engine.session();
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)").await;
    let before = epoch(&s).await;
    run(&s, "INSERT INTO t VALUES (3); CREATE MATERIALIZED VIEW v AS SELECT a FROM t").await;
    run(&s, "CREATE MATERIALIZED VIEW none AS SELECT a FROM t WHERE a > 100; CREATE TABLE late (a INT)").await;
    run(&s, "INSERT INTO t VALUES (4)").await;
    assert_eq!(rows(&s, &format!("SELECT a FROM t AS OF {before}")).await, ["1", "2"]);
    rows(&s, "SELECT * FROM v, none").await;
    for relation in ["v", "none", "late"] {
        assert_eq!(error(&s, &format!("SELECT * FROM {relation} AS OF {before}")).await.code(), "72000", "{relation}");
    }
    let now = epoch(&s).await;
    let early = error(&s, &format!("SELECT * FROM t AS OF {}", now + 1)).await;
    assert_eq!((early.code(), early.message().to_owned()), ("22023", format!("epoch {} has not come yet", now + 1)));
    assert_eq!(early.detail(), Some(format!("The last epoch is {now}.").as_str()));

    // What a block has changed is none of the past, whatever is read beside it.
    run(&s, "BEGIN; INSERT INTO t VALUES (5)").await;
    assert_eq!(rows(&s, &format!("SELECT a FROM v AS OF {now}")).await, ["1", "2", "3", "4"]);
    assert_eq!(rows(&s, &format!("SELECT a FROM t AS OF {now}")).await, ["1", "2", "3", "4"]);
    assert_eq!(rows(&s, "SELECT count(*) FROM t").await, ["5"]);
    run(&s, "ROLLBACK; CHECKPOINT").await;
    engine.close().await.unwrap();
    drop((engine, s));

    // The past is not in the store.
    let engine = open().await;
    let s = engine.session();
    assert_eq!(error(&s, &format!("SELECT * FROM t AS OF {before}")).await.code(), "72000");
    assert_eq!(rows(&s, &format!("SELECT a FROM v AS OF {}", epoch(&s).await)).await, ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn it_is_a_clause_of_a_select_alone() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT); INSERT INTO t VALUES (1)").await;
    let now = epoch(&s).await;
    assert_eq!(rows(&s, &format!("select 1 as of {now}")).await, ["1"]);
    assert_eq!(rows(&s, &format!("VALUES (2) AS OF {now};")).await, ["2"]);
    assert_eq!(rows(&s, "SELECT of.a AS of FROM t AS of").await, ["1"]);
    for statement in
        ["CREATE VIEW v AS SELECT a FROM t", "CREATE MATERIALIZED VIEW v AS SELECT a FROM t", "INSERT INTO t SELECT a FROM t"]
    {
        let refused = error(&s, &format!("{statement} AS OF {now}")).await;
        assert_eq!((refused.code(), refused.message()), ("0A000", "AS OF is not supported in this statement"), "{statement}");
    }
    assert_eq!(error(&s, "SELECT * FROM (SELECT a FROM t AS OF 1) AS x").await.code(), "42601");
    assert_eq!(error(&s, "SELECT a FROM t AS OF 1.5").await.code(), "22023");
    assert_eq!(error(&s, "SET history_epochs = -1").await.code(), "22023");
}
