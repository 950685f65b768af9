//! What must hold for the rows of a table besides their types, its checks and its keys; and what they have where nothing is said.
//!
//! Checks look at rows alone, before their statement takes its turn ([`Checks`]). Keys look at all rows of the table, those that are
//! appended and not yet visible included, so they are looked at inside the turn ([`Keys`]). Both look at what a statement leaves, not
//! at what is there in the middle of it.
//!
//! Deliberately not here: NOT NULL and lengths (`assign`). What comes from the input log has been looked at before.

mod checks;
mod computed;
mod defaults;
mod keys;

pub(crate) use checks::Checks;
pub(crate) use defaults::Defaults;
pub(crate) use keys::{Keys, Meetings, changed_twice};
