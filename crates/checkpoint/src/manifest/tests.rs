use super::*;

fn segment(name: &str) -> SegmentRef {
    SegmentRef { name: format!("segment/{name}.arrow"), rows: 1, bytes: 100, crc32: 7, full: true, continues: false }
}

fn sound() -> Manifest {
    let table = RelationEntry {
        id: RelationId(1),
        name: "edges".into(),
        epoch: Epoch(9),
        result: vec![segment("a")],
        ..Default::default()
    };
    let view =
        RelationEntry { id: RelationId(2), name: "paths".into(), epoch: Epoch(7), log: vec![segment("b")], ..Default::default() };
    let operator =
        OperatorEntry { operator: OperatorId(3), name: "distinct".into(), part: "emissions".into(), segments: vec![segment("c")] };
    let head =
        LoopEntry { operator: OperatorId(3), name: "paths".into(), log: vec![segment("d")], rows: 1, bytes: 100, iteration: 4 };
    let dataflow = DataflowEntry {
        id: DataflowId(1),
        name: "paths".into(),
        fingerprint: "f00d".into(),
        tick: Tick(12),
        settled_epoch: Epoch(7),
        consumed: BTreeMap::from([(RelationId(1), Epoch(8))]),
        pieces: 2,
        operators: vec![operator],
        loops: vec![head],
    };
    let catalog = serde_json::json!({"views": ["SELECT 1"], "big": u64::MAX});
    let contents = Contents { epoch: Epoch(9), catalog, relations: vec![table, view], dataflows: vec![dataflow] };
    Manifest {
        id: CheckpointId(5),
        generation: Generation(2),
        writer: UniqueId(1),
        attempt: UniqueId(u128::MAX),
        created_unix_ms: 1_700_000_000_000,
        fence_of: None,
        contents,
    }
}

const NAME: &str = "manifest/00000000000000000005.json";

fn broken(change: impl FnOnce(&mut Contents)) -> Option<&'static str> {
    let mut contents = sound().contents;
    change(&mut contents);
    contents.broken_invariant()
}

#[test]
fn what_was_written_comes_back() {
    let manifest = sound();
    assert_eq!(manifest_name(manifest.id), NAME);
    let fence = Manifest { fence_of: Some(CheckpointId(4)), ..sound() };
    for manifest in [manifest, fence] {
        assert_eq!(Manifest::decode(NAME, &manifest.encode()).unwrap(), manifest);
    }
}

#[test]
fn a_person_can_read_it() {
    let bytes = sound().encode();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["format"], 1);
    assert_eq!(json["body"]["contents"]["dataflows"][0]["consumed"]["1"], 8);
    assert_eq!(json["body"]["contents"]["relations"][0]["name"], "edges");
}

#[test]
fn every_bit_that_flips_is_found_and_the_object_is_named() {
    let whole = sound().encode();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = Manifest::decode(NAME, &bytes).expect_err("a flipped bit");
        assert!(error.to_string().contains(NAME), "{error}");
    }
}

#[test]
fn every_cut_is_found() {
    let whole = sound().encode();
    // The last byte is the end of a line.
    for length in 0..whole.len() - 1 {
        Manifest::decode(NAME, &whole[..length]).expect_err("a cut");
    }
}

#[test]
fn damage_is_told_apart() {
    let text = String::from_utf8(sound().encode().to_vec()).unwrap();
    let damage = |text: &str| match Manifest::decode(NAME, text.as_bytes()) {
        Err(Error::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    };
    assert!(matches!(damage(&text.replace("edges", "edgess")), Damage::Long { .. }));
    assert!(matches!(damage(&text.replace("edges", "edge")), Damage::Short { .. }));
    assert!(matches!(damage(&text.replace("edges", "hedge")), Damage::Checksum { .. }));
    assert_eq!(damage(&text.replacen("\"format\": 1", "\"format\": 0", 1)), Damage::UnknownFormat(0));
    let later = text.replacen("\"format\": 1", "\"format\": 2", 1).replace("edges", "of another shape");
    assert!(matches!(Manifest::decode(NAME, later.as_bytes()), Err(Error::NewerFormat { found: 2, supported: 1, .. })));
}

#[test]
fn a_manifest_under_another_name_is_refused() {
    let error = Manifest::decode(&manifest_name(CheckpointId(6)), &sound().encode()).unwrap_err();
    assert!(error.to_string().ends_with("it says that it is checkpoint 5"), "{error}");
}

#[test]
fn ids_are_unique() {
    let words = Some("two relations or two dataflows have one id");
    assert_eq!(broken(|c| c.relations[1].id = RelationId(1)), words);
    assert_eq!(broken(|c| c.dataflows.push(DataflowEntry { id: DataflowId(1), ..Default::default() })), words);
}

#[test]
fn parts_are_unique() {
    let words = Some("one part of an operator, or one loop, is there twice");
    let operator = OperatorEntry { operator: OperatorId(3), part: "emissions".into(), ..Default::default() };
    assert_eq!(broken(|c| c.dataflows[0].operators.push(operator)), words);
    assert_eq!(broken(|c| c.dataflows[0].loops.push(LoopEntry { operator: OperatorId(3), ..Default::default() })), words);
    let other_part = OperatorEntry { operator: OperatorId(3), part: "derivations".into(), ..Default::default() };
    assert_eq!(broken(|c| c.dataflows[0].operators.push(other_part)), None);
}

#[test]
fn segments_are_named_once() {
    let words = Some("a segment is named twice");
    assert_eq!(broken(|c| c.relations[0].unsettled_errors.push(segment("a"))), words);
    assert_eq!(broken(|c| c.dataflows[0].loops[0].log.push(segment("c"))), words);
}

#[test]
fn readers_are_captured_first() {
    let words = Some("a dataflow has consumed what its input does not have");
    let consumed = |relation, epoch| broken(|c| c.dataflows[0].consumed.extend([(RelationId(relation), Epoch(epoch))]));
    assert_eq!(consumed(1, 10), words);
    assert_eq!(consumed(7, 1), words);
    assert_eq!(consumed(1, 9), None);
}

#[test]
fn nothing_is_ahead_of_the_input_log() {
    let words = Some("something is ahead of the input log");
    assert_eq!(broken(|c| c.relations[0].epoch = Epoch(10)), words);
    assert_eq!(broken(|c| c.dataflows[0].settled_epoch = Epoch(10)), words);
}

#[test]
#[should_panic(expected = "a checkpoint must not be written: a segment is named twice")]
fn a_broken_invariant_is_never_written() {
    let mut manifest = sound();
    manifest.contents.relations[0].log.push(segment("a"));
    manifest.encode();
}

#[test]
fn a_broken_invariant_is_found_after_the_read() {
    let mut manifest = sound();
    manifest.contents.relations[0].log.push(segment("a"));
    let body = serde_json::to_string(&manifest).unwrap();
    let (length, crc32) = (body.len(), crc32fast::hash(body.as_bytes()));
    let text = format!("{{\"format\":1,\"length\":{length},\"crc32\":{crc32},\"body\":{body}}}");
    let error = Manifest::decode(NAME, text.as_bytes()).unwrap_err();
    assert!(error.to_string().ends_with("a segment is named twice"), "{error}");
}

/// A manifest of format 1: stores that exist must stay readable.
#[test]
fn a_manifest_of_format_1_is_read() {
    let stored = include_str!("format_1.json");
    let manifest = Manifest::decode(NAME, stored.as_bytes()).unwrap();
    assert_eq!(manifest, sound());
}
