//! A progress bar on standard error while something takes long, a statement or the recovery of a store; only on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use refrain::{EngineBuilder, Progress, Session};

/// The bar; hidden while nothing reports progress.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar that the session's statements move.
    pub(crate) fn of(session: &Session) -> Self {
        let bar = Self::hidden();
        if std::io::stderr().is_terminal() {
            session.on_progress(bar.moved());
        }
        bar
    }

    /// A bar that moves as the engine recovers.
    pub(crate) fn of_recovery(builder: EngineBuilder) -> (Self, EngineBuilder) {
        let bar = Self::hidden();
        let builder = if std::io::stderr().is_terminal() { builder.on_recovery(bar.moved()) } else { builder };
        (bar, builder)
    }

    fn hidden() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let template = "{bar:30} {percent:>3} %  {bytes}/{total_bytes}  {msg}  {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
        Self(bar)
    }

    fn moved(&self) -> impl Fn(Progress) + Send + Sync + 'static {
        let bar = self.0.clone();
        move |progress| {
            if bar.is_hidden() {
                bar.reset();
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            bar.set_length(progress.bytes_total);
            bar.set_message(format!("{} rows", HumanCount(progress.rows)));
            bar.set_position(progress.bytes);
        }
    }

    /// Takes it off the screen, so that results and notices do not mix with it.
    pub(crate) fn clear(&self) {
        if !self.0.is_hidden() {
            self.0.finish_and_clear();
            self.0.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    /// Takes it off the screen and says what has been recovered, if it was something.
    pub(crate) fn recovered(&self, took: Duration) {
        let bytes = self.0.position();
        self.clear();
        if bytes > 0 {
            eprintln!("Recovered {}, {}, in {took:.2?}.", self.0.message(), HumanBytes(bytes));
        }
    }
}
