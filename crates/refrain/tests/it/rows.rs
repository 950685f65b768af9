//! Rows as the tests compare them.

use futures::StreamExt;
use refrain::{Engine, Error, Outcome, Session, Subscription, display};

/// An engine in memory with a session.
pub(crate) async fn memory() -> Session {
    Engine::builder().open().await.expect("an engine in memory opens").session()
}

/// Rows as texts, sorted; NULL is `NULL`.
pub(crate) async fn rows(session: &Session, sql: &str) -> Vec<String> {
    let mut rows = rows_in_order(session, sql).await;
    rows.sort();
    rows
}

/// Rows as texts.
pub(crate) async fn rows_in_order(session: &Session, sql: &str) -> Vec<String> {
    let batches = session.query(sql).await.unwrap_or_else(|e| panic!("{sql}: {} {e}", e.code()));
    let texts = batches.iter().flat_map(display::rows);
    texts.map(|row| row.into_iter().map(|v| v.unwrap_or_else(|| "NULL".to_owned())).collect::<Vec<_>>().join("|")).collect()
}

/// Runs statements; the tag of the last.
pub(crate) async fn run(session: &Session, sql: &str) -> String {
    let outcomes = session.execute_script(sql).await.unwrap_or_else(|e| panic!("{sql}: {} {e}", e.code()));
    match outcomes.into_iter().last() {
        Some(Outcome::Done { tag }) => tag,
        other => panic!("not done: {other:?}"),
    }
}

/// The next event of a subscription: weight and row each, sorted, or `progress`.
pub(crate) async fn next(subscription: &mut Subscription) -> Vec<String> {
    let event = subscription.next().await.expect("the stream goes on").expect("no error");
    if event.progress {
        return vec!["progress".to_owned()];
    }
    let rows = display::rows(&event.rows).into_iter().zip(&event.weights);
    let mut texts =
        rows.map(|(r, w)| format!("{w:+} {}", r.into_iter().flatten().collect::<Vec<_>>().join("|"))).collect::<Vec<_>>();
    texts.sort();
    texts
}

/// The error of a statement.
pub(crate) async fn error(session: &Session, sql: &str) -> Error {
    match session.execute(sql).await {
        Ok(outcome) => panic!("{sql} succeeded: {outcome:?}"),
        Err(error) => error,
    }
}
