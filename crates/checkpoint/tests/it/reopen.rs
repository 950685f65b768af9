//! Whatever was acknowledged is there after a kill.

use std::sync::Arc;

use refrain_checkpoint::{InputChange, InputRecord, Mode, Store};
use refrain_types::{Epoch, Generation};

use crate::world::{Place, captured, checkpoint, committed, insert, insert_all, logged, restored};

async fn survives(place: Place) {
    let first = place.open().await;
    assert_eq!((first.generation, first.next_epoch), (Generation(1), Epoch(2)));
    assert!(first.manifest.is_none());
    insert_all(&first, 1..=3).await;
    drop(first);

    let second = place.open().await;
    assert_eq!(second.generation, Generation(2));
    assert_eq!(logged(&second, Epoch(0)).await.unwrap(), [1, 2, 3], "before the first checkpoint nothing is lost");
    insert_all(&second, 4..=5).await;
    let manifest = committed(checkpoint(&second, 50).await);
    assert_eq!(manifest.fence_of, None);
    insert_all(&second, 6..=7).await;
    drop(second);

    for generation in 3..6 {
        let opened = place.open().await;
        assert_eq!(opened.generation, Generation(generation));
        assert_eq!(restored(&opened).await.unwrap(), Some(50));
        assert_eq!(opened.manifest.as_ref().unwrap().fence_of, Some(manifest.id));
        assert_eq!(captured(&opened), manifest.contents.epoch);
        assert_eq!(logged(&opened, captured(&opened)).await.unwrap(), [6, 7]);
        assert_eq!(opened.input_log.as_ref().unwrap().next_epoch(), opened.next_epoch);
    }
}

#[tokio::test]
async fn in_memory() {
    survives(Place::in_memory()).await;
}

#[tokio::test]
async fn in_a_directory() {
    survives(Place::in_directory("survives")).await;
}

#[tokio::test]
async fn reading_writes_nothing_and_fences_nobody() {
    let place = Place::in_memory();
    assert!(place.open_reading().await.manifest.is_none());
    assert!(place.list("").await.is_empty());
    let writer = place.open().await;
    insert_all(&writer, 1..=2).await;
    committed(checkpoint(&writer, 20).await);
    insert_all(&writer, [3]).await;
    let before = place.list("").await;
    let reader = place.open_reading().await;
    assert_eq!(restored(&reader).await.unwrap(), Some(20));
    assert_eq!(logged(&reader, captured(&reader)).await.unwrap(), [3]);
    assert!(reader.input_log.is_none());
    assert_eq!(place.list("").await, before);
    insert_all(&writer, [4]).await;
}

#[tokio::test]
async fn a_named_store_in_memory_is_shared_and_a_private_one_is_not() {
    let environment = Arc::clone(&Place::in_memory().environment);
    let open = async |url: &str| Store::open(url, environment.clone(), Mode::Write).await.unwrap();
    insert_all(&open("memory://shared-by-a-test").await, [1]).await;
    assert_eq!(logged(&open("memory://shared-by-a-test").await, Epoch(0)).await.unwrap(), [1]);
    let private = open("memory://").await;
    insert_all(&private, 1..=100).await;
    assert_eq!(private.input_log.as_ref().unwrap().durable_epoch(), Epoch(101));
    committed(checkpoint(&private, 1).await);
    assert_eq!(open("memory://").await.next_epoch, Epoch(2));
}

#[tokio::test]
async fn ddl_and_the_records_of_one_statement_keep_their_order() {
    let place = Place::in_memory();
    let opened = place.open().await;
    let ddl = InputRecord { epoch: Epoch(2), change: InputChange::Ddl("{\"create\": \"t\"}".into()) };
    let statement = [ddl, insert(Epoch(2), 1), insert(Epoch(3), 2)];
    opened.input_log.as_ref().unwrap().append(&statement).unwrap().await.unwrap();
    let opened = place.open().await;
    let mut reader = opened.store.read_input(Epoch(0), opened.next_epoch);
    for expected in statement {
        assert_eq!(reader.next().await.unwrap().unwrap(), expected);
    }
    assert_eq!(reader.next().await.unwrap(), None);
    let mut from_the_middle = opened.store.read_input(Epoch(2), opened.next_epoch);
    assert_eq!(from_the_middle.next().await.unwrap().unwrap(), insert(Epoch(3), 2));
}
