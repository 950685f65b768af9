//! Settings: what `SET`, `SHOW` and `RESET` know, with their values checked where they are set.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};

/// Whose setting it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Each session has its own value.
    Session,
    /// One value for the engine, whichever session sets it.
    Engine,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A duration as PostgreSQL writes it: a number is milliseconds, `5s`, `2min`. 0 is off.
    Duration,
    /// A whole number, at least this.
    AtLeast(u64),
    /// A whole number of 32 bits.
    Number,
    /// An amount of memory or disk as PostgreSQL writes it: a number is kilobytes, `64MB`, `2GB`. -1 is no limit.
    Bytes,
    /// Anything.
    Text,
}

/// A setting.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Its name.
    pub name: &'static str,
    /// What it does, one line.
    pub description: &'static str,
    /// Whose it is.
    pub scope: Scope,
    kind: Kind,
    default: &'static str,
}

/// All settings, by name.
pub(crate) const DEFINITIONS: &[Definition] = &[
    define(
        "admit_after_ms",
        Scope::Engine,
        Kind::AtLeast(1),
        "100",
        "How long input waits for a busy view before its tick is cut.",
    ),
    define("application_name", Scope::Session, Kind::Text, "", "The name that the application gives itself."),
    define(
        "checkpoint_hold_max_ms",
        Scope::Engine,
        Kind::AtLeast(0),
        "20",
        "How long a loop that is captured waits for the commit of its checkpoint at most.",
    ),
    define(
        "checkpoint_interval_ms",
        Scope::Engine,
        Kind::AtLeast(0),
        "0",
        "Time from the beginning of a checkpoint to that of the next; 0 takes none but explicit ones.",
    ),
    define(
        "checkpoint_replay",
        Scope::Engine,
        Kind::Choice(&["commit", "capture"]),
        "commit",
        "Whether a loop goes on after the commit of a checkpoint or right after its capture.",
    ),
    define(
        "checkpoint_retain",
        Scope::Engine,
        Kind::AtLeast(1),
        "2",
        "How many checkpoints the store keeps, each of which can be looked at or forked.",
    ),
    define("checkpoint_timeout_ms", Scope::Engine, Kind::AtLeast(1), "600000", "A checkpoint that takes longer is aborted."),
    define(
        "client_encoding",
        Scope::Session,
        Kind::Choice(&["utf8", "UTF8", "utf-8"]),
        "UTF8",
        "The encoding of text; always UTF8.",
    ),
    define(
        "clock_interval_ms",
        Scope::Engine,
        Kind::AtLeast(1),
        "1000",
        "Time from one look at the clock to the next, for materialized views with now().",
    ),
    define(
        "history_epochs",
        Scope::Engine,
        Kind::AtLeast(0),
        "0",
        "How many epochs back SELECT … AS OF can read; if any, views take in each epoch by itself.",
    ),
    define(
        "loop_memory_limit",
        Scope::Engine,
        Kind::Bytes,
        "256MB",
        "Memory that the logs of held loops may take; beyond it they go to temporary files. -1 is no limit.",
    ),
    define(
        "memory_limit",
        Scope::Engine,
        Kind::Bytes,
        "-1",
        "Memory that rows of operators and the logs of held loops may take; beyond it they go to temporary files. -1 is no limit.",
    ),
    define(
        "reads",
        Scope::Session,
        Kind::Choice(&["strict", "eager"]),
        "strict",
        "Whether a SELECT waits for views to settle or reads what they have.",
    ),
    define(
        "recursion_limit",
        Scope::Session,
        Kind::Number,
        "0",
        "The recursion limit that the recursions of a statement get where they have none; 0 is no limit.",
    ),
    define("statement_timeout", Scope::Session, Kind::Duration, "0", "Longest time that a statement may take; 0 is no limit."),
    define(
        "store_wait_ms",
        Scope::Engine,
        Kind::AtLeast(1),
        "30000",
        "How long statements that write wait for a store that does not answer.",
    ),
    define("temp_file_limit", Scope::Engine, Kind::Bytes, "-1", "How large temporary files may be, all together; -1 is no limit."),
    define("timezone", Scope::Session, Kind::Choice(&["utc", "UTC", "Etc/UTC", "etc/utc"]), "UTC", "The time zone; always UTC."),
];

