use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use proptest::collection::vec;
use proptest::prelude::*;
use refrain_types::{Delta, Epoch, ErrorRow, OperatorId, RelationId, SqlState};

use super::*;

fn view() -> Arc<Relation> {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
    Relation::view(RelationId(1), "v", schema, false, &EpochClock::at(Epoch(0)))
}

fn delta(relation: &Relation, rows: &[(i32, i64)]) -> Arc<Delta> {
    let values = Int32Array::from(rows.iter().map(|(v, _)| *v).collect::<Vec<_>>());
    let batch = RecordBatch::try_new(Arc::clone(&relation.physical), vec![Arc::new(values)]).unwrap();
    Arc::new(Delta::weighted(batch, rows.iter().map(|(_, w)| *w).collect()))
}

fn bag(relation: &Relation, chunks: &[Arc<Delta>]) -> Vec<(i32, i64)> {
    let mut rows = Vec::new();
    for chunk in consolidate(&relation.physical, chunks) {
        let values = chunk.rows.column(0).as_any().downcast_ref::<Int32Array>().unwrap();
        rows.extend((0..chunk.num_rows()).map(|i| (values.value(i), chunk.weight(i))));
    }
    rows.sort_unstable();
    rows
}

#[test]
fn the_result_is_the_sum_of_what_was_published() {
    let v = view();
    v.publish(Epoch(1), vec![delta(&v, &[(1, 1), (2, 2)])]);
    v.publish(Epoch(3), vec![delta(&v, &[(2, -1), (3, 1)])]);
    let snapshot = v.snapshot();
    assert_eq!(snapshot.epoch, Epoch(3));
    assert_eq!(bag(&v, &snapshot.chunks), [(1, 1), (2, 1), (3, 1)]);
}

#[test]
fn a_registered_reader_reads_any_epoch_after_its_position() {
    let v = view();
    v.publish(Epoch(1), vec![delta(&v, &[(1, 1)])]);
    let (reader, snapshot) = v.register_reader();
    assert_eq!(snapshot.epoch, Epoch(1));
    for epoch in 2..6000 {
        let row = i32::try_from(epoch).unwrap();
        let mut deltas = vec![delta(&v, &[(row, 1), (row - 1, -1)])];
        if epoch == 3 {
            let error = ErrorRow { operator: OperatorId(0), code: SqlState::DIVISION_BY_ZERO, message: "division by zero".into() };
            deltas.push(Arc::new(Delta::of_errors(Arc::clone(&v.physical), vec![(error, 1)])));
        }
        v.publish(Epoch(epoch), deltas);
    }
    for epoch in [1, 2, 3, 1000, 1024, 1025, 4097, 5999] {
        let snapshot = v.snapshot_at(Epoch(epoch));
        assert_eq!(bag(&v, &snapshot.chunks), [(i32::try_from(epoch).unwrap(), 1)], "epoch {epoch}");
        assert_eq!(snapshot.errors.len(), usize::from(epoch >= 3));
    }
    assert_eq!(v.changes(Epoch(1), Epoch(5)).iter().map(|(e, _)| e.0).collect::<Vec<_>>(), [2, 3, 4, 5]);
    v.release(reader, Epoch(5000));
    assert!(v.has_changes(Epoch(5000), Epoch(5999)));
    assert_eq!(v.log_rows(), 2 * 999);
    v.drop_reader(reader);
    assert_eq!(v.log_rows(), 0);
}

#[test]
fn retractions_do_not_pile_up() {
    let v = view();
    for epoch in 1..20_000 {
        let row = i32::try_from(epoch).unwrap();
        v.publish(Epoch(epoch), vec![delta(&v, &[(row, 1), (row - 1, -1)])]);
    }
    let rows = v.snapshot().chunks.iter().map(|c| c.num_rows()).sum::<usize>();
    assert!(rows < 20_000, "{rows} rows are kept for one that lives");
    v.consolidate();
    assert_eq!(v.snapshot().chunks.iter().map(|c| c.num_rows()).sum::<usize>(), 2);
}

