//! What can go wrong in a run, as text for people.

use std::fmt;

/// A record that did not do what the file says, or a run that could not begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Where in which file, if it is about a record.
    pub place: Option<String>,
    /// What happened, with the statement and the difference.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { place: None, message: message.to_string() }
    }

    pub(crate) fn at(place: &sqllogictest::Location, message: impl fmt::Display) -> Self {
        Self { place: Some(place.to_string()), message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Failure {}
