//! The `refrain` binary: the shell, scripts (`-c`, `-f`, standard input) and the sqllogictest driver.
//!
//! Results go to standard output and nothing else does; errors, notices and progress go to standard error. Everything about SQL is
//! behind the facade: what is here reads statements, hands them over and prints what comes back.
#![warn(missing_docs)]

mod allocator;
mod arguments;
mod command;
mod complete;
mod failure;
mod format;
mod inspect;
mod progress;
mod repl;
mod script;
mod shell;
mod slt;

use std::io::IsTerminal;
use std::process::ExitCode;

use arguments::{Arguments, Command, Source};
use failure::Failure;
use progress::Bar;
use refrain::Engine;
use shell::Shell;
use tokio::time::Instant;

fn main() -> ExitCode {
    allocator::keep_freed_memory();
    let (arguments, sources) = Arguments::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the system gives threads and a poll");
    let result = runtime.block_on(async {
        match &arguments.command {
            Some(Command::Slt(options)) => slt::run(options).await,
            Some(Command::Fork { source, target, at_checkpoint }) => {
                refrain::fork(source, target, *at_checkpoint).await.map(|forked| println!("{forked}")).map_err(Failure::from)
            }
            Some(Command::Inspect { store }) => inspect::run(store, arguments.format).await,
            None => run(&arguments, sources).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has gone, as `head` does; it knows.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments, sources: Vec<Source>) -> Result<(), Failure> {
    let mut builder = Engine::builder().workers(arguments.workers);
    if let Some(store) = &arguments.store {
        builder = builder.store(store);
    }
    if let Some(number) = arguments.at_checkpoint {
        builder = builder.at_checkpoint(number);
    }
    for (name, value) in &arguments.settings {
        builder = builder.setting(name, value);
    }
    let (bar, builder) = Bar::of_recovery(builder);
    let start = Instant::now();
    let opened = builder.open().await;
    bar.recovered(start.elapsed());
    let engine = opened?;
    let interactive = sources.is_empty() && std::io::stdin().is_terminal();
    let mut shell = Shell::new(engine.session(), arguments.format, interactive);
    let done = if interactive {
        repl::run(&mut shell).await
    } else {
        let sources = if sources.is_empty() { vec![Source::StandardInput] } else { sources };
        script::run(&mut shell, &sources, arguments.keep_going).await
    };
    // What a script has done is closed in good order even if it ended with an error.
    let closed = engine.close().await;
    done?;
    Ok(closed?)
}