#[test]
fn errors_heal_when_they_are_retracted() {
    let v = view();
    let error = ErrorRow { operator: OperatorId(3), code: SqlState::DIVISION_BY_ZERO, message: "division by zero".into() };
    let bad = Delta::of_errors(Arc::clone(&v.physical), vec![(error, 2)]);
    v.publish(Epoch(1), vec![Arc::new(bad.clone())]);
    assert_eq!(v.snapshot().errors.len(), 1);
    v.append_unsettled(vec![Arc::new(bad.negated())], false);
    assert_eq!(v.snapshot().errors.len(), 1);
    assert!(v.snapshot_eager().errors.is_empty());
    let deltas = v.take_unsettled();
    v.publish(Epoch(2), deltas);
    assert!(v.snapshot().errors.is_empty());
}

#[test]
fn what_has_not_settled_is_tidied_later() {
    let v = view();
    let rows = (0..3_000).map(|row| (row, 1)).collect::<Vec<_>>();
    let back = (0..3_000).map(|row| (row, -1)).collect::<Vec<_>>();
    let sum = |v: &Relation| bag(v, &v.snapshot_eager().chunks);
    let chunks = |v: &Relation| v.snapshot_eager().chunks.len();
    for n in 1..=25 {
        v.append_unsettled(vec![delta(&v, &rows)], true);
        assert_eq!(chunks(&v), n);
    }
    v.tidy_unsettled();
    assert_eq!((chunks(&v), sum(&v).len(), sum(&v)[7]), (1, 3_000, (7, 25)));
    for _ in 0..20 {
        v.append_unsettled(vec![delta(&v, &back)], true);
    }
    v.tidy_unsettled();
    let left = v.snapshot_eager().chunks.iter().map(|chunk| chunk.num_rows()).sum::<usize>();
    assert_eq!((left, sum(&v).len(), sum(&v)[7]), (3_000, 3_000, (7, 5)));
    // Nobody tidies up after this one but who comes with it.
    v.append_unsettled(vec![delta(&v, &back), delta(&v, &back), delta(&v, &back), delta(&v, &back)], false);
    assert_eq!(sum(&v)[7], (7, 1));
    assert_eq!(v.snapshot_eager().chunks.iter().map(|chunk| chunk.num_rows()).sum::<usize>(), 3_000);
}

#[tokio::test]
async fn waiting_ends_with_the_epoch_or_with_the_relation() {
    let v = view();
    let waiting = Arc::clone(&v);
    let wait = tokio::spawn(async move { waiting.wait_settled(Epoch(2)).await });
    v.advance(Epoch(1));
    v.advance(Epoch(2));
    assert_eq!(wait.await.unwrap().unwrap(), Epoch(2));
    v.end(Error::closed());
    assert_eq!(v.wait_settled(Epoch(3)).await.unwrap_err().code(), "57P01");
    assert!(v.wait_settled(Epoch(2)).await.is_ok());
}

#[test]
#[should_panic(expected = "strictly increase")]
fn an_epoch_is_published_once() {
    let v = view();
    let _reader = v.register_reader();
    v.publish(Epoch(1), vec![delta(&v, &[(1, 1)])]);
    v.publish(Epoch(1), vec![delta(&v, &[(1, 1)])]);
}

/// What is known of a relation that was restored: of a table each epoch, of a view those at which it had settled.
#[test]
fn a_restored_log_tells_the_epochs_of_a_table_apart() {
    let visible = EpochClock::at(Epoch(9));
    visible.keep_history(100);
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
    for (table, known) in [
        (Relation::table(RelationId(1), "t", Arc::clone(&schema), false, &visible), [3, 4, 5, 6, 7, 8, 9].as_slice()),
        (Relation::view(RelationId(2), "v", schema, false, &visible), &[3, 5, 8, 9]),
    ] {
        let rows = [delta(&table, &[(1, 1)]), delta(&table, &[(2, 1)])];
        let log = [5, 8].into_iter().zip(&rows).map(|(epoch, delta)| (Epoch(epoch), vec![Arc::clone(delta)]));
        table.restore(Epoch(9), rows.to_vec(), Epoch(3), log.collect());
        let exact = (3..=9).filter(|epoch| table.is_exact_at(Epoch(*epoch))).collect::<Vec<_>>();
        assert_eq!(exact, known, "{}", table.name);
        let before = if table.kind == RelationKind::Table { 7 } else { 5 };
        assert_eq!(table.next_change(Epoch(5)), Some((Epoch(before), Epoch(8))));
        assert_eq!(table.next_change(Epoch(8)), None);
        // It is not read as it was before.
        assert_eq!(table.snapshot_as_of(Epoch(8)).unwrap_err().code(), SNAPSHOT_TOO_OLD);
        assert_eq!(table.snapshot_as_of(Epoch(9)).unwrap().chunks.len(), 2);
    }
}

