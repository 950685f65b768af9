use arrow::array::new_empty_array;
use arrow::compute::concat_batches;
use arrow::datatypes::{
    Date32Type, Decimal128Type, Field, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType, UInt32Type,
};
use proptest::prelude::*;
use refrain_types::physical::physical_schema;

use super::*;

fn types(list: &[(DataType, bool)]) -> RowLayout {
    RowLayout::of_types(list)
}

#[test]
fn small_rows_fit_as_promised() {
    assert_eq!(types(&[]).words(), 1);
    assert_eq!(types(&[(DataType::Int32, false), (DataType::Int32, false)]).words(), 1);
    assert_eq!(types(&[(DataType::Utf8, true), (DataType::Utf8, true)]).words(), 1);
    assert_eq!(types(&[(DataType::Int64, false)]).words(), 1);
    assert_eq!(types(&[(DataType::Int64, false), (DataType::Int64, false)]).words(), 2);
    assert_eq!(types(&[(DataType::Int32, true), (DataType::Utf8, true)]).words(), 2);
    assert_eq!(types(&[(DataType::Int32, true), (DataType::Int16, true), (DataType::Boolean, true)]).words(), 1);
    assert_eq!(types(&[(DataType::Decimal128(38, 2), false), (DataType::Boolean, false)]).words(), 3);
}

#[test]
fn logical_and_physical_schemas_have_one_layout() {
    let logical = Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Int32, true),
        Field::new("c", DataType::Binary, false),
    ]);
    assert_eq!(RowLayout::of_schema(&logical), RowLayout::of_schema(&physical_schema(&logical)));
}

#[test]
fn what_stands_under_a_null_does_not_matter() {
    let layout = types(&[(DataType::Int64, true)]);
    let nulls = || Some(NullBuffer::from(vec![false, true]));
    let a: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::new(vec![5, 6].into(), nulls()));
    let b: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::new(vec![-1, 6].into(), nulls()));
    let (mut x, mut y) = (Vec::new(), Vec::new());
    layout.pack(&[a], 2, &mut x);
    layout.pack(&[b], 2, &mut y);
    assert_eq!(x, y);
    assert_ne!(x[..2], [0, 0], "NULL is not 0");
}

#[test]
#[should_panic(expected = "declared not null holds no NULL")]
fn null_where_none_may_be() {
    let array: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::from(vec![None, Some(1)]));
    types(&[(DataType::Int64, false)]).pack(&[array], 2, &mut Vec::new());
}

#[test]
fn rows_without_columns_are_counted() {
    let layout = types(&[]);
    let mut words = Vec::new();
    layout.pack(&[], 3, &mut words);
    assert_eq!(layout.unpack(&words, &Arc::new(Schema::empty())).num_rows(), 3);
}

/// An interval's values are aligned to 8 bytes only.
#[test]
fn intervals_round_trip() {
    let layout = types(&[(DataType::Interval(IntervalUnit::MonthDayNano), false)]);
    let values = (0..9).map(|i| IntervalMonthDayNano::new(i, -i, i64::from(i) << 40)).collect::<Vec<_>>();
    let array: ArrayRef = Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::from(values));
    for offset in 0..3 {
        let slice = array.slice(offset, 5);
        let mut words = Vec::new();
        layout.pack(std::slice::from_ref(&slice), 5, &mut words);
        assert_eq!(&layout.unpack_column(&words, 0), &slice);
    }
}

fn column_types() -> impl Strategy<Value = Vec<(DataType, bool)>> {
    let each = prop::sample::select(vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Utf8,
        DataType::Date32,
        DataType::Int64,
        DataType::Float64,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Decimal128(38, 10),
    ]);
    prop::collection::vec((each, any::<bool>()), 0..9)
}

/// A physical column whose values come from `seeds`; where a column may be NULL, some are.
fn column(data_type: &DataType, nullable: bool, seeds: &[u64]) -> ArrayRef {
    macro_rules! primitive {
        ($t:ty, $f:expr) => {{
            let value = |s: &u64| (!nullable || s % 3 != 0).then(|| $f(*s));
            Arc::new(seeds.iter().map(value).collect::<PrimitiveArray<$t>>().with_data_type(data_type.clone()))
        }};
    }
    match data_type {
        DataType::Boolean => {
            Arc::new(seeds.iter().map(|s| (!nullable || s % 3 != 0).then_some(s % 2 == 0)).collect::<BooleanArray>())
        }
        DataType::Int8 => primitive!(Int8Type, |s| s as i8),
        DataType::Int16 => primitive!(Int16Type, |s| s as i16),
        DataType::Int32 => primitive!(Int32Type, |s| s as i32),
        DataType::Date32 => primitive!(Date32Type, |s| s as i32),
        DataType::Int64 => primitive!(Int64Type, |s| s as i64),
        DataType::Float64 => primitive!(Float64Type, |s: u64| s as f64),
        DataType::Timestamp(..) => primitive!(TimestampMicrosecondType, |s| s as i64),
        DataType::Decimal128(..) => primitive!(Decimal128Type, |s: u64| (i128::from(s) - (1 << 63)) << 50),
        _ => Arc::new(
            seeds
                .iter()
                .map(|s| if nullable && s % 3 == 0 { 0 } else { s.max(&1).to_owned() as u32 | 1 })
                .collect::<PrimitiveArray<UInt32Type>>(),
        ),
    }
}

