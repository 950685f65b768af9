//! Transaction blocks of several sessions at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use proptest::prelude::{Just, Strategy, any, prop};
use proptest::prop_oneof;
use refrain::{Engine, Session, TransactionStatus};

use crate::rows::{error, next, rows, run};

/// A session with a table of numbers, and another session.
async fn two() -> (Engine, Session, Session) {
    let engine = Engine::builder().open().await.expect("an engine in memory opens");
    let (a, b) = (engine.session(), engine.session());
    run(&a, "CREATE TABLE t (k int, v int); INSERT INTO t VALUES (1, 10), (2, 20)").await;
    (engine, a, b)
}

fn numbers(k: &[i32], v: &[i32]) -> RecordBatch {
    let column = |values: &[i32]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
    RecordBatch::try_from_iter([("k", column(k)), ("v", column(v))]).expect("columns of one length")
}

#[tokio::test]
async fn nobody_sees_a_block_before_it_commits_and_then_all_of_it() {
    let (_engine, a, b) = two().await;
    run(&a, "CREATE TABLE log (n int); CREATE MATERIALIZED VIEW pairs AS SELECT k, n FROM t, log").await;
    let mut events = b.subscribe("pairs").await.unwrap();
    run(&a, "BEGIN; INSERT INTO log VALUES (1), (2); UPDATE t SET k = 3 WHERE k = 1; DELETE FROM log WHERE n = 2; INSERT INTO log VALUES (3)")
        .await;
    assert_eq!(a.transaction_status(), TransactionStatus::InBlock);
    assert_eq!(rows(&a, "SELECT * FROM t, log").await, ["2|20|1", "2|20|3", "3|10|1", "3|10|3"]);
    assert_eq!(rows(&b, "SELECT * FROM t").await, ["1|10", "2|20"]);
    assert_eq!(rows(&b, "SELECT * FROM log").await, [""; 0]);
    assert_eq!(run(&a, "COMMIT").await, "COMMIT");
    assert_eq!(a.transaction_status(), TransactionStatus::Idle);
    assert_eq!(rows(&b, "SELECT * FROM pairs").await, ["2|1", "2|3", "3|1", "3|3"]);
    // One epoch, so one event, without what went again within the block.
    assert_eq!(next(&mut events).await, ["+1 2|1", "+1 2|3", "+1 3|1", "+1 3|3"]);
}

#[tokio::test]
async fn who_commits_last_what_both_have_changed_fails() {
    let (_engine, a, b) = two().await;
    run(&a, "BEGIN; UPDATE t SET v = v + 1 WHERE k = 1").await;
    run(&b, "BEGIN; UPDATE t SET v = v * 2 WHERE k = 1; DELETE FROM t WHERE k = 2").await;
    run(&a, "COMMIT").await;
    // It sees what the other has committed, and cannot go on from it.
    assert_eq!(error(&b, "SELECT * FROM t").await.code(), "40001");
    assert_eq!(b.transaction_status(), TransactionStatus::Failed);
    assert_eq!(run(&b, "COMMIT").await, "ROLLBACK");
    run(&b, "BEGIN; DELETE FROM t WHERE k = 2").await;
    run(&a, "DELETE FROM t WHERE k = 2").await;
    assert_eq!(error(&b, "COMMIT").await.code(), "40001");
    assert_eq!(b.transaction_status(), TransactionStatus::Idle);
    assert_eq!(rows(&b, "SELECT * FROM t").await, ["1|11"]);
}

#[tokio::test]
async fn blocks_that_change_different_rows_both_commit() {
    let (_engine, a, b) = two().await;
    run(&a, "BEGIN; UPDATE t SET v = v + 1 WHERE k = 1; INSERT INTO t VALUES (3, 30)").await;
    run(&b, "BEGIN; UPDATE t SET v = v + 1 WHERE k = 2; INSERT INTO t VALUES (3, 30)").await;
    run(&b, "COMMIT").await;
    assert_eq!(rows(&a, "SELECT * FROM t").await, ["1|11", "2|21", "3|30", "3|30"]);
    run(&a, "COMMIT").await;
    assert_eq!(rows(&b, "SELECT * FROM t").await, ["1|11", "2|21", "3|30", "3|30"]);
}

