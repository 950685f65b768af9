//! A rank agrees with the order.

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int16Array, Int32Array, Int64Array};
use arrow::datatypes::Field;
use proptest::prelude::*;

use super::*;

fn columns(values: &[Option<i64>]) -> Vec<ArrayRef> {
    let decimals = values.iter().map(|v| v.map(|v| i128::from(v) << 40)).collect::<Decimal128Array>();
    vec![
        Arc::new(values.iter().map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
        Arc::new(values.iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        Arc::new(values.iter().copied().collect::<Int64Array>()),
        Arc::new(values.iter().map(|v| v.map(|v| v as f64)).collect::<Float64Array>()),
        Arc::new(decimals.with_precision_and_scale(38, 2).expect("they fit")),
    ]
}

proptest! {
    #[test]
    fn a_lesser_rank_comes_first(
        values in prop::collection::vec(prop::option::of(prop_oneof![-3i64..3, any::<i64>()]), 2..12),
        at in 0usize..5,
        descending in any::<bool>(),
    ) {
        let columns = columns(&values);
        let fields = columns.iter().enumerate().map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let layout = RowLayout::of_schema(&schema);
        let mut rows = Vec::new();
        layout.pack(&columns, values.len(), &mut rows);
        let order = RowOrder::new(&schema, &[OrderBy { descending, ..OrderBy::ascending(at) }], &Dictionary::new());
        for a in rows.chunks_exact(layout.words()) {
            for b in rows.chunks_exact(layout.words()) {
                match order.compare(a, b) {
                    Ordering::Less => prop_assert!(order.rank(a) <= order.rank(b)),
                    Ordering::Equal => prop_assert_eq!(order.rank(a), order.rank(b)),
                    Ordering::Greater => prop_assert!(order.rank(a) >= order.rank(b)),
                }
                prop_assert_eq!(order.is_ranked(), at < 2);
                if order.is_ranked() {
                    prop_assert_eq!(order.rank(a).cmp(&order.rank(b)), order.compare(a, b));
                }
            }
        }
    }
}