const fn define(name: &'static str, scope: Scope, kind: Kind, default: &'static str, description: &'static str) -> Definition {
    Definition { name, description, scope, kind, default }
}

impl Definition {
    /// The setting of this name.
    pub fn find(name: &str) -> Result<&'static Self> {
        DEFINITIONS
            .iter()
            .find(|d| d.name == name)
            .ok_or_else(|| Error::statement("42704", format!("unrecognized configuration parameter \"{name}\"")))
    }

    /// The setting of this name, which the engine has one value of.
    pub fn of_engine(name: &str) -> Result<&'static Self> {
        let definition = Self::find(name)?;
        if definition.scope == Scope::Session {
            let message = format!("parameter \"{name}\" is set by each session");
            return Err(Error::statement("55P02", message));
        }
        Ok(definition)
    }

    /// The value in its canonical form, if it is one.
    fn check(&self, value: &str) -> Result<String> {
        let invalid = || Error::statement("22023", format!("invalid value for parameter \"{}\": \"{value}\"", self.name));
        match self.kind {
            Kind::Text => Ok(value.to_owned()),
            Kind::Choice(choices) => match choices.iter().find(|c| c.eq_ignore_ascii_case(value)) {
                Some(_) if choices.iter().any(|c| c.eq_ignore_ascii_case(self.default)) && self.is_fixed() => {
                    Ok(self.default.to_owned())
                }
                Some(choice) => Ok((*choice).to_owned()),
                None => Err(invalid().with_hint(format!("Available values: {}.", choices.join(", ")))),
            },
            Kind::Duration => {
                let duration = parse_duration(value).ok_or_else(|| {
                    invalid().with_hint("Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".")
                })?;
                Ok(show_duration(duration))
            }
            Kind::Bytes => {
                let bytes = parse_bytes(value).ok_or_else(|| {
                    invalid().with_hint("Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".")
                })?;
                Ok(bytes.map_or_else(|| "-1".to_owned(), show_bytes))
            }
            Kind::Number => Ok(value.trim().parse::<u32>().map_err(|_| invalid())?.to_string()),
            Kind::AtLeast(min) => {
                let number = value.trim().parse::<u64>().map_err(|_| invalid())?;
                if number < min {
                    let message =
                        format!("{number} is outside the valid range for parameter \"{}\" ({min} .. {})", self.name, u64::MAX);
                    return Err(Error::statement("22023", message));
                }
                Ok(number.to_string())
            }
        }
    }

    /// A choice between spellings of one value.
    fn is_fixed(&self) -> bool {
        matches!(self.name, "client_encoding" | "timezone")
    }
}

/// Values that differ from the defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// Sets a value, or the default.
    pub fn set(&mut self, definition: &'static Definition, value: Option<&str>) -> Result<()> {
        match value {
            Some(value) => self.0.insert(definition.name, definition.check(value)?),
            None => self.0.remove(definition.name),
        };
        Ok(())
    }

    /// Sets all defaults.
    pub fn reset(&mut self) {
        self.0.clear();
    }

    /// The value as `SHOW` prints it.
    pub fn get(&self, definition: &'static Definition) -> &str {
        self.0.get(definition.name).map_or(definition.default, String::as_str)
    }

    fn named(&self, name: &str) -> &str {
        self.get(Definition::find(name).expect("settings are read by names that are defined"))
    }

    fn number<N: std::str::FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> N {
        self.named(name).parse().expect("a value is checked when it is set")
    }

    fn bytes(&self, name: &str) -> u64 {
        parse_bytes(self.named(name)).expect("a value is checked when it is set").unwrap_or(u64::MAX)
    }

    fn milliseconds(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }
}