#[tokio::test]
async fn a_key_that_another_has_taken_meanwhile_fails_the_commit() {
    let (_engine, a, b) = two().await;
    run(&a, "CREATE TABLE keyed (k int PRIMARY KEY, v text)").await;
    run(&a, "BEGIN; INSERT INTO keyed VALUES (1, 'a'), (2, 'a')").await;
    // The other one neither sees nor meets it.
    run(&b, "INSERT INTO keyed VALUES (1, 'b')").await;
    assert_eq!(error(&a, "COMMIT").await.code(), "23505");
    assert_eq!(rows(&a, "SELECT * FROM keyed").await, ["1|b"]);
    // The keys are as before.
    run(&a, "INSERT INTO keyed VALUES (2, 'c')").await;
    assert_eq!(error(&b, "INSERT INTO keyed VALUES (2, 'd')").await.code(), "23505");
}

#[tokio::test]
async fn a_table_that_is_gone_fails_the_commit() {
    let (_engine, a, b) = two().await;
    run(&a, "BEGIN; INSERT INTO t VALUES (3, 30)").await;
    run(&b, "DROP TABLE t; CREATE TABLE t (k int, v int)").await;
    assert_eq!(error(&a, "COMMIT").await.code(), "42P01");
    assert_eq!(rows(&a, "SELECT * FROM t").await, [""; 0]);
}

#[tokio::test]
async fn rows_of_programs_are_part_of_the_block() {
    let (_engine, a, b) = two().await;
    run(&a, "BEGIN").await;
    assert_eq!(a.insert("t", numbers(&[3, 3], &[30, 30])).await.unwrap(), 2);
    assert_eq!(a.delete("t", numbers(&[3, 1], &[30, 10])).await.unwrap(), 2);
    assert_eq!(rows(&a, "SELECT * FROM t").await, ["2|20", "3|30"]);
    assert_eq!(rows(&b, "SELECT * FROM t").await, ["1|10", "2|20"]);
    let missing = a.delete("t", numbers(&[1], &[10])).await.unwrap_err();
    assert_eq!(missing.code(), "02000");
    let failed = a.insert("t", numbers(&[4], &[40])).await.unwrap_err();
    assert_eq!(failed.code(), "25P02");
    run(&a, "ROLLBACK; BEGIN READ ONLY").await;
    assert_eq!(a.insert("t", numbers(&[4], &[40])).await.unwrap_err().code(), "25006");
    run(&a, "ROLLBACK").await;
    assert_eq!(rows(&b, "SELECT * FROM t").await, ["1|10", "2|20"]);
}

#[tokio::test]
async fn settings_of_a_block_are_kept_with_it() {
    let (_engine, a, _) = two().await;
    run(&a, "SET application_name = 'before'; BEGIN; SET application_name = 'within'; COMMIT").await;
    assert_eq!(rows(&a, "SHOW application_name").await, ["within"]);
    run(&a, "BEGIN; SET application_name = 'after'").await;
    error(&a, "SELECT nothing").await;
    run(&a, "COMMIT").await;
    assert_eq!(rows(&a, "SHOW application_name").await, ["within"]);
}

#[tokio::test]
async fn a_session_that_goes_rolls_back_and_clones_share_the_block() {
    let (_engine, a, b) = two().await;
    let clone = b.clone();
    run(&b, "BEGIN; DELETE FROM t").await;
    assert_eq!(rows(&clone, "SELECT * FROM t").await, [""; 0]);
    drop((b, clone));
    assert_eq!(rows(&a, "SELECT * FROM t").await, ["1|10", "2|20"]);
}

