//! `refrain slt`.

use refrain_slt::Options;

use crate::arguments::SltArguments;
use crate::failure::Failure;

/// Runs the files and prints a line for each in each mode.
///
/// # Errors
/// When anything is not as the files say.
pub(crate) async fn run(arguments: &SltArguments) -> Result<(), Failure> {
    #[cfg(feature = "postgres")]
    if let Some(url) = &arguments.against {
        let files = refrain_slt::postgres::run(url, &arguments.paths, arguments.overwrite).await.map_err(Failure::Slt)?;
        println!("{files} files {}", if arguments.overwrite { "written" } else { "as the server says" });
        return Ok(());
    }
    let options = Options {
        paths: arguments.paths.clone(),
        modes: arguments.modes.clone(),
        workers: arguments.workers,
        seed: arguments.seed,
        statement_timeout_s: arguments.statement_timeout_s,
        ..Options::default()
    };
    let report = refrain_slt::run(&options, |file| println!("{file}")).await.map_err(Failure::Slt)?;
    println!("{report}");
    if report.is_green() { Ok(()) } else { Err(Failure::Reported) }
}
