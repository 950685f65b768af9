//! Scripts: `-c`, `-f`, standard input, formats, errors, stores.

use crate::{refrain, refrain_with_input};

#[test]
fn results_alone_are_on_standard_output() {
    let ran = refrain(&[
        "-c",
        "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)",
        "-c",
        "SELECT a, b FROM t ORDER BY a",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (0, " a |  b\n---+------\n 1 | x\n 2 | NULL\n(2 rows)\n"), "{}", ran.err);
    assert_eq!(ran.err, "");
}

#[test]
fn the_first_error_ends_a_script() {
    let ran = refrain(&["--format", "csv", "-c", "SELECT 1 AS a; SELECT * FROM nowhere; SELECT 2 AS a", "-c", "SELECT 3 AS a"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "a\n1\n"));
    assert_eq!(ran.err, "ERROR:  relation \"nowhere\" does not exist (SQLSTATE 42P01)\n");
}

#[test]
fn keep_going_goes_on_and_still_tells() {
    let ran = refrain(&[
        "--keep-going",
        "--format",
        "csv",
        "-c",
        "SELECT 1/0; SELECT 2 AS a",
        "-c",
        "SELECT nope",
        "-c",
        "SELECT 3 AS a",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "a\n2\na\n3\n"));
    assert_eq!(ran.err.matches("ERROR:").count(), 2);
    assert!(ran.err.contains("ERROR:  division by zero (SQLSTATE 22012)"), "{}", ran.err);
}

#[test]
fn files_and_commands_run_in_the_order_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.sql");
    std::fs::write(&file, "\\echo from the file\n-- comment\nSELECT a + 1 AS a\nFROM t;\n\nSELECT * FROM nowhere;\n").unwrap();
    let file = file.to_str().unwrap();
    let before = "CREATE TABLE t (a int); INSERT INTO t VALUES (1)";
    let ran = refrain(&["--format", "json", "-c", before, "-f", file, "-c", "SELECT 9 AS a"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "from the file\n{\"a\":2}\n"), "{}", ran.err);
    assert_eq!(ran.err, format!("{file}:6: ERROR:  relation \"nowhere\" does not exist (SQLSTATE 42P01)\n"));
}

#[test]
fn a_script_comes_from_standard_input() {
    let script = "CREATE TABLE t (a int);\nINSERT INTO t\nVALUES (1), (2);\n\\format markdown\nSELECT count(*) AS n FROM t";
    let ran = refrain_with_input(&[], script);
    assert_eq!((ran.code, ran.out.as_str()), (0, "| n |\n|---:|\n| 2 |\n"), "{}", ran.err);
    let ran = refrain_with_input(&["--format", "csv", "-f", "-"], "SELECT 'a;b' AS s;");
    assert_eq!((ran.code, ran.out.as_str()), (0, "s\na;b\n"), "{}", ran.err);
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let ran = refrain(&["-f", "no/such/file.sql"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("ERROR:  cannot read no/such/file.sql: "), "{}", ran.err);
}

#[test]
fn a_store_outlives_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let store = store.to_str().unwrap();
    let load = "CREATE TABLE edge (a int, b int);
        CREATE MATERIALIZED VIEW reach AS WITH RECURSIVE r(a, b) AS (SELECT a, b FROM edge UNION
            SELECT r.a, e.b FROM r JOIN edge e ON r.b = e.a) SELECT a, b FROM r;
        INSERT INTO edge VALUES (1, 2), (2, 3);
        CHECKPOINT;
        INSERT INTO edge VALUES (3, 4)";
    let ran = refrain(&["--store", store, "-c", load]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let ran = refrain(&["--store", store, "--workers", "2", "--format", "csv", "-c", "SELECT a, b FROM reach ORDER BY a, b"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "a,b\n1,2\n1,3\n1,4\n2,3\n2,4\n3,4\n"), "{}", ran.err);
    let change = "DELETE FROM edge WHERE a = 2; SELECT count(*) AS n FROM reach";
    let ran = refrain(&["--store", store, "--format", "csv", "-c", change]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "n\n2\n"), "{}", ran.err);
}

#[test]
fn a_wrong_command_line_is_said_so() {
    let ran = refrain(&["--workers", "0"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("not a positive number"), "{}", ran.err);
}

#[test]
fn a_bad_line_of_a_file_is_named_and_nothing_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("towns.csv");
    std::fs::write(&file, "1,100\n2,many\n").unwrap();
    let copy = format!("CREATE TABLE town (id int, people int); COPY town FROM '{}' WITH (FORMAT csv)", file.display());
    let ran = refrain(&["--keep-going", "--format", "csv", "-c", &copy, "-c", "SELECT count(*) AS n FROM town"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "n\n0\n"), "{}", ran.err);
    let expected = "ERROR:  invalid input syntax for type integer: \"many\" (SQLSTATE 22P02)\nDETAIL:  COPY town, line 2, column people: \"many\"\n";
    assert_eq!(ran.err, expected);
}
