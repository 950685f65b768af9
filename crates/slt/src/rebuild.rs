//! Mode `batch`: the views of a file, so that they can be dropped and created again over the data.

use crate::statement::{Statement, quoted};
use crate::subject::{EngineError, Subject};

struct View {
    name: String,
    materialized: bool,
    /// How it was created, and altered since.
    statements: Vec<String>,
}

/// The views that a file has created and not dropped, in the order of creation.
#[derive(Default)]
pub(crate) struct Views {
    views: Vec<View>,
    changed: bool,
}

impl Views {
    /// Takes note of a statement that has succeeded.
    pub(crate) fn note(&mut self, sql: &str) {
        match Statement::of(sql) {
            Statement::Read | Statement::Set => {}
            Statement::CreateView { name, materialized } => {
                // Of IF NOT EXISTS only the first one made something.
                if !self.views.iter().any(|v| v.name == name) {
                    self.views.push(View { name, materialized, statements: vec![sql.to_owned()] });
                }
            }
            Statement::AlterView { name } => {
                let altered = self.views.iter_mut().find(|view| view.name == name);
                altered.into_iter().for_each(|view| view.statements.push(sql.to_owned()));
            }
            _ => self.changed = true,
        }
    }

    /// Drops every view and creates it again, if anything has changed since they were created.
    pub(crate) async fn rebuild(&mut self, subject: &mut Subject) -> Result<(), EngineError> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let session = subject.session(0).await?;
        let mut standing = Vec::new();
        while let Some(view) = self.views.pop() {
            let kind = if view.materialized { "MATERIALIZED VIEW" } else { "VIEW" };
            match session.execute(&format!("DROP {kind} {}", quoted(&view.name))).await {
                Ok(_) => standing.push(view),
                // A DROP of the file has taken it, by name or by CASCADE.
                Err(error) if ["42P01", "3F000"].contains(&error.code()) => {}
                Err(error) => return Err(EngineError(error)),
            }
        }
        while let Some(view) = standing.pop() {
            for statement in &view.statements {
                session.execute(statement).await.map_err(EngineError)?;
            }
            self.views.push(view);
        }
        Ok(())
    }
}
