use arrow::array::{Int32Array, Int64Array};
use refrain_sql::{Catalog, Statement, parse};

use super::*;
use crate::database::Database;

fn entry(sql: &str) -> Entry {
    let Statement::CreateTable(create) = parse(sql).unwrap().remove(0).0 else { panic!("not a table") };
    let mut catalog = Catalog::default();
    let id = catalog.create_table(&create).unwrap();
    catalog.get(id).unwrap().clone()
}

fn defaults(entry: &Entry) -> Defaults {
    Defaults::of(&Database::empty(refrain_sql::Rules::default()), entry).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

#[test]
fn columns_are_found_by_name_and_cast() {
    let t = entry("CREATE TABLE t (a INT, b TEXT)");
    let rows = by_name(&t, &batch(vec![("a", Arc::new(Int64Array::from(vec![1, 2])))]), &defaults(&t)).unwrap();
    assert_eq!(rows.schema(), t.schema());
    assert_eq!(rows.column(1).null_count(), 2);
    let error = by_name(&t, &batch(vec![("a", Arc::new(Int64Array::from(vec![i64::MAX])))]), &defaults(&t)).unwrap_err();
    assert_eq!((error.code(), error.message()), ("22003", "integer out of range"));
    let error = by_name(&t, &batch(vec![("c", Arc::new(Int64Array::from(vec![1])))]), &defaults(&t)).unwrap_err();
    assert_eq!(error.message(), "column \"c\" of relation \"t\" does not exist");
}

#[test]
fn a_column_that_rows_lack_has_its_default() {
    let t = entry("CREATE TABLE t (a INT, b INT DEFAULT 6 + 1 NOT NULL)");
    let rows = by_name(&t, &batch(vec![("a", Arc::new(Int32Array::from(vec![1, 2])))]), &defaults(&t)).unwrap();
    assert_eq!(rows.column(1).as_ref(), &Int32Array::from(vec![7, 7]));
}

#[test]
fn null_is_refused_as_postgresql_refuses_it() {
    let t = entry("CREATE TABLE t (a INT NOT NULL, b INT)");
    let rows = batch(vec![("a", Arc::new(Int32Array::from(vec![None]))), ("b", Arc::new(Int32Array::from(vec![2])))]);
    let error = by_name(&t, &rows, &defaults(&t)).unwrap_err();
    assert_eq!(error.code(), "23502");
    assert_eq!(error.message(), "null value in column \"a\" of relation \"t\" violates not-null constraint");
    assert_eq!(error.detail(), Some("Failing row contains (null, 2)."));
}

#[test]
fn texts_are_fitted_to_their_length() {
    let t = entry("CREATE TABLE t (a VARCHAR(3), b CHAR(3))");
    let texts = |a: &str, b: &str| {
        batch(vec![("a", Arc::new(StringArray::from(vec![a])) as ArrayRef), ("b", Arc::new(StringArray::from(vec![b])))])
    };
    let rows = by_name(&t, &texts("abc  ", "x"), &defaults(&t)).unwrap();
    assert_eq!(rows.column(0).as_string::<i32>().value(0), "abc");
    assert_eq!(rows.column(1).as_string::<i32>().value(0), "x");
    let rows = by_name(&t, &texts("a ", "xyz  "), &defaults(&t)).unwrap();
    assert_eq!((rows.column(0).as_string::<i32>().value(0), rows.column(1).as_string::<i32>().value(0)), ("a ", "xyz"));
    let error = by_name(&t, &texts("abcd", "x"), &defaults(&t)).unwrap_err();
    assert_eq!((error.code(), error.message()), ("22001", "value too long for type character varying(3)"));
}
