//! Missing, short, unknown or corrupt state is an error that names the object and who uses it; it is never "empty".

use refrain_checkpoint::faults::{Effect, Operation};
use refrain_checkpoint::{Damage, Error, Opened};
use refrain_types::Epoch;

use crate::world::{Place, captured, checkpoint, committed, insert_all, logged, restored};

async fn with_a_checkpoint(place: &Place) -> Opened {
    let opened = place.open().await;
    insert_all(&opened, 1..=2).await;
    committed(checkpoint(&opened, 20).await);
    insert_all(&opened, 3..=5).await;
    opened
}

#[tokio::test]
async fn segments() {
    let place = Place::in_directory("segments");
    let opened = with_a_checkpoint(&place).await;
    let manifest = place.open_reading().await.manifest.unwrap();
    let operator = &manifest.contents.dataflows[0].operators[0];
    let (segment, used_by) = (&operator.segments[0], manifest.contents.dataflows[0].used_by_operator(operator));
    assert_eq!(used_by, "operator 3 (distinct, emissions) of view \"v\"");
    let read = || opened.store.read_segment(segment, &used_by);
    let whole = place.read(&segment.name).await;

    place.faults.inject(Operation::Get, "segment/", Effect::ShortRead(whole.len() - 1));
    let error = read().await.unwrap_err();
    assert!(matches!(&error, Error::Damaged { damage: Damage::Short { .. }, .. }), "{error}");
    assert!(error.to_string().contains(&segment.name) && error.to_string().contains(&used_by), "{error}");
    place.faults.inject(Operation::Get, "segment/", Effect::BitFlip(whole.len() * 8 - 3));
    assert!(matches!(read().await, Err(Error::Damaged { damage: Damage::Checksum { .. }, .. })));
    place.faults.inject(Operation::Get, "segment/", Effect::BitFlip(8 * 8 + 1));
    assert!(matches!(read().await, Err(Error::NewerFormat { found: 3, .. })));

    // Another segment, whole as it is, in its place.
    let other = &manifest.contents.relations[0].result[0];
    place.overwrite(&segment.name, place.read(&other.name).await).await;
    assert!(matches!(read().await, Err(Error::Damaged { damage: Damage::Checksum { .. }, .. })));
    place.delete(&segment.name).await;
    let error = read().await.unwrap_err();
    assert_eq!(error.to_string(), format!("object \"{}\" of {used_by} is missing", segment.name));
}

#[tokio::test]
async fn manifests() {
    let place = Place::in_memory();
    with_a_checkpoint(&place).await;
    let name = "manifest/00000000000000000002.json";
    let whole = place.read(name).await;
    let before = place.list("").await;

    place.overwrite(name, whole[..whole.len() / 2].to_vec()).await;
    assert!(matches!(place.try_open().await, Err(Error::Damaged { object, .. }) if object == name));
    let later = String::from_utf8(whole.clone()).unwrap().replacen("\"format\": 1", "\"format\": 9", 1);
    place.overwrite(name, later.into_bytes()).await;
    assert!(matches!(place.try_open().await, Err(Error::NewerFormat { found: 9, .. })));
    place.overwrite(name, whole).await;
    assert_eq!(place.list("").await, before, "a store that cannot be read is not written to");
    assert_eq!(restored(&place.open().await).await.unwrap(), Some(20));
}

#[tokio::test]
async fn manifests_that_are_missing_are_not_an_empty_store() {
    let place = Place::in_memory();
    drop(with_a_checkpoint(&place).await);
    drop(place.open().await);
    place.delete("manifest/00000000000000000003.json").await;
    let error = place.try_open().await.unwrap_err();
    assert_eq!(error.to_string(), "object \"manifest/00000000000000000003.json\" of the list of checkpoints is missing");
    for (name, _) in place.list("manifest").await {
        place.delete(&name).await;
    }
    assert!(matches!(place.try_open().await, Err(Error::Missing { .. })));
}

#[tokio::test]
async fn the_input_log() {
    let place = Place::in_memory();
    with_a_checkpoint(&place).await;
    // Epochs: 1 fence, 2 and 3 captured, 4 to 6 behind the checkpoint, 7 the fence of this opening.
    let opened = place.open().await;
    let tail = || logged(&opened, captured(&opened));
    assert_eq!(tail().await.unwrap(), [3, 4, 5]);
    let name = "input/00000000000000000005.arrow";
    let whole = place.read(name).await;

    place.overwrite(name, whole[..whole.len() - 8].to_vec()).await;
    let error = tail().await.unwrap_err();
    assert!(matches!(&error, Error::Damaged { damage: Damage::Short { .. }, .. }), "{error}");
    assert!(error.to_string().starts_with("object \"input/00000000000000000005.arrow\" of the input log is damaged"), "{error}");
    place.overwrite(name, vec![]).await;
    assert!(matches!(tail().await, Err(Error::Damaged { damage: Damage::Short { .. }, .. })));
    place.delete(name).await;
    let error = tail().await.unwrap_err();
    assert_eq!(error.to_string(), "object \"input/00000000000000000005.arrow\" of the input log is missing");
    place.overwrite(name, whole).await;

    // The first one that is needed is missing, and the ones before it are there.
    place.delete("input/00000000000000000004.arrow").await;
    assert!(matches!(tail().await, Err(Error::Missing { object, .. }) if object.ends_with("04.arrow")));
}

/// A put that was torn by a kill left a staging file at most; the log ends before it.
#[tokio::test]
async fn a_torn_put_is_invisible() {
    let place = Place::in_directory("torn");
    let opened = with_a_checkpoint(&place).await;
    let next = opened.input_log.as_ref().unwrap().next_epoch();
    let folder = match &place_of(&place) {
        Some(path) => path.join("input"),
        None => unreachable!("it is in a directory"),
    };
    std::fs::write(folder.join(format!("{:020}.arrow#12345", next.0)), b"REFRAIN\nhalf of").unwrap();
    drop(opened);
    let opened = place.open().await;
    assert_eq!(logged(&opened, Epoch(0)).await.unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(opened.next_epoch, next.next());
}

fn place_of(place: &Place) -> Option<std::path::PathBuf> {
    let shown = place.faults.to_string();
    shown.strip_suffix(" with faults").map(std::path::PathBuf::from)
}
