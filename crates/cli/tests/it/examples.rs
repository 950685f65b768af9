//! Every script of `examples`: after each of its parts, its views hold what an independent program makes of its tables, and what it
//! prints is what its story says.
//!
//! A part of a script begins with a heading and ends where the next one begins. There the test has all tables and views printed, so
//! that facts are written once, in the script. The programs are of the plain kind, a search or a loop until nothing changes; none of
//! them remembers anything from one part to the next. The tour over Debian has a test of its own.

mod access_control;
mod bill_of_materials;
mod fraud_rings;
mod network_routing;
mod org_chart;
mod pagerank;
mod points_to;
mod same_generation;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::refrain_with_input;

const TESTED: [&str; 9] = [
    "access_control",
    "bill_of_materials",
    "debian",
    "fraud_rings",
    "network_routing",
    "org_chart",
    "pagerank",
    "points_to",
    "same_generation",
];

/// A script as it went: what it printed, and what there was at the end of each part.
#[derive(Debug, PartialEq)]
struct Story {
    printed: String,
    parts: Vec<Part>,
}

/// The rows of all tables and views at the end of a part, sorted.
#[derive(Debug, Default, PartialEq)]
struct Part {
    heading: String,
    relations: BTreeMap<String, Vec<Vec<String>>>,
}

impl Story {
    /// That the script prints these pieces, in this order.
    fn tells(&self, pieces: &[&str]) {
        let mut rest = self.printed.as_str();
        for piece in pieces {
            let at = rest
                .find(piece)
                .unwrap_or_else(|| panic!("the story does not say, in its order:\n{piece}\nbut:\n{}", self.printed));
            rest = &rest[at + piece.len()..];
        }
    }
}

impl Part {
    fn rows<'a, const N: usize>(&'a self, relation: &str) -> Vec<[&'a str; N]> {
        let rows = self.relations.get(relation).unwrap_or_else(|| panic!("{}: there is no {relation}", self.heading));
        let columns =
            |row: &'a Vec<String>| row.iter().map(String::as_str).collect::<Vec<_>>().try_into().expect("it has so many columns");
        rows.iter().map(columns).collect()
    }

    /// That a view has exactly these rows, each as often.
    fn holds<const N: usize>(&self, view: &str, expected: impl IntoIterator<Item = [String; N]>) {
        let mut expected = expected.into_iter().collect::<Vec<_>>();
        expected.sort();
        assert_eq!(self.rows::<N>(view), expected, "{view} after {}", self.heading);
    }
}

/// Runs a script on one worker and on two, which must come to the same.
fn story(name: &str) -> Story {
    let script = std::fs::read_to_string(folder().join(name).with_extension("sql")).expect("the script can be read");
    let script = with_relations_printed(&script);
    let [one, two] = ["1", "2"].map(|workers| {
        let ran = refrain_with_input(&["--format", "csv", "--workers", workers], &script);
        assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
        parse(&ran.out)
    });
    assert_eq!(one, two, "one worker and two workers");
    assert!(one.parts.len() > 2, "an example has several parts");
    one
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Puts queries for all relations that there are by then at the end of each part, each under a line with its name.
fn with_relations_printed(script: &str) -> String {
    let mut out = String::new();
    let mut relations = Vec::new();
    let print = |relations: &[&str]| {
        let queries = relations.iter().map(|relation| format!("\\echo @{relation}\nSELECT * FROM {relation};\n"));
        queries.chain(["\\echo @\n".to_owned()]).collect::<String>()
    };
    for line in script.lines() {
        let created =
            ["CREATE TABLE ", "CREATE VIEW ", "CREATE MATERIALIZED VIEW "].iter().find_map(|start| line.strip_prefix(start));
        relations.extend(created.and_then(|rest| rest.split(' ').next()));
        if line.starts_with("\\echo ===") && !relations.is_empty() {
            out.push_str(&print(&relations));
        }
        out.push_str(line);
        out.push('\n');
    }
    out + &print(&relations)
}

/// The cells of a line of csv. No value has a quote in it.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match (c, cells.last_mut()) {
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => cells.push(String::new()),
            (c, Some(cell)) => cell.push(c),
            (_, None) => unreachable!("there is a cell from the start"),
        }
    }
    cells
}

fn parse(out: &str) -> Story {
    let mut story = Story { printed: String::new(), parts: Vec::new() };
    let mut part = Part::default();
    let mut lines = out.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(relation) = line.strip_prefix('@') else {
            if line.starts_with("===") {
                part.heading = line.to_owned();
            }
            story.printed.push_str(line);
            story.printed.push('\n');
            continue;
        };
        if relation.is_empty() {
            story.parts.push(std::mem::take(&mut part));
            continue;
        }
        lines.next().expect("a result has a line with its columns");
        let mut rows = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('@')) {
            rows.push(cells(line));
        }
        rows.sort();
        part.relations.insert(relation.to_owned(), rows);
    }
    story
}

fn number(text: &str) -> i64 {
    text.parse().expect("it is a number")
}

#[test]
fn every_script_is_tested() {
    let files = std::fs::read_dir(folder()).expect("there are examples").map(|entry| entry.expect("it can be read").path());
    let scripts = files.filter(|file| file.extension().is_some_and(|extension| extension == "sql"));
    let mut names = scripts.map(|file| file.file_stem().expect("it has a name").to_string_lossy().into_owned()).collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, TESTED);
}
