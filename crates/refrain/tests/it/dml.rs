//! INSERT, DELETE, UPDATE, COPY, and rows that a program hands in.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};

use crate::rows::{error, memory, rows, rows_in_order, run};

#[tokio::test]
async fn rows_come_and_go() {
    let s = memory().await;
    assert_eq!(run(&s, "CREATE TABLE t (a INT NOT NULL, b TEXT)").await, "CREATE TABLE");
    assert_eq!(run(&s, "INSERT INTO t VALUES (1, 'x'), (2, NULL), (2, NULL), (3, '')").await, "INSERT 0 4");
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1|x", "2|NULL", "2|NULL", "3|"]);
    assert_eq!(run(&s, "UPDATE t SET a = a + 10, b = 'y' WHERE a = 2").await, "UPDATE 2");
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["12|y", "12|y", "1|x", "3|"]);
    assert_eq!(run(&s, "DELETE FROM t WHERE b = 'y' OR a = 1").await, "DELETE 3");
    assert_eq!(rows(&s, "SELECT a, b, count(*) FROM t GROUP BY a, b").await, ["3||1"]);
    assert_eq!(run(&s, "INSERT INTO t (b, a) SELECT b || '!', a * 2 FROM t").await, "INSERT 0 1");
    assert_eq!(rows_in_order(&s, "SELECT a, b FROM t ORDER BY a DESC").await, ["6|!", "3|"]);
    assert_eq!(run(&s, "DELETE FROM t").await, "DELETE 2");
    assert!(rows(&s, "SELECT * FROM t").await.is_empty());
    assert_eq!(rows(&s, "SELECT count(*), sum(a) FROM t").await, ["0|NULL"]);
}

#[tokio::test]
async fn what_cannot_be_stored_changes_nothing() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a SMALLINT NOT NULL, b VARCHAR(3)); INSERT INTO t VALUES (1, 'a')").await;
    let e = error(&s, "INSERT INTO t VALUES (2, 'b'), (NULL, 'c')").await;
    assert_eq!((e.code(), e.detail()), ("23502", Some("Failing row contains (null, c).")));
    assert_eq!(error(&s, "UPDATE t SET b = 'long'").await.code(), "22001");
    assert_eq!(error(&s, "INSERT INTO t VALUES (40000, 'a')").await.code(), "22003");
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1|a"]);
    run(&s, "CREATE TABLE log (a INT) WITH (append_only = true); INSERT INTO log VALUES (1)").await;
    assert_eq!(error(&s, "DELETE FROM log").await.message(), "cannot delete from append-only table \"log\"");
    assert_eq!(error(&s, "UPDATE log SET a = 2").await.message(), "cannot update append-only table \"log\"");
}

fn batch(values: &[(i32, &str)]) -> RecordBatch {
    let a: ArrayRef = Arc::new(Int32Array::from_iter_values(values.iter().map(|v| v.0)));
    let b: ArrayRef = Arc::new(StringArray::from_iter_values(values.iter().map(|v| v.1)));
    RecordBatch::try_from_iter([("a", a), ("b", b)]).expect("the columns are equally long")
}

#[tokio::test]
async fn programs_insert_and_delete_batches() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT, b TEXT)").await;
    assert_eq!(s.insert("t", batch(&[(1, "x"), (1, "x"), (2, "y")])).await.unwrap(), 3);
    assert_eq!(s.delete("t", batch(&[(1, "x")])).await.unwrap(), 1);
    let e = s.delete("t", batch(&[(2, "y"), (1, "x"), (1, "x")])).await.unwrap_err();
    assert_eq!((e.code(), e.detail()), ("02000", Some("Row (1, x) is not there.")));
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1|x", "2|y"]);
    run(&s, "INSERT INTO t VALUES (1, 'x')").await;
    assert_eq!(s.delete("t", batch(&[(2, "y"), (1, "x"), (1, "x")])).await.unwrap(), 3);
    assert!(rows(&s, "SELECT * FROM t").await.is_empty());
}

#[tokio::test]
async fn copy_reads_csv_gzip_and_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("t.csv"), "a,b\n1,x\n2,\"\"\n3,\n").unwrap();
    let mut gzip = flate2::write::GzEncoder::new(std::fs::File::create(path("t.csv.gz")).unwrap(), flate2::Compression::fast());
    gzip.write_all(b"4;z\n").unwrap();
    gzip.finish().unwrap();
    let file = std::fs::File::create(path("t.parquet")).unwrap();
    let mut parquet = parquet::arrow::ArrowWriter::try_new(file, batch(&[(5, "p")]).schema(), None).unwrap();
    parquet.write(&batch(&[(5, "p")])).unwrap();
    parquet.close().unwrap();

    let s = memory().await;
    run(&s, "CREATE TABLE t (a INT, b TEXT)").await;
    assert_eq!(run(&s, &format!("COPY t FROM '{}' WITH (FORMAT csv, HEADER true)", path("t.csv"))).await, "COPY 3");
    assert_eq!(run(&s, &format!("COPY t FROM '{}' WITH (FORMAT csv, DELIMITER ';')", path("t.csv.gz"))).await, "COPY 1");
    assert_eq!(run(&s, &format!("COPY t FROM '{}' WITH (FORMAT parquet)", path("t.parquet"))).await, "COPY 1");
    assert_eq!(rows(&s, "SELECT * FROM t").await, ["1|x", "2|", "3|NULL", "4|z", "5|p"]);

    std::fs::write(path("bad.csv"), "7,x\nseven,y\n").unwrap();
    let e = error(&s, &format!("COPY t FROM '{}' WITH (FORMAT csv)", path("bad.csv"))).await;
    assert_eq!(e.message(), "invalid input syntax for type integer: \"seven\"");
    assert_eq!(e.detail(), Some("COPY t, line 2, column a: \"seven\""));
    assert_eq!(rows(&s, "SELECT count(*) FROM t").await, ["5"]);
    assert_eq!(error(&s, "COPY t FROM '/no/such/file' WITH (FORMAT csv)").await.code(), "58P01");
}

/// As PostgreSQL has it while it runs: a number that was taken is not given back, and one that a row brought is not looked at.
#[tokio::test]
async fn numbers_that_were_taken_are_not_given_back() {
    let s = memory().await;
    run(&s, "CREATE TABLE t (id SERIAL PRIMARY KEY, a INT NOT NULL)").await;
    let next = async |s: &refrain::Session| rows(s, "INSERT INTO t (a) VALUES (0) RETURNING id").await;
    assert_eq!(next(&s).await, ["1"]);
    assert_eq!(error(&s, "INSERT INTO t (a) VALUES (NULL)").await.code(), "23502");
    assert_eq!(next(&s).await, ["3"]);
    run(&s, "BEGIN").await;
    assert_eq!(next(&s).await, ["4"]);
    run(&s, "ROLLBACK; INSERT INTO t VALUES (6, 0)").await;
    assert_eq!(next(&s).await, ["5"]);
    assert_eq!(error(&s, "INSERT INTO t (a) VALUES (0)").await.code(), "23505");
    assert_eq!(next(&s).await, ["7"]);
    let numbers = (0..20).map(|_| {
        let s = s.clone();
        tokio::spawn(async move { rows(&s, "INSERT INTO t (a) VALUES (1), (1), (1) RETURNING id").await })
    });
    for inserted in numbers.collect::<Vec<_>>() {
        assert_eq!(inserted.await.unwrap().len(), 3);
    }
    assert_eq!(rows(&s, "SELECT count(*), min(id), max(id) FROM t WHERE a = 1").await, ["60|8|67"]);
}
