use crate::{Engine, TransactionStatus};

#[tokio::test]
async fn a_panic_fails_the_statement_and_its_block() {
    let engine = Engine::builder().open().await.expect("an engine in memory opens");
    let session = engine.session();
    session.execute("BEGIN").await.expect("a block begins");
    let error = session.in_block(session.limited::<()>(async { panic!("there is no plan") })).await.expect_err("it panics");
    assert_eq!((error.code(), error.message()), ("XX000", "internal error: there is no plan"));
    assert_eq!(session.transaction_status(), TransactionStatus::Failed);
    session.execute("ROLLBACK").await.expect("the session goes on");
    assert_eq!(session.query("SELECT 1").await.expect("a query runs").len(), 1);
}
