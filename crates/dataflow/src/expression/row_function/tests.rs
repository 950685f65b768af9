use arrow::array::{Float64Array, Int32Array, StringArray};
use arrow::datatypes::{Field, Int32Type};
use datafusion_expr_common::operator::Operator;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, col, in_list, is_null, lit};
use proptest::prelude::*;
use refrain_state::{decode_batch, encode_batch};

use super::*;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int32, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("x", DataType::Float64, false),
    ]))
}

fn column(name: &str) -> Arc<dyn PhysicalExpr> {
    col(name, &schema()).unwrap()
}

fn binary(left: Arc<dyn PhysicalExpr>, operator: Operator, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, operator, right).with_fail_on_overflow(true))
}

fn cast_to(expression: Arc<dyn PhysicalExpr>, data_type: DataType) -> Arc<dyn PhysicalExpr> {
    Arc::new(CastExpr::new(expression, data_type, None))
}

fn filter(condition: Arc<dyn PhysicalExpr>) -> RowFunction {
    RowFunction { steps: vec![Step::Filter(condition)] }
}

fn computed(expression: Arc<dyn PhysicalExpr>, name: &str, data_type: DataType) -> Projected {
    Projected::Computed(expression, Arc::new(Field::new(name, data_type, true)))
}

fn batch(rows: &[(Option<i32>, Option<&str>)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<StringArray>()),
        Arc::new((0..rows.len()).map(|i| Some(i as f64)).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Applies to rows with weights 2, 3, … and iterations 10, 11, …
fn apply(function: &RowFunction, rows: &RecordBatch) -> (Delta, RecordBatch) {
    let dictionary = Dictionary::new();
    let compiled = CompiledRowFunction::new(function, &schema(), Arc::clone(&dictionary), OperatorId(7));
    let mut delta = Delta::weighted(encode_batch(&dictionary, rows), (2..).take(rows.num_rows()).collect());
    delta.iterations = Some((10..).take(rows.num_rows()).collect::<Vec<u32>>().into());
    let out = compiled.apply(delta);
    assert_eq!(&out.rows.schema(), compiled.output_schema());
    assert!(out.weights.as_ref().is_none_or(|w| w.len() == out.num_rows()));
    assert!(out.iterations.as_ref().is_none_or(|t| t.len() == out.num_rows()));
    let logical = decode_batch(&dictionary, &out.rows, &function.output_schema(&schema()));
    (out, logical)
}

fn weights(delta: &Delta) -> Vec<i64> {
    (0..delta.num_rows()).map(|i| delta.weight(i)).collect()
}

fn errors(delta: &Delta) -> Vec<(String, i64)> {
    delta.errors.iter().map(|(error, weight)| (format!("{} {} {}", error.operator, error.code, error.message), *weight)).collect()
}

#[test]
fn null_is_not_true() {
    let rows = batch(&[(Some(1), None), (None, None), (Some(5), None), (Some(0), None)]);
    let (out, logical) = apply(&filter(binary(column("n"), Operator::Gt, lit(0))), &rows);
    assert_eq!(logical.column(0).as_primitive::<Int32Type>().values().to_vec(), [1, 5]);
    assert_eq!((weights(&out), out.iterations.unwrap().to_vec()), (vec![2, 4], vec![10, 12]));
}

#[test]
fn rows_that_fail_become_errors_with_their_weight() {
    for many in [1, 50] {
        // The second time there are too many rows for the small path.
        let rows = [(Some(2), None), (Some(0), None), (None, None), (Some(0), None), (Some(1), None)].repeat(many);
        let division = computed(binary(lit(10), Operator::Divide, column("n")), "q", DataType::Int32);
        let (out, logical) = apply(&RowFunction { steps: vec![Step::Project(vec![division])] }, &batch(&rows));
        let expected = [Some(5), None, Some(10)].repeat(many);
        assert_eq!(logical.column(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), expected);
        let failed = (0..rows.len()).filter(|row| row % 5 == 1 || row % 5 == 3).map(|row| row as i64 + 2).sum();
        assert_eq!(errors(&out), [("7 22012 division by zero".to_owned(), failed)]);
    }
}

#[test]
fn each_expression_that_fails_is_found() {
    let rows = batch(&[(Some(1), Some("1")), (Some(0), Some("x")), (Some(2), Some("x")), (Some(0), Some("4")), (Some(3), None)]);
    let columns = vec![
        computed(binary(lit(6), Operator::Divide, column("n")), "q", DataType::Int32),
        computed(cast_to(column("t"), DataType::Int32), "i", DataType::Int32),
        Projected::Column(1, Arc::new(Field::new("again", DataType::Utf8, true))),
    ];
    let (out, logical) = apply(&RowFunction { steps: vec![Step::Project(columns)] }, &rows);
    assert_eq!(logical.num_rows(), 2);
    assert_eq!(logical.column(2).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1"), None]);
    assert_eq!(weights(&out), [2, 6]);
    // A row that fails twice is one error, the first expression's.
    let said =
        vec![("7 22012 division by zero".to_owned(), 8), ("7 22P02 invalid input syntax for type integer: \"x\"".to_owned(), 4)];
    assert_eq!(errors(&out), said);
}

#[test]
fn a_decided_condition_guards_the_other() {
    let guard = binary(column("n"), Operator::NotEq, lit(0));
    let guarded = binary(binary(lit(10), Operator::Divide, column("n")), Operator::Gt, lit(3));
    let rows = [(Some(2), None), (Some(0), None), (Some(9), None)].repeat(20);
    for rows in [&rows[..3], &rows[..]] {
        let (out, _) = apply(&filter(binary(guard.clone(), Operator::And, guarded.clone())), &batch(rows));
        assert_eq!((out.num_rows(), out.errors.len()), (rows.len() / 3, 0));
    }
}

#[test]
fn no_rows_keep_their_errors() {
    let dictionary = Dictionary::new();
    let function = RowFunction::columns(&schema(), &[1]);
    let compiled = CompiledRowFunction::new(&function, &schema(), Arc::clone(&dictionary), OperatorId(1));
    let error = ErrorRow { operator: OperatorId(3), code: SqlState::DATA_EXCEPTION, message: "earlier".to_owned() };
    let out = compiled.apply(Delta::of_errors(physical_schema(&schema()), vec![(error, 2)]));
    assert_eq!((out.num_rows(), out.errors.len()), (0, 1));
    assert_eq!(&out.rows.schema(), compiled.output_schema());
}

#[test]
fn constants_and_functions_of_text() {
    let columns = vec![
        computed(lit("k"), "k", DataType::Utf8),
        computed(lit(ScalarValue::Int32(None)), "none", DataType::Int32),
        computed(binary(column("t"), Operator::StringConcat, lit("!")), "loud", DataType::Utf8),
        computed(cast_to(column("n"), DataType::Utf8), "digits", DataType::Utf8),
    ];
    let (_, logical) = apply(&RowFunction { steps: vec![Step::Project(columns)] }, &batch(&[(Some(1), Some("a")), (None, None)]));
    let text = |i: usize| logical.column(i).as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(text(0), [Some("k".to_owned()), Some("k".to_owned())]);
    assert_eq!(logical.column(1).null_count(), 2);
    assert_eq!(text(2), [Some("a!".to_owned()), None]);
    assert_eq!(text(3), [Some("1".to_owned()), None]);
}

#[test]
fn text_is_compared_by_code() {
    let dictionary = Dictionary::new();
    let condition = binary(column("t"), Operator::Eq, lit("a"));
    let (inputs, _) = Inputs::of_expressions([&condition].into_iter(), &schema(), &dictionary);
    assert!(inputs.input(0).as_code);
    let condition = binary(column("t"), Operator::Lt, lit("a"));
    let (inputs, _) = Inputs::of_expressions([&condition].into_iter(), &schema(), &dictionary);
    assert!(!inputs.input(0).as_code, "order is not that of codes");
}

proptest! {
    /// Compiled, on codes or not, by kernels or not, a filter keeps what DataFusion keeps.
    #[test]
    fn filters_keep_what_they_should(
        rows in prop::collection::vec((prop::option::of(-2i32..3), prop::option::of(prop::sample::select(vec!["a", "b", "c", ""]))), 0..40),
        which in 0usize..9,
        word in prop::option::of(prop::sample::select(vec!["a", "c", "z"])),
    ) {
        let word = lit(ScalarValue::Utf8(word.map(str::to_owned)));
        let condition = match which {
            0 => binary(column("t"), Operator::Eq, word),
            1 => binary(word, Operator::NotEq, column("t")),
            2 => binary(column("t"), Operator::IsDistinctFrom, word),
            3 => in_list(column("t"), vec![lit("b"), word], &false, &schema()).unwrap(),
            4 => in_list(column("t"), vec![lit("b"), lit("zz")], &true, &schema()).unwrap(),
            5 => is_null(column("t")).unwrap(),
            6 => binary(binary(column("t"), Operator::Eq, word), Operator::Or, binary(column("n"), Operator::Lt, lit(1))),
            7 => binary(column("t"), Operator::GtEq, word),
            _ => binary(binary(column("n"), Operator::Plus, lit(1)), Operator::GtEq, lit(1)),
        };
        let batch = batch(&rows);
        let mask = condition.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap();
        let expected = arrow::compute::filter_record_batch(&batch, mask.as_boolean()).unwrap();
        let (out, logical) = apply(&filter(condition), &batch);
        prop_assert_eq!(&logical, &expected);
        prop_assert!(out.errors.is_empty());
    }

    /// Filters and projections in sequence, rows that fail among them: each row is treated as if it were alone.
    #[test]
    fn rows_are_treated_as_if_alone(
        rows in prop::collection::vec((prop::option::of(-2i32..3), prop::option::of(prop::sample::select(vec!["1", "0", "c", "-7"]))), 0..40),
    ) {
        let function = RowFunction { steps: vec![
            Step::Filter(binary(binary(lit(4), Operator::Divide, column("n")), Operator::Lt, lit(3))),
            Step::Project(vec![
                computed(cast_to(column("t"), DataType::Int32), "i", DataType::Int32),
                Projected::Column(0, Arc::new(Field::new("n", DataType::Int32, true))),
                computed(binary(lit(2), Operator::Modulo, cast_to(column("t"), DataType::Int32)), "m", DataType::Int32),
            ]),
        ] };
        let (out, logical) = apply(&function, &batch(&rows));
        let mut expected = (Vec::new(), Vec::new(), 0i64);
        for (index, row) in rows.iter().enumerate() {
            let (single, one) = apply(&function, &batch(std::slice::from_ref(row)));
            let weight = index as i64 + 2;
            if one.num_rows() == 1 {
                expected.0.push(one);
                expected.1.push(weight);
            }
            expected.2 += single.errors.len() as i64 * weight;
        }
        let expected_rows = arrow::compute::concat_batches(&logical.schema(), &expected.0).unwrap();
        prop_assert_eq!(&logical, &expected_rows);
        prop_assert_eq!(weights(&out), expected.1);
        prop_assert_eq!(out.errors.iter().map(|(_, weight)| *weight).sum::<i64>(), expected.2);
    }
}
