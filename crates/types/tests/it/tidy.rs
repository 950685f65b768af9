//! What keeps the house in order: the arrows between crates, module headers, the length of files, the paths that the map names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const LINES_MAX: usize = 1_000;

/// Our own crates that each may use. What is not here may not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("refrain-types", &[]),
    ("refrain-sql", &["refrain-types"]),
    ("refrain-plan", &["refrain-types"]),
    ("refrain-planner", &["refrain-types", "refrain-plan", "refrain-sql"]),
    ("refrain-checkpoint", &["refrain-types"]),
    ("refrain-state", &["refrain-types"]),
    ("refrain-dataflow", &["refrain-types", "refrain-plan", "refrain-state"]),
    (
        "refrain",
        &[
            "refrain-types",
            "refrain-sql",
            "refrain-plan",
            "refrain-planner",
            "refrain-checkpoint",
            "refrain-state",
            "refrain-dataflow",
        ],
    ),
    ("refrain-slt", &["refrain"]),
    ("refrain-sim", &["refrain", "refrain-checkpoint", "refrain-types"]),
    ("refrain-cli", &["refrain", "refrain-slt"]),
];

/// The expressions that plans carry and operators evaluate; all that these crates may have of DataFusion.
const EXPRESSIONS: &[&str] = &["datafusion-physical-expr", "datafusion-expr-common", "datafusion-common"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is two folders up")
}

/// Direct dependencies by package, without those for tests alone.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(root()).output();
    let output = output.expect("cargo runs, it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().expect("a name is text").to_owned();
    let packages = metadata["packages"].as_array().expect("there are packages").iter().map(|package| {
        let all = package["dependencies"].as_array().expect("there is a list of dependencies");
        let direct = all.iter().filter(|dependency| dependency["kind"] != "dev").map(|dependency| text(&dependency["name"]));
        (text(&package["name"]), direct.collect())
    });
    packages.collect()
}

/// Every Rust file of ours, from the root.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = ["crates", "benches", "examples"].map(|folder| root().join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root()).expect("it is under the root").to_owned());
            }
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).expect("the file can be read")
}

#[test]
fn crates_use_only_what_is_below_them() {
    let dependencies = dependencies();
    for (package, direct) in &dependencies {
        if package == "refrain-benches" {
            continue;
        }
        let allowed = ARROWS.iter().find(|(name, _)| name == package).unwrap_or_else(|| panic!("{package} is not in the arrows"));
        for used in direct.iter().filter(|name| *name == "refrain" || name.starts_with("refrain-")) {
            assert!(allowed.1.contains(&used.as_str()), "{package} may not use {used}");
        }
    }
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let dependencies = dependencies();
    let used = |package: &str| &dependencies[package];
    // Benches measure the peers, which are foreign crates.
    let own = |name: &str| {
        let users = dependencies.iter().filter(|(package, direct)| direct.contains(name) && *package != "refrain-benches");
        users.map(|(package, _)| package.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(own("datafusion"), ["refrain"], "only the facade uses the umbrella");
    assert_eq!(own("timely"), ["refrain", "refrain-dataflow"], "timely is the dataflow's, and the facade owns its threads");
    for package in ["refrain-plan", "refrain-dataflow"] {
        for name in used(package).iter().filter(|name| name.starts_with("datafusion")) {
            assert!(EXPRESSIONS.contains(&name.as_str()), "{package} may not use {name}");
        }
    }
    for package in ["refrain-types", "refrain-state", "refrain-checkpoint"] {
        assert!(!used(package).iter().any(|name| name.starts_with("datafusion")), "{package} does not know DataFusion");
    }
    for package in ["refrain-types", "refrain-plan", "refrain-sql", "refrain-planner", "refrain-state", "refrain-dataflow"] {
        for name in ["tokio", "object_store"] {
            assert!(!used(package).contains(name), "{package} does no I/O and may not use {name}");
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for path in sources() {
        let tests_of_a_module = path.file_name().is_some_and(|name| name == "tests.rs");
        assert!(tests_of_a_module || read(&path).starts_with("//!"), "{} has no //! header", path.display());
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for path in sources() {
        let lines = read(&path).lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines; {LINES_MAX} is the limit", path.display());
    }
}

#[test]
fn a_crate_has_one_integration_test() {
    for folder in std::fs::read_dir(root().join("crates")).expect("the folder can be read") {
        let tests = folder.expect("the folder can be read").path().join("tests");
        let Ok(entries) = std::fs::read_dir(&tests) else { continue };
        let names = entries.map(|entry| entry.expect("the folder can be read").file_name()).collect::<Vec<_>>();
        assert!(names.iter().all(|name| name == "it"), "{} has more than it/: each binary links everything again", tests.display());
    }
}

/// Words of the map in backquotes that look like a path of ours have to be there.
#[test]
fn the_map_names_only_what_exists() {
    let map = read(Path::new("crates/README.md"));
    let quoted = map.split('`').skip(1).step_by(2);
    let rooms = ["crates/", "sql-tests/", "examples/", "benches/", ".ci/"];
    let paths = quoted.filter(|text| rooms.iter().any(|room| text.starts_with(room)) && !text.contains(['*', ' ', '<']));
    let paths = paths.collect::<BTreeSet<_>>();
    assert!(paths.len() > 10, "the map names the files to open");
    for path in paths {
        assert!(root().join(path).exists(), "crates/README.md names {path}, which does not exist");
    }
}
