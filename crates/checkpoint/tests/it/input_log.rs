//! Appending: grouped, in order, and never past a failure.

use refrain_checkpoint::faults::{Effect, Gate, Operation};
use refrain_checkpoint::{Appended, Error, Opened};
use refrain_types::Epoch;

use crate::world::{Place, checkpoint, committed, insert, insert_all, logged};

fn append(opened: &Opened, number: i64) -> Result<Appended, Error> {
    let log = opened.input_log.as_ref().unwrap();
    log.append(&[insert(log.next_epoch(), number)])
}

/// Statements that come while an object is on its way share the next one.
#[tokio::test]
async fn statements_are_grouped() {
    let place = Place::in_memory();
    let opened = place.open().await;
    let gate = Gate::default();
    place.faults.inject(Operation::Put, "input/", Effect::Delay(gate.clone()));
    let first = append(&opened, 1).unwrap();
    gate.arrival().await;
    let rest: Vec<_> = (2..=100).map(|n| append(&opened, n).unwrap()).collect();
    assert_eq!(opened.input_log.as_ref().unwrap().durable_epoch(), Epoch(1), "nothing is durable yet");
    gate.open();
    first.await.unwrap();
    futures::future::try_join_all(rest).await.unwrap();
    assert_eq!(place.list("input").await.len(), 3, "a fence, one alone, and all the others together");
    assert_eq!(logged(&place.open().await, Epoch(0)).await.unwrap(), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_statement_that_is_cancelled_leaves_no_hole() {
    let place = Place::in_directory("cancelled");
    let opened = place.open().await;
    drop(append(&opened, 1).unwrap());
    append(&opened, 2).unwrap().await.unwrap();
    assert_eq!(logged(&place.open().await, Epoch(0)).await.unwrap(), [1, 2]);
}

/// What fails is put again, and what came meanwhile waits behind it. Nothing is lost and nothing is there twice.
#[tokio::test]
async fn a_failed_put_is_tried_again() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    let log = opened.input_log.as_ref().unwrap();
    place.faults.set_down(true);
    let first = append(&opened, 2).unwrap();
    let error = loop {
        tokio::task::yield_now().await;
        if let Some(error) = log.stuck().and_then(|stuck| stuck.error) {
            break error;
        }
    };
    assert!(error.to_string().starts_with("could not read object \"input/00000000000000000003.arrow\": "), "{error}");
    let second = append(&opened, 3).unwrap();
    assert_eq!(log.durable_epoch(), Epoch(2));
    place.faults.set_down(false);
    place.faults.inject(Operation::Put, "input/", Effect::FailAfter);
    place.faults.inject(Operation::Get, "input/", Effect::FailBefore);
    first.await.unwrap();
    second.await.unwrap();
    assert!(log.stuck().is_none());
    insert_all(&opened, [4]).await;
    assert_eq!(logged(&place.open().await, Epoch(0)).await.unwrap(), [1, 2, 3, 4]);
}

/// Who gives the log up while the store fails learns that nobody knows, and the next opening finds out.
#[tokio::test]
async fn an_abandoned_log_is_poisoned() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    place.faults.inject(Operation::Put, "input/", Effect::FailAfter);
    place.faults.inject(Operation::Get, "input/", Effect::FailBefore);
    let gate = Gate::default();
    place.faults.inject(Operation::Put, "input/", Effect::Delay(gate.clone()));
    place.faults.inject(Operation::Get, "input/", Effect::FailBefore);
    let first = append(&opened, 2).unwrap();
    gate.arrival().await;
    let behind = append(&opened, 3).unwrap();
    opened.input_log.as_ref().unwrap().abandon();
    gate.open();
    let error = first.await.unwrap_err();
    assert!(error.to_string().starts_with("could not read object \"input/00000000000000000003.arrow\": "), "{error}");
    assert!(matches!(behind.await, Err(Error::Poisoned { .. })));
    let error = append(&opened, 4).unwrap_err();
    assert!(matches!(&error, Error::Poisoned { reason } if reason.contains("input/00000000000000000003.arrow")), "{error}");
    // What is durable can still be captured, and the next opening goes on.
    committed(checkpoint(&opened, 20).await);
    let opened = place.open().await;
    insert_all(&opened, [5]).await;
    assert_eq!(logged(&place.open().await, Epoch(0)).await.unwrap(), [1, 2, 5]);
}

/// The answer was lost, the object was not: it is read back and recognised.
#[tokio::test]
async fn an_unclear_put_that_took_effect_is_durable() {
    let place = Place::in_directory("unclear");
    let opened = place.open().await;
    place.faults.inject(Operation::Put, "input/", Effect::FailAfter);
    insert_all(&opened, 1..=2).await;
    assert_eq!(place.faults.pending(), 0);
    assert_eq!(logged(&place.open().await, Epoch(0)).await.unwrap(), [1, 2]);
}

/// Nobody knew for a while: it is put once more, found to be there, and is there once.
#[tokio::test]
async fn an_unclear_put_that_cannot_be_read_back_is_there_once() {
    for effect in [Effect::FailBefore, Effect::ShortRead(60), Effect::BitFlip(60)] {
        let place = Place::in_memory();
        let opened = place.open().await;
        place.faults.inject(Operation::Put, "input/", Effect::FailAfter);
        place.faults.inject(Operation::Get, "input/", effect);
        insert_all(&opened, 1..=2).await;
        assert_eq!(place.faults.pending(), 0);
        assert_eq!(logged(&place.open().await, Epoch(0)).await.unwrap(), [1, 2]);
    }
}

#[tokio::test]
#[should_panic(expected = "the epochs of the input log are contiguous, and 3 does not follow 1")]
async fn a_gap_is_a_bug_of_the_caller() {
    let place = Place::in_memory();
    let opened = place.open().await;
    drop(opened.input_log.as_ref().unwrap().append(&[insert(Epoch(3), 1)]));
}
