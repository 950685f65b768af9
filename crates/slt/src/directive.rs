//! What a file asks for in comments, in every mode: `# refrain: checkpoint`, `# refrain: restart workers=4`.
//!
//! `# refrain: noise off` keeps mode `trickle` from adding rows of its own from there on, for files in which a foreign row is
//! not just more work: a recursion that would never end, or an error that another statement would meet. `# refrain: only` says that a
//! file is about what only this engine has: no other server is asked for its results.

/// One line of the form `# refrain: …`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Directive {
    /// Take a checkpoint.
    Checkpoint,
    /// Close the engine without a checkpoint and recover it, with this many workers if given.
    Restart {
        /// How many workers from here on.
        workers: Option<usize>,
    },
    /// No noise from here on.
    NoiseOff,
    /// The file is about what only this engine has.
    Only,
}

impl Directive {
    /// Reads a comment's text (without `#`); `None` if it is an ordinary comment.
    ///
    /// # Errors
    /// When it names something that does not exist: a fault that is silently not injected would prove nothing.
    pub(crate) fn parse(comment: &str) -> Result<Option<Self>, String> {
        let Some(text) = comment.trim().strip_prefix("refrain:") else { return Ok(None) };
        let words = text.split_whitespace().collect::<Vec<_>>();
        match words.as_slice() {
            ["checkpoint"] => Ok(Some(Self::Checkpoint)),
            ["restart"] => Ok(Some(Self::Restart { workers: None })),
            ["restart", argument] => match argument.strip_prefix("workers=").and_then(|n| n.parse().ok()) {
                Some(workers) if workers > 0 => Ok(Some(Self::Restart { workers: Some(workers) })),
                _ => Err(format!("restart takes workers=N, not \"{argument}\"")),
            },
            ["noise", "off"] => Ok(Some(Self::NoiseOff)),
            ["only"] => Ok(Some(Self::Only)),
            _ => Err(format!("unknown directive \"{}\"", text.trim())),
        }
    }
}

#[cfg(test)]
mod tests;
