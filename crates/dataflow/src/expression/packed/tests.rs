use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr_common::operator::Operator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, col, lit};
use proptest::prelude::*;
use refrain_plan::{Projected, RowFunction, Step};
use refrain_state::Dictionary;
use refrain_types::Delta;
use refrain_types::physical::physical_schema;

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int32, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("d", DataType::Int64, false),
    ]))
}

fn column(name: &str) -> Arc<dyn PhysicalExpr> {
    col(name, &schema()).unwrap()
}

fn binary(left: Arc<dyn PhysicalExpr>, operator: Operator, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, operator, right).with_fail_on_overflow(true))
}

fn computed(expression: Arc<dyn PhysicalExpr>, data_type: DataType, nullable: bool) -> Projected {
    Projected::Computed(expression, Arc::new(Field::new("computed", data_type, nullable)))
}

fn moved(index: usize) -> Projected {
    Projected::Column(index, Arc::new(schema().field(index).clone()))
}

fn functions() -> Vec<RowFunction> {
    let next = binary(column("d"), Operator::Plus, lit(1i64));
    let wide: Arc<dyn PhysicalExpr> = Arc::new(CastExpr::new(column("n"), DataType::Int64, None));
    let keep = Step::Filter(binary(column("n"), Operator::NotEq, lit(0)));
    let named = Step::Filter(binary(column("t"), Operator::Eq, lit("b")));
    let project = Step::Project(vec![
        computed(next, DataType::Int64, false),
        moved(1),
        computed(binary(wide, Operator::Multiply, column("d")), DataType::Int64, true),
        computed(lit("root"), DataType::Utf8, true),
        computed(lit(ScalarValue::Int32(None)), DataType::Int32, true),
        computed(binary(lit(7), Operator::Divide, column("n")), DataType::Int32, true),
        // Declared wrongly: a NULL here is an error of ours.
        computed(binary(column("n"), Operator::Minus, lit(1)), DataType::Int32, false),
    ]);
    let again = Step::Project(vec![
        computed(
            binary(
                Arc::new(datafusion_physical_expr::expressions::Column::new("computed", 0)),
                Operator::Minus,
                Arc::new(datafusion_physical_expr::expressions::Column::new("computed", 2)),
            ),
            DataType::Int64,
            true,
        ),
        Projected::Column(1, Arc::new(Field::new("t", DataType::Utf8, true))),
    ]);
    vec![
        RowFunction { steps: vec![keep.clone(), project.clone()] },
        RowFunction { steps: vec![project.clone()] },
        RowFunction { steps: vec![project, again] },
        RowFunction { steps: vec![keep, named] },
        RowFunction::default(),
        RowFunction::columns(&schema(), &[2, 0]),
    ]
}

#[test]
fn what_needs_a_kernel_is_left_to_it() {
    let dictionary = Dictionary::new();
    let loud = binary(column("t"), Operator::StringConcat, lit("!"));
    let function = RowFunction { steps: vec![Step::Project(vec![computed(loud, DataType::Utf8, true)])] };
    let compiled = CompiledRowFunction::new(&function, &schema(), dictionary, OperatorId(1));
    let to = RowLayout::of_schema(&function.output_schema(&schema()));
    assert!(compiled.on_packed(&RowLayout::of_schema(&schema()), &to).is_none());
}

proptest! {
    #[test]
    fn packed_rows_become_what_rows_of_a_batch_become(
        which in 0..functions().len(),
        rows in prop::collection::vec(
            (prop::option::of(-2i32..3), 0u32..3, prop_oneof![-3i64..4, Just(i64::MAX), Just(i64::MIN)]), 1..30),
    ) {
        let dictionary = Dictionary::new();
        let _ = [dictionary.intern(b"a"), dictionary.intern(b"b")];
        let function = &functions()[which];
        let compiled = CompiledRowFunction::new(function, &schema(), Arc::clone(&dictionary), OperatorId(5));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|r| Some(r.1)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>()),
        ];
        let batch = RecordBatch::try_new(physical_schema(&schema()), columns).unwrap();
        let from = RowLayout::of_schema(&schema());
        let to = RowLayout::of_schema(&function.output_schema(&schema()));
        let mut packed = compiled.on_packed(&from, &to).expect("all is integer arithmetic");

        let expected = compiled.apply(Delta::insertions(batch.clone()));
        let (mut words, mut expected_words, mut out_words, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        from.pack_batch(&batch, &mut words);
        to.pack_batch(&expected.rows, &mut expected_words);
        let mut out = vec![u64::MAX; to.words()];
        for row in words.chunks_exact(from.words()) {
            match packed.apply(row, &mut out) {
                Ok(true) => out_words.extend_from_slice(&out),
                Ok(false) => {}
                Err(error) => errors.push(error),
            }
        }
        prop_assert_eq!(out_words, expected_words);
        let mut expected_errors = expected.errors.into_iter().flat_map(|(e, w)| vec![e; w as usize]).collect::<Vec<_>>();
        expected_errors.sort();
        errors.sort();
        prop_assert_eq!(errors, expected_errors);
    }
}
