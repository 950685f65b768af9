use refrain_checkpoint::{Mode, Store};

use super::*;
use crate::Engine;
use crate::environment::SystemEnvironment;

/// A view for each kind of state.
const VIEWS: [(&str, &str); 6] = [
    ("reach", "WITH RECURSIVE t(a, b) AS (SELECT a, b FROM e UNION SELECT t.a, e.b FROM t JOIN e ON t.b = e.a) SELECT * FROM t"),
    ("walks", "WITH RECURSIVE t(a, n) AS (SELECT a, 1 FROM e UNION ALL SELECT a, n + 1 FROM t WHERE n < 5) SELECT * FROM t"),
    (
        "pairs",
        "WITH MUTUALLY RECURSIVE t (a INT, b INT) AS (SELECT a, b FROM e UNION SELECT l.a, r.b FROM t l JOIN t r ON l.b = r.a) SELECT * FROM t",
    ),
    ("counts", "SELECT a, count(*), sum(b) FROM e GROUP BY a"),
    ("most", "SELECT DISTINCT l.a, max(r.b) FROM e l JOIN e r ON l.b = r.a GROUP BY l.a"),
    ("first", "SELECT a, row_number() OVER (ORDER BY b) FROM e ORDER BY b LIMIT 3"),
];

/// No plan here has so many operators.
const NOWHERE: OperatorId = OperatorId(999);

#[tokio::test]
async fn what_a_checkpoint_lacks_or_has_too_much_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().display().to_string();
    let engine = Engine::builder().store(url.as_str()).open().await.unwrap();
    let session = engine.session();
    session.execute("CREATE TABLE e (a INT, b INT)").await.unwrap();
    session.execute("INSERT INTO e VALUES (1, 2), (2, 3), (3, 1)").await.unwrap();
    for (name, query) in VIEWS {
        session.execute(&format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await.unwrap();
    }
    session.execute("CHECKPOINT").await.unwrap();
    let manifest = Store::open(&url, SystemEnvironment::shared(), Mode::Read).await.unwrap().manifest.unwrap();
    let error = async |take: &dyn Fn(&mut Contents)| {
        let mut lacking = manifest.clone();
        take(&mut lacking.contents);
        restore(&engine.0, lacking, None).await.unwrap_err().to_string()
    };

    let mut taken = 0;
    for (view, dataflow) in manifest.contents.dataflows.iter().enumerate() {
        for (i, operator) in dataflow.operators.iter().enumerate() {
            let message = error(&|contents| drop(contents.dataflows[view].operators.remove(i))).await;
            let wanted = format!("operator {} ({}, {}) of view", operator.operator, operator.name, operator.part);
            assert!(message.contains(&wanted) && message.contains(&dataflow.name), "{message} for {wanted}");
            taken += 1;
            let unknown = error(&|contents| "nonsense".clone_into(&mut contents.dataflows[view].operators[i].part)).await;
            assert!(unknown.contains("there is no part \"nonsense\"") && unknown.contains(&dataflow.name), "{unknown}");
            let unknown = error(&|contents| contents.dataflows[view].operators[i].operator = NOWHERE).await;
            assert!(unknown.contains("the plan has no such state") && unknown.contains(&dataflow.name), "{unknown}");
        }
        for i in 0..dataflow.loops.len() {
            let unknown = error(&|contents| contents.dataflows[view].loops[i].operator = NOWHERE).await;
            assert!(unknown.contains("the plan has no such loop") && unknown.contains(&dataflow.name), "{unknown}");
            let message = error(&|contents| drop(contents.dataflows[view].loops.remove(i))).await;
            assert!(message.contains("log) of view") && message.contains(&dataflow.name), "{message}");
            taken += 1;
        }
        let message = error(&|contents| drop(contents.dataflows.remove(view))).await;
        assert!(message.contains("does not hold the state of view") && message.contains(&dataflow.name), "{message}");
    }
    assert!(taken >= 3 * VIEWS.len() - 4, "{taken} parts");
    for (i, relation) in manifest.contents.relations.iter().enumerate() {
        let message = error(&|contents| drop(contents.relations.remove(i))).await;
        let what = if relation.name == "e" { "table" } else { "the rows of view" };
        assert!(message.contains(&format!("does not hold {what} \"{}\"", relation.name)), "{message}");
    }
}
