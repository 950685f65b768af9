//! `SET` and `RESET`.

use crate::error::Result;
use crate::session::{Outcome, Session};
use crate::settings::{Definition, Scope};

/// Sets a setting, or its default.
pub(super) fn set(session: &Session, name: &str, value: Option<&str>) -> Result<Outcome> {
    change(session, name, value)?;
    Ok(Outcome::done("SET"))
}

/// Sets the default of a setting, or of all of the session's.
pub(super) fn reset(session: &Session, name: Option<&str>) -> Result<Outcome> {
    match name {
        Some(name) => change(session, name, None)?,
        None => session.values().reset(),
    }
    Ok(Outcome::done("RESET"))
}

fn change(session: &Session, name: &str, value: Option<&str>) -> Result<()> {
    let definition = Definition::find(name)?;
    match definition.scope {
        Scope::Session => session.values().set(definition, value),
        Scope::Engine => {
            session.shared().values().set(definition, value)?;
            session.shared().settings_changed();
            Ok(())
        }
    }
}
