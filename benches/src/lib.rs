//! The benches: Refrain beside differential-dataflow, DataFusion and a hand-written program, on the same rows in the same run.
//!
//! The bench program is parent and child. As the parent ([`runner`]) it starts itself once for every measurement, so that each has
//! a process and a peak memory of its own, takes the contenders in turn, and prints medians and ratios ([`report`]). As a child
//! ([`case`]) it makes the rows ([`data`]), lets one contender do one workload, and prints one line of JSON ([`measurement`]).
//!
//! Invariants: every contender gets the same rows in the same column types, and all of a workload agree on the number of rows and
//! on a checksum ([`checksum`]) that knows nothing of anybody's ids. The clock runs from the first row handed over, with the
//! dataflow standing, until the answer is complete. Reading files, making rows, and checking the answer stand outside, except that
//! differential, which has no store of answers to read afterwards, is summed up as it emits.
//!
//! What checkpoints cost is measured by a program of its own ([`checkpoint`]), and so are finding rows by a key ([`lookup`])
//! and single changes under a view of many rows ([`changes`]).
//!
//! Deliberately not here: absolute figures. They belong to a machine; what is printed and compared is a ratio inside one run.
#![warn(missing_docs)]

mod arguments;
mod case;
mod changes;
mod checkpoint;
mod checksum;
mod clock;
mod data;
mod datafusion_contender;
mod differential_contender;
mod limit_contender;
mod lookup;
mod measurement;
mod memory;
mod random;
mod reader;
mod refrain_contender;
mod report;
mod runner;
mod sql;
mod targets;

use std::process::ExitCode;

use clap::Parser;

/// What a contender or the runner may fail with; it ends in a line for the reader, never in a decision.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The checkpoint benches.
#[must_use]
pub fn run_checkpoint() -> ExitCode {
    memory::keep_freed();
    exit_code(checkpoint::run())
}

/// The lookup bench.
#[must_use]
pub fn run_lookup() -> ExitCode {
    memory::keep_freed();
    exit_code(lookup::run())
}

/// The bench of single changes.
#[must_use]
pub fn run_changes() -> ExitCode {
    memory::keep_freed();
    exit_code(changes::run())
}

fn exit_code(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("ERROR: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments and is either the child that measures one case or the parent that runs them all.
#[must_use]
pub fn run() -> ExitCode {
    memory::keep_freed();
    let arguments = arguments::Arguments::parse();
    let outcome = match &arguments.measure {
        Some(case) => case::measure(case, &arguments.input()).map(|measurement| {
            println!("{}", measurement.to_line());
            true
        }),
        None => runner::run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("ERROR: {failure}");
            ExitCode::FAILURE
        }
    }
}
