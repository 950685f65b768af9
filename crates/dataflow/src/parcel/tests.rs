//! Parcels survive the way to another process, and rows find the worker of their key.

use super::*;
use arrow::array::Int32Array;
use timely::bytes::arc::BytesMut;

fn delta() -> Delta {
    let rows = RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef)]).unwrap();
    let mut delta = Delta::weighted(rows, vec![1, -2, 3]);
    delta.iterations = Some(vec![0, 5, 9].into());
    delta.errors =
        vec![(ErrorRow { operator: OperatorId(4), code: SqlState::DIVISION_BY_ZERO, message: "division by zero".into() }, -1)];
    delta
}

#[test]
fn a_parcel_is_the_same_after_serialization() {
    let parcel = Parcel { delta: Some(delta()), target: Some(1) };
    let mut bytes = Vec::new();
    parcel.into_bytes(&mut bytes);
    assert_eq!(bytes.len(), parcel.length_in_bytes());
    let back = Parcel::from_bytes(BytesMut::from(bytes).freeze());
    let (delta, back_delta) = (delta(), back.delta.unwrap());
    assert_eq!(back.target, Some(1));
    assert_eq!(
        (&delta.rows, &delta.weights, &delta.iterations, &delta.errors),
        (&back_delta.rows, &back_delta.weights, &back_delta.iterations, &back_delta.errors)
    );
}

#[test]
fn every_hash_has_a_worker() {
    assert_eq!(worker_of(0, 3), 0);
    assert_eq!(worker_of(u64::MAX, 3), 2);
    assert_eq!(worker_of(u64::MAX / 2, 3), 1);
}