fn batch(types: &[(DataType, bool)], rows: usize, seed: u64) -> RecordBatch {
    let fields = types.iter().enumerate().map(|(i, (t, nullable))| Field::new(format!("c{i}"), t.clone(), *nullable));
    let logical = Schema::new(fields.collect::<Vec<_>>());
    let columns = types.iter().enumerate().map(|(i, (t, nullable))| {
        let seeds = (0..rows as u64).map(|r| crate::hash_words(&[seed, r, i as u64]));
        column(t, *nullable, &seeds.collect::<Vec<_>>())
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(physical_schema(&logical), columns.collect(), &options).unwrap()
}

fn pick(width: usize, seed: u64) -> Vec<usize> {
    if width == 0 {
        return Vec::new();
    }
    (0..crate::hash_word(seed) % 6).map(|i| (crate::hash_words(&[seed, i]) % width as u64) as usize).collect()
}

proptest! {
    #[test]
    fn packing_round_trips(types in column_types(), rows in 0usize..40, seed: u64, offset in 0usize..40) {
        let batch = batch(&types, rows, seed);
        let layout = RowLayout::of_types(&types);
        let mut words = vec![u64::MAX; 2];
        layout.pack_batch(&batch, &mut words);
        prop_assert_eq!(words.len(), 2 + rows * layout.words());
        prop_assert_eq!(&layout.unpack(&words[2..], &batch.schema()), &batch);
        let slice = batch.slice(offset.min(rows), rows - offset.min(rows));
        let mut sliced = Vec::new();
        layout.pack_batch(&slice, &mut sliced);
        prop_assert_eq!(&words[2 + offset.min(rows) * layout.words()..], &sliced[..]);
    }

    #[test]
    fn rows_are_equal_exactly_when_their_words_are(types in column_types(), rows in 0usize..12, seed in 0u64..4) {
        // Few distinct seeds per cell, so that rows do repeat.
        let columns = types.iter().map(|(t, nullable)| {
            let seeds = (0..rows as u64).map(|r| crate::hash_words(&[seed, r]) % 3).collect::<Vec<_>>();
            column(t, *nullable, &seeds)
        }).collect::<Vec<_>>();
        let layout = RowLayout::of_types(&types);
        let mut words = Vec::new();
        layout.pack(&columns, rows, &mut words);
        let row = |i: usize| columns.iter().map(|c| c.slice(i, 1)).collect::<Vec<_>>();
        for i in 0..rows {
            for j in 0..rows {
                let equal = words[i * layout.words()..][..layout.words()] == words[j * layout.words()..][..layout.words()];
                prop_assert_eq!(row(i) == row(j), equal);
            }
        }
    }

    #[test]
    fn repacking_is_packing_of_the_columns(types in column_types(), rows in 0usize..20, seed: u64) {
        let batch = batch(&types, rows, seed);
        let from = RowLayout::of_types(&types);
        let columns = pick(types.len(), seed);
        let to = RowLayout::of_types(&columns.iter().map(|c| types[*c].clone()).collect::<Vec<_>>());
        let repack = Repack::new(&from, &columns, &to);
        let (mut words, mut expected, mut all) = (Vec::new(), Vec::new(), Vec::new());
        from.pack_batch(&batch, &mut words);
        to.pack_columns_subset(&batch, &columns, &mut expected);
        repack.apply_all(&words, &mut all);
        prop_assert_eq!(&all, &expected);
        let mut out = vec![u64::MAX; to.words()];
        for (row, expected) in words.chunks_exact(from.words()).zip(expected.chunks_exact(to.words())) {
            repack.apply(row, &mut out);
            prop_assert_eq!(&out[..], expected);
        }
        if repack.is_identity() {
            prop_assert_eq!(words, expected);
        }
    }

    /// A key finds the same worker whether it is hashed from columns or from a packed row, and whether or not it may be NULL.
    #[test]
    fn packing_for_a_hash_is_repacking_without_nulls(types in column_types(), rows in 0usize..20, seed: u64) {
        let batch = batch(&types, rows, seed);
        let from = RowLayout::of_types(&types);
        let to = RowLayout::of_types(&types.iter().map(|(data_type, _)| (data_type.clone(), false)).collect::<Vec<_>>());
        let columns = (0..types.len()).collect::<Vec<_>>();
        let (mut words, mut hashed, mut repacked) = (Vec::new(), Vec::new(), Vec::new());
        from.pack_batch(&batch, &mut words);
        to.pack_for_hash(&batch, &columns, &mut hashed);
        Repack::new(&from, &columns, &to).apply_all(&words, &mut repacked);
        prop_assert_eq!(hashed, repacked);
    }

    /// Cells that are moved and cells that are read and written one by one make the same rows.
    #[test]
    fn cells_are_read_and_written(types in column_types(), seed: u64) {
        let batch = batch(&types, 6, seed);
        let layout = RowLayout::of_types(&types);
        let mut words = Vec::new();
        layout.pack_batch(&batch, &mut words);
        let sources = (0..types.len()).map(|c| crate::hash_words(&[seed, c as u64]).is_multiple_of(2).then_some(c)).collect::<Vec<_>>();
        let partial = Repack::partial(&layout, &sources, &layout);
        let mut out = vec![u64::MAX; layout.words()];
        for (i, row) in words.chunks_exact(layout.words()).enumerate() {
            partial.apply(row, &mut out);
            for column in (0..types.len()).filter(|c| sources[*c].is_none()) {
                let cells = crate::aggregate::cells(batch.column(column), &types[column].0);
                prop_assert_eq!(layout.cell(row, column), cells[i].0);
                layout.set_cell(&mut out, column, layout.cell(row, column));
            }
            prop_assert_eq!(&out[..], row);
        }
    }

    #[test]
    fn pairs_are_repacked_as_joins_output_them(left in column_types(), right in column_types(), seed: u64) {
        let (l, r) = (batch(&left, 1, seed), batch(&right, 1, seed ^ 1));
        let both = left.iter().chain(&right).cloned().collect::<Vec<_>>();
        let (from_left, from_right) = (RowLayout::of_types(&left), RowLayout::of_types(&right));
        let columns = pick(both.len(), seed);
        let to = RowLayout::of_types(&columns.iter().map(|c| both[*c].clone()).collect::<Vec<_>>());
        let (mut x, mut y, mut expected) = (Vec::new(), Vec::new(), Vec::new());
        from_left.pack_batch(&l, &mut x);
        from_right.pack_batch(&r, &mut y);
        let sources = columns.iter().map(|c| if *c < left.len() { l.column(*c).clone() } else { r.column(c - left.len()).clone() });
        to.pack(&sources.collect::<Vec<_>>(), 1, &mut expected);
        let repack = Repack::of_pair(&from_left, &from_right, &columns, &to);
        for (first, row, other) in [(0, &x, &y), (1, &y, &x)] {
            let (mut begun, mut out) = (vec![u64::MAX; 3], vec![u64::MAX]);
            repack.begin_pairs(first, row, &mut begun);
            repack.append_pair(&begun, 1 - first, other, &mut out);
            prop_assert_eq!(&out[1..], &expected);
        }
    }

    #[test]
    fn nulls_are_found(types in column_types(), rows in 0usize..20, seed: u64) {
        let batch = batch(&types, rows, seed);
        let layout = RowLayout::of_types(&types);
        let columns = pick(types.len(), seed);
        let is_null = |row: usize| columns.iter().any(|c| {
            let array = batch.column(*c);
            if is_coded(&types[*c].0) { array.as_primitive::<UInt32Type>().value(row) == 0 } else { array.is_null(row) }
        });
        let expected = (0..rows).map(is_null).collect::<Vec<_>>();
        let found = layout.rows_with_null(&batch, &columns);
        prop_assert_eq!(found.is_some(), expected.contains(&true));
        let found = found.map_or(vec![false; rows], |f| f.iter().collect());
        prop_assert_eq!(&found, &expected);
        let mut words = Vec::new();
        layout.pack_batch(&batch, &mut words);
        let test = NullTest::new(&layout, &columns);
        prop_assert!(!test.is_never() || !expected.contains(&true));
        let by_row = words.chunks_exact(layout.words()).map(|row| test.any(row)).collect::<Vec<_>>();
        prop_assert_eq!(by_row, expected);
    }
}

#[test]
fn nullable_keys_become_not_null() {
    let nullable = types(&[(DataType::Int32, true), (DataType::Int32, true)]);
    let key = types(&[(DataType::Int32, false), (DataType::Int32, false)]);
    let batch = batch(&[(DataType::Int32, true), (DataType::Int32, true)], 30, 1);
    let mut words = Vec::new();
    nullable.pack_batch(&batch, &mut words);
    let test = NullTest::new(&nullable, &[0, 1]);
    let repack = Repack::new(&nullable, &[0, 1], &key);
    for (i, row) in words.chunks_exact(2).enumerate().filter(|(_, row)| !test.any(row)) {
        let mut out = [0];
        repack.apply(row, &mut out);
        let value = |c: usize| u64::from(batch.column(c).as_primitive::<Int32Type>().value(i) as u32);
        assert_eq!(out, [value(0) | value(1) << 32]);
    }
}

#[test]
fn empty_batches_have_no_words() {
    let layout = types(&[(DataType::Int32, true)]);
    let mut words = Vec::new();
    layout.pack(&[new_empty_array(&DataType::Int32)], 0, &mut words);
    assert!(words.is_empty());
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
    assert_eq!(concat_batches(&schema, [&layout.unpack(&words, &schema)]).unwrap().num_rows(), 0);
}
