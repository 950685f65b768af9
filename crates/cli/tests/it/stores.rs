//! `refrain inspect`, and a subscription that is followed as it comes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::refrain;

const LOAD: &str = "CREATE TABLE edge (a int, b int);
    CREATE MATERIALIZED VIEW reach AS WITH RECURSIVE r(a, b) AS (SELECT a, b FROM edge UNION
        SELECT r.a, e.b FROM r JOIN edge e ON r.b = e.a) SELECT a, b FROM r;
    INSERT INTO edge VALUES (1, 2), (2, 3);
    SELECT count(*) FROM reach;
    CHECKPOINT;
    INSERT INTO edge VALUES (3, 4)";

#[test]
fn inspect_says_what_is_in_a_store_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    assert_eq!(refrain(&["--store", store, "-c", LOAD]).code, 0);
    let ran = refrain(&["inspect", store]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    for word in ["checkpoints, newest first", "edge", "reach", "loops of checkpoint", "input log"] {
        assert!(ran.out.contains(word), "no {word} in {}", ran.out);
    }
    let again = refrain(&["inspect", store]);
    let without_ages = |out: &str| out.lines().filter(|line| !line.contains("checkpoint ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(without_ages(&again.out), without_ages(&ran.out));
    let rows = refrain(&["--store", store, "--format", "csv", "-c", "SELECT count(*) AS n FROM reach"]);
    assert_eq!((rows.code, rows.out.as_str()), (0, "n\n6\n"), "{}", rows.err);
}

#[test]
fn a_checkpoint_is_shown_and_forked() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (store, fork) = (path("store"), path("fork"));
    assert_eq!(refrain(&["--store", &store, "-c", LOAD]).code, 0);
    let count = ["--format", "csv", "-c", "SELECT count(*) AS n FROM reach"];
    let shown = refrain(&[&["--store", &store, "--at-checkpoint", "2"][..], &count].concat());
    assert_eq!((shown.code, shown.out.as_str()), (0, "n\n3\n"), "{}", shown.err);
    let forked = refrain(&["fork", &store, &fork, "--at-checkpoint", "2"]);
    assert_eq!(forked.code, 0, "{}", forked.err);
    assert!(forked.out.starts_with("checkpoint 2: "), "{}", forked.out);
    for (store, rows) in [(&fork, "n\n3\n"), (&store, "n\n6\n")] {
        let ran = refrain(&[&["--store", store][..], &count].concat());
        assert_eq!((ran.code, ran.out.as_str()), (0, rows), "{}", ran.err);
    }
    let again = refrain(&["fork", &store, &fork]);
    assert_eq!((again.code, again.out.as_str()), (1, ""));
    assert!(again.err.contains("a fork begins in an empty store"), "{}", again.err);
}

#[test]
fn inspect_tells_of_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    assert_eq!(refrain(&["--store", store, "-c", LOAD]).code, 0);
    let segment = std::fs::read_dir(folder.path().join("segment")).unwrap().next().expect("there is a segment").unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&segment, bytes).unwrap();
    let ran = refrain(&["inspect", store]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(ran.err.starts_with("ERROR:  ") && ran.err.contains(name), "{} does not name {name}", ran.err);
}

#[test]
fn inspect_of_nothing_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let ran = refrain(&["inspect", missing.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("ERROR:  "), "{}", ran.err);
    assert!(!missing.exists(), "looking does not make a store");
}

#[test]
fn a_subscription_prints_each_event_at_once() {
    let sql =
        "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (1, 'x'), (2, NULL); SUBSCRIBE t WITH (PROGRESS = true)";
    let mut command = Command::new(env!("CARGO_BIN_EXE_refrain"));
    let mut child = command.args(["--format", "csv", "-c", sql]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map(|line| line.unwrap());
    assert_eq!(lines.next().as_deref(), Some("epoch,weight,a,b"));
    let mut rows = Vec::new();
    // The process goes on for ever: what is read here has been printed while it runs.
    loop {
        let line = lines.next().expect("a subscription does not end");
        let cells = line.split(',').map(str::to_owned).collect::<Vec<_>>();
        if cells[1].is_empty() {
            break;
        }
        let weight = cells[1].parse::<i64>().unwrap();
        rows.extend((0..weight).map(|_| cells[2..].join(",")));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    rows.sort();
    assert_eq!(rows, ["1,x", "1,x", "2,"]);
}
