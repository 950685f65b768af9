//! Every file of `sql-tests` in every mode, with its one expected answer.

mod rules;

use std::path::Path;

use refrain_slt::{Mode, Options, run};

async fn all_files_are_green(mode: Mode) {
    let paths = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql-tests")];
    let options = Options { paths, modes: vec![mode], ..Options::default() };
    let report = run(&options, |file| println!("{file}")).await.expect("there are files to run");
    assert!(report.is_green(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stream() {
    all_files_are_green(Mode::Stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch() {
    all_files_are_green(Mode::Batch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trickle() {
    all_files_are_green(Mode::Trickle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers() {
    all_files_are_green(Mode::Workers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoint() {
    all_files_are_green(Mode::Checkpoint).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restart() {
    all_files_are_green(Mode::Restart).await;
}
