//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::format::Format;

/// A streaming SQL engine whose recursion survives.
///
/// Without -c or -f it opens a shell on a terminal, and else runs the script on its standard input.
#[derive(Parser, Debug)]
#[command(name = "refrain", version, about)]
pub(crate) struct Arguments {
    /// Where to keep everything: a folder, or a URL such as s3://bucket/path; in memory if not given
    #[arg(long, value_name = "URL|DIR")]
    pub(crate) store: Option<String>,

    /// Show checkpoint N of the store as it was; nothing is written
    #[arg(long, value_name = "N", requires = "store")]
    pub(crate) at_checkpoint: Option<u64>,

    /// Worker threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) workers: usize,

    /// A setting of the engine, from the start; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,

    /// How results are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,

    /// Run these statements; may be given several times and among -f
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    commands: Vec<String>,

    /// Run a file of statements, - for standard input; may be given several times and among -c
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Go on after an error; the exit code still tells of it
    #[arg(long)]
    pub(crate) keep_going: bool,

    /// What to do instead of running SQL
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What else the binary does.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Run sqllogictest files in several modes that must all give the expected answers
    Slt(SltArguments),
    /// Make a checkpoint of a store, the newest unless --at-checkpoint names another, the beginning of a new store
    Fork {
        /// Where the checkpoint is: a folder or a URL; it may be in use
        #[arg(value_name = "FROM")]
        source: String,
        /// Where the new store will be: a folder or a URL with nothing in it
        #[arg(value_name = "TO")]
        target: String,
        /// The number of the checkpoint
        #[arg(long, value_name = "N")]
        at_checkpoint: Option<u64>,
    },
    /// Say what is in a store, without changing it: checkpoints, sizes, loop logs, state per operator
    Inspect {
        /// A folder or a URL
        #[arg(value_name = "URL|DIR")]
        store: String,
    },
}

/// `refrain slt`.
#[derive(clap::Args, Debug)]
pub(crate) struct SltArguments {
    /// Mode to run (stream, batch, trickle, workers, checkpoint, restart); may be given several times; all if not given
    #[arg(long = "mode", value_name = "MODE")]
    pub(crate) modes: Vec<refrain_slt::Mode>,

    /// Workers of mode `workers`
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = positive)]
    pub(crate) workers: usize,

    /// Decides every shuffle, every row of noise and every restart
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Seconds after which a statement has failed
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub(crate) statement_timeout_s: u64,

    /// Run the files against this PostgreSQL server instead
    #[cfg(feature = "postgres")]
    #[arg(long, value_name = "URL")]
    pub(crate) against: Option<String>,

    /// Write the server's answers into the files as the expected results
    #[cfg(feature = "postgres")]
    #[arg(long, requires = "against")]
    pub(crate) overwrite: bool,

    /// Files, or folders to search for .slt files
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// Where statements come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// `-c`.
    Text(String),
    /// `-f`.
    File(PathBuf),
    /// Standard input.
    StandardInput,
}

impl Arguments {
    /// Reads the command line, or ends the process with what is wrong with it. The sources are in the order given.
    pub(crate) fn read() -> (Self, Vec<Source>) {
        let matches = Self::command().get_matches();
        let arguments = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let places = |id| matches.indices_of(id).into_iter().flatten();
        let texts = places("commands").zip(arguments.commands.iter().cloned().map(Source::Text));
        let files = places("files").zip(arguments.files.iter().map(|file| match file.to_str() {
            Some("-") => Source::StandardInput,
            _ => Source::File(file.clone()),
        }));
        let mut sources = texts.chain(files).collect::<Vec<_>>();
        sources.sort_by_key(|(place, _)| *place);
        (arguments, sources.into_iter().map(|(_, source)| source).collect())
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "not NAME=VALUE".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "not a positive number".to_owned())
}
