//! The command line: which part of the benches to run, and how often.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::case::{Case, Contender, Tables, Workload};
use crate::data::Input;

/// Ratios between Refrain and its peers, measured in one run.
#[derive(Debug, Parser)]
#[command(name = "ratios")]
pub(crate) struct Arguments {
    /// Workloads to run; all if none is named.
    #[arg(value_enum)]
    pub(crate) workloads: Vec<Workload>,
    /// Numbers of workers.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    pub(crate) workers: Vec<usize>,
    /// Measurements of each case; the report shows their medians.
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Contenders; all if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) contenders: Vec<Contender>,
    /// The tables that the view stands on; both kinds if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) tables: Vec<Tables>,
    /// Small inputs, to see quickly that all contenders agree; their ratios mean nothing.
    #[arg(long, value_enum, default_value_t = Size::Full)]
    pub(crate) size: Size,
    /// A measurement that takes longer is stopped, and its case is not tried again.
    #[arg(long, default_value_t = 300)]
    pub(crate) limit_seconds: u64,
    /// Writes the report here as well.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
    /// The Debian dependency graph, a gzipped CSV of package and dependency.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/debian-depends.csv.gz"))]
    pub(crate) debian_graph: PathBuf,
    /// Measures one case in this process and prints one line of JSON; this is how the program calls itself.
    #[arg(long, hide = true)]
    pub(crate) measure: Option<Case>,
    /// `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much input a workload gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    Full,
    Small,
}

impl Arguments {
    /// Where the rows of the workloads come from.
    pub(crate) fn input(&self) -> Input {
        Input { size: self.size, debian_graph: self.debian_graph.clone() }
    }

    /// The cases asked for, workload by workload, in the order in which a round measures them.
    ///
    /// A program that is the same for several cases is there once: see [`Case::program`].
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for workload in all_or(&self.workloads) {
            for tables in all_or(&self.tables) {
                for &workers in &self.workers {
                    for contender in all_or(&self.contenders) {
                        let case = Case { workload, tables, workers, contender };
                        if let Some(program) = case.program().filter(|program| !cases.contains(program)) {
                            cases.push(program);
                        }
                    }
                }
            }
        }
        cases
    }
}

fn all_or<T: ValueEnum + Clone>(named: &[T]) -> Vec<T> {
    if named.is_empty() { T::value_variants().to_vec() } else { named.to_vec() }
}
