//! Scripts: `-c`, `-f` and standard input. Each statement runs as soon as it is complete.

use std::io::{BufRead, BufReader};
use std::path::Path;

use refrain_slt::lexer;

use crate::arguments::Source;
use crate::command::Command;
use crate::failure::Failure;
use crate::shell::Shell;

/// Runs the sources one after the other.
///
/// # Errors
/// At the first statement that fails, or with `keep_going` at the end if any has.
pub(crate) async fn run(shell: &mut Shell, sources: &[Source], keep_going: bool) -> Result<(), Failure> {
    let mut script = Script { shell, keep_going, failed: false, last: None };
    for source in sources {
        let go_on = match source {
            Source::Text(text) => script.run(None, &mut text.as_bytes()).await?,
            Source::StandardInput => script.run(None, &mut BufReader::new(std::io::stdin())).await?,
            Source::File(path) => {
                let file = std::fs::File::open(path).map_err(|error| Failure::Script(path.clone(), error))?;
                script.run(Some(path), &mut BufReader::new(file)).await?
            }
        };
        if !go_on {
            break;
        }
    }
    if script.failed { Err(Failure::Reported) } else { Ok(()) }
}

struct Script<'a> {
    shell: &'a mut Shell,
    keep_going: bool,
    failed: bool,
    last: Option<String>,
}

impl Script<'_> {
    /// Runs a text line by line; whether to go on with the next one.
    async fn run(&mut self, path: Option<&Path>, text: &mut (dyn BufRead + Send)) -> Result<bool, Failure> {
        let mut feeder = Feeder::default();
        let mut line = String::new();
        loop {
            line.clear();
            let read =
                text.read_line(&mut line).map_err(|e| Failure::Script(path.unwrap_or(Path::new("standard input")).into(), e))?;
            let inputs = if read == 0 { feeder.finish().into_iter().collect() } else { feeder.feed(&line) };
            for input in inputs {
                if !self.step(path, input).await? {
                    return Ok(false);
                }
            }
            if read == 0 {
                return Ok(true);
            }
        }
    }

    /// Runs one input; whether to go on.
    async fn step(&mut self, path: Option<&Path>, input: Input) -> Result<bool, Failure> {
        let done = match input.kind {
            InputKind::Statement => {
                let done = self.shell.execute(&input.text).await.map(|()| true);
                self.last = Some(input.text);
                done
            }
            InputKind::Command => match Command::parse(&input.text) {
                Ok(command) => command.run(self.shell, self.last.as_deref()).await,
                Err(failure) => Err(failure),
            },
        };
        match done {
            Ok(go_on) => Ok(go_on),
            Err(failure @ Failure::Output(_)) => Err(failure),
            Err(failure) => {
                let place = path.map(|path| format!("{}:{}: ", path.display(), input.line)).unwrap_or_default();
                eprintln!("{place}{failure}");
                self.failed = true;
                Ok(self.keep_going)
            }
        }
    }
}

/// A statement without its semicolon, or a backslash command.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Input {
    pub(crate) kind: InputKind,
    pub(crate) text: String,
    /// The line on which it begins, from 1.
    pub(crate) line: usize,
}

/// What an input is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InputKind {
    Statement,
    Command,
}

/// Lines in, inputs out.
#[derive(Default)]
pub(crate) struct Feeder {
    pending: String,
    /// The line on which `pending` begins, from 0.
    line: usize,
    lines: usize,
}

impl Feeder {
    /// Takes a line; gives what it completes.
    pub(crate) fn feed(&mut self, line: &str) -> Vec<Input> {
        self.lines += 1;
        if line.trim_start().starts_with('\\') && lexer::is_blank(&self.pending) {
            self.pending.clear();
            self.line = self.lines;
            return vec![Input { kind: InputKind::Command, text: line.trim().to_owned(), line: self.lines }];
        }
        self.pending.push_str(line);
        // Nothing can end on a line without a semicolon, and a long statement is not looked through again for each of its lines.
        if !line.contains(';') {
            return Vec::new();
        }
        let cut = lexer::statements(&self.pending);
        let inputs = cut.complete.iter().map(|statement| self.input(statement)).collect();
        let rest_at = self.pending.len() - cut.rest.len();
        self.line += self.pending[..rest_at].matches('\n').count();
        self.pending.drain(..rest_at);
        inputs
    }

    /// At the end of the text: what stands there without a semicolon.
    pub(crate) fn finish(&mut self) -> Option<Input> {
        let pending = std::mem::take(&mut self.pending);
        (!lexer::is_blank(&pending)).then(|| {
            let statement = pending.trim();
            Input { kind: InputKind::Statement, text: statement.to_owned(), line: self.line_of(&pending, statement) }
        })
    }

    fn input(&self, statement: &str) -> Input {
        Input { kind: InputKind::Statement, text: statement.to_owned(), line: self.line_of(&self.pending, statement) }
    }

    /// The line of a statement's first word; comments before it belong to it, but are not where it is.
    fn line_of(&self, text: &str, statement: &str) -> usize {
        let at = statement.as_ptr() as usize - text.as_ptr() as usize;
        let word = lexer::tokens(statement).0.first().map_or(0, |token| token.span.start);
        self.line + 1 + text[..at + word].matches('\n').count()
    }
}

#[cfg(test)]
mod tests;
