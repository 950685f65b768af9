//! What `COPY … TO` writes is what PostgreSQL 15 writes (and its `row_to_json`), byte for byte, and comes back as the same rows.

use std::path::Path;

use refrain::Session;

use crate::rows::{error, memory, rows, run};

const COLUMNS: &str =
    "i int, b boolean, t text, n numeric(8,2), f double precision, d date, ts timestamp, tz timestamptz, by bytea, iv interval";

/// As `COPY t TO` wrote them.
const TEXT: &str = "1\tt\ta\\tb\\\\c\\nd,\"e\"\t1.50\t1e+300\t2024-02-29\t2024-02-29 01:02:03.5\t2024-02-29 01:02:03+00\t\\\\x00ff\t1 day 02:00:00\n\
    \\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n\
    -3\tf\t\t-0.25\tNaN\t0001-01-01\t1999-12-31 23:59:59\t1970-01-01 00:00:00+00\t\\\\x\t00:00:00.5\n\
    4\t\\N\t\\\\.\t0.00\t-Infinity\t\\N\t\\N\t\\N\t\\N\t\\N\n\
    5\t\\N\t\\\\N\t0.00\t0.1\t\\N\t\\N\t\\N\t\\N\t\\N\n";

/// As `COPY t TO … CSV HEADER` did.
const CSV: &str = "i,b,t,n,f,d,ts,tz,by,iv\n\
    1,t,\"a\tb\\c\nd,\"\"e\"\"\",1.50,1e+300,2024-02-29,2024-02-29 01:02:03.5,2024-02-29 01:02:03+00,\\x00ff,1 day 02:00:00\n\
    ,,,,,,,,,\n\
    -3,f,\"\",-0.25,NaN,0001-01-01,1999-12-31 23:59:59,1970-01-01 00:00:00+00,\\x,00:00:00.5\n\
    4,,\\.,0.00,-Infinity,,,,,\n\
    5,,\\N,0.00,0.1,,,,,\n";

/// As `row_to_json` did.
const JSON: &str = r#"{"i":1,"b":true,"t":"a\tb\\c\nd,\"e\"","n":1.50,"f":1e+300,"d":"2024-02-29","ts":"2024-02-29T01:02:03.5","tz":"2024-02-29T01:02:03+00:00","by":"\\x00ff","iv":"1 day 02:00:00"}
{"i":null,"b":null,"t":null,"n":null,"f":null,"d":null,"ts":null,"tz":null,"by":null,"iv":null}
{"i":-3,"b":false,"t":"","n":-0.25,"f":"NaN","d":"0001-01-01","ts":"1999-12-31T23:59:59","tz":"1970-01-01T00:00:00+00:00","by":"\\x","iv":"00:00:00.5"}
{"i":4,"b":null,"t":"\\.","n":0.00,"f":"-Infinity","d":null,"ts":null,"tz":null,"by":null,"iv":null}
{"i":5,"b":null,"t":"\\N","n":0.00,"f":0.1,"d":null,"ts":null,"tz":null,"by":null,"iv":null}
"#;

/// The lines of a file, as far as line ends outside of quotes tell; the order of rows is not said.
fn sorted(text: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut is_quoted = false;
    for c in text.chars() {
        is_quoted ^= c == '"';
        match c {
            '\n' if !is_quoted => rows.push(String::new()),
            c => rows.last_mut().expect("there is one").push(c),
        }
    }
    rows.sort();
    rows
}

async fn copied(session: &Session, copy: &str, file: &Path) -> String {
    run(session, &format!("COPY {copy}").replace("FILE", &file.display().to_string())).await;
    std::fs::read_to_string(file).expect("the file was written")
}

