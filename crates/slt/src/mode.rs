//! The ways to run one file, all with the same expected answer.

use std::fmt;
use std::str::FromStr;

/// How a file is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// As written, on one worker.
    Stream,
    /// Before each query the views are dropped and created again over the data.
    Batch,
    /// `INSERT … VALUES` row by row in a shuffled order, with noise inserted and deleted in between.
    Trickle,
    /// As written, on several workers.
    Workers,
    /// With a checkpoint after every record.
    Checkpoint,
    /// Closed or dropped, and recovered, between records, each time with another number of workers.
    Restart,
}

impl Mode {
    /// Every mode, in the order in which they run.
    pub const ALL: [Self; 6] = [Self::Stream, Self::Batch, Self::Trickle, Self::Workers, Self::Checkpoint, Self::Restart];

    /// The word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Batch => "batch",
            Self::Trickle => "trickle",
            Self::Workers => "workers",
            Self::Checkpoint => "checkpoint",
            Self::Restart => "restart",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| format!("unknown mode \"{text}\"; there are: {}", names()))
    }
}
