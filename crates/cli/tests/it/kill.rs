//! SIGKILL at random moments, by a seed: what was acknowledged is there after reopening, the statement in flight wholly or not at all,
//! and the views equal a recomputation from the tables.

mod model;

use model::{Model, Random};

use crate::process::Process;

const KILLS: usize = 50;
const SEED: u64 = 7;
/// Statements between two kills, at most.
const STATEMENTS_MAX: usize = 8;
/// Busy waiting before a kill, at most: from before the statement is parsed until well after it is acknowledged.
const SPINS_MAX: usize = 400_000;

const SCHEMA: &str = "
CREATE TABLE edge (a int, b int);
CREATE TABLE link (a int, b int);
CREATE MATERIALIZED VIEW reach AS WITH RECURSIVE r(a, b) AS (
    SELECT a, b FROM edge UNION SELECT r.a, e.b FROM r JOIN edge e ON r.b = e.a) SELECT a, b FROM r;
CREATE MATERIALIZED VIEW chain AS WITH RECURSIVE c(n) AS (
    SELECT b FROM link WHERE a = 0 UNION SELECT l.b FROM c JOIN link l ON l.a = c.n) SELECT n FROM c;
CREATE MATERIALIZED VIEW degree AS SELECT a, count(*) AS n FROM edge GROUP BY a;
";

/// Tables and views as a process shows them, against the model.
fn check(process: &mut Process, candidates: &[Model], round: usize) -> Model {
    let edge = process.pairs("SELECT a, b FROM edge");
    let link = process.pairs("SELECT a, b FROM link");
    let found = candidates.iter().find(|model| model.edge == edge && model.link == link);
    let model = found.unwrap_or_else(|| panic!("round {round}: the tables are neither with nor without the statement in flight"));
    assert_eq!(process.pairs("SELECT a, b FROM reach"), model.reach(), "round {round}: reach");
    assert_eq!(process.pairs("SELECT n, 0 FROM chain"), model.chain(), "round {round}: chain");
    assert_eq!(process.pairs("SELECT a, n FROM degree"), model.degree(), "round {round}: degree");
    model.clone()
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut random = Random::new(SEED);
    let mut process = Process::start(folder.path(), 1);
    process.run(SCHEMA);
    let mut candidates = vec![Model::default()];
    for round in 0..KILLS {
        let mut model = check(&mut process, &candidates, round);
        // In half of the rounds checkpoints are taken all the time beneath the statements.
        if random.one_in(2) {
            process.run("SET checkpoint_interval_ms = 20");
        }
        for _ in 0..random.below(STATEMENTS_MAX) {
            let statement = model.statement(&mut random);
            process.run(&statement.sql);
            model.apply(&statement);
        }
        let last = model.statement(&mut random);
        let acknowledged = process.kill_during(&last.sql, random.below(SPINS_MAX));
        let before = model.clone();
        model.apply(&last);
        candidates = if acknowledged { vec![model] } else { vec![before, model] };
        process = Process::start(folder.path(), 1 + random.below(3));
    }
    check(&mut process, &candidates, KILLS);
}

#[test]
fn an_endless_recursion_goes_on_where_it_was_checkpointed() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut process = Process::start(folder.path(), 1);
    process.run(
        "CREATE MATERIALIZED VIEW nat AS WITH RECURSIVE t(n) AS (SELECT 1::bigint UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
    );
    process.run("SET reads = 'eager'");
    let largest = |process: &mut Process| {
        let agree = process.pairs("SELECT count(*) - coalesce(max(n), 0), count(DISTINCT n) - coalesce(max(n), 0) FROM nat");
        assert_eq!(agree, [(0, 0)], "an eager read sees a prefix of the numbers, each once");
        process.pairs("SELECT coalesce(max(n), 0), 0 FROM nat")[0].0
    };
    while largest(&mut process) < 1_000 {}
    process.run("CHECKPOINT");
    process.kill_during("SELECT 1", 0);
    // Where the checkpoint is says the store itself; a recursion that began anew would be below it.
    let inspected = crate::refrain(&["--format", "json", "inspect", folder.path().to_str().expect("the path is UTF-8")]);
    assert_eq!(inspected.code, 0, "{}", inspected.err);
    let line = inspected.out.lines().find(|line| line.contains("\"iteration\"")).expect("the checkpoint has a loop");
    let iteration = serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON")["iteration"].as_i64();
    let iteration = iteration.expect("an iteration is a number");
    assert!(iteration >= 999, "the checkpoint is of iteration {iteration}");
    let mut process = Process::start(folder.path(), 2);
    process.run("SET reads = 'eager'");
    assert!(largest(&mut process) >= iteration, "it goes on from there");
    process.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1); DROP MATERIALIZED VIEW nat");
    assert_eq!(process.pairs("SELECT a, 0 FROM t"), [(1, 0)]);
}
