use arrow::array::UInt32Array;
use arrow::datatypes::{Field, Schema};
use datafusion_physical_expr::expressions::{col, lit};
use proptest::prelude::*;
use refrain_state::Dictionary;

use super::super::message::evaluation_error;
use super::*;

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b", DataType::Int32, true),
        Field::new("c", DataType::Int64, true),
        Field::new("d", DataType::Int64, false),
        Field::new("e", DataType::Boolean, true),
        Field::new("f", DataType::Int16, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("u", DataType::Utf8, true),
    ]))
}

fn binary(left: Arc<dyn PhysicalExpr>, operator: Operator, right: Arc<dyn PhysicalExpr>, checked: bool) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, operator, right).with_fail_on_overflow(checked))
}

fn column(name: &str) -> Arc<dyn PhysicalExpr> {
    col(name, &schema()).unwrap()
}

/// Trees of each integer type.
fn integer(kind: Kind) -> BoxedStrategy<Arc<dyn PhysicalExpr>> {
    let values = prop_oneof![-3i64..4, Just(i64::MAX), Just(i64::MIN), Just(0)];
    let leaf = match kind {
        Kind::Int16 => prop_oneof![Just(column("f")), values.prop_map(|v| lit(v as i16))].boxed(),
        Kind::Int32 => prop_oneof![Just(column("a")), Just(column("b")), values.prop_map(|v| lit(v as i32))].boxed(),
        _ => prop_oneof![
            Just(column("c")),
            Just(column("d")),
            values.prop_map(lit),
            prop_oneof![Just(column("a")), Just(column("f"))].prop_map(|narrow| Arc::new(CastExpr::new(
                narrow,
                DataType::Int64,
                None
            )) as Arc<dyn PhysicalExpr>),
        ]
        .boxed(),
    };
    let operators = [Operator::Plus, Operator::Minus, Operator::Multiply, Operator::Divide, Operator::Modulo];
    leaf.prop_recursive(3, 8, 2, move |inner| {
        (inner.clone(), prop::sample::select(operators.to_vec()), inner, prop::bool::weighted(0.8))
            .prop_map(|(left, operator, right, checked)| binary(left, operator, right, checked))
    })
    .boxed()
}

fn boolean() -> BoxedStrategy<Arc<dyn PhysicalExpr>> {
    use Operator::*;
    let comparisons = vec![Eq, NotEq, Lt, LtEq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom];
    let compared =
        prop::sample::select(vec![Kind::Int16, Kind::Int32, Kind::Int64]).prop_flat_map(|kind| (integer(kind), integer(kind)));
    let null_tests = prop::sample::select(vec![Kind::Int32, Kind::Int64]).prop_flat_map(integer);
    let leaf = prop_oneof![
        4 => (compared, prop::sample::select(comparisons)).prop_map(|((l, r), operator)| binary(l, operator, r, false)),
        1 => Just(column("e")),
        1 => any::<bool>().prop_map(lit),
        1 => Just(lit(ScalarValue::Boolean(None))),
        1 => (null_tests, any::<bool>()).prop_map(|(argument, is)| {
            if is { Arc::new(IsNullExpr::new(argument)) as Arc<dyn PhysicalExpr> } else { Arc::new(IsNotNullExpr::new(argument)) }
        }),
        2 => (
            prop::sample::select(vec![column("u"), lit("x"), lit("absent"), lit(ScalarValue::Utf8(None))]),
            prop::sample::select(vec![Eq, NotEq, IsDistinctFrom, IsNotDistinctFrom]),
        )
            .prop_map(|(right, operator)| binary(column("t"), operator, right, false)),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec![And, Or]), inner.clone())
                .prop_map(|(l, operator, r)| binary(l, operator, r, false)),
            inner.prop_map(|argument| Arc::new(NotExpr::new(argument)) as Arc<dyn PhysicalExpr>),
        ]
    })
    .boxed()
}

type Row = (Option<i32>, Option<i32>, Option<i64>, i64, Option<bool>, Option<i16>, u32, u32);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let int = || prop::option::weighted(0.8, prop_oneof![-3i32..4, Just(i32::MAX), Just(i32::MIN)]);
    let long = || prop_oneof![-3i64..4, Just(i64::MAX), Just(i64::MIN)];
    let small = prop::option::of(prop_oneof![-3i16..4, Just(i16::MAX), Just(i16::MIN)]);
    let row = (int(), int(), prop::option::weighted(0.8, long()), long(), any::<Option<bool>>(), small, 0u32..3, 0u32..3);
    prop::collection::vec(row, 1..ROWS_MAX)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    /// Values and errors are those of the kernels on each row by itself.
    #[test]
    fn rows_are_computed_as_kernels_compute_them(
        expression in prop_oneof![
            boolean(),
            prop::sample::select(vec![Kind::Int16, Kind::Int32, Kind::Int64]).prop_flat_map(integer),
        ],
        rows in rows(),
    ) {
        let dictionary = Dictionary::new();
        let _ = [dictionary.intern(b"x"), dictionary.intern(b"y")];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|r| r.1).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| Some(r.3)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.4).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|r| r.5).collect::<Int16Array>()),
            Arc::new(UInt32Array::from(rows.iter().map(|r| r.6).collect::<Vec<_>>())),
            Arc::new(UInt32Array::from(rows.iter().map(|r| r.7).collect::<Vec<_>>())),
        ];
        let physical = RecordBatch::try_new(refrain_types::physical::physical_schema(&schema()), columns).unwrap();
        let logical = refrain_state::decode_batch(&dictionary, &physical, &schema());
        let (inputs, rewritten) = Inputs::of_expressions([&expression].into_iter(), &schema(), &dictionary);
        let Some(program) = Program::compile(&rewritten[0], &inputs) else {
            let is_leaf = expression.downcast_ref::<Column>().is_some() || expression.downcast_ref::<Literal>().is_some();
            // Columns and literals are left to others, widened ones too.
            prop_assert!(is_leaf || expression.downcast_ref::<CastExpr>().is_some(), "{} has a program", expression);
            return Ok(());
        };
        let computed = program.evaluate(&physical);
        let mut failed = Vec::new();
        for row in 0..rows.len() {
            let single = logical.slice(row, 1);
            match expression.evaluate(&single).and_then(|value| value.into_array(1)) {
                Ok(value) => if let Ok(computed) = &computed {
                    prop_assert_eq!(&computed.slice(row, 1), &value, "{} in row {}", expression, row);
                },
                Err(error) => failed.push((row, evaluation_error(&error))),
            }
        }
        match computed {
            Ok(_) => prop_assert!(failed.is_empty(), "{} fails: {:?}", expression, failed),
            Err(errors) => prop_assert_eq!(errors, failed, "{}", expression),
        }
    }
}
