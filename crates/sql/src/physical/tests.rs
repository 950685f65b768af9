//! Arithmetic and casts, as PostgreSQL 15 does them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, LogicalPlan, cast, col, lit};
use datafusion_physical_expr::create_physical_expr;

use super::finish_physical_expr;
use crate::bind::tests::{bind, edges};

/// The value of an expression over one row, unoptimized: nothing is folded before.
fn evaluate(sql: &str) -> Result<ScalarValue, String> {
    let plan = bind(&edges(), &format!("SELECT {sql}")).plan;
    let plan = datafusion_optimizer::Analyzer::new().execute_and_check(plan, &crate::bind::context::OPTIONS, |_, _| {}).unwrap();
    let LogicalPlan::Projection(projection) = plan else { panic!("{plan}") };
    evaluate_expr(&projection.expr[0], &one_row())
}

fn one_row() -> RecordBatch {
    RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]).unwrap()
}

fn evaluate_expr(expr: &Expr, batch: &RecordBatch) -> Result<ScalarValue, String> {
    let schema = DFSchema::try_from(batch.schema().as_ref().clone()).unwrap();
    let physical = create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default()).unwrap();
    let finished = finish_physical_expr(physical);
    assert_eq!(finished.to_string(), finish_physical_expr(Arc::clone(&finished)).to_string());
    let value =
        finished.evaluate(batch).and_then(|v| v.into_array(1)).map_err(|e| crate::bind::errors::from_datafusion(e).to_string())?;
    Ok(ScalarValue::try_from_array(&value, 0).unwrap())
}

fn shown(sql: &str) -> String {
    match evaluate(sql) {
        Ok(value) => array_value_to_string(&value.to_array().unwrap(), 0).unwrap(),
        Err(error) => format!("ERROR {error}"),
    }
}

#[test]
fn arithmetic_fails_where_postgresql_fails() {
    for (sql, expected) in [
        ("2 + 3 * 4", "14"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("1 / 0", "ERROR division by zero"),
        ("1 % 0", "ERROR division by zero"),
        ("1.0::float8 / 0.0::float8", "ERROR division by zero"),
        ("NULL::float8 / 0.0::float8", ""),
        ("7.5::float8 / 2", "3.75"),
        ("-(5::int)", "-5"),
        ("1.5 + 1", "2.5"),
    ] {
        assert_eq!(shown(sql), expected, "{sql}");
    }
    for sql in ["2147483647 + 1", "(-2147483647) - 2", "65536 * 65536", "9223372036854775807 + 1", "-((-2147483647) - 1)"] {
        assert!(evaluate(sql).is_err(), "{sql}");
    }
}

#[test]
fn casts_round_and_read_and_write_as_postgresql_does() {
    for (sql, expected) in [
        ("2.5::int", "3"),
        ("-2.5::int", "-3"),
        ("2.5::float8::int", "2"),
        ("3.5::float8::int", "4"),
        ("9.99::numeric(10,2)::int", "10"),
        ("1e10::float8::int", "ERROR integer out of range"),
        ("99999999999::bigint::int", "ERROR integer out of range"),
        ("40000::smallint", "ERROR smallint out of range"),
        ("12345.678::numeric(5,2)", "ERROR numeric field overflow"),
        ("' 42 '::int", "42"),
        ("'4x'::int", "ERROR invalid input syntax for type integer: \"4x\""),
        ("'99999999999'::int", "ERROR value \"99999999999\" is out of range for type integer"),
        ("'tr'::boolean", "true"),
        ("'off'::boolean", "false"),
        ("'o'::boolean", "ERROR invalid input syntax for type boolean: \"o\""),
        ("'2024-02-30'::date", "ERROR date/time field value out of range: \"2024-02-30\""),
        ("'2024-02-29'::date", "2024-02-29"),
        ("1.0::float8::text", "1"),
        ("1e15::float8::text", "1e+15"),
        ("123456789012345678::float8::text", "1.2345678901234568e+17"),
        ("0.00001::float8::text", "1e-05"),
        ("0.0001::float8::text", "0.0001"),
        ("(-0.25)::real::text", "-0.25"),
        ("'NaN'::float8::text", "NaN"),
        ("true::text", "true"),
        ("'2024-01-31 10:00:00.5'::timestamp::text", "2024-01-31 10:00:00.5"),
        ("'2024-01-31 10:00:00'::timestamptz::text", "2024-01-31 10:00:00+00"),
        ("5::text", "5"),
        (r"('\x00FF'::bytea)::text", r"\x00ff"),
        (r"('a\\b\001'::bytea)::text", r"\x615c6201"),
        (r"'\x0'::bytea", "ERROR invalid hexadecimal data: odd number of digits"),
        ("'25:00:00'::time", "ERROR date/time field value out of range: \"25:00:00\""),
    ] {
        assert_eq!(shown(sql), expected, "{sql}");
    }
}

#[test]
fn columns_are_cast_like_constants() {
    let batch = RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(vec!["7"])) as ArrayRef)]).unwrap();
    let value = evaluate_expr(&(cast(col("t"), DataType::Int32) + lit(1_i32)), &batch).unwrap();
    assert_eq!(value, ScalarValue::Int32(Some(8)));
}

#[test]
fn intervals_are_read_in_every_form() {
    let read = |text: &str| match evaluate(&format!("'{text}'::interval")) {
        Ok(ScalarValue::IntervalMonthDayNano(Some(i))) => Ok((i.months, i.days, i.nanoseconds / 1_000_000)),
        Ok(other) => panic!("{text} is {other}"),
        Err(error) => Err(error),
    };
    for (text, expected) in [
        ("1 day 02:00:00", (0, 1, 7_200_000)),
        ("2 months -3 days", (2, -3, 0)),
        ("1.5 months", (1, 15, 0)),
        ("1.5 years", (18, 0, 0)),
        ("-1-2", (-14, 0, 0)),
        ("1 5:00", (0, 1, 18_000_000)),
        ("0.5 day", (0, 0, 43_200_000)),
        ("2.3 weeks", (0, 16, 8_640_000)),
        ("1h30m", (0, 0, 5_400_000)),
        ("@ 3 hours 4 mins ago", (0, 0, -11_040_000)),
        ("7.25", (0, 0, 7_250)),
        ("P1Y2M3DT4H5.5S", (14, 3, 14_405_500)),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
    for text in ["", "1 2", "day", "1 fortnight", "1:60", "ago 1 day", "P"] {
        assert_eq!(read(text), Err(format!("invalid input syntax for type interval: \"{text}\"")));
    }
}
