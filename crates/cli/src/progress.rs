//! A progress bar on standard error while a long statement runs; only on a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use refrain::Session;

/// The bar of a session; hidden while nothing reports progress.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar that the session's statements move.
    pub(crate) fn of(session: &Session) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let template = "{bar:30} {percent:>3} %  {bytes}/{total_bytes}  {msg}  {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
        if std::io::stderr().is_terminal() {
            let moved = bar.clone();
            session.on_progress(move |progress| {
                if moved.is_hidden() {
                    moved.reset();
                    moved.set_draw_target(ProgressDrawTarget::stderr());
                }
                moved.set_length(progress.bytes_total);
                moved.set_message(format!("{} rows", progress.rows));
                moved.set_position(progress.bytes);
            });
        }
        Self(bar)
    }

    /// Takes it off the screen, so that results and notices do not mix with it.
    pub(crate) fn clear(&self) {
        if !self.0.is_hidden() {
            self.0.finish_and_clear();
            self.0.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}
