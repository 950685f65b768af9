//! A checkpoint as the beginning of another store.

use refrain_checkpoint::faults::{Effect, Operation};
use refrain_checkpoint::{Error, Forked, fork};
use refrain_types::{CheckpointId, Epoch};

use crate::world::{Place, captured, checkpoint, committed, insert_all, logged, restored};

/// A store with checkpoints 2, 3 and 4, which hold 1, 2 and 3, and with a statement behind them.
async fn source() -> Place {
    let place = Place::in_memory();
    let opened = place.open().await;
    for number in 1..=3 {
        insert_all(&opened, [number]).await;
        committed(checkpoint(&opened, number).await);
    }
    insert_all(&opened, [4]).await;
    place
}

async fn fork_of(source: &Place, target: &Place, id: Option<u64>) -> Result<Forked, Error> {
    fork(&source.location, &target.location, id.map(CheckpointId), target.environment.as_ref()).await
}

#[tokio::test]
async fn a_fork_goes_on_from_its_checkpoint_and_neither_store_sees_the_other() {
    let (source, target) = (source().await, Place::in_memory());
    let forked = fork_of(&source, &target, Some(3)).await.unwrap();
    assert_eq!((forked.checkpoint, forked.objects), (CheckpointId(3), 3));
    let opened = target.open().await;
    assert_eq!(restored(&opened).await.unwrap(), Some(2));
    assert_eq!(logged(&opened, captured(&opened)).await.unwrap(), [0; 0]);
    insert_all(&opened, [10, 11]).await;
    committed(checkpoint(&opened, 11).await);
    insert_all(&opened, [12]).await;
    let opened = target.open().await;
    assert_eq!(restored(&opened).await.unwrap(), Some(11));
    assert_eq!(logged(&opened, captured(&opened)).await.unwrap(), [12]);
    let opened = source.open().await;
    assert_eq!(restored(&opened).await.unwrap(), Some(3));
    assert_eq!(logged(&opened, captured(&opened)).await.unwrap(), [4]);
}

#[tokio::test]
async fn the_newest_checkpoint_is_forked_if_none_is_named_also_from_a_fence() {
    let (source, target) = (source().await, Place::in_directory("forked"));
    source.open().await;
    let forked = fork_of(&source, &target, None).await.unwrap();
    assert_eq!(forked.checkpoint, CheckpointId(5));
    let opened = target.open().await;
    assert_eq!((restored(&opened).await.unwrap(), captured(&opened)), (Some(3), Epoch(4)));
}

#[tokio::test]
async fn a_fork_that_was_interrupted_is_no_store_and_may_be_tried_again() {
    let (source, target) = (source().await, Place::in_memory());
    for folder in ["segment/", "loop/", "manifest/"] {
        target.faults.inject(Operation::Put, folder, Effect::FailBefore);
        fork_of(&source, &target, Some(4)).await.unwrap_err();
        assert_eq!(target.list("manifest").await.len(), 0);
    }
    fork_of(&source, &target, Some(4)).await.unwrap();
    assert_eq!(restored(&target.open().await).await.unwrap(), Some(3));
}

#[tokio::test]
async fn a_store_in_use_is_not_forked_over() {
    let (source, target) = (source().await, Place::in_memory());
    target.open().await;
    let refused = fork_of(&source, &target, Some(4)).await.unwrap_err().to_string();
    assert!(refused.ends_with("a fork begins in an empty store, and this one is not"), "{refused}");
    assert_eq!(target.list("segment").await.len(), 0);
}

#[tokio::test]
async fn what_is_not_whole_is_not_forked() {
    let source = source().await;
    let empty = Place::in_memory();
    let none = fork_of(&empty, &Place::in_memory(), None).await.unwrap_err().to_string();
    assert!(none.ends_with("it has no checkpoint to be forked"), "{none}");
    for id in [1, 9] {
        let none = fork_of(&source, &Place::in_memory(), Some(id)).await.unwrap_err();
        assert!(matches!(none, Error::NoCheckpoint { .. }), "{none}");
    }
    let (name, _) = source.list("segment").await.remove(0);
    let mut bytes = source.read(&name).await;
    *bytes.last_mut().unwrap() ^= 1;
    source.overwrite(&name, bytes).await;
    let mut named = 0;
    for id in 2..=4 {
        let target = Place::in_memory();
        if let Err(error) = fork_of(&source, &target, Some(id)).await {
            assert!(matches!(&error, Error::Damaged { object, .. } if *object == name), "{error}");
            assert_eq!(target.list("manifest").await.len(), 0);
            named += 1;
        }
    }
    assert_eq!(named, 1, "the segment is of one checkpoint");
}
