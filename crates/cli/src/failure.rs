//! Why the binary ends with exit code 1.

use std::fmt;
use std::path::PathBuf;

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine refused or failed.
    Engine(refrain::Error),
    /// Results could not be written.
    Output(std::io::Error),
    /// A script could not be read.
    Script(PathBuf, std::io::Error),
    /// A backslash command that does not exist or does not work so.
    Command(String),
    /// The sqllogictest driver could not begin.
    Slt(refrain_slt::Failure),
    /// It has been told already.
    Reported,
}

impl From<refrain::Error> for Failure {
    fn from(error: refrain::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => {
                write!(f, "ERROR:  {} (SQLSTATE {})", error.message(), error.code())?;
                if let Some(detail) = error.detail() {
                    write!(f, "\nDETAIL:  {detail}")?;
                }
                error.hint().map_or(Ok(()), |hint| write!(f, "\nHINT:  {hint}"))
            }
            Self::Output(error) => write!(f, "ERROR:  cannot write the results: {error}"),
            Self::Script(path, error) => write!(f, "ERROR:  cannot read {}: {error}", path.display()),
            Self::Command(message) => write!(f, "ERROR:  {message}"),
            Self::Slt(failure) => write!(f, "ERROR:  {failure}"),
            Self::Reported => Ok(()),
        }
    }
}
