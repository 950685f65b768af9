//! `refrain slt` as a command: what it prints and how it ends. The files of the project itself are run by the tests of crate `slt`.

use crate::refrain;

fn run(text: &str, mode: &str) -> crate::Ran {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("case.slt");
    std::fs::write(&file, text).expect("the folder can be written to");
    refrain(&["slt", "--mode", mode, file.to_str().expect("the path is UTF-8")])
}

#[test]
fn a_file_that_holds_is_green() {
    let ran = run(
        "statement ok\nCREATE TABLE t (a int)\n\nstatement count 2\nINSERT INTO t VALUES (1), (2)\n\nquery I\nSELECT count(*) FROM t\n----\n2\n",
        "trickle",
    );
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with("ok     trickle"), "{}", ran.out);
    assert!(ran.out.ends_with("1 runs, 3 records, 0 failed\n"), "{}", ran.out);
}

#[test]
fn a_wrong_answer_is_red_in_every_mode() {
    for mode in ["stream", "batch", "trickle", "workers", "checkpoint", "restart"] {
        let ran = run("query I\nSELECT 1 + 1\n----\n3\n", mode);
        assert_eq!(ran.code, 1, "{mode}: {}{}", ran.out, ran.err);
        assert!(ran.out.starts_with("FAILED"), "{}", ran.out);
    }
}

#[test]
fn an_error_has_to_be_the_expected_one() {
    let green = run("query error 22012: division by zero\nSELECT 1/0\n", "stream");
    assert_eq!(green.code, 0, "{}{}", green.out, green.err);
    let red = run("query error 22012: division by zero\nSELECT nope\n", "stream");
    assert_eq!(red.code, 1, "{}{}", red.out, red.err);
}

#[test]
fn nothing_to_run_is_not_green() {
    let folder = tempfile::tempdir().unwrap();
    let ran = refrain(&["slt", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no .slt files"), "{}", ran.err);
}

#[test]
fn a_directive_that_does_not_exist_is_red() {
    let ran = run("# refrain: chekpoint\n\nquery I\nSELECT 1\n----\n1\n", "stream");
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("unknown directive"), "{}", ran.out);
}
