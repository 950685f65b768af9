//! Names, types and errors of bound queries.

use super::{Bound, bind_query};
use crate::catalog::Catalog;
use crate::error::SqlError;
use crate::statement::Statement;

/// A catalog with the tables of the statements.
pub(crate) fn catalog(script: &str) -> Catalog {
    let mut catalog = Catalog::default();
    for (statement, _) in crate::parse(script).unwrap() {
        match statement {
            Statement::CreateTable(t) => {
                catalog.create_table(&t).unwrap();
            }
            Statement::CreateView(v) => {
                create_view(&mut catalog, &v, crate::RelationKind::View).unwrap();
            }
            Statement::CreateMaterializedView(v) => {
                create_view(&mut catalog, &v, crate::RelationKind::MaterializedView).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    catalog
}

fn create_view(
    catalog: &mut Catalog,
    view: &crate::statement::CreateView,
    kind: crate::RelationKind,
) -> Result<refrain_types::RelationId, SqlError> {
    let bound = super::bind_view(catalog, view)?;
    let definition = crate::ViewDefinition {
        query: view.query_text.clone(),
        columns: view.columns.clone(),
        depends_on: bound.depends_on.clone(),
    };
    catalog.create_view(&view.name, kind, bound.columns(), definition)
}

pub(crate) fn edges() -> Catalog {
    catalog(
        "CREATE TABLE edges (src int, dst int); CREATE TABLE names (id bigint NOT NULL, name text, price numeric(10,2), at timestamp)",
    )
}

pub(crate) fn try_bind(catalog: &Catalog, sql: &str) -> Result<Bound, SqlError> {
    bind_query(catalog, &*crate::parser::parse_query(sql)?)
}

pub(crate) fn bind(catalog: &Catalog, sql: &str) -> Bound {
    try_bind(catalog, sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}

pub(crate) fn error(catalog: &Catalog, sql: &str) -> String {
    let e = try_bind(catalog, sql).and_then(|b| crate::optimize_view(b.plan)).expect_err(sql);
    format!("{}: {}", e.code, e.message)
}

/// Name, PostgreSQL's type and nullability of each column.
fn columns(sql: &str) -> Vec<String> {
    let bound = bind(&edges(), sql);
    let _ = crate::optimize_query(bound.plan.clone()).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    bound
        .schema
        .fields()
        .iter()
        .map(|f| format!("{} {}{}", f.name(), crate::types::type_name(f.data_type()), if f.is_nullable() { "?" } else { "" }))
        .collect()
}

#[test]
fn output_columns_have_postgresql_names_and_types() {
    for (sql, expected) in [
        (
            "SELECT 1, 3000000000, 1.5, 'a', NULL, true",
            vec!["?column? integer", "?column? bigint", "?column? numeric", "?column? text", "?column? text?", "bool boolean"],
        ),
        ("SELECT count(*), count(*), max(src) FROM edges", vec!["count bigint", "count bigint", "max integer?"]),
        (
            "SELECT sum(src), avg(src), sum(id), sum(price), sum(src::real) FROM edges, names",
            vec!["sum bigint?", "avg numeric?", "sum numeric?", "sum numeric?", "sum real?"],
        ),
        (
            "SELECT src + dst, src::bigint, -src, (src), '1'::int FROM edges",
            vec!["?column? integer?", "src bigint?", "?column? integer?", "src integer?", "int4 integer"],
        ),
        ("SELECT *, src FROM edges", vec!["src integer?", "dst integer?", "src integer?"]),
        ("SELECT a.*, b.src FROM edges a, edges b", vec!["src integer?", "dst integer?", "src integer?"]),
        (
            "SELECT lower(name), CASE WHEN id > 1 THEN name END, coalesce(name, 'x'), extract(year FROM at) FROM names",
            vec!["lower text?", "case text?", "coalesce text", "extract integer?"],
        ),
        ("SELECT (SELECT max(src) FROM edges), EXISTS (SELECT 1 FROM edges)", vec!["max integer?", "exists boolean"]),
        ("SELECT src AS \"Odd Name\", dst AS Folded FROM edges", vec!["Odd Name integer?", "folded integer?"]),
        ("SELECT date '2024-01-02' + 1, date '2024-01-02' - date '2024-01-01'", vec!["?column? date", "?column? integer"]),
        ("SELECT row_number() OVER (ORDER BY src) FROM edges", vec!["row_number bigint"]),
        ("VALUES (1, 'a'), (2, NULL)", vec!["column1 integer", "column2 text?"]),
        ("SELECT src FROM edges GROUP BY 1 ORDER BY 1 LIMIT 3", vec!["src integer?"]),
    ] {
        assert_eq!(columns(sql), expected, "{sql}");
    }
}

#[test]
fn errors_are_in_postgresql_words() {
    for (sql, expected) in [
        ("SELECT x FROM edges", "42703: column \"x\" does not exist"),
        ("SELECT e.x FROM edges e", "42703: column e.x does not exist"),
        ("SELECT f.x FROM edges e", "42P01: missing FROM-clause entry for table \"f\""),
        ("SELECT src FROM edges a, edges b", "42702: column reference \"src\" is ambiguous"),
        ("SELECT * FROM nope", "42P01: relation \"nope\" does not exist"),
        ("SELECT * FROM other.nope", "42P01: relation \"other.nope\" does not exist"),
        ("SELECT foo(1)", "42883: function foo(integer) does not exist"),
        (
            "SELECT src, count(*) FROM edges",
            "42803: column \"edges.src\" must appear in the GROUP BY clause or be used in an aggregate function",
        ),
        (
            "SELECT min(src), min(src::bigint) FROM edges",
            "0A000: two function calls or groups that differ by casts alone are not supported in one query",
        ),
        (
            "SELECT 1 FROM edges GROUP BY src::text, src::bigint",
            "0A000: two function calls or groups that differ by casts alone are not supported in one query",
        ),
        ("SELECT * FROM edges, edges", "42712: table name \"edges\" specified more than once"),
        ("SELECT 1 UNION SELECT 1, 2", "42601: each UNION query must have the same number of columns"),
        ("SELECT src FROM edges UNION SELECT name FROM names", "42804: UNION types integer and text cannot be matched"),
        ("SELECT src = name FROM edges, names", "42883: operator does not exist: integer = text"),
        ("SELECT name + 1 FROM names", "42883: operator does not exist: text + integer"),
        ("SELECT src FROM edges WHERE dst", "42804: argument of WHERE must be type boolean, not type integer"),
        ("SELECT sum(name) FROM names", "42883: function sum(text) does not exist"),
        ("SELECT 1::uuid", "0A000: type uuid is not supported"),
        ("SELECT 1::nonsense", "42704: type \"nonsense\" does not exist"),
        ("SELECT 2147483647 + 1", "22003: integer out of range"),
        ("SELECT 9223372036854775807 + 1", "22003: bigint out of range"),
        ("SELECT 1/0", "22012: division by zero"),
        ("SELECT 1.5::float8 / 0", "22012: division by zero"),
        ("SELECT 'abc'::int", "22P02: invalid input syntax for type integer: \"abc\""),
        ("SELECT 99999999999::int", "22003: integer out of range"),
        ("SELECT '99999999999'::int", "22003: value \"99999999999\" is out of range for type integer"),
        ("SELECT 'x'::boolean", "22P02: invalid input syntax for type boolean: \"x\""),
        ("SELECT '2024-02-30'::date", "22008: date/time field value out of range: \"2024-02-30\""),
        ("SELECT 'foo'::date", "22007: invalid input syntax for type date: \"foo\""),
    ] {
        assert_eq!(error(&edges(), sql), expected, "{sql}");
    }
}

#[test]
fn a_statement_depends_on_what_it_names() {
    let catalog = catalog("CREATE TABLE t (n int); CREATE VIEW v AS SELECT n FROM t; CREATE TABLE u (n int)");
    let id = |name: &str| catalog.relation(name).unwrap().id;
    let depends = |sql: &str| bind(&catalog, sql).depends_on.into_iter().collect::<Vec<_>>();
    assert_eq!(depends("SELECT * FROM v"), [id("v")]);
    assert_eq!(depends("SELECT * FROM v, t"), [id("t"), id("v")]);
    // A WITH query hides the table of its name.
    assert_eq!(depends("WITH u AS (SELECT 1) SELECT * FROM u"), []);
}

fn writes(sql: &str) -> Result<Bound, SqlError> {
    let catalog = edges();
    match crate::parse(sql)?.remove(0).0 {
        Statement::Insert(s) => super::bind_insert(&catalog, &s),
        Statement::Delete(s) => super::bind_delete(&catalog, &s),
        Statement::Update(s) => super::bind_update(&catalog, &s),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_to_write_have_the_columns_of_the_table() {
    let types = |sql: &str| {
        let bound = writes(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        crate::optimize_query(bound.plan).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        bound.schema.fields().iter().map(|f| crate::types::type_name(f.data_type())).collect::<Vec<_>>().join(", ")
    };
    let names = "bigint, text, numeric, timestamp without time zone";
    assert_eq!(types("INSERT INTO edges VALUES (1, 2), (NULL, '3'), (DEFAULT, 4)"), "integer, integer");
    assert_eq!(types("INSERT INTO names (name, id) SELECT 'a', src FROM edges"), names);
    assert_eq!(types("INSERT INTO names VALUES (1, 2, 3, '2024-01-01 10:00:00')"), names);
    assert_eq!(types("INSERT INTO names VALUES (1)"), names);
    assert_eq!(types("DELETE FROM edges e WHERE e.src IN (SELECT dst FROM edges)"), "integer, integer");
    assert_eq!(types("UPDATE edges SET dst = src + 1 WHERE src > 3"), "integer, integer, integer, integer");
    assert_eq!(types("UPDATE names n SET price = n.price * 2, at = NULL"), format!("{names}, {names}"));
}

#[test]
fn rows_that_cannot_be_written_are_refused() {
    for (sql, expected) in [
        ("INSERT INTO edges VALUES (1, 2, 3)", "42601: INSERT has more expressions than target columns"),
        ("INSERT INTO edges (src, dst) VALUES (1)", "42601: INSERT has more target columns than expressions"),
        ("INSERT INTO edges (src, src) VALUES (1, 2)", "42701: column \"src\" specified more than once"),
        ("INSERT INTO edges (x) VALUES (1)", "42703: column \"x\" of relation \"edges\" does not exist"),
        ("INSERT INTO edges SELECT name, 1 FROM names", "42804: column \"src\" is of type integer but expression is of type text"),
        ("INSERT INTO edges VALUES ('a', 1)", "22P02: invalid input syntax for type integer: \"a\""),
        ("INSERT INTO edges VALUES (true, 1)", "42804: column \"src\" is of type integer but expression is of type boolean"),
        ("UPDATE edges SET x = 1", "42703: column \"x\" of relation \"edges\" does not exist"),
        ("UPDATE edges SET src = 1, src = 2", "42601: multiple assignments to same column \"src\""),
        ("DELETE FROM nope", "42P01: relation \"nope\" does not exist"),
    ] {
        let result = crate::parse(sql).and_then(|_| writes(sql)).and_then(|b| crate::optimize_query(b.plan));
        let error = result.expect_err(sql);
        assert_eq!(format!("{}: {}", error.code, error.message), expected, "{sql}");
    }
}