/// What a session has set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionSettings {
    /// Read what is there instead of waiting.
    pub reads_eager: bool,
    /// `None`: no limit.
    pub statement_timeout: Option<Duration>,
    /// How often recursions may go round; `None`: no limit.
    pub recursion_limit: Option<u32>,
}

impl SessionSettings {
    /// From the values of a session.
    pub fn of(values: &Values) -> Self {
        let timeout = parse_duration(values.named("statement_timeout")).expect("a value is checked when it is set");
        let limit = values.number("recursion_limit");
        Self {
            reads_eager: values.named("reads") == "eager",
            statement_timeout: Some(timeout).filter(|t| !t.is_zero()),
            recursion_limit: Some(limit).filter(|limit| *limit > 0),
        }
    }
}

/// What is set for the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineSettings {
    /// Time between checkpoints; `None`: only explicit ones.
    pub checkpoint_interval: Option<Duration>,
    /// Loops go on right after the capture, not after the commit.
    pub checkpoint_replay_at_capture: bool,
    /// Longest time that a checkpoint holds a loop.
    pub checkpoint_hold_max: Duration,
    /// A checkpoint that takes longer is aborted.
    pub checkpoint_timeout: Duration,
    /// How many checkpoints are kept.
    pub checkpoint_retain: usize,
    /// From one look at the clock to the next.
    pub clock_interval: Duration,
    /// How many epochs back relations can be read.
    pub history_epochs: u64,
    /// How long input waits for a busy dataflow.
    pub admit_after: Duration,
    /// How long statements wait for a store that does not answer.
    pub store_wait: Duration,
    /// Bytes of memory for rows of operators and the logs of loops.
    pub memory: usize,
    /// Bytes of it for the logs of loops.
    pub loop_memory: usize,
    /// Bytes of temporary files.
    pub temporary_files: u64,
}

impl EngineSettings {
    /// From the values of the engine.
    pub fn of(values: &Values) -> Self {
        Self {
            checkpoint_interval: Some(values.milliseconds("checkpoint_interval_ms")).filter(|i| !i.is_zero()),
            checkpoint_replay_at_capture: values.named("checkpoint_replay") == "capture",
            checkpoint_hold_max: values.milliseconds("checkpoint_hold_max_ms"),
            checkpoint_timeout: values.milliseconds("checkpoint_timeout_ms"),
            checkpoint_retain: values.number("checkpoint_retain"),
            clock_interval: values.milliseconds("clock_interval_ms"),
            history_epochs: values.number("history_epochs"),
            admit_after: values.milliseconds("admit_after_ms"),
            store_wait: values.milliseconds("store_wait_ms"),
            memory: usize::try_from(values.bytes("memory_limit")).unwrap_or(usize::MAX),
            loop_memory: usize::try_from(values.bytes("loop_memory_limit")).unwrap_or(usize::MAX),
            temporary_files: values.bytes("temp_file_limit"),
        }
    }
}

/// Units with their length in microseconds, longest first.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = if unit.trim().is_empty() { "ms" } else { unit.trim() };
    let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_micros(number.parse::<u64>().ok()?.checked_mul(*micros)?))
}

fn show_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let unit = UNITS.iter().find(|(_, length)| micros % length == 0);
    match unit {
        Some((unit, length)) if micros > 0 => format!("{}{unit}", micros / length),
        _ => "0".to_owned(),
    }
}

/// Units with their size in bytes, largest first.
const BYTE_UNITS: [(&str, u64); 5] = [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];

/// `None` where it is no amount; -1 is none that is a limit.
fn parse_bytes(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text == "-1" {
        return Some(None);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = if unit.trim().is_empty() { "kB" } else { unit.trim() };
    let (_, bytes) = BYTE_UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Some(number.parse::<u64>().ok()?.checked_mul(*bytes)?))
}

fn show_bytes(bytes: u64) -> String {
    let unit = BYTE_UNITS.iter().find(|(_, size)| bytes.is_multiple_of(*size));
    match unit {
        Some((unit, size)) if bytes > 0 => format!("{}{unit}", bytes / size),
        _ => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests;