#[tokio::test]
async fn statements_of_a_block_at_the_same_time_are_one_after_the_other() {
    let (_engine, a, _) = two().await;
    run(&a, "BEGIN").await;
    let raised = (0..20).map(|_| {
        let a = a.clone();
        tokio::spawn(async move { run(&a, "UPDATE t SET v = v + 1").await })
    });
    for update in raised.collect::<Vec<_>>() {
        assert_eq!(update.await.unwrap(), "UPDATE 2");
    }
    run(&a, "COMMIT").await;
    assert_eq!(rows(&a, "SELECT * FROM t").await, ["1|30", "2|40"]);
}

#[tokio::test]
async fn a_block_is_recovered_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || Engine::builder().store(folder.path().display().to_string()).open().await.expect("the store opens");
    let engine = open().await;
    let s = engine.session();
    run(&s, "CREATE TABLE a (n int PRIMARY KEY); CREATE TABLE b (n text); INSERT INTO a VALUES (1), (2)").await;
    run(&s, "BEGIN; UPDATE a SET n = n + 1; INSERT INTO b VALUES ('x'), ('y'); DELETE FROM b WHERE n = 'x'; COMMIT").await;
    run(&s, "BEGIN; DELETE FROM a; DELETE FROM b").await;
    drop((engine, s));
    let engine = open().await;
    let s = engine.session();
    assert_eq!(rows(&s, "SELECT n::text FROM a UNION ALL SELECT n FROM b").await, ["2", "3", "y"]);
    assert_eq!(error(&s, "INSERT INTO a VALUES (3)").await.code(), "23505");
}

/// What a session does next.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    Commit,
    Rollback,
    Savepoint,
    Return,
    Insert(i32, i32),
    Delete(i32),
    Raise(i32),
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    // Few rows and many blocks, so that both sessions often change the same row.
    let (k, v) = (0..2i32, 0..2i32);
    let step = prop_oneof![
        6 => Just(Step::Begin),
        3 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        1 => Just(Step::Savepoint),
        1 => Just(Step::Return),
        4 => (k.clone(), v).prop_map(|(k, v)| Step::Insert(k, v)),
        3 => k.clone().prop_map(Step::Delete),
        3 => k.prop_map(Step::Raise),
    ];
    prop::collection::vec((any::<bool>().prop_map(usize::from), step), 1..40)
}

/// Rows with how often they are there.
type Bag = BTreeMap<(i32, i32), i64>;

fn add(bag: &mut Bag, row: (i32, i32), weight: i64) {
    let sum = bag.entry(row).or_default();
    *sum += weight;
    if *sum == 0 {
        bag.remove(&row);
    }
}

/// A bag with changes; `None` where it has not got a row that they take out.
fn with(bag: &Bag, changes: &Bag) -> Option<Bag> {
    let mut bag = bag.clone();
    changes.iter().for_each(|(row, weight)| add(&mut bag, *row, *weight));
    bag.values().all(|weight| *weight > 0).then_some(bag)
}

/// What a block has changed, and at which savepoint what.
#[derive(Clone, Default)]
struct Changed {
    net: Bag,
    saved: Option<Bag>,
    failed: bool,
}

/// What the two sessions of a table without keys see.
#[derive(Default)]
struct Model {
    committed: Bag,
    blocks: [Option<Changed>; 2],
}

