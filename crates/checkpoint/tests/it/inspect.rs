//! The description of a store, and what it finds wrong.

use refrain_checkpoint::faults::{Effect, Gate, Operation};
use refrain_checkpoint::inspect;
use refrain_types::{CheckpointId, Epoch};

use crate::world::{Place, checkpoint, committed, insert_all, upload};

const LATER: u64 = 1_700_000_005_000;

async fn filled() -> Place {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, 1..=3).await;
    committed(checkpoint(&opened, 30).await);
    insert_all(&opened, 4..=5).await;
    let attempt = opened.store.begin();
    upload(&attempt, &opened, 50).await.unwrap();
    std::mem::forget(attempt);
    place
}

#[tokio::test]
async fn a_sound_store() {
    let place = filled().await;
    let before = place.list("").await;
    let report = inspect(&place.location, LATER).await.unwrap();
    assert_eq!(report.problems, [] as [String; 0]);
    let [newest, fence] = &report.checkpoints[..] else { panic!("{report:?}") };
    assert_eq!((newest.id, newest.epoch, newest.age_ms, newest.fence_of), (CheckpointId(2), Epoch(4), 5_000, None));
    assert_eq!((newest.size.objects, newest.size.rows), (3, 6));
    assert_eq!(newest.relations[0].result.rows, 1);
    assert_eq!((newest.operators[0].size.rows, newest.operators[0].bases.rows), (2, 0));
    assert_eq!((newest.loops[0].log.rows, newest.loops[0].iteration), (3, 7));
    assert_eq!((fence.id, fence.fence_of, fence.size.objects), (CheckpointId(1), Some(CheckpointId(0)), 0));
    let log = &report.input_log;
    assert_eq!((log.size.objects, log.fences, log.last_epoch, log.tail_records), (6, 1, Epoch(6), 2));
    assert_eq!(report.unreferenced.objects, 3);
    assert_eq!(place.list("").await, before);
}

#[tokio::test]
async fn everything_that_is_wrong_is_named() {
    let place = filled().await;
    let used = place.open_reading().await.manifest.unwrap();
    let segments = used.contents.segments();
    let [table, state, log] = &segments[..] else { panic!("three segments") };
    place.delete(&table.segment.name).await;
    let mut bytes = place.read(&state.segment.name).await;
    *bytes.last_mut().unwrap() ^= 1;
    place.overwrite(&state.segment.name, bytes).await;
    place.overwrite(&log.segment.name, vec![0; 100]).await;
    place.delete("input/00000000000000000005.arrow").await;
    place.overwrite("manifest/00000000000000000001.json", b"{}".to_vec()).await;
    let problems = inspect(&place.location, LATER).await.unwrap().problems;
    let expected = [
        "manifest/00000000000000000001.json",
        "relation \"t\" is missing",
        "operator 3 (distinct, emissions) of view \"v\" is damaged",
        "the loop at operator 4 (r) of view \"v\" is damaged: it was not written by refrain",
        "input/00000000000000000005.arrow",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.contains(expected), "{problem} does not say {expected}");
    }
}

/// A writer collects a checkpoint while it is read: it is left out, and nothing is wrong.
#[tokio::test]
async fn what_is_collected_meanwhile_is_not_missing() {
    let place = Place::in_memory();
    let opened = place.open().await;
    insert_all(&opened, 1..=3).await;
    committed(checkpoint(&opened, 30).await);
    let gate = Gate::default();
    place.faults.inject(Operation::Get, "segment/", Effect::Delay(gate.clone()));
    let collect = async {
        gate.arrival().await;
        for number in [40, 50, 60] {
            insert_all(&opened, [number]).await;
            committed(checkpoint(&opened, number).await);
            opened.store.collect_garbage(1).await.unwrap();
        }
        gate.open();
    };
    let (report, ()) = tokio::join!(inspect(&place.location, LATER), collect);
    let report = report.unwrap();
    assert_eq!(report.problems, [] as [String; 0]);
    assert_eq!(report.checkpoints.iter().filter(|c| c.fence_of.is_none()).count(), 0, "{report:?}");
    assert_eq!(inspect(&place.location, LATER).await.unwrap().problems, [] as [String; 0]);
}
