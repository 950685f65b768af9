//! A checkpoint is complete or invisible, whatever the store answers.

use refrain_checkpoint::faults::{Effect, Operation};
use refrain_checkpoint::{CommitOutcome, Contents};
use refrain_types::{CheckpointId, Epoch};

use crate::world::{Place, captured, checkpoint, committed, insert_all, logged, restored, upload};

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_read_back() {
    let place = Place::in_directory("answer");
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    place.faults.inject(Operation::Put, "manifest/", Effect::FailAfter);
    assert_eq!(committed(checkpoint(&opened, 10).await).id, CheckpointId(2));
    assert_eq!(restored(&place.open().await).await.unwrap(), Some(10));
}

#[tokio::test]
async fn a_put_that_failed_leaves_the_last_checkpoint_as_it_was() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    committed(checkpoint(&opened, 10).await);
    insert_all(&opened, [2]).await;
    place.faults.inject(Operation::Put, "manifest/", Effect::FailBefore);
    assert!(matches!(checkpoint(&opened, 20).await, CommitOutcome::Failed(_)));
    assert_eq!(restored(&place.open_reading().await).await.unwrap(), Some(10));
    // The next one takes its place, and carries what is missing.
    assert_eq!(committed(checkpoint(&opened, 30).await).id, CheckpointId(3));
    assert_eq!(restored(&place.open().await).await.unwrap(), Some(30));
}

#[tokio::test]
async fn a_put_that_nobody_knows_of_is_asked_about_again() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    for (effect, is_there) in [(Effect::FailAfter, true), (Effect::FailBefore, false)] {
        let attempt = opened.store.begin();
        let contents = upload(&attempt, &opened, 10).await.unwrap();
        place.faults.inject(Operation::Put, "manifest/", effect);
        place.faults.inject(Operation::Get, "manifest/", Effect::FailBefore);
        place.faults.inject(Operation::Get, "manifest/", Effect::ShortRead(100));
        assert!(matches!(attempt.commit(contents).await, CommitOutcome::Unknown(_)));
        if is_there {
            assert!(matches!(attempt.read_back().await, CommitOutcome::Unknown(_)), "half a manifest says nothing");
            committed(attempt.read_back().await);
        } else {
            assert!(matches!(attempt.read_back().await, CommitOutcome::Failed(_)));
        }
    }
}

/// Given up while its outcome was unknown, it turns out to have committed. Nothing of it was deleted, and the next attempt goes
/// behind it.
#[tokio::test]
async fn an_attempt_that_was_given_up_may_have_committed() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    place.faults.inject(Operation::Put, "manifest/", Effect::FailAfter);
    place.faults.inject(Operation::Get, "manifest/", Effect::FailBefore);
    assert!(matches!(checkpoint(&opened, 10).await, CommitOutcome::Unknown(_)));
    opened.store.collect_garbage(2).await.unwrap();
    let reader = place.open_reading().await;
    assert_eq!(restored(&reader).await.unwrap(), Some(10), "complete, though its writer does not know");
    insert_all(&opened, [2]).await;
    assert_eq!(committed(checkpoint(&opened, 20).await).id, CheckpointId(3));
    opened.store.collect_garbage(2).await.unwrap();
    assert_eq!(restored(&reader).await.unwrap(), Some(10), "it is one of the two that are retained");
    let opened = place.open().await;
    assert_eq!(restored(&opened).await.unwrap(), Some(20));
    assert_eq!(logged(&opened, captured(&opened)).await.unwrap(), [] as [i64; 0]);
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_confirmed_is_not_reported_as_complete() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    let attempt = opened.store.begin();
    let contents = upload(&attempt, &opened, 10).await.unwrap();
    place.faults.inject(Operation::List, "manifest", Effect::FailBefore);
    assert!(matches!(attempt.commit(contents).await, CommitOutcome::Unknown(_)));
    committed(attempt.read_back().await);
}

#[tokio::test]
async fn an_upload_that_fails_says_which_object() {
    let place = Place::in_memory();
    let opened = place.open().await;
    place.faults.inject(Operation::Put, "loop/", Effect::FailBefore);
    let attempt = opened.store.begin();
    let error = upload(&attempt, &opened, 1).await.unwrap_err();
    assert!(error.to_string().starts_with("could not write object \"loop/"), "{error}");
}

#[tokio::test]
#[should_panic(expected = "what a checkpoint holds was durable before it was visible")]
async fn a_checkpoint_ahead_of_the_input_log_is_a_bug_of_the_caller() {
    let place = Place::in_memory();
    let opened = place.open().await;
    drop(opened.store.begin().commit(Contents { epoch: Epoch(9), ..Contents::default() }).await);
}

#[tokio::test]
async fn an_attempt_that_is_asked_about_late_does_not_fence_its_own_writer() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    let early = opened.store.begin();
    let contents = upload(&early, &opened, 10).await.unwrap();
    place.faults.inject(Operation::Put, "manifest/", Effect::FailAfter);
    place.faults.inject(Operation::Get, "manifest/", Effect::FailBefore);
    assert!(matches!(early.commit(contents).await, CommitOutcome::Unknown(_)));
    committed(checkpoint(&opened, 20).await);
    assert_eq!(committed(early.read_back().await).id, CheckpointId(2));
    assert_eq!(committed(checkpoint(&opened, 30).await).id, CheckpointId(4));
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_read_back() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    place.faults.inject(Operation::Put, "segment/", Effect::FailAfter);
    place.faults.inject(Operation::Put, "loop/", Effect::FailAfter);
    committed(checkpoint(&opened, 10).await);
    assert_eq!(restored(&place.open().await).await.unwrap(), Some(10));
}
