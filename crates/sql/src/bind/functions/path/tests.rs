use arrow::array::{Float64Array, Int32Array, StringArray};
use datafusion_common::config::ConfigOptions;

use super::*;

fn call(function: PathFunction, columns: &[ArrayRef]) -> ArrayRef {
    let udf = function.udf();
    let rows = columns[0].len();
    let arg_fields = columns.iter().map(|c| Arc::new(Field::new("c", c.data_type().clone(), true))).collect::<Vec<_>>();
    let types = columns.iter().map(|c| c.data_type().clone()).collect::<Vec<_>>();
    let return_field = Arc::new(Field::new("r", udf.return_type(&types).expect("a type"), false));
    let args = columns.iter().map(|c| ColumnarValue::Array(Arc::clone(c))).collect();
    let args = ScalarFunctionArgs {
        args,
        arg_fields,
        number_rows: rows,
        return_field,
        config_options: Arc::new(ConfigOptions::default()),
    };
    udf.invoke_with_args(args).expect("a result").to_array(rows).expect("an array")
}

#[test]
fn a_path_holds_the_records_that_it_was_extended_by() {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]));
    let start = call(PathFunction::Start, &[Arc::clone(&numbers), Arc::clone(&texts)]);
    let next: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), None]));
    let path = call(PathFunction::Extended, &[start, Arc::clone(&next), Arc::clone(&texts)]);
    // Of a slice, too.
    let path = path.slice(1, 2);
    assert_eq!(path.as_list::<i32>().value_length(0), 2);
    let held = |number: Option<i32>, text: Option<&str>| {
        let columns: [ArrayRef; 2] =
            [Arc::new(Int32Array::from(vec![number; 2])), Arc::new(StringArray::from(vec![text.map(str::to_owned); 2]))];
        let held = call(PathFunction::Holds, &[&[Arc::clone(&path)], columns.as_slice()].concat());
        held.as_boolean().iter().collect::<Vec<_>>()
    };
    assert_eq!(held(None, Some("b")), [Some(true), Some(false)]);
    assert_eq!(held(Some(2), Some("b")), [Some(true), Some(false)]);
    assert_eq!(held(None, None), [Some(false), Some(true)], "NULL equals NULL");
    assert_eq!(held(Some(3), None), [Some(false), Some(true)]);
    assert_eq!(held(Some(3), Some("b")), [Some(false), Some(false)]);
}

#[test]
fn floats_are_equal_by_value() {
    let path = call(PathFunction::Start, &[Arc::new(Float64Array::from(vec![-0.0, f64::NAN, 1.0]))]);
    let held = call(PathFunction::Holds, &[path, Arc::new(Float64Array::from(vec![0.0, f64::NAN, 2.0]))]);
    assert_eq!(held.as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(true), Some(false)]);
}

#[test]
fn levels_count_up() {
    let columns: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    let level = call(PathFunction::FirstLevel, &[Arc::clone(&columns)]);
    let next = call(PathFunction::NextLevel, &[call(PathFunction::NextLevel, &[level, Arc::clone(&columns)]), columns]);
    assert_eq!(next.as_struct().column(0).as_primitive::<Int64Type>().values(), &[2]);
    assert_eq!(next.as_struct().num_columns(), 2);
}
