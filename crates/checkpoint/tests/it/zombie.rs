//! Never two writers: whoever was there before stops, wherever it was.

use refrain_checkpoint::faults::{Effect, Gate, Operation};
use refrain_checkpoint::{CommitOutcome, Error};
use refrain_types::Generation;

use crate::world::{Place, captured, checkpoint, committed, insert, insert_all, logged, restored, upload};

fn fenced(outcome: CommitOutcome) -> Error {
    match outcome {
        CommitOutcome::Fenced(error) => error,
        other => panic!("{other:?}"),
    }
}

async fn stops_between_upload_and_commit(place: Place) {
    let zombie = place.open().await;
    insert_all(&zombie, 1..=2).await;
    let attempt = zombie.store.begin();
    let contents = upload(&attempt, &zombie, 20).await.unwrap();
    let successor = place.open().await;
    assert_eq!(successor.swept.as_ref().unwrap().segments, 3, "what the zombie uploaded nobody will ever name");
    insert_all(&successor, [3]).await;
    let error = fenced(attempt.commit(contents).await);
    let words = "the store has been taken over by another writer (generation 2), \
                 found at object \"manifest/00000000000000000002.json\"";
    assert_eq!(error.to_string(), words);
    assert!(zombie.store.fenced().is_some_and(|e| e.is_fenced()));
    // Once fenced, nothing is even tried.
    let log = zombie.input_log.as_ref().unwrap();
    assert!(log.append(&[insert(log.next_epoch(), 9)]).unwrap_err().is_fenced());
    assert!(zombie.store.collect_garbage(2).await.unwrap_err().is_fenced());
    assert!(fenced(checkpoint_without_upload(&zombie).await).is_fenced());
    committed(checkpoint(&successor, 30).await);
    let opened = place.open().await;
    assert_eq!(restored(&opened).await.unwrap(), Some(30));
}

async fn checkpoint_without_upload(opened: &refrain_checkpoint::Opened) -> CommitOutcome {
    opened.store.begin().commit(refrain_checkpoint::Contents::default()).await
}

#[tokio::test]
async fn stops_between_upload_and_commit_in_memory() {
    stops_between_upload_and_commit(Place::in_memory()).await;
}

#[tokio::test]
async fn stops_between_upload_and_commit_in_a_directory() {
    stops_between_upload_and_commit(Place::in_directory("zombie")).await;
}

#[tokio::test]
async fn its_next_statement_is_not_acknowledged() {
    let place = Place::in_memory();
    let zombie = place.open().await;
    insert_all(&zombie, 1..=2).await;
    let successor = place.open().await;
    insert_all(&successor, [3]).await;
    let log = zombie.input_log.as_ref().unwrap();
    let error = log.append(&[insert(log.next_epoch(), 9)]).unwrap().await.unwrap_err();
    assert!(matches!(error, Error::Fenced { generation: Generation(2), .. }), "{error}");
    assert!(fenced(checkpoint_without_upload(&zombie).await).is_fenced(), "neither is its checkpoint");
    insert_all(&successor, [4]).await;
    assert_eq!(logged(&place.open().await, refrain_types::Epoch(0)).await.unwrap(), [1, 2, 3, 4]);
}

/// The put of a statement overtakes the fence: it is in the log, and its successor has read it.
#[tokio::test]
async fn what_it_still_gets_in_is_not_lost() {
    let place = Place::in_memory();
    let zombie = place.open().await;
    insert_all(&zombie, [1]).await;
    let gate = Gate::default();
    place.faults.inject(Operation::Put, "input/", Effect::Delay(gate.clone()));
    let opening = tokio::spawn({
        let (location, environment) = (place.location.clone(), place.environment.clone());
        async move { refrain_checkpoint::Store::open_at(location, environment, refrain_checkpoint::Mode::Write).await }
    });
    gate.arrival().await;
    insert_all(&zombie, 2..=3).await;
    gate.open();
    let successor = opening.await.unwrap().unwrap();
    assert_eq!(logged(&successor, captured(&successor)).await.unwrap(), [1, 2, 3]);
    insert_all(&successor, [4]).await;
    let log = zombie.input_log.as_ref().unwrap();
    assert!(log.append(&[insert(log.next_epoch(), 9)]).unwrap().await.unwrap_err().is_fenced());
}

/// It slept for so long that its places in both sequences would have been collected.
#[tokio::test]
async fn it_may_sleep_for_as_long_as_it_likes() {
    let place = Place::in_memory();
    let (by_commit, successor_of) = (place.open().await, 2);
    insert_all(&by_commit, [1]).await;
    let attempt = by_commit.store.begin();
    let contents = upload(&attempt, &by_commit, 10).await.unwrap();
    let successor = place.open().await;
    assert_eq!(successor.generation, Generation(successor_of));
    for number in 2..=6 {
        insert_all(&successor, [number]).await;
        committed(checkpoint(&successor, number).await);
        successor.store.collect_garbage(2).await.unwrap();
    }
    assert!(!place.list("manifest").await.iter().any(|(name, _)| name.ends_with("02.json")), "the fence manifest is gone");
    let log = by_commit.input_log.as_ref().unwrap();
    let append = log.append(&[insert(log.next_epoch(), 9)]).unwrap();
    // The commit must not learn it from the append.
    assert!(fenced(attempt.commit(contents).await).is_fenced());
    assert!(append.await.unwrap_err().is_fenced());
    insert_all(&successor, [7]).await;
    committed(checkpoint(&successor, 7).await);
    successor.store.collect_garbage(2).await.unwrap();
    let opened = place.open().await;
    assert_eq!(restored(&opened).await.unwrap(), Some(7));
    assert_eq!(logged(&opened, captured(&opened)).await.unwrap(), [] as [i64; 0]);
}

#[tokio::test]
async fn of_many_that_open_at_once_one_can_write() {
    let place = Place::in_directory("many");
    let openings = futures::future::join_all((0..8).map(|_| place.try_open())).await;
    let mut writers = 0;
    for opening in openings {
        match opening {
            Ok(opened) => {
                let log = opened.input_log.as_ref().unwrap();
                writers += u32::from(log.append(&[insert(log.next_epoch(), 1)]).unwrap().await.is_ok());
            }
            Err(error) => assert!(error.is_fenced(), "{error}"),
        }
    }
    assert!(writers <= 1, "{writers} writers");
    let last = place.open().await;
    assert_eq!(logged(&last, refrain_types::Epoch(0)).await.unwrap().len() as u32, writers);
}
