//! The README's first command: the tour over the Debian package graph, with the numbers that an independent program found.

use std::path::Path;
use std::process::Command;

#[test]
fn the_tour_tells_the_truth() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tour = Command::new(env!("CARGO_BIN_EXE_refrain"));
    let output = tour.args(["--format", "csv", "-f", "examples/debian.sql"]).current_dir(root).output().expect("the binary runs");
    let out = String::from_utf8(output.stdout).expect("output is UTF-8");
    let err = String::from_utf8(output.stderr).expect("output is UTF-8");
    assert!(output.status.success(), "{out}\n{err}");
    let mut rest = out.as_str();
    let expected = [
        "edges,packages\n283161,56022\n",
        "second_hand\n846832\n",
        "pairs\n3889666\n",
        "package,packages\ngcc-12-base,48837\nlibc6,48830\nlibgcc-s1,48830\n",
        "zlib1g,36584\nlibssl3,25455\nlibjq1,50\nlibmosquitto1,18\n",
        "package\nbaresip\nbaresip-core\n",
        "libcap-ng0,6856\n",
        "libcap-ng0,1400\n",
        "libcap-ng0,6856\n",
        "pairs\n3889666\n",
        // Nothing is left of it when the only way into the cycle is gone.
        "depends_on\ngcc-12-base\nlibc6\nlibgcc-s1\ndepends_on\n\n=== 10.",
    ];
    for part in expected {
        let at = rest.find(part).unwrap_or_else(|| panic!("the tour does not say, in its order:\n{part}\nbut:\n{out}\n{err}"));
        rest = &rest[at + part.len()..];
    }
}
