//! A store does not grow for ever, and nothing goes that anybody may need.

use refrain_checkpoint::faults::{Effect, Operation};
use refrain_checkpoint::{CommitOutcome, Contents, SegmentKind};
use refrain_types::Epoch;

use crate::world::{Place, captured, checkpoint, committed, insert_all, logged, restored, rows, segment, upload};

#[tokio::test]
async fn two_checkpoints_are_retained_with_the_log_behind_the_older() {
    let place = Place::in_directory("retained");
    let opened = place.open().await;
    for number in 1..=20 {
        insert_all(&opened, [number]).await;
        committed(checkpoint(&opened, number).await);
        opened.store.collect_garbage(2).await.unwrap();
    }
    insert_all(&opened, [21]).await;
    assert_eq!(place.list("manifest").await.len(), 2);
    assert_eq!(place.list("segment").await.len(), 4);
    assert_eq!(place.list("loop").await.len(), 2);
    // A fence, the epoch that only the newer of the two has captured, and the one after it. The object right before these ends at
    // the captured epoch.
    assert_eq!(place.list("input").await.len(), 3);
    let opened = place.open().await;
    assert_eq!(restored(&opened).await.unwrap(), Some(20));
    assert_eq!(logged(&opened, captured(&opened)).await.unwrap(), [21]);
}

#[tokio::test]
async fn as_many_checkpoints_are_retained_as_are_asked_for_whatever_fences_are_among_them() {
    let place = Place::in_memory();
    for number in 1..=6 {
        // Each opening puts a fence, so checkpoints have even numbers.
        let opened = place.open().await;
        insert_all(&opened, [number]).await;
        assert_eq!(committed(checkpoint(&opened, number).await).id.0, 2 * number as u64);
        opened.store.collect_garbage(3).await.unwrap();
    }
    for (id, number) in [(8, 4), (10, 5), (12, 6)] {
        let opened = place.open_at(id).await.unwrap();
        assert_eq!(restored(&opened).await.unwrap(), Some(number));
        assert_eq!(logged(&opened, captured(&opened)).await.unwrap(), [0; 0], "what came later is not part of a checkpoint");
    }
    let gone = place.open_at(6).await.unwrap_err().to_string();
    assert!(gone.starts_with("checkpoint 6 is not in store") && gone.ends_with("there are 5 from 8 to 12"), "{gone}");
    assert_eq!(place.list("segment").await.len(), 3 * 2);
    // The log is kept behind the newer two of them.
    let input = place.list("input").await;
    let fence = input.iter().map(|(_, bytes)| *bytes).min();
    let oldest = input.into_iter().find(|(_, bytes)| Some(*bytes) > fence);
    assert!(oldest.unwrap().0.ends_with("12.arrow"), "epochs 11 and 12 are the fence and the statement of the last opening");
}

#[tokio::test]
async fn segments_that_a_later_checkpoint_still_names_stay() {
    let place = Place::in_memory();
    let opened = place.open().await;
    let mut contents = committed(checkpoint(&opened, 0).await).contents;
    for number in 1..=5 {
        let attempt = opened.store.begin();
        let change = attempt.write_segment(segment(SegmentKind::State, rows([number])), false).await.unwrap();
        contents.dataflows[0].operators[0].segments.push(change);
        contents.dataflows[0].loops[0].log.clear();
        contents.catalog = serde_json::json!({"number": number});
        committed(attempt.commit(contents.clone()).await);
        opened.store.collect_garbage(2).await.unwrap();
    }
    assert_eq!(place.list("segment").await.len(), 2 + 5);
    assert_eq!(place.list("loop").await.len(), 0);
    assert_eq!(restored(&place.open().await).await.unwrap(), Some(5));
}

#[tokio::test]
async fn what_an_aborted_attempt_wrote_goes_after_the_next_commit_and_not_before() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    // One fails in its commit, one is given up before, one has a segment that its manifest does not name.
    place.faults.inject(Operation::Put, "manifest/", Effect::FailBefore);
    assert!(matches!(checkpoint(&opened, 1).await, CommitOutcome::Failed(_)));
    upload(&opened.store.begin(), &opened, 2).await.unwrap();
    opened.store.collect_garbage(2).await.unwrap();
    assert_eq!(place.list("segment").await.len(), 2, "only what was surely never named may go before the next commit");
    let attempt = opened.store.begin();
    attempt.write_segment(segment(SegmentKind::State, rows([0])), true).await.unwrap();
    let contents = upload(&attempt, &opened, 3).await.unwrap();
    committed(attempt.commit(contents).await);
    let collected = opened.store.collect_garbage(2).await.unwrap();
    assert_eq!(collected.segments, 3 + 1);
    assert_eq!((place.list("segment").await.len(), place.list("loop").await.len()), (2, 1));
    assert_eq!(restored(&place.open().await).await.unwrap(), Some(3));
}

#[tokio::test]
async fn what_a_killed_writer_left_is_swept_at_the_next_opening() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, [1]).await;
    committed(checkpoint(&opened, 1).await);
    let attempt = opened.store.begin();
    upload(&attempt, &opened, 2).await.unwrap();
    std::mem::forget(attempt);
    let opened = place.open().await;
    assert_eq!(opened.swept.as_ref().unwrap().segments, 3);
    assert_eq!(restored(&opened).await.unwrap(), Some(1));
    assert_eq!((place.list("segment").await.len(), place.list("loop").await.len()), (2, 1));
}

#[tokio::test]
async fn a_run_that_fails_is_continued_by_the_next() {
    let place = Place::in_memory();
    let opened = place.open().await;
    for number in 1..=3 {
        insert_all(&opened, [number]).await;
        committed(checkpoint(&opened, number).await);
    }
    place.faults.inject(Operation::Delete, "segment/", Effect::FailBefore);
    opened.store.collect_garbage(2).await.unwrap_err();
    opened.store.collect_garbage(2).await.unwrap();
    assert_eq!((place.list("segment").await.len(), place.list("loop").await.len()), (4, 2));
    assert_eq!(restored(&place.open().await).await.unwrap(), Some(3));
}

#[tokio::test]
async fn fences_of_the_input_log_stay() {
    let place = Place::in_memory();
    for _ in 0..5 {
        let opened = place.open().await;
        insert_all(&opened, 1..=3).await;
        let contents = Contents { epoch: opened.input_log.as_ref().unwrap().durable_epoch(), ..Contents::default() };
        for _ in 0..2 {
            committed(opened.store.begin().commit(contents.clone()).await);
        }
        opened.store.collect_garbage(2).await.unwrap();
    }
    // The last object stays too: it says where the log ends.
    assert_eq!(place.list("input").await.len(), 5 + 1);
    let opened = place.open().await;
    assert_eq!(opened.next_epoch, Epoch(22));
    assert_eq!(logged(&opened, captured(&opened)).await.unwrap(), [] as [i64; 0]);
}
