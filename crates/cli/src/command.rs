//! Backslash commands: what the shell does itself.

use std::time::Duration;

use clap::ValueEnum;

use crate::failure::Failure;
use crate::format::Format;
use crate::shell::Shell;

/// What a line that begins with a backslash asks for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Command {
    /// `\q`
    Quit,
    /// `\?`
    Help,
    /// `\d`, `\d name`
    Describe(Option<String>),
    /// `\dt`
    Tables,
    /// `\dv`
    Views,
    /// `\df`
    Functions,
    /// `\timing`, `\timing on`
    Timing(Option<bool>),
    /// `\format`, `\format csv`
    Format(Option<Format>),
    /// `\echo text`
    Echo(String),
    /// `\watch`, `\watch 0.5`
    Watch(Duration),
}

const HELP: &str = r"\?                 this list
\d                 tables and views
\d NAME            columns of a table or view, its indexes, keys and checks of a table
\df                functions that were defined
\dt                tables
\dv                views
\echo TEXT         print a line
\format [FORMAT]   show or set how results are printed: table, csv, json, markdown
\q                 leave (Ctrl-D too)
\timing [on|off]   show how long each statement takes
\watch [SECONDS]   run the last statement again and again, until Ctrl-C

A statement ends with a semicolon and may take several lines. Ctrl-C cancels the statement that is running.";

impl Command {
    /// Reads a line that begins with a backslash.
    ///
    /// # Errors
    /// When there is no such command or its argument makes no sense.
    pub(crate) fn parse(line: &str) -> Result<Self, Failure> {
        let line = line.trim().trim_end_matches(';');
        let (word, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = Some(argument.trim()).filter(|a| !a.is_empty());
        let wrong = |what: &str| Failure::Command(format!("{word} takes {what}; \\? lists the commands"));
        Ok(match (word, argument) {
            ("\\q", None) => Self::Quit,
            ("\\?", None) => Self::Help,
            ("\\d", name) => Self::Describe(name.map(str::to_owned)),
            ("\\df", None) => Self::Functions,
            ("\\dt", None) => Self::Tables,
            ("\\dv", None) => Self::Views,
            ("\\echo", text) => Self::Echo(text.unwrap_or_default().to_owned()),
            ("\\timing", None) => Self::Timing(None),
            ("\\timing", Some("on")) => Self::Timing(Some(true)),
            ("\\timing", Some("off")) => Self::Timing(Some(false)),
            ("\\timing", Some(_)) => return Err(wrong("on or off")),
            ("\\format", None) => Self::Format(None),
            ("\\format", Some(name)) => match Format::from_str(name, true) {
                Ok(format) => Self::Format(Some(format)),
                Err(_) => return Err(wrong("table, csv, json or markdown")),
            },
            ("\\watch", seconds) => {
                let duration = seconds.unwrap_or("2").parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                Self::Watch(duration.filter(|d| !d.is_zero()).ok_or_else(|| wrong("a number of seconds"))?)
            }
            _ => return Err(Failure::Command(format!("there is no command {line}; \\? lists them"))),
        })
    }

    /// Does it; `last` is the statement before it. Whether to go on.
    pub(crate) async fn run(self, shell: &mut Shell, last: Option<&str>) -> Result<bool, Failure> {
        match self {
            Self::Quit => return Ok(false),
            Self::Help => println!("{HELP}"),
            Self::Echo(text) => println!("{text}"),
            Self::Describe(Some(name)) => {
                shell.execute(&format!("SHOW COLUMNS FROM {name}")).await?;
                for what in ["CONSTRAINTS", "INDEXES"] {
                    let show = format!("SHOW {what} FROM {name}");
                    if !shell.texts(&show).await?.is_empty() {
                        shell.execute(&show).await?;
                    }
                }
            }
            Self::Describe(None) => {
                shell.execute("SHOW TABLES").await?;
                shell.execute("SHOW VIEWS").await?;
            }
            Self::Functions => shell.execute("SHOW FUNCTIONS").await?,
            Self::Tables => shell.execute("SHOW TABLES").await?,
            Self::Views => shell.execute("SHOW VIEWS").await?,
            Self::Timing(on) => {
                shell.timing = on.unwrap_or(!shell.timing);
                eprintln!("Timing is {}.", if shell.timing { "on" } else { "off" });
            }
            Self::Format(Some(format)) => shell.format = format,
            Self::Format(None) => {
                eprintln!("{}", shell.format.to_possible_value().expect("no format is hidden").get_name());
            }
            Self::Watch(interval) => {
                let sql = last.ok_or_else(|| Failure::Command("there is no statement to watch yet".to_owned()))?;
                loop {
                    shell.execute(sql).await?;
                    tokio::select! {
                        () = tokio::time::sleep(interval) => {}
                        () = shell.interrupted() => break,
                    }
                }
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
