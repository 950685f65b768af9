use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::Damage;

const WRITER: UniqueId = UniqueId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);

fn rows(text: &str) -> RecordBatch {
    let schema =
        Schema::new(vec![Field::new("t", DataType::Utf8, true), Field::new(segment::WEIGHT_COLUMN, DataType::Int64, false)]);
    let columns: (StringArray, Int64Array) = (vec![Some(text), None].into(), vec![1, -1].into());
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(columns.0), Arc::new(columns.1)]).unwrap()
}

fn records() -> Vec<InputRecord> {
    let relation = RelationId(9);
    vec![
        InputRecord { epoch: Epoch(7), change: InputChange::Ddl("{\"create\":\"ü\"}".into()) },
        InputRecord { epoch: Epoch(8), change: InputChange::Rows { relation, batches: vec![rows("a"), rows("b")] } },
        InputRecord { epoch: Epoch(8), change: InputChange::Rows { relation: RelationId(1), batches: vec![] } },
        InputRecord { epoch: Epoch(9), change: InputChange::Ddl(String::new()) },
    ]
}

fn encoded(records: &[InputRecord]) -> Bytes {
    let encoded = records.iter().map(|r| r.encode().unwrap()).collect::<Vec<_>>();
    let first = records.first().map_or(Epoch(7), |r| r.epoch);
    encode_object(WRITER, Generation(3), first, &encoded).payload.into()
}

#[test]
fn records_come_back() {
    let object = decode_object(Epoch(7), &encoded(&records())).unwrap();
    assert_eq!((object.writer, object.generation, object.last), (WRITER, Generation(3), Epoch(9)));
    assert_eq!(object.records, records());
}

#[test]
fn a_fence_has_a_size_of_its_own_and_takes_one_epoch() {
    let fence = encoded(&[]);
    assert_eq!(fence.len() as u64, FENCE_BYTES);
    let object = decode_object(Epoch(7), &fence).unwrap();
    assert_eq!((object.records.len(), object.last), (0, Epoch(7)));
    let smallest = [InputRecord { epoch: Epoch(7), change: InputChange::Ddl(String::new()) }];
    assert!(encoded(&smallest).len() as u64 > FENCE_BYTES);
}

#[test]
fn every_cut_is_found_and_the_object_is_named() {
    let whole = encoded(&records());
    for length in 0..whole.len() {
        let error = decode_object(Epoch(7), &whole.slice(..length)).expect_err("a cut");
        assert!(matches!(&error, Error::Damaged { object, .. } if *object == input_name(Epoch(7))), "{error}");
    }
}

/// A checksum does not help against a writer that is wrong.
#[test]
fn epochs_that_make_no_sense_are_refused() {
    let one = records()[0].encode().unwrap();
    let gap = InputRecord { epoch: Epoch(9), ..records()[0].clone() }.encode().unwrap();
    let content = |first, records: &[EncodedRecord]| {
        let bytes = encode_object(WRITER, Generation(3), Epoch(first), records).payload.into();
        match decode_object(Epoch(first), &bytes) {
            Err(Error::Damaged { damage: Damage::Content(what), .. }) => what,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(content(7, &[one, gap]), "epoch 9 follows epoch 7");
    assert_eq!(content(8, &[records()[0].encode().unwrap()]), "it says that it holds epochs 8 to 7");
    let later = records()[1].encode().unwrap();
    assert_eq!(content(7, &[later]), "epoch 8 follows epoch 6");
    let error = decode_object(Epoch(8), &encoded(&records())).unwrap_err();
    assert!(error.to_string().ends_with("it says that it holds epochs 7 to 9"), "{error}");
}

/// A fence of format 1, byte for byte: stores that exist must stay readable.
#[test]
fn the_object_of_format_1_is_frozen() {
    let hex = encoded(&[]).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let payload = "7766554433221100efcdab89674523010300000000000000070000000000000007000000000000000000000000000000";
    assert_eq!(&hex[64..], payload);
}