#[test]
fn admission_stops_at_read_points() {
    let visible = EpochClock::at(Epoch(3));
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
    let table = Relation::table(RelationId(1), "t", Arc::clone(&schema), false, &visible);
    let view = Relation::view(RelationId(2), "v", schema, false, &visible);
    let point = visible.read_point();
    assert_eq!(point.epoch, Epoch(3));
    visible.advance(Epoch(5));
    assert_eq!(table.admissible(Epoch(2)), Epoch(3));
    assert_eq!(table.admissible(Epoch(3)), Epoch(5));
    view.advance(Epoch(2));
    assert_eq!(view.admissible(Epoch(0)), Epoch(2));
    view.advance(Epoch(5));
    assert_eq!(view.admissible(Epoch(2)), Epoch(3));
    drop(point);
    assert_eq!(table.admissible(Epoch(2)), Epoch(5));
}

#[test]
fn an_epoch_inside_a_change_is_not_exact() {
    let v = view();
    v.publish(Epoch(2), vec![delta(&v, &[(1, 1)])]);
    let pin = v.pin();
    v.advance(Epoch(4));
    v.publish(Epoch(9), vec![delta(&v, &[(2, 1)])]);
    let exact = [2, 3, 4, 5, 8, 9].map(|e| v.is_exact_at(Epoch(e)));
    assert_eq!(exact, [true, true, true, false, false, true]);
    drop(pin);
}

#[test]
fn consolidation_keeps_errors() {
    let v = view();
    let error = ErrorRow { operator: OperatorId(0), code: SqlState::DIVISION_BY_ZERO, message: "division by zero".into() };
    let bad = Arc::new(Delta::of_errors(Arc::clone(&v.physical), vec![(error.clone(), 1)]));
    let sum = |deltas: &[Arc<Delta>]| consolidate(&v.physical, deltas).into_iter().flat_map(|d| d.errors).collect::<Vec<_>>();
    assert_eq!(sum(&[Arc::clone(&bad), delta(&v, &[(1, 1)]), Arc::clone(&bad)]), [(error, 2)]);
    assert!(sum(&[Arc::clone(&bad), Arc::new(bad.negated())]).is_empty());
}

proptest! {
    #[test]
    fn what_is_taken_out_is_in_no_chunk(chunks in vec(vec((0i32..6000, 1i64..3, 0usize..40), 0..2000), 1..8)) {
        let v = view();
        let mut there = BTreeMap::new();
        let chunks = chunks.iter().map(|rows| {
            let rows = rows.iter().map(|(row, weight, one_of)| {
                let held: &mut i64 = there.entry(*row).or_default();
                // Some take out what is there.
                let weight = if *one_of == 0 { -*held } else { *weight };
                *held += weight;
                (*row, weight)
            });
            delta(&v, &rows.filter(|(_, weight)| *weight != 0).collect::<Vec<_>>())
        });
        let chunks = chunks.collect::<Vec<_>>();
        let settled = without_taken_out(&v.physical, &chunks);
        prop_assert!(settled.iter().all(|chunk| !takes_out(chunk)));
        prop_assert_eq!(bag(&v, &settled), bag(&v, &chunks));
    }
}

#[test]
fn chunks_from_which_nothing_is_taken_stay() {
    let v = view();
    let of = |rows: std::ops::Range<i32>| delta(&v, &rows.map(|row| (row, 1)).collect::<Vec<_>>());
    let chunks = [of(0..5000), of(5000..9000), delta(&v, &[(7, -1), (9001, 1)])];
    let settled = without_taken_out(&v.physical, &chunks);
    assert!(settled.iter().any(|chunk| Arc::ptr_eq(chunk, &chunks[1])));
    assert_eq!(settled.iter().map(|chunk| chunk.num_rows()).sum::<usize>(), 9000);
}
