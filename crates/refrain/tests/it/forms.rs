//! The table of the forms of recursion in the README: what it says of each form of ours is tried.
//!
//! A line of `lines` has a statement for each form: one that it takes, with the answer before and after changes, or one that it refuses, with
//! the error. What concerns running recursions is shown in `running`.

mod lines;
mod running;

use std::path::Path;

use lines::{Form, LINES, Line};
use refrain::Session;

use crate::rows::{error, memory, rows, run};

/// The three forms, as the heads of their columns.
pub(crate) const FORMS: [&str; 3] = ["`WITH RECURSIVE`", "`USING KEY`", "`WITH MUTUALLY RECURSIVE`"];

/// What the statements are about. From 1 one comes to 2, 3 and 4, and round again.
const TABLES: &str = "
CREATE TABLE edge (a int, b int); INSERT INTO edge VALUES (1, 2), (2, 3), (3, 1), (3, 4);
CREATE TABLE road (a int, b int, w int); INSERT INTO road VALUES (1, 2, 7), (1, 3, 3), (3, 2, 1), (2, 4, 1);
CREATE TABLE tree (a int, b int); INSERT INTO tree VALUES (1, 2), (1, 3), (2, 4), (3, 4);
CREATE TABLE closed (n int); INSERT INTO closed VALUES (3)";

/// What happens to them while a view is maintained: something goes and something comes in each.
const CHANGES: &str = "
DELETE FROM edge WHERE a = 2; INSERT INTO edge VALUES (2, 5);
DELETE FROM road WHERE a = 3; INSERT INTO road VALUES (4, 5, 1);
INSERT INTO tree VALUES (4, 5), (4, 5); DELETE FROM tree WHERE a = 3;
DELETE FROM closed; INSERT INTO closed VALUES (2)";

/// The cells of the table's lines.
fn table() -> Vec<Vec<String>> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README can be read");
    let (_, section) = readme.split_once("\n## Forms of recursion\n").expect("the README has the section");
    let section = section.split("\n## ").next().expect("a text has a first part");
    let lines = section.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    lines.map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_readme_says_of_each_form_what_is_tried() {
    let table = table();
    assert_eq!(table[0][1..=FORMS.len()], FORMS);
    let tried = LINES.iter().map(|line| (line.feature, line.forms.map(|form| form.cell())));
    let shown = running::SHOWN.iter().map(|feature| (*feature, ["yes"; FORMS.len()]));
    let expected = tried.chain(shown).collect::<Vec<_>>();
    let says = table[2..].iter().map(|cells| (cells[0].as_str(), [cells[1].as_str(), cells[2].as_str(), cells[3].as_str()]));
    for (says, expected) in says.clone().zip(&expected) {
        assert_eq!(says, *expected, "the README against what is tried");
    }
    assert_eq!(says.count(), expected.len(), "every line is tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_takes_and_refuses_what_the_readme_says() {
    for line in LINES {
        for (form, name) in line.forms.iter().zip(FORMS) {
            let what = format!("{}, {name}", line.feature);
            let session = memory().await;
            run(&session, TABLES).await;
            match form {
                Form::Takes(query) => {
                    run(&session, &format!("CREATE MATERIALIZED VIEW v AS {query}")).await;
                    answers(&session, line, &["SELECT * FROM v", query], &what).await;
                }
                Form::Creates(view) => {
                    run(&session, view).await;
                    answers(&session, line, &["SELECT * FROM v"], &what).await;
                }
                Form::Refuses(query, message) => {
                    let refusal = error(&session, &format!("CREATE MATERIALIZED VIEW v AS {query}")).await;
                    assert_eq!(format!("{}: {}", refusal.code(), refusal.message()), *message, "{what}: {query}");
                    // What is read once is optimized otherwise, and may be refused in other words.
                    assert_eq!(error(&session, query).await.code(), refusal.code(), "{what}, read once: {query}");
                }
                Form::Other => {}
            }
        }
    }
}

/// Whether the view and the query that is read once have the line's answers, before and after the changes.
async fn answers(session: &Session, line: &Line, queries: &[&str], what: &str) {
    for (answer, when) in [(line.before, "before"), (line.after, "after")] {
        if when == "after" {
            run(session, CHANGES).await;
        }
        for query in queries {
            assert_eq!(rows(session, query).await.join(" "), answer, "{what}, {when} the changes: {query}");
        }
    }
}