impl Model {
    /// Takes a step; the SQLSTATE with which it fails, or "".
    fn step(&mut self, who: usize, step: &Step) -> &'static str {
        let block = self.blocks[who].take();
        let Some(mut block) = block else {
            match step {
                Step::Begin => self.blocks[who] = Some(Changed::default()),
                Step::Savepoint | Step::Return => return "25P01",
                Step::Commit | Step::Rollback => {}
                _ => {
                    let changes = changes(&self.committed, step);
                    self.committed = with(&self.committed, &changes).expect("the changes are of what is there");
                }
            }
            return "";
        };
        match step {
            Step::Commit if !block.failed => match with(&self.committed, &block.net) {
                Some(committed) => self.committed = committed,
                None => return "40001",
            },
            Step::Commit | Step::Rollback => {}
            Step::Return => {
                let code = match &block.saved {
                    Some(saved) => {
                        (block.net, block.failed) = (saved.clone(), false);
                        ""
                    }
                    None => {
                        block.failed = true;
                        "3B001"
                    }
                };
                self.blocks[who] = Some(block);
                return code;
            }
            _ if block.failed => {
                self.blocks[who] = Some(block);
                return "25P02";
            }
            Step::Begin => self.blocks[who] = Some(block),
            Step::Savepoint => {
                block.saved = Some(block.net.clone());
                self.blocks[who] = Some(block);
            }
            Step::Insert(..) => {
                changes(&Bag::new(), step).into_iter().for_each(|(row, weight)| add(&mut block.net, row, weight));
                self.blocks[who] = Some(block);
            }
            Step::Delete(_) | Step::Raise(_) => {
                let seen = with(&self.committed, &block.net);
                match &seen {
                    Some(seen) => changes(seen, step).into_iter().for_each(|(row, weight)| add(&mut block.net, row, weight)),
                    None => block.failed = true,
                }
                self.blocks[who] = Some(block);
                return if seen.is_some() { "" } else { "40001" };
            }
        }
        ""
    }

    /// What a session sees; `None` where it is told that it must not.
    fn seen(&self, who: usize) -> Option<Bag> {
        match &self.blocks[who] {
            None => Some(self.committed.clone()),
            Some(block) if block.failed => None,
            Some(block) => with(&self.committed, &block.net),
        }
    }
}

/// What a statement changes where these rows are.
fn changes(rows: &Bag, step: &Step) -> Bag {
    let mut changes = Bag::new();
    match step {
        Step::Insert(k, v) => add(&mut changes, (*k, *v), 1),
        Step::Delete(k) => rows.iter().filter(|((rk, _), _)| rk == k).for_each(|(row, weight)| add(&mut changes, *row, -weight)),
        Step::Raise(k) => rows.iter().filter(|((rk, _), _)| rk == k).for_each(|((k, v), weight)| {
            add(&mut changes, (*k, *v), -weight);
            add(&mut changes, (*k, v + 1), *weight);
        }),
        _ => {}
    }
    changes
}

fn sql(step: &Step) -> String {
    match step {
        Step::Begin => "BEGIN".to_owned(),
        Step::Commit => "COMMIT".to_owned(),
        Step::Rollback => "ROLLBACK".to_owned(),
        Step::Savepoint => "SAVEPOINT s".to_owned(),
        Step::Return => "ROLLBACK TO s".to_owned(),
        Step::Insert(k, v) => format!("INSERT INTO t VALUES ({k}, {v})"),
        Step::Delete(k) => format!("DELETE FROM t WHERE k = {k}"),
        Step::Raise(k) => format!("UPDATE t SET v = v + 1 WHERE k = {k}"),
    }
}

fn texts(bag: &Bag) -> Vec<String> {
    let rows = bag.iter().flat_map(|((k, v), weight)| (0..*weight).map(move |_| format!("{k}|{v}")));
    let mut texts = rows.collect::<Vec<_>>();
    texts.sort();
    texts
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(150))]

    #[test]
    fn two_sessions_see_what_a_model_of_them_sees(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let engine = Engine::builder().open().await.expect("an engine in memory opens");
            let observer = engine.session();
            run(&observer, "CREATE TABLE t (k int, v int); CREATE MATERIALIZED VIEW w AS SELECT k, v FROM t").await;
            let sessions = [engine.session(), engine.session()];
            let mut model = Model::default();
            for (who, step) in &steps {
                let code = sessions[*who].execute(&sql(step)).await.map_or_else(|e| e.code().to_owned(), |_| String::new());
                assert_eq!(code, model.step(*who, step), "{who} {step:?}");
                // A statement that reads would fail the block.
                if let Some(seen) = model.seen(*who) {
                    assert_eq!(rows(&sessions[*who], "SELECT * FROM t").await, texts(&seen), "{who} {step:?}");
                }
                assert_eq!(rows(&observer, "SELECT * FROM w").await, texts(&model.committed), "{who} {step:?}");
            }
        });
    }
}
