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

/// Takes messages in, and counts their records as timely does.
#[derive(Default)]
struct Taken(i64);

impl Push<Message<u64, Parcel>> for Taken {
    fn push(&mut self, message: &mut Option<Message<u64, Parcel>>) {
        self.0 += message.take().map_or(0, |message| message.data.record_count());
    }
}

/// Timely knows that everything has arrived by counting: what a distributor hands on counts as much as what it was given.
#[test]
fn distributors_hand_on_as_many_records_as_they_were_given() {
    fn check(mut distributor: impl Distributor<Parcel>, mut parcels: Vec<Parcel>) {
        let given = parcels.iter().map(Parcel::record_count).sum::<i64>();
        let mut pushers = [(); 3].map(|()| Taken::default());
        for parcel in &mut parcels {
            distributor.partition(parcel, &Stamp::from_elem(7u64), &mut pushers);
        }
        assert_eq!(pushers.iter().map(|pusher| pusher.0).sum::<i64>(), given);
        assert!(given >= 4, "there are three rows and an error");
    }
    let schema = Schema::new(vec![Field::new("a", DataType::Int32, false)]);
    for columns in [vec![], vec![0]] {
        check(ByKey::new(&schema, &columns, 3), vec![delta().into(), Parcel { delta: Some(delta()), target: Some(2) }]);
    }
    check(ToTarget, copies(delta(), 3).collect());
    assert_eq!(copies(delta(), 3).map(|parcel| parcel.record_count()).collect::<Vec<_>>(), [4, 3, 3]);
}

/// Keeps what comes.
#[derive(Default)]
struct Kept(Vec<Parcel>);

impl Push<Message<u64, Parcel>> for Kept {
    fn push(&mut self, message: &mut Option<Message<u64, Parcel>>) {
        self.0.extend(message.take().map(|message| message.data));
    }
}

/// What goes to one worker goes there as it is: no row is copied.
#[test]
fn what_is_all_for_one_worker_is_moved() {
    let schema = Schema::new(vec![Field::new("a", DataType::Int32, false)]);
    let mut same = Delta { errors: Vec::new(), ..delta() };
    same.rows = RecordBatch::try_new(same.rows.schema(), vec![Arc::new(Int32Array::from(vec![7, 7, 7])) as ArrayRef]).unwrap();
    let targeted = Parcel { delta: Some(delta()), target: Some(1) };
    for (peers, mut parcel) in [(1, delta().into()), (2, same.into()), (2, targeted.clone())] {
        let buffers = |parcel: &Parcel| {
            let delta = parcel.delta.as_ref().unwrap();
            let words = delta.rows.column(0).to_data().buffers()[0].as_ptr();
            (words, delta.weights.as_ref().map(|w| w.as_ptr()), delta.iterations.as_ref().map(|i| i.as_ptr()))
        };
        let before = buffers(&parcel);
        let mut pushers = (0..peers).map(|_| Kept::default()).collect::<Vec<_>>();
        ByKey::new(&schema, &[0], peers).partition(&mut parcel, &Stamp::from_elem(7u64), &mut pushers);
        let kept = pushers.into_iter().flat_map(|pusher| pusher.0).collect::<Vec<_>>();
        assert_eq!((kept.len(), buffers(&kept[0])), (1, before), "{peers} workers");
    }
    let mut parcel = targeted;
    let before = parcel.delta.as_ref().unwrap().rows.column(0).to_data().buffers()[0].as_ptr();
    let mut pushers = [Kept::default(), Kept::default()];
    ToTarget.partition(&mut parcel, &Stamp::from_elem(7u64), &mut pushers);
    assert_eq!(pushers[1].0[0].delta.as_ref().unwrap().rows.column(0).to_data().buffers()[0].as_ptr(), before);
}

#[test]
fn every_hash_has_a_worker() {
    assert_eq!(worker_of(0, 3), 0);
    assert_eq!(worker_of(u64::MAX, 3), 2);
    assert_eq!(worker_of(u64::MAX / 2, 3), 1);
}