#[tokio::test]
async fn files_are_those_of_postgresql() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let session = memory().await;
    run(&session, &format!("CREATE TABLE t ({COLUMNS})")).await;
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("given"), TEXT).expect("a file can be written");
    run(&session, &format!("COPY t FROM '{}'", file("given").display())).await;
    assert_eq!(sorted(&copied(&session, "t TO 'FILE'", &file("text")).await), sorted(TEXT));
    assert_eq!(sorted(&copied(&session, "t TO 'FILE' CSV HEADER", &file("csv")).await), sorted(CSV));
    assert_eq!(sorted(&copied(&session, "t TO 'FILE' (FORMAT json)", &file("lines")).await), sorted(JSON));
    let odd =
        copied(&session, "(SELECT t FROM t ORDER BY i) TO 'FILE' (FORMAT csv, NULL 'x', ESCAPE '\\', HEADER)", &file("odd")).await;
    assert_eq!(odd, "t\n\n\"a\tb\\\\c\nd,\\\"e\\\"\"\n\"\\\\.\"\n\\N\nx\n");
    let commas =
        copied(&session, "(SELECT i, t FROM t ORDER BY i) TO 'FILE' (DELIMITER ',', NULL '', HEADER)", &file("commas")).await;
    assert_eq!(commas, "i,t\n-3,\n1,a\\tb\\\\c\\nd\\,\"e\"\n4,\\\\.\n5,\\\\N\n,\n");
    let nested = "(SELECT make_array(1, NULL, 3) AS a, named_struct('b', 'x', 'c', 1.5) AS r) TO 'FILE'";
    assert_eq!(copied(&session, nested, &file("lists.json")).await, "{\"a\":[1,null,3],\"r\":{\"b\":\"x\",\"c\":1.5}}\n");
    // All of them come back.
    let wanted = rows(&session, "SELECT * FROM t ORDER BY i").await;
    for (from, to) in [("text", ""), ("csv", "CSV HEADER"), ("lines", "JSON"), ("t.csv.gz", ""), ("t.json.gz", "")] {
        let path = file(from).display().to_string();
        if from.starts_with("t.") {
            run(&session, &format!("COPY t TO '{path}' {to}")).await;
        }
        run(&session, &format!("CREATE TABLE again ({COLUMNS}); COPY again FROM '{path}' {to}")).await;
        assert_eq!(rows(&session, "SELECT * FROM again ORDER BY i").await, wanted, "{from}");
        run(&session, "DROP TABLE again").await;
    }
    let path = file("t.parquet").display().to_string();
    assert_eq!(error(&session, &format!("COPY t TO '{path}'")).await.code(), "0A000", "parquet has no such intervals");
    run(&session, &format!("COPY t (i, b, t, n, f, d, ts, tz, by) TO '{path}'; CREATE TABLE again ({COLUMNS})")).await;
    run(&session, &format!("COPY again (i, b, t, n, f, d, ts, tz, by) FROM '{path}'")).await;
    let without = wanted.iter().map(|row| format!("{}|NULL", row.rsplit_once('|').expect("several columns").0)).collect::<Vec<_>>();
    assert_eq!(rows(&session, "SELECT * FROM again").await, without);
}

#[tokio::test]
async fn columns_and_relations_are_checked() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("out.json");
    let session = memory().await;
    run(&session, "CREATE TABLE t (a int, b text); CREATE VIEW v AS SELECT a FROM t; INSERT INTO t VALUES (1, 'x')").await;
    run(&session, "CREATE MATERIALIZED VIEW m AS SELECT b, a + 1 AS c FROM t").await;
    assert_eq!(copied(&session, "t (b, a) TO 'FILE'", &path).await, "{\"b\":\"x\",\"a\":1}\n");
    assert_eq!(copied(&session, "m TO 'FILE'", &path).await, "{\"b\":\"x\",\"c\":2}\n");
    let refused = async |copy: &str| error(&session, &format!("COPY {copy}").replace("FILE", &path.display().to_string())).await;
    assert_eq!(refused("v TO 'FILE'").await.message(), "cannot copy from view \"v\"");
    assert_eq!(refused("t (c) TO 'FILE'").await.message(), "column \"c\" of relation \"t\" does not exist");
    assert_eq!(refused("nix TO 'FILE'").await.code(), "42P01");
    let missing = refused("t TO 'FILE/x'").await;
    assert_eq!(missing.code(), "58030", "{missing:?}");
    std::fs::write(&path, "{\"a\": 1, \"b\": \"y\", \"more\": [1]}\n\n{\"a\": \"2\"}\n").expect("a file can be written");
    run(&session, &format!("COPY t FROM '{}'", path.display())).await;
    assert_eq!(rows(&session, "SELECT a, b FROM t WHERE b IS NULL OR b = 'y' ORDER BY a").await, ["1|y", "2|NULL"]);
    std::fs::write(&path, "{\"a\": 1}\n{\"a\": true}\n").expect("a file can be written");
    let bad = refused("t FROM 'FILE'").await;
    assert_eq!((bad.code(), bad.message()), ("22P02", "invalid input syntax for type integer: \"true\""));
    assert_eq!(bad.detail(), Some("COPY t, line 2, column a: \"true\""));
    std::fs::write(&path, "{\"a\": 1}\n[2]\n").expect("a file can be written");
    let bad = refused("t FROM 'FILE'").await;
    assert!(bad.message().starts_with("invalid input syntax for type json: "), "{bad:?}");
    assert_eq!(bad.detail(), Some("COPY t, line 2: \"[2]\""));
    assert_eq!(rows(&session, "SELECT count(*) FROM t").await, ["3"]);
}
